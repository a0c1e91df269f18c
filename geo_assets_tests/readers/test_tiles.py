"""What a tile that is read from its top holds of what was fetched for it."""

import itertools
import weakref
import zlib

import numpy as np
import pytest

from geo_assets.readers._fetch import Fetcher, Parcel
from geo_assets.readers._tiles import Piece, Room, Shared, TileRows

ROWS, ROW_BYTES = 64, 1024
PIXELS = np.random.default_rng(1).integers(0, 255, ROWS * ROW_BYTES, np.uint8).tobytes()


class Memory:
    """A file in memory whose answers say whether anybody still holds them."""

    def __init__(self, content: bytes) -> None:
        self.content, self._given = content, list[weakref.ref[np.ndarray]]()

    def fetch(self, start: int, end: int) -> memoryview:
        body = np.frombuffer(self.content[start:end], np.uint8).copy()
        self._given.append(weakref.ref(body))
        return body.data

    @property
    def held(self) -> int:
        """Bytes of the answers that are alive."""
        return sum(body.nbytes for ref in self._given if (body := ref()) is not None)


def tile(memory: Memory, fetcher: Fetcher, pieces: int, *, deflate: bool = True) -> TileRows:
    size = len(memory.content)
    edges = [size * n // pieces for n in range(pieces + 1)]
    cut = []
    for a, b in itertools.pairwise(edges):
        shared = Shared(fetcher, Parcel(memory, a, b))
        shared.use()
        cut.append(Piece(shared, a, b))
    return TileRows(cut, ROWS, ROW_BYTES, deflate=deflate, name="a.tif: tile 0,0")


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("deflate", [True, False])
def test_tile_when_bytes_no_longer_count_as_held_then_they_are_not_held(pieces, deflate):
    """Others are fetched into the place of what no longer counts: what stays all the same comes on top of the limit."""
    memory = Memory(zlib.compress(PIXELS) if deflate else PIXELS)
    with Fetcher() as fetcher:
        rows = tile(memory, fetcher, pieces, deflate=deflate)
        for row in range(ROWS):
            assert bytes(rows.read(1)) == PIXELS[row * ROW_BYTES : (row + 1) * ROW_BYTES]
            # What is left of a piece may wait in the library, which copied it
            assert memory.held == fetcher._held
        rows.close()
    assert memory.held == 0


def test_tile_when_it_is_inflated_at_once_then_its_bytes_are_given_back():
    memory, room = Memory(zlib.compress(PIXELS)), Room(2**20)
    with Fetcher() as fetcher:
        rows = tile(memory, fetcher, 1)
        rows.inflate_whole(ROWS, 16, room)
        assert memory.held == 0
        assert bytes(rows.read(16)) == PIXELS[: 16 * ROW_BYTES]
        rows.close()
        assert room.take(2**20)
