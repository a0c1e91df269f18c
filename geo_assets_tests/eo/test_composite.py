import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.eo.composite import medoid, statistic
from geo_assets.errors import ConfigError

DN = st.one_of(st.just(0), st.integers(1, 65_534))
STACKS = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7).flatmap(
    lambda shape: hnp.arrays(np.uint16, shape, elements=DN)
)
NAMES = st.sampled_from(["median", "mean", "percentile"])


def numpys(stack: np.ndarray, name: str, percentile: float) -> np.ndarray:
    values = np.where(stack == 0, np.nan, stack.astype(np.float64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        reduced = {
            "median": lambda: np.nanmedian(values, axis=0),
            "mean": lambda: np.nanmean(values, axis=0),
            "percentile": lambda: np.nanpercentile(values, percentile, axis=0),
        }[name]()
    return np.nan_to_num(np.rint(reduced)).astype(np.uint16)


@given(STACKS, NAMES, st.integers(0, 100))
def test_statistic_when_pixels_are_any_then_it_is_numpys_rounded_half_to_even(stack, name, percentile):
    made = statistic(stack.copy(), name, percentile=percentile)
    assert made.dtype == np.uint16
    assert np.array_equal(made, numpys(stack, name, percentile))


@given(STACKS, NAMES, st.randoms())
def test_statistic_when_the_scenes_come_in_another_order_then_it_is_the_same(stack, name, random):
    order = random.sample(range(len(stack)), len(stack))
    assert np.array_equal(statistic(stack, name, percentile=30), statistic(stack[order], name, percentile=30))


@given(STACKS)
def test_statistic_when_called_then_its_input_is_untouched(stack):
    before = stack.copy()
    statistic(stack, "median")
    assert np.array_equal(stack, before)


@given(STACKS, NAMES, st.integers(1, 6), st.integers(1, 6))
def test_statistic_when_made_in_pieces_then_it_is_the_same(stack, name, row, col):
    whole = statistic(stack, name)
    pieces = [
        [statistic(np.ascontiguousarray(part), name) for part in np.split(band, [col], axis=2)]
        for band in np.split(stack, [row], axis=1)
    ]
    assert np.array_equal(np.block(pieces), whole)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([], 0),
        ([0, 0], 0),
        ([7], 7),
        ([0, 7, 0], 7),
        ([1, 2], 2),  # 1.5 rounds to the even 2
        ([2, 3], 2),  # and so does 2.5
        ([65_534, 65_534], 65_534),
        ([1, 65_534], 32_768),
        ([9, 0, 3, 5], 5),
    ],
)
def test_median_when_days_are_missing_then_they_do_not_count(days, expected):
    assert statistic(np.array(days, np.uint16).reshape(-1, 1, 1), "median")[0, 0] == expected


def test_median_when_nodata_would_enter_then_the_result_would_be_another():
    stack = np.array([0, 0, 400], np.uint16).reshape(-1, 1, 1)
    assert (statistic(stack, "median")[0, 0], np.median(stack)) == (400, 0)


def test_statistic_when_unknown_then_it_is_refused():
    with pytest.raises(ConfigError, match="one of median"):
        statistic(np.ones((1, 1, 1), np.uint16), "mode")


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(0, 5), st.integers(1, 3), st.integers(1, 3)).flatmap(
        lambda shape: hnp.arrays(
            np.uint16, shape, elements=st.one_of(st.just(0), st.integers(1, 9), st.integers(1, 65_535))
        )
    )
)
def test_medoid_when_pixels_are_any_then_it_is_the_day_nearest_to_the_others(stack):
    made = medoid(stack)
    for r, c in np.ndindex(stack.shape[2:]):
        days, found = stack[:, :, r, c].T, made[:, r, c]
        whole = days[(days != 0).all(axis=1)].astype(float)
        if not len(whole):
            assert not found.any()
            continue
        assert (whole == found).all(axis=1).any()
        distance = np.sqrt(((whole[:, None] - whole[None]) ** 2).sum(-1)).sum(1)
        assert distance[(whole == found).all(axis=1)].min() == pytest.approx(distance.min())


def test_medoid_when_days_tie_then_the_earliest_wins():
    stack = np.array([[10, 20], [10, 20]], np.uint16).reshape(2, 2, 1, 1)
    assert medoid(stack).ravel().tolist() == [10, 10]


def test_medoid_when_a_band_is_missing_then_the_day_does_not_compete():
    stack = np.array([[10, 11, 500], [0, 12, 500]], np.uint16).reshape(2, 3, 1, 1)
    assert medoid(stack).ravel().tolist() in ([11, 12], [500, 500])
    assert medoid(stack)[1].item() != 0
