import datetime as dt
from collections import Counter

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.eo.tile_clouds import Clouds
from geo_assets.eo.tile_select import DayRule, DayView, select_days, view_day
from geo_assets.errors import ConfigError
from geo_assets_tests.realdata import real_data

NEW_YEAR = dt.date(2023, 1, 1)
ALL_SEEN = 10_000


def day(text):
    return dt.date.fromisoformat(text)


def view(text, share, centre=None, *, coverage=1.0, centre_coverage=1.0):
    """A day whose observed pixels are cloudy by such shares."""
    wide, near = round(coverage * ALL_SEEN), round(centre_coverage * 900)
    centre = share if centre is None else centre
    return DayView(
        day(text), Clouds(ALL_SEEN, wide, round(share * wide)), Clouds(900, near, round(centre * near))
    )  # fmt: skip


def reason(choices, text):
    return next(d.reason for d in choices.days if d.day == day(text))


def kept(choices):
    return [str(d.day) for d in choices.kept]


@st.composite
def years(draw):
    days = draw(st.lists(st.integers(0, 364), min_size=0, max_size=70, unique=True))
    found = []
    for n in days:
        seen, near = draw(st.integers(0, 40)), draw(st.integers(0, 9))
        wide, centre = Clouds(40, seen, draw(st.integers(0, seen))), Clouds(9, near, draw(st.integers(0, near)))
        found.append(DayView(NEW_YEAR + dt.timedelta(days=n), wide, centre))
    return found


# ---- counting


def test_view_when_worked_out_by_hand_then_nodata_is_no_cloud_but_lacks_coverage():
    classes = np.array([[0, 0, 4, 9], [0, 4, 4, 9], [6, 5, 3, 11], [0, 4, 4, 4]], np.uint8)
    seen = view_day(NEW_YEAR, classes, DayRule(centre_px=2))
    assert seen.wide == Clouds(16, 12, 4)
    assert seen.centre == Clouds(4, 4, 1)
    assert (seen.wide.coverage, seen.wide.share()) == (0.75, 1 / 3)
    assert seen.wide.share(nodata_is_bad=True) == 0.5


def test_view_when_each_class_is_seen_then_only_land_and_water_are_clear():
    bad = [c for c in range(1, 12) if Clouds.of(np.array([c], np.uint8)).bad]
    assert bad == [1, 2, 3, 7, 8, 9, 10, 11]


def test_view_when_it_is_smaller_than_its_centre_then_all_is_centre():
    classes = np.full((3, 5), 4, np.uint8)
    assert view_day(NEW_YEAR, classes).centre.pixels == 15


def test_view_when_it_is_143_pixels_wide_then_the_centre_is_30_of_them():
    classes = np.full((143, 144), 9, np.uint8)
    classes[56:86, 57:87] = 4
    assert view_day(NEW_YEAR, classes).centre == Clouds(900, 900, 0)


def test_view_when_nothing_is_observed_then_it_has_no_share():
    blank = Clouds.of(np.zeros((2, 2), np.uint8))
    assert (blank.share(), blank.share(nodata_is_bad=True), blank.coverage) == (None, 1.0, 0.0)


@pytest.mark.parametrize("classes", [np.zeros((2, 2), np.int16), np.zeros((0, 2), np.uint8), np.zeros(4, np.uint8)])
def test_view_when_they_are_no_classes_then_refused(classes):
    with pytest.raises(ValueError, match="must be"):
        view_day(NEW_YEAR, classes)


# ---- one day


def test_select_when_half_of_a_wide_view_is_cloudy_then_kept_and_one_pixel_more_not():
    # Its score is 0.25 * 0.5 + 0.75 * 0.3 = 0.35
    assert kept(select_days([view("2023-05-01", 0.50, 0.30)])) == ["2023-05-01"]
    choices = select_days([view("2023-05-01", 0.5001, 0.0)])
    assert kept(choices) == []
    assert reason(choices, "2023-05-01") == "50.01 % of its view is cloudy, more than 50 %"


def test_select_when_a_day_is_fair_then_its_centre_does_not_count():
    (choice,) = select_days([view("2023-05-01", 0.30, 1.0)]).days
    assert (choice.kept, choice.score) == (True, pytest.approx(0.30))


def test_select_when_a_day_is_cloudier_then_its_centre_is_weighed_in():
    # 0.25 * 0.36 + 0.75 * 0.40 = 0.39, and 0.25 * 0.36 + 0.75 * 0.42 = 0.405
    choices = select_days([view("2023-05-01", 0.36, 0.40), view("2023-06-01", 0.36, 0.42)])
    assert kept(choices) == ["2023-05-01"]
    assert choices.kept[0].score == pytest.approx(0.39)
    assert (
        reason(choices, "2023-06-01") == "score 0.405 is over 0.4: 36 % of its view and 42 % of its centre are cloudy"
    )


