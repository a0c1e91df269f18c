"""Tables of tiles of 1/18 degree: where the centre of each lies, and by which two numbers it is known.

The numbers are a lookup and follow from no formula. A table of the land of the world has 2.9 million rows, so it is read
in pieces and only in the columns that are asked for.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import shapely

from geo_assets.errors import ConfigError
from geo_assets.model.tiling import Floats, Geometries, Ints, lonlat_boxes

TILE_DEG = 1 / 18  # side of a tile
TILE_COLUMNS = ("X", "Y", "Y_tile", "X_tile")
MAX_TILE = 2**31  # numbers of tiles lie below it, so that a pair of them fits into 64 bits
MAX_ROWS = 5_000_000
MAX_AREA_ROWS = 200_000
_MAX_BYTES = 500_000_000
_HEAD_BYTES = 65_536
_PIECE_BYTES, _PIECE_ROWS = 2**20, 131_072
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
_DECIMALS = 9  # 0.1 mm: edges of neighbours that rounding has parted meet again


@dataclass(frozen=True, eq=False)
class Piece:
    """Rows of a table.

    Attributes:
        first: Number of its first row; 1 is the one below the head.
        x: Longitudes of the centres in degrees, float64, -180 to 180.
        y: Latitudes of the centres in degrees, float64, -90 to 90.
        columns: Other columns by the name that was asked for.
    """

    first: int
    x: Floats
    y: Floats
    columns: dict[str, Any]


@dataclass(frozen=True, eq=False)
class TileTable:
    """Tiles by their two numbers, 24 bytes each.

    Attributes:
        name: Of the table, for messages.
        keys: The numbers as ``key_of`` packs them, int64, ascending and unique.
        x: Longitudes of the centres in degrees, float64, in the order of the keys.
        y: Latitudes of the centres in degrees, float64, in the order of the keys.
    """

    name: str
    keys: Ints
    x: Floats
    y: Floats

    @classmethod
    def of(cls, name: str, keys: Ints, x: Floats, y: Floats) -> "TileTable":
        """The table of rows in any order.

        Raises:
            ConfigError: Two rows have the same numbers.
        """
        if not (keys[1:] > keys[:-1]).all():
            order = np.argsort(keys)
            keys = keys[order]
            x, y = x[order], y[order]
        twice = np.flatnonzero(keys[1:] == keys[:-1])
        if len(twice):
            key = int(keys[twice[0]])
            count = int((keys == key).sum())
            raise ConfigError(
                f"{name}: the tile {id_of(key)} stands in {count} rows: X_tile and Y_tile together must be unique"
            )
        return cls(name, keys, x, y)

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys: Ints) -> Ints:
        """The row of each key, -1 where the table has none."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        row = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[row] == keys, row, -1)


def key_of(x_tile: Ints, y_tile: Ints) -> Ints:
    """Both numbers of a tile as one, in the order of the first and then of the second; int64."""
    packed: Ints = x_tile * 2**32 + (y_tile + MAX_TILE)
    return packed


def id_of(key: int) -> str:
    """The id of a packed key, such as ``1035X727Y``."""
    return f"{key >> 32}X{(key & (2**32 - 1)) - MAX_TILE}Y"


def read_tile_table(path: Path) -> TileTable:
    """The tiles of a CSV or parquet file with the columns X, Y, X_tile and Y_tile.

    Raises:
        ConfigError: Not such a table, too large, with a position that is none, or with a tile twice.
    """
    # As long as a table may be: the system gives memory only to the part that is filled, which is never copied
    keys, x, y = np.empty(MAX_ROWS, np.int64), np.empty(MAX_ROWS), np.empty(MAX_ROWS)
    count = 0
    for piece in pieces(path, numbers=("X_tile", "Y_tile")):
        rows = slice(count, count + len(piece.x))
        keys[rows] = key_of(piece.columns["X_tile"], piece.columns["Y_tile"])
        x[rows], y[rows] = piece.x, piece.y
        count = rows.stop
    if not count:
        raise ConfigError(f"{path.name} has no rows: give a table with tiles")
    return TileTable.of(path.name, keys[:count], x[:count], y[:count])


def tile_boxes(path: Path) -> Geometries:
    """The tiles of a table as boxes in EPSG:4326, each once.

    Raises:
        ConfigError: As ``read_tile_table``, or more rows than an area may have.
    """
    centres: list[npt.NDArray[np.float64]] = []
    for piece in pieces(path, numbers=("X_tile", "Y_tile"), most=MAX_AREA_ROWS):
        centres.append(np.column_stack([piece.x, piece.y]))
    if not centres:
        raise ConfigError(f"{path.name} has no rows: give a table with tiles")
    x, y = np.unique(np.concatenate(centres), axis=0).T
    half = TILE_DEG / 2
    return lonlat_boxes(
        (
            np.round(x - half, _DECIMALS),
            np.round(y - half, _DECIMALS),
            np.round(x + half, _DECIMALS),
            np.round(y + half, _DECIMALS),
        )
    )


def joined(boxes: Geometries) -> Any:
    """Union of boxes. Of those on one lattice, which share their edges, it takes a fiftieth of the time of any others."""
    parts = shapely.get_parts(boxes)
    try:
        union = shapely.coverage_union_all(parts)
    except shapely.errors.GEOSException:  # of older versions, where newer ones return what is not valid
        return shapely.union_all(parts)
    return union if shapely.is_valid(union) else shapely.union_all(parts)


