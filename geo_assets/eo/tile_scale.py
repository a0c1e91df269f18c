"""Pixels of yearly tiles: values from 0 to 1 as uint16, with 0 for what was not observed.

The old format stores ``clip(value, 0, 1) * 65535`` and has no nodata: a pixel that nobody saw and one that reflects nothing
are both 0. Here 0 means nodata alone, and an observed pixel is at least 1 (0.000015, a seventh of the step of a Sentinel-2
DN), so that readers of the old format see the values that they know, and others can tell the two apart.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.eo.scale import apply_offset

NODATA = 0
TOP = 65_535  # what 1 is stored as


def to_uint16(values: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """Reflectance or linear power as a tile stores it: cut to 0..1, times 65535, rounded half to even.

    Args:
        values: Any dims, float, unit 1, nodata NaN; an offset must be off already.

    Returns:
        Same dims, uint16, nodata 0; observed pixels are at least 1, also where the value is 0 or below.

    Raises:
        ValueError: ``values`` are integers, which means that they were never scaled.
    """
    if values.dtype.kind != "f":
        raise ValueError(f"values are {values.dtype}; scale digital numbers to floats first, for example by from_dn")
    scaled = np.rint(np.clip(values, 0.0, 1.0).astype(np.float64) * TOP)
    observed = ~np.isnan(scaled)
    return np.where(observed, np.maximum(np.where(observed, scaled, 0.0), 1.0), NODATA).astype(np.uint16)


def from_uint16(stored: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """Values of a tile's pixels.

    Args:
        stored: Any dims, uint16, nodata 0.

    Returns:
        Same dims, float32, unit 1, nodata NaN.
    """
    values: npt.NDArray[np.float32] = np.where(stored == NODATA, np.nan, stored / TOP).astype(np.float32)
    return values


def from_dn(
    dn: npt.NDArray[np.uint16], *, dn_offset: int, scale: float = 0.0001, nodata: int = 0
) -> npt.NDArray[np.uint16]:
    """Digital numbers of one scene as a tile stores them; its offset is taken off before they are cut to 0..1.

    Args:
        dn: Any dims, uint16, nodata ``nodata``.
        dn_offset: Added to every observed number, as ``Scene.dn_offset`` says: -1000 for Sentinel-2 from baseline 04.00
            where the catalog has not taken it off, else 0.
        scale: Reflectance of one DN.
        nodata: Number that means "not observed".

    Returns:
        Same dims, uint16, nodata 0, observed pixels at least 1.

    Raises:
        ValueError: ``dn`` are not uint16.
    """
    if dn.dtype != np.uint16:
        raise ValueError(f"digital numbers are {dn.dtype}; they must be uint16")
    every = np.arange(TOP + 1, dtype=np.uint16)
    values = apply_offset(every, dn_offset, nodata=nodata).astype(np.float64) * scale
    values[nodata] = np.nan
    return to_uint16(values)[dn]
