import datetime as dt

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.eo.tile_steps import (
    DayDropped,
    StepRule,
    by_solar_day,
    day_of_year,
    judge_steps,
    pick_items,
    stacked,
)
from geo_assets.errors import ConfigError, SourceError
from geo_assets.model.scene import Scene

TILE = shapely.box(10.0, 45.0, 11.0, 46.0)
CLEAR, CLOUDY, UNSEEN = 4, 9, 0


def day(text):
    return dt.date.fromisoformat(text)


def scene(name, solar_day, west=9.0, east=12.0, *, time=None):
    """A scene whose footprint reaches from one longitude to another."""
    footprint = shapely.to_wkb(shapely.box(west, 40.0, east, 50.0))
    return Scene(name, "c", "s", time or f"{solar_day}T10:00:00Z", solar_day, (), 0, "", footprint)


def picked(days, scenes, rule=None):
    picks = pick_items([day(d) for d in days], scenes, TILE, *([rule] if rule else []))
    return {str(p.asked): (str(p.solar_day), p.items, round(p.coverage, 6)) for p in picks.picks}, picks.dropped


def classes(*shares):
    """A row of 100 pixels, so many of them of a class."""
    return np.repeat([c for c, _ in shares], [n for _, n in shares]).astype(np.uint8)[None]


# ---- days of the year


@pytest.mark.parametrize(
    ("text", "number"),
    [("2024-03-01", 61), ("2023-03-01", 60), ("2024-02-29", 60), ("2024-12-31", 366), ("2023-12-31", 365), ("2100-03-01", 60)],
)  # fmt: skip
def test_day_of_year_when_the_year_is_a_leap_year_then_it_counts(text, number):
    assert day_of_year(day(text)) == number


# ---- items


def test_pick_when_an_item_covers_enough_then_it_alone():
    scenes = [scene("b", "2023-05-01", 9, 10.97), scene("a", "2023-05-01", 9, 10.5), scene("c", "2023-05-02")]
    assert picked(["2023-05-01"], scenes)[0] == {"2023-05-01": ("2023-05-01", ("b",), 0.97)}


def test_pick_when_an_item_covers_the_limit_but_for_rounding_then_it_is_enough():
    scenes = [scene("b", "2023-05-01", 9, 10.95), scene("c", "2023-05-02")]
    assert picked(["2023-05-01"], scenes)[0]["2023-05-01"][1] == ("b",)


def test_pick_when_the_day_covers_too_little_then_a_neighbour_that_covers_enough():
    scenes = [scene("a", "2023-05-01", 9, 10.5), scene("b", "2023-05-02", 9, 10.96), scene("c", "2023-04-30", 9, 10.99)]
    assert picked(["2023-05-01"], scenes)[0] == {"2023-05-01": ("2023-04-30", ("c",), 0.99)}


def test_pick_when_only_a_day_further_away_covers_enough_then_the_closest_stays():
    scenes = [scene("a", "2023-05-01", 9, 10.5), scene("b", "2023-05-03")]
    assert picked(["2023-05-01"], scenes)[0] == {"2023-05-01": ("2023-05-01", ("a",), 0.5)}


def test_pick_when_two_items_of_a_day_cover_it_together_then_both_and_none_that_adds_nothing():
    scenes = [scene("w", "2023-05-01", 9, 10.6), scene("e", "2023-05-01", 10.5, 12), scene("in", "2023-05-01", 10.1, 10.4)]  # fmt: skip
    assert picked(["2023-05-01"], scenes)[0] == {"2023-05-01": ("2023-05-01", ("w", "e"), 1.0)}
    alone = picked(["2023-05-01"], scenes, StepRule(whole_day=False))[0]
    assert alone == {"2023-05-01": ("2023-05-01", ("w",), 0.6)}


def test_pick_when_a_footprint_also_touches_the_tile_along_a_line_then_it_is_added_all_the_same():
    corner = shapely.Polygon([(9, 44), (10.2, 44), (10.2, 45.5), (10, 45.5), (10, 46.5), (9, 46.5)])
    assert shapely.intersection(corner, TILE).geom_type == "GeometryCollection"
    odd = Scene("odd", "c", "s", "2023-05-01T10:00:00Z", "2023-05-01", (), 0, "", shapely.to_wkb(corner))
    found = picked(["2023-05-01"], [odd, scene("e", "2023-05-01", 10.2, 12)])[0]
    assert found == {"2023-05-01": ("2023-05-01", ("e", "odd"), 0.9)}


