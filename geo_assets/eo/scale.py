"""Stored numbers of a scene on the common scale."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.errors import ConfigError
from geo_assets.model.band import Band


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


def filled(dn: npt.NDArray[Any], band: Band) -> npt.NDArray[Any]:
    """Numbers of a band as a reader gives them, with ``band.fill`` where nothing was observed.

    Args:
        dn: Any dims, ``band.dtype``, nodata ``band.nodata``.
        band: Its band.

    Returns:
        Same dims and dtype; ``dn`` itself where its nodata is the fill already.
    """
    if not band.floating or band.nodata is None or np.isnan(band.nodata):
        return dn
    return np.where(dn == np.asarray(band.nodata, dn.dtype), dn.dtype.type(np.nan), dn)


def unobserved(stored: npt.NDArray[Any], fill: float) -> npt.NDArray[np.bool_]:
    """Where nothing was observed: any dims, True where ``stored`` is ``fill`` or NaN."""
    found: npt.NDArray[np.bool_] = np.isnan(stored) if stored.dtype.kind == "f" else stored == stored.dtype.type(fill)
    return found
