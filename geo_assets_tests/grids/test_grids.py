"""Names, numbers and places of each grid's cells, against figures worked out elsewhere."""

import warnings

import geopandas as gpd
import mgrs as mgrs_package
import numpy as np
import pandas as pd
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets import registry
from geo_assets.eo.aoi import read_aoi
from geo_assets.errors import ConfigError, PluginError
from geo_assets.grids import majortom_eg, square
from geo_assets.model.cell import cells_of
from geo_assets.model.crs import reproject
from geo_assets.model.geohash import geohash_at
from geo_assets.model.recipe import AoiRecipe, GridRecipe
from geo_assets_tests.eo.tile_tables import ids, table, write

WORLD = shapely.box(-180, -90, 180, 90)
PARIS = shapely.box(2.349, 48.849, 2.351, 48.851)


def cells(kind, area, **settings):
    return cells_of(registry.load("grids", kind), area, GridRecipe(kind=kind, **settings))


def bounds(table):
    return {i: tuple(b) for i, b in zip(table.cell_id, table.bounds.to_numpy(), strict=True)}


# Major TOM as published: figures of ESA-PhiLab/Major-TOM, grid.py


@pytest.fixture(scope="module")
def hundred_km():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cells("majortom", WORLD, size_m=100_000)


def test_majortom_at_100_km_has_51145_cells(hundred_km):
    assert len(hundred_km) == 51_145
    rows = hundred_km.cell_id.str.split("_").str[0].value_counts()
    assert len(rows) == 189
    assert rows["94U"] == 41
    assert (rows["9U"], rows["9D"]) == (397, 397)


def test_majortom_counts_at_other_sizes_are_those_published():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {size: len(cells("majortom", WORLD, size_m=size * 1000)) for size in (63, 250, 333, 1000)}
    assert found == {63: 128_827, 250: 8_275, 333: 4_679, 1000: 541}


def test_majortom_of_paris_is_54u_1r():
    table = cells("majortom", PARIS, size_m=100_000)
    assert list(table.cell_id) == ["54U_1R"]
    assert table.size_m[0] == 100_000


@pytest.mark.parametrize(
    ("name", "crs", "expected"),
    [
        ("54U_1R", "EPSG:32631", (1.3483146067415817, 48.35820895522389, 2.696629213483135, 49.25373134328359)),
        ("0U_0R", "EPSG:32631", (0.0, 0.0, 0.897755610972581, 0.8955223880597032)),
        ("1D_1L", "EPSG:32730", (-0.897755610972581, -0.8955223880597032, 0.0, 0.0)),
        ("94U_0R", "EPSG:32631", (0.0, 84.17910447761193, 8.78048780487805, 85.07462686567163)),
        ("94D_0R", "EPSG:32731", (0.0, -84.17910447761194, 8.78048780487805, -83.28358208955224)),
        ("65U_2R", "EPSG:32632", (3.3962264150943327, 58.208955223880594, 5.094339622641513, 59.1044776119403)),
        ("84U_5R", "EPSG:32633", (17.475728155339795, 75.22388059701493, 20.970873786407765, 76.11940298507463)),
        ("54U_132L", "EPSG:32601", (-177.97752808988764, 48.35820895522388, -176.62921348314606, 49.25373134328358)),
    ],
)
def test_majortom_cells_lie_where_they_were_published(hundred_km, name, crs, expected):
    row = hundred_km[hundred_km.cell_id == name]
    assert row["crs"].tolist() == [crs]
    assert row.total_bounds == pytest.approx(expected, abs=1e-11)


def test_majortom_names_at_the_antimeridian_follow_the_published_rounding(hundred_km):
    names = set(hundred_km.cell_id)
    assert {"41U_161R", "75D_78R", "88U_39R"} <= names
    assert not {"41U_161L", "75D_78L", "88U_39L"} & names
    east = cells("majortom", shapely.box(179.9, 0.1, 180, 0.2), size_m=100_000)
    west = cells("majortom", shapely.box(-180, 0.1, -179.9, 0.2), size_m=100_000)
    assert list(east.cell_id) == list(west.cell_id) == ["0U_200R"]
    assert east["crs"].tolist() == ["EPSG:32660"]


