import pytest

from geo_assets.errors import ConfigError
from geo_assets.model.recipe import CubeRecipe
from geo_assets.tasks.memory import (
    STRIP_BYTES,
    STRIP_ROWS,
    bands_together,
    fixed_bytes,
    masks_at_once,
    most_scenes,
    strips,
)

BLOCK = (2048, 2048)


def test_strips_when_scenes_become_many_then_strips_become_lower_and_memory_does_not_grow():
    cube = CubeRecipe()
    rows = [strips(cube, scenes=n, days=n, shape=BLOCK, bands=1).rows for n in (1, 4, 16, 64, 128)]
    assert rows == sorted(rows, reverse=True)
    assert rows[0] == 2048
    assert all(r % 16 == 0 for r in rows)
    for n, r in zip((1, 4, 16, 64, 128), rows, strict=True):
        strip = r * 2048 * 3 * n
        assert fixed_bytes(scenes=n, days=n, shape=BLOCK, bands=1) + strip <= cube.memory_mb * 2**20


def test_strips_when_nothing_fits_then_it_says_what_to_do():
    with pytest.raises(
        ConfigError,
        match=r"block of 16384 x 16384 pixels with 30 scenes needs \d+ MB.*raise it, or lower cube.block_px",
    ):
        strips(CubeRecipe(), scenes=30, days=30, shape=(16_384, 16_384), bands=1)
    assert strips(CubeRecipe(memory_mb=16_000), scenes=30, days=30, shape=(16_384, 16_384), bands=1).rows >= 16


def test_strips_when_memory_is_left_then_it_is_for_tiles_that_wait():
    for scenes, memory_mb in ((16, 384), (120, 1000)):
        cut = strips(CubeRecipe(memory_mb=memory_mb), scenes=scenes, days=scenes, shape=BLOCK, bands=1)
        strip = cut.rows * 2048 * 3 * scenes * 1.5
        assert strip <= STRIP_BYTES or cut.rows == STRIP_ROWS
        fixed = fixed_bytes(scenes=scenes, days=scenes, shape=BLOCK, bands=1)
        day = cut.rows * 2048 * 20
        heaps = 24 * 2**20
        assert fixed + strip + day + heaps + cut.spare_bytes * 4 / 3 == pytest.approx(memory_mb * 2**20, abs=2)
        assert cut.spare_bytes > 50 * 2**20


def test_strips_when_there_are_many_threads_then_their_work_is_counted():
    cuts = [strips(CubeRecipe(), scenes=24, days=24, shape=BLOCK, bands=1, threads=n) for n in (1, 4, 64)]
    assert [c.threads for c in cuts] == [1, 4, 24]
    assert sorted((c.spare_bytes for c in cuts), reverse=True) == [c.spare_bytes for c in cuts]
    scarce = strips(CubeRecipe(memory_mb=256), scenes=24, days=24, shape=BLOCK, bands=1, threads=64)
    assert 1 < scarce.threads < 24
    assert scarce.spare_bytes > 0


def test_strips_when_a_block_is_small_then_it_is_one_strip():
    assert strips(CubeRecipe(), scenes=3, days=2, shape=(9, 9), bands=1).rows == 9
    assert strips(CubeRecipe(), scenes=0, days=0, shape=(100, 50), bands=1).rows == 100


def test_bands_together_when_days_are_compared_by_all_bands_then_all_are_held():
    assert [bands_together(CubeRecipe(statistic=s)) for s in ("median", "medoid", "geomedian")] == [1, 4, 4]


def test_masks_at_once_when_a_machine_has_many_threads_then_memory_says_how_many_work():
    assert masks_at_once(CubeRecipe(), scenes=16, shape=(2116, 2116)) == 4
    assert masks_at_once(CubeRecipe(), scenes=3, shape=(9, 9)) > 1000
    assert masks_at_once(CubeRecipe(memory_mb=192), scenes=16, shape=(8192, 8192)) == 1


def test_most_scenes_is_the_last_number_that_fits():
    cube = CubeRecipe(block_px=4096, memory_mb=192)
    most = most_scenes(cube, 4096)
    strips(cube, scenes=most, days=most, shape=(4096, 4096), bands=1)
    with pytest.raises(ConfigError):
        strips(cube, scenes=most + 1, days=most + 1, shape=(4096, 4096), bands=1)
    assert most_scenes(CubeRecipe(memory_mb=192), 8192) == 0
