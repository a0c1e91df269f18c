"""Many small windows of fast TIFFs: each tile is fetched and inflated once, and kept from its first use to its last."""

from collections.abc import Iterator, Sequence
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


class TiffWindow:
    """One window over a level, and the tiles that it needs."""

    def __init__(self, shared: "SharedLevel", placement: Placement, cells: npt.NDArray[np.bool_] | None) -> None:
        self._shared, self.placement = shared, placement
        first, self._end = placement.needs(cells, shared.level.tile)
        self.needed = self._end > first
        self.rows = placement.span(0, placement.box.shape[0])
        self.cols = placement.columns()

    @property
    def empty(self) -> bool:
        """Whether no pixel of the level is needed."""
        return not self.needed.any() or self.rows[0] >= self.rows[1] or self.cols[0] >= self.cols[1]

    def ends(self) -> Iterator[tuple[tuple[int, int], int]]:
        """Each needed tile and the row after the last one that is needed of it."""
        for at in np.argwhere(self.needed):
            yield (int(at[0]), int(at[1])), int(self._end[tuple(at)])

    def pixels(self) -> Array:
        """The part of the level that the window needs; its place is ``rows`` and ``cols``."""
        out = np.full((self.rows[1] - self.rows[0], self.cols[1] - self.cols[0]), self._shared.fill)
        height, width = self._shared.level.tile
        for (down, across), _ in self.ends():
            tile = self._shared.tile((down, across))
            if tile is None:
                continue
            top, left = down * height, across * width
            a, b = max(self.rows[0], top), min(self.rows[1], top + len(tile))
            c, d = max(self.cols[0], left), min(self.cols[1], left + tile.shape[1])
            if a < b and c < d:
                out[a - self.rows[0] : b - self.rows[0], c - self.cols[0] : d - self.cols[0]] = tile[
                    a - top : b - top, c - left : d - left
                ]
        return out

    def done(self) -> None:
        """The tiles that no other window needs are forgotten."""
        for at, _ in self.ends():
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
        for at, end in window.ends():
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
            stream.inflate_whole(rows, rows)
            raw = np.frombuffer(stream.read(rows), self._layout.dtype).reshape(rows, -1)
            out = np.empty_like(raw)
            unpredict(raw, 0, self._layout.predictor, out)
            stream.close()
            self._tiles[at] = out
        return self._tiles.get(at)

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
