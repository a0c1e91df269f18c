"""Composites at the steps of a year."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.eo.reduce import DTYPES
from geo_assets.eo.series import composites, days_of_year, step_days
from geo_assets.errors import ConfigError

compiled = settings(max_examples=50)  # the first call of a kernel compiles it
EVERY_15_DAYS = np.arange(0, 360, 15)


@st.composite
def years(draw, dtypes=("uint16", "float32")):
    """A stack with its clear mask, days and nodata."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = draw(st.tuples(st.integers(0, 12), st.integers(1, 2), st.integers(1, 3), st.integers(1, 20)))
    if dtype.kind == "f":
        nodata = draw(st.sampled_from([np.nan, 0.0, -9999.0]))
        special = st.sampled_from([nodata, np.nan, np.inf])
        elements = st.one_of(special, st.floats(-1, 2, width=32))
    else:
        nodata = 0
        elements = st.one_of(st.just(0), st.integers(1, 20_000))
    stack = draw(hnp.arrays(dtype, shape, elements=elements))
    clear = draw(hnp.arrays(bool, (shape[0], *shape[2:])))
    days = draw(st.lists(st.integers(-40, 400), min_size=shape[0], max_size=shape[0], unique=True))
    return stack, clear, days, nodata


def by_pixel(stack, clear, days, steps, *, nodata, window_days=100.0) -> np.ndarray:
    """What the docstring says, pixel by pixel in Python."""
    days = np.asarray(days, float)
    out = np.full((len(steps), *stack.shape[1:]), np.nan)
    for b, y, x in np.ndindex(stack.shape[1:]):
        values = stack[:, b, y, x].astype(float)
        seen = clear[:, y, x] & np.isfinite(values) & (stack[:, b, y, x] != nodata)
        for s, step in enumerate(steps):
            before = sorted((d for d in days[seen] if d < step), reverse=True)[:2]
            after = sorted(d for d in days[seen] if d >= step)[:2]
            counted = [d for d in before + after if abs(d - step) <= window_days]
            weights = [1 / max(1, abs(d - step)) for d in counted]
            if counted:
                out[s, b, y, x] = np.average([values[days == d][0] for d in counted], weights=weights)
    return out.astype(np.float32)


@compiled
@given(years(), st.sampled_from([0.0, 15.0, 100.0]), st.sampled_from([step_days(2023), EVERY_15_DAYS]))
def test_composites_when_pixels_are_any_then_they_are_those_of_python(made, window_days, steps):
    stack, clear, days, nodata = made
    found = composites(stack, clear, days, steps, window_days=window_days, nodata=nodata)
    expected = by_pixel(stack, clear, days, steps, window_days=window_days, nodata=nodata)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@compiled
@given(years(), st.randoms())
def test_composites_when_the_layers_are_in_another_order_then_they_are_the_same(made, random):
    stack, clear, days, nodata = made
    order = list(range(len(days)))
    random.shuffle(order)
    found = composites(stack[order], clear[order], [days[k] for k in order], step_days(2023), nodata=nodata)
    np.testing.assert_array_equal(found, composites(stack, clear, days, step_days(2023), nodata=nodata))


@compiled
@given(years(dtypes=["float32"]), st.floats(-1, 2, width=32))
def test_composites_when_a_series_is_constant_then_they_are_that_number(made, number):
    stack, clear, days, _ = made
    stack[np.isfinite(stack)] = number
    found = composites(stack, clear, days, step_days(2023))
    assert set(np.unique(found[~np.isnan(found)])) <= {np.float32(number)}


@compiled
@given(years(dtypes=["uint16"]))
def test_composites_when_they_are_made_then_they_stay_between_what_was_observed(made):
    stack, clear, days, _ = made
    found = composites(stack, clear, days, step_days(2024), nodata=0)
    seen = clear[:, None] & (stack > 0)
    assert not np.isfinite(found[:, ~seen.any(0)]).any()
    low = np.where(seen, stack, 65535).min(0, initial=65535)
    high = np.where(seen, stack, 0).max(0, initial=0)
    assert (np.isnan(found) | ((found >= low) & (found <= high))).all()


