"""Areas of interest: every doubt is settled and noted, or refused with the reason."""

import json
import sqlite3
import struct
import zipfile

import geopandas as gpd
import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.eo import aoi as aoi_module
from geo_assets.eo import vector
from geo_assets.eo.aoi import box_geometry, clean_geometry, read_aoi
from geo_assets.errors import ConfigError
from geo_assets.model.crs import reproject
from geo_assets.model.recipe import AoiRecipe
from geo_assets_tests.realdata import real_data

SQUARE = shapely.box(15, 46.5, 15.5, 47)
BOW_TIE = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])


def write(path, *geometries, crs="EPSG:4326", **options):
    table = gpd.GeoDataFrame({"n": range(len(geometries))}, geometry=list(geometries), crs=crs)
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_file(path, **options)
    return path


def read(path, layer=None):
    return read_aoi("test", AoiRecipe(path=path.name, layer=layer), path.parent)


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.geojson", "a.json", "a.gml", "a.kml", "a.fgb", "a.parquet"])
def test_read_aoi_of_every_format_gives_the_same_area(tmp_path, name):
    driver = {"driver": {"a.json": "GeoJSON", "a.kml": "KML"}[name]} if name in ("a.json", "a.kml") else {}
    found = read(write(tmp_path / name, SQUARE, **driver))
    assert found.geometry.geom_type == "MultiPolygon"
    assert shapely.symmetric_difference(found.geometry, SQUARE).area < 1e-9
    assert found.notes == ()


