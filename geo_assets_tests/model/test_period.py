"""Months and periods: the time axis counts from its start, never from January."""

import datetime as dt
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.errors import ConfigError, PartitionError
from geo_assets.model.period import Month, Period, Periods

TODAY = dt.date(2024, 3, 15)
months = st.builds(Month, st.integers(1, 9990), st.integers(1, 12))
axes = st.builds(
    Periods, st.builds(Month, st.integers(1980, 2100), st.integers(1, 12)), st.integers(1, 24), st.integers(1, 60)
)


@given(months)
def test_month_written_and_read_is_the_same(month):
    assert Month.parse(str(month)) == month


@given(months, st.integers(-100, 100))
def test_month_plus_moves_its_ordinal(month, n):
    if month.ordinal + n >= 12:
        assert month.plus(n).ordinal == month.ordinal + n
        assert month.plus(n).plus(-n) == month


@pytest.mark.parametrize(
    "text", ["2024-13", "2024-00", "0000-01", "24-01", "2024-1", "2024-01-01", "", "２０２４-01x", "2024-01\n"]
)
def test_month_of_anything_else_is_refused(text):
    with pytest.raises(PartitionError, match="is not a month"):
        Month.parse(text)


@given(axes)
def test_periods_follow_one_another_without_gap_or_overlap(axis):
    periods = list(axis)
    assert len(periods) == len(axis) == len(set(axis.keys))
    for earlier, later in itertools.pairwise(periods):
        assert later.start - earlier.end == dt.timedelta(days=1)
        assert not later.holds(earlier.end)
    assert [axis.index(key) for key in axis.keys] == list(range(len(axis)))


@given(axes)
def test_periods_refuse_every_month_that_begins_none(axis):
    keys = set(axis.keys)
    for n in range(-2, axis.count * axis.step + 2):
        key = str(axis.start.plus(n))
        if key not in keys:
            with pytest.raises(PartitionError, match="not a partition"):
                axis.index(key)


def test_period_of_february_ends_on_the_leap_day():
    assert Period(Month(2024, 2)).end == dt.date(2024, 2, 29)
    assert Period(Month(2023, 12), 3).end == dt.date(2024, 2, 29)
    assert Period(Month(2024, 2)).holds(dt.date(2024, 2, 29))


def test_periods_without_an_end_are_those_complete_today():
    assert Periods.build("2023-12", None, 1, today=TODAY).keys == ["2023-12", "2024-01", "2024-02"]
    assert Periods.build("2023-12", None, 2, today=TODAY).keys == ["2023-12"]
    with pytest.raises(ConfigError, match="complete"):
        Periods.build("2024-03", None, 1, today=TODAY)


def test_periods_of_three_months_count_from_their_start():
    assert Periods.build("2023-02", "2023-10", 3, today=TODAY).keys == ["2023-02", "2023-05", "2023-08"]


def test_periods_that_end_before_they_start_are_refused():
    with pytest.raises(ConfigError, match="before they start"):
        Periods.build("2024-02", "2024-01", 1, today=TODAY)


def test_between_takes_both_ends_and_says_what_there_is():
    axis = Periods.build("2023-01", "2023-12", 1, today=TODAY)
    assert [p.key for p in axis.between("2023-03", "2023-05")] == ["2023-03", "2023-04", "2023-05"]
    assert len(axis.between(None, None)) == 12
    with pytest.raises(PartitionError, match="2023-01 to 2023-12"):
        axis.between("2024-01", None)
