"""Places in a radar image: against a product made the other way round, and against real geolocation grids."""

from fractions import Fraction

import numpy as np
import pytest
from rasterio import open as rasterio_open
from rasterio.transform import GCPTransformer

from geo_assets.eo.sar_annotation import GridPoints, grid_points, parse_product
from geo_assets.eo.sar_place import GridGeolocation, OrbitGeolocation, locate, place, view
from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access
from geo_assets.readers._radar import RadarFiles
from geo_assets.testing.radar_world import RadarWorld
from geo_assets_tests.realdata import real_data

WORLDS = {
    "ascending, level": RadarWorld(shape=(120, 130)),
    "descending, facing away": RadarWorld(shape=(120, 130), heading_deg=-168, east=0.3, north=-0.1),
    "south, over the antimeridian": RadarWorld(shape=(120, 130), lon=180, lat=-60, east=-0.2),
    "high north": RadarWorld(shape=(120, 130), lat=79, lon=-30, height_m=2500, north=0.2),
}


def product_of(world):
    return parse_product(world.product_xml().encode(), "x.xml")


def indices(shape):
    return np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")


@pytest.mark.parametrize("case", WORLDS)
def test_locate_when_by_orbit_then_every_sample_of_the_world_is_found(case):
    world = WORLDS[case]
    lon, lat, height, _ = world.places
    line, pixel = locate(OrbitGeolocation(product_of(world)), lon, lat, height)
    np.testing.assert_allclose(line, indices(world.shape)[0], atol=1e-6)
    np.testing.assert_allclose(pixel, indices(world.shape)[1], atol=1e-4)


@pytest.mark.parametrize("case", WORLDS)
def test_sight_when_by_orbit_then_the_incidence_angle_of_the_world(case):
    world = WORLDS[case]
    lon, lat, height, _ = world.places
    east, north, up = OrbitGeolocation(product_of(world)).sight(lon, lat, height)
    np.testing.assert_allclose(-up, world.cosines[0], atol=1e-9)
    heading = np.degrees(np.arctan2(east, north)) % 360
    assert abs((heading.mean() - (world.heading_deg + 90) + 180) % 360 - 180) < 0.1  # right-looking


def test_locate_when_height_is_forgotten_then_tens_of_pixels_off():
    world = WORLDS["ascending, level"]
    lon, lat, height, _ = world.places
    _, pixel = locate(OrbitGeolocation(product_of(world)), lon, lat, np.zeros_like(height))
    assert np.abs(pixel - indices(world.shape)[1]).min() > 80  # 700 m of height at 38 degrees are 90 pixels of 10 m


def test_locate_when_place_is_left_of_the_track_then_not_seen():
    """It has the same range and the same time, mirrored at the track."""
    world = WORLDS["ascending, level"]
    found = OrbitGeolocation(product_of(world))
    assert np.isnan(locate(found, np.array([world.lon - 11.0]), np.array([world.lat - 1.0]), np.array([0.0]))).all()


def test_locate_when_far_from_the_orbit_then_not_a_number_and_no_made_up_line():
    found = OrbitGeolocation(product_of(WORLDS["ascending, level"]))
    assert np.isnan(locate(found, np.array([11.3, 191.3]), np.array([-46.8, -46.8]), np.zeros(2))).all()


def test_locate_when_by_grid_then_near_to_the_truth_and_only_with_its_heights():
    world = WORLDS["descending, facing away"]
    lon, lat, height, _ = world.places
    product = product_of(world)
    line, pixel = locate(GridGeolocation(product.points, pixel_m=product.pixel_m), lon, lat, height)
    np.testing.assert_allclose(line, indices(world.shape)[0], atol=0.01)
    np.testing.assert_allclose(pixel, indices(world.shape)[1], atol=1.2)  # the product's polynomials jump within it
    higher = locate(GridGeolocation(product.points, pixel_m=product.pixel_m), lon, lat, height + 300)[1]
    exact = locate(OrbitGeolocation(product), lon, lat, height + 300)[1]
    good = np.isfinite(higher)
    assert np.abs(higher - exact)[good].max() < 1.5
    without = GridGeolocation(product.points)
    np.testing.assert_array_equal(locate(without, lon, lat, height), locate(without, lon, lat, height + 300))


