import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.report.axes import count_axis, edges, time_axis


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (0.0, ["0.0 ms", "0.2 ms", "0.4 ms", "0.6 ms", "0.8 ms", "1.0 ms"]), (0.4, ["0 ms", "100 ms", "200 ms", "300 ms", "400 ms"]),
        (2.2, ["0.0 s", "0.5 s", "1.0 s", "1.5 s", "2.0 s"]), (50, ["0 s", "10 s", "20 s", "30 s", "40 s", "50 s"]),
        (400, ["0 min", "2 min", "4 min", "6 min"]), (9000, ["0 min", "30 min", "60 min", "90 min", "120 min", "150 min"]),
        (40_000, ["0 h", "3 h", "6 h", "9 h"]), (3e6, ["0 d", "10 d", "20 d", "30 d"]),
    ],
)  # fmt: skip
def test_time_axis_when_ticks_are_shown_then_round_and_with_a_unit(seconds, labels):
    axis = time_axis(seconds, 5)
    assert [axis.show(t) for t in axis.ticks] == labels


@given(st.floats(0, 1e9), st.integers(2, 12))
def test_time_axis_when_any_time_then_few_ticks_that_differ(seconds, ticks):
    axis = time_axis(seconds, ticks)
    labels = [axis.show(t) for t in axis.ticks]
    assert 1 <= len(labels) <= ticks + 1
    assert len(set(labels)) == len(labels)


@given(st.floats(0, 1e7))
def test_count_axis_when_any_number_then_it_holds_it_in_whole_steps(most):
    axis = count_axis(most)
    assert axis.high >= most
    assert axis.step == int(axis.step)
    assert len(axis.ticks) <= 7


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_edges_when_any_values_then_all_have_a_bin_and_few_are_used(values):
    bounds, open_ = edges(values, 32)
    assert bounds[0] == 0
    assert 2 <= len(bounds) <= 34
    assert open_ == (max(values) > bounds[-1])


def test_edges_when_one_took_very_long_then_the_others_still_differ():
    bounds, open_ = edges([*range(1, 100), 100_000.0], 32)
    assert open_
    assert bounds[-1] < 400
