"""Attributes of arrays, and what xarray makes of them."""

import numpy as np
import xarray as xr

from geo_assets.model.band import Band
from geo_assets.model.cf import band_attributes
from geo_assets.registry import load


def test_classes_when_read_by_xarray_then_they_stay_whole_numbers_and_zero_says_that_nothing_was_observed():
    attrs = band_attributes(load("sensors", "landcover").bands["worldcover"])
    names = dict(zip(attrs["flag_values"], attrs["flag_meanings"].split(), strict=True))
    assert (names[0], names[10], len(names)) == ("not_observed", "Tree_cover", 12)
    read = xr.decode_cf(xr.Dataset({"map": ("x", np.array([0, 10], np.uint8), attrs)}))["map"]
    assert (read.dtype, read.values.tolist()) == (np.uint8, [0, 10])


def test_classes_when_they_have_no_names_then_nodata_has_one_all_the_same():
    attrs = band_attributes(Band("kind", ("data",), 10, dtype="uint8", nodata=255, unit="class"))
    assert (attrs["flag_values"], attrs["flag_meanings"]) == ([255], "not_observed")
    named = band_attributes(Band("kind", ("data",), 10, dtype="uint8", unit="class", classes={0: "water", 1: "land"}))
    assert named["flag_meanings"] == "water land"


def test_values_when_they_are_no_classes_then_their_fill_value_says_it():
    attrs = band_attributes(load("sensors", "sentinel-2-l2a").bands["red"])
    assert attrs["_FillValue"] == 0
    assert "flag_values" not in attrs
