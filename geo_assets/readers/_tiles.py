"""Tiles of a TIFF as streams of rows: inflated as far as they are needed and no further, or at once where all is needed."""

import itertools
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from deflate import DeflateError, zlib_decompress
from isal import isal_zlib

from geo_assets.eo._jit import kernel
from geo_assets.errors import SourceError
from geo_assets.readers._fetch import Fetcher, Parcel
from geo_assets.readers._tiff import Layout, Level

_OF_INTEGERS, _OF_FLOATS = 2, 3  # TIFF predictors
_DAMAGED: type[Exception] = isal_zlib.error  # type: ignore[assignment]
_SLACK_BYTES = 4096
_GAP_BYTES = 16 * 1024  # between two tiles that are fetched as one range
_RUN_BYTES = 16 * 2**20  # longest range that is fetched at once
STREAM_BYTES = 100 * 1024  # of the library while it inflates a tile row by row
_LEAST_PIECE = 64 * 1024
_MOST = 0.75  # share of a tile from which on inflating all of it (libdeflate) takes no longer than streaming (ISA-L)


def unpredict(rows: npt.NDArray[Any], skip: int, predictor: int, out: npt.NDArray[Any]) -> None:
    """Copy the columns from ``skip`` on, undoing a TIFF predictor.

    Args:
        rows: As they are stored, dims (y, x).
        skip: Columns that are left out.
        predictor: 1 for none, 2 for differences along a row, 3 for differences of floats' bytes.
        out: Where to put them, dims (y, x), dtype of ``rows``; may be ``rows`` itself if nothing is skipped.
    """
    if predictor != _OF_FLOATS:
        _copied(rows, skip, predictor == _OF_INTEGERS, out)
        return
    stored = rows.view(np.uint8)
    _floats(stored.copy() if out is rows else stored, skip, rows.itemsize, out.view(np.uint8))


@kernel
def _floats(stored, skip, size, out):  # type: ignore[no-untyped-def]
    """Undo TIFF predictor 3 (Adobe Photoshop TIFF Technical Note 3, 2005).

    A row holds all highest bytes, then all second ones, and so on, as differences of neighbouring bytes that wrap around.
    """
    width, wide = stored.shape[1] // size, out.shape[1] // size
    for r in range(out.shape[0]):
        total = np.uint8(0)
        for b in range(size):
            for c in range(width):
                total = np.uint8(total + stored[r, b * width + c])
                if skip <= c < skip + wide:
                    out[r, (c - skip) * size + size - 1 - b] = total


@kernel
def _copied(rows, skip, differences, out):  # type: ignore[no-untyped-def]
    """Copy columns, undoing TIFF predictor 2: differences along a row that wrap around."""
    for r in range(out.shape[0]):
        if differences:
            total = rows[r, 0]
            for c in range(1, skip + 1):
                total += rows[r, c]
            out[r, 0] = total
            for c in range(1, out.shape[1]):
                total += rows[r, skip + c]
                out[r, c] = total
        else:
            for c in range(out.shape[1]):
                out[r, c] = rows[r, skip + c]


class Shared:
    """A fetched range that several tiles lie in; given back when the last of them is done with it."""

    def __init__(self, fetcher: Fetcher, parcel: Parcel) -> None:
        self.parcel, self._fetcher = parcel, fetcher
        self._users, self._lock = 0, threading.Lock()

    def use(self) -> None:
        """One tile more."""
        with self._lock:
            self._users += 1

    def take(self, start: int, end: int) -> memoryview:
        """Bytes of the file; blocks until they are there."""
        data = self._fetcher.take(self.parcel)
        return data[start - self.parcel.start : end - self.parcel.start]

    def release(self) -> None:
        """One tile less."""
        with self._lock:
            self._users -= 1
            last = self._users == 0
        if last:
            self._fetcher.release(self.parcel)


@dataclass(frozen=True)
class Piece:
    """A part of a tile's bytes."""

    shared: Shared
    start: int
    end: int


