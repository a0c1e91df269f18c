import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.optimize import minimize

from geo_assets.eo.reduce import geometric_median, medoid, statistic

compiled = settings(max_examples=60)  # the first call of a kernel compiles it
SHAPES = st.tuples(st.integers(1, 4), st.integers(0, 7), st.integers(1, 3), st.integers(1, 3))
STACKS = SHAPES.flatmap(
    lambda shape: hnp.arrays(
        np.uint16, shape, elements=st.one_of(st.just(0), st.integers(1, 9), st.integers(1, 65_535))
    )
)


def days_of(stack: np.ndarray, r: int, c: int) -> np.ndarray:
    """The days of a pixel that have every band, dims (day, band)."""
    days = stack[:, :, r, c].T
    return days[(days != 0).all(axis=1)].astype(float)


def column(days: list[list[float]], dtype: str = "float32") -> np.ndarray:
    """A stack of one pixel."""
    return np.array(days, dtype).T[:, :, None, None]


def total(point: np.ndarray, days: np.ndarray) -> float:
    return float(np.sqrt(np.square(days - point).sum(axis=1)).sum())


@compiled
@given(STACKS)
def test_medoid_when_pixels_are_any_then_it_is_the_day_nearest_to_the_others(stack):
    made = medoid(stack)
    for r, c in np.ndindex(stack.shape[2:]):
        whole, found = days_of(stack, r, c), made[:, r, c]
        if not len(whole):
            assert not found.any()
            continue
        distance = np.sqrt(((whole[:, None] - whole[None]) ** 2).sum(-1)).sum(1)
        chosen = (whole == found).all(axis=1)
        assert chosen.any()
        assert distance[chosen].min() == pytest.approx(distance.min())


def test_medoid_when_days_tie_then_the_earliest_wins():
    assert medoid(column([[10, 10], [20, 20]], "uint16")).ravel().tolist() == [10, 10]
    square = [[1, 1], [1, 9], [9, 9], [9, 1]]
    for order in itertools.permutations(square):
        assert medoid(column(list(order), "uint16")).ravel().tolist() == order[0]


def test_medoid_when_a_band_is_missing_then_the_day_does_not_compete():
    assert medoid(column([[10, 0], [11, 12], [500, 500]], "uint16")).ravel().tolist() == [11, 12]
    assert medoid(column([[10, np.inf], [11, np.nan], [500, 500]]), nodata=np.nan).ravel().tolist() == [500, 500]


def test_medoid_when_no_day_has_every_band_then_it_is_nodata():
    assert medoid(column([[10, -1], [-1, 12]]), nodata=-1).ravel().tolist() == [-1, -1]


@compiled
@given(STACKS, st.sampled_from([medoid, geometric_median]), st.integers(0, 3), st.integers(0, 3))
def test_bands_when_made_in_rows_then_they_are_the_same_and_other_rows_are_left_alone(stack, make, a, b):
    first, end = sorted((min(a, stack.shape[2]), min(b, stack.shape[2])))
    out = np.full((stack.shape[0], *stack.shape[2:]), 77, np.uint16)
    assert make(stack, out=out, rows=(first, end)) is out
    expected = np.full_like(out, 77)
    expected[:, first:end] = make(stack)[:, first:end]
    assert np.array_equal(out, expected)


@settings(max_examples=25)
@given(STACKS)
def test_geometric_median_when_pixels_are_any_then_no_point_is_nearer_to_all_days(stack):
    made = geometric_median(stack.astype(np.float32))
    for r, c in np.ndindex(stack.shape[2:]):
        whole, found = days_of(stack, r, c), made[:, r, c].astype(float)
        if not len(whole):
            assert not found.any()
            continue
        starts = [whole.mean(axis=0), np.median(whole, axis=0)]
        judges = [minimize(total, s, args=(whole,), method="Nelder-Mead", options={"xatol": 1e-6}).x for s in starts]
        best = min(total(point, whole) for point in [*judges, *whole])
        assert total(found, whole) <= best * (1 + 1e-6) + 1e-3


@compiled
@given(STACKS, st.randoms())
def test_geometric_median_when_the_scenes_come_in_another_order_then_it_is_as_near(stack, random):
    order = random.sample(range(stack.shape[1]), stack.shape[1])
    one, other = (geometric_median(s.astype(np.float32)) for s in (stack, stack[:, order]))
    for r, c in np.ndindex(stack.shape[2:]):
        whole = days_of(stack, r, c)
        assert total(one[:, r, c], whole) == pytest.approx(total(other[:, r, c], whole), rel=1e-6, abs=1e-3)


