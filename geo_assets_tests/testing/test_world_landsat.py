import dataclasses

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.warp import Resampling
from rasterio.warp import reproject as warp

from geo_assets.errors import ConfigError
from geo_assets.model.crs import reproject
from geo_assets.testing.world_landsat import BANDS, NOISE, REFLECTIVE, THERMAL, THERMAL_NOISE_K
from geo_assets_tests.realdata import real_items

SCALES = dict.fromkeys(REFLECTIVE, (2.75e-05, -0.2)) | {THERMAL: (0.00341802, 149.0)}


@pytest.fixture(scope="module")
def items(everything):
    return everything.items["landsat-c2-l2"]


@pytest.fixture(scope="module")
def seen(everything):
    return {s.item_id: everything.world.observe_landsat(s) for s in everything.world.landsat_scenes}


def bit(values: np.ndarray, n: int) -> np.ndarray:
    return (values >> n & 1).astype(bool)


def test_scenes_then_two_platforms_pass_each_month_over_two_rows(everything):
    scenes = [s for s in everything.world.landsat_scenes if s.category == "T1"]
    for month in everything.world.months:
        mine = [s for s in scenes if s.month == month]
        assert {(s.platform, s.tile.row) for s in mine} == {(8, 27), (8, 28), (9, 27), (9, 28)}
        assert len({s.sensed.date() for s in mine}) == 2


def test_grids_then_they_are_off_the_10_m_grid_and_one_has_pixels_that_are_not_square(everything):
    north, south = (s.tile for s in everything.world.landsat_scenes[1:3])
    assert (north.transform.a, north.transform.e) == (30.0, -30.0)
    assert (south.transform.a, south.transform.e) == (30.0, -30.1)
    for tile in (north, south):
        assert tile.transform.c % 30 == tile.transform.f % 30 == 15
        assert tile.transform.c % 10 == 5


def test_tiles_then_together_they_cover_the_world_but_for_a_pixel_at_its_edges(everything):
    world = everything.world
    footprints = [s.tile.footprint(world.box) for s in world.landsat_scenes[1:3]]
    west, south, east, north = world.box.bounds
    whole = reproject(shapely.union_all(footprints), "EPSG:4326", world.crs)
    assert whole.contains(shapely.box(west + 61, south + 61, east - 61, north - 61))
    assert shapely.box(west - 1, south - 1, east + 1, north + 1).contains(whole)
    assert footprints[0].intersection(footprints[1]).area > 0


def test_truth_then_a_pixel_is_the_mean_of_the_10_m_truth_weighted_by_area(everything, seen):
    world = everything.world
    for o in list(seen.values())[1:3]:
        fine = world.truth_landsat(o.scene.month, "swir16")
        mean = np.zeros(o.scene.tile.shape, np.float32)
        warp(
            fine, mean, src_transform=world.box.transform, src_crs=world.crs, dst_transform=o.scene.tile.transform,
            dst_crs=world.crs, resampling=Resampling.average,
        )  # fmt: skip
        assert np.abs(mean - o.truth["swir16"])[o.valid].max() < 1e-4
        assert np.isnan(o.truth["swir16"][~o.valid]).all()


@pytest.mark.parametrize("band", BANDS)
def test_pixels_then_clear_ones_are_the_truth_within_noise(everything, items, seen, band):
    scale, offset = SCALES[band]
    noise = THERMAL_NOISE_K if band == THERMAL else NOISE
    assert items.keys() == seen.keys()
    for item_id, item in items.items():
        if item_id.endswith("_RT"):
            continue
        o = seen[item_id]
        with everything.open(item, band) as source:
            stored = source.read(1)
            assert (source.dtypes[0], source.nodata) == ("uint16", 0)
        assert np.array_equal(stored == 0, ~o.valid)
        error = (stored * scale + offset - o.truth[band])[o.clear]
        assert abs(error.mean()) < 0.05 * noise
        assert error.std() == pytest.approx(noise, rel=0.1)
        # A scale or an offset that is not applied cannot stay unnoticed
        assert np.abs((stored * scale)[o.clear] - o.truth[band][o.clear]).min() > 10 * noise


