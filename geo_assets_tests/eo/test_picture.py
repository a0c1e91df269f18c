import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from geo_assets.eo.picture import blank, decode_png, encode_png, to_rgb
from geo_assets.model.band import Band
from geo_assets.registry import load

GREY = [226, 226, 226]


def bands(*names: str) -> list[Band]:
    sensor = load("sensors", "sentinel-2-l2a")
    return [sensor.bands[name] for name in names]


def test_to_rgb_when_the_order_of_bands_is_another_then_red_is_still_red():
    pixels = np.array([[[3000, 1, 1, 800]]], np.uint16)
    assert to_rgb(pixels, bands("red", "green", "blue", "nir"))[0, 0, 0] == 255
    assert (
        to_rgb(pixels[..., ::-1], bands("nir", "blue", "green", "red"))[0, 0].tolist()
        == to_rgb(pixels, bands("red", "green", "blue", "nir"))[0, 0].tolist()
    )


def test_to_rgb_when_not_observed_then_it_is_light_grey():
    assert to_rgb(np.zeros((1, 1, 3), np.uint16), bands("red", "green", "blue"))[0, 0].tolist() == GREY


def test_to_rgb_when_there_is_no_true_colour_then_the_first_band_is_grey():
    r, g, b = to_rgb(np.array([[[750, 9]]], np.uint16), bands("nir", "swir16"))[0, 0].tolist()
    assert r == g == b == int(255 * 0.25 ** (1 / 1.8))


@settings(max_examples=30)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_png_when_decoded_then_it_is_the_picture(picture):
    assert np.array_equal(decode_png(encode_png(picture)), picture)


def test_png_when_a_size_is_given_then_it_is_made_smaller_and_never_larger():
    wide = np.full((40, 80, 3), 7, np.uint8)
    assert Image.open(io.BytesIO(encode_png(wide, max_px=20))).size == (20, 10)
    assert Image.open(io.BytesIO(encode_png(wide, max_px=200))).size == (80, 40)


def test_png_when_colours_are_limited_then_it_has_a_palette():
    noise = np.random.default_rng(1).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    small, whole = encode_png(noise, colours=16), encode_png(noise)
    assert len(np.unique(decode_png(small).reshape(-1, 3), axis=0)) <= 16
    assert len(small) < len(whole)


def test_blank_then_nothing_is_observed():
    assert blank(2, 3).shape == (2, 3, 3)
    assert blank(1, 1)[0, 0].tolist() == GREY


@pytest.mark.parametrize("content", [None, b"", b"\x89PNG\r\n\x1a\n truncated", b"no picture"])
def test_decode_png_when_there_is_none_or_it_is_damaged_then_it_is_drawn_again(content):
    assert decode_png(content) is None


def test_to_rgb_when_the_band_holds_classes_then_they_have_their_colours_and_others_differ():
    band = Band("map", ("map",), 10, dtype="uint8", unit="class", colours={10: "#006400"})
    picture = to_rgb(np.array([[[10], [20], [30], [0]]], np.uint8), [band])[0]
    assert picture[0].tolist() == [0, 100, 0]
    assert picture[3].tolist() == GREY
    assert picture[1].tolist() != picture[2].tolist()


def test_to_rgb_when_the_band_is_of_floats_then_its_own_range_counts_and_nan_is_not_observed():
    band = Band("vv", ("vv",), 10, dtype="float32", nodata=-32768, shown=(0.0, 0.5))
    picture = to_rgb(np.array([[[0.5], [0.125], [np.nan]]], np.float32), [band])[0]
    assert picture[0].tolist() == [255, 255, 255]
    assert picture[2].tolist() == GREY
    assert picture[1, 0] == int(255 * 0.25 ** (1 / 1.8))


def test_to_rgb_when_the_scale_has_an_offset_then_values_are_shown_and_not_stored_numbers():
    band = Band("red", ("B4",), 30, scale=2.75e-5, offset=-0.2, shown=(0.0, 0.3))
    white = round(0.5 / 2.75e-5)  # reflectance 0.3
    assert to_rgb(np.array([[[white + 1]]], np.uint16), [band])[0, 0].tolist() == [255, 255, 255]
