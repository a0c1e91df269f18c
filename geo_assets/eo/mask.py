"""Which pixels are clear: class codes to booleans, with an optional clean-up of the cloud mask."""

import functools
from typing import Any

import numpy as np
import numpy.typing as npt


@functools.lru_cache(maxsize=32)
def _disk(radius: int) -> npt.NDArray[np.bool_]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk: npt.NDArray[np.bool_] = x * x + y * y <= radius * radius
    return disk


def halo_px(close_px: int, open_px: int) -> int:
    """Pixels around a window that its cleaned mask depends on: two dilations of each radius."""
    return 2 * (close_px + open_px)


def clear_from_classes(
    classes: npt.NDArray[np.uint8], keep: list[int], *, close_px: int = 0, open_px: int = 0
) -> npt.NDArray[np.bool_]:
    """True where the class is one of ``keep``, after closing then opening the mask of the others with disks.

    Args:
        classes: Class codes, dims (y, x), uint8, nodata 0 (never clear), with ``halo_px`` pixels around what is used.
        keep: Codes that count as clear.
        close_px: Radius of the closing in pixels; joins clouds and fills their holes.
        open_px: Radius of the opening in pixels; drops specks that are smaller.

    Returns:
        Clear pixels, dims (y, x), bool. A class 0 pixel is never clear, whatever the clean-up does.
    """
    from geo_assets.eo import _morphology  # takes a third of a second, which only workers have to spend

    if classes.dtype != np.uint8:
        raise ValueError(f"classes are {classes.dtype}; they must be uint8")
    table = np.zeros(256, bool)
    table[keep] = True
    table[0] = False
    cleaned = _morphology.cleaned(np.ascontiguousarray(classes), table, _half_widths(close_px), _half_widths(open_px))
    clear: npt.NDArray[np.bool_] = cleaned.view(bool)
    return clear


def clear_from_bits(
    qa: npt.NDArray[np.integer[Any]], bits: list[int], *, nodata: float | None, close_px: int = 0, open_px: int = 0
) -> npt.NDArray[np.bool_]:
    """True where none of ``bits`` is set, after the same clean-up as ``clear_from_classes``.

    Args:
        qa: Numbers made of bits, dims (y, x), uint8 or uint16, with ``halo_px`` pixels around what is used.
        bits: Bits of which none may be set, counted from 0, the lowest.
        nodata: Number that means "not observed", which is never clear; None is none.
        close_px: Radius of the closing in pixels.
        open_px: Radius of the opening in pixels.

    Returns:
        Clear pixels, dims (y, x), bool.
    """
    if qa.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"bits are {qa.dtype}; they must be uint8 or uint16")
    refused = sum(1 << bit for bit in bits) & np.iinfo(qa.dtype).max
    classes = np.where(qa & qa.dtype.type(refused), np.uint8(2), np.uint8(1))
    if nodata is not None:
        classes[qa == nodata] = 0
    return clear_from_classes(classes, [1], close_px=close_px, open_px=open_px)


def _half_widths(radius: int) -> npt.NDArray[np.int64]:
    """How far a disk reaches to the side, row by row."""
    reach: npt.NDArray[np.int64] = _disk(radius).sum(axis=1, dtype=np.int64) // 2
    return reach


def coarse(mask: npt.NDArray[np.bool_], step: int, row_phase: int, col_phase: int) -> npt.NDArray[np.bool_]:
    """Whether a cell of ``step`` x ``step`` pixels has a set one, to know which tiles a mask needs.

    Args:
        mask: Dims (y, x).
        step: Pixels of a cell's side.
        row_phase: Rows of the first cells that lie before the mask, 0 to ``step`` - 1.
        col_phase: Columns of the first cells that lie before the mask.

    Returns:
        Dims (rows of cells, columns of cells); cells at the edge are cut by it.
    """
    if step < 1 or not (0 <= row_phase < step and 0 <= col_phase < step):
        raise ValueError(f"cells of {step} px with phases {row_phase} and {col_phase}")
    phases = (row_phase, col_phase)
    if not mask.size:
        return np.zeros(
            [-(-(n + phase) // step) if n else 0 for n, phase in zip(mask.shape, phases, strict=True)], bool
        )
    tops, lefts = (np.maximum(0, np.arange(-phase, n, step)) for n, phase in zip(mask.shape, phases, strict=True))
    strips = [mask[top:end].any(axis=0) for top, end in zip(tops, [*tops[1:], len(mask)], strict=True)]
    cells: npt.NDArray[np.bool_] = np.logical_or.reduceat(strips, lefts, axis=1)
    return cells