def test_read_aoi_of_gml_leaves_no_file_beside_it(tmp_path):
    path = write(tmp_path / "a.gml", SQUARE)
    for other in tmp_path.iterdir():
        if other != path:
            other.unlink()
    read(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.gml"]


def test_read_aoi_of_a_zipped_shapefile_reads_it(tmp_path):
    write(tmp_path / "a.shp", SQUARE)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for part in tmp_path.glob("a.[sdp]*"):
            archive.write(part, f"folder/{part.name}")
    assert read(tmp_path / "a.zip").geometry.equals(shapely.MultiPolygon([SQUARE]))


def test_read_aoi_of_a_projected_file_bends_long_edges(tmp_path):
    wide = shapely.box(2.6e6, 1.6e6, 6.5e6, 5.2e6)
    found = read(write(tmp_path / "a.gpkg", wide, crs="EPSG:3035")).geometry
    corners = shapely.Polygon([(-16.1, 32.9), (-17.4, 33.0)] + [(0, 0)] * 2)
    assert shapely.get_num_coordinates(found) > shapely.get_num_coordinates(corners) * 100
    # The lower edge bulges toward the equator's side of the chord between its corners
    assert found.contains(shapely.Point(10.0, 40.0))


def test_read_aoi_of_several_layers_and_none_named_lists_them(tmp_path):
    path = write(tmp_path / "a.gpkg", SQUARE, layer="fields")
    write(path, shapely.box(1, 1, 2, 2), layer="roads", mode="a")
    with pytest.raises(ConfigError, match=r"AOI 'test'.*fields, roads"):
        read(path)
    assert read(path, "roads").geometry.bounds == (1, 1, 2, 2)
    with pytest.raises(ConfigError, match=r"no layer 'nope'.*fields, roads"):
        read(path, "nope")


def test_read_aoi_without_crs_assumes_degrees_and_warns(tmp_path):
    path = write(tmp_path / "a.shp", SQUARE)
    path.with_suffix(".prj").unlink()
    with pytest.warns(UserWarning, match="has no CRS"):
        found = read(path)
    assert "EPSG:4326" in found.notes[0]
    assert found.geometry.bounds == SQUARE.bounds


def test_read_aoi_without_crs_in_metres_is_refused(tmp_path):
    path = write(tmp_path / "a.shp", shapely.box(5e5, 5e6, 6e5, 5.1e6), crs="EPSG:32633")
    path.with_suffix(".prj").unlink()
    with pytest.raises(ConfigError, match=r"outside the world.*CRS is missing"):
        read(path)


def test_read_aoi_of_points_or_lines_advises_to_buffer(tmp_path):
    for geometry in (shapely.Point(1, 1), shapely.LineString([(0, 0), (1, 1)])):
        with pytest.raises(ConfigError, match="no area: buffer"):
            read(write(tmp_path / "a.gpkg", geometry))


def test_read_aoi_of_mixed_kinds_notes_what_it_left_out():
    found, notes = clean_geometry(np.array([SQUARE, shapely.Point(1, 1)], dtype=object), "EPSG:4326")
    assert found.bounds == SQUARE.bounds
    assert notes == ("1 of 2 geometries are points or lines and were left out",)


def test_read_aoi_of_unfit_files_says_why(tmp_path):
    (tmp_path / "empty.gpkg").touch()
    (tmp_path / "text.gpkg").write_text("hello")
    (tmp_path / "a.xlsx").write_text("hello")
    (tmp_path / "half.geojson").write_text('{"type": "FeatureCollection", "features": [')
    (tmp_path / "folder.gpkg").mkdir()
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 nothing")
    write(tmp_path / "none.gpkg", shapely.Polygon())
    reasons = {
        "absent.gpkg": "does not exist", "empty.gpkg": "is empty", "text.gpkg": "not what its extension",
        "a.xlsx": "extension .xlsx: give one of", "half.geojson": "cannot be read", "folder.gpkg": "is a folder",
        "bad.zip": "not a readable zip", "none.gpkg": "area is empty",
    }  # fmt: skip
    for name, reason in reasons.items():
        with pytest.raises(ConfigError, match=reason):
            read(tmp_path / name)


def test_read_aoi_of_a_virtual_format_opens_nothing_that_it_names(tmp_path):
    write(tmp_path / "secret.gpkg", SQUARE)
    vrt = f'<OGRVRTDataSource><OGRVRTLayer name="secret"><SrcDataSource>{tmp_path}/secret.gpkg</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'
    for name in ("a.gpkg", "a.gml", "a.kml", "a.geojson", "a.shp"):
        (tmp_path / name).write_text(f"<!-- gml kml -->{vrt}")
        with pytest.raises(ConfigError, match="not what its extension"):
            read(tmp_path / name)


def with_views(path, **views):
    write(path, SQUARE, layer="a")
    shape = "SELECT {} AS fid, (SELECT geom FROM a LIMIT 1) AS geom"
    with sqlite3.connect(path) as file:
        for name, query in views.items():
            if name.startswith("gpkg_"):
                file.execute(f"DROP TABLE {name}")
            file.execute(f"CREATE VIEW {name} AS {query.format(shape=shape.format('1'))}")
            if not name.startswith("gpkg_"):
                for table, named in (
                    ("gpkg_contents", "table_name, identifier"),
                    ("gpkg_geometry_columns", "table_name"),
                ):
                    listed = [c for _, c, *_ in file.execute(f"PRAGMA table_info({table})")]
                    values = [f"'{name}'" if c in named.split(", ") else c for c in listed]
                    file.execute(f"INSERT INTO {table} SELECT {', '.join(values)} FROM {table} WHERE table_name = 'a'")
    file.close()
    return path


ENDLESS = "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT i AS fid, (SELECT geom FROM a) AS geom FROM r WHERE i < 0"


@pytest.mark.timeout(20)
def test_read_aoi_of_a_geopackage_runs_no_view(tmp_path):
    path = with_views(tmp_path / "a.gpkg", evil=ENDLESS)
    assert read(path).geometry.equals(shapely.MultiPolygon([SQUARE]))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "folder/a.gpkg")
    assert read(tmp_path / "a.zip").geometry.equals(shapely.MultiPolygon([SQUARE]))
    with pytest.raises(ConfigError, match=r"layer evil of a.gpkg is a view, which is not run: export it as a table"):
        read(path, "evil")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["gpkg_contents", "gpkg_geometry_columns", "gpkg_extensions"])
def test_read_aoi_of_a_geopackage_whose_own_tables_are_views_is_refused(tmp_path, name):
    path = with_views(tmp_path / "a.gpkg", **{name: ENDLESS})
    with pytest.raises(ConfigError, match=f"'{name}' in place of a table"):
        read(path)