def test_majortom_cells_tile_their_rows_without_overlap(hundred_km):
    expected = 360 * (hundred_km.total_bounds[3] - hundred_km.total_bounds[1])
    assert shapely.area(hundred_km.geometry).sum() == pytest.approx(expected, rel=1e-12)


def test_majortom_patch_begins_a_margin_before_the_lower_left_point():
    row = cells("majortom", PARIS, size_m=100_000, margin_m=340).iloc[0]
    x, y = pyproj.Transformer.from_crs(4326, 32631, always_xy=True).transform(1.3483146067415817, 48.35820895522389)
    patch = [row.patch_x0, row.patch_y0, row.patch_x1, row.patch_y1]
    assert patch == pytest.approx([x - 340, y - 340, x + 100_340, y + 100_340], abs=1e-3)


def test_majortom_with_overlap_adds_half_shifted_cells_under_other_names():
    table = cells("majortom", PARIS, size_m=100_000, overlap=True)
    found = bounds(table)
    assert set(found) == {"54U_1R", "54U_1R_half"}
    west, south, east, north = found["54U_1R"]
    assert found["54U_1R_half"][:2] == pytest.approx([(west + east) / 2, (south + north) / 2])
    assert table.primary.tolist() == [not n.endswith("_half") for n in table.cell_id]


def test_majortom_beyond_its_ends_warns_or_refuses():
    with pytest.warns(UserWarning, match="the rest of the area has no cells"):
        cells("majortom", shapely.box(0, 80, 1, 90), size_m=100_000)
    with pytest.raises(ConfigError, match="lies beyond"):
        cells("majortom", shapely.box(0, 86, 1, 90), size_m=100_000)


# The package majortom_eg


def test_majortom_eg_of_two_parts_gives_the_cells_of_both_with_pinned_ids():
    near, far = shapely.box(2.300, 48.800, 2.303, 48.802), shapely.box(2.5, 48.9, 2.501, 48.901)
    table = cells("majortom-eg", shapely.MultiPolygon([near, far]), size_m=512)
    assert set(table.cell_id) == {"u09tsk52d2t", *cells("majortom-eg", far, size_m=512).cell_id}
    assert bounds(table)["u09tsk52d2t"] == pytest.approx(
        (2.2972186663563434, 48.79905968928864, 2.3042010939136577, 48.80365903515945), abs=1e-12
    )
    assert table.primary.all()
    more = cells("majortom-eg", near, size_m=512, overlap=True)
    assert {"u09tsk52d2t", "u09tskmvgv2"} <= set(more.cell_id)
    assert not more.primary.all()


def test_majortom_eg_names_a_cell_across_the_antimeridian_once():
    east, west = (
        set(cells("majortom-eg", b, size_m=100_000).cell_id)
        for b in (shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1))
    )
    assert {"800481802h8", "800p8h810n0"} == east & west
    everywhere = cells("majortom-eg", WORLD, size_m=500_000)
    assert shapely.area(everywhere.geometry).sum() == pytest.approx(64_800)


def test_majortom_eg_of_another_version_or_missing_says_what_to_do(monkeypatch):
    def absent(name):
        raise majortom_eg.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(majortom_eg.importlib.metadata, "version", lambda name: "1.0.0")
    with pytest.raises(PluginError, match=r"1\.0\.0.*1\.1\.0.*square"):
        cells("majortom-eg", PARIS)
    monkeypatch.setattr(majortom_eg.importlib.metadata, "version", absent)
    with pytest.raises(PluginError, match=r"not here.*square"):
        cells("majortom-eg", PARIS)
    with pytest.raises(ConfigError, match="whole metres"):
        cells("majortom-eg", PARIS, size_m=512.5)


# Squares


