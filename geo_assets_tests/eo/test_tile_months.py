"""Months of a stored tile: what they are worked out from, and that a window holds what the whole tile does."""

from fractions import Fraction

import numpy as np
import pytest

from geo_assets.eo.tile_months import BANDS_10, BANDS_20, TileYear, clear_pixels, form_of, products_of
from geo_assets.errors import ConfigError
from geo_assets.model.geometry import GeoBox
from geo_assets.model.mlm import InputBand
from geo_assets_tests.eo.tile_oracle import index_of, months_of

DAYS = (14, 40, 61, 110, 200, 350)
SHAPE = (14, 18)


def bands(*names: str) -> list[InputBand]:
    return [InputBand(n) for n in names]


@pytest.fixture(scope="module")
def year() -> TileYear:
    rng = np.random.default_rng(11)

    def stored(*shape: int) -> np.ndarray:
        numbers = rng.integers(1, 30_000, shape).astype(np.uint16)
        numbers[rng.random(shape) < 0.1] = 0
        return numbers

    half = SHAPE[0] // 2, SHAPE[1] // 2
    reflectance = {n: stored(6, *SHAPE) for n in BANDS_10} | {n: stored(6, *half) for n in BANDS_20}
    clear = np.kron(rng.random((6, *half)) < 0.7, np.ones((1, 2, 2), bool))  # clouds have large pixels
    slope = rng.random(SHAPE).astype(np.float32)
    return TileYear(
        2024, SHAPE, np.array(DAYS), reflectance, clear, {n: stored(12, *SHAPE) for n in ("vv", "vh")}, slope
    )


def plain(year: TileYear, name: str) -> np.ndarray:
    """Reflectance of a band at 10 m, NaN where not observed."""
    values = year.reflectance[name].astype(np.float64)
    values[values == 0] = np.nan
    return (values if name in BANDS_10 else values.repeat(2, 1).repeat(2, 2)) / 65_535


@pytest.mark.parametrize("name", ["red", "nir08", "evi", "bi", "msavi2", "grndvi"])
def test_months_when_days_have_clouds_and_gaps_then_they_are_those_of_a_plain_computation(year, name):
    if name in year.reflectance:
        values = plain(year, name)
    else:
        values = index_of(name, {n: plain(year, n) for n in ("blue", "green", "red", "nir", "swir16")})
    found = year.months(bands(name), slice(0, SHAPE[0]), slice(0, SHAPE[1]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 0], months_of(values, year.clear, year.days, 366), rtol=2e-5, atol=2e-6)
    assert np.isfinite(found).mean() > 0.9


def test_months_when_a_window_begins_at_an_odd_pixel_then_it_is_that_of_the_whole(year):
    wanted = bands("swir16", "bi", "blue", "slope", "vv")
    whole = year.months(wanted, slice(0, SHAPE[0]), slice(0, SHAPE[1]))
    for rows, cols in ((slice(3, 4), slice(5, 12)), (slice(0, 7), slice(1, 2)), (slice(13, 14), slice(0, 18))):
        np.testing.assert_array_equal(year.months(wanted, rows, cols), whole[:, :, rows, cols])


def test_months_when_there_is_no_clear_day_then_they_are_nodata(year):
    none = TileYear(
        2023, SHAPE, reflectance={"red": np.zeros((0, *SHAPE), np.uint16)}, clear=np.zeros((0, *SHAPE), bool)
    )
    assert np.isnan(none.months(bands("red"), slice(0, 3), slice(0, 3))).all()


def test_radar_when_its_unit_is_said_then_it_is_in_that(year):
    wanted = [InputBand("vv"), InputBand("vv", unit="dB"), InputBand("vv", unit="1")]
    unit, db, power = year.months(wanted, slice(0, SHAPE[0]), slice(0, SHAPE[1])).transpose(1, 0, 2, 3)
    stored = year.power["vv"]
    values = np.where(stored == 0, np.nan, stored / 65_535)
    np.testing.assert_allclose(power, values, rtol=1e-6)
    np.testing.assert_allclose(db, 10 * np.log10(values), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(unit, np.clip((10 * np.log10(values) + 22) / 22, 0, 1), rtol=1e-5, atol=1e-6)


def test_slope_is_the_same_in_every_month(year):
    found = year.months(bands("slope"), slice(2, 9), slice(0, 18))
    assert found.shape == (12, 1, 7, 18)
    assert (found[:, 0] == year.slope[2:9]).all()


def test_arrays_when_bands_are_named_then_those_alone_that_they_need():
    assert products_of(bands("red")) == {"clouds": "optical", "s2_10": "optical"}
    assert set(products_of(bands("bi"))) == {"clouds", "s2_10", "s2_20"}
    assert products_of(bands("slope", "vh")) == {"dem": "terrain", "s1": "radar"}


@pytest.mark.parametrize(
    ("band", "says"),
    [
        (InputBand("ndvi"), "have no band 'ndvi'; they have blue, green"), (InputBand("vv", unit="W"), "no vv in 'W': its unit is one of unit, dB, 1"),
        (InputBand("slope", unit="1"), "one of degree"),
    ],
)  # fmt: skip
def test_band_when_tiles_have_none_such_then_it_is_refused(band, says):
    with pytest.raises(ConfigError, match=says):
        form_of(band)


def box(left: int, top: int, resolution: int, *shape: int) -> GeoBox:
    return GeoBox("EPSG:32633", Fraction(resolution), Fraction(left), Fraction(top), (shape[0], shape[1]))


def test_clear_pixels_when_the_clouds_begin_before_the_bands_then_each_pixel_has_the_class_over_it():
    codes = np.array([[[4, 9], [0, 5]]], np.uint8)
    clear = clear_pixels(codes, box(160, 320, 160, 2, 2), box(300, 180, 10, 4, 4))
    assert clear.tolist() == [[[True, True, False, False]] * 2 + [[False, False, True, True]] * 2]


@pytest.mark.parametrize(
    ("fine", "says"),
    [(box(300, 180, 10, 40, 4), "do not cover"), (box(150, 180, 10, 4, 4), "do not cover"), (box(305, 180, 10, 4, 4), "nest")],
)  # fmt: skip
def test_clear_pixels_when_they_do_not_fit_then_they_are_refused(fine, says):
    with pytest.raises(ValueError, match=says):
        clear_pixels(np.zeros((1, 2, 2), np.uint8), box(160, 320, 160, 2, 2), fine)
