"""The table of chips: its columns, what of it is asked for, and what keeps it."""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyproj

from geo_assets.errors import ConfigError
from geo_assets.model.recipe import TablesRecipe

KEY = ("chip_id", "sensor", "datetime")  # no two rows are alike in all of these
SORTED = ("chip_id", "datetime", "sensor")
PREFIX = 4  # characters of a geohash that part the table: 39 by 20 km at the equator
_BBOX = pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")])

Bounds = tuple[float, float, float, float]


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


COLUMNS = pa.schema(
    [
        _required("chip_id", pa.string()),  # cell and place within it
        _required("sensor", pa.string()),
        _required("datetime", pa.timestamp("us", "UTC")),  # of the acquisition; of a merge the end of its month
        _required("cell_id", pa.string()),
        _required("region", pa.string()),
        _required("month", pa.string()),
        _required("geohash", pa.string()),  # of the centroid, 8 characters
        _required("href", pa.string()),  # array of pixels below the storage root
        _required("index", pa.int32()),  # place of the chip in it
        _required("scene_ids", pa.list_(pa.string())),
        _required("valid_fraction", pa.float64()),  # of pixels with every band
        _required("clear_fraction", pa.float64()),  # of pixels that the mask calls clear
        pa.field("fill_fraction", pa.float64()),  # of pixels that came from another acquisition; null: not merged
        pa.field("max_age_days", pa.int32()),  # of the oldest of them
        _required("crs", pa.string()),
        _required("transform", pa.list_(pa.float64())),  # a to f, of the chip's upper left pixel
        # Degrees, the whole circle where it crosses the antimeridian: each alone, since Iceberg keeps no bounds of nested
        # columns, and together, as GeoParquet wants them
        *(_required(name, pa.float64()) for name in ("west", "south", "east", "north")),
        _required("bbox", _BBOX),
        _required("geometry", pa.binary()),  # outline in EPSG:4326 as WKB
    ]
)

# GeoParquet 1.1: what geopandas, DuckDB and others know the outline and its bounding boxes by
GEO = json.dumps(
    {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {
            "geometry": {
                "encoding": "WKB",
                "crs": pyproj.CRS(4326).to_json_dict(),
                "geometry_types": [],
                "covering": {"bbox": {name: ["bbox", name] for name in ("xmin", "ymin", "xmax", "ymax")}},
            }
        },
    }
)


@dataclass(frozen=True)
class Where:
    """Which rows are asked for; what is left out asks for all.

    Attributes:
        bounds: West, south, east, north in degrees; from east to west over the antimeridian where west is larger.
        after: Not before this time.
        before: Before this time.
        months: Keys of months.
        sensors: Names.
        regions: Keys.
        chips: Ids.
        min_clear: Least share of clear pixels.
        min_valid: Least share of pixels with every band.
        max_fill: Most pixels that came from another acquisition, as a share.
        max_age_days: Most days that they are old.
    """

    bounds: Bounds | None = None
    after: dt.datetime | None = None
    before: dt.datetime | None = None
    months: Sequence[str] = ()
    sensors: Sequence[str] = ()
    regions: Sequence[str] = ()
    chips: Sequence[str] = ()
    min_clear: float | None = None
    min_valid: float | None = None
    max_fill: float | None = None
    max_age_days: int | None = None

    def __post_init__(self) -> None:
        """Refuse what could match nothing by mistake."""
        for name in ("after", "before"):
            time = getattr(self, name)
            if time is not None and time.tzinfo is None:
                raise ConfigError(f"{name} {time} has no time zone: give one, such as datetime.timezone.utc")
        if self.bounds is not None:
            _, south, _, north = self.bounds
            if not (-90 <= south <= north <= 90 and all(-180 <= x <= 180 for x in self.bounds[::2])):
                raise ConfigError(f"bounds {self.bounds}: give west, south, east, north in degrees")


@dataclass(frozen=True)
class Version:
    """A state of the table that can be read.

    Attributes:
        id: Of the state.
        time: When it was committed.
        rows: Rows that it has.
    """

    id: int
    time: dt.datetime
    rows: int


@dataclass(frozen=True)
class Upkeep:
    """What was tidied up.

    Attributes:
        versions: States that can be read no more.
        files_before: Data files of the table before small ones were put together.
        files_after: After it.
        removed: Objects that no state named any more, and that are gone.
    """

    versions: int = 0
    files_before: int = 0
    files_after: int = 0
    removed: int = 0


