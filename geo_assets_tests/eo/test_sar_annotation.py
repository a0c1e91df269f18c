"""Annotations of Sentinel-1 products: made-up ones, real ones, and ones that lie."""

import re

import numpy as np
import pytest

from geo_assets.eo.sar_annotation import grid_points, parse_calibration, parse_noise, parse_product
from geo_assets.errors import SourceError
from geo_assets.testing.radar_world import RadarWorld
from geo_assets_tests.realdata import real_data

WORLD = RadarWorld()
SMALL = """<calibration><calibrationVectorList count="2">
<calibrationVector><line>0</line><pixel count="3">0 10 20</pixel><sigmaNought count="3">1 2 3</sigmaNought>
<betaNought count="3">1 1 1</betaNought><gamma count="3">100 200 400</gamma></calibrationVector>
<calibrationVector><line>100</line><pixel count="2">0 20</pixel><sigmaNought count="2">1 2</sigmaNought>
<betaNought count="2">1 1</betaNought><gamma count="2">300 500</gamma></calibrationVector>
</calibrationVectorList></calibration>"""


def test_table_when_vectors_have_pixels_of_their_own_then_bilinear_by_hand():
    table = parse_calibration(SMALL.encode(), "x.xml").gamma
    found = table.at(np.array([0.0, 50, 100, -5, 300]), np.array([0.0, 5, 15, 20, 90]))
    expected = [[100, 150, 300, 400, 400], [200, 250, 375, 450, 450], [300, 350, 450, 500, 500]]
    np.testing.assert_allclose(found, [*expected, expected[0], expected[2]])


def test_calibration_when_written_by_the_world_then_bilinear_and_far_from_the_nearest_node():
    table = parse_calibration(WORLD.calibration_xml().encode(), "x.xml").gamma
    lines, pixels = (np.arange(n, dtype=float) for n in WORLD.shape)
    np.testing.assert_allclose(table.at(lines, pixels), WORLD.gamma_table[1], rtol=1e-12)
    nodes = np.abs(pixels[:, None] - table.pixels[0][None, :]).argmin(1)
    nearest = table.values[0][nodes]
    assert np.abs(nearest / table.at(lines[:1], pixels)[0] - 1).max() > 0.04


@pytest.mark.parametrize("old", [True, False])
def test_noise_when_written_in_either_format_then_range_times_azimuth(old):
    world = RadarWorld(old_noise=old)
    text = world.noise_xml()
    assert ("<noiseRangeVector>" in text) is not old
    noise = parse_noise(text.encode(), "x.xml")
    lines, pixels = (np.arange(n, dtype=float) for n in world.shape)
    np.testing.assert_allclose(noise.at(lines, pixels), world.noise_power, rtol=1e-12)
    part = noise.at(lines[40:60], pixels[100:170])
    np.testing.assert_array_equal(part, noise.at(lines, pixels)[40:60, 100:170])


def test_noise_when_no_azimuth_factor_covers_a_place_then_not_a_number():
    text = WORLD.noise_xml().replace(
        f"<lastAzimuthLine>{WORLD.shape[0] - 1}<", f"<lastAzimuthLine>{WORLD.shape[0] - 11}<"
    )
    noise = parse_noise(text.encode(), "x.xml").at(np.arange(WORLD.shape[0], dtype=float), np.arange(5.0))
    assert np.isnan(noise[-10:]).all()
    assert np.isfinite(noise[:-10]).all()


def test_noise_when_not_in_squared_amplitudes_then_refused_and_not_taken_for_nothing():
    """As real products of 2014 and 2015 have it: 1e-9."""
    text = RadarWorld(noise=1e-9, old_noise=True).noise_xml()
    with pytest.raises(SourceError, match="not in DN"):
        parse_noise(text.encode(), "x.xml")


def test_product_when_written_by_the_world_then_its_geometry():
    product = parse_product(WORLD.product_xml().encode(), "x.xml")
    assert product.shape == WORLD.shape
    assert (product.pixel_m, len(product.orbit.seconds), product.orbit.seconds[0]) == (10, 9, -40)
    np.testing.assert_allclose(product.orbit.position[4], WORLD.flight(np.array(0.0))[0], rtol=1e-12)
    assert product.points.lon.shape == product.points.incidence.shape == (6, 6)
    np.testing.assert_allclose(product.ground_range.coefficients[2], WORLD.ranges[2][2], rtol=1e-12)


