"""Pixel grid, blocks, regions and zones: they tile the plane, and their names are for ever."""

from fractions import Fraction

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from geo_assets.errors import ConfigError, PartitionError
from geo_assets.model.crs import canonical_crs, crs_of_group, group_of_crs, parse_resolution
from geo_assets.model.geometry import Block, PixelGrid, Region
from geo_assets.model.lonlat import split_antimeridian, to_lonlat
from geo_assets.model.zones import utm_zone_at, utm_zones_of, zone_polygon

grids = st.sampled_from(
    [
        PixelGrid.build("EPSG:32633", Fraction(10)),
        PixelGrid.build("EPSG:32733", Fraction(10)),
        PixelGrid.build("EPSG:4326", Fraction(1, 3600)),
        PixelGrid.build("EPSG:4326", Fraction(1, 3600), block_px=300, region_blocks=3),
        PixelGrid.build("EPSG:3035", Fraction(100)),
        PixelGrid.build("EPSG:32633", Fraction(10), block_px=256, region_blocks=7),
        PixelGrid.build("EPSG:3413", Fraction(1, 3), block_px=64, chunk_px=16, region_blocks=5),
    ]
)
small = st.integers(-500, 500)
ZONES = [(z, n) for n in (True, False) for z in range(1, 61)]


# Sizes and origin


@pytest.mark.parametrize(
    ("crs", "resolution", "block", "chunk", "blocks"),
    [
        ("EPSG:32633", "10", 2048, 256, 5),
        ("EPSG:32633", "50", 2048, 256, 1),
        ("EPSG:32633", "51", 512, 256, 4),
        ("EPSG:32633", "60", 512, 256, 3),
        ("EPSG:3035", "100", 512, 256, 2),
        ("EPSG:4326", "1/3600", 1200, 300, 3),
        ("EPSG:4326", "1/1200", 1200, 300, 1),
    ],
)
def test_grid_has_the_sizes_of_its_resolution(crs, resolution, block, chunk, blocks):
    grid = PixelGrid.build(crs, parse_resolution(resolution))
    assert (grid.block_px, grid.chunk_px, grid.region_blocks) == (block, chunk, blocks)


def test_grid_counts_from_zero_in_projected_and_from_the_north_west_in_geographic_crs():
    assert PixelGrid.build("EPSG:32633", Fraction(10)).block_geobox(Block(0, 0)).bounds == (0, 0, 20480, 20480)
    assert PixelGrid.build("EPSG:4326", Fraction(1, 3600)).block_geobox(Block(0, 0)).bounds == pytest.approx(
        (-180, 90 - 1 / 3, -180 + 1 / 3, 90)
    )


def test_grid_with_chunks_that_do_not_divide_the_block_is_refused():
    with pytest.raises(ConfigError, match="does not divide"):
        PixelGrid.build("EPSG:32633", Fraction(10), block_px=512, chunk_px=300)


@given(grids, small, small)
def test_blocks_meet_their_neighbours_exactly(grid, row, col):
    box = grid.block_geobox(Block(row, col))
    east, up = grid.block_geobox(Block(row, col + 1)), grid.block_geobox(Block(row + 1, col))
    assert east.left == box.left + box.shape[1] * box.resolution
    assert east.top == box.top
    down = up.top - box.top
    assert down == (-1 if grid.geographic else 1) * grid.block_size


@given(grids, small, small)
def test_region_is_tiled_by_its_blocks(grid, row, col):
    region = Region(grid.group, row, col)
    whole = grid.region_geobox(region)
    blocks = list(grid.blocks_of(region))
    assert len(set(blocks)) == grid.region_blocks**2
    assert {grid.region_of(b) for b in blocks} == {region}
    boxes = [grid.block_geobox(b) for b in blocks]
    corners = {(b.left, b.top) for b in boxes}
    assert len(corners) == len(blocks)
    assert min(b.left for b in boxes) == whole.left
    assert max(b.top for b in boxes) == whole.top
    assert max(b.left + grid.block_size for b in boxes) == whole.left + grid.region_size
    assert sum(b.shape[0] * b.shape[1] for b in boxes) == whole.shape[0] * whole.shape[1]


def test_blocks_of_another_group_are_refused():
    with pytest.raises(PartitionError, match="not in group utm33n"):
        list(PixelGrid.build("EPSG:32633", Fraction(10)).blocks_of(Region("utm34n", 0, 0)))


