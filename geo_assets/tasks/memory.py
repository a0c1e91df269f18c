"""How much memory a block's pixels take, known before any is read."""

import bisect
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from geo_assets.errors import ConfigError
from geo_assets.model.band import Band
from geo_assets.model.plugin import FETCH_BYTES
from geo_assets.model.recipe import CubeRecipe
from geo_assets.threads import c_function

LEAST_ROWS = 16
STRIP_BYTES = 24 * 2**20  # the memory is better used for tiles that wait than for higher strips
STRIP_ROWS = 64  # each strip of each scene costs some calls, whatever its height
# Of a pixel, and as much again, since a thread's heap keeps what was freed in it (measured):
_DAY_BYTES = 20  # while a day of a strip is read: source rows twice, what they are made to, and where
_MASK_BYTES = 16  # while its mask is made: source, class, two of the clean-up, result, and what of it is wanted
_HEAP_BYTES = 24 * 2**20  # that the C library's heaps hold beside what is used (measured, with four of them)
_CARRY = 1.5  # a strip's layers, and the source rows, masks and one result that go with them


@dataclass(frozen=True)
class Strips:
    """How a block is cut.

    Attributes:
        rows: Height of a strip, a multiple of 16, or all rows.
        spare_bytes: What may hold tiles that reach down into the next strip.
        threads: Days that may be read side by side.
    """

    rows: int
    spare_bytes: int
    threads: int


def bands_together(cube: CubeRecipe) -> int:
    """Bands that are reduced at once: all where the statistic compares days by all of them."""
    return len(cube.bands) if cube.statistic in ("medoid", "geomedian") else 1


def itemsize(bands: Iterable[Band]) -> int:
    """Bytes of a pixel of the widest band."""
    return max(np.dtype(b.dtype).itemsize for b in bands)


def fixed_bytes(*, scenes: int, days: int, shape: tuple[int, int], bands: int, itemsize: int = 2) -> int:
    """What a block holds from its beginning to its end: masks of one bit a pixel, results, and ranges that were fetched."""
    area = shape[0] * shape[1]
    return FETCH_BYTES + area * (scenes + days) // 8 + area * (itemsize * bands + 2)


def strips(
    cube: CubeRecipe, *, scenes: int, days: int, shape: tuple[int, int], bands: int, threads: int = 1, itemsize: int = 2
) -> Strips:  # fmt: skip
    """Strips that keep a block within ``cube.memory_mb``.

    Args:
        cube: Recipe of the cube.
        scenes: Scenes that reach the block.
        days: Solar days among them.
        shape: Rows and columns of the block.
        bands: Bands that are reduced together.
        threads: Threads that there are.
        itemsize: Bytes of a pixel of the widest band.

    Raises:
        ConfigError: Not even 16 rows fit.
    """
    limit = cube.memory_mb * 2**20
    left = limit - fixed_bytes(scenes=scenes, days=days, shape=shape, bands=bands, itemsize=itemsize)
    row = int(shape[1] * (itemsize * bands * max(1, days) + scenes) * _CARRY)
    rows = max(0, left // row)
    if rows < min(LEAST_ROWS, shape[0]):
        need = (limit - left + LEAST_ROWS * row) // 2**20 + 1
        raise ConfigError(
            f"a block of {shape[0]} x {shape[1]} pixels with {scenes} scenes needs {need} MB, and cube.memory_mb is {cube.memory_mb}: "
            "raise it, or lower cube.block_px or mask.max_cloud_cover"
        )
    rows = min(rows, max(STRIP_ROWS, STRIP_BYTES // row))
    rows = min(shape[0], rows // LEAST_ROWS * LEAST_ROWS or shape[0])
    left -= rows * row
    day = rows * shape[1] * _DAY_BYTES * max(1, itemsize // 2)
    at_once = max(1, min(threads, days, left // 2 // day)) if day else 1
    # Not all of it: what is freed is not at once there for others
    return Strips(rows, max(0, left - at_once * day - _HEAP_BYTES) * 3 // 4, at_once)


def most_scenes(cube: CubeRecipe, side: int) -> int:
    """Scenes, each of its own day, that a block of so many rows and columns may have within ``cube.memory_mb``; at most 1,000."""
    bands, most = bands_together(cube), 1_000

    def too_many(scenes: int) -> bool:
        try:
            strips(cube, scenes=scenes, days=scenes, shape=(side, side), bands=bands)
        except ConfigError:
            return True
        return False

    return bisect.bisect_left(range(1, most + 1), True, key=too_many)


def masks_at_once(cube: CubeRecipe, *, scenes: int, shape: tuple[int, int]) -> int:
    """Masks of scenes that may be made side by side within ``cube.memory_mb``, at least one.

    Args:
        cube: Recipe of the cube.
        scenes: Scenes that reach the block.
        shape: Rows and columns that a mask is made of.
    """
    area = shape[0] * shape[1]
    left = cube.memory_mb * 2**20 - FETCH_BYTES - area * scenes // 8
    return int(max(1, left // max(1, area * _MASK_BYTES)))


def give_back() -> None:
    """Give what was freed back to the system, where the C library is glibc: its heaps keep it otherwise, one a thread."""
    if (trim := c_function("malloc_trim")) is not None:
        trim(0)
