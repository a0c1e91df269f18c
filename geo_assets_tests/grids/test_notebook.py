"""The grids for notebooks."""

import subprocess
import sys

import geopandas as gpd
import odc.geo.geobox
import pytest
import shapely

from geo_assets import grids
from geo_assets.errors import ConfigError

AREA = shapely.MultiPolygon([shapely.box(-123.2, 49.0, -123.15, 49.03), shapely.box(-123.1, 49.05, -123.09, 49.06)])


@pytest.fixture
def path(tmp_path):
    gpd.GeoDataFrame(geometry=[AREA], crs="EPSG:4326").to_file(tmp_path / "aoi.gpkg")
    return tmp_path / "aoi.gpkg"


def test_load_geometry_file_gives_the_union_in_degrees(path):
    assert shapely.symmetric_difference(grids.load_geometry_file(path), AREA).area < 1e-12
    with pytest.raises(ValueError, match="does not exist"):
        grids.load_geometry_file("nothing.gpkg")


@pytest.mark.parametrize(
    "generator", [None, grids.majortom_generator(512, True), grids.square_tiling_generator(512, "EPSG:32610")]
)
def test_load_grid_for_aoi_gives_cells_twice_and_their_geobox(path, generator):
    spec = grids.GridSpec(d=512, target_crs="EPSG:32610", res_m=16, id_column="name")
    degrees, target, box = grids.load_grid_for_aoi(path, spec=spec, generator=generator)
    assert degrees.crs.to_epsg() == 4326
    assert target.crs.to_epsg() == 32610
    assert list(degrees["name"]) == list(target["name"])
    assert degrees["name"].is_unique
    assert degrees.geometry.union_all().buffer(1e-9).covers(AREA)
    assert isinstance(box, odc.geo.geobox.GeoBox)
    assert box.crs.to_epsg() == 32610


@pytest.mark.parametrize("res", [7, 16, 17, 23, 30, 41, 60])
def test_load_grid_for_aoi_snaps_the_geobox_outward_to_the_resolution(path, res):
    spec = grids.GridSpec(target_crs="EPSG:32610", res_m=res)
    _, target, box = grids.load_grid_for_aoi(
        path, spec=spec, generator=grids.square_tiling_generator(500, "EPSG:32610")
    )
    west, south, east, north = target.total_bounds
    left, bottom, right, top = box.boundingbox
    a = box.affine
    assert (a.a, a.b, a.d, a.e) == (res, 0, 0, -res)
    for edge in (left, bottom, right, top):
        assert edge % res == 0
    for inner in (west - left, south - bottom, right - east, top - north):
        assert -1e-4 < inner < res
    assert box.shape == ((top - bottom) / res, (right - left) / res)


def test_square_tiling_generator_names_the_same_square_for_every_area():
    generate = grids.square_tiling_generator(512, "EPSG:32610")
    whole, part = generate(AREA), generate(AREA.geoms[1])
    both = whole.merge(part.drop(columns="geometry"), on="grid_id")
    assert len(both) == len(part)
    assert set(part.columns) >= {"grid_id", "geometry"}
    sizes = shapely.area(whole.to_crs(32610).geometry.to_numpy())
    assert sizes == pytest.approx([512.0**2] * len(sizes), rel=1e-6)


def test_custom_generator_reprojects_and_names_by_place():
    squares = gpd.GeoSeries([shapely.box(-123.2, 49, -123.1, 49.1)], crs=4326).to_crs(3857)
    generate = grids.custom_generator(lambda aoi: gpd.GeoDataFrame({"grid_id": ["a"]}, geometry=squares, crs=3857))
    assert generate(AREA).total_bounds == pytest.approx((-123.2, 49, -123.1, 49.1))
    rows = grids.custom_generator(lambda aoi: [{"geometry": shapely.box(-124, 48, -123, 50)}])
    with pytest.warns(UserWarning, match="geohash"):
        named = rows(AREA)
    assert len(named.grid_id[0]) == 11
    empty = grids.custom_generator(lambda aoi: [])
    assert len(empty(AREA)) == 0


def test_load_grid_for_aoi_without_cells_is_refused(path):
    with pytest.raises(ConfigError, match="no cells"):
        grids.load_grid_for_aoi(path, generator=grids.custom_generator(lambda aoi: []))


def test_listing_the_grids_imports_none_of_them():
    code = (
        "import sys; from geo_assets import registry; registry.available('grids'); "
        "bad = [m for m in sys.modules if m.startswith(('geo_assets.grids.', 'geopandas', 'odc'))]; assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_that_are_loaded_late_are_offered_and_there():
    code = (
        "import geo_assets, sys; early = set(sys.modules)\n"
        "assert {'grids', 'open', '__version__'} <= set(dir(geo_assets))\n"
        "assert {'GridSpec', 'load_grid_for_aoi', 'custom_generator'} <= set(dir(geo_assets.grids))\n"
        "assert not {'geopandas', 'geo_assets.grids'} & early, early\n"
        "assert all(hasattr(geo_assets.grids, n) for n in geo_assets.grids.__all__)\n"
        "assert not hasattr(geo_assets, 'nothing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