@given(grids, small, small, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_locate_finds_the_square_that_holds_a_point(grid, row, col, right, down):
    west, south, east, north = grid.block_geobox(Block(row, col)).bounds
    rows, cols = grid.locate([west + right * (east - west)], [north - down * (north - south)], size=grid.block_size)
    assert (rows[0], cols[0]) == (row, col)


@given(grids, st.data())
def test_array_slices_lie_where_the_bounds_say(grid, data):
    whole = grid.array_geobox()
    row0, row1, col0, col1 = grid.extent()
    region = Region(grid.group, data.draw(st.integers(row0, row1 - 1)), data.draw(st.integers(col0, col1 - 1)))
    block = data.draw(st.sampled_from(list(grid.blocks_of(region))[:50]))
    box = grid.block_geobox(block)
    rows, cols = grid.array_slices(box)
    assert (rows.stop - rows.start, cols.stop - cols.start) == box.shape
    assert rows.start % grid.block_px == cols.start % grid.block_px == 0
    assert 0 <= rows.start < rows.stop <= whole.shape[0]
    assert 0 <= cols.start < cols.stop <= whole.shape[1]
    assert whole.window(rows.start, cols.start, *box.shape) == box
    # Exact: the affine transform of the array leads to the corner of the block
    x, y = (
        whole.transform @ (cols.start, rows.start)
        if hasattr(whole.transform, "__matmul__")
        else whole.transform * (cols.start, rows.start)
    )
    assert (x, y) == pytest.approx((box.bounds[0], box.bounds[3]), rel=1e-12, abs=1e-9)


@given(grids)
def test_array_slices_outside_the_arrays_are_refused(grid):
    _, row1, col0, _ = grid.extent()
    for region in (Region(grid.group, row1, col0), Region(grid.group, row1 - 1, col0 - 1)):
        with pytest.raises(PartitionError, match="not part of the arrays"):
            grid.array_slices(grid.region_geobox(region))
    box = grid.region_geobox(Region(grid.group, row1 - 1, col0))
    half = type(box)(box.crs, box.resolution, box.left + box.resolution / 2, box.top, box.shape)
    with pytest.raises(PartitionError):
        grid.array_slices(half)


def test_array_of_a_zone_holds_its_whole_plane():
    west, south, east, north = PixelGrid.build("EPSG:32633", Fraction(10)).array_geobox().bounds
    assert west <= 0 < 1_000_000 <= east
    assert south <= 0 < 10_000_000 <= north


def test_array_of_the_world_in_degrees_begins_at_the_north_west():
    grid = PixelGrid.build("EPSG:4326", Fraction(1, 3600))
    whole = grid.array_geobox()
    assert (whole.left, whole.top) == (-180, 90)
    assert whole.shape[1] == 360 * 3600
    assert whole.shape[0] >= 180 * 3600


# Exact fractions of degrees


@pytest.mark.parametrize(
    ("given_as", "exact"),
    [("1/3600", Fraction(1, 3600)), (1 / 3600, Fraction(1, 3600)), ("0.000277777777777778", Fraction(1, 3600)), (10, Fraction(10)),
     ("10", Fraction(10)), (0.5, Fraction(1, 2)), ("2.5", Fraction(5, 2)), ("0.023", Fraction(23, 1000)), (" 1 / 3 ", Fraction(1, 3))],
)  # fmt: skip
def test_resolution_is_read_exactly(given_as, exact):
    assert parse_resolution(given_as) == exact


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "1/0", "nan", "inf"])
def test_resolution_that_is_no_positive_number_is_refused(text):
    with pytest.raises(ConfigError):
        parse_resolution(text)


@given(st.integers(0, 1079), st.integers(0, 539))
def test_pixel_centres_of_3600ths_are_correctly_rounded(col, row):
    box = PixelGrid.build("EPSG:4326", Fraction(1, 3600)).block_geobox(Block(row, col))
    x, y = box.centers()
    for k in (0, 1, 599, 1199):
        assert x[k] == float(Fraction(-180) + (col * 1200 + k + Fraction(1, 2)) / 3600)
        assert y[k] == float(Fraction(90) - (row * 1200 + k + Fraction(1, 2)) / 3600)


def test_pixel_centres_of_neighbouring_blocks_go_on_without_a_step():
    grid = PixelGrid.build("EPSG:4326", Fraction(1, 3600))
    x = np.concatenate([grid.block_geobox(Block(100, c)).centers()[0] for c in range(40, 60)])
    assert np.unique(x).size == x.size
    assert np.abs(np.diff(x) - 1 / 3600).max() < 1e-12


# Keys


@given(st.sampled_from(["utm01n", "utm33n", "utm60s", "epsg4326", "epsg3035", "esri54009"]), small, small)
def test_key_written_and_read_is_the_same(group, row, col):
    region = Region(group, row, col)
    assert Region.parse(region.key) == region


