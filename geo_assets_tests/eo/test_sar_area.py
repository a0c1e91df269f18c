"""Flattening by illuminated area, on ground that is as bright as the area that the radar sees."""

from fractions import Fraction

import numpy as np
import pytest

from geo_assets.eo.sar import Window, calibrate, facing, flattened, sample, window
from geo_assets.eo.sar_annotation import parse_calibration, parse_noise, parse_product
from geo_assets.eo.sar_area import flattened_by_area, illuminated_area, level_area, reach_px
from geo_assets.eo.sar_place import OrbitGeolocation, View, view
from geo_assets.eo.terrain import Gradient, gradient, halo
from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox
from geo_assets.testing.radar_world import RadarWorld

WORLDS = {
    "level": RadarWorld(by_area=True),
    "facing away": RadarWorld(east=-0.3, north=0.1, by_area=True, noise=1000),
    "facing the radar": RadarWorld(east=0.3, north=0.1, by_area=True),
    "descending": RadarWorld(heading_deg=-168, east=0.3, by_area=True),
}
EDGE = 25


def box_of(world, shape=(150, 140)):
    x, y = transformer("EPSG:4326", "EPSG:32632").transform(world.lon, world.lat)
    return GeoBox("EPSG:32632", Fraction(10), Fraction(round(x, -1) - 700), Fraction(round(y, -1) + 750), shape)


def degrees(box):
    return transformer(box.crs, "EPSG:4326").transform(*np.meshgrid(*box.centers()))


def both(world):
    """Relative errors of flattening by area and by angle, without the edge of the window."""
    box = box_of(world)
    product = parse_product(world.product_xml().encode(), "p.xml")
    height = world.height(*degrees(halo(box)))
    found = OrbitGeolocation(product)
    seen, slope = view(box, height[1:-1, 1:-1], found), gradient(height, box)
    part = window(seen.line, seen.pixel, product.shape)
    dn = world.amplitudes[part.line : part.line + part.lines, part.pixel : part.pixel + part.pixels]
    table = parse_calibration(world.calibration_xml().encode(), "c.xml").gamma
    gamma0 = calibrate(dn, part, table, parse_noise(world.noise_xml().encode(), "n.xml"))
    area = illuminated_area(box, seen, slope, part)
    level = level_area(box, seen, found)
    power, ground = (sample(of.astype(np.float32), part, seen.line, seen.pixel) for of in (gamma0, area))
    by_area = flattened_by_area(power, ground, level)
    by_angle = flattened(power, seen, facing(seen, slope))
    truth = world.truth(*degrees(box))
    return ((of / truth - 1)[EDGE:-EDGE, EDGE:-EDGE] for of in (by_area, by_angle))


@pytest.mark.parametrize("case", WORLDS)
def test_flattening_by_area_when_ground_is_as_bright_as_its_area_then_the_truth(case):
    by_area, _ = both(WORLDS[case])
    by_area = by_area[np.isfinite(by_area)]
    assert by_area.size > 8000
    assert abs(np.median(by_area)) < 0.004
    assert np.percentile(np.abs(by_area), 98) < 0.025  # but where the image's own scale jumps, over two lines


def test_flattening_by_angle_when_ground_is_as_bright_as_its_area_then_too_bright_where_it_faces_the_radar():
    """On a slope a along the line of sight the area goes with cot(t - a), the cosine with cos(t - a)."""
    _, by_angle = both(WORLDS["facing the radar"])
    assert np.nanmedian(by_angle) > 0.3


def flat_view(shape, line, pixel, incidence=40.0):
    full = np.ones(shape)
    return View(line, pixel, incidence * full, full, 0 * full)


def test_illuminated_area_when_summed_then_all_that_the_radar_sees():
    """Whatever folds over what: the sum over samples is the sum over ground."""
    box = box_of(WORLDS["level"], (40, 50))
    random = np.random.default_rng(4)
    rise = random.normal(0, 1.0, box.shape)
    line, pixel = 5 + np.indices(box.shape).astype(float)
    pixel = pixel + random.uniform(0, 4, box.shape)  # relief that folds over
    area = illuminated_area(box, flat_view(box.shape, line, pixel), Gradient(rise, 0 * rise), Window(0, 0, 60, 80))
    theta = np.radians(40)
    seen = np.maximum(np.cos(theta) + np.sin(theta) * rise, 0) * 100
    assert area.sum() == pytest.approx(seen.sum(), rel=2e-3)  # a metre of UTM is not quite a metre


def test_illuminated_area_when_pixels_and_samples_differ_then_no_pattern():
    box = box_of(WORLDS["level"], (60, 60))
    line, pixel = np.indices(box.shape) * 0.83 + 3.2
    none = np.zeros(box.shape)
    area = illuminated_area(box, flat_view(box.shape, line, pixel), Gradient(none, none), Window(0, 0, 60, 60))
    assert area[10:45, 10:45].std() / area[10:45, 10:45].mean() < 0.01


def test_flattening_by_area_when_hardly_any_ground_is_seen_then_not_a_number():
    gamma0, area = np.full((1, 3), 0.1, np.float32), np.array([[0, 3, 160]], np.float32)
    found = flattened_by_area(gamma0, area, np.full((1, 3), 80.0))
    assert np.isnan(found[0, :2]).all()
    assert found[0, 2] == pytest.approx(0.05)


def test_reach_when_mountains_are_a_kilometre_high_then_as_far_as_they_appear_moved():
    assert reach_px(0, 1000, 30, 10) == 177  # 1732 m
    assert reach_px(500, 500, 30, 10) == 3
