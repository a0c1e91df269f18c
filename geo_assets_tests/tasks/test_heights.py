"""How far around a cell heights count, and which scenes tell them."""

import math
from fractions import Fraction

import pytest
import shapely

from geo_assets.model.geometry import GeoBox
from geo_assets.model.scene import Scene
from geo_assets.tasks.heights import margin_px, reaching, widened, with_margin

BOX = GeoBox("EPSG:32632", Fraction(10), Fraction(500_000), Fraction(5_200_000), (64, 64))


def scene(name: str, outline: shapely.Geometry) -> Scene:
    return Scene(name, "heights", "dem", "", "", (("elevation", "a.tif"),), 0, "", shapely.to_wkb(outline))


def test_margin_when_pixels_are_of_another_size_then_three_kilometres():
    coarse = GeoBox("EPSG:32632", Fraction(30), BOX.left, BOX.top, (10, 10))
    degrees = GeoBox("EPSG:4326", Fraction(1, 10_000), Fraction(9), Fraction(47), (10, 10))
    assert (margin_px(BOX), margin_px(coarse)) == (300, 100)
    assert margin_px(degrees) == pytest.approx(270, abs=1)
    assert with_margin(BOX).shape == (664, 664)


def test_reaching_when_a_scene_lies_beside_a_cell_then_it_counts_within_the_margin():
    west, south, east, north = BOX.lonlat().bounds
    near, far = (shapely.box(east + by, south, east + by + 0.01, north) for by in (0.035, 0.08))  # 2.7 and 6 km away
    scenes = scene("far", far), scene("near", near), scene("own", shapely.box(west, south, east, north))
    assert [s.item_id for s in reaching([BOX], scenes)] == ["near", "own"]
    assert reaching([], scenes) == ()


@pytest.mark.parametrize("lat", [0.0, 47.0, 70.0])
def test_outline_when_widened_then_by_three_kilometres_on_every_side(lat):
    wide = widened(shapely.box(9, lat, 9.1, lat + 0.1))
    west, south, east, north = shapely.box(9, lat, 9.1, lat + 0.1).bounds
    metre_lat, metre_lon = 1 / 111_320, 1 / (111_320 * math.cos(math.radians(lat)))
    for lon, at in (
        (9.05, north + 2_900 * metre_lat),
        (9.05, south - 2_900 * metre_lat),
        (east + 2_900 * metre_lon, lat + 0.05),
    ):
        assert shapely.contains_xy(wide, lon, at)
    assert not shapely.contains_xy(wide, west - 4_000 * metre_lon, lat + 0.05)


def test_outline_when_widened_over_the_antimeridian_then_on_both_sides_and_no_further():
    wide = widened(shapely.box(179.9, 10, 180, 10.1))
    assert wide.bounds[0] >= -180
    assert wide.bounds[2] <= 180
    assert shapely.contains_xy(wide, -179.98, 10.05)
    assert not shapely.contains_xy(wide, 0.0, 10.05)