class Room:
    """Bytes that tiles may take while they wait, inflated, for strips further down; shared by several threads.

    Attributes:
        size: All of them.
    """

    def __init__(self, size: int) -> None:
        self.size, self._left, self._lock = size, size, threading.Lock()

    def take(self, size: int) -> bool:
        """Whether there was as much left; it is taken then."""
        with self._lock:
            fits = size <= self._left
            self._left -= size if fits else 0
            return fits

    def give(self, size: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._left += size


class TileRows:
    """One tile, read from its top.

    Args:
        pieces: Its bytes in order; none for a tile that is not stored.
        rows: Rows that it has.
        row_bytes: Bytes of a row.
        deflate: Whether it is deflated.
        name: For messages: the file and the tile.
    """

    def __init__(self, pieces: Sequence[Piece], rows: int, row_bytes: int, *, deflate: bool, name: str) -> None:
        self._pieces, self._row_bytes, self._name = list(pieces), row_bytes, name
        self._left_bytes = rows * row_bytes
        self._left_stored = sum(p.end - p.start for p in pieces)
        self._inflate = isal_zlib.decompressobj() if deflate else None
        self._tail: Any = b""
        self._now: memoryview = memoryview(b"")
        self._whole: memoryview | None = None
        self._room: Room | None = None
        self.row = 0

    def inflate_whole(self, needed: int, at_once: int, room: Room | None = None) -> None:
        """Inflate the tile at once if that is faster; call it before the first row is read.

        Args:
            needed: Rows that will be read in the end, from the top on.
            at_once: Rows that will be read next, all together.
            room: Where the rest may wait if ``at_once`` is less than ``needed``; none if None.

        Raises:
            SourceError: The tile is cut off or damaged, or could not be fetched.
        """
        size = self._left_bytes
        if self._inflate is None or needed * self._row_bytes < _MOST * size:
            return
        if at_once < needed:
            # What comes in pieces is fetched as strips go down
            if room is None or len(self._pieces) > 1 or not room.take(size):
                return
            self._room = room
        parts = [piece.shared.take(piece.start, piece.end) for piece in self._pieces]
        try:
            whole = zlib_decompress(parts[0] if len(parts) == 1 else b"".join(parts), size)
        except DeflateError as e:
            raise SourceError(f"{self._name} is damaged: it cannot be inflated") from e
        if len(whole) != size:
            raise SourceError(f"{self._name} ends before its last row")
        self._release()
        self._inflate, self._whole = None, memoryview(whole)

    def read(self, rows: int) -> bytes | memoryview:
        """The next rows as they are stored, but inflated.

        Raises:
            SourceError: The tile is cut off or damaged, or could not be fetched.
        """
        want = rows * self._row_bytes
        if self._whole is not None:
            first = self.row * self._row_bytes
            self.row += rows
            return self._whole[first : first + want]
        parts = self._inflated(want) if self._inflate is not None else self._plain(want)
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._left_bytes -= want
        self.row += rows
        if self._left_bytes == 0 and self._inflate is not None:
            self._finish()
        return data

    def _plain(self, want: int) -> list[bytes]:
        parts = []
        while want:
            part = bytes(self._next(want))
            parts.append(part)
            want -= len(part)
        return parts

    def _inflated(self, want: int) -> list[bytes]:
        assert self._inflate is not None
        parts, left = [], want
        while left:
            # Without input too: the library may hold back what it has inflated already
            part = self._run(left)
            if part:
                parts.append(part)
                left -= len(part)
            elif self._ended():
                raise SourceError(f"{self._name} ends before its last row")
            elif not self._tail:
                # Not much more than these rows need: what is left over is copied by the library
                guess = self._left_stored * left // max(1, self._left_bytes)
                self._tail = self._next(guess + guess // 16 + _SLACK_BYTES)
        return parts

    def _run(self, most: int) -> bytes:
        assert self._inflate is not None
        try:
            part: bytes = self._inflate.decompress(self._tail, most)
        except _DAMAGED as e:
            raise SourceError(f"{self._name} is damaged: it cannot be inflated") from e
        self._tail = self._inflate.unconsumed_tail
        return part

    def _next(self, most: int) -> memoryview:
        """The next stored bytes, at least one."""
        if not self._now:
            if not self._pieces:
                raise SourceError(f"{self._name} ends before its last row")
            piece = self._pieces[0]
            self._now = piece.shared.take(piece.start, piece.end)
        data, self._now = self._now[:most], self._now[most:]
        self._left_stored -= len(data)
        if not self._now:
            # What was taken stays in memory as long as ``data`` lives, and would with an empty view of it; it no longer counts as held
            self._now = memoryview(b"")
            self._pieces.pop(0).shared.release()
        return data

    def _finish(self) -> None:
        """The check sum at the end of a deflated tile."""
        assert self._inflate is not None
        while not self._ended():
            if self._run(1):
                raise SourceError(f"{self._name} is damaged: it has more rows than it should")
            if not self._tail and not self._ended():
                self._tail = self._next(_SLACK_BYTES)
        self.close()

    def _ended(self) -> bool:
        return self._inflate is None or bool(self._inflate.eof)

    def close(self) -> None:
        """Give back what was fetched and will not be read."""
        self._release()
        self._now, self._tail, self._whole = memoryview(b""), b"", None
        self._leave()

    def _leave(self) -> None:
        if self._room is not None:
            self._room.give(self._left_bytes)
            self._room = None

    def _release(self) -> None:
        while self._pieces:
            self._pieces.pop(0).shared.release()


@dataclass(frozen=True)
class Wanted:
    """A tile that will be read.

    Attributes:
        row: Row of tiles.
        col: Column of tiles.
        start: First byte in the file.
        end: Byte after the last.
    """

    row: int
    col: int
    start: int
    end: int


def wanted_tiles(level: Level, needed: npt.NDArray[np.bool_]) -> list[Wanted]:
    """Tiles that are stored and needed, in the order of rows."""
    return [
        Wanted(int(r), int(c), int(level.offsets[r, c]), int(level.offsets[r, c] + level.sizes[r, c]))
        for r, c in np.argwhere(needed & (level.sizes > 0) & (level.offsets > 0))
    ]


def check_sizes(level: Level, tiles: Iterable[Wanted], itemsize: int, name: str) -> None:
    """Refuses tiles that are far larger than what they hold.

    Raises:
        SourceError: A size in the header cannot be true.
    """
    most = level.tile[0] * level.tile[1] * itemsize * 5 // 4 + 65536
    for tile in tiles:
        if tile.end - tile.start > most:
            raise SourceError(
                f"{name}: tile {tile.row},{tile.col} has {tile.end - tile.start} bytes by the header, more than its pixels can take"
            )


def cut(tiles: Sequence[Wanted], source: Any, fetcher: Fetcher, pieces: int) -> dict[tuple[int, int], list[Piece]]:
    """What to fetch for each tile: neighbours in one range, or each tile in ``pieces`` ranges where memory is short."""
    found: dict[tuple[int, int], list[Piece]] = {}
    if pieces > 1:
        for tile in tiles:
            step = max(_LEAST_PIECE, -(-(tile.end - tile.start) // pieces))
            edges = [*range(tile.start, tile.end, step), tile.end]
            found[tile.row, tile.col] = [
                _piece(Shared(fetcher, Parcel(source, a, b)), a, b) for a, b in itertools.pairwise(edges)
            ]
        return found
    for run in _runs(tiles):
        shared = Shared(fetcher, Parcel(source, run[0].start, run[-1].end))
        for tile in run:
            found[tile.row, tile.col] = [_piece(shared, tile.start, tile.end)]
    return found


def _runs(tiles: Sequence[Wanted]) -> list[list[Wanted]]:
    """Neighbours in a row of tiles that lie one behind the other in the file."""
    runs: list[list[Wanted]] = []
    for tile in tiles:
        last = runs[-1] if runs else None
        near = last is not None and last[-1].row == tile.row and 0 <= tile.start - last[-1].end <= _GAP_BYTES
        if last is not None and near and tile.end - last[0].start <= _RUN_BYTES:
            last.append(tile)
        else:
            runs.append([tile])
    return runs


def _piece(shared: Shared, start: int, end: int) -> Piece:
    shared.use()
    return Piece(shared, start, end)


def open_tile(layout: Layout, level: Level, row: int, col: int, pieces: Sequence[Piece], shown: str) -> TileRows:
    """A tile's rows."""
    name = f"{shown}: tile {row},{col} (bytes {pieces[0].start} to {pieces[-1].end})"
    return TileRows(pieces, level.tile[0], level.tile[1] * layout.dtype.itemsize, deflate=layout.deflate, name=name)
