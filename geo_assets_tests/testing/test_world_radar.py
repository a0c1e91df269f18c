import collections
import itertools

import numpy as np
import pytest
import shapely

from geo_assets.errors import ConfigError
from geo_assets.model.crs import reproject
from geo_assets.testing.world import SampleWorld
from geo_assets.testing.world_radar import LOOKS, NODATA, POLARIZATIONS
from geo_assets_tests.realdata import real_items


@pytest.fixture(scope="module")
def items(everything):
    return everything.items["sentinel-1-rtc"]


@pytest.fixture(scope="module")
def seen(everything):
    return {s.item_id: everything.world.observe_radar(s) for s in everything.world.radar_scenes}


def test_passes_then_both_directions_are_seen_five_to_seven_times_a_month():
    for month in ("2021-02", "2023-07", "2024-02", "2024-05"):
        scenes = SampleWorld(months=(month,)).radar_scenes
        passes = {(s.sensed.date(), s.orbit.number, s.orbit.state) for s in scenes}
        assert 5 <= len(passes) <= 8
        assert len({day for day, *_ in passes}) == len(passes)
        states = collections.Counter(state for *_, state in passes)
        assert states["ascending"] >= 2
        assert states["descending"] >= 2


def test_passes_then_an_orbit_returns_after_twelve_days_and_its_absolute_number_agrees():
    scenes = SampleWorld(months=("2024-03", "2024-04", "2024-05")).radar_scenes
    descending = sorted({s.sensed.date() for s in scenes if s.orbit.number == 22})
    assert {(b - a).days for a, b in itertools.pairwise(descending)} == {12}
    assert all((s.absolute_orbit - 73) % 175 + 1 == s.orbit.number for s in scenes)
    numbers = [s.absolute_orbit for s in scenes]
    assert numbers == sorted(numbers)


def test_pixels_then_the_files_hold_the_truth_times_speckle_of_the_stated_looks(everything, items, seen):
    assert items.keys() == seen.keys()
    for polarization in POLARIZATIONS:
        ratios = []
        for item_id, item in items.items():
            with everything.open(item, polarization) as source:
                stored = source.read(1)
                assert (source.dtypes[0], source.nodata) == ("float32", NODATA)
            o = seen[item_id]
            truth = everything.world.truth_backscatter(o.scene.month, polarization, o.scene.box)
            assert np.array_equal(stored == NODATA, ~o.valid)
            assert (stored[o.valid] > 0).all()
            ratios.append((stored / truth)[o.valid])
        ratio = np.concatenate(ratios)
        assert ratio.mean() == pytest.approx(1, abs=0.003)
        assert 1 / ratio.var() == pytest.approx(LOOKS, rel=0.02)
        # In decibels the same speckle is biased, so a mean of decibels is not the truth
        assert 10 * np.log10(ratio).mean() < -0.4


def test_speckle_then_it_is_another_in_every_scene_and_polarization(seen):
    whole = [o for o in seen.values() if o.scene.orbit.number == 146]
    a, b = ((o.gamma0["vv"] / o.gamma0["vv"].mean()).ravel() for o in whole[:2])
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.9
    world = SampleWorld(months=("2024-06",), size_px=(128, 256), overlap_px=64)
    o = world.observe_radar(world.radar_scenes[0])
    noise = [o.gamma0[p] / world.truth_backscatter("2024-06", p, o.scene.box) for p in POLARIZATIONS]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05


def test_truth_then_land_covers_and_seasons_differ(everything):
    cover = everything.world.truth_landcover()
    vv, vh = (everything.world.truth_backscatter("2024-06", p) for p in POLARIZATIONS)
    means = {c: (vv[cover == c].mean(), vh[cover == c].mean()) for c in (10, 40, 50, 80)}
    assert means[80][0] < 0.02 < means[40][0] < means[50][0]
    assert means[80][1] < means[40][1] < means[10][1] < means[50][1]
    winter = everything.world.truth_backscatter("2024-01", "vh")
    assert winter[cover == 40].mean() < 0.8 * vh[cover == 40].mean()


def test_truth_when_asked_for_a_window_then_it_is_that_part_and_nan_outside(everything):
    world = everything.world
    part = world.truth_backscatter("2024-06", "vv", world.box.window(-2, 5, 10, 20))
    assert part.dtype == np.float32
    assert np.isnan(part[:2]).all()
    assert np.array_equal(part[2:], world.truth_backscatter("2024-06", "vv")[:8, 5:25])
    with pytest.raises(ConfigError, match="polarization"):
        world.truth_backscatter("2024-06", "hh")


def test_swath_then_one_orbit_ends_in_the_world_and_its_footprint_says_so(everything, items, seen):
    cut = {i: o for i, o in seen.items() if not o.valid.all()}
    assert {o.scene.orbit.number for o in cut.values()} == {73}
    for item_id, o in cut.items():
        footprint = shapely.geometry.shape(items[item_id]["geometry"])
        area = reproject(footprint, "EPSG:4326", everything.world.crs).area
        assert area == pytest.approx(o.valid.sum() * 100, rel=0.01)
        assert 0.4 < o.valid.mean() < 0.8


def test_slices_then_the_two_of_a_pass_cover_the_world_without_overlap(everything, seen):
    days = collections.defaultdict(list)
    for o in seen.values():
        if o.scene.orbit.state == "descending":
            days[o.scene.sensed.date()].append(o.scene)
    assert days
    for north, south in days.values():
        assert north.box.bounds[1] == south.box.bounds[3]
        assert north.box.shape[0] + south.box.shape[0] == everything.world.size_px[0]


def test_items_then_they_agree_with_the_headers(everything, items):
    for item in items.values():
        p = item["properties"]
        with everything.open(item, "vh") as source:
            assert source.crs.to_epsg() == p["proj:epsg"]
            assert [*source.shape] == p["proj:shape"]
            assert [*source.transform] == p["proj:transform"]
            assert [*source.bounds] == p["proj:bbox"]
        assert p["sar:looks_equivalent_number"] == LOOKS
        assert p["sat:orbit_state"] in ("ascending", "descending")


def test_items_then_they_have_the_fields_of_real_ones(items):
    real = real_items("planetary-computer__sentinel-1-rtc")[0]
    same = ("roles", "type", "title", "description", "raster:bands")
    for item in items.values():
        assert item["properties"].keys() == real["properties"].keys()
        assert item["id"].count("_") == real["id"].count("_")
        assert len(item["id"]) == len(real["id"])
        for name in POLARIZATIONS:
            ours, theirs = item["assets"][name], real["assets"][name]
            assert theirs.keys() - ours.keys() == {"file:size", "file:checksum"}
            assert [ours[k] for k in same] == [theirs[k] for k in same]
