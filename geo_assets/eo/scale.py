"""Stored numbers of a scene on the common scale."""

import numpy as np
import numpy.typing as npt


def apply_offset(dn: npt.NDArray[np.uint16], offset: int) -> npt.NDArray[np.uint16]:
    """Digital numbers with a scene's offset taken off, so that ``reflectance = DN * scale``.

    Args:
        dn: Digital numbers, any dims, uint16, nodata 0.
        offset: Added to every observed number; -1000 for Sentinel-2 from baseline 04.00.

    Returns:
        Same dims and dtype. Nodata stays 0; an observed pixel is never below 1, so it cannot turn into nodata.
    """
    if offset == 0:
        return dn
    moved = np.clip(dn.astype(np.int32) + offset, 1, np.iinfo(np.uint16).max)
    return np.where(dn == 0, 0, moved).astype(np.uint16)
