"""Calibration, sampling and flattening: the truth of a made-up product comes back."""

from fractions import Fraction

import numpy as np
import pytest

from geo_assets.eo.sar import Window, calibrate, facing, flattened, floored, sample, window
from geo_assets.eo.sar_annotation import Table, parse_calibration, parse_noise, parse_product
from geo_assets.eo.sar_place import OrbitGeolocation, View, view
from geo_assets.eo.terrain import Gradient, gradient, halo
from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox
from geo_assets.testing.radar_world import RadarWorld

WORLDS = {
    "level": RadarWorld(),
    "facing away": RadarWorld(east=-0.28, north=0.12),
    "facing the radar": RadarWorld(east=0.35, north=0.1, old_noise=True),
    "descending": RadarWorld(heading_deg=-168, east=0.3),
    "60 degrees north": RadarWorld(lat=60, east=-0.2, north=-0.2),
}


def box_of(world, crs="EPSG:32632", res=Fraction(10), shape=(120, 110)):
    x, y = transformer("EPSG:4326", crs).transform(world.lon, world.lat)
    left, top = (
        round(Fraction(x) / res) * res - shape[1] // 2 * res,
        round(Fraction(y) / res) * res + shape[0] // 2 * res,
    )
    return GeoBox(crs, res, left, top, shape)


def degrees(box):
    return transformer(box.crs, "EPSG:4326").transform(*np.meshgrid(*box.centers()))


def gamma0(world, box, *, noise=True, table=None):
    """All steps, as a task takes them: gamma0 on the ellipsoid, the view, and how the ground faces it."""
    calibration = parse_calibration(world.calibration_xml().encode(), "c.xml")
    product = parse_product(world.product_xml().encode(), "p.xml")
    height = world.height(*degrees(halo(box)))
    seen = view(box, height[1:-1, 1:-1], OrbitGeolocation(product))
    part = window(seen.line, seen.pixel, product.shape)
    dn = world.amplitudes[part.line : part.line + part.lines, part.pixel : part.pixel + part.pixels]
    off = parse_noise(world.noise_xml().encode(), "n.xml") if noise else None
    power = sample(calibrate(dn, part, table or calibration.gamma, off), part, seen.line, seen.pixel)
    return floored(power), seen, facing(seen, gradient(height, box))


def error(world, **options):
    """Greatest relative error of what the radar would see without relief."""
    box = box_of(world)
    found, seen, ground = gamma0(world, box, **options)
    flat = flattened(found.power, seen, ground)
    assert np.isfinite(flat).all()
    return np.abs(flat / world.truth(*degrees(box)) - 1).max()


@pytest.mark.parametrize("case", WORLDS)
def test_gamma0_when_product_is_made_up_then_its_truth_comes_back(case):
    """Within what rounding amplitudes of about 200 to whole numbers leaves: half a DN, up to 1 % of the signal."""
    assert error(WORLDS[case]) < 0.012


def nearest(self, lines, pixels):
    rows = np.abs(lines[:, None] - self.lines[None, :]).argmin(1)
    return np.stack([self.values[r][np.abs(pixels[:, None] - self.pixels[r][None, :]).argmin(1)] for r in rows])


def test_gamma0_when_tables_are_filled_by_nearest_then_wrong(monkeypatch):
    monkeypatch.setattr(Table, "at", nearest)
    assert error(WORLDS["level"]) > 0.05


def test_gamma0_when_noise_stays_in_then_too_bright():
    world = WORLDS["level"]
    box = box_of(world)
    found, seen, ground = gamma0(world, box, noise=False)
    assert (flattened(found.power, seen, ground) / world.truth(*degrees(box))).mean() > 1.05


def test_gamma0_when_terrain_is_forgotten_then_wrong():
    world = WORLDS["facing the radar"]
    box = box_of(world)
    found, _, _ = gamma0(world, box)
    assert np.abs(found.power / world.truth(*degrees(box)) - 1).mean() > 0.2


def test_gamma0_when_slopes_are_of_ten_metres_at_60_north_then_wrong():
    """In degrees a pixel of 1/10800 measures 10.3 m along the meridian and 5.2 m across."""
    world = WORLDS["60 degrees north"]
    box = box_of(world, "EPSG:4326", Fraction(1, 10800))
    found, seen, ground = gamma0(world, box)
    truth = world.truth(*degrees(box))
    assert np.abs(flattened(found.power, seen, ground) / truth - 1).max() < 0.012
    height = world.height(*degrees(halo(box)))
    wrong = Gradient((height[1:-1, 2:] - height[1:-1, :-2]) / 20.6, (height[:-2, 1:-1] - height[2:, 1:-1]) / 20.6)
    assert np.abs(flattened(found.power, seen, facing(seen, wrong)) / truth - 1).mean() > 0.05


@pytest.mark.parametrize("old", [True, False])
def test_gamma0_when_there_is_speckle_then_right_on_average(old):
    world = RadarWorld(looks=4, east=-0.2, noise=9000, old_noise=old)
    box = box_of(world)
    found, seen, ground = gamma0(world, box)
    ratio = flattened(found.power, seen, ground) / world.truth(*degrees(box))
    # 13,200 pixels of 4 looks, each bilinear of its neighbours: 0.5 of a part, over the root of about 6,000
    assert abs(ratio.mean() - 1) < 3 * 0.7 / np.sqrt(6_000)