@pytest.mark.timeout(20)
def test_read_aoi_of_a_geopackage_with_views_alone_is_refused(tmp_path):
    path = with_views(tmp_path / "a.gpkg", plain="{shape}")
    with sqlite3.connect(path) as file:
        file.execute("DELETE FROM gpkg_contents WHERE table_name = 'a'")
    file.close()
    with pytest.raises(ConfigError, match=r"plain of a.gpkg is a view"):
        read(path)


def test_read_aoi_of_a_damaged_geopackage_says_so(tmp_path):
    path = write(tmp_path / "a.gpkg", SQUARE)
    path.write_bytes(path.read_bytes()[:6_000])
    with pytest.raises(ConfigError, match=r"cannot be read as \.gpkg"):
        read(path)
    path.write_bytes(b"SQLite format 3\0" + bytes(5_000))
    with pytest.raises(ConfigError, match=r"cannot be read as \.gpkg"):
        read(path)


def test_read_aoi_of_a_geopackage_that_is_open_elsewhere_reads_it(tmp_path):
    path = write(tmp_path / "a.gpkg", SQUARE)
    file = sqlite3.connect(path)
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("CREATE TABLE notes (text)")
    file.commit()
    assert read(path).geometry.area == pytest.approx(SQUARE.area)
    file.close()


def test_read_aoi_refuses_a_zip_bomb_before_unpacking(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.geojson", b"{" + b" " * 200_000_000)
    assert (tmp_path / "a.zip").stat().st_size < 250_000
    with pytest.raises(ConfigError, match="unpacks to 200 MB"):
        read(tmp_path / "a.zip")


def test_read_aoi_refuses_a_file_over_the_cap(tmp_path, monkeypatch):
    path = write(tmp_path / "a.gpkg", SQUARE)
    monkeypatch.setattr(vector, "MAX_FILE_BYTES", 1000)
    with pytest.raises(ConfigError, match="is the most"):
        read(path)


def test_clean_geometry_over_the_cap_of_vertices_is_refused(monkeypatch):
    monkeypatch.setattr(aoi_module, "MAX_VERTICES", 10)
    with pytest.raises(ConfigError, match="vertices and 10 is the most"):
        clean_geometry(shapely.Point(0, 0).buffer(1), "EPSG:4326")


def test_clean_geometry_of_a_bow_tie_is_mended_and_noted():
    found, notes = clean_geometry(BOW_TIE, "EPSG:4326")
    assert found.is_valid
    assert found.area == pytest.approx(2)
    assert "mended" in notes[0]
    assert "Self-intersection" in notes[0]


@pytest.mark.parametrize("vertices", [[(0, 0), (1, np.nan), (1, 1)], [(0, 0), (1, np.inf), (1, 1)]])
def test_clean_geometry_with_a_vertex_that_is_no_number_is_refused(vertices):
    with pytest.raises(ConfigError, match="not a number"):
        clean_geometry(shapely.Polygon(vertices), "EPSG:4326")


def test_clean_geometry_without_area_is_refused():
    with pytest.raises(ConfigError, match="no area"):
        clean_geometry(shapely.Polygon([(0, 0), (1, 1), (2, 2)]), "EPSG:4326")
    with pytest.raises(ConfigError, match="empty"):
        clean_geometry(shapely.Polygon(), "EPSG:4326")


def test_clean_geometry_in_lat_lon_order_says_so():
    with pytest.raises(ConfigError, match="latitude and longitude look swapped"):
        clean_geometry(shapely.box(47, 100, 48, 101), "EPSG:4326")


def test_clean_geometry_across_the_antimeridian_is_split_however_it_is_written():
    expected = shapely.MultiPolygon([shapely.box(-180, 0, -179, 1), shapely.box(179, 0, 180, 1)])
    beyond = shapely.box(179, 0, 181, 1)
    jumping = shapely.Polygon([(179, 0), (-179, 0), (-179, 1), (179, 1)])
    projected = shapely.box(2e5, 1000, 3e5, 2000)
    for geometry in (beyond, jumping):
        assert shapely.symmetric_difference(clean_geometry(geometry, "EPSG:4326")[0], expected).area < 1e-12
    found, _ = clean_geometry(shapely.transform(projected, lambda xy: xy - (1e5, 0)), "EPSG:32601")
    assert {round(abs(part.bounds[0] if part.bounds[0] < 0 else part.bounds[2])) for part in found.geoms} == {180}


def test_clean_geometry_around_a_pole_holds_it_and_nothing_beyond():
    disk = shapely.Point(0, 0).buffer(1e6)
    found, _ = clean_geometry(disk, "EPSG:3031")
    assert found.bounds[1] == -90
    assert found.covers(shapely.Point(77, -89.999))
    assert found.bounds[3] < -80
    corner, _ = clean_geometry(shapely.box(0, 0, 1e5, 1e5), "EPSG:3413")
    assert corner.bounds[0] == pytest.approx(45)
    assert corner.bounds[2] == pytest.approx(135)


def test_clean_geometry_takes_wide_boxes_as_they_are_written():
    assert clean_geometry(shapely.box(-100, 0, 100, 1), "EPSG:4326")[0].area == pytest.approx(200)
    assert clean_geometry(shapely.box(-180, -90, 180, 90), "EPSG:4326")[0].area == pytest.approx(64800)


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        ([0, 0, 0, 1], "no area"),
        ([0, 1, 1, 0], "south < north"),
        ([0, 0, 190, 1], "west > east"),
        ([0, 0, 1, 91], "lie between -90 and 90"),
        ([47, 100, 48, 101], "-90 and 90"),
        ([100, 47, 101, 147], "-90 and 90"),
        ([0, float("nan"), 1, 1], "not a number"),
        ([0, float("inf"), 1, 1], "not a number"),
    ],
)
def test_box_geometry_of_a_wrong_box_says_what_is_wrong(bbox, reason):
    with pytest.raises(ConfigError, match=reason):
        box_geometry(bbox)


