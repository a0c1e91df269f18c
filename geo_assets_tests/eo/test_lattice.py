from fractions import Fraction

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.eo.lattice import CELL_PX, _inside, exact, nodes, phase
from geo_assets.model.geometry import GeoBox

UTM33 = GeoBox("EPSG:32633", Fraction(10), Fraction(499_980), Fraction(5_200_020), (200, 300))
DEGREES = GeoBox("EPSG:4326", Fraction(1, 3600), Fraction(15), Fraction(47), (200, 300))
LAEA = GeoBox("EPSG:3035", Fraction(20), Fraction(4_700_000), Fraction(2_660_000), (200, 300))


@settings(max_examples=60)
@given(
    box=st.sampled_from([UTM33, DEGREES, LAEA]), row=st.integers(-500, 500), col=st.integers(-500, 500),
    rows=st.integers(1, 70), cols=st.integers(1, 70), shift=st.sampled_from([Fraction(0), Fraction(1, 3), Fraction(9, 10)]),
)  # fmt: skip
def test_nodes_when_windows_overlap_then_they_are_the_same_to_the_last_bit(box, row, col, rows, cols, shift):
    whole = GeoBox(
        box.crs, box.resolution, box.left + shift * box.resolution, box.top - shift * box.resolution, box.shape
    )
    part = whole.window(row, col, rows, cols)
    around = whole.window(row - 40, col - 40, rows + 80, cols + 80)
    few, many = nodes(part, "EPSG:32632"), nodes(around, "EPSG:32632")
    down = (40 - few.row + many.row) // (CELL_PX // 2)
    across = (40 - few.col + many.col) // (CELL_PX // 2)
    assert (40 - few.row + many.row) % CELL_PX == (40 - few.col + many.col) % CELL_PX == 0
    for one, other in ((few.x, many.x), (few.y, many.y)):
        assert np.array_equal(one, other[down : down + one.shape[0], across : across + one.shape[1]])


@pytest.mark.parametrize("box", [UTM33, DEGREES, LAEA])
@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "EPSG:3857"])
def test_nodes_when_compared_with_the_truth_then_their_error_is_known(box, crs):
    found = nodes(box, crs)
    x = float(box.left) + (np.arange(found.error.shape[1]) * CELL_PX - found.col + 3.7) * float(box.resolution)
    y = float(box.top) - (np.arange(found.error.shape[0]) * CELL_PX - found.row + 3.7) * float(box.resolution)
    true = pyproj.Transformer.from_crs(box.crs, crs, always_xy=True).transform(*np.meshgrid(x, y))
    rounding = 1e-9 * max(np.abs(true[0]).max(), np.abs(true[1]).max())
    for at, wanted in zip((found.x, found.y), true, strict=True):
        off = np.abs(_inside(at, 3.7 / CELL_PX) - wanted)
        assert (off <= found.error + rounding).all()
    assert found.error.shape == (-(-(200 + found.row) // CELL_PX), -(-(300 + found.col) // CELL_PX))


def test_nodes_when_a_crs_does_not_reach_then_its_cells_are_marked():
    world = GeoBox("EPSG:4326", Fraction(1), Fraction(-180), Fraction(90), (180, 360))
    found = nodes(world, "EPSG:3857")
    assert np.isinf(found.error[0]).all()  # the poles
    assert np.isfinite(found.error[5]).all()


def test_phase_when_windows_move_then_it_counts_from_the_origin():
    assert phase(UTM33) == ((-520_002) % 16, 49_998 % 16)
    assert phase(UTM33.window(3, 5, 1, 1)) == ((-520_002 + 3) % 16, (49_998 + 5) % 16)


def test_exact_when_single_pixels_are_asked_for_then_they_are_transformed_one_by_one():
    rows, cols = np.array([0, 17, 199]), np.array([5, 0, 299])
    x, y = exact(DEGREES, "EPSG:32633", rows, cols)
    xs, ys = DEGREES.centers()
    true = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True).transform(xs[cols], ys[rows])
    assert np.array_equal(x, true[0])
    assert np.array_equal(y, true[1])
