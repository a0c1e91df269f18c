"""Many small windows of fast TIFFs: each tile is fetched and inflated once, and kept from its first use to its last."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.eo.warp import Placement
from geo_assets.readers._fetch import Fetcher, Parcel
from geo_assets.readers._files import Source
from geo_assets.readers._tiff import Layout, Level, nodata_of
from geo_assets.readers._tiles import Piece, check_sizes, cut, open_tile, unpredict, wanted_tiles

Array = npt.NDArray[Any]
Key = tuple[int, int, int]  # number of the level's sharer, row and column of the tile


class Seat:
    """One window over levels that lie alike, such as those of a tile's scenes.

    Args:
        placement: The window over a level.
        tile: Rows and columns of the level's tiles.
        cells: Cells of the target's lattice in which pixels are wanted, or None for all.

    Attributes:
        rows: First row and end row of the level that are needed.
        cols: Likewise, columns.
        ends: Each needed tile and the row after the last one that is needed of it; empty if no pixel is needed.
    """

    def __init__(self, placement: Placement, tile: tuple[int, int], cells: npt.NDArray[np.bool_] | None) -> None:
        self.placement = placement
        self.rows, self.cols = placement.span(0, placement.box.shape[0]), placement.columns()
        first, end = placement.needs(cells, tile)
        seen = self.rows[0] < self.rows[1] and self.cols[0] < self.cols[1]
        at = np.argwhere(end > first).tolist() if seen else []
        self.ends = [((row, col), int(end[row, col])) for row, col in at]


class TiffWindow:
    """One window over a level, and the tiles that it needs."""

    def __init__(self, shared: "SharedLevel", seat: Seat) -> None:
        self._shared, self.seat = shared, seat

    def pixels(self) -> Array:
        """The part of the level that the window needs; its place is that of the seat."""
        rows, cols = self.seat.rows, self.seat.cols
        shape = rows[1] - rows[0], cols[1] - cols[0]
        out: Array | None = None
        height, width = self._shared.level.tile
        for (down, across), _ in self.seat.ends:
            tile = self._shared.tile((down, across))
            if tile is None:
                continue
            top, left = down * height, across * width
            a, b = max(rows[0], top), min(rows[1], top + len(tile))
            c, d = max(cols[0], left), min(cols[1], left + tile.shape[1])
            if a < b and c < d:
                part = tile[a - top : b - top, c - left : d - left]
                if part.shape == shape:
                    return part.copy()  # a view would keep the tile
                if out is None:
                    out = np.full(shape, self._shared.fill)
                out[a - rows[0] : b - rows[0], c - cols[0] : d - cols[0]] = part
        return np.full(shape, self._shared.fill) if out is None else out

    def done(self) -> None:
        """The tiles that no other window needs are forgotten."""
        for at, _ in self.seat.ends:
            self._shared.release(at)


class SharedLevel:
    """A level that several windows are read from."""

    def __init__(self, source: Source, layout: Layout, level: Level) -> None:
        self.level, self.fill = level, nodata_of(layout)
        self._source, self._layout = source, layout
        self._uses: dict[tuple[int, int], int] = {}
        self._ends: dict[tuple[int, int], int] = {}
        self._pieces: dict[tuple[int, int], list[Piece]] = {}
        self._tiles: dict[tuple[int, int], Array] = {}

    def add(self, window: TiffWindow) -> None:
        """One window more, in the order of reading."""
        for at, end in window.seat.ends:
            self._uses[at] = self._uses.get(at, 0) + 1
            self._ends[at] = max(self._ends.get(at, 0), end)

    def plan(self, fetcher: Fetcher) -> list[Parcel]:
        """What is fetched, in the order of tiles."""
        needed = np.zeros(self.level.sizes.shape, bool)
        for at in self._uses:
            needed[at] = True
        tiles = wanted_tiles(self.level, needed)
        check_sizes(self.level, tiles, self._layout.dtype.itemsize, self._source.shown)
        self._pieces = cut(tiles, self._source, fetcher, 1)
        return list(dict.fromkeys(p.shared.parcel for pieces in self._pieces.values() for p in pieces))

    def tile(self, at: tuple[int, int]) -> Array | None:
        """A tile down to the last row that any window needs; None where it is not stored.

        Raises:
            SourceError: It is damaged or cannot be fetched.
        """
        if at not in self._tiles and at in self._pieces:
            rows = self._ends[at] - at[0] * self.level.tile[0]
            stream = open_tile(self._layout, self.level, *at, self._pieces.pop(at), self._source.shown)
            try:
                stream.inflate_whole(rows, rows)
                raw = np.frombuffer(stream.read(rows), self._layout.dtype).reshape(rows, -1)
            finally:
                stream.close()
            out = raw if raw.flags.writeable else np.empty_like(raw)
            unpredict(raw, 0, self._layout.predictor, out)
            self._tiles[at] = out
        return self._tiles.get(at)

    def close(self) -> None:
        """Give back what was planned and not read."""
        for pieces in self._pieces.values():
            for piece in pieces:
                piece.shared.release()
        self._pieces.clear()
        self._tiles.clear()

    def release(self, at: tuple[int, int]) -> None:
        """One use less of a tile."""
        self._uses[at] -= 1
        if not self._uses[at]:
            self._tiles.pop(at, None)
            for piece in self._pieces.pop(at, []):
                piece.shared.release()


def plan(levels: Sequence[SharedLevel], fetcher: Fetcher) -> None:
    """Have all of it fetched ahead, one level after the other."""
    fetcher.plan([parcel for level in levels for parcel in level.plan(fetcher)])
