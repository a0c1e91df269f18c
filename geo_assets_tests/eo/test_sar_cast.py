"""Shadow and layover of a ridge, whose lengths are known."""

from fractions import Fraction

import numpy as np
import pytest

from geo_assets.eo.sar import facing
from geo_assets.eo.sar_cast import with_cast
from geo_assets.eo.sar_place import View
from geo_assets.eo.terrain import gradient, metres
from geo_assets.model.geometry import GeoBox

MARGIN, THETA = 60, 35.0
UTM = GeoBox("EPSG:32632", Fraction(10), Fraction(500_000), Fraction(5_200_000), (80, 90))
DEGREES = GeoBox("EPSG:4326", Fraction(1, 10800), Fraction(11), Fraction(60), (80, 90))


def view(box, azimuth):
    full = np.ones(box.shape)
    east, north = np.sin(np.radians(azimuth)), np.cos(np.radians(azimuth))
    return View(full, full, THETA * full, east * full, north * full)


def away_m(box, azimuth, margin=MARGIN):
    """Metres away from the radar of each pixel, from the middle of the window, with the margin."""
    rows, cols = box.shape
    wide = box.window(-margin, -margin, rows + 2 * margin, cols + 2 * margin)
    scale = metres(box)
    x, y = (of - of[len(of) // 2] for of in wide.centers())
    east, north = x * scale.x_east.mean(), y * scale.y_north.mean()
    return np.add.outer(north * np.cos(np.radians(azimuth)), east * np.sin(np.radians(azimuth)))


def cast(box, azimuth, height):
    seen = view(box, azimuth)
    near = height[MARGIN - 1 : 1 - MARGIN, MARGIN - 1 : 1 - MARGIN]
    own = facing(seen, gradient(near, box))
    return own, with_cast(own, box, seen, height, margin_px=MARGIN)


@pytest.mark.parametrize("azimuth", [90, 270, 0, 78, 258])
@pytest.mark.parametrize("box", [UTM, DEGREES], ids=["utm", "degrees at 60 north"])
def test_cast_when_a_ridge_stands_on_level_ground_then_as_long_as_its_height_says(box, azimuth):
    """A ridge of 200 m whose sides are 40 m wide: steeper than the line of sight on both."""
    d = away_m(box, azimuth)
    height = 300 + np.clip(200 - 5 * np.abs(d), 0, None)
    own, found = cast(box, azimuth, height)
    inside = slice(MARGIN, -MARGIN)
    d = d[inside, inside]
    tan = np.tan(np.radians(THETA))
    shadow_end, layover_begin = 200 * tan, -200 / tan
    step, blunt = 16.0, 40.0  # a pixel; and what is cut off a crest that falls by 50 m from pixel to pixel
    dark = (d > 40 + step) & (d < shadow_end - step - blunt * tan)
    double = (d > layover_begin + step + blunt / tan) & (d < -step)
    free = (d > shadow_end + step) | (d < layover_begin - step)
    assert min(dark.sum(), double.sum(), free.sum()) > 50
    assert found.shadow[dark].all()
    assert not own.shadow[dark].any()  # level ground does not know it by itself
    assert found.layover[double].all()
    assert found.usable[free].all()
    assert not found.usable[dark | double].any()


def test_cast_when_ground_is_a_plane_then_nothing_is_hidden():
    d = away_m(UTM, 78)
    for rise in (-0.9, 0.0, 0.6):  # less than 1 / tan(35) and tan(35)
        own, found = cast(UTM, 78, 500 + rise * d)
        np.testing.assert_array_equal(found.usable, own.usable)
        assert not (found.shadow | found.layover).any()


def test_cast_when_heights_are_missing_then_they_hide_nothing():
    height = np.full((80 + 2 * MARGIN, 90 + 2 * MARGIN), np.nan)
    own, found = cast(UTM, 90, height)
    np.testing.assert_array_equal(found.shadow, own.shadow)
    with pytest.raises(ValueError, match="a margin of 5 px"):
        with_cast(own, UTM, view(UTM, 90), height, margin_px=5)
