import numpy as np
import pytest

from geo_assets.eo.class_layers import first_class


def test_first_class_when_layers_differ_then_no_class_appears_that_nobody_saw():
    """A mean of crops 5 and bare ground 8 over water 1 would be class 4, flooded vegetation."""
    layers = np.array([[[5, 0, 0]], [[8, 8, 0]], [[1, 1, 0]]], np.uint8)
    found = first_class(layers)
    assert found.tolist() == [[5, 8, 0]]
    assert found.dtype == np.uint8


def test_first_class_when_nodata_is_another_code_then_that_is_filled():
    assert first_class(np.array([[[255]], [[0]]], np.uint8), nodata=255).tolist() == [[0]]


@pytest.mark.parametrize("layers", [np.zeros((1, 1, 1)), np.zeros((1, 1), np.uint8)])
def test_first_class_when_they_are_no_codes_then_refused(layers):
    with pytest.raises(ValueError, match="must be integers"):
        first_class(layers)