@compiled
@given(STACKS, st.sampled_from([-60, -30, 30, 60]))
def test_geometric_median_when_all_is_scaled_then_so_is_it(stack, power):
    stack = stack.astype(np.float32)
    scaled = geometric_median(np.ldexp(stack, power))
    np.testing.assert_array_equal(scaled, np.ldexp(geometric_median(stack), power))


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([[3, 4]], [3, 4]),
        ([[3, 4], [5, 8]], [4, 6]),
        ([[5, 5], [5, 5], [5, 5]], [5, 5]),
        ([[1, 1], [1, 1], [9, 9]], [1, 1]),  # two of three days are the same
        ([[0, 0], [8, 0], [8, 6], [0, 6]], [4, 3]),  # where the diagonals meet
        ([[0, 0], [6, 0], [9, 9], [0, 2]], [1.5, 1.5]),  # also of another quadrangle: y = x and x / 6 + y / 2 = 1
        ([[0, 0], [12, 1], [-12, 1]], [0, 0]),  # a corner of more than 120 degrees wins
        ([[1, 1], [2, 2], [3, 3], [50, 50], [90, 90]], [3, 3]),  # days on a line: their median
    ],
)
def test_geometric_median_when_it_can_be_worked_out_then_it_is_that(days, expected):
    assert geometric_median(column(days), nodata=np.nan).ravel().tolist() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "days", [[[0, 0], [1.2, 0.1], [-1.2, 0.1]], [[7, 7], [3174, 7], [8, 7], [7, 7], [7, 3], [7, 8]]]
)
def test_geometric_median_when_it_is_a_day_then_it_is_exactly_that(days):
    assert geometric_median(column(days), nodata=np.nan).ravel().tolist() == days[0]


def test_geometric_median_when_a_triangle_is_even_then_every_side_is_seen_at_120_degrees():
    corners = [[0, 0], [2, 0], [1, 3**0.5]]
    found = geometric_median(column(corners), nodata=np.nan).ravel()
    assert found.tolist() == pytest.approx([1, 3**-0.5], abs=1e-6)


@pytest.mark.parametrize("more", [[], [[0, 0]]])
def test_geometric_median_when_the_start_is_a_day_that_is_not_it_then_it_goes_on(more):
    """The mean of these days is the day at the origin; the others pull it away with a force of 1.41."""
    days = [[-9, 0], [3, 3], [3, -3], [3, 0], [0, 0]]
    found = geometric_median(column(days + more), nodata=np.nan).ravel()
    assert found[1] == pytest.approx(0, abs=1e-6)
    assert (found[0] > 0.1) == (not more)  # a second day there holds it
    line = np.linspace(-1, 3, 4001)
    sums = [total(np.array([x, 0]), np.array(days + more, float)) for x in line]
    assert found[0] == pytest.approx(line[int(np.argmin(sums))], abs=1e-3)


def test_geometric_median_when_integers_then_it_is_rounded_half_to_even():
    assert geometric_median(column([[1, 2], [2, 3]], "uint16")).ravel().tolist() == [2, 2]


def test_geometric_median_when_one_day_is_cloudy_then_it_hardly_moves():
    clear = np.random.default_rng(3).normal(1000, 20, (8, 4))
    cloudy = np.vstack([clear, np.full(4, 9000)])
    with_it, without = (geometric_median(column(days.tolist(), "uint16")).ravel() for days in (cloudy, clear))
    assert np.abs(with_it.astype(int) - without).max() < 20
    assert np.abs(cloudy.mean(axis=0) - clear.mean(axis=0)).min() > 800


def test_geometric_median_when_there_is_one_band_then_it_is_the_median():
    stack = np.random.default_rng(5).integers(0, 50, (1, 9, 4, 5), np.uint16)
    assert np.array_equal(geometric_median(stack)[0], statistic(stack[0], "median"))
    assert geometric_median(column([[1], [np.inf], [3]]), nodata=np.nan).item() == 2


def test_geometric_median_when_a_band_is_missing_then_the_day_does_not_count():
    days = [[10, -1], [-1, 70], [20, 30]]
    assert geometric_median(column(days), nodata=-1).ravel().tolist() == [20, 30]
    assert geometric_median(column(days[:2]), nodata=-1).ravel().tolist() == [-1, -1]


def test_geometric_median_when_pixels_are_many_then_each_is_as_if_alone():
    random = np.random.default_rng(7)
    stack = random.integers(1, 4000, (3, 6, 5, 70), np.uint16)
    stack[:, random.random(stack.shape[1:]) < 0.4] = 0
    whole = geometric_median(stack)
    for r, c in [(0, 0), (1, 69), (2, 35), (4, 69)]:
        alone = geometric_median(np.ascontiguousarray(stack[:, :, r : r + 1, c : c + 1]))
        assert np.array_equal(alone.ravel(), whole[:, r, c])


def test_geometric_median_when_no_turns_are_left_then_the_best_so_far_is_taken():
    days = np.random.default_rng(8).integers(1, 4000, (9, 3)).astype(float)
    start = days.mean(axis=0)
    sums = [total(geometric_median(column(days.tolist()), max_iter=n).ravel(), days) for n in (1, 2, 4, 50)]
    assert sums == sorted(sums, reverse=True)
    assert sums[0] <= total(start, days) * (1 + 1e-6)
