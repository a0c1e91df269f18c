"""Overviews of exported files: valid, and the numbers of the pyramid."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rio_cogeo import cogeo

from geo_assets.doors.export import export_cog
from geo_assets.doors.overviews import write_overviews
from geo_assets.eo.pyramid import halve
from geo_assets_tests.tasks.filled import BANDS, MONTHS, project

REGION = "utm32n_r500_c50"


@pytest.mark.parametrize("layout", ["bands", "stacked"])
def test_overviews_of_an_export_are_the_levels_of_the_pyramid(tmp_path: Path, layout: str) -> None:
    world = project(tmp_path, REGION, layout=layout, block_px=512, chunk_px=64, region_blocks=2)
    blocks = world.blocks()  # rows count northward: the last is in the north east
    world.fill({blocks[0]: [(7, 3)], blocks[3]: [(r, c) for r in range(1, 8) for c in range(6)], blocks[1]: [(5, 5)]})
    world.make()
    files = export_cog(world.loaded, tmp_path / "out", months=[MONTHS[0]])
    for file, names in zip(files, (BANDS, ["n_clear"]), strict=True):
        assert cogeo.cog_validate(str(file), strict=True) == (True, [], [])
        with rasterio.open(file) as full:
            assert full.shape == (15 * 64, 11 * 64)
            assert full.overviews(1) == [2]
        with rasterio.open(file, overview_level=0) as half:
            for number, name in enumerate(names, 1):
                level = world.stored("composite" if layout == "stacked" and name != "n_clear" else name, level=1)
                level = level[..., BANDS.index(name)] if level.ndim == 3 else level
                box = level[32:512, 3 * 32 : 14 * 32]  # from the first row and column of chunks that are made
                assert level.any()
                assert not np.delete(level, np.s_[96:448], axis=1).any()
                np.testing.assert_array_equal(half.read(number), box)


def test_overviews_of_an_odd_file_are_halved_from_its_upper_left(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    values = rng.integers(0, 9_000, (2, 1301, 1026), "uint16")
    values[rng.random(values.shape) < 0.4] = 0
    values[:, 512:1024] = 0  # a strip that holds nothing
    file = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "count": 2, "dtype": "uint16", "height": 1301, "width": 1026, "nodata": 0, "tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band"}  # fmt: skip
    with rasterio.open(file, "w", **profile) as target:
        target.write(values)
    write_overviews(file, [0.0, 0.0], largest_px=512)
    with rasterio.open(file) as full:
        assert full.overviews(1) == [2, 4]
    for level in range(2):
        values = np.pad(values, [(0, 0), *((0, side % 2) for side in values.shape[1:])])
        values = np.stack([halve(band, 0) for band in values])
        with rasterio.open(file, overview_level=level) as smaller:
            np.testing.assert_array_equal(smaller.read(), values)


def test_a_small_file_has_no_overview(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    with rasterio.open(file, "w", driver="GTiff", count=1, dtype="uint8", height=512, width=10) as target:
        target.write(np.ones((1, 512, 10), "uint8"))
    write_overviews(file, [0.0], largest_px=512)
    assert list(tmp_path.iterdir()) == [file]
