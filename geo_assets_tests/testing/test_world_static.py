import dataclasses

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.warp import Resampling
from rasterio.warp import reproject as warp
from scipy import ndimage

from geo_assets.errors import ConfigError
from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox
from geo_assets.testing.world import SampleWorld
from geo_assets.testing.world_plan import exact_box
from geo_assets.testing.world_static import Cover, Terrain, cover_tiles, dem_tiles
from geo_assets_tests.realdata import real_items

COVERS = {10, 30, 40, 50, 60, 80}


def centres(source: rasterio.DatasetReader, crs: str):
    """X and y in ``crs`` of the pixel centres of a file, worked out from its header."""
    t = source.transform
    lon, lat = np.meshgrid(t.c + t.a * (np.arange(source.width) + 0.5), t.f + t.e * (np.arange(source.height) + 0.5))
    return transformer("EPSG:4326", crs).transform(lon, lat)


def world_box(lon: float, lat: float) -> GeoBox:
    zone = int((lon + 180) // 6) + 1
    crs = f"EPSG:{32600 + zone if lat >= 0 else 32700 + zone}"
    x, y = transformer("EPSG:4326", crs).transform(lon, lat)
    return exact_box(crs, round(x / 20) * 20 - 5000, round(y / 20) * 20 + 3000, (600, 1000), 10)


@pytest.mark.parametrize("arcsec", [1, 3])
def test_dem_then_the_files_hold_the_true_heights_at_pixel_centres_and_name_no_nodata(everything, arcsec):
    items = everything.items[f"cop-dem-glo-{30 * arcsec}"]
    assert len(items) == 2
    sea = 0
    for item in items.values():
        with everything.open(item, "data") as source:
            stored = source.read(1)
            assert (source.dtypes[0], source.nodata, source.crs.to_epsg()) == ("float32", None, 4326)
            truth = everything.world.truth_height(*centres(source, everything.world.crs))
        assert np.abs(stored - truth).max() < 1e-3
        sea += int((stored == 0).sum())
    assert sea > 100


def test_dem_then_its_tiles_meet_inside_the_world_and_share_no_pixel(everything):
    world = everything.world
    west, east = sorted(everything.items["cop-dem-glo-30"].values(), key=lambda i: i["bbox"][0])
    with everything.open(west, "data") as a, everything.open(east, "data") as b:
        assert a.bounds.right == pytest.approx(b.bounds.left, abs=1e-12)
        assert (a.bounds.top, a.bounds.bottom) == pytest.approx((b.bounds.top, b.bounds.bottom), abs=1e-12)
        seam = a.bounds.right
        assert a.res == pytest.approx((1 / 3600, 1 / 3600), abs=1e-12)
        # A pixel's centre, not its edge, lies on a whole degree
        assert a.bounds.left * 3600 % 1 == pytest.approx(0.5, abs=1e-6)
        outline = shapely.box(a.bounds.left, a.bounds.bottom, b.bounds.right, b.bounds.top)
    bounds = world.box.lonlat().bounds
    assert bounds[0] < seam < bounds[2]
    assert outline.contains(shapely.box(*bounds).buffer(1 / 240))


def test_dem_when_the_world_lies_on_whole_degrees_then_tiles_are_cut_and_named_there():
    tiles = dem_tiles(world_box(15.0, 50.0), 1)
    names = {t.name(decimals=True): t for t in tiles}
    assert {"N50_00_E015_00", "N49_00_E015_00", "N50_00_E014_00", "N49_00_E014_00"} <= names.keys()
    north, south = names["N50_00_E015_00"], names["N49_00_E015_00"]
    # Columns are half as wide again north of 50 degrees
    assert (float(north.step_x * 3600), float(south.step_x * 3600)) == (1.5, 1.0)
    assert float(north.step_y * 3600) == float(south.step_y * 3600) == 1.0
    assert float(north.left) == pytest.approx(15 - 0.75 / 3600)
    assert float(south.top) == pytest.approx(50 + 0.5 / 3600)
    assert north.top - north.shape[0] * north.step_y == south.top


@pytest.mark.parametrize(("lat", "arcsec"), [(5.4, 1), (55.4, 1.5), (-55.4, 1.5), (65.4, 2), (75.4, 3), (82.4, 5)])
def test_dem_then_its_columns_are_as_wide_as_in_real_tiles_of_that_latitude(lat, arcsec):
    for tile in dem_tiles(world_box(15.5, lat), 1):
        assert float(tile.step_x * 3600) == arcsec
        assert float(tile.step_y * 3600) == 1
        name = tile.name(decimals=True)
        assert name.startswith(f"{'N' if lat > 0 else 'S'}{abs(int(np.floor(lat))):02}_00_E015_")


def test_dem_when_compared_with_a_real_item_then_origin_and_fields_follow_the_same_rules(everything):
    for collection in ("cop-dem-glo-30", "cop-dem-glo-90"):
        real = real_items(f"planetary-computer__{collection}")[0]
        # The real tile's corner is half a pixel from the whole degree, as ours of that place would be
        a, _, c, _, e, f = real["properties"]["proj:transform"]
        assert (c + a / 2, f + e / 2) == pytest.approx((round(c), round(f)), abs=1e-9)
        for item in everything.items[collection].values():
            assert item["properties"].keys() == real["properties"].keys()
            assert item["properties"]["gsd"] == real["properties"]["gsd"]
            ours, theirs = item["assets"]["data"], real["assets"]["data"]
            assert ours.keys() == theirs.keys()
            assert (ours["roles"], ours["type"]) == (theirs["roles"], theirs["type"])
            assert len(item["id"]) == len(real["id"])
            assert item["id"].split("_")[3] == real["id"].split("_")[3]


@pytest.mark.parametrize(
    ("collection", "asset"),
    [("cop-dem-glo-30", "data"), ("cop-dem-glo-90", "data"), ("esa-worldcover", "map"), ("io-lulc-annual-v02", "data")],
)
def test_items_then_they_agree_with_the_headers(everything, collection, asset):
    for item in everything.items[collection].values():
        # The real items of ESA WorldCover tell shape and transform of each asset, the others of the item
        said = item["properties"] | item["assets"][asset]
        with everything.open(item, asset) as source:
            assert source.crs.to_epsg() == said["proj:epsg"]
            assert [*source.shape] == said["proj:shape"]
            assert [*source.transform[:6]] == said["proj:transform"]
            bounds = source.bounds
        outline = shapely.geometry.shape(item["geometry"])
        if said["proj:epsg"] == 4326:
            assert outline.bounds == pytest.approx(bounds, abs=1e-6)


def test_terrain_then_slope_and_aspect_are_those_of_differences_of_height(everything):
    world = everything.world
    x, y = (v.ravel() for v in np.meshgrid(*world.box.centers()))
    east, north = (
        (world.truth_height(x + a, y + b) - world.truth_height(x - a, y - b)) / 2 for a, b in ((1, 0), (0, 1))
    )
    inland = (world.truth_height(x, y) > 0.1) & (np.hypot(east, north) > 1e-3)
    slope = np.degrees(np.arctan(np.hypot(east, north)))
    assert np.abs(world.terrain.slope(x, y) - slope).max() < 0.01
    aspect = np.degrees(np.arctan2(-east, -north)) % 360
    turn = np.abs(world.terrain.aspect(x, y) - aspect)[inland]
    assert np.minimum(turn, 360 - turn).max() < 0.1
    assert np.isnan(world.terrain.aspect(x, y)[world.truth_height(x, y) == 0]).all()


def test_terrain_then_the_usual_world_has_a_level_sea_and_steep_hills():
    world = SampleWorld()
    x, y = np.meshgrid(*world.box.centers())
    height, slope = world.truth_height(x, y), world.terrain.slope(x, y)
    assert height.dtype == np.float64
    assert 0.02 < (height == 0).mean() < 0.1
    assert (slope[height == 0] == 0).all()
    assert 300 < height.max() < 1000
    assert 25 < slope.max() < 50
    assert height[0, -1] > height[-1, 0] == 0


def test_terrain_when_the_tiles_are_warped_then_the_slope_is_found_again(everything):
    world = everything.world
    height = np.full(world.size_px, np.nan, np.float32)
    for item in everything.items["cop-dem-glo-30"].values():
        with everything.open(item, "data") as source:
            part = np.full(world.size_px, np.nan, np.float32)
            warp(
                source.read(1), part, src_transform=source.transform, src_crs=source.crs,
                dst_transform=world.box.transform, dst_crs=world.crs, resampling=Resampling.bilinear, dst_nodata=np.nan,
                init_dest_nodata=True,
            )  # fmt: skip
            height = np.where(np.isnan(height), part, height)
    x, y = np.meshgrid(*world.box.centers())
    assert np.abs(height - world.truth_height(x, y)).max() < 0.6
    smooth = ndimage.gaussian_filter(height, 3)
    north, east = np.gradient(smooth, 10)
    slope = np.degrees(np.arctan(np.hypot(east, north)))
    assert np.abs(slope - world.terrain.slope(x, y))[20:-20, 20:-20].max() < 0.5


def test_seed_then_hills_lie_elsewhere_but_the_coast_stays():
    a, b = (Terrain(seed, SampleWorld().box) for seed in (7, 8))
    x, y = np.meshgrid(*SampleWorld().box.centers())
    assert np.abs(a.height(x, y) - b.height(x, y)).max() > 20
    assert np.array_equal(a.height(x, y) == 0, b.height(x, y) == 0)


@pytest.mark.parametrize("year", [2020, 2021])
def test_worldcover_then_every_pixel_has_the_class_of_the_world_at_its_centre(everything, year):
    world = everything.world
    (item,) = (i for n, i in everything.items["esa-worldcover"].items() if f"_{year}_" in n)
    with everything.open(item, "map") as source:
        stored = source.read(1)
        assert (source.dtypes[0], source.nodata, source.crs.to_epsg()) == ("uint8", 0, 4326)
        assert source.res == pytest.approx((1 / 12000, 1 / 12000), abs=1e-15)
        assert source.bounds.left * 12000 % 1 == pytest.approx(0, abs=1e-5)
        x, y = centres(source, world.crs)
    west, _, _, north = world.box.bounds
    row, col = np.floor((north - y) / 10).astype(int), np.floor((x - west) / 10).astype(int)
    inside = (row >= 0) & (row < world.size_px[0]) & (col >= 0) & (col < world.size_px[1])
    truth = world.truth_landcover(year=year)
    assert np.array_equal(stored[inside], truth[row[inside], col[inside]])
    assert (stored[~inside] == 0).all()
    assert set(np.unique(stored[inside]).tolist()) == COVERS


def test_worldcover_then_its_editions_differ_in_the_changed_field_and_nowhere_else(everything):
    world = everything.world
    before, after = world.truth_landcover(year=2020), world.truth_landcover(year=2021)
    assert np.array_equal(before != after, world.cover.changed)
    assert world.cover.changed.sum() > 100
    assert ndimage.label(world.cover.changed)[1] >= 1
    assert set(before[world.cover.changed].tolist()) == {30}
    assert set(after[world.cover.changed].tolist()) == {40}
    assert np.array_equal(world.truth_landcover(year=2024), after)
    files = [everything.read(i, "map") for _, i in sorted(everything.items["esa-worldcover"].items())]
    assert (files[0] != files[1]).any()


def test_landcover_then_it_is_that_of_the_images(everything):
    world = everything.world
    cover, nir = world.truth_landcover(), world.truth("2024-06", "nir")
    assert nir[ndimage.binary_erosion(cover == 80, iterations=3)].max() < 0.03
    assert nir[cover == 10].mean() > 0.25


def test_truth_landcover_when_asked_for_a_window_then_it_is_that_part_and_0_outside(everything):
    world = everything.world
    part = world.truth_landcover(world.box.window(-3, 0, 10, 20), 2021)
    assert part.dtype == np.uint8
    assert (part[:3] == 0).all()
    assert np.array_equal(part[3:], world.truth_landcover()[:7, :20])
    with pytest.raises(ConfigError, match="grid"):
        world.truth_landcover(dataclasses.replace(world.box, crs="EPSG:32632"))


def test_annual_maps_then_they_hold_the_truth_by_their_own_codes(everything):
    world = everything.world
    codes = {80: 1, 10: 2, 40: 5, 50: 7, 60: 8, 30: 11}
    items = everything.items["io-lulc-annual-v02"]
    assert items.keys() == {"33T-2020", "33T-2021", "33T-2024"}
    for item in items.values():
        with everything.open(item, "data") as source:
            stored = source.read(1)
            assert (source.dtypes[0], source.nodata, source.crs.to_epsg()) == ("uint8", 0, 32633)
            assert source.transform == world.box.transform
        truth = world.truth_landcover(year=int(item["properties"]["start_datetime"][:4]))
        for ours, theirs in codes.items():
            assert np.array_equal(stored == theirs, truth == ours)


def test_landcover_items_then_they_have_the_fields_of_real_ones(everything):
    for collection, asset in (("esa-worldcover", "map"), ("io-lulc-annual-v02", "data")):
        real = real_items(f"planetary-computer__{collection}")[0]
        for item in everything.items[collection].values():
            ours, theirs = item["assets"][asset], real["assets"][asset]
            assert item["properties"].keys() == real["properties"].keys()
            assert theirs.keys() - ours.keys() <= {"file:size", "created"}
            assert ours.keys() <= theirs.keys()
            assert (ours["roles"], ours["type"]) == (theirs["roles"], theirs["type"])
            for field in ("raster:bands", "classification:classes", "file:values"):
                assert ours.get(field) == theirs.get(field)
            assert item["properties"]["datetime"] is None


def test_worldcover_when_the_world_lies_on_the_edge_of_a_tile_then_there_are_two():
    box = world_box(15.0, 48.0)
    names = {t.name(decimals=False): t for t in cover_tiles(box)}
    assert names.keys() == {"N48E015", "N48E012", "N45E015", "N45E012"}
    assert names["N48E015"].left == 15
    assert names["N45E015"].top == 48


def test_cover_when_a_place_is_outside_the_world_then_it_is_0():
    world = SampleWorld()
    west, _, _, north = world.box.bounds
    cover = Cover(world.seed, world.box)
    assert cover.at(np.array([west - 1, west + 1]), np.array([north - 1, north + 1]), 2021).tolist() == [0, 0]
    assert cover.at(np.array([west + 1]), np.array([north - 1]), 2021)[0] == cover.classes(2021)[0, 0]