def test_quality_then_every_bit_means_what_it_says(everything, items, seen):
    found = np.zeros(8, int)
    for item_id, item in items.items():
        o = seen[item_id]
        with everything.open(item, "qa_pixel") as source:
            qa = source.read(1)
            assert (source.dtypes[0], source.nodata) == ("uint16", 1)
        assert np.array_equal(bit(qa, 0), ~o.valid)
        assert (qa[~o.valid] == 1).all()
        inside, told = qa[o.valid], {n: bit(qa, n)[o.valid] for n in range(8)}
        for n, truth in ((2, o.haze), (3, o.cloud), (4, o.shadow), (5, o.snow)):
            assert np.array_equal(told[n], truth[o.valid])
        assert np.array_equal(told[6], ~told[1] & ~told[3])
        assert np.array_equal(told[7], (o.water & ~o.cloud)[o.valid])
        assert not (told[1] & told[3]).any()
        for level, n in ((8, 3), (10, 4), (12, 5), (14, 2)):
            assert np.array_equal(inside >> level & 3, np.where(told[n], 3, 1))
        found += [int(bit(qa, n).sum()) for n in range(8)]
    assert found.all()


def test_quality_then_the_plain_values_are_those_of_the_product_guide(everything, items):
    values = set(np.unique(np.concatenate([everything.read(i, "qa_pixel").ravel() for i in items.values()])).tolist())
    # Fill, clear land, clear water, cloud, shadow, snow, cirrus
    assert {1, 21824, 21952, 22280, 23888, 30048, 54596} <= values


def test_quality_then_masking_by_bits_1_to_4_leaves_no_cloud_and_without_it_there_is(everything, items, seen):
    errors = {True: [], False: []}
    for item_id, item in items.items():
        o, qa = seen[item_id], everything.read(item, "qa_pixel")
        if not item_id.endswith("_RT") and o.scene.month == "2024-06":
            error = np.abs(everything.read(item, "red") * 0.0000275 - 0.2 - o.truth["red"])
            kept = (qa & 0b11110) == 0
            errors[True].append(error[o.valid & kept])
            errors[False].append(error[o.valid])
    masked, plain = (np.concatenate(errors[m]).max() for m in (True, False))
    assert masked < 6 * NOISE < 0.2 < plain


def test_snow_then_it_lies_on_high_ground_in_winter_only(everything, seen):
    world = everything.world
    for o in seen.values():
        assert o.snow.any() == (o.scene.month == "2024-02") or o.scene.tile.row == 28
        if o.snow.any():
            rows, cols = np.nonzero(o.snow)
            t = o.scene.tile.transform
            height = world.truth_height(t.c + t.a * (cols + 0.5), t.f + t.e * (rows + 0.5))
            assert height.min() > np.median(world.truth_height(*np.meshgrid(*world.box.centers())))
    assert any(o.snow.any() for o in seen.values())


def test_preliminary_then_one_scene_is_there_twice_and_only_the_final_one_is_true(items, seen):
    (preliminary,) = (i for i in items if i.endswith("_RT"))
    final = preliminary.removesuffix("RT") + "T1"
    a, b = (items[i]["properties"] for i in (preliminary, final))
    assert (a["landsat:collection_category"], b["landsat:collection_category"]) == ("RT", "T1")
    assert a["landsat:product_generated"] < b["landsat:product_generated"]
    assert a["created"] < b["created"]
    assert (a["datetime"], a["landsat:scene_id"]) == (b["datetime"], b["landsat:scene_id"])
    old, new = (seen[i] for i in (preliminary, final))
    assert np.array_equal(old.qa, new.qa)
    difference = (old.dn["red"].astype(float) - new.dn["red"])[new.clear] * 0.0000275
    assert difference.mean() == pytest.approx(0.03, abs=0.001)