def pieces(
    path: Path, *, numbers: Sequence[str] = (), texts: Sequence[str] = (), most: int = MAX_ROWS
) -> Iterator[Piece]:
    """The rows of a table of centres, piece by piece; case and blanks of the columns' names do not matter.

    Args:
        path: CSV or parquet.
        numbers: Columns with numbers of tiles, returned as int64, besides X and Y.
        texts: Columns returned as arrays of pyarrow: text from CSV, as they are stored from parquet.
        most: How many rows it may have.

    Raises:
        ConfigError: Not there, not such a table, too large, or with a position that is none.
    """
    written = find_columns(table_columns(path), ("X", "Y", *numbers, *texts), where=path.name)
    reader = _csv if path.suffix.lower() == ".csv" else _parquet
    first = 1
    with_text = {written[t] for t in texts}
    try:
        for batch in reader(path, list(dict.fromkeys(written.values())), with_text):
            if first + batch.num_rows - 1 > most:
                raise ConfigError(f"{path.name} has over {most:,} rows, which is the most: split it")
            yield _piece(batch, first, written, path.name, numbers, texts)
            first += batch.num_rows
    except (pa.ArrowException, OSError) as e:
        _refuse_unreadable(path, e)


def table_columns(path: Path) -> list[str]:
    """Names of a table's columns, as they are written.

    Raises:
        ConfigError: No CSV or parquet file, or too large.
    """
    if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"
        raise ConfigError(f"the file {path} {what}: give the path of a table of tiles")
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise ConfigError(
            f"{path.name} has the extension {path.suffix or '(none)'}: give a table of tiles as .csv or .parquet"
        )
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise ConfigError(f"{path.name} has {size / 1e6:,.0f} MB and {_MAX_BYTES / 1e6:,.0f} is the most: split it")
    try:
        if path.suffix.lower() == ".parquet":
            return [str(name) for name in pq.read_schema(path).names]
        with path.open("rb") as handle:
            head = handle.readline(_HEAD_BYTES).decode("utf-8-sig")
        return next(csv.reader([head]), [])
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as e:
        _refuse_unreadable(path, e)


def find_columns(names: Iterable[str], wanted: Iterable[str], *, where: str) -> dict[str, str]:
    """Columns as they are written, by the name that is asked for.

    Raises:
        ConfigError: One is missing, or there twice.
    """
    there = list(names)
    found = {}
    for name in wanted:
        exact = [n for n in there if n == name]
        same = exact or [n for n in there if n.strip().lower() == name.lower()]
        if not same:
            listed = ", ".join(there)[:200] or "none"
            raise ConfigError(
                f"{where}: column {name!r} is missing; it has {listed}; a table of tiles has {', '.join(TILE_COLUMNS)}"
            )
        if len(same) > 1:
            raise ConfigError(f"{where} has {len(same)} columns {name!r}: leave one of them")
        found[name] = same[0]
    return found


def _csv(path: Path, names: list[str], texts: set[str]) -> Iterator[Any]:
    types = {n: pa.string() if n in texts else pa.float64() for n in names}
    reader = pa.csv.open_csv(
        path,
        read_options=pa.csv.ReadOptions(block_size=_PIECE_BYTES),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),  # other columns may hold causes of failures
        convert_options=pa.csv.ConvertOptions(include_columns=names, column_types=types, null_values=[""]),
    )
    with reader:
        yield from reader


def _parquet(path: Path, names: list[str], texts: set[str]) -> Iterator[Any]:
    # Text as numbers of a dictionary: a long one that many rows share is there once
    with pq.ParquetFile(path, read_dictionary=sorted(texts)) as file:
        rows = file.metadata.num_rows
        if rows > MAX_ROWS:
            raise ConfigError(f"{path.name} has {rows:,} rows and {MAX_ROWS:,} is the most: split it")
        for name in names:
            kind = file.schema_arrow.field(name).type
            if name not in texts and not any(fits(kind) for fits in _NUMBERS):
                raise ConfigError(f"{path.name}: column {name!r} holds {str(kind)[:80]}: write it as numbers")
        for batch in file.iter_batches(batch_size=_PIECE_ROWS, columns=names):
            columns = [batch.column(n) if n in texts else batch.column(n).cast(pa.float64()) for n in names]
            yield pa.RecordBatch.from_arrays(columns, names=names)


def _piece(
    batch: Any, first: int, written: dict[str, str], name: str, numbers: Sequence[str], texts: Sequence[str]
) -> Piece:
    def values(column: str) -> npt.NDArray[np.float64]:
        array: npt.NDArray[np.float64] = batch.column(written[column]).to_numpy(zero_copy_only=False)
        return array

    x, y = values("X"), values("Y")
    bad = np.flatnonzero(~((np.abs(x) <= 180) & (np.abs(y) <= 90)))
    if len(bad):
        raise ConfigError(f"{name}, row {first + bad[0]}: X and Y are no longitude and latitude in degrees")
    columns: dict[str, Any] = {t: batch.column(written[t]) for t in texts}
    for column in numbers:
        number = values(column)
        bad = np.flatnonzero(~((np.abs(number) < MAX_TILE) & (number == np.floor(number))))
        if len(bad):
            raise ConfigError(f"{name}, row {first + bad[0]}: {column} is no whole number of a tile")
        columns[column] = number.astype(np.int64)
    return Piece(first, x, y, columns)


def _refuse_unreadable(path: Path, error: Exception) -> NoReturn:
    line = " ".join(str(error).split())[:200]
    raise ConfigError(f"{path.name} is not a readable {path.suffix.lower()[1:]} table: {line}") from error
