"""Tiles of a height model side by side, without the step that resampling each by itself leaves where they meet."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Place = tuple[slice, slice]

_PART_PX = 512


def joined(tiles: Sequence[F32], *, edge_px: int) -> F32:
    """Heights of a window from those of each tile; where several tell one, the first.

    Within half a source pixel of its end a tile was resampled without its neighbour, so that slopes are wrong there by all
    that the ground rises: such pixels are interpolated between what both tiles know, along the row or the column.

    Args:
        tiles: At least one; metres, dims (y, x), float32, nodata NaN.
        edge_px: Pixels of the window that half a pixel of a tile covers.

    Returns:
        Metres, dims (y, x), float32, nodata NaN. Where a tile ends and no other begins, it is as it was.
    """
    seen = [np.isfinite(tile) for tile in tiles]
    whole = _first(tiles, seen)
    if sum(bool(of.any()) for of in seen) < 2:
        return whole
    from scipy import ndimage  # which only workers need

    square = np.ones((2 * edge_px + 1, 2 * edge_px + 1), bool)
    known = [ndimage.binary_erosion(of, square, border_value=True) for of in seen]
    sure = np.logical_or.reduce(known)
    inner, doubt = _first(tiles, known), np.isfinite(whole) & ~sure
    most_px = 2 * edge_px + 2
    for part, wide, inside in _parts(whole.shape, 3 * most_px):  # of a large window little is in doubt
        if doubt[part].any():
            whole[part] = _mended(inner[wide], sure[wide], doubt[wide], whole[wide], most_px)[inside]
        else:
            np.copyto(whole[part], inner[part], where=sure[part])
    return whole


def join_margin_px(edge_px: int) -> int:
    """Pixels around a window that ``joined`` needs for it: both sides of a join that ends where the window does."""
    return 3 * edge_px + 1


def _parts(shape: tuple[int, ...], margin: int) -> Iterator[tuple[Place, Place, Place]]:
    """Parts of a window, each with the margin around, and where it lies within that."""
    for row in range(0, shape[0], _PART_PX):
        for col in range(0, shape[1], _PART_PX):
            part = slice(row, min(row + _PART_PX, shape[0])), slice(col, min(col + _PART_PX, shape[1]))
            low = tuple(max(0, at.start - margin) for at in part)
            wide = tuple(slice(a, min(at.stop + margin, n)) for a, at, n in zip(low, part, shape, strict=True))
            inside = tuple(slice(at.start - a, at.stop - a) for a, at in zip(low, part, strict=True))
            yield part, (wide[0], wide[1]), (inside[0], inside[1])


def _mended(inner: F32, sure: Mask, doubt: Mask, whole: F32, most_px: int) -> F32:
    """Heights where what is in doubt lies between what is sure."""
    for _ in range(2):  # what four tiles share has no sure neighbour until the seams that lead there are done
        value = _across(inner, sure, most_px=most_px)
        filled = doubt & ~sure & np.isfinite(value)
        inner, sure = np.where(filled, value, inner), sure | filled
    return np.where(sure, inner, whole)


def _first(tiles: Sequence[F32], seen: Sequence[Mask]) -> F32:
    found = np.full(tiles[0].shape, np.nan, np.float32)
    for tile, of in zip(tiles[::-1], seen[::-1], strict=True):
        found[of] = tile[of]
    return found


def _across(value: F32, known: Mask, *, most_px: int) -> F32:
    """Values between known ones before and behind, along the row or the column, whichever is shorter; NaN over long gaps."""
    along, gap = _along_rows(value, known)
    down, other = (of.T for of in _along_rows(value.T, known.T))
    found = np.where(gap <= other, along, down)
    return np.where(np.minimum(gap, other) <= most_px, found, np.float32(np.nan)).astype(np.float32)


def _along_rows(value: F32, known: Mask) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Linear between the nearest known values on both sides, and how many pixels lie between those; most where one lacks."""
    cols = value.shape[1]
    at = np.arange(cols)
    before = np.maximum.accumulate(np.where(known, at, -cols), axis=1)
    behind = np.minimum.accumulate(np.where(known, at, 2 * cols)[:, ::-1], axis=1)[:, ::-1]
    low, high = before.clip(0, cols - 1), behind.clip(0, cols - 1)
    share = (at - low) / np.maximum(high - low, 1)
    first, last = (np.take_along_axis(value, of, axis=1).astype(np.float64) for of in (low, high))
    return first * (1 - share) + last * share, behind - before - 1
