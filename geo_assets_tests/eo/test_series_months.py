"""Smooth months of a year's steps."""

import json
from datetime import date

import numpy as np
import pytest
import rasterio
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse.linalg import spsolve

from geo_assets.eo.reduce import merge_first
from geo_assets.eo.series import composites, days_of_year, monthly, smoothing_matrix, step_days
from geo_assets.errors import ConfigError
from geo_assets_tests.eo.test_series import by_pixel
from geo_assets_tests.realdata import real_data

compiled = settings(max_examples=50)  # the first call of a kernel compiles it


def solved(series: np.ndarray, smoothing: float) -> np.ndarray:
    """Months of one pixel by scipy, of a series with two observed steps at least."""
    differences = scipy.sparse.diags([1.0, -2.0, 1.0], [0, 1, 2], shape=(22, 24), format="csc")
    observed = np.isfinite(series)
    system = scipy.sparse.diags(observed.astype(float)) + smoothing * differences.T @ differences
    return spsolve(system.tocsc(), np.where(observed, series, 0).astype(float)).reshape(12, 2).mean(axis=1)


def by_pixel_months(steps: np.ndarray, smoothing: float = 100) -> np.ndarray:
    """What the docstring says, pixel by pixel."""
    out = np.full((12, *steps.shape[1:]), np.nan)
    for b, y, x in np.ndindex(steps.shape[1:]):
        series = steps[:, b, y, x]
        observed = series[np.isfinite(series)]
        if len(observed):
            out[:, b, y, x] = solved(series, smoothing) if len(observed) > 1 else observed[0]
    return out