def test_select_when_score_equals_its_limit_then_kept():
    assert kept(select_days([view("2023-05-01", 0.4, 0.4)])) == ["2023-05-01"]


def test_select_when_a_clear_day_shows_half_of_the_view_then_it_is_not_cloudy():
    """Nodata that counts as cloud would make it 55 % cloudy."""
    half = view("2023-05-01", 0.1, 0.1, coverage=0.5)
    (choice,) = select_days([half]).days
    assert choice.kept
    assert (choice.share, choice.coverage) == (pytest.approx(0.1), 0.5)
    (old,) = select_days([half], DayRule(nodata_is_bad=True)).days
    assert not old.kept
    assert old.reason == "55 % of its view is cloudy, more than 50 %"


def test_select_when_the_centre_is_hardly_observed_then_dropped_for_that():
    choices = select_days([view("2023-05-01", 0.0, 0.0, centre_coverage=0.4)])
    assert reason(choices, "2023-05-01") == "40 % of its centre is observed, less than 50 %"
    assert select_days([view("2023-05-01", 0.0, centre_coverage=0.4)], DayRule(min_centre_coverage=0.4)).kept


def test_select_when_nothing_is_observed_then_dropped_for_that():
    blank = DayView(NEW_YEAR, Clouds(16, 0, 0), Clouds(4, 0, 0))
    beside = DayView(NEW_YEAR + dt.timedelta(days=1), Clouds(16, 8, 0), Clouds(4, 0, 0))
    choices = select_days([blank, beside], DayRule(min_centre_coverage=0))
    assert [d.reason for d in choices.dropped] == [
        "nothing of its view is observed",
        "nothing of its centre is observed",
    ]


# ---- its month


def test_select_when_the_same_month_has_a_much_clearer_centre_then_dropped():
    choices = select_days([view("2023-05-01", 0.1, 0.31), view("2023-05-30", 0.2, 0.1), view("2023-06-01", 0.1, 0.31)])
    assert kept(choices) == ["2023-05-30", "2023-06-01"]
    assert reason(choices, "2023-05-01") == (
        "31 % of its centre is cloudy, and 10 % on 2023-05-30 of the same month: over 20 points more"
    )


def test_select_when_the_centre_is_clearer_by_the_limit_but_for_rounding_then_kept():
    assert 0.9 - 0.7 > 0.2
    assert len(select_days([view("2023-05-01", 0.1, 0.9), view("2023-05-30", 0.2, 0.7)]).kept) == 2


def test_select_when_the_clearer_day_is_dropped_itself_then_it_counts_unless_told_otherwise():
    days = [view("2023-05-01", 0.1, 0.3), view("2023-05-30", 0.6, 0.0)]
    assert kept(select_days(days)) == []
    assert kept(select_days(days, DayRule(rivals="usable"))) == ["2023-05-01"]


def test_select_when_the_clearer_day_hardly_shows_the_centre_then_it_does_not_count():
    days = [view("2023-05-01", 0.1, 0.3), view("2023-05-30", 0.0, 0.0, centre_coverage=0.01)]
    assert kept(select_days(days)) == ["2023-05-01"]


# ---- the best of all


def test_select_when_a_month_has_many_then_the_best_2_and_the_rest_fills_up():
    days = [view(f"2023-05-{n:02}", n / 200) for n in range(1, 31)]
    choices = select_days(days)
    assert kept(choices) == [f"2023-05-{n:02}" for n in range(1, 25)]
    assert reason(choices, "2023-05-02") == "among the best 2 of its month"
    assert reason(choices, "2023-05-03") == "its month has 2 better days, but fewer than 24 were found"
    assert reason(choices, "2023-05-25") == "its month has 2 better days, and 24 days are found"


def test_select_when_all_months_have_2_then_no_third_comes_in():
    days = [view(f"2023-{m:02}-{d:02}", 0.05 if d == 3 else 0.2) for m in range(1, 13) for d in (1, 2, 3)]
    choices = select_days(days)
    assert kept(choices) == [f"2023-{m:02}-{d:02}" for m in range(1, 13) for d in (1, 3)]


def test_select_when_there_are_more_than_wanted_then_the_worst_go():
    days = [view(f"2023-{m:02}-01", m / 100) for m in range(1, 13)]
    choices = select_days(days, DayRule(most=5))
    assert kept(choices) == [f"2023-{m:02}-01" for m in range(1, 6)]
    assert reason(choices, "2023-06-01") == "5 days are better"


