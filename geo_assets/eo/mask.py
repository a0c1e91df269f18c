"""Which pixels are clear: class codes to booleans, with an optional clean-up of the cloud mask."""

import functools

import numpy as np
import numpy.typing as npt
from scipy import ndimage


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
        Clear pixels, dims (y, x). A class 0 pixel is never clear, whatever the clean-up does.
    """
    table = np.zeros(256, bool)
    table[keep] = True
    table[0] = False
    clear = table[classes]
    if not (close_px or open_px):
        return clear
    bad = ~clear
    if close_px:
        bad = ndimage.binary_dilation(bad, _disk(close_px))
        bad = ~ndimage.binary_dilation(~bad, _disk(close_px))
    if open_px:
        bad = ~ndimage.binary_dilation(~bad, _disk(open_px))
        bad = ndimage.binary_dilation(bad, _disk(open_px))
    cleaned: npt.NDArray[np.bool_] = ~bad & (classes != 0)
    return cleaned
