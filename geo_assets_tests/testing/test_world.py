import datetime as dt
import hashlib
import itertools
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import shapely
from pystac.validation import validate_dict
from rio_cogeo import cogeo
from scipy import ndimage

from geo_assets.catalogs.static import StaticCatalog
from geo_assets.eo.scenes import decide
from geo_assets.errors import ConfigError
from geo_assets.model.crs import reproject
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.model.scene import SceneQuery
from geo_assets.sensors.sentinel_2_l2a import PLUGIN
from geo_assets.testing.world import SampleWorld
from geo_assets.testing.world_land import BANDS
from geo_assets_tests.testing.conftest import EVERYTHING

KEEP = (2, 4, 5, 6, 7, 11)
NAIVE = ("no_mask", "no_offset", "double_offset", "bilinear_scl", "mean")
SMALL = SampleWorld(months=("2024-05", "2024-06", "2024-07"), size_px=(320, 512), overlap_px=64, internal_px=128)
TINY = SampleWorld(months=("2024-06",), size_px=(128, 256), overlap_px=64, days=2, internal_px=64)
TINY_OF_ALL = replace(TINY, sensors=EVERYTHING, bands=(*BANDS, "swir22"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("world")
    SMALL.write(path)
    return path


@pytest.fixture(scope="module")
def items(folder):
    return {p.stem: json.loads(p.read_text()) for p in sorted(folder.glob("sentinel-2-l2a/*/*.json"))}


@pytest.fixture(scope="module")
def seen():
    return {o.granule.item_id: o for o in SMALL.observations()}


def checksums(folder: Path) -> dict[str, str]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def read(folder: Path, item: dict, band: str) -> np.ndarray:
    with rasterio.open(folder / "sentinel-2-l2a" / item["id"] / item["assets"][band]["href"]) as source:
        return source.read(1)


def test_write_when_repeated_elsewhere_then_the_bytes_are_equal(tmp_path):
    for name in ("a", "b"):
        assert TINY.write(tmp_path / name) == tmp_path / name / "catalog.json"
    assert checksums(tmp_path / "a") == checksums(tmp_path / "b")


def test_write_when_the_same_world_is_there_then_nothing_is_touched(tmp_path):
    TINY.write(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.tif")}
    TINY.write(tmp_path)
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.tif")}


def test_write_when_another_world_is_there_then_it_is_replaced(tmp_path):
    TINY.write(tmp_path)
    other = SampleWorld(seed=8, months=("2024-07",), size_px=(128, 256), overlap_px=64, days=2, internal_px=64)
    other.write(tmp_path)
    assert {p.name for p in (tmp_path / "sentinel-2-l2a").iterdir() if p.is_dir()} == {
        g.item_id for g in other.granules
    }


def test_write_when_it_was_interrupted_then_it_is_made_anew(tmp_path):
    TINY.write(tmp_path)
    whole = checksums(tmp_path)
    stamp = tmp_path / "sample-world.json"
    stamp.write_text(json.dumps(json.loads(stamp.read_text()) | {"complete": False}))
    next(tmp_path.rglob("red.tif")).unlink()
    TINY.write(tmp_path)
    assert checksums(tmp_path) == whole


def test_write_when_the_folder_holds_another_catalog_then_it_is_refused(tmp_path):
    (tmp_path / "catalog.json").write_text("{}")
    with pytest.raises(ConfigError, match="not a sample world"):
        TINY.write(tmp_path)
    assert (tmp_path / "catalog.json").read_text() == "{}"


def facts(folder: Path) -> str:
    """Checksum of what the catalog's documents say, without what is measured in pixels or comes from PROJ."""
    documents = []
    for path in sorted(folder.rglob("*.json")):
        document = json.loads(path.read_text())
        for name in ("bbox", "geometry", "extent", "code"):
            document.pop(name, None)
        for name in ("eo:cloud_cover", "s2:nodata_pixel_percentage"):
            document.get("properties", {}).pop(name, None)
        documents.append([str(path.relative_to(folder)), document])
    return hashlib.sha256(json.dumps(documents).encode()).hexdigest()


def test_write_when_no_further_sensor_is_asked_for_then_the_world_is_as_it_always_was(tmp_path):
    TINY.write(tmp_path)
    # As before there were other sensors; pixels are summed, since last digits differ between processors
    assert facts(tmp_path) == "60f5c2134139b9119efcb8c45f8a25098c4fb3d4762dcab95573a7dfcaabc73a"
    sums = {"red": 354252632, "blue": 346212100, "nir": 479295233, "scl": 169699}
    for band, expected in sums.items():
        total = 0
        for path in tmp_path.glob(f"sentinel-2-l2a/*/{band}.tif"):
            with rasterio.open(path) as source:
                total += int(source.read(1).sum(dtype=np.int64))
        assert total == pytest.approx(expected, rel=1e-6)


def test_write_when_other_sensors_are_asked_for_then_they_are_added_and_the_scenes_stay(tmp_path):
    more = replace(TINY, sensors=("sentinel-2-l2a", "dem", "landcover"))
    TINY.write(tmp_path / "a")
    more.write(tmp_path / "b")
    plain, rich = (checksums(tmp_path / n) for n in "ab")
    assert set(rich) > set(plain)
    assert {n for n in plain if plain[n] != rich[n]} == {"catalog.json", "sample-world.json"}
    catalog = pystac.Catalog.from_file(str(tmp_path / "b" / "catalog.json"))
    assert [c.id for c in catalog.get_children()] == [
        "sentinel-2-l2a", "cop-dem-glo-30", "cop-dem-glo-90", "esa-worldcover", "io-lulc-annual-v02",
    ]  # fmt: skip


def test_write_when_other_sensors_were_there_then_they_are_replaced(tmp_path):
    replace(TINY, sensors=("dem", "landcover")).write(tmp_path)
    TINY.write(tmp_path)
    assert {p.name for p in tmp_path.iterdir() if p.is_dir()} == {"sentinel-2-l2a"}
    replace(TINY, sensors=("landsat-c2-l2",)).write(tmp_path)
    assert {p.name for p in tmp_path.iterdir() if p.is_dir()} == {"landsat-c2-l2"}


@pytest.fixture(scope="module")
def tiny_of_all(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny_of_all")
    TINY_OF_ALL.write(path)
    return path


def test_write_when_all_sensors_are_written_again_then_the_bytes_are_equal(tmp_path, tiny_of_all):
    TINY_OF_ALL.write(tmp_path)
    assert checksums(tmp_path) == checksums(tiny_of_all)


def test_write_when_the_same_world_of_all_sensors_is_there_then_nothing_is_touched(tiny_of_all):
    before = {p: p.stat().st_mtime_ns for p in tiny_of_all.rglob("*") if p.is_file()}
    TINY_OF_ALL.write(tiny_of_all)
    assert before == {p: p.stat().st_mtime_ns for p in tiny_of_all.rglob("*") if p.is_file()}


def test_write_when_the_seed_differs_then_every_raster_of_every_sensor_does(tmp_path, tiny_of_all):
    replace(TINY_OF_ALL, seed=8).write(tmp_path)
    a, b = checksums(tiny_of_all), checksums(tmp_path)
    rasters = [n for n in a if n.endswith((".tif", ".TIF", ".tiff"))]
    assert len(rasters) > 50
    assert {n for n in rasters if a[n] == b[n]} == set()


@pytest.mark.parametrize(
    ("option", "value"),
    [("sensors", ("modis",)), ("sensors", ()), ("bands", ("red",)), ("bands", (*BANDS, "coastal"))],
)
def test_world_when_a_sensor_or_band_is_unknown_then_it_is_refused(option, value):
    with pytest.raises(ConfigError, match=option):
        SampleWorld(**{option: value})


def test_catalog_when_it_has_all_sensors_then_pystac_reads_it_and_every_item_is_valid(everything):
    catalog = pystac.Catalog.from_file(str(everything.folder / "catalog.json"))
    read_back = list(catalog.get_items(recursive=True))
    assert {i.id for i in read_back} == {i for items in everything.items.values() for i in items}
    for thing in (catalog, *catalog.get_children(), *read_back):
        validate_dict(thing.to_dict(transform_hrefs=False) | {"stac_extensions": []})
    assert all(Path(a.get_absolute_href()).is_file() for i in read_back for a in i.assets.values())
    assert all(s.startswith("https://") for i in read_back for s in i.stac_extensions)


def test_catalog_when_it_is_searched_then_each_collection_is_found(everything):
    first, last = dt.date(2020, 1, 1), dt.date(2024, 12, 31)
    recipe = CatalogRecipe(kind="static", path=str(everything.folder / "catalog.json"))
    for collection, items in everything.items.items():
        query = SceneQuery((collection,), everything.world.aoi, first, last)
        assert {i["id"] for i in StaticCatalog().search(recipe, query)} == set(items)


@pytest.mark.parametrize("band", ["rededge1", "nir08", "swir16"])
def test_bands_when_20_m_ones_are_asked_for_then_clear_pixels_are_the_truth_at_20_m(everything, band):
    world = everything.world
    items = everything.items["sentinel-2-l2a"]
    for o in world.observations():
        if world.duplicate and o.granule.item_id == world.duplicate.loser_id:
            continue
        item = items[o.granule.item_id]
        with everything.open(item, band) as source:
            stored = source.read(1)
            assert (source.dtypes[0], source.nodata, source.res) == ("uint16", 0, (20.0, 20.0))
            assert [*source.shape] == item["assets"][band]["proj:shape"]
        assert np.array_equal(stored, o.dn[band])
        assert np.array_equal(stored > 0, o.scl > 0)
        truth = world.truth(o.granule.month, band, o.box).reshape(o.scl.shape[0], 2, -1, 2).mean((1, 3))
        clear = o.clear[::2, ::2] & o.clear[1::2, ::2] & o.clear[::2, 1::2] & o.clear[1::2, 1::2]
        error = ((stored.astype(float) + PLUGIN.dn_offset(item).dn) * 1e-4 - truth)[clear]
        assert abs(np.median(error)) < 0.005
        assert np.sqrt(np.mean(error**2)) < 0.02
        assert item["assets"][band]["raster:bands"][0]["spatial_resolution"] == 20


def test_bands_when_20_m_ones_are_asked_for_then_those_of_10_m_and_their_median_stay(everything):
    world = everything.world
    plain = replace(world, bands=BANDS)
    ours, theirs = (next(w.observations("2024-06")) for w in (world, plain))
    assert all(np.array_equal(ours.dn[b], theirs.dn[b]) for b in BANDS)
    median, days = world.clear_median("2024-06", "swir16")
    assert median.shape == days.shape == world.size_px
    assert abs(np.nanmedian(median - world.truth("2024-06", "swir16"))) < 0.01


def test_observations_when_fewer_months_are_asked_for_then_they_are_the_same():
    alone = SampleWorld(months=("2024-06",), size_px=SMALL.size_px, overlap_px=64, with_duplicate=False)
    ours, theirs = (next(w.observations("2024-06")) for w in (SMALL, alone))
    assert ours.granule == theirs.granule
    assert np.array_equal(ours.dn["nir"], theirs.dn["nir"])


def test_world_when_pickled_then_it_is_equal():
    assert SMALL.broken is not None
    assert pickle.loads(pickle.dumps(SMALL)) == SMALL


@pytest.mark.parametrize("size", [(321, 512), (320, 510)])
def test_world_when_its_size_does_not_nest_then_it_is_refused(size):
    with pytest.raises(ConfigError, match="size_px"):
        SampleWorld(size_px=size)


def test_catalog_when_read_by_pystac_then_it_is_valid_and_complete(folder, items):
    catalog = pystac.Catalog.from_file(str(folder / "catalog.json"))
    collection = catalog.get_child("sentinel-2-l2a")
    read_back = list(catalog.get_items(recursive=True))
    assert {i.id for i in read_back} == set(items) == {g.item_id for g in SMALL.granules}
    for thing in (catalog, collection, *read_back):
        document = thing.to_dict(transform_hrefs=False)
        # pystac holds the core schemas; those of the extensions would have to come from the internet
        validate_dict(document | {"stac_extensions": []})
    assert all(Path(a.get_absolute_href()).is_file() for i in read_back for a in i.assets.values())


def test_items_then_their_hrefs_are_relative_and_agree_with_the_headers(folder, items):
    for item in itertools.islice(items.values(), 4):
        for asset in item["assets"].values():
            assert asset["href"].startswith("./")
            with rasterio.open(folder / "sentinel-2-l2a" / item["id"] / asset["href"]) as source:
                assert source.crs.to_epsg() == item["properties"]["proj:epsg"]
                assert [*source.shape] == asset["proj:shape"]
                assert [*source.transform[:6]] == asset["proj:transform"]
                assert source.dtypes[0] == asset["raster:bands"][0]["data_type"]


def test_assets_then_they_are_cogs_with_nodata_predictor_and_overviews(folder, items):
    home = folder / "sentinel-2-l2a" / next(iter(items))
    for name, dtype in (("nir", "uint16"), ("scl", "uint8")):
        assert cogeo.cog_validate(home / f"{name}.tif", quiet=True)[0]
        with rasterio.open(home / f"{name}.tif") as source:
            structure = source.tags(ns="IMAGE_STRUCTURE")
            assert (source.dtypes[0], source.nodata, structure["COMPRESSION"]) == (dtype, 0, "DEFLATE")
            assert structure["PREDICTOR"] == "2"
            assert source.block_shapes == [(128, 128)]
    with rasterio.open(home / "nir.tif") as source:
        assert source.overviews(1)


def test_truth_when_asked_for_a_window_then_it_is_that_part_and_nan_outside():
    whole = SMALL.truth("2024-06", "nir")
    assert whole.shape == SMALL.size_px
    assert whole.dtype == np.float32
    assert np.isfinite(whole).all()
    part = SMALL.truth("2024-06", "nir", SMALL.box.window(-3, 10, 20, 30))
    assert np.isnan(part[:3]).all()
    assert np.array_equal(part[3:], whole[:17, 10:40])
    assert np.isnan(SMALL.truth("2024-06", "nir", SMALL.box.window(9999, 0, 5, 5))).all()


def test_truth_when_the_window_is_off_the_grid_or_the_band_unknown_then_it_is_refused():
    with pytest.raises(ConfigError, match="grid"):
        SMALL.truth("2024-06", "nir", replace(SMALL.box, left=SMALL.box.left + 5))
    with pytest.raises(ConfigError, match="no band"):
        SMALL.truth("2024-06", "swir16")


def test_truth_then_the_seasons_change_fields_and_not_water():
    march, july = SMALL.truth("2024-03", "nir"), SMALL.truth("2024-07", "nir")
    assert np.abs(march - july).mean() > 0.05
    water = SMALL._land.water[2:-2, 2:-2]
    core = ndimage.binary_erosion(water, iterations=4)
    assert core.any()
    assert np.abs(march - july)[core].max() < 0.005
    assert 0.0 < july.min() < july.max() < 0.8


def test_sky_then_clouds_cover_40_to_60_percent(seen):
    cover = np.concatenate([o.cloud[o.valid] for o in seen.values()])
    assert 0.40 < cover.mean() < 0.60
    stated = {i: o.cloud[o.valid].mean() for i, o in seen.items()}
    assert min(stated.values()) < 0.3 < 0.6 < max(stated.values())


def test_items_then_their_cloud_cover_is_that_of_the_classification(items, seen):
    for item_id, item in items.items():
        scl = seen[item_id].scl
        share = np.isin(scl, (8, 9, 10)).sum() / (scl > 0).sum() * 100
        assert item["properties"]["eo:cloud_cover"] == pytest.approx(share, abs=1e-3)


def test_scl_then_it_misses_and_invents_five_percent_and_flags_shadows(seen):
    missed, invented, hazy = [], [], []
    for o in seen.values():
        scl = o.scl.repeat(2, 0).repeat(2, 1)
        inside = o.valid & (scl > 0)
        missed.append(np.isin(scl, KEEP)[o.cloud & inside])
        invented.append(np.isin(scl, (8, 9, 10))[o.clear & inside])
        hazy.append(np.isin(scl, KEEP)[o.haze & inside])
        assert (scl[o.shadow & inside] == 3).all()
    assert np.concatenate(missed).mean() == pytest.approx(0.05, abs=0.005)
    assert np.concatenate(invented).mean() == pytest.approx(0.05, abs=0.005)
    assert 0.2 < np.concatenate(hazy).mean() < 0.8


def test_scl_then_a_pixel_is_missed_on_one_day_of_a_month_at_most(seen):
    days = {}
    for o in seen.values():
        if o.granule.month == "2024-06":
            missed = o.cloud & np.isin(o.scl, KEEP).repeat(2, 0).repeat(2, 1)
            col = o.granule.tile.col
            days.setdefault(o.granule.solar_day, np.zeros(SMALL.size_px, bool))[:, col : col + o.box.shape[1]] |= missed
    assert np.sum(list(days.values()), axis=0).max() == 1


def test_swath_then_nothing_is_observed_beyond_it_and_the_footprint_says_so(items, seen):
    cut = [o for o in seen.values() if not o.valid.all()]
    assert cut
    for o in cut:
        assert (o.scl.repeat(2, 0).repeat(2, 1)[~o.valid] == 0).all()
        assert all((o.dn[b] == 0).tolist() == (~o.valid).tolist() for b in ("red", "nir"))
        footprint = shapely.geometry.shape(items[o.granule.item_id]["geometry"])
        assert footprint.is_valid
        area = reproject(footprint, "EPSG:4326", SMALL.crs).area
        assert area == pytest.approx(o.valid.sum() * 100, rel=0.01)


def test_tiles_then_both_see_the_overlap_on_the_same_day():
    west, east = SMALL.tiles
    assert west.box.bounds[2] - east.box.bounds[0] == SMALL.overlap_px * 10
    days = {t.code: {g.solar_day for g in SMALL.granules if g.tile == t} for t in (west, east)}
    assert days[west.code] == days[east.code]
    assert len(days[west.code]) == 6 * len(SMALL.months)


def test_offsets_when_the_items_decision_is_applied_then_clear_pixels_are_the_truth(folder, items, seen):
    decided = set()
    for item_id, item in items.items():
        if item_id == SMALL.duplicate.loser_id:
            continue
        o, offset = seen[item_id], PLUGIN.dn_offset(item).dn
        decided.add(offset)
        for band in ("red", "nir"):
            stored = read(folder, item, band)
            assert np.array_equal(stored, o.dn[band])
            error = (stored.astype(float) + offset) * 1e-4 - SMALL.truth(o.granule.month, band, o.box)
            assert abs(np.median(error[o.clear])) < 0.005
            assert np.sqrt(np.mean(error[o.clear] ** 2)) < 0.02
    assert decided == {0, -1000}


def test_offsets_then_every_item_lists_one_so_that_the_list_alone_misleads(items):
    assert all(i["assets"]["red"]["raster:bands"][0]["offset"] == -0.1 for i in items.values())


def test_decide_then_only_the_outdated_item_is_dropped(items):
    table = decide(list(items.values()), PLUGIN).set_index("id")
    assert list(table.index[~table["kept"]]) == [SMALL.duplicate.loser_id]
    assert table["duplicate_of"][SMALL.duplicate.loser_id] == SMALL.duplicate.winner_id
    for granule in SMALL.granules:
        assert table["solar_day"][granule.item_id] == granule.solar_day
        assert table["offset"][granule.item_id] == -granule.stored_offset


def test_duplicate_then_it_is_one_acquisition_whose_newer_processing_has_other_pixels(items, seen):
    twice = SMALL.duplicate
    old, new = (PLUGIN.acquisition(items[i]) for i in (twice.loser_id, twice.winner_id))
    assert old.key == new.key
    assert old.baseline < new.baseline
    a, b = seen[twice.loser_id], seen[twice.winner_id]
    assert np.nanmedian(a.reflectance["red"][a.clear] - b.reflectance["red"][b.clear]) > 0.04
    keys = [PLUGIN.acquisition(i).key for i in items.values()]
    assert len(keys) == len(set(keys)) + 1


def test_switches_when_off_then_nothing_is_broken_or_double():
    plain = SampleWorld(months=SMALL.months, with_broken=False, with_duplicate=False)
    assert plain.broken is None
    assert plain.duplicate is None
    assert len(plain.granules) == 2 * 6 * 3


def test_broken_asset_then_only_its_tile_fails_to_decode(folder, items):
    bad = SMALL.broken
    row, col, rows, cols = bad.window
    for item in items.values():
        for band in BANDS:
            path = folder / "sentinel-2-l2a" / item["id"] / f"{band}.tif"
            if (item["id"], band) != (bad.item_id, bad.band):
                if item["id"] == bad.item_id:
                    with rasterio.open(path) as source:
                        assert source.read(1).any()
                continue
            with rasterio.open(path) as source:
                with pytest.raises(rasterio.errors.RasterioIOError):
                    source.read(1, window=((row, row + rows), (col, col + cols)))
                for (r, c), window in source.block_windows(1):
                    if (r, c) != (row // 128, col // 128):
                        source.read(1, window=window)
            with pytest.raises(rasterio.errors.RasterioIOError), rasterio.open(path) as source:
                source.read(1)


@pytest.mark.parametrize("world", [SampleWorld(), SMALL, TINY], ids=["default", "small", "tiny"])
def test_broken_asset_then_one_block_reads_it_and_has_clear_pixels_there(world):
    bad = world.broken
    west, south, east, north = bad.box.bounds
    grid = world.grid
    touched = grid.touched(np.array([shapely.box(west - 40, south - 40, east + 40, north + 40)]), size=grid.block_size)
    assert len(touched[1]) == 1
    assert shapely.box(west, south, east, north).intersection(world.aoi_projected).area > 0
    assert bad.box.left + 10 * bad.box.shape[1] < world.tiles[1].box.left + 10 * world.overlap_px
    o = next(o for o in world.observations(bad.month) if o.granule.item_id == bad.item_id)
    row, col, rows, cols = bad.window
    assert np.isin(o.scl, KEEP)[row // 2 : (row + rows) // 2, col // 2 : (col + cols) // 2].mean() > 0.3


def test_default_world_then_its_area_touches_two_blocks_in_two_regions():
    world = SampleWorld()
    grid = world.grid
    _, rows, cols = grid.touched(np.array([world.aoi_projected]), size=grid.block_size)
    assert len(rows) == 2
    _, rows, cols = grid.touched(np.array([world.aoi_projected]), size=grid.region_size)
    assert {f"{grid.group}_r{r}_c{c}" for r, c in zip(rows, cols, strict=True)} == {"utm33n_r51_c4", "utm33n_r51_c5"}
    assert world.box.lonlat().contains(world.aoi)


def test_aoi_file_then_it_holds_the_area(folder):
    import geopandas as gpd

    table = gpd.read_file(folder / "aoi.gpkg")
    assert table.crs.to_epsg() == 4326
    assert table.geometry[0].equals_exact(SMALL.aoi, 1e-9)


def bilinear_classes(scl: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    at = np.meshgrid(*((np.arange(n) + 0.5) / 2 - 0.5 for n in shape), indexing="ij")
    return np.floor(ndimage.map_coordinates(scl.astype(float), at, order=1, mode="nearest") + 0.5)


def composite(folder, items, band, *, variant="right"):
    """A composite made the plain way with rasterio and numpy, or with one of the usual mistakes."""
    days = {}
    for item in items:
        dn, scl = read(folder, item, band), read(folder, item, "scl")
        offset = {"no_offset": 0, "double_offset": -1000}.get(variant, PLUGIN.dn_offset(item).dn)
        classes = bilinear_classes(scl, dn.shape) if variant == "bilinear_scl" else scl.repeat(2, 0).repeat(2, 1)
        usable = (dn > 0) & (np.isin(classes, KEEP) | (variant == "no_mask"))
        day = item["properties"]["datetime"][:10]
        layer = days.setdefault(day, np.full(SMALL.size_px, np.nan, np.float32))
        left = item["properties"]["proj:transform"][2]
        col = round((left - float(SMALL.box.left)) / 10)
        part = layer[:, col : col + dn.shape[1]]
        first = np.isnan(part) & usable
        part[first] = np.maximum(dn[first].astype(np.int32) + offset, 1)
    stack = np.stack(list(days.values()))
    clear = (~np.isnan(stack)).sum(0)
    stack[:, clear == 0] = 0
    reduced = np.nanmean(stack, axis=0) if variant == "mean" else np.nanmedian(stack, axis=0)
    return reduced * 1e-4, clear


@pytest.fixture(scope="module")
def of_month(items):
    """Items of June in the order of a mosaic, each acquisition once."""
    best = {}
    for item in sorted(items.values(), key=lambda i: PLUGIN.acquisition(i).baseline):
        best[PLUGIN.acquisition(item).key] = item
    june = [i for i in best.values() if i["properties"]["datetime"].startswith("2024-06")]
    return sorted(june, key=lambda i: (i["properties"]["datetime"], i["id"]))


def errors(folder, of_month, band, variant):
    made, clear = composite(folder, of_month, band, variant=variant)
    perfect, truly = SMALL.clear_median("2024-06", band)
    truth = SMALL.truth("2024-06", band)
    judged = (clear >= 3) & (truly > 0)
    assert judged.mean() > 0.3
    return tuple(float(np.sqrt(np.mean((a - truth)[judged] ** 2))) for a in (made, perfect))


@pytest.mark.parametrize("band", ["red", "nir"])
def test_composite_when_made_right_then_it_is_nearly_as_good_as_with_a_perfect_mask(folder, of_month, band):
    made, perfect = errors(folder, of_month, band, "right")
    assert made < 0.015
    assert made <= 1.2 * perfect


@pytest.mark.parametrize("variant", NAIVE)
@pytest.mark.parametrize("band", ["red", "nir"])
def test_composite_when_made_with_a_usual_mistake_then_it_misses_the_bar(folder, of_month, band, variant):
    made, perfect = errors(folder, of_month, band, variant)
    assert made > 1.2 * perfect