def test_select_when_scores_are_equal_then_centre_coverage_and_date_decide():
    days = [
        view("2023-05-05", 0.2, 0.2, coverage=0.9), view("2023-05-04", 0.2, 0.2), view("2023-05-03", 0.2, 0.2, coverage=0.9),
        view("2023-05-06", 0.2, 0.1),
    ]  # fmt: skip
    order = [kept(select_days(days, DayRule(per_month=n, most=n))) for n in (1, 2, 3)]
    assert order == [
        ["2023-05-06"],
        ["2023-05-04", "2023-05-06"],
        ["2023-05-03", "2023-05-04", "2023-05-06"],
    ]


def test_select_when_a_day_comes_twice_then_refused():
    with pytest.raises(ConfigError, match="solar day 2023-05-01 comes twice"):
        select_days([view("2023-05-01", 0.1), view("2023-05-01", 0.2)])


@given(years(), st.randoms(use_true_random=False), st.booleans())
def test_select_when_days_are_any_then_none_vanishes_and_their_order_does_not_matter(views, random, old):
    rule = DayRule(nodata_is_bad=old)
    choices = select_days(views, rule)
    given_days = sorted(v.day for v in views)
    assert [d.day for d in choices.days] == given_days
    assert sorted([d.day for d in choices.kept] + [d.day for d in choices.dropped]) == given_days
    assert all(d.reason for d in choices.days)
    shuffled = list(views)
    random.shuffle(shuffled)
    assert select_days(shuffled, rule) == choices


@given(years())
def test_select_when_days_are_any_then_24_at_most_and_2_a_month_unless_filled_up(views):
    choices = select_days(views)
    assert len(choices.kept) <= 24
    first = Counter(d.day.month for d in choices.kept if d.reason.startswith("among the best"))
    assert max(first.values(), default=0) <= 2
    filled = [d for d in choices.kept if not d.reason.startswith("among the best")]
    assert all(first[d.day.month] == 2 for d in filled)
    # Whoever is left out though nothing speaks against it is no better than who filled up
    left = [d.score for d in choices.dropped if "days are found" in d.reason]
    assert not left or (len(choices.kept) == 24 and max([d.score for d in filled], default=0) <= min(left) + 1e-9)


@pytest.mark.parametrize(
    "wrong",
    [{"max_share": 50}, {"most": 0}, {"per_month": 0}, {"bad_classes": (300,)}, {"rivals": "none"}, {"month_gap": -1}],
)
def test_rule_when_a_limit_makes_no_sense_then_refused(wrong):
    with pytest.raises(ConfigError, match=str(next(iter(wrong)) if "bad_classes" not in wrong else "class 300")):
        DayRule(**wrong)


# ---- the old way, worked out again without any of the code above


def old_way(views):
    """Days that the old rule keeps: nodata is cloud, and limits are compared as they are."""
    wide = np.array([(v.wide.pixels - v.wide.observed + v.wide.bad) / v.wide.pixels for v in views])
    near = np.array([(v.centre.pixels - v.centre.observed + v.centre.bad) / v.centre.pixels for v in views])
    month = np.array([v.day.month for v in views])
    score = np.where(wide > 0.30 + 1e-9, 0.25 * wide + 0.75 * near, wide)
    fair = (wide <= 0.50 + 1e-9) & (score <= 0.40 + 1e-9)
    fair &= np.array([near[i] - near[month == m].min() <= 0.20 + 1e-9 for i, m in enumerate(month)], bool)
    ranked = sorted(np.flatnonzero(fair), key=lambda i: score[i])
    first = [i for n, i in enumerate(ranked) if sum(month[j] == month[i] for j in ranked[:n]) < 2][:24]
    rest = [i for i in ranked if i not in first]
    return {views[i].day for i in first + rest[: 24 - len(first)]}


@given(years())
def test_select_when_nodata_is_cloud_then_it_is_the_old_rule(views):
    found = select_days(views, DayRule(nodata_is_bad=True))
    scores = [round(d.score, 9) for d in found.days if d.score is not None]
    if len(set(scores)) == len(scores):  # days as good as each other had no order then
        assert {d.day for d in found.kept} == old_way(views)
    else:
        assert len(found.kept) == len(old_way(views))


@pytest.mark.realdata
def test_select_when_classes_are_real_then_the_three_clear_days_of_an_august_are_kept():
    views = []
    for path in sorted(real_data("stac", "s2-l2a-33t").glob("*_33TWL_*/SCL.tif")):
        with rasterio.open(path) as file:
            every_fifth = file.read(1)[::5, ::5]  # 600 m
        views.append(view_day(dt.date.fromisoformat(path.parent.name.split("_")[2]), every_fifth))
    assert kept(select_days(views)) == ["2023-08-13", "2023-08-15", "2023-08-20"]
