"""The statistic over a period's clear solar days."""

import numpy as np
import numpy.typing as npt

from geo_assets.errors import ConfigError

Stack = npt.NDArray[np.uint16]
_MISSING = np.iinfo(np.uint16).max


def statistic(stack: Stack, name: str, *, percentile: float = 50) -> Stack:
    """Per-pixel statistic of one band over time, as numpy's nan-functions give it, rounded half to even.

    Args:
        stack: Dims (time, y, x), uint16, 0 = not observed or not clear.
        name: ``median``, ``mean`` or ``percentile``.
        percentile: 0 to 100, linear interpolation between ranks, for ``percentile``.

    Returns:
        Dims (y, x), uint16, 0 where no day is observed.

    Raises:
        ConfigError: Unknown statistic.
    """
    if name == "mean":
        return _mean(stack)
    if name in ("median", "percentile"):
        return _quantile(stack, 0.5 if name == "median" else percentile / 100)
    raise ConfigError(f"unknown statistic {name!r}: one of median, mean, percentile, medoid")


def _mean(stack: Stack) -> Stack:
    count = np.count_nonzero(stack, axis=0)
    total = stack.sum(axis=0, dtype=np.uint64)
    mean: npt.NDArray[np.float64] = np.divide(total, count, out=np.zeros(count.shape), where=count > 0)
    rounded: Stack = np.rint(mean).astype(np.uint16)
    return rounded


def _quantile(stack: Stack, q: float) -> Stack:
    if not len(stack):
        return np.zeros(stack.shape[1:], np.uint16)
    ordered = np.array(
        np.moveaxis(stack, 0, -1), order="C"
    )  # a copy in any case: of one day ascontiguousarray makes none
    ordered[ordered == 0] = _MISSING
    ordered.sort(axis=-1)
    count = np.count_nonzero(stack, axis=0)
    rank = np.maximum(count - 1, 0) * q
    low = np.floor(rank).astype(np.intp)
    share = rank - low
    a = np.take_along_axis(ordered, low[..., None], axis=-1)[..., 0].astype(np.float64)
    b = np.take_along_axis(ordered, np.minimum(low + 1, np.maximum(count - 1, 0))[..., None], axis=-1)[..., 0].astype(
        np.float64
    )
    value = np.where(share < 0.5, a + (b - a) * share, b - (b - a) * (1 - share))  # as numpy's lerp
    rounded: Stack = np.where(count > 0, np.rint(value), 0).astype(np.uint16)
    return rounded


def medoid(stack: npt.NDArray[np.uint16]) -> Stack:
    """Per pixel the observed day whose bands are nearest to those of all other days (least sum of distances).

    Only days with every band observed compete; the earliest wins a tie.

    Args:
        stack: Dims (band, time, y, x), uint16, 0 = not observed or not clear.

    Returns:
        Dims (band, y, x), uint16, 0 where no day has every band.
    """
    bands, days, rows, cols = stack.shape
    whole = (stack != 0).all(axis=0)
    best = np.full((rows, cols), np.inf)
    chosen = np.zeros((bands, rows, cols), np.uint16)
    values = stack.astype(np.float32)
    for day in range(days):
        distance = np.zeros((rows, cols))
        for other in range(days):
            step = np.sqrt(np.square(values[:, day] - values[:, other]).sum(axis=0, dtype=np.float64))
            distance += np.where(whole[other], step, 0)
        better = whole[day] & (distance < best)
        best = np.where(better, distance, best)
        chosen = np.where(better, stack[:, day], chosen)
    return chosen
