import datetime as dt
import gzip
import json

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.eo.select_scenes import ChipRule, ChipScene, SceneLeftOut, chip_scenes, select_chip_scenes
from geo_assets.errors import ConfigError
from geo_assets_tests.realdata import real_data

AREA = shapely.box(15.4, 47.4, 15.5, 47.5)
TILE = (15.0, 47.0, 16.0, 48.0)
MIDDLES = ("2023-02-15", "2023-05-15", "2023-08-15", "2023-11-15")
ALL = {"elevation": 1, "land cover": 1}


def taken(name, day, place, box=TILE, *, cloud=10.0, nodata=0.0, platform="landsat-8", hour=10):
    time = dt.datetime.fromisoformat(f"{day}T{hour:02}:00:00+00:00")
    return ChipScene(name, time, time.date(), place, shapely.to_wkb(shapely.box(*box)), platform, cloud, nodata)


def optical(**values):
    return [taken(f"s2-{d}", d, "33TWN", **values) for d in MIDDLES]


def radar(orbit="22", **values):
    return [taken(f"s1-{orbit}-{d}", d, orbit, **values) for d in MIDDLES]


def landsat(path="190", **values):
    return [taken(f"ls-{path}-{d}", d, path, **values) for d in MIDDLES]


def chosen(s2=None, s1=None, ls=None, annual=ALL, **rule):
    first = (optical() if s2 is None else s2, radar() if s1 is None else s1, landsat() if ls is None else ls)
    return select_chip_scenes(AREA, *first, annual=annual, rule=ChipRule(**rule))


def ids(found):
    return [q.optical.item_id if q.optical else None for q in found.quarters]


def test_select_when_all_is_there_then_four_dates_of_each_and_no_fault():
    found = chosen()
    assert (found.tile, found.orbit, found.path, found.faults) == ("33TWN", "22", "190", ())
    assert ids(found) == [f"s2-{d}" for d in MIDDLES]
    assert [len(q.radar) + len(q.landsat) for q in found.quarters] == [2, 2, 2, 2]


# ---- Sentinel-2


def test_optical_when_there_are_several_then_the_least_cloudy_of_each_quarter():
    more = [taken("clear", "2023-02-20", "33TWN", cloud=1.0), taken("cloudy", "2023-05-20", "33TWN", cloud=20.0)]
    assert ids(chosen(optical() + more))[:2] == ["clear", "s2-2023-05-15"]


@pytest.mark.parametrize("poor", [{"cloud": 30.0}, {"nodata": 5.0}, {"cloud": None}, {"nodata": None}, {"box": (20, 47, 21, 48)}])  # fmt: skip
def test_optical_when_a_quarter_has_poor_scenes_only_then_the_area_fails_with_the_reason(poor):
    s2 = [*optical()[:3], taken("poor", "2023-11-15", "33TWN", **poor)]
    assert chosen(s2).faults == ("Sentinel-2, tile 33TWN: no scene in quarter 4; 4 dates are needed",)


def test_optical_when_the_first_scene_is_of_a_tile_then_all_others_are():
    other = [taken(f"o-{d}", d, "33TWM", cloud=1.0) for d in MIDDLES[1:]]
    found = chosen(optical() + other)
    assert (found.tile, ids(found)) == ("33TWN", [f"s2-{d}" for d in MIDDLES])


def test_optical_when_the_first_tile_lacks_a_quarter_then_the_area_fails_unless_told_otherwise():
    s2 = [*optical(), taken("first", "2023-01-20", "33TWM", cloud=1.0)]
    found = chosen(s2)
    assert found.tile == "33TWM"
    assert found.faults[0] == "Sentinel-2, tile 33TWM: no scene in quarter 2, 3, 4; 4 dates are needed"
    assert chosen(s2, complete=True).tile == "33TWN"


def test_optical_when_the_first_quarter_has_none_then_there_is_no_tile():
    found = chosen(optical()[1:])
    assert (found.tile, ids(found)) == ("", [None] * 4)
    assert found.faults == (
        "Sentinel-2: no scene of the first quarter is clear enough, and without one there is no tile",
    )


def test_optical_when_equally_clear_then_the_earlier_then_the_lower_id():
    s2 = [*optical(), taken("b", "2023-02-10", "33TWN"), taken("a", "2023-02-10", "33TWN")]
    assert ids(chosen(s2))[0] == "a"


# ---- Sentinel-1