def test_pick_when_no_item_is_near_then_dropped_with_the_reason():
    found, dropped = picked(["2023-05-01", "2023-06-01"], [scene("a", "2023-05-04"), scene("b", "2023-06-03")])
    assert dropped == (DayDropped(day("2023-05-01"), "no item of the tile lies within 2 days of it"),)
    assert found == {"2023-06-01": ("2023-06-03", ("b",), 1.0)}


def test_pick_when_an_item_is_beside_the_tile_then_it_is_none():
    assert picked(["2023-05-01"], [scene("a", "2023-05-01", 12, 13)])[0] == {}


def test_pick_when_two_days_want_one_item_then_its_own_day_has_it():
    scenes = [scene("a", "2023-05-01", 9, 10.5), scene("b", "2023-05-02")]
    found, dropped = picked(["2023-05-01", "2023-05-02"], scenes)
    assert found == {"2023-05-02": ("2023-05-02", ("b",), 1.0)}
    assert [d.reason for d in dropped] == ["its best item, b, is of 2023-05-02, which is a step already"]


def test_pick_when_the_neighbour_is_of_another_year_then_it_does_not_stand_in():
    scenes = [scene("a", "2023-12-31", 9, 10.5), scene("b", "2024-01-01")]
    assert picked(["2023-12-31"], scenes)[0] == {"2023-12-31": ("2023-12-31", ("a",), 0.5)}


def test_pick_when_items_are_equal_then_time_and_id_decide():
    scenes = [scene(n, "2023-05-01", time=t) for n, t in (("c", "T2"), ("b", "T1"), ("a", "T1"))]
    assert picked(["2023-05-01"], scenes)[0]["2023-05-01"][1] == ("a",)


def test_pick_when_the_tile_has_no_area_then_refused():
    with pytest.raises(ConfigError, match="no area"):
        pick_items([], [], shapely.Point(0, 0))


NEAR = st.integers(0, 9).map(lambda n: f"2023-05-{n + 1:02}")


@settings(max_examples=50)  # each asks for many intersections
@given(st.lists(NEAR, unique=True), st.lists(st.tuples(NEAR, st.integers(0, 4), st.integers(6, 12)), max_size=8), st.randoms(use_true_random=False))  # fmt: skip
def test_pick_when_any_then_no_day_vanishes_none_comes_twice_and_order_does_not_matter(days, found, random):
    scenes = [scene(f"i{n}", d, 10 + w / 10, 10 + e / 10) for n, (d, w, e) in enumerate(found)]
    asked = [day(d) for d in days]
    picks = pick_items(asked, scenes, TILE)
    assert sorted([p.asked for p in picks.picks] + [d.day for d in picks.dropped]) == sorted(asked)
    solar_days = [p.solar_day for p in picks.picks]
    assert solar_days == sorted(set(solar_days))
    assert all({s.solar_day for s in scenes if s.item_id in p.items} == {str(p.solar_day)} for p in picks.picks)
    random.shuffle(scenes)
    random.shuffle(asked)
    assert pick_items(asked, scenes, TILE) == picks


# ---- steps


def test_judge_when_a_day_is_cloudy_then_dropped_and_the_others_have_their_figures():
    scenes = [scene(n, d) for n, d in (("a", "2024-02-01"), ("b", "2024-03-01"), ("c", "2024-05-01"))]
    picks = pick_items([day(s.solar_day) for s in scenes], scenes, TILE)
    found = {
        day("2024-02-01"): classes((CLEAR, 79), (CLOUDY, 21)),
        day("2024-03-01"): classes((CLEAR, 80), (CLOUDY, 20)),
        day("2024-05-01"): classes((UNSEEN, 100)),
    }
    steps = judge_steps(picks, found)
    assert [(s.items, s.day_of_year, s.coverage, s.bad_share) for s in steps.steps] == [(("b",), 61, 1.0, 0.2)]
    assert [(str(d.day), d.reason) for d in steps.dropped] == [
        ("2024-02-01", "21 % of the tile is cloudy, more than 20 %"),
        ("2024-05-01", "no pixel of the tile is observed"),
    ]
    assert steps.days_of_year.tolist() == [61]


