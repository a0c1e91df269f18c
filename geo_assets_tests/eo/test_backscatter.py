import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.eo.backscatter import UNIT_DB, from_unit, to_db, to_power, to_rgb, to_unit
from geo_assets.eo.picture import blank
from geo_assets.errors import ConfigError

DECIBELS = hnp.arrays(np.float64, (40,), elements=st.floats(-60, 40))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_to_db_when_power_is_a_round_number_then_decibels_are(dtype):
    made = to_db(np.array([[10, 1], [0.1, 0.001]], dtype))
    assert made.dtype == dtype
    np.testing.assert_allclose(made, [[10, 0], [-10, -30]], rtol=1e-6)


def test_to_db_when_power_has_no_logarithm_then_it_is_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = to_db(np.array([0, -0.0, -1e-6, -9999, np.nan, np.inf], np.float32))
    assert np.isnan(made).all()


def test_to_db_when_power_is_read_only_then_it_is_left_as_it_is():
    power = np.array([0.0, 0.5])
    power.setflags(write=False)
    to_db(power)
    assert power.tolist() == [0.0, 0.5]


@given(DECIBELS)
def test_to_power_when_it_is_turned_back_then_it_is_the_same(db):
    np.testing.assert_allclose(to_db(to_power(db)), db, atol=1e-9)


def test_to_power_when_it_is_no_number_then_it_is_nan():
    made = to_power(np.array([np.nan, np.inf, -np.inf, 5000, 0], np.float32))
    np.testing.assert_array_equal(made, [np.nan] * 4 + [1])
    assert made.dtype == np.float32


def test_to_unit_when_it_is_at_and_beyond_the_limits_then_it_ends_there():
    made = to_unit(np.array([-40, -22, -16.5, -11, 0, 7, np.nan], np.float32))
    np.testing.assert_allclose(made, [0, 0, 0.25, 0.5, 1, 1, np.nan])
    assert made.dtype == np.float32


@given(DECIBELS, st.floats(-50, 0), st.floats(1, 40))
def test_to_unit_when_decibels_rise_then_it_never_falls(db, low, range_db):
    made = to_unit(np.sort(db), limits=(low, low + range_db))
    assert (np.diff(made) >= 0).all()
    assert ((made >= 0) & (made <= 1)).all()


@given(DECIBELS)
def test_from_unit_when_decibels_were_between_the_limits_then_they_are_back_and_else_nan(db):
    low, high = UNIT_DB
    scaled = to_unit(db)
    back = from_unit(scaled)
    inside = (scaled > 0) & (scaled < 1)
    np.testing.assert_allclose(back[inside], db[inside], atol=1e-9)
    assert np.isnan(back[~inside]).all()
    assert np.isnan(back[(db <= low) | (db >= high)]).all()


def test_from_unit_when_it_is_nodata_or_out_of_range_then_it_is_nan():
    made = from_unit(np.array([np.nan, 0, 1, -0.5, 1.5, 0.5], np.float32))
    np.testing.assert_array_equal(made, [np.nan] * 5 + [-11])
    assert made.dtype == np.float32


def test_scaling_when_numbers_are_stored_ones_or_limits_do_not_rise_then_it_is_refused():
    stored = np.array([6553], np.uint16)
    for function in (to_db, to_power, to_unit, from_unit):
        with pytest.raises(ConfigError, match="is uint16"):
            function(stored)
    for function in (to_unit, from_unit):
        with pytest.raises(ConfigError, match="the second must be the greater"):
            function(np.zeros(1), limits=(0.0, -22.0))


def test_to_rgb_when_power_is_known_then_colours_are():
    """VV -12.5 dB is the middle of -25 to 0, VH -20 dB is two fifths of -30 to -5, and 7.5 dB between them are half of 15."""
    made = to_rgb(to_power(np.full((1, 1), -12.5)), to_power(np.full((1, 1), -20.0)))
    assert made.dtype == np.uint8
    assert made.tolist() == [[[128, 102, 128]]]


def test_to_rgb_when_the_ratio_is_beyond_its_limits_then_it_does_not_wrap():
    """In bytes 255 / 1 and 255 - 256 are no colours of a ratio: it has to rise with VV and stop at white."""
    vv = to_power(np.linspace(-40, 20, 121)[None])
    vh = np.full_like(vv, to_power(np.array(-25.0)))
    blue = to_rgb(vv, vh)[0, :, 2].astype(int)
    assert (np.diff(blue) >= 0).all()
    assert (blue[0], blue[-1]) == (0, 255)
    red = to_rgb(vv, vh)[0, :, 0].astype(int)
    assert (np.diff(red) >= 0).all()
    assert (red[0], red[-1]) == (0, 255)


def test_to_rgb_when_a_pixel_is_not_observed_in_both_then_it_is_light_grey():
    vv = np.array([[np.nan, 0.1, 0.0, 0.1, 0.1]], np.float32)
    vh = np.array([[0.02, np.nan, 0.02, -1, 0.02]], np.float32)
    made = to_rgb(vv, vh)
    np.testing.assert_array_equal(made[:, :4], blank(1, 4))
    assert not (made[:, 4] == blank(1, 1)).all()


def test_to_rgb_when_shapes_differ_then_they_are_refused():
    with pytest.raises(ConfigError, match="the same dims"):
        to_rgb(np.ones((2, 2)), np.ones((2, 3)))