def box_of(world, crs="EPSG:32632", shape=(90, 100), res=Fraction(10)):
    x, y = transformer("EPSG:4326", crs).transform(world.lon, world.lat)
    left, top = (
        round(Fraction(x) / res) * res - shape[1] // 2 * res,
        round(Fraction(y) / res) * res + shape[0] // 2 * res,
    )
    return GeoBox(crs, res, left, top, shape)


def degrees(box):
    return transformer(box.crs, "EPSG:4326").transform(*np.meshgrid(*box.centers()))


@pytest.mark.parametrize(("crs", "res"), [("EPSG:32632", Fraction(10)), ("EPSG:4326", Fraction(1, 10800))])
def test_view_when_of_a_window_then_as_pixel_by_pixel(crs, res):
    world = RadarWorld(shape=(120, 130), east=0.3)
    box = box_of(world, crs, res=res)
    lon, lat = degrees(box)
    height = world.height(lon, lat)
    found = OrbitGeolocation(product_of(world))
    seen = view(box, height, found)
    line, pixel = locate(found, lon, lat, height)
    np.testing.assert_allclose(seen.line, line, atol=2e-3)
    np.testing.assert_allclose(seen.pixel, pixel, atol=0.03)
    east, north, up = found.sight(lon, lat, height)
    np.testing.assert_allclose(seen.incidence, np.degrees(np.arccos(-up)), atol=0.06)
    np.testing.assert_allclose(seen.look_east, east / np.hypot(east, north), atol=1e-4)


def test_place_when_window_is_cut_from_a_larger_one_then_the_same_to_the_last_bit():
    world = RadarWorld(shape=(120, 130), east=0.3)
    box = box_of(world)
    height = world.height(*degrees(box))
    height[3, 4] = np.nan
    found = OrbitGeolocation(product_of(world))
    whole = place(box, height, found)
    part = place(box.window(7, 21, 40, 33), height[7:47, 21:54], found)
    for large, small in zip(whole, part, strict=True):
        np.testing.assert_array_equal(large[7:47, 21:54], small)
    assert np.isnan(whole[0][3, 4])
    assert np.isnan(whole[1][3, 4])


def real_products():
    found = sorted(real_data("s1", "annotation").glob("*/annotation/*.xml"))
    assert found
    return [parse_product(path.read_bytes(), path.name) for path in found]


@pytest.mark.realdata
def test_locate_when_products_are_real_then_their_geolocation_grids_come_back():
    """By the state vectors, the range polynomials and the heights: to a quarter of a line and a hundredth of a pixel."""
    for product in real_products():
        points = product.points
        line, pixel = locate(OrbitGeolocation(product), points.lon, points.lat, points.height)
        np.testing.assert_allclose(line, points.lines[:, None] + 0 * line, atol=0.25)
        np.testing.assert_allclose(
            pixel, points.pixels[None, :] + 0 * pixel, atol=0.4 if product.pixel_m > 20 else 0.02
        )


@pytest.mark.realdata
def test_sight_when_products_are_real_then_their_incidence_angles_come_back():
    for product in real_products():
        points = product.points
        up = OrbitGeolocation(product).sight(points.lon, points.lat, points.height)[2]
        np.testing.assert_allclose(np.degrees(np.arccos(-up)), points.incidence, atol=0.05)


@pytest.mark.realdata
def test_place_when_heights_are_those_of_real_mountains_then_a_parabola_is_enough():
    [product] = [p for p in real_products() if p.shape == (16676, 26144)][:1]
    found = OrbitGeolocation(product)
    points = product.points
    x, y = transformer("EPSG:4326", "EPSG:32631").transform(points.lon[5, 10], points.lat[5, 10])
    box = GeoBox("EPSG:32631", Fraction(10), Fraction(round(x, -1)), Fraction(round(y, -1)), (70, 80))
    lon, lat = degrees(box)
    for base in (-400, 800, 2600, 6500, 8800):
        height = base + np.linspace(0, 150, 70)[:, None] * np.cos(np.arange(80) / 9)[None, :]
        line, pixel = locate(found, lon, lat, height)
        by_window = place(box, height, found)
        np.testing.assert_allclose(by_window[0], line, atol=5e-3)
        np.testing.assert_allclose(by_window[1], pixel, atol=0.05)