def one(values: dict[int, float], step: float, **options) -> float:
    """One pixel at one step, from its numbers by day."""
    stack = np.array(list(values.values()), np.float32).reshape(-1, 1, 1, 1)
    return float(composites(stack, np.ones((len(values), 1, 1), bool), list(values), [step], **options)[0, 0, 0, 0])


def test_composites_when_days_lie_on_both_sides_then_each_counts_by_its_distance():
    """Weights 1/10 and 1/30 before, 1/20 and 1/40 after; what is farther is not looked at."""
    found = one({50: 9.0, 70: 4.0, 90: 1.0, 120: 2.0, 140: 3.0, 150: 9.0}, 100)
    assert found == pytest.approx((1 / 10 + 4 / 30 + 2 / 20 + 3 / 40) / (1 / 10 + 1 / 30 + 1 / 20 + 1 / 40))


def test_composites_when_a_day_is_near_the_step_then_it_counts_once():
    """A day within five of the step is no day before and after it at once."""
    assert one({98: 1.0, 110: 7.0}, 100) == pytest.approx((1 / 2 + 7 / 10) / (1 / 2 + 1 / 10))


def test_composites_when_a_day_is_the_step_then_it_weighs_as_if_a_day_away():
    assert one({100: 1.0, 104: 2.0}, 100) == pytest.approx((1 + 2 / 4) / (1 + 1 / 4))


def test_composites_when_the_nearest_day_is_cloudy_then_the_next_is_taken():
    stack = np.array([5.0, 1.0, 2.0], np.float32).reshape(-1, 1, 1, 1)
    clear = np.array([False, True, True]).reshape(-1, 1, 1)
    assert composites(stack, clear, [99, 90, 110], [100])[0, 0, 0, 0] == pytest.approx(1.5)


def test_composites_when_the_window_ends_at_a_day_then_it_is_in_it_and_beyond_it_nothing_is_made_up():
    assert one({200: 3.0}, 100) == 3
    assert one({0: 3.0}, 100) == 3
    assert np.isnan(one({201: 3.0}, 100))
    assert np.isnan(one({-1: 3.0}, 100))
    assert np.isnan(one({101: 3.0}, 100, window_days=0.5))


def test_composites_when_only_december_is_clear_then_january_of_that_year_is_not_it():
    days = days_of_year([date(2023, 12, 20)], 2023)
    made = composites(np.ones((1, 1, 1, 1), np.float32), np.ones((1, 1, 1), bool), days, step_days(2023)).ravel()
    assert np.isnan(made[:17]).all()
    assert (made[17:] == 1).all()
    days = days_of_year([date(2022, 12, 20)], 2023)
    made = composites(np.ones((1, 1, 1, 1), np.float32), np.ones((1, 1, 1), bool), days, step_days(2023)).ravel()
    assert (made[:6] == 1).all()
    assert np.isnan(made[6:]).all()


def test_composites_when_there_is_no_layer_then_all_is_nan():
    made = composites(np.empty((0, 2, 3, 4), np.uint16), np.empty((0, 3, 4), bool), [], step_days(2023), nodata=0)
    assert made.shape == (24, 2, 3, 4)
    assert np.isnan(made).all()


@pytest.mark.parametrize(
    "dtype", [d if d in ("uint16", "float32") else pytest.param(d, marks=pytest.mark.heavy) for d in DTYPES]
)
def test_composites_when_numbers_are_of_any_dtype_then_they_are_their_means(dtype):
    stack = np.array([10, 20, 7], dtype).reshape(-1, 1, 1, 1)
    made = composites(stack, np.ones((3, 1, 1), bool), [90, 110, 100], [100], nodata=7)
    assert made.dtype == np.float32
    assert made[0, 0, 0, 0] == 15