ENTITY = '<?xml version="1.0"?><!DOCTYPE c [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><calibration>&b;</calibration>'
EXTERNAL = '<!DOCTYPE c [<!ENTITY a SYSTEM "file:///etc/hostname">]><calibration>&a;</calibration>'
LIES = {
    "entities": (ENTITY, "document type"),
    "a file of this machine": (EXTERNAL, "document type"),
    "no XML": ("<calibration>", "no well-formed XML"),
    "nothing": ("", "no well-formed XML"),
    "another annotation": ("<rfi></rfi>", "its root is <rfi>, not <calibration>"),
    "no vectors": ("<calibration></calibration>", "no vectors"),
    "a count that is wrong": (SMALL.replace('pixel count="3"', 'pixel count="4"'), "should hold 4"),
    "a count that is no number": (SMALL.replace('pixel count="3"', 'pixel count="x"'), "no number"),
    "text for numbers": (SMALL.replace("100 200", "100 two"), "no number"),
    "infinite numbers": (SMALL.replace("100 200", "100 1e999"), "finite"),
    "zeros": (SMALL.replace("100 200", "100 0"), "above 0"),
    "pixels that run back": (SMALL.replace("0 10 20", "0 20 10"), "ascending"),
    "lines that run back": (SMALL.replace("<line>100", "<line>-1"), "order of lines"),
    "no line": (SMALL.replace("<line>100</line>", ""), "no <line>"),
}


@pytest.mark.parametrize("case", LIES)
def test_calibration_when_file_lies_then_source_error_that_names_it(case):
    text, message = LIES[case]
    with pytest.raises(SourceError, match=message) as raised:
        parse_calibration(text.encode(), "s3://b/cal.xml")
    assert str(raised.value).startswith("s3://b/cal.xml: ")


def test_annotation_when_far_too_large_then_refused():
    with pytest.raises(SourceError, match="more than any annotation"):
        parse_calibration(b" " * (8 * 2**20 + 1), "x.xml")


PRODUCT_LIES = {
    "no orbit": ("<orbit>", "<other>", "well-formed"),
    "no conversion": ("<coordinateConversionList", "<coordinateConversionList2", "well-formed"),
    "a time": ("2021-08-09T17:39:53.153776</productFirst", "yesterday</productFirst", "is no time"),
    "a size": ("<numberOfLines>240", "<numberOfLines>-3", "lines every"),
    "a latitude": ("<latitude>4.", "<latitude>1e3 4.", "2 numbers, not one"),
}


@pytest.mark.parametrize("case", PRODUCT_LIES)
def test_product_when_file_lies_then_source_error(case):
    old, new, message = PRODUCT_LIES[case]
    text = WORLD.product_xml()
    assert old in text
    with pytest.raises(SourceError, match=message):
        parse_product(text.replace(old, new).encode(), "x.xml")


def test_product_when_a_polynomial_has_no_coefficients_then_source_error():
    text = re.sub(r"<srgrCoefficients.*?</srgrCoefficients>", "<srgrCoefficients/>", WORLD.product_xml())
    with pytest.raises(SourceError, match="fewer than 2"):
        parse_product(text.encode(), "x.xml")


def test_grid_points_when_one_is_missing_or_twice_then_refused():
    good = np.array([[line, pixel, 10 + pixel, 50 - line, 0] for line in (0, 1, 2) for pixel in (0, 1, 5)], float)
    assert grid_points(good[::-1], "x").lon.tolist() == [[10, 11, 15]] * 3
    for bad in (good[:-1], np.vstack([good[:-1], good[:1]]), good * [1, 1, 1, 9, 1], np.empty((0, 5))):
        with pytest.raises(SourceError, match="x: "):
            grid_points(bad, "x")


def real_annotations(kind):
    """Annotations of real products, if they are there: folders of products below s1/annotation."""
    found = sorted(real_data("s1", "annotation").glob("*/annotation/**/*.xml"))
    return (
        [p for p in found if p.name.startswith(kind)] if kind else [p for p in found if p.parent.name == "annotation"]
    )


@pytest.mark.realdata
def test_calibration_when_real_then_its_tables_differ_by_the_sine_and_cosine_of_the_incidence_angle():
    """sigma0 = beta0 * sin, gamma0 = sigma0 / cos, of angles that the processor takes to a quarter of a degree."""
    tables = {p.name.removeprefix("calibration-"): p for p in real_annotations("calibration")}
    assert tables
    for path in real_annotations(""):
        product = parse_product(path.read_bytes(), path.name)
        of = parse_calibration(tables[path.name].read_bytes(), path.name)
        points = product.points
        sigma, beta, gamma = (t.at(points.lines, points.pixels) for t in (of.sigma, of.beta, of.gamma))
        theta = np.radians(points.incidence)
        np.testing.assert_allclose((beta / sigma) ** 2, np.sin(theta), rtol=0.012)
        np.testing.assert_allclose((gamma / sigma) ** 2, np.cos(theta), rtol=0.012)


@pytest.mark.realdata
def test_noise_when_real_then_some_everywhere_in_the_image():
    noises = {p.name.removeprefix("noise-"): p for p in real_annotations("noise")}
    for path in real_annotations(""):
        product = parse_product(path.read_bytes(), path.name)
        lines, pixels = (np.linspace(0, n - 1, 97).round() for n in product.shape)
        power = parse_noise(noises[path.name].read_bytes(), path.name).at(lines, pixels)
        # An EW image begins with some of its swaths only: there is nothing where no factor is
        covered = np.isfinite(power)
        assert covered[lines > 1344].all() if "ew" in path.name else covered.all(), path.name
        assert 10 < np.nanmedian(power) < 1e5
