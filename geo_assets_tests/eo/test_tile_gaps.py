import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.eo.tile_gaps import Gap, clear_steps, gaps, longest_gap, pixel_gaps
from geo_assets.eo.tile_steps import Step, Steps, day_of_year


def date(number, year=2023):
    return dt.date(year, 1, 1) + dt.timedelta(days=number - 1)


def by_hand(numbers, total):
    """Longest run of days of a year without a view, day by day."""
    longest = run = 0
    for n in range(1, total + 1):
        run = 0 if n in numbers else run + 1
        longest = max(longest, run)
    return longest


def test_longest_gap_when_worked_out_by_hand_then_the_ends_of_the_year_count():
    assert longest_gap([date(100), date(150)], 2023) == Gap(date(151), date(365), 215)
    assert longest_gap([date(300)], 2023) == Gap(date(1), date(299), 299)
    assert longest_gap([], 2024) == Gap(dt.date(2024, 1, 1), dt.date(2024, 12, 31), 366)


def test_longest_gap_when_every_day_is_seen_then_there_is_none():
    assert longest_gap([date(n) for n in range(1, 366)], 2023).days == 0


def test_longest_gap_when_two_are_as_long_then_the_first():
    days = [date(n) for n in range(1, 366) if n not in (10, 11, 20, 21)]
    assert longest_gap(days, 2023) == Gap(date(10), date(11), 2)


def test_longest_gap_when_a_day_is_of_another_year_then_refused():
    with pytest.raises(ValueError, match="2022-12-31 is no day of 2023"):
        longest_gap([dt.date(2022, 12, 31)], 2023)


def test_pixel_gaps_when_worked_out_by_hand_then_each_pixel_has_its_own():
    clear = np.array([[[1, 1, 0, 0]], [[1, 0, 0, 1]], [[1, 1, 0, 0]]], bool)
    found = pixel_gaps(clear, [date(100), date(200), date(300)], 2023)
    assert found.tolist() == [[99, 199, 365, 199]]
    assert found.dtype == np.int16
    whole = gaps(clear, [date(100), date(200), date(300)], 2023, over=(98, 99, 199))
    assert whole.over == ((98, 1.0), (99, 0.75), (199, 0.25))
    assert (whole.never, whole.median_days, whole.median_views) == (0.25, 199.0, 1.5)
    assert whole.longest == Gap(date(1), date(99), 99)


@given(st.lists(st.integers(1, 366), max_size=12, unique=True), st.sampled_from([2023, 2024]), st.data())
def test_gaps_when_days_are_any_then_they_are_counted_day_by_day(numbers, year, data):
    total = 365 + (year == 2024)
    numbers = sorted(n for n in numbers if n <= total)
    days = [date(n, year) for n in numbers]
    clear = np.array([data.draw(st.lists(st.booleans(), min_size=2, max_size=2)) for _ in numbers], bool)
    clear = clear.reshape(len(numbers), 1, 2)
    found = pixel_gaps(clear, days, year)
    for x in (0, 1):
        assert found[0, x] == by_hand({n for n, seen in zip(numbers, clear[:, 0, x], strict=True) if seen}, total)
    gap = longest_gap(days, year)
    assert gap.days == by_hand(set(numbers), total)
    assert gap.days == (gap.last - gap.first).days + 1
    assert (gaps(clear, days, year).longest.days <= found).all()


@pytest.mark.parametrize(
    ("clear", "days"),
    [
        (np.zeros((2, 1, 1), bool), [date(1)]), (np.zeros((2, 1, 1), bool), [date(2), date(1)]), (np.zeros((1, 1), bool), [date(1)]),
        (np.zeros((1, 1, 1), np.uint8), [date(1)]), (np.zeros((2, 1, 1), bool), [date(1), date(1)]),
    ],
)  # fmt: skip
def test_pixel_gaps_when_days_do_not_fit_then_refused(clear, days):
    with pytest.raises(ValueError, match="with a day a step, in order"):
        pixel_gaps(clear, days, 2023)


def test_gaps_when_there_is_no_pixel_then_refused():
    with pytest.raises(ValueError, match="without pixels"):
        gaps(np.zeros((1, 0, 3), bool), [date(1)], 2023)


def test_clear_steps_when_classes_are_given_then_by_solar_day_and_nodata_is_never_clear():
    days = [date(10), date(20)]
    steps = Steps(tuple(Step(d, d, day_of_year(d), ("i",), 1.0, 0.0) for d in days), ())
    classes = {
        date(20): np.array([[0, 4, 9]], np.uint8),
        date(15): np.full((1, 3), 9, np.uint8),
        date(10): np.array([[5, 6, 11]], np.uint8),
    }
    assert clear_steps(steps, classes).tolist() == [[[True, True, False]], [[False, True, False]]]
    assert clear_steps(steps, classes, bad_classes=(9,)).tolist() == [[[True, True, True]], [[False, True, False]]]
