"""A yearly tile as a model sees it: twelve months, worked out strip by strip from its stored arrays."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from geo_assets.eo.radar_steps import POLARISATIONS
from geo_assets.eo.tile_months import BANDS_10, BANDS_20, MONTHS, TileYear, clear_pixels
from geo_assets.errors import StoreError
from geo_assets.model.geometry import GeoBox
from geo_assets.model.mlm import InputBand
from geo_assets.model.prediction import TileArrays
from geo_assets.storage import Storage
from geo_assets.tasks.predict import F32, ReadAhead
from geo_assets.tasks.tile_files import TileArray
from geo_assets.tasks.tile_read import read_array

_STRIP_ROWS = 64


class TileRaster:
    """The months of a tile, for one thread. Its stored arrays are held, as they are; of the months some rows at a time.

    Args:
        tile: What is stored of it.
        bands: What the model reads.
        box: Its 10 m pixels.
        storage: Has the arrays.

    Raises:
        StoreError: An array is lost or damaged, or lies elsewhere.
    """

    origin = (0, 0)

    def __init__(self, tile: TileArrays, bands: Sequence[InputBand], box: GeoBox, storage: Storage) -> None:
        self._tile, self._bands, self.shape = tile, tuple(bands), box.shape
        self._year = None if tile.lacking else read_year(tile, box, storage)
        self._ahead = ReadAhead(
            self._read, values=(MONTHS, len(bands)), height=self.shape[0], chunk_rows=min(_STRIP_ROWS, self.shape[0])
        )
        self._missing = np.zeros((MONTHS, len(bands)), np.int64)  # pixels of a month without a value
        self._partly = np.zeros(len(bands), np.int64)  # pixels that lack any month
        self._pixels = 0

    def read(self, rows: slice, cols: slice) -> F32:
        """See ``Raster.read``."""
        return self._ahead.read(rows, cols)

    def _read(self, rows: slice, cols: slice) -> F32:
        if self._year is None:
            shape = MONTHS, len(self._bands), rows.stop - rows.start, cols.stop - cols.start
            return np.full(shape, np.nan, np.float32)
        values = self._year.months(self._bands, rows, cols)
        gaps = np.isnan(values)
        self._missing += gaps.sum(axis=(2, 3))
        self._partly += gaps.any(axis=0).sum(axis=(1, 2))
        self._pixels += gaps[0, 0].size
        return values

    @property
    def notes(self) -> tuple[str, ...]:
        """What lacks of it, of the rows that were read."""
        lines: dict[str, list[str]] = {}
        for n, band in enumerate(self._bands):
            if self._pixels and (line := self._gaps(n)):
                lines.setdefault(line, []).append(band.name)
        found = (f"{', '.join(names)}: {line}" for line, names in lines.items())
        return (*(f"all is nodata: {why}" for why in self._tile.lacking), *self._tile.notes, *found)

    def _gaps(self, n: int) -> str:
        months = [str(m + 1) for m, count in enumerate(self._missing[:, n]) if count == self._pixels]
        if len(months) == MONTHS:
            return "no pixel has a value in the year"
        if months:
            return f"no pixel has a value in the months {', '.join(months)}"
        share = self._partly[n] / self._pixels
        return f"{share:.2%} of the pixels lack a value" if share else ""


def read_year(tile: TileArrays, box: GeoBox, storage: Storage) -> TileYear:
    """The stored arrays of a tile, once they are what they have to be.

    Raises:
        StoreError: One is lost or damaged, or lies elsewhere.
    """
    arrays = {a.product: read_array(storage, a.name) for a in tile.arrays}
    names = {a.product: storage.uri(a.name) for a in tile.arrays}
    year = TileYear(tile.year, box.shape)
    halved = GeoBox(box.crs, 2 * box.resolution, box.left, box.top, (box.shape[0] // 2, box.shape[1] // 2))
    if "clouds" in arrays:
        clouds = arrays["clouds"]
        if clouds.dims != ("time", "y", "x") or clouds.values.dtype != np.uint8 or clouds.box is None:
            raise StoreError(f"{names['clouds']}: no class codes of a tile; make the tile again")
        try:
            clear = clear_pixels(clouds.values, clouds.box, box)
        except ValueError as e:
            raise StoreError(f"{names['clouds']}: {e}; make the tile again") from e
        days = np.array(clouds.days, np.int64)
        bands: dict[str, npt.NDArray[np.uint16]] = {}
        for product, wanted, place in (("s2_10", BANDS_10, box), ("s2_20", BANDS_20, halved)):
            if product in arrays:
                _refuse_other(arrays[product], names[product], wanted, place, clouds.days)
                bands |= _layers(arrays[product])
        year = replace(year, clear=clear, days=days, reflectance=bands)
    if "s1" in arrays:
        _refuse_other(arrays["s1"], names["s1"], POLARISATIONS, box, steps=MONTHS)
        year = replace(year, power=_layers(arrays["s1"]))
    if "dem" in arrays:
        slope = arrays["dem"]
        if slope.dims != ("y", "x") or slope.values.dtype != np.float32 or slope.box != box:
            raise StoreError(f"{names['dem']}: no slope of this tile's pixels; make the tile again")
        year = replace(year, slope=slope.values)
    return year


def _layers(array: TileArray) -> dict[str, npt.NDArray[np.uint16]]:
    return {name: array.values[..., n] for n, name in enumerate(array.bands)}


def _refuse_other(
    array: TileArray, name: str, bands: Sequence[str], box: GeoBox, days: tuple[int, ...] | None = None, steps: int = 0
) -> None:
    """Refuses an array that is another one than it should be.

    Raises:
        StoreError: It is.
    """
    wanted = len(days) if days is not None else steps
    shape = (wanted, *box.shape, len(bands))
    odd = array.values.shape != shape or array.values.dtype != np.uint16 or array.bands != tuple(bands)
    if odd or array.box != box or (days is not None and array.days != days):
        shown = " x ".join(map(str, array.values.shape))
        raise StoreError(
            f"{name}: {array.values.dtype} {shown} of {', '.join(array.bands)} is not {' x '.join(map(str, shape))} of {', '.join(bands)} on the tile's pixels and days; make the tile again"
        )
