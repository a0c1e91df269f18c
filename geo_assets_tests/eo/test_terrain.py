"""Slope and aspect of planes that are known in true ground metres, and against gdaldem's formula."""

from fractions import Fraction

import numpy as np
import pyproj
import pytest
from scipy import ndimage

from geo_assets.eo.terrain import aspect, gradient, halo, metres, slope
from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox

LON = 15.7  # off the central meridian of zone 33, so that its grid is turned against north
EAST, NORTH = 0.21, -0.34
STEEP = np.degrees(np.arctan(np.hypot(EAST, NORTH)))
FACES = np.degrees(np.arctan2(-EAST, -NORTH)) % 360
CRSS = {
    "EPSG:4326": Fraction(1, 10800),
    "EPSG:32633": Fraction(10),
    "EPSG:3857": Fraction(20),
    "EPSG:3035": Fraction(10),
}

# All but the equator in Europe's projection, which is far out of its reach
PLACES = [(crs, lat) for crs in CRSS for lat in (0, 45, 60, 80) if (crs, lat) != ("EPSG:3035", 0)]


def window(crs, lat, shape=(37, 41), lon=LON):
    """A window around a place, off the lattice that coordinates are counted from."""
    x, y = transformer("EPSG:4326", crs).transform(lon, lat)
    res = CRSS.get(crs, Fraction(30))
    left, top = round(Fraction(x) / res) * res - 20 * res, round(Fraction(y) / res) * res + 18 * res
    return GeoBox(crs, res, left, top, shape)


def plane(box, lat, east=EAST, north=NORTH, lon=LON):
    """Heights of a plane in a projection that is true to scale around the window's middle."""
    true = pyproj.CRS.from_proj4(f"+proj=tmerc +lat_0={lat} +lon_0={lon} +k=1 +datum=WGS84")
    move = pyproj.Transformer.from_crs(box.crs, true, always_xy=True)
    e, n = move.transform(*np.meshgrid(*halo(box).centers()))
    return 400 + east * e + north * n


@pytest.mark.parametrize("method", ["central", "horn"])
@pytest.mark.parametrize(("crs", "lat"), PLACES)
def test_slope_and_aspect_when_plane_is_known_in_true_metres_then_exact(crs, lat, method):
    box = window(crs, lat)
    found = gradient(plane(box, lat), box, method=method)
    assert slope(found).shape == box.shape
    np.testing.assert_allclose(slope(found), STEEP, atol=2e-4)
    # North turns by that much across the window at 80 degrees
    np.testing.assert_allclose(aspect(found), FACES, atol=0.02)
    np.testing.assert_allclose(found.east, EAST, rtol=1e-3)


def fixed(heights, step_x, step_y):
    """Slope as it comes out where a pixel is taken for so many metres, whatever the latitude."""
    east = (heights[1:-1, 2:] - heights[1:-1, :-2]) / (2 * step_x)
    north = (heights[:-2, 1:-1] - heights[2:, 1:-1]) / (2 * step_y)
    return np.degrees(np.arctan(np.hypot(east, north)))


def test_slope_when_ten_metres_are_taken_for_a_pixel_at_60_north_then_far_off():
    """A tenth of an arc second of latitude and longitude, about 10 m: in x it is 5.15 m in truth."""
    box = GeoBox("EPSG:4326", Fraction(1, 10800), Fraction(157, 10), Fraction(60), (20, 20))
    heights = plane(box, 60, east=0.4, north=0.0)
    assert abs(float(metres(box).x_east.mean()) / 10800 - 5.17) < 0.02
    np.testing.assert_allclose(slope(gradient(heights, box)), np.degrees(np.arctan(0.4)), atol=2e-3)
    assert fixed(heights, 10.3, 10.3).max() < 12  # 21.8 in truth


def test_metres_when_web_mercator_at_60_north_then_half():
    box = window("EPSG:3857", 60)
    ground = metres(box)
    factors = pyproj.Proj("+proj=merc +datum=WGS84").get_factors(LON, 60)  # a degree of longitude is the same in both
    assert ground.x_east[18, 20] == pytest.approx(1 / factors.parallel_scale, rel=1e-5)
    assert ground.x_east[18, 20] == pytest.approx(0.5013, abs=1e-4)
    assert np.abs(ground.x_north).max() < 1e-9


@pytest.mark.parametrize("crs", ["EPSG:32633", "EPSG:32733", "EPSG:3035", "EPSG:3413", "EPSG:6933"])
def test_metres_when_projected_then_as_proj_says(crs):
    lat = -43 if crs == "EPSG:32733" else 61
    box = window(crs, lat, (3, 3))
    ground = metres(box)
    x, y = box.centers()
    lon, lat = transformer(crs, "EPSG:4326").transform(x[1], y[1])
    f = pyproj.Proj(crs).get_factors(lon, lat)
    per_radian = 6378137.0 * np.array([[f.dx_dlam, f.dx_dphi], [f.dy_dlam, f.dy_dphi]])
    geod, small = pyproj.Geod(ellps="WGS84"), 1e-4
    east_m = geod.inv(lon - small, lat, lon + small, lat)[2] / np.radians(2 * small)
    north_m = geod.inv(lon, lat - small, lon, lat + small)[2] / np.radians(2 * small)
    expected = np.diag([east_m, north_m]) @ np.linalg.inv(per_radian)
    found = [[m[1, 1] for m in (ground.x_east, ground.y_east)], [m[1, 1] for m in (ground.x_north, ground.y_north)]]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def hills(shape, seed=3):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 900, shape), 4).astype(np.float32)