def test_radar_when_there_are_several_days_then_all_scenes_of_the_nearest():
    s1 = [*radar()[1:], taken("far", "2023-02-09", "22"), taken("n2", "2023-02-17", "22", hour=17), taken("n1", "2023-02-17", "22", hour=16)]  # fmt: skip
    assert [s.item_id for s in chosen(s1=s1).quarters[0].radar] == ["n1", "n2"]


def test_radar_when_it_is_more_than_12_days_away_or_in_another_quarter_then_it_is_not_used():
    edge = [taken(f"s2-{d}", d, "33TWN") for d in ("2023-03-30", *MIDDLES[1:])]
    s1 = [*radar()[1:], taken("late", "2023-04-02", "22"), taken("early", "2023-03-17", "22")]
    assert chosen(edge, s1).faults[0] == "Sentinel-1, relative orbit unknown: no scene in quarter 1, 2, 3, 4; 4 dates are needed"  # fmt: skip
    assert chosen(edge, [*s1, taken("in", "2023-03-18", "22")]).quarters[0].radar[0].item_id == "in"
    assert chosen(edge, s1, radar_days=13).quarters[0].radar[0].item_id == "early"


def test_radar_when_orbits_show_more_or_less_then_the_widest_of_the_first_quarter_for_all():
    narrow = radar("95", box=(15.0, 47.0, 15.5, 48.0))
    halves = [taken(f"h{n}", "2023-02-20", "146", box=(15 + n / 2, 47.0, 15.5 + n / 2, 48.0)) for n in (0, 1)]
    found = chosen(s1=[*narrow, *radar("146")[1:], *halves])
    assert found.orbit == "146"
    assert [s.item_id for s in found.quarters[0].radar] == ["h0", "h1"]


def test_radar_when_orbits_show_as_much_then_the_nearer_in_time():
    near = [taken("near", "2023-02-14", "95"), *radar("95")[1:]]
    far = [taken("far", "2023-02-12", "22"), *radar("22")[1:]]
    assert chosen(s1=far + near).orbit == "95"


def test_radar_when_the_first_orbit_lacks_a_quarter_then_the_area_fails_unless_told_otherwise():
    s1 = [*radar("22", box=(15.0, 47.0, 15.9, 48.0)), *radar("95")[:3]]
    found = chosen(s1=s1)
    assert found.faults == ("Sentinel-1, relative orbit 95: no scene in quarter 4; 4 dates are needed",)
    assert chosen(s1=s1, complete=True).faults == ()


# ---- Landsat


def test_landsat_when_there_are_several_then_the_clearest_date_and_all_its_scenes():
    ls = [*landsat()[1:], taken("x", "2023-01-05", "190", cloud=2.0), taken("y", "2023-01-05", "190", cloud=40.0, hour=9), taken("z", "2023-01-21", "190", cloud=3.0)]  # fmt: skip
    assert [s.item_id for s in chosen(ls=ls).quarters[0].landsat] == ["y", "x"]


@pytest.mark.parametrize("poor", [{"cloud": 50.0}, {"platform": "landsat-7"}, {"cloud": None}])
def test_landsat_when_scenes_are_poor_then_they_are_not_used(poor):
    ls = [*landsat()[:3], taken("poor", "2023-11-15", "190", **poor)]
    assert chosen(ls=ls).faults == ("Landsat, path 190: no scene in quarter 4; 4 dates are needed",)


def test_landsat_when_paths_show_more_or_less_then_the_widest():
    narrow = landsat("189", box=(15.0, 47.0, 15.4, 48.0), cloud=0.0)
    rows = [taken(f"r{n}-{d}", d, "191", box=(15.0, 47.0 + n / 2, 16.0, 47.5 + n / 2)) for n in (0, 1) for d in MIDDLES]
    assert chosen(ls=narrow + rows).path == "191"
    assert chosen(ls=narrow + rows[:4], complete=False).path == "191"


def test_landsat_when_the_widest_path_lacks_a_quarter_then_the_area_fails_unless_told_otherwise():
    ls = [*landsat("189", box=(15.0, 47.0, 15.4, 48.0)), *landsat("190")[:3]]
    assert chosen(ls=ls).faults == ("Landsat, path 190: no scene in quarter 4; 4 dates are needed",)
    assert chosen(ls=ls, complete=True).path == "189"


# ---- all


def test_select_when_a_layer_of_the_year_has_no_item_then_the_area_fails():
    assert chosen(annual={"elevation": 2, "land cover": 0}).faults == ("land cover: no item",)