@pytest.mark.parametrize(
    "key",
    ["", "utm33n", "utm33n_r1", "utm33n_r1_c", "utm33n_r01_c2", "utm33n_r1_c2 ", "utm33n_r-0_c2", "utm61n_r1_c1", "utm33x_r1_c1",
     "../utm33n_r1_c1", "utm33n_r1_c1\n", "UTM33n_r1_c1", "utm33n_r1_c1|2024-01", "epsg_r1_c1", "utm33n_r1234567890_c1"],
)  # fmt: skip
def test_key_that_is_none_is_refused(key):
    with pytest.raises(PartitionError):
        Region.parse(key)


@pytest.mark.parametrize("crs", ["EPSG:32601", "EPSG:32660", "EPSG:32733", "EPSG:4326", "EPSG:3035", "ESRI:54009"])
def test_group_leads_back_to_its_crs(crs):
    assert crs_of_group(group_of_crs(crs)) == crs
    assert canonical_crs(crs) == crs


def test_crs_in_any_form_has_one_name():
    for text in ("epsg:3035", "urn:ogc:def:crs:EPSG::3035", pyproj.CRS("EPSG:3035").to_wkt()):
        assert canonical_crs(text) == "EPSG:3035"
    for text in ("nonsense", "+proj=laea +lat_0=10", "EPSG:4978"):
        with pytest.raises(ConfigError):
            canonical_crs(text)


