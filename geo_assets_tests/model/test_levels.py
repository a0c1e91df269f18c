"""Levels of a pyramid: on the pixel grid, and every shard in one region."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.errors import ConfigError
from geo_assets.model.geometry import Block, PixelGrid, Region
from geo_assets.model.levels import blockwise, level_path, levels


@st.composite
def grids(draw: st.DrawFn) -> PixelGrid:
    crs, resolution = draw(
        st.sampled_from([("EPSG:32633", "10"), ("EPSG:32733", "20"), ("EPSG:3035", "100"), ("EPSG:4326", "1/3600"), ("EPSG:3413", "1/3")])
    )  # fmt: skip
    chunk = draw(st.integers(4, 300))
    block = chunk * draw(st.integers(1, 8))
    return PixelGrid.build(
        crs, Fraction(resolution), block_px=block, chunk_px=chunk, region_blocks=draw(st.integers(1, 12))
    )


@given(grids())
def test_levels_cover_the_same_ground_and_no_shard_crosses_a_region(grid):
    if grid.region_px % 2:
        with pytest.raises(ConfigError, match="an odd number"):
            levels(grid)
        return
    for n, level in enumerate(levels(grid), 1):
        assert level.resolution == grid.resolution * 2**n
        assert level.region_px * 2**n == grid.region_px
        assert level.region_blocks * level.block_px == level.region_px
        assert level.block_px % level.chunk_px == 0
        assert level.array_geobox().bounds == grid.array_geobox().bounds
        region = Region(grid.group, 3, 5)
        assert level.region_geobox(region).bounds == grid.region_geobox(region).bounds
        assert level.region_blocks in (1, grid.region_blocks)


@given(grids())
def test_levels_begin_with_those_of_blocks_and_end_where_a_region_is_a_chunk_or_odd(grid):
    if grid.region_px % 2:
        return
    found = levels(grid)
    assert found[-1].region_px <= grid.chunk_px or found[-1].region_px % 2
    assert all(level.region_px > grid.chunk_px for level in found[:-1])
    own = blockwise(grid, found)
    assert all(level.region_blocks == grid.region_blocks for level in found[:own])
    assert all(level.region_blocks == 1 for level in found[own:])
    for level in found[:own]:
        assert level.block_geobox(Block(7, 11)).bounds == grid.block_geobox(Block(7, 11)).bounds


@pytest.mark.parametrize(
    ("crs", "resolution", "sides", "own"),
    [
        ("EPSG:32633", "10", [(1024, 5), (512, 5), (1280, 1), (640, 1), (320, 1), (160, 1)], 2),
        ("EPSG:32633", "50", [(1024, 1), (512, 1), (256, 1)], 3),
        ("EPSG:3035", "100", [(256, 2), (256, 1)], 1),
        ("EPSG:4326", "1/3600", [(600, 3), (900, 1), (450, 1), (225, 1)], 1),
    ],
)
def test_levels_of_the_default_sizes(crs, resolution, sides, own):
    grid = PixelGrid.build(crs, Fraction(resolution))
    found = levels(grid)
    assert found[max(own - 1, 0)].region_px <= 2 * grid.block_px  # what a task holds of the level below
    assert [(level.block_px, level.region_blocks) for level in found] == sides
    assert blockwise(grid, found) == own
    assert all(100 < level.chunk_px <= 300 for level in found)


def test_a_chunk_is_never_much_smaller_than_it_should_be():
    grid = PixelGrid.build("EPSG:32633", Fraction(10), block_px=4 * 1021, chunk_px=1021, region_blocks=1)
    assert [level.chunk_px for level in levels(grid)] == [1021, 1021]
    grid = PixelGrid.build("EPSG:32633", Fraction(10), block_px=4 * 1021, chunk_px=4, region_blocks=1)
    assert [level.chunk_px for level in levels(grid)][:2] == [2, 1021]


def test_level_0_is_the_group_itself():
    assert (level_path("utm33n", 0), level_path("utm33n", 2)) == ("utm33n", "utm33n/2")