def test_items_then_they_agree_with_the_headers_and_the_clouds(everything, items, seen):
    for item in items.values():
        p, o = item["properties"], seen[item["id"]]
        for name in (*BANDS, "qa_pixel"):
            with everything.open(item, name) as source:
                assert source.crs.to_epsg() == p["proj:epsg"]
                assert [*source.shape] == p["proj:shape"]
                assert [*source.transform[:6]] == p["proj:transform"]
        assert p["eo:cloud_cover"] == pytest.approx(o.cloud.sum() / o.valid.sum() * 100, abs=0.01)
        assert p["platform"] == f"landsat-{o.scene.platform}"
        area = reproject(shapely.geometry.shape(item["geometry"]), "EPSG:4326", everything.world.crs).area
        assert area == pytest.approx(o.valid.sum() * -o.scene.tile.transform.e * 30, rel=1e-3)


def test_items_then_they_have_the_fields_of_real_ones(items):
    planetary = real_items("planetary-computer__landsat-c2-l2")[0]
    earth = real_items("earth-search__landsat-c2-l2")[0]
    for item in items.values():
        p = item["properties"]
        for name in (*BANDS, "qa_pixel"):
            ours = item["assets"][name]
            for theirs in (planetary["assets"][name], earth["assets"][name]):
                assert {k for k in theirs if not k.startswith("storage:")} == ours.keys()
                same = ("type", "roles", "title", "description", "eo:bands", "raster:bands")
                assert {k: ours.get(k) for k in same} == {k: theirs.get(k) for k in same}
        assert planetary["properties"].keys() <= p.keys()
        unlike = {"earthsearch:payload_id", "processing:software", "proj:centroid"}
        assert earth["properties"].keys() - unlike <= p.keys()
        assert p.keys() <= planetary["properties"].keys() | earth["properties"].keys()


def test_items_then_their_bits_are_described_as_in_real_ones(items):
    def layout(item):
        fields = item["assets"]["qa_pixel"]["classification:bitfields"]
        return {(f["name"], f["offset"], f["length"]) for f in fields}

    real = real_items("planetary-computer__landsat-c2-l2")[0]
    assert layout(next(iter(items.values()))) == layout(real)


def test_truth_when_asked_for_a_window_then_it_is_that_part_and_nan_outside(everything):
    world = everything.world
    part = world.truth_landsat("2024-06", "lwir11", world.box.window(0, -4, 10, 20))
    assert np.isnan(part[:, :4]).all()
    assert np.array_equal(part[:, 4:], world.truth_landsat("2024-06", "lwir11")[:10, :16])
    with pytest.raises(ConfigError, match="no band"):
        world.truth_landsat("2024-06", "nir")
    with pytest.raises(ConfigError, match="grid"):
        world.truth_landsat("2024-06", "red", dataclasses.replace(world.box, left=world.box.left + 5))


def test_truth_then_the_visible_bands_are_those_of_sentinel_2_and_summers_are_warm(everything):
    world = everything.world
    assert np.array_equal(world.truth_landsat("2024-06", "red"), world.truth("2024-06", "red"))
    winter, summer = (world.truth_landsat(m, "lwir11") for m in ("2024-01", "2024-07"))
    assert 265 < winter.mean() < 280 < 292 < summer.mean() < 310
    cover = world.truth_landcover()
    assert summer[cover == 80].mean() < summer[cover == 10].mean() < summer[cover == 50].mean()


def test_pixels_then_the_files_are_tiled_cogs(everything, items):
    from rio_cogeo import cogeo

    item = next(iter(items.values()))
    path = everything.folder / "landsat-c2-l2" / item["id"] / item["assets"]["red"]["href"]
    assert cogeo.cog_validate(path, quiet=True)[0]
    with rasterio.open(path) as source:
        assert source.block_shapes == [(128, 128)]
