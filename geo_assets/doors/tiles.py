"""A table of what is to be made: partitions, such as the failed.csv of an earlier run, or tiles and their years."""

import csv
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import shapely

from geo_assets.eo.tile_table import TILE_DEG
from geo_assets.errors import ConfigError, StoreError
from geo_assets.storage import Storage

_MOST_MB = 64
_SHOWN = 5
_PARTITION = ("region", "month")
_TILE = ("year", "x", "y", "y_tile", "x_tile")
_NUMBER = re.compile(r"(-?\d{1,10})(?:\.0*)?")  # spreadsheets and data frames write whole numbers as 1035.0

Row = tuple[int, dict[str, str]]  # its line, and its fields by the name of their column


@dataclass(frozen=True)
class Asked:
    """What a table names.

    Attributes:
        partitions: Region and month, each once, in the order of regions and months.
        cells: Ids of the cells that are meant in them; None: all of them.
    """

    partitions: list[tuple[str, str]]
    cells: frozenset[str] | None = None


def read_tiles(
    file: str, regions: Sequence[str], months: Sequence[str], *, cells: gpd.GeoDataFrame | None = None
) -> Asked:
    """What a table of partitions or of tiles names.

    A table of partitions has the columns ``region`` and ``month``; an empty month is all of them. A table of tiles has
    ``Year``, ``X``, ``Y``, ``Y_tile`` and ``X_tile``: a row is the cell ``{X_tile}X{Y_tile}Y``, in the region that owns
    it, in the months of the year. Where it has ``region`` and ``month`` too, as a failed.csv has, a row means these, and
    one without a tile means all cells of its region. Case and order of columns, and any others, do not matter.

    Args:
        file: Path or URI of a CSV.
        regions: Those that are known.
        months: Those that are known.
        cells: Cells of the project, if its grid is ``tiles``: columns ``cell_id``, ``region`` and ``regions``.

    Raises:
        ConfigError: It cannot be read, lacks a column, or names what the project does not have.
    """
    names, rows = _rows(file)
    if _is_of_tiles(file, names):
        if cells is None:
            raise ConfigError(
                f"--tiles {file}: it names tiles, and the cells of the project are none: set grid to tiles with the table"
                " that they come from, or give a table with the columns region and month alone"
            )
        return _of_tiles(file, rows, _Known(tuple(regions), tuple(months), cells))
    return _of_partitions(file, rows, regions, months)


def _is_of_tiles(file: str, names: Sequence[str]) -> bool:
    wanted = _TILE if {"year", "x_tile", "y_tile"} & set(names) else _PARTITION
    lacking = [c for c in wanted if c not in names]
    if not lacking:
        return wanted is _TILE
    if wanted is _TILE and set(_PARTITION) <= set(names):
        return False
    there = ", ".join(names) or "none"
    raise ConfigError(
        f"--tiles {file}: column {lacking[0]!r} is missing; it has {there}, read as UTF-8 with commas between columns"
    )


def _of_partitions(file: str, rows: Sequence[Row], regions: Sequence[str], months: Sequence[str]) -> Asked:
    named: set[tuple[str, str]] = set()
    unknown: list[str] = []
    for line, row in rows:
        region, month = row["region"], row["month"]
        if region not in regions or (month and month not in months):
            unknown.append(f"line {line}: {region} {month}".rstrip())
            continue
        named |= {(region, m) for m in ([month] if month else months)}
    _refuse(file, unknown, "not among the regions and months of the project")
    return Asked(_ordered(file, named, regions, months))


class _OddRowError(Exception):
    """A row names what the project does not have."""


class _Cell(NamedTuple):
    """A cell of a project."""

    cell_id: str
    region: str
    regions: Sequence[str]
    bounds: tuple[float, float, float, float]


@dataclass(frozen=True)
class _Known:
    """What a project has."""

    regions: tuple[str, ...]
    months: tuple[str, ...]
    cells: gpd.GeoDataFrame

    def named(self, ids: set[str]) -> dict[str, _Cell]:
        """Those of some cells that there are, by id."""
        found = self.cells[self.cells["cell_id"].isin(ids)]
        bounds = map(tuple, shapely.bounds(found.geometry.to_numpy()).tolist())
        rows = zip(found["cell_id"], found["region"], found["regions"], bounds, strict=True)
        return {str(row[0]): _Cell(*row) for row in rows}

    def of_region(self, region: str) -> set[str]:
        """Ids of all cells that touch a region."""
        return {str(i) for i, all_ in zip(self.cells["cell_id"], self.cells["regions"], strict=True) if region in all_}


