"""Stored numbers of a scene on the common scale."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.errors import ConfigError


@dataclass(frozen=True)
class OffsetLimits:
    """What an offset makes of integers so that they stay in their type's range and no observed one becomes nodata.

    Attributes:
        offset: What is added; not more than the range is wide.
        low: Numbers below this become ``least``.
        high: Numbers above this become ``most``.
        least: Lowest number of the type.
        most: Highest number of the type.
        beside: What a result becomes that equals nodata.
    """

    offset: int
    low: int
    high: int
    least: int
    most: int
    beside: int


def offset_limits(dtype: npt.DTypeLike, offset: int, nodata: float) -> OffsetLimits:
    """How an offset is taken off numbers of an integer type.

    Raises:
        ConfigError: The type is no integer.
    """
    if np.dtype(dtype).kind not in "iu":
        raise ConfigError(f"an offset of {offset} DN is for integers, not for {np.dtype(dtype)}")
    least, most = int(np.iinfo(np.dtype(dtype)).min), int(np.iinfo(np.dtype(dtype)).max)
    offset = max(least - most, min(most - least, offset))
    low, high = max(least, least - offset), min(most, most - offset)
    return OffsetLimits(offset, low, high, least, most, int(nodata) + (1 if nodata < most else -1))


def apply_offset(dn: npt.NDArray[Any], offset: int, *, nodata: int = 0) -> npt.NDArray[Any]:
    """Digital numbers with a scene's offset taken off, so that ``reflectance = DN * scale``.

    Args:
        dn: Digital numbers, any dims, any integer dtype.
        offset: Added to every observed number; -1000 for Sentinel-2 from baseline 04.00.
        nodata: Number that means "not observed".

    Returns:
        Same dims and dtype. Nodata stays; an observed pixel ends at its type's range and never turns into nodata: with
        nodata 0 it is at least 1.
    """
    if offset == 0:
        return dn
    limits = offset_limits(dn.dtype, offset, nodata)
    moved = np.clip(dn.astype(np.int64) + offset, limits.least, limits.most)
    moved[moved == nodata] = limits.beside
    return np.where(dn == nodata, nodata, moved).astype(dn.dtype)
