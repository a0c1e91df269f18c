"""Requests for tiles: which ids are asked for, which of them a table of tiles has, and why the others are refused.

Nothing is read or written here, so the command line and an HTTP door give the same answers.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from geo_assets.eo.tile_table import MAX_TILE, TileTable, key_of
from geo_assets.errors import ConfigError
from geo_assets.model.text import printable

COLUMNS = ("Year", "X", "Y", "Y_tile", "X_tile")
MAX_REQUEST_BYTES = 32_000_000  # about two million ids
YEARS = 1900, 2100
_LIST = "missing_tiles"
_SHAPE = f'write {{"project": {{"2023": {{"{_LIST}": ["1035X727Y"]}}}}}}'
_ID = re.compile(r"\s*(-?\d+)X(-?\d+)Y\s*")
_YEAR = re.compile(r"[0-9]{4}")
_MOST_DIGITS = 20
_NO_ID = "not the id of a tile: write it as 1035X727Y"
_UNKNOWN = "the table has no tile of this id"
_TWICE = "asked for more than once, and made once"


@dataclass(frozen=True)
class Tile:
    """A tile of a year, with its columns in a table.

    Attributes:
        Year: Of the request.
        X: Longitude of its centre in degrees.
        Y: Latitude of its centre in degrees.
        Y_tile: Second number of its id.
        X_tile: First number of its id.
    """

    Year: int
    X: float
    Y: float
    Y_tile: int
    X_tile: int


@dataclass(frozen=True)
class Note:
    """What became of an entry that makes no tile of its own.

    Attributes:
        token: As it was given; for what is no text a word for it.
        reason: Why.
        project: Under which it was given.
        year: Under which it was given.
    """

    token: str
    reason: str
    project: str
    year: int


@dataclass(frozen=True)
class Answer:
    """What came of a request: every entry is in one of the three lists.

    Attributes:
        tiles: Accepted ones, by year, X_tile and Y_tile.
        refused: By year, project and token.
        duplicates: Entries beyond the first of a tile and year, whatever their project; by year, project and token.
    """

    tiles: tuple[Tile, ...]
    refused: tuple[Note, ...]
    duplicates: tuple[Note, ...]

    @property
    def given(self) -> int:
        """How many entries the request has."""
        return len(self.tiles) + len(self.refused) + len(self.duplicates)

    def document(self) -> dict[str, Any]:
        """The JSON document."""
        return {
            "tiles": [asdict(t) for t in self.tiles],
            "refused": [asdict(n) for n in self.refused],
            "duplicates": [asdict(n) for n in self.duplicates],
            "given": self.given,
        }


@dataclass(frozen=True, order=True)
class _Asked:
    year: int
    x_tile: int
    y_tile: int
    project: str
    token: str


def parse_request(content: bytes, *, where: str = "the request") -> Any:
    """JSON of a request, without what can make it mean two things: keys given twice, and numbers that are none.

    Raises:
        ConfigError: Too large, not UTF-8, no JSON, or nested too deeply.
    """
    if len(content) > MAX_REQUEST_BYTES:
        raise ConfigError(f"{where} has over {MAX_REQUEST_BYTES / 1e6:,.0f} MB, which is the most: split it")
    try:
        return json.loads(content.decode("utf-8-sig"), parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError as e:
        raise ConfigError(f"{where} is not UTF-8 text: {e}") from e
    except RecursionError as e:
        raise ConfigError(f"{where} is nested too deeply: {_SHAPE}") from e
    except ValueError as e:
        raise ConfigError(f"{where} is not JSON of a request: {str(e)[:200]}") from e


def answer_request(request: Any, table: TileTable) -> Answer:
    """The tiles that a request asks for, in an order that follows from what is asked and not from how it is written.

    Args:
        request: Parsed JSON: ``{project: {year: {"missing_tiles": ["1035X727Y", ...]}}}``. Of an id the first number is
            X_tile and the second Y_tile. Other keys beside ``missing_tiles`` are left alone.
        table: Says which tiles there are, and where.

    Raises:
        ConfigError: The request has another shape, or a year that is none; entries of its lists alone never raise.
    """
    asked: list[_Asked] = []
    refused: list[Note] = []
    for project, year, entry in _entries(request):
        match = _ID.fullmatch(entry) if isinstance(entry, str) else None
        if match is None:
            refused.append(Note(_shown(entry), _NO_ID, project, year))
        elif (numbers := _numbers(match)) is None:
            refused.append(Note(entry, _UNKNOWN, project, year))
        else:
            asked.append(_Asked(year, *numbers, project, entry))
    asked.sort()
    rows = table.find(_keys(asked)).tolist()
    tiles: list[Tile] = []
    duplicates: list[Note] = []
    for one, row in zip(asked, rows, strict=True):
        if row < 0:
            refused.append(Note(one.token, _UNKNOWN, one.project, one.year))
        elif tiles and (tiles[-1].Year, tiles[-1].X_tile, tiles[-1].Y_tile) == (one.year, one.x_tile, one.y_tile):
            duplicates.append(Note(one.token, _TWICE, one.project, one.year))
        else:
            tiles.append(Tile(one.year, float(table.x[row]), float(table.y[row]), one.y_tile, one.x_tile))
    return Answer(tuple(tiles), tuple(sorted(refused, key=_order)), tuple(sorted(duplicates, key=_order)))


def tiles_csv(tiles: Sequence[Tile]) -> str:
    """Tiles as CSV with the columns of ``COLUMNS``; positions as the shortest text that reads back the same."""
    lines = [",".join(COLUMNS), *(f"{t.Year},{t.X!r},{t.Y!r},{t.Y_tile},{t.X_tile}" for t in tiles)]
    return "\n".join(lines) + "\n"


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise ValueError(f"{_named(counts.most_common(1)[0][0])} is given twice")
    return found


def _entries(request: Any) -> Iterator[tuple[str, int, Any]]:
    """Project, year and entry of all lists."""
    if not isinstance(request, dict) or not request:
        raise ConfigError(f"the request is no object with projects: {_SHAPE}")
    for project, years in request.items():
        where = f"project {_named(project)}"
        if not isinstance(years, dict):
            raise ConfigError(f"{where} is no object with years: {_SHAPE}")
        for text, part in years.items():
            year = _year(text, where)
            if not isinstance(part, dict) or _LIST not in part:
                raise ConfigError(f"{where}, year {year} has no {_LIST}: {_SHAPE}")
            if not isinstance(part[_LIST], list):
                raise ConfigError(f"{where}, year {year}: {_LIST} is no list: {_SHAPE}")
            yield from ((project, year, entry) for entry in part[_LIST])


def _year(text: str, where: str) -> int:
    if not _YEAR.fullmatch(text) or not YEARS[0] <= int(text) <= YEARS[1]:
        raise ConfigError(f"{where}: {_named(text)} is no year from {YEARS[0]} to {YEARS[1]}: {_SHAPE}")
    return int(text)


def _numbers(match: re.Match[str]) -> tuple[int, int] | None:
    """X_tile and Y_tile, or None where no table can have them."""
    if max(map(len, match.groups())) > _MOST_DIGITS:
        return None
    x_tile, y_tile = (int(number) for number in match.groups())
    return (x_tile, y_tile) if max(abs(x_tile), abs(y_tile)) < MAX_TILE else None


def _keys(asked: Sequence[_Asked]) -> Any:
    numbers = np.array([(a.x_tile, a.y_tile) for a in asked], np.int64).reshape(-1, 2)
    return key_of(numbers[:, 0], numbers[:, 1])


def _order(note: Note) -> tuple[int, str, str, str]:
    return note.year, note.project, note.token, note.reason


def _shown(entry: Any) -> str:
    if isinstance(entry, str):
        return entry
    if isinstance(entry, list | dict):
        return "[...]" if isinstance(entry, list) else "{...}"
    return "null" if entry is None else str(entry).lower() if isinstance(entry, bool | float) else _digits(entry)


def _digits(entry: Any) -> str:
    # Python refuses to write numbers of thousands of digits
    return str(entry) if isinstance(entry, int) and entry.bit_length() < 64 else "a long number"


def _named(text: str) -> str:
    return repr(printable(text)[:80])