def test_box_geometry_in_lat_lon_order_says_so():
    with pytest.raises(ConfigError, match="lat, lon order"):
        box_geometry([46, 115, 47, 116])


@given(st.floats(-180, 180), st.floats(-180, 180), st.floats(-90, 89), st.floats(0.1, 1))
def test_box_geometry_of_any_box_spans_from_west_eastward_to_east(west, east, south, height):
    if west == east or min(abs(west - east), 360 - abs(west - east)) < 1e-6:
        return
    found = box_geometry([west, south, east, south + height])
    assert found.is_valid
    wide = (east - west) % 360 or 360
    assert found.area == pytest.approx(wide * height, rel=1e-6)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(-190, 190), st.floats(-90, 90)), min_size=3, max_size=8))
def test_clean_geometry_of_any_ring_is_valid_or_refused(vertices):
    try:
        found, _ = clean_geometry(shapely.Polygon(vertices), "EPSG:4326")
    except ConfigError:
        return
    assert found.is_valid
    assert found.area > 0
    west, south, east, north = found.bounds
    assert -180 <= west < east <= 180
    assert -90 <= south < north <= 90


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("svn_border.geojson", 1), ("gelos_map_v0.40.geojson", 639), ("vancouver-test.gpkg", 1), ("region1-aoi.fgb", 1),
        ("nyc_districts.gpkg", None), ("MSK_CLOUDS_B00.gml", 22), ("eopatch_lulc.gpkg", None), ("continents.json", None),
        ("import-gpkg-test_multilayer.gpkg", None), ("ne_110m_admin_0/naturalearth_lowres.shp", None),
    ],
)  # fmt: skip
def test_read_aoi_of_real_files_gives_valid_areas(name, parts):
    found = read(real_data("aoi", name)).geometry
    assert found.is_valid
    assert found.area > 0
    assert parts is None or len(found.geoms) == parts


@pytest.mark.realdata
def test_read_aoi_of_real_points_is_refused():
    with pytest.raises(ConfigError, match="points or lines"):
        read(real_data("aoi", "s2_train_cities.geojson"))


