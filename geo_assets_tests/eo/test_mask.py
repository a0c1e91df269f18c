import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from geo_assets.eo.mask import clear_from_classes, coarse, halo_px
from geo_assets.model.recipe import MASK_PRESETS, MaskRecipe

CLASSES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.integers(0, 11))
KEEP = st.lists(st.integers(1, 11), min_size=1, max_size=11, unique=True)


def dilated(mask: np.ndarray, radius: int) -> np.ndarray:
    """Brute force: a pixel is set if a set one lies within the radius."""
    out = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        rows, cols = np.ogrid[: mask.shape[0], : mask.shape[1]]
        out |= (rows - y) ** 2 + (cols - x) ** 2 <= radius**2
    return out


def cleaned(bad: np.ndarray, close: int, open_: int) -> np.ndarray:
    """Closing, then opening, on a plane that goes on for ever with the mask's outermost pixels unset."""
    for radius, first in ((close, True), (open_, False)):
        if radius:
            grown = dilated(bad, radius) if first else ~dilated(~bad, radius)
            bad = ~dilated(~grown, radius) if first else dilated(grown, radius)
    return bad


def scipys(bad: np.ndarray, close: int, open_: int) -> np.ndarray:
    """Closing, then opening, where nothing lies beyond the border, be it set or unset."""

    def dilated(mask: np.ndarray, radius: int) -> np.ndarray:
        y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
        return ndimage.binary_dilation(mask, x * x + y * y <= radius * radius)

    bad = ~dilated(~dilated(bad, close), close)
    return dilated(~dilated(~bad, open_), open_)