@pytest.mark.realdata
def test_locate_when_points_are_those_of_a_real_measurement_then_as_a_polynomial_fit_says():
    """The file has control points alone. A polynomial through all of them in metres of UTM knows nothing of our splines."""
    path = real_data("s1", "S1A_20180716_GRDH", "measurement", "iw-vv.tiff")
    with rasterio_open(path) as source:
        listed = source.gcps[0]
    table = np.array([[p.row, p.col, p.x, p.y, p.z] for p in listed])
    found = GridGeolocation(grid_points(table, path.name))
    line, pixel = locate(found, *(table[:, n] for n in (2, 3, 4)))
    np.testing.assert_allclose(line, table[:, 0], atol=1e-3)
    np.testing.assert_allclose(pixel, table[:, 1], atol=1e-3)
    x, y = transformer("EPSG:4326", "EPSG:32643").transform(table[:, 2], table[:, 3])
    scaled = [(v - v.mean()) / v.std() for v in (x, y)]
    terms = np.stack([scaled[0] ** i * scaled[1] ** j for i in range(6) for j in range(6 - i)], -1)
    inside = np.array([[77.3, 10.6], [76.2, 10.7], [77.05, 9.9], [76.9, 10.2]])
    at_x, at_y = transformer("EPSG:4326", "EPSG:32643").transform(*inside.T)
    at = [(at_x - x.mean()) / x.std(), (at_y - y.mean()) / y.std()]
    at_terms = np.stack([at[0] ** i * at[1] ** j for i in range(6) for j in range(6 - i)], -1)
    ours = locate(found, *inside.T, np.zeros(4))
    for n, values in enumerate(ours):
        solved, *_ = np.linalg.lstsq(terms, table[:, n], rcond=None)
        left = np.abs(terms @ solved - table[:, n]).max()  # what relief makes of the points, in pixels of 200 m
        np.testing.assert_allclose(values, at_terms @ solved, atol=left + 0.05)
        assert left < 1.5


@pytest.mark.realdata
def test_place_when_measurement_is_real_then_a_window_of_the_map_as_gdals_thin_plate_splines_say():
    folder = real_data("s1", "S1A_20180716_GRDH", "measurement")
    with RadarFiles(Access(roots=(str(folder),)), str) as files:
        image = files.image(str(folder / "iw-vv.tiff"))
        found = GridGeolocation(image.points())
    box = GeoBox("EPSG:32643", Fraction(200), Fraction(680_000), Fraction(1_180_000), (160, 170))
    line, pixel = place(box, np.zeros(box.shape, np.float32), found)
    assert np.isfinite(line).mean() > 0.9
    points = image.points()
    lon, lat = degrees(box)
    with rasterio_open(folder / "iw-vv.tiff") as source:
        splines = GCPTransformer(source.gcps[0], tps=True)
    rows, cols = splines.rowcol(lon.ravel(), lat.ravel(), op=lambda v: v)
    inside = (
        np.isfinite(line) & (line > 5) & (pixel > 5) & (line < points.lines[-1] - 5) & (pixel < points.pixels[-1] - 5)
    )
    off = [np.abs(np.reshape(of, box.shape) - ours)[inside] for of, ours in ((rows, line), (cols, pixel))]
    assert max(np.percentile(of, 95) for of in off) < 0.3  # of pixels of 200 m: two ways between points of bumpy ground


def test_grid_when_of_nine_points_then_as_their_plane():
    line, pixel = np.meshgrid([0.0, 50, 100], [0.0, 100, 200], indexing="ij")
    points = GridPoints(line[:, 0], pixel[0], 10 + pixel * 1e-4, 50 - line * 1e-4, np.zeros((3, 3)), np.empty((0, 0)))
    found = locate(GridGeolocation(points), np.array([10.006]), np.array([49.9965]), np.zeros(1))
    assert (found[0][0], found[1][0]) == pytest.approx((35, 60), abs=1e-2)
