import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.eo.scale import apply_offset

DN = hnp.arrays(np.uint16, hnp.array_shapes(max_dims=3, max_side=6))


@given(DN, st.integers(-3000, 3000))
def test_apply_offset_when_any_then_nodata_stays_and_the_observed_stay_observed(dn, offset):
    moved = apply_offset(dn, offset)
    assert moved.dtype == np.uint16
    assert np.array_equal(moved == 0, dn == 0)
    exact = dn.astype(int) + offset
    free = (dn != 0) & (exact >= 1) & (exact <= 65_535)
    assert np.array_equal(moved[free], exact[free])


def test_apply_offset_when_the_dn_are_below_it_then_they_become_1_and_do_not_wrap():
    dn = np.array([0, 1, 999, 1000, 1001, 1430, 65_535], np.uint16)
    assert apply_offset(dn, -1000).tolist() == [0, 1, 1, 1, 1, 430, 64_535]


def test_apply_offset_when_there_is_none_then_nothing_changes():
    dn = np.array([0, 1, 65_535], np.uint16)
    assert np.array_equal(apply_offset(dn, 0), dn)
