"""Tiles of jobs, for projects whose grid is a table of tiles: which they are and where, from the stored cells."""

import io
import re
import warnings
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from geo_assets.eo.tile_request import Tile
from geo_assets.model import path
from geo_assets.report.jobs import Job
from geo_assets.storage import Storage

_ID = re.compile(r"(-?\d+)X(-?\d+)Y")
_MONTH = re.compile(r"(\d{4})-\d{2}")
_COLUMNS = ["cell_id", "x", "y"]

Centres = dict[str, tuple[int, int, float, float]]  # X_tile, Y_tile, longitude and latitude of cells by their ids


class StoredTiles:
    """Tiles of the regions of a storage; each region is read once, and only if it is asked for."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._names: set[str] | None = None
        self._regions: dict[str, Centres] = {}

    def there(self, jobs: Iterable[Job]) -> bool:
        """Whether the cells of some jobs are tiles; of none whose cells are stored, whether those stored first are."""
        regions = sorted({j.region for j in jobs if self._is_stored(j.region)})
        stored = sorted(self._stored())
        regions += [name.rsplit("/", 1)[-1].removesuffix(".parquet") for name in stored[:1]]
        return any(self._centres(region) for region in regions)

    def of(self, job: Job) -> list[tuple[str, Tile]]:
        """Cells of a job with their tiles: its own, or all that touch its region if it has none.

        Returns:
            None of a job without a month, nor of a region whose cells are no tiles or are not stored.
        """
        month = _MONTH.fullmatch(job.month)
        if month is None:
            return []
        known = self._centres(job.region)
        return [
            (cell, Tile(int(month[1]), x, y, y_tile, x_tile))
            for cell in job.cells or sorted(known, key=known.__getitem__)
            if cell in known
            for x_tile, y_tile, x, y in [known[cell]]
        ]

    def _stored(self) -> set[str]:
        if self._names is None:
            self._names = {n for n in self._storage.names("cells") if n.endswith(".parquet")}
        return self._names

    def _is_stored(self, region: str) -> bool:
        return path.cells(region) in self._stored()

    def _centres(self, region: str) -> Centres:
        if region not in self._regions:
            self._regions[region] = self._read(region) if self._is_stored(region) else {}
        return self._regions[region]

    def _read(self, region: str) -> Centres:
        receipt = self._storage.sound_receipt("cells", region)
        content = self._storage.read(path.cells(region))
        if content is None or receipt is None or receipt.figures.get("grid") != "tiles":
            return {}
        try:
            file = pq.ParquetFile(io.BytesIO(content))
            if not set(_COLUMNS) <= set(file.schema_arrow.names):
                return {}  # cells from a vector file have outlines only
            columns = file.read(columns=_COLUMNS).to_pydict()
        except (pa.ArrowException, OSError) as e:
            where = self._storage.uri(path.cells(region))
            warnings.warn(f"{where}: no table of cells, so failed.csv names no tiles of it: {e}", stacklevel=2)
            return {}
        rows = zip(*(columns[c] for c in _COLUMNS), strict=True)
        return {cell: (int(m[1]), int(m[2]), x, y) for cell, x, y in rows if (m := _ID.fullmatch(cell))}