PLACE = st.sampled_from(["1", "2", "3"])
DAY = st.dates(dt.date(2022, 12, 20), dt.date(2024, 1, 10)).map(str)
EDGE = st.sampled_from([15.45, 15.7, 16.0])
SCENES = st.lists(st.tuples(DAY, PLACE, EDGE, st.sampled_from([1.0, 2.0, 40.0])), max_size=25)


@settings(max_examples=50)  # each asks for many intersections
@given(SCENES, SCENES, SCENES, st.randoms(use_true_random=False), st.booleans())
def test_select_when_any_then_order_does_not_matter_and_dates_are_four_or_the_reason_is_told(s2, s1, ls, random, complete):  # fmt: skip
    sensors = [
        [taken(f"{k}{n}", d, p, (15.0, 47.0, e, 48.0), cloud=c) for n, (d, p, e, c) in enumerate(found)]
        for k, found in (("s2", s2), ("s1", s1), ("ls", ls))
    ]
    found = chosen(*sensors, complete=complete)
    for q in found.quarters:
        groups = [[q.optical] if q.optical else [], q.radar, q.landsat]
        for group, place in zip(groups, (found.tile, found.orbit, found.path), strict=True):
            assert {s.place for s in group} <= {place}
            assert len({s.solar_day for s in group}) <= 1
            assert all((s.solar_day.month - 1) // 3 + 1 == q.number and s.solar_day.year == 2023 for s in group)
    full = all(q.optical and q.radar and q.landsat for q in found.quarters)
    assert full is (found.faults == ())
    if complete and not full:  # the best of those that all quarters have is no worse than the best of the first
        assert chosen(*sensors).faults
    for scenes in sensors:
        random.shuffle(scenes)
    assert chosen(*sensors, complete=complete) == found


def item(**properties):
    base = {"datetime": "2023-02-15T23:30:00Z", "eo:cloud_cover": 12, "platform": "Landsat-8"}
    return {"id": "a", "geometry": shapely.geometry.mapping(shapely.box(*TILE)), "properties": base | properties}


def test_chip_scenes_when_items_are_read_then_their_place_and_solar_day_are_known():
    (scene,), left_out = chip_scenes([item(**{"landsat:wrs_path": "035"})], "landsat")
    assert left_out == []
    assert (scene.place, scene.platform, scene.cloud_pct, scene.nodata_pct) == ("35", "landsat-8", 12.0, None)
    assert scene.solar_day == dt.date(2023, 2, 16)
    assert chip_scenes([item(**{"sat:relative_orbit": 22})], "sentinel-1")[0][0].place == "22"
    assert chip_scenes([item(**{"grid:code": "MGRS-04QFJ"})], "sentinel-2")[0][0].place == "4QFJ"
    assert chip_scenes([item(**{"s2:mgrs_tile": "33TWN", "eo:cloud_cover": float("nan")})], "sentinel-2")[0][0].cloud_pct is None  # fmt: skip


def test_chip_scenes_when_an_item_cannot_be_used_then_it_says_why():
    lost = [item(), item(datetime=None), item() | {"geometry": None}]
    found, left_out = chip_scenes(lost, "landsat")
    assert found == []
    assert left_out == [
        SceneLeftOut("a", "it does not say its landsat:wrs_path"),
        SceneLeftOut("a", "it has no valid datetime"),
        SceneLeftOut("a", "the item has no footprint: neither geometry nor bbox is a polygon on the globe"),
    ]


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "sensor", "place"),
    [("sentinel-2-l2a", "sentinel-2", "35XQA"), ("sentinel-1-rtc", "sentinel-1", "51"), ("landsat-c2-l2", "landsat", "202")],
)  # fmt: skip
def test_chip_scenes_when_items_are_real_then_all_are_read(name, sensor, place):
    with gzip.open(real_data("stac_items", f"planetary-computer__{name}.ndjson.gz"), "rt") as lines:
        found, left_out = chip_scenes(map(json.loads, lines), sensor)
    assert (left_out, found[0].place) == ([], place)
    assert all((s.cloud_pct is None) is (sensor == "sentinel-1") for s in found)
    assert all((s.nodata_pct is None) is (sensor != "sentinel-2") for s in found)


@pytest.mark.parametrize(
    "make", [lambda: chip_scenes([], "dem"), lambda: ChipRule(max_cloud_pct=101), lambda: ChipRule(radar_days=-1)]
)
def test_rule_when_it_makes_no_sense_then_refused(make):
    with pytest.raises(ConfigError):
        make()
