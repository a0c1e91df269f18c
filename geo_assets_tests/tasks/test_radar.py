"""Gamma0 of a window from the files of a radar product."""

from fractions import Fraction

import numpy as np
import pytest

from geo_assets.errors import SourceError
from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access
from geo_assets.readers._radar import RadarFiles
from geo_assets.tasks.radar import RadarScene, around, backscatter
from geo_assets.testing.radar_world import RadarWorld

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
GEOID_M = 48.0
WORLD = RadarWorld(east=-0.25, north=0.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("product")


@pytest.fixture(scope="module")
def scene(folder):
    files = WORLD.write(folder)
    found = RadarScene.of(str(files["measurement"]))
    assert found == RadarScene(**{name: str(path) for name, path in files.items()})
    return found


def box_of(res=10, shape=(120, 110), east=0):
    x, y = transformer("EPSG:4326", "EPSG:32632").transform(WORLD.lon, WORLD.lat)
    left, top = round(x / res) * res - shape[1] // 2 * res + east, round(y / res) * res + shape[0] // 2 * res
    return GeoBox("EPSG:32632", Fraction(res), Fraction(left), Fraction(top), shape)


def degrees(box):
    return transformer(box.crs, "EPSG:4326").transform(*np.meshgrid(*box.centers()))


def heights(box, margin_px=1):
    return WORLD.height(*degrees(around(box, margin_px))).astype(np.float32) - np.float32(GEOID_M)


def made(folder, scene, box, *, height=None, geoid_m=GEOID_M, margin_px=1, **options):
    height = heights(box, margin_px) if height is None else height
    with RadarFiles(Access(roots=(str(folder),)), lambda href: href) as files:
        return backscatter(files, scene, box, height, geoid_m=geoid_m, margin_px=margin_px, **options)


def off(found, box):
    return np.abs(found.gamma0 / WORLD.truth(*degrees(box)) - 1)


def test_backscatter_when_product_is_made_up_then_its_truth(folder, scene):
    box = box_of()
    found = made(folder, scene, box)
    assert found.gamma0.dtype == np.float32
    assert off(found, box).max() < 0.012
    assert (found.floored, found.hidden) == (0, 0)


def test_backscatter_when_geoid_is_forgotten_then_six_pixels_off(folder, scene):
    box = box_of()
    right, wrong = made(folder, scene, box), made(folder, scene, box, geoid_m=0.0)
    assert np.abs(right.seen.pixel - wrong.seen.pixel).min() > 5
    assert off(wrong, box).max() > 0.05


def test_backscatter_when_pixels_are_coarse_then_the_mean_of_the_samples(folder, scene):
    box = box_of(30, (36, 32))
    found = made(folder, scene, box)
    assert off(found, box).max() < 0.012  # what is left of rounding is less, and the truth bends within 30 m
    speckled = RadarWorld(east=-0.25, north=0.1, looks=4)
    files = {name: str(path) for name, path in speckled.write(folder / "speckled").items()}
    fine, coarse = (off(made(folder, RadarScene(**files), b), b).std() for b in (box_of(), box))
    assert coarse < 0.55 * fine


def test_backscatter_when_a_height_is_missing_then_its_pixel_and_those_beside_it(folder, scene):
    box = box_of()
    height = heights(box)
    height[31, 41] = np.nan
    gone = np.isnan(made(folder, scene, box, height=height).gamma0)
    assert {tuple(at) for at in np.argwhere(gone)} == {(30, 40), (29, 40), (31, 40), (30, 39), (30, 41)}


def test_backscatter_when_ground_folds_over_then_not_a_number_and_counted(folder, scene):
    box = box_of()
    height = heights(box)
    height[:, 60:64] += np.float32([10, 30, 30, 10])  # a ridge of 45 degrees and more
    found = made(folder, scene, box, height=height)
    assert found.hidden > 120
    assert found.facing.layover.any()
    assert not np.isfinite(found.gamma0[found.facing.layover]).any()


def test_backscatter_when_window_is_elsewhere_then_none(folder, scene):
    assert made(folder, scene, box_of(east=9000)) is None


def test_backscatter_when_window_is_cut_from_a_larger_one_then_the_same(folder, scene):
    box = box_of()
    whole, part = made(folder, scene, box), made(folder, scene, box.window(20, 30, 50, 40))
    np.testing.assert_array_equal(whole.gamma0[20:70, 30:70], part.gamma0)


def test_backscatter_when_files_are_of_two_products_then_refused(folder, scene):
    other = RadarWorld(shape=(100, 120))
    files = {name: str(path) for name, path in other.write(folder / "other").items()}
    mixed = RadarScene(scene.measurement, files["product"], scene.calibration, scene.noise)
    with pytest.raises(SourceError, match=r"its annotation says \(100, 120\)"):
        made(folder, mixed, box_of())
    swapped = RadarScene(scene.measurement, scene.noise, scene.calibration, scene.noise)
    with pytest.raises(SourceError, match="its root is <noise>, not <product>"):
        made(folder, swapped, box_of())


def test_backscatter_when_by_area_then_the_truth_of_ground_that_is_as_bright_as_its_area(folder):
    world = RadarWorld(east=WORLD.east, north=WORLD.north, by_area=True)
    files = RadarScene(**{name: str(path) for name, path in world.write(folder / "by area").items()})
    box = box_of(shape=(80, 70))
    wide, narrow = (made(folder, files, box, margin_px=m, flatten="area") for m in (20, 1))
    assert np.percentile(off(wide, box), 98) < 0.02
    assert np.nanmax(off(narrow, box)) > 0.1  # at its edge ground is missing
    assert np.nanmedian(off(made(folder, files, box), box)) > 0.15  # by angle


def test_backscatter_when_asked_for_what_there_is_not_then_refused(folder, scene):
    box = box_of()
    with pytest.raises(ValueError, match="angle, area"):
        made(folder, scene, box, flatten="no")
    with pytest.raises(ValueError, match="a margin of 1 px"):
        made(folder, scene, box, height=heights(box, 2))


def test_backscatter_when_noise_is_of_an_early_processor_then_made_only_without(folder):
    early = RadarWorld(east=WORLD.east, north=WORLD.north, noise=1e-9, old_noise=True)
    files = RadarScene.of(str(early.write(folder / "early")["measurement"]))
    box = box_of(shape=(40, 40))
    with pytest.raises(SourceError, match=r"noise-iw-vv\.xml: noise of at most"):
        made(folder, files, box)
    assert off(made(folder, files, box, denoise=False), box).max() < 0.015
