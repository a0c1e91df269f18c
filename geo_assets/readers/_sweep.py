"""One level of a fast TIFF, read from top to bottom in strips, each tile inflated once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geo_assets.eo.warp import Placement
from geo_assets.readers._fetch import Fetcher, Parcel
from geo_assets.readers._files import Source
from geo_assets.readers._tiff import Layout, Level, nodata_of
from geo_assets.readers._tiles import Piece, Room, TileRows, check_sizes, cut, open_tile, unpredict, wanted_tiles

Array = npt.NDArray[Any]


class Live(NamedTuple):
    """What is in memory while rows are read.

    Attributes:
        tiles: Tiles that are being inflated.
        stored: Their bytes as they are stored.
        inflated: Their bytes inflated.
    """

    tiles: int
    stored: int
    inflated: int


class TiffRows:
    """Rows of the columns that a sweep needs, in order.

    Args:
        source: The file.
        layout: Its layout.
        level: Which level.
        placement: The target over the level.
        cells: Cells of the target's lattice in which pixels are wanted, or None for all.
        room: Where tiles may wait that were inflated whole and reach further down than a strip.

    Attributes:
        col: First column of the level that is kept.
        width: Columns that are kept.
        itemsize: Bytes of a pixel.
        shown: The file, for messages.
    """

    def __init__(
        self, source: Source, layout: Layout, level: Level, placement: Placement, cells: npt.NDArray[np.bool_] | None, room: Room
    ) -> None:  # fmt: skip
        self._source, self._layout, self._level, self._room = source, layout, level, room
        self.itemsize, self.shown = layout.dtype.itemsize, source.shown
        self.first, self.end = placement.needs(cells, level.tile)
        needed = self.end > self.first
        self.tiles = wanted_tiles(level, needed)
        self.empty = not needed.any()
        check_sizes(level, self.tiles, layout.dtype.itemsize, source.shown)
        across = np.flatnonzero(needed.any(axis=0))
        self._columns = (int(across[0]), int(across[-1]) + 1) if len(across) else (0, 0)
        # Columns that no kernel sees are not kept
        left, right = placement.columns()
        self.col = max(self._columns[0] * level.tile[1], left)
        self.width = max(0, min(self._columns[1] * level.tile[1], level.shape[1], right) - self.col)
        self._needed = needed
        self._fill = nodata_of(layout)
        self._pieces: dict[tuple[int, int], list[Piece]] = {}
        self._open: dict[tuple[int, int], TileRows] = {}
        self._have = np.empty((0, self.width), layout.dtype)
        self._row = 0  # of the level, the first one in ``_have``
        self._passed = 0  # rows above were forgotten

    @property
    def live(self) -> Live:
        """The most that one row of tiles takes."""
        rows: dict[int, int] = {}
        for tile in self.tiles:
            rows[tile.row] = rows.get(tile.row, 0) + tile.end - tile.start
        tiles = int(self._needed.sum(axis=1).max(initial=0))
        size = self._level.tile[0] * self._level.tile[1] * self._layout.dtype.itemsize
        return Live(tiles, max(rows.values(), default=0), tiles * size)

    def plan(self, fetcher: Fetcher, pieces: int, ends: Sequence[int]) -> list[tuple[int, Parcel]]:
        """What will be fetched, each with the number of the strip that needs it first.

        Args:
            fetcher: Who fetches.
            pieces: Ranges a tile; 1 joins neighbours.
            ends: Last row of the level that each strip needs.
        """
        self._pieces = cut(self.tiles, self._source, fetcher, pieces)
        order = np.asarray(ends)
        found: dict[Parcel, int] = {}
        for tile in self.tiles:
            mine = self._pieces[tile.row, tile.col]
            for n, piece in enumerate(mine):
                row = max(
                    int(self.first[tile.row, tile.col]),
                    tile.row * self._level.tile[0] + n * self._level.tile[0] // len(mine),
                )
                strip = int(np.searchsorted(order, row, side="right"))
                had = found.get(piece.shared.parcel)
                found[piece.shared.parcel] = strip if had is None else min(had, strip)
        return [(strip, parcel) for parcel, strip in found.items()]

    def rows(self, low: int, high: int) -> tuple[Array, int]:
        """Rows ``low`` to ``high`` of the level, and the row that the array begins with; never above rows given before.

        Raises:
            SourceError: A tile is damaged or cannot be fetched.
        """
        ready = self._row + len(self._have)
        if low < min(high, self._passed):
            raise RuntimeError(f"rows from {low} on were asked for after those down to {self._passed} were forgotten")
        if high > ready or low > self._row:
            low = max(low, self._row)
            had = self._have[max(0, low - self._row) :] if low < ready else self._have[:0]
            grown = np.empty((max(high, low) - low, self.width), self._layout.dtype)
            grown[: len(had)] = had
            if len(had) < len(grown):
                self._decode(low + len(had), grown[len(had) :])
            self._have, self._row = grown, low
        return self._have, self._row

    def keep(self, row: int) -> None:
        """Forget the rows above ``row``."""
        self._passed = max(self._passed, row)
        drop = min(max(0, row - self._row), len(self._have))
        if drop:
            self._have = self._have[drop:].copy()  # a copy, so that the rest is freed
            self._row += drop

    def _decode(self, row: int, out: Array) -> None:
        height = self._level.tile[0]
        end = row + len(out)
        for down in range(row // height, (end - 1) // height + 1):
            a, b = max(row, down * height), min(end, (down + 1) * height)
            for across in range(*self._columns):
                left = across * self._level.tile[1]
                c, d = max(self.col, left), min(self.col + self.width, left + self._level.tile[1])
                if c < d:
                    self._copy(
                        down,
                        across,
                        a - down * height,
                        b - down * height,
                        c - left,
                        out[a - row : b - row, c - self.col : d - self.col],
                    )

    def _copy(self, down: int, across: int, first: int, end: int, skip: int, out: Array) -> None:
        """Rows of one tile; those above are inflated and thrown away, and rows that nobody needs are not read."""
        at = down, across
        last = int(self.end[at]) - down * self._level.tile[0]
        wanted = min(end, last)
        if not self._needed[at] or at not in self._pieces or first >= last:
            out[:] = self._fill
            return
        tile = self._open.get(at)
        if tile is None:
            tile = self._open[at] = open_tile(
                self._layout, self._level, down, across, self._pieces[at], self._source.shown
            )
            tile.inflate_whole(last, wanted, self._room)
        if first > tile.row:
            tile.read(first - tile.row)
        raw = np.frombuffer(tile.read(wanted - first), self._layout.dtype).reshape(wanted - first, -1)
        unpredict(raw, skip, self._layout.predictor, out[: wanted - first])
        out[wanted - first :] = self._fill
        if wanted == last:
            tile.close()
            del self._open[at], self._pieces[at]

    def close(self) -> None:
        """Give back what was planned and not read."""
        for at, pieces in self._pieces.items():
            if at in self._open:
                self._open[at].close()
            else:
                for piece in pieces:
                    piece.shared.release()
        self._pieces, self._open = {}, {}