def test_square_ids_are_columns_and_rows_from_the_origin():
    table = cells("square", PARIS, size_m=10_000, crs="EPSG:32631")
    x, y = pyproj.Transformer.from_crs(4326, 32631, always_xy=True).transform(2.35, 48.85)
    assert list(table.cell_id) == [f"square_{int(x // 10_000)}_{int(y // 10_000)}"]
    assert table["crs"].tolist() == ["EPSG:32631"]
    back = reproject(table.geometry.to_numpy(), "EPSG:4326", "EPSG:32631")[0]
    assert back.bounds == pytest.approx(
        [x // 1e4 * 1e4, y // 1e4 * 1e4, x // 1e4 * 1e4 + 1e4, y // 1e4 * 1e4 + 1e4], abs=1e-3
    )


def test_square_without_crs_is_in_web_mercator_and_negative_in_the_south_west():
    assert list(cells("square", shapely.box(-0.01, -0.01, -0.005, -0.005), size_m=10_000).cell_id) == ["square_-1_-1"]


def test_square_at_the_end_of_web_mercator_ends_at_the_antimeridian():
    table = cells("square", shapely.box(179.9, 0, 180, 0.01), size_m=10_000)
    assert table.total_bounds[2] == 180
    assert table.geom_type.eq("Polygon").all()


def test_square_around_a_pole_covers_it():
    table = cells("square", shapely.box(-180, 88, 180, 90), size_m=100_000, crs="EPSG:3413")
    area = shapely.area(table.geometry)
    assert table.total_bounds[3] == 90
    assert area.max() < 360 * 2
    assert area.sum() == pytest.approx(table.geometry.union_all().area, rel=1e-3)


def test_square_where_the_crs_cannot_show_the_area_is_refused():
    for crs in ("EPSG:3857", "EPSG:3413"):
        with pytest.raises(ConfigError, match="beyond what"):
            cells("square", shapely.box(0, -90, 1, -89), crs=crs)
    with pytest.raises(ConfigError, match="projected"):
        cells("square", PARIS, crs="EPSG:4326")


@pytest.mark.parametrize("kind", ["square", "majortom", "majortom-eg", "lonlat", "geohash"])
def test_grid_of_far_too_many_cells_is_refused(kind):
    with pytest.raises(ConfigError, match="the most"):
        cells(kind, shapely.box(-170, -60, 170, 60), size_m=10, step="1/10000", precision=12)


# Longitude and latitude, geohash


def test_lonlat_ids_count_from_the_south_west_of_the_world():
    table = cells("lonlat", PARIS)
    x, y = int((2.35 + 180) // 0.023), int((48.85 + 90) // 0.023)
    assert f"chip_{x}_{y}" in set(table.cell_id)
    assert bounds(table)[f"chip_{x}_{y}"] == pytest.approx(
        (-180 + x * 0.023, -90 + y * 0.023, -180 + (x + 1) * 0.023, -90 + (y + 1) * 0.023)
    )


def test_lonlat_takes_the_step_of_256_pixels_of_10_m():
    table = cells("lonlat", PARIS, step=256 * 10 / 111320)
    west = table.bounds.minx[0]
    assert (west + 180) / (2560 / 111320) == pytest.approx(round((west + 180) / (2560 / 111320)), abs=1e-6)


def test_lonlat_over_the_world_tiles_it():
    assert shapely.area(cells("lonlat", WORLD, step=7).geometry).sum() == pytest.approx(64_800)


@pytest.mark.parametrize(
    ("lon", "lat", "name"),
    [
        (-5.6, 42.6, "ezs42"),
        (10.40744, 57.64911, "u4pruydqqvj"),
        (-180, -90, "000000"),
        (180, 90, "zzzzzz"),
        (0, 0, "s00000"),
    ],
)
def test_geohash_at_known_points_is_the_known_name(lon, lat, name):
    assert geohash_at(np.array([lon]), np.array([lat]), len(name))[0] == name


@given(st.integers(-1_800_000, 1_799_999), st.integers(-900_000, 899_999), st.integers(1, 8))
def test_geohash_cells_hold_the_point_whose_name_they_have(lon, lat, precision):
    lon, lat = lon / 1e4, lat / 1e4
    name = geohash_at(np.array([lon]), np.array([lat]), precision)[0]
    around = shapely.box(lon, lat, lon + 1e-6, lat + 1e-6)
    found = bounds(cells("geohash", around, precision=precision))
    assert name in found
    west, south, east, north = found[name]
    assert west <= lon < east
    assert south <= lat < north


# MGRS


@pytest.mark.parametrize(
    "area",
    [shapely.box(2, 55, 13, 65), shapely.box(0, 71, 42, 80), shapely.box(-1, -1, 7, 1), shapely.box(14, 46, 17, 49), shapely.box(-180, -17, -179, -15)],
)  # fmt: skip
def test_mgrs_names_are_those_of_the_package(area):
    table = cells("mgrs", area)
    points = table.geometry.representative_point()
    oracle = mgrs_package.MGRS()
    for name, point in zip(table.cell_id, points, strict=True):
        assert oracle.toMGRS(point.y, point.x, MGRSPrecision=0).rjust(5, "0") == name


def test_mgrs_squares_tile_the_area_without_overlap():
    table = cells("mgrs", shapely.box(0, 55, 12, 57))
    union = table.geometry.union_all()
    assert shapely.area(table.geometry).sum() == pytest.approx(union.area, rel=1e-6)
    assert union.buffer(1e-9).covers(shapely.box(0, 55, 12, 57))


def test_mgrs_beyond_its_ends_is_refused():
    with pytest.raises(ConfigError, match="mgrs ends"):
        cells("mgrs", shapely.box(0, 85, 1, 86))


# Tables


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tiles_of_centres_are_a_lookup_of_18th_degrees(tmp_path, suffix):
    table = pd.DataFrame(
        {
            "X": [10 + 1 / 36, 10 + 3 / 36, 50],
            "Y": [1 / 36, 1 / 36, 5],
            "X_tile": [1035, 1036, 7],
            "Y_tile": [727, -3, 8],
        }
    )
    path = tmp_path / f"tiles.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    found = cells("tiles", shapely.box(10.01, 0.01, 10.07, 0.02), path=str(path))
    assert list(found.cell_id) == ["1035X727Y", "1036X-3Y"]
    assert found.geometry[0].bounds == pytest.approx((10, 0, 10 + 1 / 18, 1 / 18))
    named = cells("tiles", shapely.box(10.01, 0.01, 10.02, 0.02), path=str(path), id_column="X_tile")
    assert list(named.cell_id) == ["1035"]


def test_tiles_of_a_projected_layer_are_reprojected(tmp_path):
    box = shapely.box(5e5, 5.2e6, 5.1e5, 5.21e6)
    gpd.GeoDataFrame({"code": ["a"]}, geometry=[box], crs="EPSG:32633").to_file(tmp_path / "t.gpkg", layer="x")
    found = cells("tiles", shapely.box(15, 46.9, 15.1, 47.1), path=str(tmp_path / "t.gpkg"), id_column="code")
    assert list(found.cell_id) == ["a"]
    assert found.total_bounds == pytest.approx(shapely.bounds(reproject(box, "EPSG:32633", "EPSG:4326")))


def test_tiles_without_names_or_with_bad_rows_say_so(tmp_path):
    gpd.GeoDataFrame(geometry=[PARIS], crs="EPSG:4326").to_file(tmp_path / "t.gpkg")
    with pytest.raises(ConfigError, match="does not name its cells"):
        cells("tiles", PARIS, path=str(tmp_path / "t.gpkg"))
    (tmp_path / "t.csv").write_text("X,Y,X_tile,Y_tile\n1,1,1,1\n1,95,1,2\n")
    with pytest.raises(ConfigError, match="row 2"):
        cells("tiles", PARIS, path=str(tmp_path / "t.csv"))
    (tmp_path / "t.csv").write_text("a,b\n1,1\n")
    with pytest.raises(ConfigError, match="no columns X and Y"):
        cells("tiles", PARIS, path=str(tmp_path / "t.csv"))
    with pytest.raises(ConfigError, match="needs path"):
        cells("tiles", PARIS)


@pytest.mark.parametrize("name", ["../up", "a/b", "a|b", "a\0b", "", "x" * 65, "a..b", "ü"])
def test_tiles_with_a_name_that_could_leave_its_folder_are_refused(tmp_path, name):
    gpd.GeoDataFrame({"id": [name]}, geometry=[PARIS], crs="EPSG:4326").to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ConfigError, match="is not a cell id"):
        cells("tiles", PARIS, path=str(tmp_path / "t.parquet"))


def test_tiles_with_a_repeated_name_are_refused(tmp_path):
    gpd.GeoDataFrame({"id": ["a", "a"]}, geometry=[PARIS, PARIS], crs="EPSG:4326").to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ConfigError, match="'a' occurs 2 times"):
        cells("tiles", PARIS, path=str(tmp_path / "t.parquet"))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tiles_of_a_large_table_are_those_of_the_area_in_the_order_of_the_table(tmp_path, suffix):
    frame = table(200_000)
    path = write(frame, tmp_path / f"t.{suffix}")
    found = cells("tiles", shapely.box(10.01, 40.01, 12.99, 42.99), path=str(path))
    near = frame[frame.X.between(10, 13) & frame.Y.between(40, 43)]
    assert len(near) > 20
    assert list(found.cell_id) == ids(near)
    assert list(found.x) == list(near.X)


