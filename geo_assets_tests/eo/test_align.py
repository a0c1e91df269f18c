import math
from fractions import Fraction

import numpy as np
import pyproj
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from geo_assets.eo.align import nearest_index, source_window
from geo_assets.model.geometry import GeoBox

TILE = Affine(120, 0, 499_980, 0, -120, 5_100_000)
UTM = "EPSG:32633"


def exact(box: GeoBox, crs: str, transform: Affine) -> tuple[np.ndarray, np.ndarray]:
    """Every centre through pyproj, and no shortcut."""
    x, y = np.meshgrid(*box.centers())
    if crs != box.crs:
        x, y = pyproj.Transformer.from_crs(box.crs, crs, always_xy=True).transform(x, y)
    if transform.b == transform.d == 0:
        return np.floor((y - transform.f) / transform.e).astype(int), np.floor((x - transform.c) / transform.a).astype(
            int
        )
    inverse = ~transform
    col, row = x * inverse.a + y * inverse.b + inverse.c, x * inverse.d + y * inverse.e + inverse.f
    return np.floor(row).astype(int), np.floor(col).astype(int)


def boxes() -> st.SearchStrategy[GeoBox]:
    """Windows around 33TWL in several CRSs and resolutions, also such that nearly nest."""
    shape = st.tuples(st.integers(1, 70), st.integers(1, 70))
    degrees = st.builds(
        lambda n, lon, lat, s: GeoBox("EPSG:4326", Fraction(1, n), Fraction(lon, n), Fraction(lat, n), s),
        st.sampled_from([900, 1200, 3600]), st.integers(13_500, 57_000), st.integers(40_000, 170_000), shape,
    )  # fmt: skip
    metres = st.builds(
        lambda crs, r, x, y, s: GeoBox(crs, Fraction(r), Fraction(x), Fraction(y), s),
        st.sampled_from([UTM, "EPSG:32632", "EPSG:3035"]), st.sampled_from([10, 60, 100, 120]), st.integers(400_000, 600_000),
        st.integers(5_000_000, 5_200_000), shape,
    )  # fmt: skip
    return st.one_of(degrees, metres)


@settings(max_examples=60)
@given(boxes(), st.sampled_from([TILE, Affine(20, 3, 499_980, 2, -20, 5_100_000)]))
def test_nearest_index_when_interpolated_then_it_is_the_exact_one(box, transform):
    assume(all(math.isfinite(v) for v in source_window(box, UTM, transform)))
    ours, theirs = np.broadcast_arrays(*nearest_index(box, UTM, transform)), exact(box, UTM, transform)
    assert np.array_equal(ours[0], theirs[0])
    assert np.array_equal(ours[1], theirs[1])


def test_nearest_index_when_centres_lie_on_edges_then_the_pixel_to_the_south_east_is_taken():
    box = GeoBox(UTM, Fraction(120), Fraction(120 * 4167), Fraction(120 * 42_500), (2, 3))  # half a pixel off in x
    row, col = nearest_index(box, UTM, TILE)
    assert (row.ravel().tolist(), col.ravel().tolist()) == ([0, 1], [1, 2, 3])


def test_nearest_index_when_the_grid_nests_then_each_source_pixel_is_taken_as_often():
    box = GeoBox(UTM, Fraction(60), Fraction(499_980), Fraction(5_100_000), (6, 8))
    row, col = nearest_index(box, UTM, TILE)
    assert (row.ravel().tolist(), col.ravel().tolist()) == ([0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2, 3, 3])


@settings(max_examples=40)
@given(boxes())
def test_source_window_when_asked_then_it_holds_every_centre(box):
    window = source_window(box, UTM, TILE)
    row, col = exact(box, UTM, TILE)
    assert window[0] - 1 <= col.min()
    assert col.max() <= window[2] + 1
    assert window[1] - 1 <= row.min()
    assert row.max() <= window[3] + 1


def test_source_window_when_the_target_has_no_place_in_the_source_then_it_is_boundless():
    box = GeoBox("EPSG:4326", Fraction(1), Fraction(-180), Fraction(95), (3, 3))  # beyond the pole
    assert source_window(box, UTM, TILE) == (-np.inf, -np.inf, np.inf, np.inf)