def test_floored_when_noise_is_stronger_than_what_was_measured_then_zero_and_counted():
    table = Table(np.array([0.0, 1]), (np.array([0.0, 2]),) * 2, (np.array([10.0, 10]),) * 2)
    world = RadarWorld(noise=400, old_noise=True)
    noise = parse_noise(world.noise_xml().encode(), "n.xml")
    power = calibrate(np.array([[0, 10, 60]], np.uint16), Window(0, 0, 1, 3), table, noise)
    assert np.isnan(power[0, 0])
    assert power[0, 1] < 0 < power[0, 2]
    found = floored(power)
    assert found.power[0, 1] == 0
    assert found.count == 1
    assert np.isnan(found.power[0, 0])


def test_calibrate_when_window_does_not_fit_then_refused():
    table = Table(np.array([0.0]), (np.array([0.0]),), (np.array([10.0]),))
    with pytest.raises(ValueError, match="their window"):
        calibrate(np.ones((2, 2), np.uint16), Window(0, 0, 2, 3), table, None)


def test_calibrate_when_by_hand_then_that():
    table = Table(np.array([0.0, 10]), (np.array([0.0, 10]),) * 2, (np.array([100.0, 200]), np.array([300.0, 400])))
    noise = parse_noise(
        b"<noise><noiseVectorList><noiseVector><line>0</line><pixel>0 10</pixel><noiseLut>100 300</noiseLut>"
        b"</noiseVector></noiseVectorList></noise>",
        "n.xml",
    )
    found = calibrate(np.array([[500]], np.uint16), Window(5, 5, 1, 1), table, noise)
    assert found[0, 0] == pytest.approx((500**2 - 200) / 250**2)


IMAGE = np.arange(20, dtype=np.float32).reshape(4, 5)
PART = Window(10, 20, 4, 5)


def at(line, pixel, image=IMAGE, **options):
    return sample(image, PART, np.array([[line]], float), np.array([[pixel]], float), **options)[0, 0]


def test_sample_when_between_samples_then_bilinear():
    assert at(11, 22) == 7
    assert at(11.5, 22.25) == pytest.approx(5 * 1.5 + 2.25)


def test_sample_when_at_the_edge_then_to_the_end_of_the_sample_and_no_further():
    assert at(9.6, 19.7) == 0
    assert np.isnan(at(9.4, 22))
    assert np.isnan(at(11, 24.6))
    assert np.isnan(at(np.nan, 22))


def test_sample_when_a_value_is_missing_then_left_out_but_where_the_place_is_its_own():
    image = IMAGE.copy()
    image[1, 2] = np.nan
    assert np.isnan(at(11.3, 22.2, image))
    assert at(11, 22.6, image) == 8  # all weight on its neighbour


def test_sample_when_of_looks_then_the_mean_of_what_is_known():
    assert at(11, 22, looks=3) == pytest.approx(7)
    image = IMAGE.copy()
    image[0, 1] = np.nan
    assert at(11, 22, image, looks=3) == pytest.approx((7 * 9 - 1) / 8)
    with pytest.raises(ValueError, match="odd"):
        at(11, 22, looks=2)


def test_window_when_places_are_outside_then_none_else_what_they_touch():
    nowhere = np.full((3, 3), np.nan)
    assert window(nowhere, nowhere, (100, 100)) is None
    assert window(np.full((2, 2), -0.6), np.ones((2, 2)), (100, 100)) is None
    line, pixel = np.array([[-5, 3.2, 99]]), np.array([[1, 50.5, 300]])
    assert window(line, pixel, (100, 100)) == Window(1, 48, 5, 5)
    assert window(np.array([[99.2]]), np.array([[0.0]]), (100, 100), looks=5) == Window(95, 0, 5, 5)


def test_facing_when_slopes_are_known_then_shadow_and_layover_by_hand():
    """The radar looks east at 40 degrees: away from it a slope of 51 degrees is dark, towards it one of 41 folds over."""
    shape = (1, 6)
    full = np.full(shape, 1.0)
    seen = View(full, full, 40 * full, full, 0 * full)
    rise = np.tan(np.radians([[-51, -49, 0, 39, 41, np.nan]]))  # positive rises away from the radar
    ground = facing(seen, Gradient(rise, 0 * rise))
    np.testing.assert_allclose(ground.cos_local[0, :5], np.cos(np.radians([91, 89, 40, 1, -1])), atol=1e-12)
    assert ground.shadow.tolist() == [[True, False, False, False, False, False]]
    assert ground.layover.tolist() == [[False, False, False, False, True, False]]
    assert ground.usable.tolist() == [[False, False, True, True, False, False]]  # 89 degrees: its cosine is below 0.2
    along = facing(seen, Gradient(0 * rise, rise))  # a slope across the line of sight is only turned away
    np.testing.assert_allclose(along.cos_local[0, 1], np.cos(np.radians(40)) * np.cos(np.radians(49)))