def test_tiles_of_an_area_that_is_a_table_are_its_rows_and_no_neighbours(tmp_path):
    frame = table(3_000_000)
    frame = frame[frame.X.between(10, 13) & frame.Y.between(40, 43)]
    asked = frame.sample(60, random_state=2)
    write(frame, tmp_path / "all.parquet")
    area = read_aoi("a", AoiRecipe(path=str(write(asked, tmp_path / "asked.csv"))), ".").geometry
    assert set(cells("tiles", area, path=str(tmp_path / "all.parquet")).cell_id) == set(ids(asked))


def test_tiles_of_centres_with_an_id_column_keep_its_text(tmp_path):
    (tmp_path / "t.csv").write_text("X,Y,code\n10,1,007\n")
    assert list(
        cells("tiles", shapely.box(10, 1, 10.01, 1.01), path=str(tmp_path / "t.csv"), id_column="code").cell_id
    ) == ["007"]
    for column, said in (("none", "no column 'none'; it has X, Y, code"), ("X", "no names: set id_column")):
        with pytest.raises(ConfigError, match=said):
            cells("tiles", PARIS, path=str(tmp_path / "t.csv"), id_column=column)


def test_tiles_of_a_parquet_table_are_named_by_text_or_numbers(tmp_path):
    area, path = shapely.box(10, 1, 10.01, 1.01), str(tmp_path / "t.parquet")
    pd.DataFrame({"X": 10.0, "Y": 1.0, "code": ["a", "b", None], "n": [1, 2, 3], "twice": "a"}).to_parquet(path)
    assert list(cells("tiles", area, path=path, id_column="n").cell_id) == ["1", "2", "3"]
    for column, said in (("twice", "'a' occurs 3 times"), ("code", "'' is not a cell id")):
        with pytest.raises(ConfigError, match=said):
            cells("tiles", area, path=path, id_column=column)