def test_horn_when_heights_are_hills_then_as_gdaldem_but_for_the_scale_of_the_grid():
    """gdaldem's formula (apps/gdaldem_lib.cpp) takes map metres and grid north: both are put right by PROJ's factors."""
    box = window("EPSG:32633", 47, (40, 50), lon=17.6)
    heights = hills(halo(box).shape)
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    z = heights.astype(np.float64)
    dx = ndimage.correlate(z, kernel)[1:-1, 1:-1] / 80
    dy = ndimage.correlate(z, kernel.T)[1:-1, 1:-1] / 80  # towards south
    x, y = np.meshgrid(*box.centers())
    f = pyproj.Proj("EPSG:32633").get_factors(*transformer(box.crs, "EPSG:4326").transform(x, y))
    found = gradient(heights, box, method="horn")
    np.testing.assert_allclose(slope(found), np.degrees(np.arctan(np.hypot(dx, dy) * f.meridional_scale)), atol=2e-5)
    grid_faces = (90 - np.degrees(np.arctan2(dy, -dx))) % 360
    turned = (aspect(found) - grid_faces + 180) % 360 - 180
    np.testing.assert_allclose(turned, f.meridian_convergence, atol=1e-3)
    assert np.abs(turned).min() > 1.5  # the grid is turned by that much here: it is no rounding
    flat = hills(halo(box).shape) * 0
    assert np.isnan(aspect(gradient(flat, box))).all()


def test_gradient_when_window_is_cut_from_a_larger_one_then_the_same_to_the_last_bit():
    whole = window("EPSG:32633", 60, (70, 90))
    heights = hills(halo(whole).shape)
    part = whole.window(13, 29, 31, 22)
    cut = heights[13 : 13 + 33, 29 : 29 + 24]
    for method in ("central", "horn"):
        large, small = gradient(heights, whole, method=method), gradient(cut, part, method=method)
        np.testing.assert_array_equal(large.east[13:44, 29:51], small.east)
        np.testing.assert_array_equal(large.north[13:44, 29:51], small.north)


def test_gradient_when_a_height_is_missing_then_only_what_it_touches():
    box = window("EPSG:32633", 60, (9, 9))
    heights = hills(halo(box).shape)
    heights[5, 5] = np.nan
    central = np.zeros((9, 9), bool)
    central[[3, 5, 4, 4, 4], [4, 4, 3, 5, 4]] = True
    np.testing.assert_array_equal(np.isnan(slope(gradient(heights, box))), central)
    eight = np.zeros((9, 9), bool)
    eight[3:6, 3:6] = True
    np.testing.assert_array_equal(np.isnan(slope(gradient(heights, box, method="horn"))), eight)


def test_slope_when_height_is_zero_then_ground_and_not_nodata():
    box = window("EPSG:32633", 60, (9, 9))
    found = gradient(np.zeros(halo(box).shape, np.float32), box)
    np.testing.assert_array_equal(slope(found), 0)
    np.testing.assert_array_equal(slope(found, min_deg=0.02), np.float32(0.02))


def test_slope_when_floor_is_asked_for_then_what_is_missing_stays_so():
    box = window("EPSG:32633", 60, (9, 9))
    found = gradient(np.full(halo(box).shape, np.nan, np.float32), box)
    assert np.isnan(slope(found, min_deg=0.02)).all()


def test_gradient_when_window_crosses_the_antimeridian_then_as_elsewhere():
    box = window("EPSG:32601", 60, lon=180.0)
    np.testing.assert_allclose(slope(gradient(plane(box, 60, lon=180), box)), STEEP, atol=2e-4)


def test_gradient_when_next_to_the_pole_of_a_projection_then_no_number():
    box = GeoBox("EPSG:3413", Fraction(30), Fraction(-300), Fraction(300), (20, 20))
    assert np.isnan(gradient(hills(halo(box).shape), box).east).all()


def test_gradient_when_halo_is_missing_then_refused():
    box = window("EPSG:32633", 60, (9, 9))
    with pytest.raises(ValueError, match="needs"):
        gradient(np.zeros(box.shape, np.float32), box)
    with pytest.raises(ValueError, match="floats"):
        gradient(np.zeros(halo(box).shape, np.int16), box)
    with pytest.raises(ValueError, match="central, horn"):
        gradient(np.zeros(halo(box).shape, np.float32), box, method="sobel")
