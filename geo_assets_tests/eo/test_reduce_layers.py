import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.eo.reduce import DTYPES, all_seen, and_observed, count_seen, merge_first
from geo_assets.eo.scale import apply_offset
from geo_assets.errors import ConfigError

compiled = settings(max_examples=60)  # the first call of a kernel compiles it
SHAPES = st.tuples(st.integers(0, 4), st.integers(0, 35))


@st.composite
def merges(draw):
    """Layer, pixels, clear, offset and nodata."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(SHAPES)
    if dtype.kind == "f":
        nodata, offset = draw(st.sampled_from([np.nan, 0.0])), 0
        elements = st.one_of(st.just(nodata), st.floats(-1, 1, width=32))
    else:
        limits = np.iinfo(dtype)
        nodata = draw(st.sampled_from([0, int(limits.min), int(limits.max), 7]))
        offset = draw(st.one_of(st.just(0), st.integers(-3000, 3000), st.integers(-(2**33), 2**33)))
        elements = st.one_of(st.just(nodata), hnp.from_dtype(dtype))
    layer, pixels = draw(hnp.arrays(dtype, shape, elements=elements)), draw(hnp.arrays(dtype, shape, elements=elements))
    return layer, pixels, draw(hnp.arrays(bool, shape)), offset, nodata


def missing(array: np.ndarray, nodata: float) -> np.ndarray:
    return (array == nodata) | (array != array)


@compiled
@given(merges())
def test_merge_when_pixels_are_any_then_only_empty_ones_are_filled_with_clear_observed_ones(made):
    layer, pixels, clear, offset, nodata = made
    take = clear & missing(layer, nodata) & ~missing(pixels, nodata)
    expected = np.where(take, apply_offset(pixels, offset, nodata=nodata), layer)
    merged = layer.copy()
    assert merge_first(merged, pixels, clear, offset=offset, nodata=nodata) is bool(take.any())
    np.testing.assert_array_equal(merged, expected, strict=True)
    assert not missing(merged, nodata)[take].any()


@compiled
@given(merges())
def test_merge_when_done_twice_then_it_is_as_once(made):
    layer, pixels, clear, offset, nodata = made
    merge_first(layer, pixels, clear, offset=offset, nodata=nodata)
    once = layer.copy()
    assert not merge_first(layer, pixels, clear, offset=offset, nodata=nodata)
    np.testing.assert_array_equal(layer, once)


def test_merge_when_worked_out_by_hand_then_it_is_that():
    layer = np.array([[0, 5, 0, 0, 0, 0, 0]], np.uint16)
    pixels = np.array([[1500, 1500, 1500, 0, 999, 1000, 65_535]], np.uint16)
    clear = np.array([[1, 1, 0, 1, 1, 1, 1]], bool)
    assert merge_first(layer, pixels, clear, offset=-1000)
    assert layer.tolist() == [[500, 5, 0, 0, 1, 1, 64_535]]
    assert merge_first(np.zeros((1, 7), np.uint16), pixels, clear, offset=1000)


def test_merge_when_the_sum_is_too_large_then_it_is_the_largest_number():
    layer = np.zeros((1, 2), np.uint16)
    merge_first(layer, np.array([[65_000, 64_000]], np.uint16), np.ones((1, 2), bool), offset=1000)
    assert layer.tolist() == [[65_535, 65_000]]


def test_merge_when_in_rows_of_a_view_then_the_rest_is_left_alone():
    layer = np.zeros((4, 12), np.uint16)
    assert merge_first(layer[:, 2:10:2], np.full((4, 4), 9, np.uint16), np.ones((4, 4), bool), rows=(1, 3))
    expected = np.zeros_like(layer)
    expected[1:3, 2:10:2] = 9
    assert np.array_equal(layer, expected)


def test_merge_when_arrays_do_not_fit_then_it_is_refused():
    layer, clear = np.zeros((2, 3), np.uint16), np.ones((2, 3), bool)
    with pytest.raises(ValueError, match="pixels is uint8"):
        merge_first(layer, layer.astype(np.uint8), clear)
    with pytest.raises(ValueError, match="clear is uint8"):
        merge_first(layer, layer, clear.view(np.uint8))
    with pytest.raises(ConfigError, match="for integers"):
        merge_first(layer.astype(np.float32), layer.astype(np.float32), clear, offset=1)


@compiled
@given(
    st.tuples(st.integers(0, 9), st.integers(1, 4), st.integers(1, 35)).flatmap(
        lambda shape: st.lists(hnp.arrays(np.uint16, shape, elements=st.integers(0, 2)), min_size=1, max_size=3)
    )
)
def test_seen_when_bands_are_combined_then_it_counts_the_days_that_have_them_all(bands):
    days, rows, cols = bands[0].shape
    seen = all_seen(days, (rows, cols))
    for band in bands:
        for bits, layer in zip(seen, band, strict=True):
            and_observed(bits, layer)
    whole = (np.stack(bands) != 0).all(axis=0)
    assert np.array_equal(seen, np.packbits(whole, axis=2))
    np.testing.assert_array_equal(count_seen(seen, cols), whole.sum(axis=0, dtype=np.uint16), strict=True)


@pytest.mark.parametrize("days", [0, 1, 7, 255, 256, 366])
def test_seen_when_there_are_many_days_then_the_count_is_exact(days):
    flags = np.random.default_rng(days).random((days, 2, 21)) < np.linspace(0, 1, 21)
    assert np.array_equal(count_seen(np.packbits(flags, axis=2), 21), flags.sum(axis=0))
    assert (count_seen(all_seen(days, (2, 21)), 21) == days).all()


def test_seen_when_made_in_rows_then_other_rows_are_left_alone():
    seen = all_seen(1, (3, 9))
    and_observed(seen[0], np.full((3, 9), np.nan, np.float32), nodata=np.nan, rows=(1, 2))
    out = np.full((3, 9), 7, np.uint16)
    count_seen(seen, 9, out=out, rows=(0, 2))
    assert out.tolist() == [[1] * 9, [0] * 9, [7] * 9]


def test_seen_when_arrays_do_not_fit_then_it_is_refused():
    with pytest.raises(ValueError, match="seen is"):
        and_observed(np.zeros((2, 2), np.uint8), np.zeros((2, 17), np.uint16))
    with pytest.raises(ValueError, match="seen is"):
        count_seen(np.zeros((1, 2, 2), np.uint8), 17)