# A user's function


def in_utm(area, spec):
    return gpd.GeoDataFrame(
        {"grid_id": ["u"]}, geometry=[shapely.box(4.5e5, 5.41e6, 4.55e5, 5.415e6)], crs="EPSG:32631"
    )


def unnamed(area, spec):
    rows = [{"geometry": shapely.box(x, 48, x + 1, 49)} for x in (1, 2, 3)]
    return rows if spec.size_m > 1 else rows[::-1]


def wrong(area, spec):
    return 7


HERE = __name__


def test_custom_cells_in_another_crs_are_reprojected_not_relabelled():
    found = cells("custom", shapely.box(2.3, 48.83, 2.4, 48.9), callable=f"{HERE}:in_utm")
    expected = reproject(shapely.box(4.5e5, 5.41e6, 4.55e5, 5.415e6), "EPSG:32631", "EPSG:4326")
    assert found.total_bounds == pytest.approx(shapely.bounds(expected), abs=1e-9)
    assert list(found.cell_id) == ["u"]


def test_custom_cells_without_names_are_named_by_place_not_by_order():
    area = shapely.box(1.2, 48.2, 3.8, 48.8)
    with pytest.warns(UserWarning, match="names no cells"):
        first, second = (cells("custom", area, callable=f"{HERE}:unnamed", size_m=s) for s in (2, 1))
    assert list(first.cell_id) == list(second.cell_id)[::-1]
    assert bounds(first) == bounds(second)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (None, "package.module"),
        ("nothing.there:f", "cannot be imported"),
        ("math:pi", "not a function"),
        ("WRONG", "returned int"),
    ],
)
def test_custom_grid_that_cannot_work_says_why(target, reason):
    with pytest.raises(ConfigError, match=reason):
        cells("custom", PARIS, callable=f"{HERE}:wrong" if target == "WRONG" else target)


