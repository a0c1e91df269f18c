import datetime as dt

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.eo.radar_select import PassDropped, RadarPass, RadarRule, quarter_windows, select_radar
from geo_assets.errors import ConfigError
from geo_assets.model.scene import Scene

TILE = shapely.box(10.0, 45.0, 11.0, 46.0)
UP, DOWN = "ascending", "descending"


def seen(name, text, orbit=UP, west=9.0, east=12.0):
    return RadarPass(name, dt.date.fromisoformat(text), orbit, shapely.to_wkb(shapely.box(west, 40, east, 50)))


def plan(passes, **rule):
    return select_radar(passes, TILE, 2023, RadarRule(**rule))


def kept(found, quarter=1):
    return [str(d.day)[5:] for d in found.quarters[quarter - 1].kept]


# ---- quarters


@pytest.mark.parametrize("year", [2023, 2024])
def test_windows_when_calendar_then_every_day_of_the_year_is_in_one(year):
    days = [dt.date(year, 1, 1) + dt.timedelta(days=n) for n in range(366 if year == 2024 else 365)]
    found = [[q.number for q in quarter_windows(year) if q.first <= d <= q.last] for d in days]
    assert {len(f) for f in found} == {1}
    assert [f[0] for f in found] == [(d.month - 1) // 3 + 1 for d in days]


def test_windows_when_centred_then_247_of_365_days_are_seen():
    windows = quarter_windows(2023, "centred")
    assert sum((q.last - q.first).days + 1 for q in windows) == 247
    assert (str(windows[0].first), str(windows[3].last)) == ("2023-01-15", "2023-12-15")


def test_select_when_a_day_is_at_an_edge_of_the_year_then_it_is_used_but_by_the_old_way():
    passes = [seen(d, f"2023-{d}") for d in ("01-01", "03-31", "04-01", "12-31")]
    found = plan(passes)
    assert [kept(found, q) for q in (1, 2, 3, 4)] == [["01-01", "03-31"], ["04-01"], [], ["12-31"]]
    assert found.dropped == ()
    old = plan(passes, windows="centred")
    assert [q.kept for q in old.quarters] == [(), (), (), ()]
    assert old.dropped[0] == PassDropped("01-01", "its solar day, 2023-01-01, lies in no quarter")


# ---- days


def test_select_when_a_quarter_has_many_then_the_3_that_cover_most_and_lie_nearest_to_its_middle():
    days = ("01-03", "01-15", "01-27", "02-08", "02-20", "03-04")
    found = plan([seen(d, f"2023-{d}") for d in days] + [seen("part", "2023-02-14", UP, 9, 10.9)])
    assert kept(found) == ["01-27", "02-08", "02-20"]  # the 14th of February is day 45
    reasons = {str(d.day)[5:]: d.reason for d in found.quarters[0].days}
    assert reasons["02-08"] == "among the best 3 of its quarter"
    assert reasons["01-03"] == "3 days of its quarter cover more, or lie nearer to its middle"
    assert reasons["02-14"] == "it covers 90 % of the tile, less than 95 %"


def test_select_when_no_day_covers_enough_then_the_best_alone():
    found = plan([seen("a", "2023-01-03", UP, 9, 10.2), seen("b", "2023-01-15", UP, 9, 10.4)])
    (day,) = found.quarters[0].kept
    assert (day.items, round(day.coverage, 6)) == (("b",), 0.4)
    assert day.reason == "the best of its quarter, though it covers 40 % of the tile"


def test_select_when_items_of_a_day_cover_it_together_then_their_union_counts():
    halves = [seen("n", "2023-01-03", UP, 9, 10.6), seen("s", "2023-01-03", UP, 10.4, 12), seen("t", "2023-01-03", UP, 9, 10.6)]  # fmt: skip
    (day,) = plan(halves).quarters[0].kept
    assert (day.items, day.coverage, day.reason) == (("n", "s", "t"), 1.0, "among the best 3 of its quarter")


def test_select_when_a_footprint_touches_the_tile_along_a_line_too_then_it_is_counted():
    corner = shapely.Polygon([(9, 44), (10.2, 44), (10.2, 45.5), (10, 45.5), (10, 46.5), (9, 46.5)])
    odd = RadarPass("odd", dt.date(2023, 1, 3), UP, shapely.to_wkb(corner))
    (day,) = plan([odd, seen("e", "2023-01-03", UP, 10.2, 12)]).quarters[0].kept
    assert round(day.coverage, 6) == 0.9


def test_select_when_an_item_cannot_be_used_then_it_says_why():
    passes = [
        seen("a", "2023-01-03"), seen("beside", "2023-01-03", UP, 12, 13), seen("down", "2023-01-03", DOWN), seen("mute", "2023-01-03", ""),
        seen("old", "2022-12-31"),
    ]  # fmt: skip
    found = {d.item_id: d.reason for d in plan([*passes, seen("b", "2023-01-15")]).dropped}
    assert found == {
        "beside": "it lies beside the tile",
        "down": "its orbit is descending, and ascending is used",
        "mute": "it does not say its orbit",
        "old": "its solar day, 2022-12-31, lies in no quarter",
    }


def test_select_when_an_item_is_given_twice_then_it_counts_once():
    assert plan([seen("a", "2023-01-03")] * 2) == plan([seen("a", "2023-01-03")])


# ---- orbit


def test_select_when_a_direction_has_more_days_then_it_is_used():
    passes = [seen("u", "2023-01-03"), seen("d1", "2023-04-03", DOWN), seen("d2", "2023-07-03", DOWN)]
    found = plan(passes)
    assert (found.orbit, dict(found.qualifying)) == (DOWN, {UP: 1, DOWN: 2})
    assert plan(passes, orbit=UP).orbit == UP
    assert len([d for q in plan(passes, orbit="both").quarters for d in q.kept]) == 3


def test_select_when_days_cover_too_little_then_they_do_not_count_for_a_direction():
    passes = [seen(f"u{n}", f"2023-01-0{n}", UP, 9, 10.5) for n in range(1, 6)] + [seen("d", "2023-01-03", DOWN)]
    assert plan(passes).orbit == DOWN


def test_select_when_a_direction_has_its_days_in_one_quarter_then_only_those_that_can_be_used_count():
    up = [seen(f"u{n}", f"2023-01-{n:02}") for n in range(1, 11)]
    down = [seen(f"d{m}", f"2023-{m:02}-03", DOWN) for m in (1, 4, 7, 10)]
    assert plan(up + down).orbit == DOWN


@pytest.mark.parametrize(
    ("more", "orbit"),
    [([], UP), ([seen("x", "2023-01-09", DOWN, 9, 10.2)], DOWN), ([seen("x", "2023-01-09", DOWN), seen("y", "2023-01-08", UP, 9, 10.2)], DOWN)],
)  # fmt: skip
def test_select_when_directions_are_equal_then_all_days_then_items_then_ascending(more, orbit):
    both = [seen(f"{o}{n}", f"2023-01-0{n}", o) for o in (UP, DOWN) for n in (1, 2, 3)]
    assert plan(both + more).orbit == orbit


def test_select_when_nothing_was_found_then_four_empty_quarters():
    found = plan([])
    assert [q.number for q in found.quarters] == [1, 2, 3, 4]
    assert [q.days for q in found.quarters] == [(), (), (), ()]


DAY = st.dates(dt.date(2022, 12, 25), dt.date(2024, 1, 5)).map(str)
PASS = st.tuples(DAY, st.sampled_from([UP, DOWN, ""]), st.integers(-1, 4), st.integers(5, 12))


@settings(max_examples=50)  # each asks for many intersections
@given(st.lists(PASS, max_size=25), st.randoms(use_true_random=False), st.sampled_from(["calendar", "centred"]))
def test_select_when_any_then_no_item_vanishes_and_order_does_not_matter(found, random, windows):
    passes = [seen(f"i{n}", d, o, 10 + w / 10, 10 + e / 10) for n, (d, o, w, e) in enumerate(found)]
    made = plan(passes, windows=windows)
    placed = [i for q in made.quarters for d in q.days for i in d.items] + [d.item_id for d in made.dropped]
    assert sorted(placed) == sorted(p.item_id for p in passes)
    assert all(d.reason for q in made.quarters for d in q.days)
    assert all(bool(q.days) <= (1 <= len(q.kept) <= 3) for q in made.quarters)
    random.shuffle(passes)
    assert plan(passes, windows=windows) == made


# ---- bad input


def test_pass_when_made_of_a_scene_then_its_direction_is_read():
    scene = Scene("id", "c", "sentinel-1-rtc", "T", "2023-02-03", (), 0, "", shapely.to_wkb(TILE))
    assert RadarPass.of(scene, " Descending") == RadarPass("id", dt.date(2023, 2, 3), DOWN, shapely.to_wkb(TILE))
    assert {RadarPass.of(scene, odd).orbit for odd in (None, "", 3, "sideways")} == {""}


@pytest.mark.parametrize("wrong", [{"days": 0}, {"orbit": "up"}, {"windows": "weeks"}, {"min_coverage": 95}])
def test_rule_when_it_makes_no_sense_then_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RadarRule(**wrong)


def test_select_when_the_tile_has_no_area_then_refused():
    with pytest.raises(ConfigError, match="no area"):
        select_radar([], shapely.Point(0, 0), 2023)