def test_read_aoi_of_a_shapefile_that_lies_about_its_length_is_refused(tmp_path):
    path = write(tmp_path / "a.shp", SQUARE)
    data = bytearray(path.read_bytes())
    data[100 + 8 + 36 : 100 + 8 + 44] = struct.pack("<ii", 2**30, 2**30)
    path.write_bytes(bytes(data))
    with pytest.raises(ConfigError):
        read(path)


def test_read_aoi_of_json_that_is_no_geojson_is_refused(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"hello": 1}))
    with pytest.raises(ConfigError, match=r"cannot be read|not what"):
        read(tmp_path / "a.json")


def test_clean_geometry_when_a_ring_crosses_itself_thousands_of_times_then_it_is_refused_at_once():
    ring = np.random.default_rng(1).uniform((10, 40), (11, 41), (4_000, 2))
    with pytest.raises(ConfigError, match="crosses itself over 1,000 times"):
        clean_geometry(shapely.Polygon(ring), "EPSG:4326")


def test_clean_geometry_when_a_tangle_lies_across_the_antimeridian_then_it_is_refused_at_once():
    ring = np.random.default_rng(1).uniform((179, 40), (181, 41), (4_000, 2))
    with pytest.raises(ConfigError, match="crosses itself over 1,000 times"):
        clean_geometry(shapely.Polygon(ring), "EPSG:4326")


def test_clean_geometry_when_squares_touch_at_many_corners_then_they_meet_too_often_to_be_mended():
    holes = [shapely.box(i, j, i + 1, j + 1).exterior for i in range(1, 120) for j in range(1, 120) if (i + j) % 2]
    checkers = shapely.transform(shapely.Polygon(shapely.box(0, 0, 121, 121).exterior, holes), lambda xy: xy / 10)
    with pytest.raises(ConfigError, match="crosses or touches itself over 20,000 times"):
        clean_geometry(checkers, "EPSG:4326")


def test_clean_geometry_with_many_holes_and_one_fault_is_mended():
    """Neither rings that end where they began nor steps from one ring to the next are crossings."""
    spots = [(3 * i + 1, 3 * j + 1) for i in range(40) for j in range(40)]
    holes = [shapely.box(x, y, x + 1, y + 1).exterior for x, y in [*spots, (1.5, 1.5)]]
    sieve = shapely.transform(shapely.Polygon(shapely.box(0, 0, 121, 121).exterior, holes), lambda xy: xy / 10)
    area, notes = clean_geometry(sieve, "EPSG:4326")
    assert area.area == pytest.approx((121**2 - 1600 - 0.75 + 0.25) / 100, abs=0.01)
    assert len(notes) == 1


def test_clean_geometry_of_a_chain_of_squares_that_touch_is_mended():
    steps = [p for i in range(2_000) for p in ((i, i), (i + 1, i))]
    back = [p for i in range(2_000, 0, -1) for p in ((i - 1, i), (i - 1, i - 1))]
    chain = shapely.transform(shapely.Polygon([*steps, (2_000, 2_000), *back]), lambda xy: xy / 100)
    area, _ = clean_geometry(chain, "EPSG:4326")
    assert area.area == pytest.approx(0.2)