@given(CLASSES, st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_clean_up_when_pixels_are_any_then_it_is_scipys_also_at_the_border(classes, close, open_, sparse):
    keep = [2, 3, 4, 5, 6, 7, 8, 9, 10] if sparse else [4, 5]
    expected = ~scipys(~np.isin(classes, keep), close, open_) & (classes != 0)
    found = clear_from_classes(classes, keep, close_px=close, open_px=open_)
    np.testing.assert_array_equal(found, expected, strict=True)


def test_clean_up_when_worked_out_by_hand_then_it_joins_two_clouds_and_drops_a_speck():
    cloud, empty = "..###.###..", "..........."
    rows = [empty, empty, cloud, cloud, cloud, empty, empty, "..#........", empty, empty]
    bad = np.array([[c == "#" for c in row] for row in rows])
    clear = clear_from_classes(np.where(bad, 9, 4).astype(np.uint8), [4], close_px=1, open_px=1)
    made = ["".join(".#"[not c] for c in row) for row in clear]
    assert made == [empty, empty, "...##.##...", "..#######..", "...##.##...", *[empty] * 5]


def test_closing_when_a_cloud_is_near_the_border_then_it_reaches_it():
    classes = np.full((5, 5), 4, np.uint8)
    classes[1:4, 1] = 9
    found = clear_from_classes(classes, [4], close_px=1)
    assert (~found).astype(int).tolist() == [[0] * 5, [0, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0] * 5]


def test_clear_when_classes_are_no_bytes_then_they_are_refused():
    with pytest.raises(ValueError, match="uint16"):
        clear_from_classes(np.ones((2, 2), np.uint16), [4])


@given(CLASSES, KEEP)
def test_clear_when_nothing_is_cleaned_then_it_is_the_kept_classes(classes, keep):
    assert np.array_equal(clear_from_classes(classes, keep), np.isin(classes, keep))


@given(CLASSES, KEEP, st.integers(0, 4), st.integers(0, 4))
def test_clear_when_the_class_is_nodata_then_it_never_is(classes, keep, close, open_):
    assert not clear_from_classes(classes, keep, close_px=close, open_px=open_)[classes == 0].any()


@given(CLASSES, KEEP, st.integers(1, 4))
def test_closing_when_made_then_it_adds_no_clear_pixel(classes, keep, close):
    closed = clear_from_classes(classes, keep, close_px=close)
    assert not (closed & ~np.isin(classes, keep)).any()


@given(CLASSES, KEEP, st.integers(1, 4))
def test_opening_when_made_then_it_drops_no_clear_pixel(classes, keep, open_):
    opened = clear_from_classes(classes, keep, open_px=open_)
    assert (opened | ~np.isin(classes, keep)).all()


@settings(max_examples=25)
@given(hnp.arrays(np.uint8, (26, 27), elements=st.sampled_from([4, 4, 4, 9])), st.integers(0, 5), st.integers(0, 5))
def test_clean_up_when_made_then_it_is_that_of_disks_by_brute_force(classes, close, open_):
    halo = halo_px(close, open_)
    bad = np.pad(classes == 9, halo)  # clear beyond the border, on both sides
    wide = np.where(bad, 9, 4).astype(np.uint8)
    inner = (slice(halo, halo + 26), slice(halo, halo + 27))
    assert np.array_equal(
        clear_from_classes(wide, [4], close_px=close, open_px=open_)[inner], ~cleaned(bad, close, open_)[inner]
    )


def test_preset_strict_when_used_then_disks_of_five_join_clouds_and_drop_specks():
    classes = np.full((80, 80), 4, np.uint8)
    classes[30:50, 30:38] = 9
    classes[30:50, 46:54] = 8  # 8 px away: closed
    classes[10, 60:63] = 3  # a speck: opened away
    strict = MaskRecipe(preset="strict")
    assert (strict.keep, strict.close_px, strict.open_px) == ([4, 5], 5, 5)
    clear = clear_from_classes(classes, strict.keep, close_px=5, open_px=5)
    assert np.array_equal(clear, ~cleaned(classes != 4, 5, 5))
    assert not clear[36:44, 38:46].any()
    assert clear[10, 60:63].all()


@settings(max_examples=25)
@given(
    hnp.arrays(np.uint8, (60, 60), elements=st.sampled_from([0, 4, 5, 6, 9])),
    st.integers(0, 5),
    st.integers(0, 4),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_clear_when_a_window_has_its_halo_then_it_is_that_of_the_whole(classes, close, open_, row, col):
    halo, size = halo_px(close, open_), 20
    whole = clear_from_classes(np.pad(classes, halo), [4, 5], close_px=close, open_px=open_)[
        halo : halo + 60, halo : halo + 60
    ]
    wide = np.pad(classes, halo)[row : row + size + 2 * halo, col : col + size + 2 * halo]
    part = clear_from_classes(wide, [4, 5], close_px=close, open_px=open_)[halo : halo + size, halo : halo + size]
    assert np.array_equal(part[: 60 - row, : 60 - col], whole[row : row + size, col : col + size])


@pytest.mark.parametrize(("name", "keep"), [("default", {2, 4, 5, 6, 7, 11}), ("strict", {4, 5})])
def test_presets_then_each_class_is_kept_or_not(name, keep):
    preset = MASK_PRESETS[name]
    classes = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert set(classes[clear_from_classes(classes, preset["keep"])]) == keep


@given(
    hnp.arrays(bool, st.tuples(st.integers(0, 20), st.integers(0, 20)), elements=st.booleans()),
    st.integers(1, 9),
    st.integers(0, 8),
    st.integers(0, 8),
)
def test_coarse_when_any_then_a_cell_is_set_if_one_of_its_pixels_is(mask, step, row_phase, col_phase):
    row_phase, col_phase = row_phase % step, col_phase % step
    found = coarse(mask, step, row_phase, col_phase)
    height, width = mask.shape
    shape = (-(-(height + row_phase) // step) if height else 0, -(-(width + col_phase) // step) if width else 0)
    expected = np.zeros(shape, bool)
    for r, c in np.argwhere(mask):
        expected[(r + row_phase) // step, (c + col_phase) // step] = True
    np.testing.assert_array_equal(found, expected, strict=True)


def test_coarse_when_the_mask_begins_within_a_cell_then_the_first_cell_is_cut():
    mask = np.array([[0, 0, 1, 0, 0], [0, 0, 0, 0, 1]], bool)
    assert coarse(mask, 3, 0, 0).tolist() == [[True, True]]
    assert coarse(mask, 3, 2, 1).tolist() == [[False, True], [False, True]]
    with pytest.raises(ValueError, match="phases 3 and 0"):
        coarse(mask, 3, 3, 0)
