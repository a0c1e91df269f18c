import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.eo.scale import apply_offset
from geo_assets.errors import ConfigError

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


@given(
    st.sampled_from(["uint8", "int16", "uint16", "int32"]).flatmap(
        lambda d: hnp.arrays(d, hnp.array_shapes(max_dims=2))
    ),
    st.integers(-(2**33), 2**33),
    st.sampled_from(["lowest", "highest", 7, 0]),
)
def test_apply_offset_when_the_dtype_is_any_integer_then_it_stays_in_range_and_off_nodata(dn, offset, nodata):
    limits = np.iinfo(dn.dtype)
    nodata = {"lowest": int(limits.min), "highest": int(limits.max)}.get(nodata, nodata)
    moved = apply_offset(dn, offset, nodata=nodata)
    assert moved.dtype == dn.dtype
    assert np.array_equal(moved == nodata, dn == nodata)
    seen = dn != nodata
    wanted = np.clip(dn[seen].astype(object) + offset, int(limits.min), int(limits.max))
    assert all(abs(int(m) - w) <= (w == nodata) for m, w in zip(moved[seen], wanted, strict=True))


def test_apply_offset_when_the_numbers_are_floats_then_it_is_refused():
    with pytest.raises(ConfigError, match="for integers"):
        apply_offset(np.ones(2, np.float32), 1)