def close(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal to 1e-5 of the largest number of each pixel's months, which a far extrapolation takes beyond the data."""
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    scale = np.maximum(1, np.abs(np.nan_to_num(expected)).max(axis=0, initial=0))
    assert np.nanmax(np.abs(found - expected) / scale, initial=0) < 1e-5


NUMBERS = st.floats(-1, 1, width=32)
SHAPES = st.tuples(st.just(24), st.integers(1, 2), st.integers(1, 2), st.integers(1, 6))


@compiled
@given(hnp.arrays(np.float32, SHAPES, elements=NUMBERS), st.sampled_from([0.001, 1.0, 100.0, 10_000.0]))
def test_monthly_when_every_step_is_there_then_it_is_scipys(steps, smoothing):
    close(monthly(steps, smoothing=smoothing), by_pixel_months(steps, smoothing))


@compiled
@given(st.data(), st.sampled_from([1.0, 100.0, 10_000.0]))
def test_monthly_when_steps_are_missing_then_it_is_scipys_with_weights(data, smoothing):
    shape = data.draw(SHAPES)
    steps = data.draw(hnp.arrays(np.float32, shape, elements=st.one_of(st.sampled_from([np.nan, np.inf]), NUMBERS)))
    gaps = data.draw(hnp.arrays(bool, shape[1:]))
    kept = data.draw(st.lists(st.integers(0, 23), max_size=3))
    steps[np.setdiff1d(np.arange(24), kept)[:, None], gaps] = np.nan  # some pixels with almost nothing left
    close(monthly(steps, smoothing=smoothing), by_pixel_months(steps, smoothing))


@pytest.mark.parametrize("first", [0, 11, 22])
def test_monthly_when_two_neighbours_alone_are_observed_then_the_line_through_them_goes_on(first):
    steps = np.full((24, 1, 1, 1), np.nan, np.float32)
    steps[first], steps[first + 1] = 0.25, 0.375
    line = 0.25 + 0.125 * (np.arange(24) - first)
    np.testing.assert_allclose(monthly(steps).ravel(), line.reshape(12, 2).mean(axis=1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("smoothing", [100, 0.1, 0.3, 7.7, 1234.5])
def test_monthly_when_one_step_is_observed_then_every_month_is_it_and_with_none_nan(smoothing):
    """Rounding may leave either of the two systems, which have no one solution, with some number."""
    steps = np.full((24, 1, 1, 3), np.nan, np.float32)
    steps[17, 0, 0, 0] = 0.375
    steps[5, 0, 0, 2] = np.inf
    made = monthly(steps, smoothing=smoothing)
    assert (made[..., 0] == np.float32(0.375)).all()
    assert np.isnan(made[..., 1:]).all()


@st.composite
def observed(draw):
    """Which steps are observed, two at least, or all."""
    if draw(st.booleans()):
        return np.ones(24, bool)
    made = np.zeros(24, bool)
    made[draw(st.lists(st.integers(0, 23), min_size=2, max_size=24, unique=True))] = True
    return made


@compiled
@given(observed(), st.floats(-1, 1), st.sampled_from([0.001, 1.0, 100.0, 1e6]))
def test_monthly_when_a_series_is_constant_then_it_stays_so(there, number, smoothing):
    steps = np.where(there, number, np.nan).astype(np.float32).reshape(24, 1, 1, 1)
    np.testing.assert_allclose(monthly(steps, smoothing=smoothing), np.float32(number), rtol=1e-5, atol=1e-6)


@compiled
@given(observed(), st.floats(-1, 1), st.floats(-0.1, 0.1), st.sampled_from([0.001, 1.0, 100.0, 1e6]))
def test_monthly_when_a_series_is_a_straight_line_then_its_months_are_the_lines(there, start, slope, smoothing):
    line = start + slope * np.arange(24)
    steps = np.where(there, line, np.nan).astype(np.float32).reshape(24, 1, 1, 1)
    found = monthly(steps, smoothing=smoothing).ravel()
    np.testing.assert_allclose(found, line.reshape(12, 2).mean(axis=1), atol=2e-5)


def test_smoothing_matrix_when_it_is_made_then_it_is_the_inverse_averaged():
    table = smoothing_matrix(100)
    unit = np.eye(24, dtype=np.float32).reshape(24, 1, 1, 24)
    np.testing.assert_allclose(table, by_pixel_months(unit).reshape(12, 24), atol=1e-12)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    assert not table.flags.writeable


def large() -> np.ndarray:
    """Several segments of a row, some without a gap."""
    rng = np.random.default_rng(4)
    steps = rng.random((24, 2, 5, 700)).astype(np.float32)
    steps[:, :, 2:][rng.random((24, 2, 3, 700)) < 0.4] = np.nan
    steps[3, 0, 1, 5] = np.nan
    return steps


def test_monthly_when_an_area_is_cut_out_then_its_pixels_are_the_same():
    steps = large()
    np.testing.assert_array_equal(monthly(steps[..., 1:4, 250:333]), monthly(steps)[..., 1:4, 250:333])


def test_monthly_when_a_neighbour_has_gaps_then_a_pixel_is_what_it_was():
    steps = large()[:, :1, :1]
    before = monthly(steps)
    steps[::2, :, :, ::2] = np.nan
    np.testing.assert_array_equal(monthly(steps)[..., 1::2], before[..., 1::2])


def test_monthly_when_rows_are_asked_for_then_the_others_are_left_alone():
    steps, out = large(), np.full((12, 2, 5, 700), -1, np.float32)
    assert monthly(steps, out=out, rows=(1, 3)) is out
    np.testing.assert_array_equal(out[:, :, 1:3], monthly(steps)[:, :, 1:3])
    assert (out[:, :, [0, 3, 4]] == -1).all()


def test_monthly_when_what_is_given_is_wrong_then_it_says_what():
    with pytest.raises(ValueError, match=r"must be float32 \(24, 1, 2, 3\)"):
        monthly(np.zeros((23, 1, 2, 3), np.float32))
    with pytest.raises(ValueError, match="must be float32"):
        monthly(np.zeros((24, 1, 2, 3)))
    for smoothing in (0, -1, 1e7, np.nan):
        with pytest.raises(ConfigError, match=r"it must lie between 0\.001 and 1000000"):
            monthly(np.zeros((24, 1, 2, 3), np.float32), smoothing=smoothing)


@pytest.fixture(scope="module")
def slovenia() -> tuple[np.ndarray, np.ndarray, list[date]]:
    """Real NDVI with its clear mask, a layer a day: of two scenes of a day the first clear pixel counts."""
    items = sorted(real_data("stac", "s2-eopatch-slovenia").glob("EOP_*/EOP_*.json"))
    layers: dict[date, np.ndarray] = {}
    for item in items:
        day = date.fromisoformat(json.loads(item.read_text())["properties"]["datetime"][:10])
        with rasterio.open(item.parent / "ndvi.tif") as ndvi, rasterio.open(item.parent / "scl.tif") as classes:
            pixels, clear = ndvi.read(1), np.isin(classes.read(1), [4, 5])
        merge_first(layers.setdefault(day, np.zeros_like(pixels)), pixels, clear)
    assert len(items) == 68
    stored = np.stack(list(layers.values()))[:, None]
    return np.where(stored > 0, stored * np.float32(1e-4) - 1, np.nan).astype(np.float32), stored, list(layers)


@pytest.mark.realdata
@pytest.mark.parametrize(("year", "window_days"), [(2016, 100.0), (2016, 20.0), (2017, 100.0)])
def test_monthly_when_a_series_is_real_then_it_equals_scipys_and_summer_is_greener_than_winter(
    slovenia, year, window_days
):
    ndvi, stored, days = slovenia
    numbers, clear = days_of_year(days, year), stored[:, 0] > 0
    steps = composites(ndvi, clear, numbers, step_days(year), window_days=window_days)
    months = monthly(steps)
    few = (..., slice(None, None, 9), slice(None, None, 11))
    expected = by_pixel(ndvi[few], clear[few], numbers, step_days(year), window_days=window_days, nodata=np.nan)
    np.testing.assert_allclose(steps[few], expected, atol=1e-6)
    close(months[few], by_pixel_months(steps[few]))
    assert np.isnan(steps).any() == (window_days < 100)
    assert not np.isnan(months).any()
    assert -0.3 < months.min() < months.max() < 1
    middle = np.median(months, axis=(1, 2, 3))
    assert np.argmax(middle) in (5, 6, 7)
    assert middle[5:8].min() > 0.6 > 0.35 > middle[0]
    assert (np.diff(middle[:6]) > 0).all()
    assert (np.diff(middle[7:]) < 0).all()


@pytest.mark.realdata
def test_composites_when_real_numbers_are_stored_ones_then_scaling_after_is_the_same(slovenia):
    ndvi, stored, days = slovenia
    numbers, clear = days_of_year(days, 2017), stored[:, 0] > 0
    made = composites(stored, clear, numbers, step_days(2017), nodata=0) * 1e-4 - 1
    np.testing.assert_allclose(made, composites(ndvi, clear, numbers, step_days(2017)), atol=1e-6)
