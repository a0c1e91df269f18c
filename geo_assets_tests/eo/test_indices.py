import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from geo_assets.eo.indices import INDICES, bi, evi, grndvi, index, msavi2
from geo_assets.errors import ConfigError

# Formulas and constants as spyndex 0.12 lists them, its names of bands first
CATALOGUE = {
    "evi": "g*(N-R)/(N+C1*R-C2*B+L)",
    "bi": "((S1+R)-(N+B))/((S1+R)+(N+B))",
    "msavi2": "0.5*(2.0*N+1-(((2*N+1)**2)-8*(N-R))**0.5)",
    "grndvi": "(N-(G+R))/(N+(G+R))",
}
LETTERS = {"B": "blue", "G": "green", "R": "red", "N": "nir", "S1": "swir16"}
CONSTANTS = {"g": 2.5, "C1": 6.0, "C2": 7.5, "L": 1.0}


def catalogues(name: str, bands: dict[str, np.ndarray]) -> np.ndarray:
    values = {letter: bands[band].astype(np.float64) for letter, band in LETTERS.items()}
    return eval(CATALOGUE[name], {}, values | CONSTANTS)


@pytest.fixture
def bands() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    made = {name: rng.uniform(0, 0.6, (3, 40, 50)) for name in LETTERS.values()}
    made["blue"] /= 8  # the denominator of EVI stays off 0, where rounding decides
    return made


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-5)])
def test_index_when_bands_are_reflectance_then_it_is_the_catalogues(name, dtype, rtol, bands):
    given_bands = {n: b.astype(dtype) for n, b in bands.items()}
    found = index(name, given_bands)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, catalogues(name, given_bands), rtol=rtol, atol=rtol / 10)


def test_indices_when_pixels_are_worked_out_by_hand_then_they_are_those():
    """A field: blue 0.05, green 0.1, red 0.1, near infrared 0.5, 1.6 micrometres 0.3."""
    blue, green, red, nir, swir = (np.array([v]) for v in (0.05, 0.1, 0.1, 0.5, 0.3))
    assert evi(nir, red, blue=blue) == pytest.approx(2.5 * 0.4 / 1.725)
    assert bi(swir, red, nir=nir, blue=blue) == pytest.approx(-0.15 / 0.95)
    assert msavi2(nir, red) == pytest.approx((2 - 0.8**0.5) / 2)
    assert grndvi(nir, red, green=green) == pytest.approx(0.3 / 0.7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("name", "pixel"),
    [
        ("evi", {"nir": 0.25, "red": 0.125, "blue": 2 / 7.5}),  # something / 0
        ("evi", {"nir": 0.5, "red": 0.5, "blue": 4.5 / 7.5}),  # 0 / 0
        ("bi", {"swir16": 0, "red": 0, "nir": 0, "blue": 0}),
        ("bi", {"swir16": 0.5, "red": -0.25, "nir": -0.25, "blue": 0}),
        ("grndvi", {"nir": 0, "red": 0, "green": 0}),
        ("grndvi", {"nir": 0.25, "red": -0.25, "green": 0}),
        ("msavi2", {"nir": 0.5, "red": -0.25}),  # the root of -2
    ],
)
def test_index_when_it_has_no_value_then_it_is_nan_without_a_warning(name, pixel, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = index(name, {b: np.array([v], dtype) for b, v in pixel.items()})
    assert np.isnan(made).all()


@pytest.mark.parametrize("name", INDICES)
def test_index_when_any_band_is_nodata_then_it_is_nodata_there_alone(name, bands):
    for number, band in enumerate(INDICES[name].bands):
        bands[band][0, 0, number] = np.nan
    missing = np.zeros((3, 40, 50), bool)
    missing[0, 0, : len(INDICES[name].bands)] = True
    np.testing.assert_array_equal(np.isnan(index(name, bands)), missing)
    np.testing.assert_array_equal(np.isnan(index(name, bands, clip=True)), missing)


def test_index_when_its_bands_are_stored_numbers_then_they_are_refused():
    """As unsigned integers a red above the near infrared would give a difference of 65 thousand."""
    stored = {"nir": np.array([1000], np.uint16), "red": np.array([3000], np.uint16)}
    with pytest.raises(ConfigError, match="nir is uint16"):
        index("msavi2", stored)
    with pytest.raises(ConfigError, match="nir is uint16"):
        msavi2(stored["nir"], stored["red"])


def test_index_when_its_bands_differ_then_they_are_refused():
    with pytest.raises(ConfigError, match=r"red is float64 \(1,\)"):
        msavi2(np.zeros(2), np.zeros(1))
    with pytest.raises(ConfigError, match="red is float32"):
        msavi2(np.zeros(2), np.zeros(2, np.float32))


def test_index_when_it_is_unknown_or_a_band_is_missing_then_it_says_which():
    with pytest.raises(ConfigError, match="no index 'ndvi': one of evi, bi, msavi2, grndvi"):
        index("ndvi", {})
    with pytest.raises(ConfigError, match="index evi needs nir, red, blue; there is no blue"):
        index("evi", {"nir": np.zeros(1), "red": np.zeros(1)})


REFLECTANCE = hnp.arrays(np.float32, (4, 9), elements=st.floats(-0.25, 2, width=32))


@pytest.mark.parametrize("name", INDICES)
@given(data=st.data())
def test_index_when_it_is_clipped_then_it_stays_in_its_limits(name, data):
    bands = {b: data.draw(REFLECTANCE) for b in INDICES[name].bands}
    found = index(name, bands, clip=True)
    low, high = INDICES[name].limits
    assert ((found >= low) & (found <= high) | np.isnan(found)).all()
    inside = np.all([(b >= 0) & (b <= 1) for b in bands.values()], axis=0)
    plain = index(name, bands)
    inside &= (plain >= low) & (plain <= high)
    np.testing.assert_array_equal(found[inside], plain[inside])
