import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.eo.tile_scale import from_dn, from_uint16, to_uint16

VALUES = hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=5), elements=st.floats(-2, 2, width=32))
DN = hnp.arrays(np.uint16, hnp.array_shapes(max_dims=3, max_side=6))


def test_to_uint16_when_worked_out_by_hand_then_nodata_is_0_and_black_is_1():
    values = np.array([np.nan, -0.2, 0.0, 1e-5, 0.25, 0.5, 1.0, 1.7], np.float64)
    assert to_uint16(values).tolist() == [0, 1, 1, 1, 16_384, 32_768, 65_535, 65_535]


def test_to_uint16_when_values_are_integers_then_they_were_never_scaled():
    with pytest.raises(ValueError, match="int16; scale digital numbers"):
        to_uint16(np.array([1], np.int16))


@given(VALUES)
def test_to_uint16_when_read_back_then_it_is_the_value_within_half_a_step(values):
    back = from_uint16(to_uint16(values))
    wanted = np.clip(values, 0, 1)
    assert back.dtype == np.float32
    assert not np.isnan(back).any()
    # Half a step, or a whole one at 0, and what float32 rounds
    assert np.abs(back - wanted).max() <= 1 / 65_535 + 1e-7
    assert np.abs(back - wanted)[wanted > 2e-5].max(initial=0) <= 0.5 / 65_535 + 1e-7


def test_from_dn_when_the_scene_has_an_offset_then_it_is_off_before_the_cut():
    dn = np.array([0, 900, 1000, 1001, 6000, 11_000, 65_535], np.uint16)
    assert from_dn(dn, dn_offset=-1000).tolist() == [0, 7, 7, 7, 32_768, 65_535, 65_535]
    assert from_dn(dn, dn_offset=0).tolist() == [0, 5898, 6554, 6560, 39_321, 65_535, 65_535]


@given(DN, st.sampled_from([0, -1000]))
def test_from_dn_when_any_then_nodata_alone_is_0(dn, offset):
    stored = from_dn(dn, dn_offset=offset)
    assert stored.dtype == np.uint16
    assert np.array_equal(stored == 0, dn == 0)


@given(DN)
def test_from_dn_when_two_baselines_saw_the_same_then_pixels_are_equal(dn):
    old = np.where(dn == 0, 0, np.minimum(dn, 60_000)).astype(np.uint16)
    new = np.where(old == 0, 0, old + 1000).astype(np.uint16)
    assert np.array_equal(from_dn(old, dn_offset=0), from_dn(new, dn_offset=-1000))


def test_from_dn_when_nodata_is_another_number_then_that_becomes_0():
    assert from_dn(np.array([0, 9999, 5000], np.uint16), dn_offset=0, nodata=9999).tolist() == [1, 0, 32_768]


def test_from_dn_when_they_are_floats_then_they_were_scaled_already():
    with pytest.raises(ValueError, match="must be uint16"):
        from_dn(np.array([0.1], np.float32), dn_offset=-1000)  # type: ignore[arg-type]
