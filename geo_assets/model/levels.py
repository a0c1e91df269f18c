"""Levels of a pyramid: the same ground in pixels 2, 4, 8, ... times as wide, laid out so that each object has one writer.

A region stays a whole number of pixels and of shards on every level, so no object belongs to two partitions.
docs/adr/0006-pyramid.md tells why.
"""

import functools

from geo_assets.errors import ConfigError
from geo_assets.model.geometry import PixelGrid


@functools.lru_cache(maxsize=256)
def levels(grid: PixelGrid) -> tuple[PixelGrid, ...]:
    """Pixel grids of level 1, 2, ... of a group, each with half the pixels a side of the one before.

    They end where a region is one chunk, or where half of it would not be a whole number of pixels. A shard is the part
    of a level that one block covers, as long as a region has more blocks a side than a pixel of the level has full ones;
    further up it is the region.

    Raises:
        ConfigError: A region has an odd number of pixels, so there is no level whose pixels end at its edges.
    """
    found: list[PixelGrid] = []
    factor, blockwise = 2, True
    while grid.region_px % factor == 0 and (not found or found[-1].region_px > grid.chunk_px):
        blockwise = blockwise and grid.block_px % factor == 0 and (factor == 2 or grid.region_blocks > factor)
        blocks = grid.region_blocks if blockwise else 1
        side = grid.region_px // factor // blocks
        found.append(PixelGrid(grid.crs, grid.resolution * factor, side, _chunk(side, grid.chunk_px), blocks))
        factor *= 2
    if not found:
        raise ConfigError(
            f"a region is {grid.region_px} pixels wide, an odd number, so a pyramid's pixels would cross its edges: "
            "choose an even cube.block_px, and another storage if the cube is there already"
        )
    return tuple(found)


def blockwise(grid: PixelGrid, coarser: tuple[PixelGrid, ...]) -> int:
    """How many of the levels have a shard a block; those after them have one a region."""
    return sum(level.region_blocks == grid.region_blocks for level in coarser)


def level_path(group: str, level: int) -> str:
    """Where a level lies in the cube; level 0 is the group itself."""
    return f"{group}/{level}" if level else group


def _chunk(side: int, wanted: int) -> int:
    """The divisor of a shard's side that comes next to the wanted side of a chunk, rather below than above."""
    divisors = [n for n in range(1, side + 1) if side % n == 0]
    below = max(n for n in divisors if n <= wanted)
    return below if 2 * below >= min(wanted, side) else min(n for n in divisors if n >= wanted)
