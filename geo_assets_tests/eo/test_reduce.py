import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.eo.reduce import DTYPES, NETWORK_DAYS, statistic
from geo_assets.errors import ConfigError

NAMES = st.sampled_from(["median", "mean", "percentile"])
compiled = settings(max_examples=60)  # the first call of a kernel compiles it


@st.composite
def stacks(draw, *, dtypes=DTYPES, most_days=9):
    """A stack and its nodata."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = draw(st.tuples(st.integers(0, most_days), st.integers(1, 4), st.integers(1, 40)))
    if dtype.kind == "f":
        nodata = draw(st.sampled_from([np.nan, 0.0, -9999.0]))
        elements = st.one_of(st.just(nodata), st.just(np.nan), st.floats(allow_infinity=False, width=32))
    else:
        nodata = draw(st.sampled_from([0, int(np.iinfo(dtype).min), int(np.iinfo(dtype).max), 7]))
        elements = st.one_of(st.just(nodata), st.integers(0, 9), hnp.from_dtype(dtype))
    return draw(hnp.arrays(dtype, shape, elements=elements)), nodata


def numpys(stack: np.ndarray, name: str, percentile: float, nodata: float) -> np.ndarray:
    values = np.where(stack == nodata, np.nan, stack.astype(np.float64))
    if not len(values):
        return np.full(stack.shape[1:], nodata, stack.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        reduced = {
            "median": lambda: np.nanmedian(values, axis=0),
            "mean": lambda: np.nanmean(values, axis=0),
            "percentile": lambda: np.nanpercentile(values, percentile, axis=0),
        }[name]()
    rounded = reduced if stack.dtype.kind == "f" else np.rint(reduced)
    return np.where(np.isnan(reduced), nodata, rounded).astype(stack.dtype)


def same(a: np.ndarray, b: np.ndarray, name: str) -> None:
    if name == "mean" and a.dtype.kind == "f":  # numpy adds up in another order
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * np.nanmax(np.abs(b), initial=0))
    else:
        np.testing.assert_array_equal(a, b, strict=True)


@compiled
@given(stacks(), NAMES, st.one_of(st.integers(0, 100), st.floats(0, 100)))
def test_statistic_when_pixels_are_any_then_it_is_numpys_rounded_half_to_even(made, name, percentile):
    stack, nodata = made
    found = statistic(stack, name, percentile=percentile, nodata=nodata)
    same(found, numpys(stack, name, percentile, nodata), name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("days", [1, 2, 31, NETWORK_DAYS, NETWORK_DAYS + 1, 366])
@pytest.mark.parametrize("name", ["median", "mean", "percentile"])
def test_statistic_when_there_are_many_days_then_it_is_numpys(dtype, days, name):
    random = np.random.default_rng(days)
    if dtype == "float32":
        nodata, stack = np.nan, random.normal(0, 1e3, (days, 3, 600)).astype(dtype)
    else:
        limits = np.iinfo(dtype)
        nodata, stack = 0, random.integers(limits.min, limits.max, (days, 3, 600), dtype, endpoint=True)
    stack[random.random(stack.shape) < np.linspace(0, 1, 600)] = nodata
    stack[:, :, 530:] = nodata
    same(statistic(stack, name, percentile=10, nodata=nodata), numpys(stack, name, 10, nodata), name)


@compiled
@given(stacks(dtypes=("uint16", "float32")), st.sampled_from(["median", "percentile"]), st.randoms())
def test_statistic_when_the_scenes_come_in_another_order_then_it_is_the_same(made, name, random):
    stack, nodata = made
    order = random.sample(range(len(stack)), len(stack))
    np.testing.assert_array_equal(
        statistic(stack, name, percentile=30, nodata=nodata),
        statistic(stack[order], name, percentile=30, nodata=nodata),
    )


@compiled
@given(stacks(dtypes=("uint16",)), NAMES, st.integers(0, 4), st.integers(0, 4))
def test_statistic_when_made_in_rows_then_it_is_the_same_and_other_rows_are_left_alone(made, name, a, b):
    stack, nodata = made
    first, end = sorted((min(a, stack.shape[1]), min(b, stack.shape[1])))
    out = np.full(stack.shape[1:], 77, stack.dtype)
    assert statistic(stack, name, nodata=nodata, out=out, rows=(first, end)) is out
    expected = np.full_like(out, 77)
    expected[first:end] = statistic(stack, name, nodata=nodata)[first:end]
    assert np.array_equal(out, expected)


def test_statistic_when_threads_share_a_stack_then_it_is_the_same():
    stack = np.random.default_rng(1).integers(0, 5, (9, 64, 700), np.uint16)
    out = np.zeros(stack.shape[1:], np.uint16)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda r: statistic(stack, "median", out=out, rows=(r, r + 16)), range(0, 64, 16)))
    assert np.array_equal(out, statistic(stack, "median"))


@compiled
@given(stacks(dtypes=("uint16",)), NAMES)
def test_statistic_when_the_stack_is_a_read_only_view_then_it_is_read_and_left_untouched(made, name):
    stack, nodata = made
    wide = np.repeat(stack, 2, axis=2)
    wide.flags.writeable = False
    assert np.array_equal(statistic(wide[:, :, ::2], name, nodata=nodata), statistic(stack, name, nodata=nodata))


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([], 0),
        ([0, 0], 0),
        ([7], 7),
        ([0, 7, 0], 7),
        ([1, 2], 2),  # 1.5 rounds to the even 2
        ([2, 3], 2),  # and so does 2.5
        ([65_535, 65_535], 65_535),  # no nodata: an observed number like any other
        ([65_535, 0, 65_534, 0], 65_534),  # 65 534.5
        ([1, 65_535], 32_768),
        ([9, 0, 3, 5], 5),
        ([0, 1, 65_535, 65_535, 0, 0], 65_535),
    ],
)
@pytest.mark.parametrize("more", [0, NETWORK_DAYS])
def test_median_when_days_are_missing_then_they_do_not_count(days, expected, more):
    stack = np.array(days + [0] * more, np.uint16).reshape(-1, 1, 1)
    stack = np.concatenate([stack, np.full_like(stack, 1)], axis=2)  # beside a pixel that is observed every day
    assert statistic(stack, "median")[0, 0] == expected


@pytest.mark.parametrize(
    ("days", "percentile", "expected"),
    [
        ([10, 20, 0, 30, 40], 50, 25),
        ([10, 20, 0, 30, 40], 25, 18),
        ([10, 20], 100, 20),
        ([10, 20], 0, 10),
        ([5], 73, 5),
    ],
)
def test_percentile_when_between_ranks_then_it_is_their_linear_interpolation(days, percentile, expected):
    stack = np.array(days, np.uint16).reshape(-1, 1, 1)
    assert statistic(stack, "percentile", percentile=percentile).item() == expected  # 17.5 rounds to the even 18


@pytest.mark.parametrize(
    ("days", "expected"),
    [([-3, -2], -2), ([-2, -1], -2), ([-32_768, 32_767], 0), ([-5, 0, -9, -7], -7)],  # -2.5, -1.5, -0.5
)
@pytest.mark.parametrize("name", ["median", "mean"])
def test_statistic_when_numbers_are_negative_then_it_is_rounded_half_to_even(days, expected, name):
    assert statistic(np.array(days, np.int16).reshape(-1, 1, 1), name).item() == expected


@pytest.mark.parametrize("days", [4, NETWORK_DAYS + 4])
def test_median_when_numbers_are_infinite_then_they_count(days):
    stack = np.full((days, 1, 3), np.nan, np.float32)
    stack[:3, 0] = [[np.inf, -np.inf, np.inf], [1, -np.inf, np.inf], [np.inf, 2, -np.inf]]
    assert statistic(stack, "median", nodata=np.nan).ravel().tolist() == [np.inf, -np.inf, np.inf]


def test_mean_when_numbers_are_large_then_it_does_not_overflow():
    stack = np.full((366, 1, 2), 2**31 - 1, np.int32)
    assert statistic(stack, "mean").tolist() == [[2**31 - 1] * 2]
    assert statistic(np.full((366, 1, 1), 65_535, np.uint16), "mean").item() == 65_535


def test_statistic_when_a_side_is_empty_then_so_is_the_result():
    assert statistic(np.zeros((3, 0, 5), np.uint16), "median").shape == (0, 5)
    assert statistic(np.zeros((3, 5, 0), np.uint16), "percentile").shape == (5, 0)


@pytest.mark.parametrize(
    ("stack", "arguments", "message"),
    [
        (np.ones((1, 1, 1), np.uint16), {"name": "middle"}, "one of median"),
        (np.ones((1, 1, 1), np.float32), {"name": "mode"}, "for classes"),
        (np.ones((1, 1, 1), np.uint16), {"name": "percentile", "percentile": 101}, "between 0 and 100"),
        (np.ones((1, 1, 1), np.float64), {}, "pixels of type float64"),
        (np.ones((1, 1, 1), ">u2"), {}, "pixels of type"),
        (np.ones((1, 1, 1), np.uint16), {"nodata": -1}, "nodata -1 is no uint16"),
        (np.ones((1, 1, 1), np.uint16), {"nodata": np.nan}, "nodata nan is no uint16"),
        (np.ones((1, 1, 1), np.uint16), {"nodata": 0.5}, "nodata 0.5"),
        (np.ones((1, 1), np.uint16), {}, "dims"),
        (np.ones((1, 2, 3), np.uint16), {"out": np.ones((3, 2), np.uint16)}, "out is"),
        (np.ones((1, 2, 3), np.uint16), {"out": np.ones((2, 3), np.uint8)}, "out is"),
        (np.ones((1, 2, 3), np.uint16), {"out": np.ones((2, 3), np.uint16), "rows": (0, 3)}, "rows 0 to 3 of 2"),
        (np.ones((1, 2, 3), np.uint16), {"rows": (0, 1)}, "Give out"),
    ],
)
def test_statistic_when_it_cannot_be_made_then_it_is_refused(stack, arguments, message):
    with pytest.raises(ValueError, match=message):
        statistic(stack, **{"name": "median", **arguments})
    if "one of" in message:
        with pytest.raises(ConfigError):
            statistic(stack, **{"name": "median", **arguments})


@pytest.mark.parametrize("module", ["mask", "scale", "scenes"])
def test_a_module_when_it_holds_no_compiled_loop_then_it_imports_no_compiler(module):
    code = f"import sys, geo_assets.eo.{module}; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