def test_read_aoi_when_a_polygon_has_two_points_then_it_is_refused_in_one_line(tmp_path):
    ring = [[10, 40], [11, 41]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    file = tmp_path / "a.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    with pytest.raises(ConfigError, match="geojson"):
        read_aoi("a", AoiRecipe(path=str(file)), tmp_path)


@pytest.mark.parametrize(
    "text",
    ["garbage", 'PROJCS["x"', 'PROJCS["WGS_1984_UTM', "\0\1\2"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_read_aoi_of_a_shapefile_whose_prj_is_damaged_assumes_nothing(tmp_path, text, packed):
    path = write(tmp_path / "a.shp", SQUARE)
    (tmp_path / "a.prj").write_text(text)
    if packed:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for part in tmp_path.glob("a.[sdp]*"):
                archive.write(part, f"folder/{part.name}")
    with pytest.raises(ConfigError, match=r"a\.prj does not name a CRS|cannot be read as \.shp"):
        read(tmp_path / "a.zip" if packed else path)


def test_read_aoi_of_a_shapefile_whose_prj_is_empty_counts_as_one_without(tmp_path):
    path = write(tmp_path / "a.shp", SQUARE)
    (tmp_path / "a.prj").write_text("\n")
    with pytest.warns(UserWarning, match="has no CRS"):
        assert read(path).geometry.area == pytest.approx(SQUARE.area)


def test_read_aoi_in_a_projection_that_is_unknown_is_refused(tmp_path):
    path = write(tmp_path / "a.shp", SQUARE, crs=None)
    known = pyproj.CRS("EPSG:32633").to_wkt("WKT1_ESRI")
    (tmp_path / "a.prj").write_text(known.replace("Transverse_Mercator", "Nonsense").replace("33N", "99N"))
    with pytest.raises(ConfigError, match="cannot be moved to EPSG:4326"):
        read(path)


GML = """<?xml version="1.0"?><f:FeatureCollection xmlns:gml="http://www.opengis.net/gml/3.2" xmlns:f="http://ogr.maptools.org/" gml:id="x">
<f:featureMember><f:a gml:id="a1"><f:g><gml:Polygon gml:id="p1" srsName="{crs}"><gml:exterior><gml:LinearRing><gml:posList>{xy}</gml:posList>
</gml:LinearRing></gml:exterior></gml:Polygon></f:g></f:a></f:featureMember></f:FeatureCollection>"""


@pytest.mark.parametrize(
    ("crs", "code", "swapped"),
    [
        ("urn:ogc:def:crs:EPSG::4326", 4326, True),
        ("http://www.opengis.net/def/crs/EPSG/0/4326", 4326, True),
        ("EPSG:4326", 4326, False),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", 4326, False),
        ("urn:ogc:def:crs:EPSG::3035", 3035, True),
        ("urn:ogc:def:crs:EPSG::32633", 32633, False),
    ],
)
def test_read_aoi_of_gml_follows_the_order_of_axes_that_its_crs_has(tmp_path, crs, code, swapped):
    ring = shapely.get_coordinates(reproject(shapely.segmentize(SQUARE, 0.01), "EPSG:4326", f"EPSG:{code}"))
    text = " ".join(f"{float(a)!r} {float(b)!r}" for a, b in (ring[:, ::-1] if swapped else ring))
    (tmp_path / "a.gml").write_text(GML.format(crs=crs, xy=text))
    assert shapely.symmetric_difference(read(tmp_path / "a.gml").geometry, SQUARE).area < 1e-6


@pytest.mark.parametrize(
    ("crs", "box"),
    [
        ("EPSG:3857", (-20037508.34, -1e7, 20037508.34, 1e7)),
        ("EPSG:6933", (-17367530.44, -7314540.83, 17367530.44, 7314540.83)),
        ("EPSG:3035", (2.5e6, 1.3e6, 7.5e6, 5.5e6)),
        ("EPSG:3031", (-3e6, -3e6, 3e6, 3e6)),
        ("EPSG:3413", (-4e6, -4e6, 4e6, 4e6)),
        ("EPSG:3413", (1e6, -4e6, 4e6, -1e6)),
        ("EPSG:3832", (-4e6, -1e6, 4e6, 1e6)),
        ("ESRI:54009", (-9e6, -4e6, 9e6, 4e6)),
        ("EPSG:32633", (-5e5, 1e6, 1.5e6, 9e6)),
    ],
)
def test_read_aoi_of_a_wide_area_holds_the_points_that_lie_in_it(tmp_path, crs, box):
    path = tmp_path / "a.gpkg"
    gpd.GeoDataFrame(geometry=[shapely.box(*box)], crs=crs).to_file(path)
    found = read(path)
    assert found.notes == ()
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 4_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 4_000)))
    near = np.abs(lon - 15) < 30 if crs == "EPSG:32633" else np.full(len(lon), True)
    there = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True)
    x, y = there.transform(lon, lat)
    inside = (x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3]) & near
    back = np.array(there.transform(x, y, direction="INVERSE"))
    same = np.isfinite(x) & (np.abs(back[1] - lat) < 1e-6) & near
    seen = shapely.contains_xy(found.geometry, lon, lat)
    assert inside.sum() > 5
    assert np.array_equal(seen[same], inside[same])