def test_judge_when_part_of_the_tile_is_unseen_then_it_is_no_cloud():
    scenes = [scene("a", "2023-05-01")]
    picks = pick_items([day("2023-05-01")], scenes, TILE)
    half = {day("2023-05-01"): classes((UNSEEN, 50), (CLEAR, 45), (CLOUDY, 5))}
    (step,) = judge_steps(picks, half).steps
    assert (step.coverage, step.bad_share) == (0.5, 0.1)
    assert judge_steps(picks, half, StepRule(nodata_is_bad=True)).steps == ()
    (dropped,) = judge_steps(picks, half, StepRule(min_coverage=0.6)).dropped
    assert dropped.reason == "50 % of the tile is observed, less than 60 %"


def test_judge_when_a_day_has_several_items_then_clouds_are_looked_up_by_day():
    """By the place of its item a later day would get the clouds of the day before: there are four items and three days."""
    scenes = [
        scene("a1", "2023-05-01", 9, 10.6), scene("a2", "2023-05-01", 10.5, 12), scene("b", "2023-05-11"), scene("c", "2023-05-21"),
    ]  # fmt: skip
    picks = pick_items([day(s.solar_day) for s in scenes], scenes, TILE)
    layers = np.stack([classes((CLEAR, 100)), classes((CLOUDY, 100)), classes((CLEAR, 90), (CLOUDY, 10))])
    found = by_solar_day([day("2023-05-01"), day("2023-05-11"), day("2023-05-21")], layers)
    steps = judge_steps(picks, found)
    assert [(s.items, s.bad_share) for s in steps.steps] == [(("a1", "a2"), 0.0), (("c",), 0.1)]
    assert [str(d.day) for d in steps.dropped] == ["2023-05-11"]
    pixels = by_solar_day(list(found), np.array([[1], [2], [3]]))
    assert stacked(steps, pixels).tolist() == [[1], [3]]


def test_judge_when_a_neighbour_stands_in_then_its_own_solar_day_is_looked_up():
    scenes = [scene("a", "2023-02-28", 9, 10.5), scene("b", "2023-03-01")]
    picks = pick_items([day("2023-02-28")], scenes, TILE)
    found = {day("2023-02-28"): classes((CLOUDY, 100)), day("2023-03-01"): classes((CLEAR, 100))}
    (step,) = judge_steps(picks, found).steps
    assert (str(step.asked), str(step.solar_day), step.day_of_year) == ("2023-02-28", "2023-03-01", 60)


def test_judge_when_a_day_has_no_classes_then_that_is_an_error():
    picks = pick_items([day("2023-05-01")], [scene("a", "2023-05-01")], TILE)
    with pytest.raises(SourceError, match="solar day 2023-05-01 has no class codes"):
        judge_steps(picks, {day("2023-05-02"): classes((CLEAR, 100))})


@pytest.mark.parametrize("days", [["2023-05-01"], ["2023-05-01", "2023-05-01"]])
def test_by_solar_day_when_layers_are_by_item_then_refused(days):
    with pytest.raises(ConfigError, match="mosaic the items of a solar day"):
        by_solar_day([day(d) for d in days], np.zeros((2, 1)))


def test_stacked_when_there_is_no_step_then_refused():
    steps = judge_steps(pick_items([], [], TILE), {})
    assert steps.days_of_year.tolist() == []
    with pytest.raises(ConfigError, match="no day became a step"):
        stacked(steps, {})


@pytest.mark.parametrize("wrong", [{"max_bad_share": 20}, {"near_days": 3}, {"near_days": -1}, {"bad_classes": (-1,)}])
def test_rule_when_a_limit_makes_no_sense_then_refused(wrong):
    with pytest.raises(ConfigError):
        StepRule(**wrong)
