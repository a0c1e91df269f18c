"""Tiles of a height model side by side."""

import numpy as np
import pytest

from geo_assets.eo.height_tiles import joined

EDGE = 2
ROWS, COLS = np.mgrid[0:40, 0:50]
PLANE = (100 + 3.0 * COLS - 2.0 * ROWS).astype(np.float32)


def tile(rows: slice, cols: slice) -> np.ndarray:
    """The plane as a reader gives it of one tile: flat within ``EDGE`` pixels of where the tile ends."""
    inside = np.zeros(PLANE.shape, bool)
    inside[rows, cols] = True
    at = np.argwhere(inside)
    low, high = at.min(0), at.max(0)
    low = np.where(low > 0, low + EDGE, low)
    high = np.where(high < np.array(PLANE.shape) - 1, high - EDGE, high)
    r, c = ROWS.clip(low[0], high[0]), COLS.clip(low[1], high[1])
    return np.where(inside, PLANE[r, c], np.float32(np.nan)).astype(np.float32)


@pytest.mark.parametrize(
    "parts",
    [
        [(slice(0, 40), slice(0, 23)), (slice(0, 40), slice(23, 50))],
        [(slice(0, 17), slice(0, 50)), (slice(17, 40), slice(0, 50))],
        [(r, c) for r in (slice(0, 17), slice(17, 40)) for c in (slice(0, 23), slice(23, 50))],
    ],
    ids=["side by side", "one above the other", "four"],
)
def test_joined_when_tiles_of_a_plane_meet_then_the_plane(parts):
    tiles = [tile(*part) for part in parts]
    assert np.nanmax(np.abs(np.nanmax(tiles, axis=0) - PLANE)) > 3  # what each tile alone says at its end
    np.testing.assert_allclose(joined(tiles, edge_px=EDGE), PLANE, atol=1e-3)


def test_joined_when_no_other_tile_begins_then_the_end_stays_as_it_was():
    west, gap = tile(slice(0, 40), slice(0, 23)), tile(slice(0, 40), slice(35, 50))
    found = joined([west, gap], edge_px=EDGE)
    np.testing.assert_array_equal(found[:, :23], west[:, :23])
    assert np.isnan(found[:, 23:35]).all()
    np.testing.assert_array_equal(joined([west], edge_px=EDGE), west)


def test_joined_when_tiles_overlap_then_the_first_counts():
    first, second = np.full((20, 20), 5, np.float32), np.full((20, 20), 7, np.float32)
    first[:, 12:] = np.nan
    found = joined([first, second], edge_px=1)
    assert (found[:, :11] == 5).all()
    assert (found[:, 13:] == 7).all()