@pytest.mark.parametrize(
    ("crs", "box"), [("ESRI:54009", (-1.8e7, -9e6, 1.8e7, 9e6)), ("EPSG:3035", (-1e7, -1e7, 2e7, 2e7))]
)
def test_read_aoi_beyond_what_its_crs_can_show_is_refused(tmp_path, crs, box):
    gpd.GeoDataFrame(geometry=[shapely.box(*box)], crs=crs).to_file(tmp_path / "a.gpkg")
    with pytest.raises(ConfigError, match="can be shown"):
        read(tmp_path / "a.gpkg")


# Tables of tiles


def write_tiles(path, *centres, head="X,Y,Y_tile,X_tile"):
    path.write_text("\n".join([head, *(f"{x!r},{y!r},{n},{n + 7}" for n, (x, y) in enumerate(centres))]) + "\n")
    return path


def test_read_aoi_of_a_table_of_tiles_is_the_union_of_their_boxes(tmp_path):
    row = [((k + 0.5) / 18, (900.5) / 18) for k in range(-50, 50)]
    found = read(write_tiles(tmp_path / "tiles.csv", *row, *row[:9], (100.0, 0.0)))
    assert found.notes == ()
    strip, alone = sorted(found.geometry.geoms, key=lambda g: -g.area)
    assert strip.bounds == pytest.approx((-50 / 18, 50, 50 / 18, 50 + 1 / 18), abs=1e-8)
    assert len(shapely.remove_repeated_points(shapely.simplify(strip, 1e-10)).exterior.coords) == 5
    assert alone.bounds == pytest.approx((100 - 1 / 36, -1 / 36, 100 + 1 / 36, 1 / 36), abs=1e-8)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12),
    st.sampled_from([1 / 18, 1 / 36, 0.05, 0.0556]),
)
def test_read_aoi_of_tiles_that_touch_overlap_or_lie_apart_is_their_union(tmp_path_factory, places, step):
    centres = [(10 + x * step, 50 + y * step) for x, y in places]
    found = read(write_tiles(tmp_path_factory.mktemp("t") / "t.csv", *centres)).geometry
    half = 1 / 36
    wanted = shapely.union_all(
        [shapely.box(x - half, y - half, x + half, y + half) for x, y in centres], grid_size=1e-9
    )
    assert found.is_valid
    assert shapely.symmetric_difference(found, wanted).area < 1e-7


def test_read_aoi_of_a_table_of_failures_leaves_its_other_columns_alone(tmp_path):
    (tmp_path / "failed.csv").write_text(
        'Year,x,y,y_tile,x_tile,cause\n2023,10.5,0.5,1,1,"a,\nb"\n2024,10.5,0.5,1,1,c\n'
    )
    assert read(tmp_path / "failed.csv").geometry.area == pytest.approx(1 / 18**2)


def test_read_aoi_of_a_tile_at_the_antimeridian_goes_on_at_the_other_side(tmp_path):
    found = read(write_tiles(tmp_path / "t.csv", (180.0, 0.0)))
    assert sorted(g.bounds[0] for g in found.geometry.geoms) == pytest.approx([-180, 180 - 1 / 36])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lon,lat\n1,1\n", "column 'X' is missing; it has lon, lat; a table of tiles has X, Y, Y_tile, X_tile"), ("X,Y\n1,1\n", "column 'X_tile' is missing"),
        ("X,Y,X_tile,Y_tile\n", "has no rows"), ("X,Y,X_tile,Y_tile\n1,1,1,1\n500000,1,1,1\n", "row 2: X and Y are no longitude"), ("X,Y,X_tile,Y_tile\n,,,\n", "row 1"),
    ],
)  # fmt: skip
def test_read_aoi_of_a_csv_that_is_no_table_of_tiles_says_why(tmp_path, text, said):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ConfigError, match=f"AOI 'test': a.csv.*{said}"):
        read(tmp_path / "a.csv")


def test_read_aoi_of_a_table_of_tiles_has_no_layers(tmp_path):
    with pytest.raises(ConfigError, match="leave layer out"):
        read(write_tiles(tmp_path / "t.csv", (1.0, 1.0)), layer="a")