def large() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Several segments of a row, the last of them cut."""
    rng = np.random.default_rng(3)
    stack = rng.integers(0, 5, (30, 2, 6, 601)).astype(np.uint16)
    return stack, rng.random((30, 6, 601)) < 0.3, rng.permutation(366)[:30] + 1


def test_composites_when_an_area_is_cut_out_then_its_pixels_are_the_same():
    stack, clear, days = large()
    whole = composites(stack, clear, days, step_days(2024), nodata=0)
    part = composites(stack[..., 2:5, 200:290], clear[:, 2:5, 200:290], days, step_days(2024), nodata=0)
    np.testing.assert_array_equal(part, whole[..., 2:5, 200:290])


def test_composites_when_threads_make_rows_then_the_array_is_whole():
    stack, clear, days = large()
    out = np.full((24, 2, 6, 601), -1, np.float32)
    with ThreadPoolExecutor(3) as pool:
        list(
            pool.map(
                lambda rows: composites(stack, clear, days, step_days(2024), nodata=0, out=out, rows=rows),
                [(0, 1), (1, 4)],
            )
        )
    np.testing.assert_array_equal(out[:, :, :4], composites(stack, clear, days, step_days(2024), nodata=0)[:, :, :4])
    assert (out[:, :, 4:] == -1).all()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"days": [1, 1]}, ConfigError, "two layers of one day"),
        ({"days": [1]}, ValueError, "each layer needs one"),
        ({"days": [1, np.nan]}, ValueError, "each layer needs one"),
        ({"steps": [2, 1]}, ConfigError, "rise"),
        ({"window_days": -1}, ConfigError, "0 or more"),
        ({"window_days": np.nan}, ConfigError, "0 or more"),
        ({"nodata": -1}, ConfigError, "nodata -1 is no uint16"),
        ({"nodata": np.nan}, ConfigError, "nodata nan is no uint16"),
        ({"stack": np.zeros((2, 1, 3, 4))}, ConfigError, "float64"),
        ({"stack": np.zeros((2, 3, 4), np.uint16)}, ValueError, "dims"),
        ({"clear": np.zeros((2, 4, 3), bool)}, ValueError, "clear is"),
        ({"clear": np.zeros((2, 3, 4), np.uint8)}, ValueError, "clear is"),
        ({"out": np.zeros((24, 1, 3, 4))}, ValueError, "out is"),
        ({"rows": (0, 1)}, ValueError, "Give out"),
    ],
)
def test_composites_when_what_is_given_is_wrong_then_it_says_what(change, error, words):
    given_all = {
        "stack": np.zeros((2, 1, 3, 4), np.uint16), "clear": np.zeros((2, 3, 4), bool), "days": [1, 2],
        "steps": step_days(2023), "nodata": 0,
    }  # fmt: skip
    with pytest.raises(error, match=words):
        composites(**(given_all | change))


def test_days_of_year_when_a_year_leaps_then_march_is_a_day_later_and_there_are_366():
    days = [date(2024, 1, 1), date(2024, 2, 29), date(2024, 3, 1), date(2024, 12, 31)]
    assert days_of_year(days, 2024).tolist() == [1, 60, 61, 366]
    assert days_of_year([date(2023, 3, 1), date(2023, 12, 31)], 2023).tolist() == [60, 365]


def test_days_of_year_when_days_are_of_its_neighbours_then_they_go_on_counting():
    assert days_of_year([date(2023, 12, 31), date(2025, 1, 1)], 2024).tolist() == [0, 367]


@pytest.mark.parametrize(("year", "length"), [(2023, 365), (2024, 366), (1900, 365), (2000, 366)])
def test_step_days_when_a_year_is_long_or_short_then_they_cover_it_evenly(year, length):
    steps = step_days(year)
    assert len(steps) == 24
    np.testing.assert_allclose(np.diff(steps), length / 24)
    assert steps[0] - length / 48 == pytest.approx(0.5)
    assert steps[-1] + length / 48 == pytest.approx(length + 0.5)


@pytest.mark.parametrize("year", [2023, 2024])
def test_step_days_when_two_are_a_month_then_it_ends_within_two_days_of_the_calendars(year):
    firsts = days_of_year([date(year, month, 1) for month in range(1, 13)], year) - 0.5
    width = (date(year + 1, 1, 1) - date(year, 1, 1)) / timedelta(days=24)
    assert np.abs(step_days(year)[::2] - width / 2 - firsts).max() < 2
