"""Halving: exact against fractions, and blind to what was not observed."""

from fractions import Fraction

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.eo.pyramid import halve

FILLS = {"uint8": 0, "uint16": 0, "int16": -32768, "int32": 0, "uint32": 0}


def by_fractions(pixels: np.ndarray, fill: int) -> np.ndarray:
    """The same, pixel by pixel, in Python's exact numbers; ``round`` takes halves to the even number."""
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    result = np.full((height, width, *pixels.shape[2:]), fill, pixels.dtype)
    for place in np.ndindex(result.shape):
        y, x, *band = place
        four = [int(pixels[(2 * y + i, 2 * x + j, *band)]) for i in (0, 1) for j in (0, 1)]
        seen = [v for v in four if v != fill]
        if seen:
            mean = round(Fraction(sum(seen), len(seen)))
            result[place] = mean if mean != fill else fill + 1
    return result


@st.composite
def pixels(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    dtype = draw(st.sampled_from(sorted(FILLS)))
    info = np.iinfo(dtype)
    few = st.sampled_from([FILLS[dtype], info.min, info.max, 1, 2, 3])
    value = few | st.integers(info.min, info.max)
    side = st.integers(1, 4).map(lambda n: 2 * n)
    shape = draw(st.tuples(side, side) | st.tuples(side, side, st.integers(1, 3)))
    return draw(arrays.arrays(dtype, shape, elements=value)), FILLS[dtype]


@settings(max_examples=200)
@given(pixels())
def test_halve_equals_exact_fractions(case):
    values, fill = case
    halved = halve(values, fill)
    assert halved.dtype == values.dtype
    np.testing.assert_array_equal(halved, by_fractions(values, fill))


@pytest.mark.parametrize(
    ("four", "mean"),
    [
        ([0, 0, 0, 0], 0),
        ([0, 7, 0, 0], 7),
        ([1, 0, 2, 0], 2),  # 1.5
        ([2, 3, 0, 0], 2),  # 2.5
        ([1, 1, 2, 0], 1),
        ([1, 2, 2, 0], 2),
        ([1, 1, 2, 2], 2),  # 1.5
        ([2, 2, 3, 3], 2),  # 2.5
        ([1, 1, 1, 2], 1),
        ([65535, 65535, 65535, 65535], 65535),
        ([65535, 65535, 65534, 0], 65535),
    ],
)
def test_halve_takes_the_mean_of_what_is_observed(four, mean):
    values = np.array(four, np.uint16).reshape(2, 2)
    assert halve(values, 0).tolist() == [[mean]]


@given(arrays.arrays(np.uint16, (4, 6)))
def test_a_halved_pixel_is_observed_where_one_of_its_four_is_and_lies_between_them(values):
    halved = halve(values, 0)
    four = values.reshape(2, 2, 3, 2).swapaxes(1, 2).reshape(2, 3, 4)
    np.testing.assert_array_equal(halved > 0, (four > 0).any(-1))
    seen = np.ma.masked_equal(four, 0)
    assert (halved >= seen.min(-1).filled(0)).all()
    assert (halved <= four.max(-1)).all()


def test_halve_of_floats_leaves_nan_out():
    values = np.array([[1, np.nan, np.nan, np.nan], [2, np.nan, np.nan, np.nan]], np.float32)
    halved = halve(values, np.nan)
    assert halved.dtype == np.float32
    np.testing.assert_array_equal(halved, [[1.5, np.nan]])


def test_halve_does_not_change_what_it_is_given():
    values = np.arange(16, dtype=np.uint16).reshape(4, 4)
    before = values.copy()
    halve(values, 0)
    np.testing.assert_array_equal(values, before)