# All of them


@pytest.mark.parametrize("kind", ["square", "majortom", "majortom-eg", "lonlat", "geohash"])
@pytest.mark.parametrize("place", [(15.0, 47.0), (-60.0, -70.0), (179.5, 1.0)])
def test_area_that_is_one_cell_has_that_cell_alone(kind, place):
    settings = {"size_m": 30_000, "precision": 4}
    around = cells(kind, shapely.box(*place, place[0] + 0.5, place[1] + 0.5), **settings)
    for name, cell in list(zip(around.cell_id, around.geometry, strict=True))[:40]:
        assert list(cells(kind, cell, **settings).cell_id) == [name]


@settings(max_examples=25)
@given(
    st.sampled_from(["square", "majortom", "majortom-eg", "lonlat", "geohash"]),
    st.lists(st.tuples(st.integers(-400, 400), st.integers(-400, 400)), min_size=3, max_size=7),
    st.sampled_from([(15.0, 47.0), (179.9, -17.0), (0.0, 0.0), (-60.0, 70.0)]),
)
def test_cells_are_exactly_those_that_overlap_by_area(kind, vertices, place):
    hull = shapely.MultiPoint([(place[0] + x / 1000, place[1] + y / 1000) for x, y in vertices]).convex_hull & WORLD
    if hull.geom_type != "Polygon" or hull.area < 1e-3:
        return
    recipe = {"size_m": 9000, "precision": 5, "step": "1/10"}
    found = cells(kind, hull, **recipe)
    around = cells(kind, shapely.box(*hull.bounds), **recipe)
    shared = shapely.area(shapely.intersection(around.geometry.to_numpy(), hull)) / shapely.area(
        around.geometry.to_numpy()
    )
    assert set(around.cell_id[shared > 1e-4]) <= set(found.cell_id)
    assert set(found.cell_id) <= set(around.cell_id[shared > 0])


def test_custom_grid_when_the_function_fails_then_it_is_said_in_one_line():
    spec = GridRecipe(kind="custom", callable="os:system")
    with pytest.raises(ConfigError, match="the grid os:system failed: TypeError"):
        registry.load("grids", "custom").cells(shapely.box(10, 40, 11, 41), spec)


@pytest.mark.timeout(60)
def test_project_area_when_it_is_tangled_in_the_plane_then_refused_at_once(monkeypatch):
    monkeypatch.setattr(square, "densify", lambda area: area)  # an area is sound before, and only projecting tangles it
    turn = np.arange(4001) * np.pi * (1 - 1 / 4001)
    tangled = shapely.Polygon(np.column_stack([15 + 0.1 * np.cos(turn), 47 + 0.1 * np.sin(turn)]))
    with pytest.raises(ConfigError, match="crosses itself over 1,000 times"):
        square.project_area(tangled, "EPSG:3857")