class ChipTable(Protocol):
    """A table of chips, open. What one call changes is there as a whole or not at all, and no key is ever there twice."""

    def upsert(self, rows: pa.Table) -> bool:
        """Put rows in the place of those with the same key; others are added.

        Args:
            rows: With the columns of ``COLUMNS``, and maybe further ones, which the table has from then on.

        Returns:
            Whether anything changed.

        Raises:
            ConfigError: A key is given twice, or a column is missing or of another type.
            StoreError: It could not be committed; the table is as before.
        """
        ...

    def remove(self, keys: pa.Table) -> int:
        """Remove the rows of some keys (columns ``KEY``); returns how many there were.

        Raises:
            StoreError: It could not be committed; the table is as before.
        """
        ...

    def read(
        self, where: Where | None = None, *, columns: Sequence[str] | None = None, version: int | dt.datetime | None = None
    ) -> pa.Table:  # fmt: skip
        """Rows, in no order.

        Args:
            where: Which of them.
            columns: Which columns; None is all.
            version: The state with this id, or as it was at this time; None is the newest.

        Raises:
            ConfigError: There was no such state, or there is no such column.
            StoreError: The table cannot be read.
        """
        ...

    def versions(self) -> list[Version]:
        """States that can be read, oldest first."""
        ...

    def tidy(self, *, keep: dt.timedelta, orphans: dt.timedelta) -> Upkeep:
        """Put small files together, forget older states, and remove objects that no state names.

        Args:
            keep: Younger states stay.
            orphans: Younger objects stay: somebody may be about to commit them.

        Raises:
            StoreError: It could not be committed; the table is as before.
        """
        ...


class Tables(Protocol):
    """A kind of table."""

    def open(self, recipe: TablesRecipe, root: str, name: str) -> ChipTable:
        """A table, which is made where there is none.

        Args:
            recipe: The project's settings.
            root: Storage root, below which its files lie.
            name: Of the table, such as ``chips``.

        Raises:
            ConfigError: The settings do not say where its catalog is.
            StoreError: It cannot be reached.
        """
        ...


def best(rows: pa.Table) -> pa.Table:
    """Of rows with one key that with the most pixels: scenes of one overpass overlap, and some catalogs give all of them one time.

    Of several that have as many the clearest, then the first by the ids of their scenes.
    """
    scenes = [" ".join(ids) for ids in rows["scene_ids"].to_pylist()]
    ranked = rows.select([*KEY, "valid_fraction", "clear_fraction"]).append_column(
        "scenes", pa.array(scenes, pa.string())
    )
    ranked = ranked.append_column("place", pa.array(range(rows.num_rows), pa.int64()))
    order = [
        *((name, "ascending") for name in KEY),
        ("valid_fraction", "descending"),
        ("clear_fraction", "descending"),
        ("scenes", "ascending"),
    ]
    first = ranked.sort_by(order).group_by(list(KEY), use_threads=False).aggregate([("place", "first")])
    return rows.take(first.sort_by([(n, "ascending") for n in SORTED])["place_first"])


def checked(rows: pa.Table, *, unique: bool = True) -> pa.Table:
    """Rows with the types of ``COLUMNS``, in their order, further columns after them.

    Args:
        rows: With at least these columns.
        unique: Whether a key may be there only once.

    Raises:
        ConfigError: A key is given twice, or a column is missing or of another type.
    """
    missing = [name for name in COLUMNS.names if name not in rows.column_names]
    if missing:
        raise ConfigError(f"rows of chips lack {', '.join(missing)}")
    empty = [f.name for f in COLUMNS if not f.nullable and rows[f.name].null_count]
    if empty:
        raise ConfigError(f"rows of chips have no {', '.join(empty)}")
    more = [f for f in rows.schema if f.name not in COLUMNS.names]
    schema = pa.schema([*COLUMNS, *more])
    try:
        cast = rows.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as e:
        raise ConfigError(f"rows of chips: {' '.join(str(e).split())[:200]}") from e
    if not unique:
        return cast
    keys = cast.select(list(KEY)).group_by(list(KEY)).aggregate([([], "count_all")])
    if keys.num_rows < cast.num_rows:
        twice = next(k for k in keys.to_pylist() if k["count_all"] > 1)
        raise ConfigError(
            f"rows of chips: {twice['chip_id']} of {twice['sensor']} at {twice['datetime']:%Y-%m-%dT%H:%M:%SZ} is given {twice['count_all']} times"
        )
    return cast