@settings(max_examples=30)
@given(grids, st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.floats(0.1, 3), st.floats(0.1, 3))
def test_keys_of_a_place_are_the_same_for_every_area_around_it(grid, u, v, wide, high):
    row0, row1, col0, col1 = grid.extent()
    size = float(grid.region_size)
    box = grid.region_geobox(Region(grid.group, (row0 + row1) // 2, (col0 + col1) // 2)).bounds
    x, y = box[0] + u * size, box[1] + v * size
    keys = []
    for area in (
        shapely.box(x, y, x + size * 1e-3, y + size * 1e-3),
        shapely.box(x, y, x + wide * size, y + high * size),
    ):
        _, rows, cols = grid.touched(np.array([area], dtype=object), size=grid.region_size)
        keys.append({Region(grid.group, int(r), int(c)).key for r, c in zip(rows, cols, strict=True)})
    assert keys[0] <= keys[1]


# Squares that a geometry touches


@settings(max_examples=60)
@given(
    st.sampled_from([PixelGrid.build("EPSG:32633", Fraction(10)), PixelGrid.build("EPSG:4326", Fraction(1, 3600))]),
    st.lists(st.tuples(st.integers(-30, 30), st.integers(-30, 30)), min_size=3, max_size=8),
)
def test_touched_squares_are_those_of_brute_force(grid, vertices):
    size = grid.block_size
    origin = grid.block_geobox(Block(250, 12))
    unit = float(size) / 10
    hull = shapely.MultiPoint(
        [(float(origin.left) + x * unit, float(origin.top) + y * unit) for x, y in vertices]
    ).convex_hull
    assume(
        hull.geom_type == "Polygon" and hull.area > 1e-6 * float(size) ** 2
    )  # points in a row make slivers of rounding
    owner, rows, cols = grid.touched(np.array([hull, hull], dtype=object), size=size)
    first = {(int(r), int(c)) for o, r, c in zip(owner, rows, cols, strict=True) if o == 0}
    assert len(owner) == 2 * len(first)
    expected = set()
    for row in range(245, 256):
        for col in range(6, 19):
            if (
                shapely.box(*grid.block_geobox(Block(row, col)).bounds).intersection(hull).area
                > 1e-9 * float(size) ** 2
            ):
                expected.add((row, col))
    assert first == expected


def test_touched_by_a_square_itself_is_that_square_only():
    for grid in (PixelGrid.build("EPSG:32633", Fraction(10)), PixelGrid.build("EPSG:4326", Fraction(1, 3600))):
        for block in (Block(250, 20), Block(3, 7)):
            area = np.array([shapely.box(*grid.block_geobox(block).bounds)], dtype=object)
            _, rows, cols = grid.touched(area, size=grid.block_size)
            assert [(rows[0], cols[0])] == [(block.row, block.col)]
            assert len(rows) == 1


def test_touched_by_an_empty_geometry_is_nothing():
    grid = PixelGrid.build("EPSG:32633", Fraction(10))
    assert len(grid.touched(np.array([shapely.Polygon()], dtype=object), size=grid.block_size)[0]) == 0


# UTM zones


def test_zones_tile_the_world_between_80_s_and_84_n_without_overlap():
    polygons = [zone_polygon(z, north=n) for z, n in ZONES]
    union = shapely.union_all(polygons)
    assert union.equals(shapely.box(-180, -80, 180, 84))
    assert sum(p.area for p in polygons) == pytest.approx(union.area, rel=1e-12)


@given(st.integers(-17999, 17999), st.integers(-7999, 8399))
def test_zone_at_a_point_is_the_zone_whose_area_holds_it(lon, lat):
    lon, lat = lon / 100 + 0.005, lat / 100 + 0.005
    code = int(utm_zone_at([lon], [lat])[0])
    holders = [
        (32600 if n else 32700) + z for z, n in ZONES if zone_polygon(z, north=n).contains(shapely.Point(lon, lat))
    ]
    assert holders == [code]
    assert utm_zones_of(shapely.Point(lon, lat).buffer(0.001)) == [f"EPSG:{code}"]


@pytest.mark.parametrize(
    ("lon", "lat", "code"),
    [(5, 60, 32632), (2, 60, 32631), (11.9, 63.9, 32632), (5, 55.9, 32631), (5, 64, 32631), (8, 75, 32631), (9, 75, 32633), (20.9, 83, 32633),
     (21, 72, 32635), (33, 72, 32637), (41.9, 80, 32637), (42, 80, 32638), (15, 47, 32633), (15, -0.001, 32733), (15, 0, 32633), (180, 10, 32601),
     (-180, 10, 32601), (179.99, 10, 32660), (15, 89, 32633), (15, -89, 32733)],
)  # fmt: skip
def test_zone_at_known_points(lon, lat, code):
    assert utm_zone_at([lon], [lat])[0] == code


def test_zones_of_an_area_leave_out_those_that_it_only_touches():
    assert utm_zones_of(shapely.box(12, 40, 18, 42)) == ["EPSG:32633"]
    assert utm_zones_of(shapely.box(11.99, -1, 18.01, 1)) == [
        f"EPSG:{h + z}" for h in (32600, 32700) for z in (32, 33, 34)
    ]


def test_zones_of_an_area_beyond_84_n_advise_a_polar_crs():
    with pytest.raises(ConfigError, match=r"84\.50.*EPSG:3413"):
        utm_zones_of(shapely.box(0, 80, 1, 84.5))
    with pytest.raises(ConfigError, match="polar"):
        utm_zones_of(shapely.box(0, -81, 1, -70))


# Antimeridian and poles


def test_split_of_a_polygon_across_the_antimeridian_keeps_its_area():
    for ring in (
        [(170, 0), (190, 0), (190, 10), (170, 10)],
        [(170, 0), (-170, 0), (-170, 10), (170, 10)],
        [(-190, 0), (-170, 0), (-170, 10), (-190, 10)],
    ):
        found = split_antimeridian(shapely.Polygon(ring))
        assert found.geom_type == "MultiPolygon"
        assert found.area == pytest.approx(200)
        assert (found.bounds[0], found.bounds[2]) == (-180, 180)


def test_split_leaves_wide_polygons_and_the_world_alone():
    for box in (shapely.box(-100, 0, 100, 1), shapely.box(-180, -90, 180, 90), shapely.box(179, 0, 180, 1)):
        assert split_antimeridian(box).equals(box)


@settings(max_examples=40)
@given(st.integers(1, 60), st.floats(100_000, 800_000), st.floats(100_000, 9_000_000), st.floats(1_000, 99_000))
def test_outline_of_any_square_of_a_zone_keeps_its_area_on_the_ground(zone, x, y, side):
    found = to_lonlat(shapely.box(x, y, x + side, y + side), f"EPSG:{32600 + zone}")
    assert found.is_valid
    west, south, east, north = found.bounds
    assert -180 <= west < east <= 180
    assert -90 <= south < north <= 90
    geod = pyproj.Geod(ellps="WGS84")
    area = sum(abs(geod.geometry_area_perimeter(p)[0]) for p in shapely.get_parts(found))
    assert area == pytest.approx(side**2, rel=0.01)


@pytest.mark.parametrize(
    ("crs", "box", "inside", "outside"),
    [
        ("EPSG:3413", (-1e5, -2e5, 3e5, 1e5), (77, 89.999), (0, 80)),
        ("EPSG:3413", (0, 0, 1e5, 1e5), (90, 89.9), (-90, 89.9)),
        ("EPSG:3031", (-1e5, -1e5, 1e5, 1e5), (-33, -89.99), (0, -85)),
        ("EPSG:3413", (-3e5, 0, 3e5, 1e5), (135, 89.9), (-45, 89.9)),
    ],
)
def test_outline_around_a_pole_holds_the_pole_and_no_more(crs, box, inside, outside):
    found = to_lonlat(shapely.box(*box), crs)
    assert found.is_valid
    assert found.contains(shapely.Point(inside))
    assert not found.contains(shapely.Point(outside))
    geod = pyproj.Geod(ellps="WGS84")
    area = sum(abs(geod.geometry_area_perimeter(p)[0]) for p in shapely.get_parts(found))
    assert area == pytest.approx((box[2] - box[0]) * (box[3] - box[1]), rel=0.1)
