import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.eo.radar_steps import QuarterPixels, quarter_median, stored_power, year_steps

POWER = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.just(2), st.just(3), st.just(2)),
    elements=st.sampled_from([0.0, -1.0, np.nan, 1e-9, 0.01, 0.25, 0.5, 0.9, 1.5, np.inf]),
)


def full(value):
    return np.full((2, 3, 2), value, np.uint16)


def test_stored_power_when_worked_out_by_hand_then_what_is_no_echo_is_nodata():
    power = np.array([np.nan, np.inf, -np.inf, -32_768, 0, 1e-9, 0.5, 1, 3], np.float32)
    assert stored_power(power).tolist() == [0, 0, 0, 0, 0, 1, 32_768, 65_535, 65_535]


def test_median_when_a_day_sees_nothing_then_the_others_alone():
    """A zero that counted as power would make the first pixel 0.2, not 0.3."""
    days = np.array([[0, 0, 0], [0.2, 0.4, 0], [0.4, np.nan, 0]], np.float32)[:, None, :, None]
    found = quarter_median(list(np.repeat(days, 2, axis=3)))
    assert found[0, :, 0].tolist() == [round(0.3 * 65_535), round(0.4 * 65_535), 0]
    assert found.dtype == np.uint16
    assert found.shape == (1, 3, 2)


@given(POWER)
def test_median_when_any_then_it_is_numpys_and_order_does_not_matter(days):
    found = quarter_median(list(days))
    stored = stored_power(days).astype(float)
    stored[stored == 0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of pixels that no day sees
        wanted = np.nan_to_num(np.rint(np.nanmedian(stored, axis=0)))
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(quarter_median(list(days[::-1])), found)


@pytest.mark.parametrize("days", [[], [np.ones((2, 2))], [np.ones((2, 2, 2)), np.ones((2, 3, 2))]])
def test_median_when_days_do_not_fit_then_refused(days):
    with pytest.raises(ValueError, match="must have one"):
        quarter_median(days)


def test_year_when_all_is_there_then_each_quarter_comes_three_times():
    year = year_steps([QuarterPixels(n, full(n)) for n in (3, 1, 4, 2)], (2, 3))
    assert year.pixels.shape == (12, 2, 3, 2)
    assert year.pixels[:, 0, 0, 0].tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert year.days_of_year.tolist() == [45] * 3 + [135] * 3 + [225] * 3 + [315] * 3
    assert [q.status for q in year.quarters] == ["ok"] * 4


def test_year_when_a_quarter_failed_or_is_empty_then_its_steps_are_nodata_and_say_so():
    quarters = [QuarterPixels(1, full(1)), QuarterPixels(2, failed=True, cause="HTTP 503"), QuarterPixels(3, full(0))]
    year = year_steps(quarters, (2, 3))
    assert year.pixels.shape == (12, 2, 3, 2)
    assert year.pixels[:, 1, 2, 1].tolist() == [1, 1, 1, *[0] * 9]
    assert [(q.number, q.status, q.cause) for q in year.quarters] == [
        (1, "ok", ""),
        (2, "failed", "HTTP 503"),
        (3, "empty", "no pixel of its days is observed"),
        (4, "empty", "nothing was made of it"),
    ]


@given(st.lists(st.sampled_from([1, 2, 3, 4]), unique=True), st.lists(st.booleans(), min_size=4, max_size=4))
def test_year_when_any_quarters_are_there_then_steps_are_always_12(numbers, made):
    year = year_steps([QuarterPixels(n, full(n) if made[n - 1] else None) for n in numbers], (2, 3))
    assert year.pixels.shape == (12, 2, 3, 2)
    assert len(year.days_of_year) == 12
    there = [n for n in (1, 2, 3, 4) if n in numbers and made[n - 1]]
    assert [q.number for q in year.quarters if q.status == "ok"] == there
    assert sorted(set(year.pixels.ravel()) - {0}) == there


def test_year_when_a_cause_is_not_given_then_there_is_one():
    causes = [q.cause for q in year_steps([QuarterPixels(1, failed=True), QuarterPixels(2)], (1, 1)).quarters]
    assert causes[:2] == ["it could not be read", "no day has an item of the tile"]


def test_year_when_a_cause_quotes_a_signed_address_then_the_signature_is_not_told():
    failed = QuarterPixels(1, failed=True, cause="https://h/a.tif?sig=SECRET: HTTP 403")
    assert year_steps([failed], (1, 1)).quarters[0].cause == "https://h/a.tif: HTTP 403"


@pytest.mark.parametrize(
    "quarters",
    [[QuarterPixels(0)], [QuarterPixels(1), QuarterPixels(1)], [QuarterPixels(1, full(1)[:1])], [QuarterPixels(1, full(1).astype(float))]],
)  # fmt: skip
def test_year_when_quarters_do_not_fit_then_refused(quarters):
    with pytest.raises(ValueError, match="must"):
        year_steps(quarters, (2, 3))