def _of_tiles(file: str, rows: Sequence[Row], known: _Known) -> Asked:
    ids = [_cell_id(row) for _, row in rows]
    cells = known.named({i for i in ids if i})
    named: set[tuple[str, str]] = set()
    meant: set[str] = set()
    unknown: list[str] = []
    whole: set[str] = set()
    for (line, row), cell_id in zip(rows, ids, strict=True):
        try:
            region, months = _place(row, cell_id, cells, known)
        except _OddRowError as e:
            unknown.append(f"line {line}: {e}")
            continue
        named |= {(region, m) for m in months}
        if cell_id:
            meant.add(cell_id)
        else:
            whole.add(region)
    _refuse(file, unknown, "not among the cells, regions and months of the project")
    for region in whole:
        meant |= known.of_region(region)
    return Asked(_ordered(file, named, known.regions, known.months), frozenset(meant))


def _place(
    row: Mapping[str, str], cell_id: str | None, cells: Mapping[str, _Cell], known: _Known
) -> tuple[str, list[str]]:
    """Region and months of a row.

    Raises:
        _OddRowError: It names what the project does not have.
    """
    region, month, year = row.get("region", ""), row.get("month", ""), row["year"]
    if cell_id is not None:
        cell = cells.get(cell_id)
        if cell is None:
            raise _OddRowError(f"no cell {row['x_tile']}X{row['y_tile']}Y")
        _refuse_elsewhere(row, cell)
        if region and region not in cell.regions:
            raise _OddRowError(f"{cell_id} does not touch {region}")
        region = region or cell.region
    elif not region:
        raise _OddRowError("neither a tile nor a region")
    months = _months(month, year, known.months, any_year=cell_id is None)
    if region not in known.regions or not months:
        raise _OddRowError(" ".join(part for part in (cell_id, region, year, month) if part))
    return region, months


def _months(month: str, year: str, months: Sequence[str], *, any_year: bool) -> list[str]:
    """The project's months that a row means."""
    number = _number(year)
    if not year and any_year:
        return [m for m in months if month in ("", m)]
    return [m for m in months if number is not None and m[:4] == f"{number:04d}" and month in ("", m)]


def _refuse_elsewhere(row: Mapping[str, str], cell: _Cell) -> None:
    """Refuses a row whose position is not that of its cell: the id is that of another table.

    Raises:
        _OddRowError: It is not, or is none.
    """
    try:
        x, y = float(row["x"]), float(row["y"])
    except ValueError:
        raise _OddRowError(f"{cell.cell_id} has no position: X and Y are no numbers") from None
    west, south, east, north = cell.bounds
    half = TILE_DEG / 2  # a cell may be cut at the border of its area: its centre then lies beside it
    if not (west - half < x < east + half and south - half < y < north + half):
        raise _OddRowError(
            f"{cell.cell_id} is another cell in the project, at {(west + east) / 2:.4f}, {(south + north) / 2:.4f}"
        )


def _cell_id(row: Mapping[str, str]) -> str | None:
    """The id of a row's tile; None if it names none, "" if what it names is none."""
    if not row["x_tile"] and not row["y_tile"]:
        return None
    x, y = _number(row["x_tile"]), _number(row["y_tile"])
    return "" if x is None or y is None else f"{x}X{y}Y"


def _number(text: str) -> int | None:
    match = _NUMBER.fullmatch(text)
    return int(match[1]) if match else None


def _refuse(file: str, unknown: Sequence[str], what: str) -> None:
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise ConfigError(f"--tiles {file}: {'; '.join(unknown[:_SHOWN])}{more}: {what}; take these lines out")


def _ordered(
    file: str, named: set[tuple[str, str]], regions: Sequence[str], months: Sequence[str]
) -> list[tuple[str, str]]:
    if not named:
        raise ConfigError(f"--tiles {file}: it names nothing to make")
    return [(r, m) for r in regions for m in months if (r, m) in named]


def _rows(file: str) -> tuple[list[str], list[Row]]:
    """Names of the columns in lower case, and the rows."""
    longest = csv.field_size_limit(_MOST_MB * 2**20)  # a region has many cells, and failed.csv names them in one field
    try:
        reader = csv.reader(io.StringIO(_content(file).decode("utf-8-sig"), newline=""))
        names = [name.strip().lower() for name in next(reader, [])]
        wanted = [(names.index(c), c) for c in (*_PARTITION, *_TILE) if c in names]
        return names, list(_fields(reader, wanted))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        raise ConfigError(f"--tiles {file}: cannot be read as CSV: {e}") from e
    finally:
        csv.field_size_limit(longest)


def _fields(reader: Any, wanted: Sequence[tuple[int, str]]) -> Iterator[Row]:
    for row in reader:
        if row:
            yield reader.line_num, {name: row[i].strip() if i < len(row) else "" for i, name in wanted}


def _content(file: str) -> bytes:
    """Of a path, or of a URI such as a report below a bucket."""
    if "://" not in file:
        if os.path.getsize(file) > _MOST_MB * 2**20:
            raise ConfigError(f"--tiles {file}: larger than {_MOST_MB} MB; split it")
        return Path(file).read_bytes()
    folder, _, name = file.rpartition("/")
    try:
        content = Storage(folder).read(name)
    except StoreError as e:
        raise ConfigError(f"--tiles {e}") from e
    if content is None:
        raise ConfigError(f"--tiles {file}: there is no such object")
    return content
