"""The statistic over a period's clear solar days, and the layers and counts that lead to it.

Importing this takes a third of a second (numba): import it where pixels are worked on, not at the top of a module. The
functions hold no interpreter lock and use one thread each; ``rows`` lets several threads share arrays.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.eo import _geomedian, _layers, _medoid, _mode, _order
from geo_assets.eo._checks import DTYPES as DTYPES
from geo_assets.eo._checks import Array, Rows, as_nodata, dtype_limits, same, target, within
from geo_assets.eo._network import networks
from geo_assets.eo.scale import offset_limits
from geo_assets.errors import ConfigError

NETWORK_DAYS = 64  # networks grow faster than the number of days: from here on the median is found bit by bit

Counts = npt.NDArray[np.uint16]
Bits = npt.NDArray[np.uint8]


def statistic(
    stack: Array,
    name: str,
    *,
    percentile: float = 50,
    nodata: float = 0,
    out: Array | None = None,
    rows: Rows | None = None,
) -> Array:
    """Per-pixel statistic of one band over time, as numpy's nan-functions give it in float64.

    Args:
        stack: Dims (time, y, x), C order, one of ``DTYPES``; a NaN is never observed.
        name: ``median``, ``mean``, ``percentile``, or for integers that are classes ``mode``: the most frequent one, of
            several the least.
        percentile: 0 to 100, linear interpolation between ranks, for ``percentile``.
        nodata: Number that means "not observed or not clear".
        out: Where to put the result, dims (y, x), dtype of the stack.
        rows: First row and end of the rows to make, for which ``out`` is needed; the others are left alone.

    Returns:
        ``out`` or a new array, dims (y, x), dtype of the stack, integers rounded half to even; ``nodata`` where no day is
        observed. A statistic that happens to equal ``nodata`` cannot be told from it.

    Raises:
        ConfigError: Unknown statistic, percentile, dtype or nodata.
    """
    empty, out, first, end = _prepared(stack, 3, nodata, out, rows)
    if name not in ("median", "mean", "percentile", "mode"):
        raise ConfigError(f"unknown statistic {name!r}: one of median, mean, percentile, medoid, geomedian, mode")
    if name == "mode" and stack.dtype.kind == "f":
        raise ConfigError("mode is a statistic for classes, not for floats")
    if not 0 <= percentile <= 100:
        raise ConfigError(f"percentile is {percentile}; it must lie between 0 and 100")
    if not out.size:
        return out
    stack, whole = np.ascontiguousarray(stack), stack.dtype.kind != "f"
    if name == "mode":
        _mode.mode(np.ascontiguousarray(stack), empty, out, first, end)
    elif name == "mean":
        wide = "f8" if not whole else "i8" if stack.itemsize == 4 else "i4"
        _order.mean(stack, empty, whole, np.empty(stack.shape[2], wide), out, first, end)
    elif name == "median" and len(stack) <= NETWORK_DAYS:
        made = networks(len(stack))
        lowest, highest = dtype_limits(stack.dtype)
        table = (made.comparators, made.starts, made.wires)
        _order.median(stack, empty, lowest, highest, whole, table, out, first, end)
    else:
        q = 0.5 if name == "median" else percentile / 100
        kind = {"u": _order.UNSIGNED, "i": _order.SIGNED, "f": _order.FLOAT}[stack.dtype.kind]
        keys = np.empty((len(stack), min(stack.shape[2], _order.SEGMENT_PX)), f"u{max(2, stack.itemsize)}")
        bits = stack.view(f"u{stack.itemsize}")
        _order.quantile(stack, bits, empty, kind, q, name == "median", keys, out, first, end)
    return out


def medoid(stack: Array, *, nodata: float = 0, out: Array | None = None, rows: Rows | None = None) -> Array:
    """Per pixel the observed day whose bands are nearest to those of all other days (least sum of distances).

    Only days with every band observed and finite compete; the earliest wins a tie.

    Args:
        stack: Dims (band, time, y, x), C order, one of ``DTYPES``.
        nodata: Number that means "not observed or not clear".
        out: Where to put the result, dims (band, y, x), dtype of the stack.
        rows: First row and end of the rows to make, for which ``out`` is needed; the others are left alone.

    Returns:
        ``out`` or a new array, dims (band, y, x), dtype of the stack, ``nodata`` where no day has every band.

    Raises:
        ConfigError: Unknown dtype or nodata.
    """
    empty, out, first, end = _prepared(stack, 4, nodata, out, rows)
    if out.size:
        _medoid.medoid(np.ascontiguousarray(stack), empty, out, first, end)
    return out


def geometric_median(
    stack: Array,
    *,
    eps: float = 1e-6,
    max_iter: int = 100,
    nodata: float = 0,
    out: Array | None = None,
    rows: Rows | None = None,
) -> Array:
    """Per pixel the point in the space of the bands with the least sum of distances to the observed days.

    Only days with every band observed and finite count. Of two days, or of one band, it is the middle.

    Args:
        stack: Dims (band, time, y, x), C order, one of ``DTYPES``.
        eps: A pixel is done when a step is shorter than this share of the days' mean distance to their mean.
        max_iter: Most steps of a pixel; days almost on a line may need some tens.
        nodata: Number that means "not observed or not clear".
        out: Where to put the result, dims (band, y, x), dtype of the stack.
        rows: First row and end of the rows to make, for which ``out`` is needed; the others are left alone.

    Returns:
        ``out`` or a new array, dims (band, y, x), dtype of the stack, made in float64, integers rounded half to even;
        ``nodata`` where no day has every band.

    Raises:
        ConfigError: Unknown dtype or nodata.
    """
    empty, out, first, end = _prepared(stack, 4, nodata, out, rows)
    if len(stack) == 1:  # on a line Newton's step does not exist
        _only(stack[0], nodata, out[0], (first, end))
    elif out.size:
        whole = stack.dtype.kind != "f"
        _geomedian.geometric_median(np.ascontiguousarray(stack), empty, eps, max_iter, whole, out, first, end)
    return out


def _only(stack: Array, nodata: float, out: Array, rows: Rows) -> None:
    """Median of a stack's finite numbers."""
    if stack.dtype.kind == "f" and not np.isfinite(stack).all():
        stack = np.where(np.isfinite(stack), stack, stack.dtype.type(nodata))
    statistic(stack, "median", nodata=nodata, out=out, rows=rows)


def merge_first(
    layer: Array,
    pixels: Array,
    clear: npt.NDArray[np.bool_],
    *,
    offset: int = 0,
    nodata: float = 0,
    rows: Rows | None = None,
) -> bool:
    """Puts a scene into its day's layer, in place: its clear and observed pixels, where the layer has none yet.

    Args:
        layer: Dims (y, x), one of ``DTYPES``.
        pixels: Like ``layer``.
        clear: Which pixels may be taken, dims (y, x).
        offset: Added to every pixel taken, as ``scale.apply_offset`` does; only for integers.
        nodata: Number that means "not observed", in both.
        rows: First row and end of the rows to merge; all if None.

    Returns:
        Whether any pixel was taken.

    Raises:
        ConfigError: Unknown dtype or nodata, or an offset to floats.
    """
    empty, (first, end) = as_nodata(layer, nodata), within(rows, layer.shape[0])
    same("pixels", pixels, layer.shape, layer.dtype)
    same("clear", clear, layer.shape, np.dtype(bool))
    if offset == 0:
        return bool(_layers.merge(layer, pixels, clear, empty, first, end))
    limits = offset_limits(layer.dtype, offset, nodata)
    numbers = tuple(map(layer.dtype.type, (limits.low, limits.high, limits.least, limits.most, limits.beside)))
    return bool(_layers.merge_moved(layer, pixels, clear, empty, limits.offset, numbers, first, end))


def all_seen(days: int, shape: tuple[int, int]) -> Bits:
    """Bits of pixels that are seen on every day: dims (time, y, x / 8), the first of eight pixels in the highest bit."""
    return np.full((days, shape[0], -(-shape[1] // 8)), 255, np.uint8)


def and_observed(seen: Bits, layer: Array, *, nodata: float = 0, rows: Rows | None = None) -> None:
    """Unsets the bits of pixels that are not observed, in place, so that after every band those seen in all are left.

    Args:
        seen: One day of ``all_seen``, dims (y, x / 8).
        layer: The day's layer of a band, dims (y, x), one of ``DTYPES``; a NaN is never observed.
        nodata: Number that means "not observed or not clear".
        rows: First row and end of the rows to look at; all if None.

    Raises:
        ConfigError: Unknown dtype or nodata.
    """
    empty, (first, end) = as_nodata(layer, nodata), within(rows, layer.shape[0])
    same("seen", seen, (layer.shape[0], -(-layer.shape[1] // 8)), np.dtype(np.uint8))
    _layers.and_observed(seen, layer, empty, first, end)


def count_seen(seen: Bits, cols: int, *, out: Counts | None = None, rows: Rows | None = None) -> Counts:
    """On how many days each pixel is seen.

    Args:
        seen: Bits as of ``all_seen``, dims (time, y, x / 8).
        cols: Pixels in a row.
        out: Where to put the result, dims (y, x), uint16.
        rows: First row and end of the rows to make, for which ``out`` is needed; the others are left alone.

    Returns:
        ``out`` or a new array, dims (y, x), uint16.
    """
    same("seen", seen, (*seen.shape[:2], -(-cols // 8)), np.dtype(np.uint8))
    out, first, end = target((seen.shape[1], cols), np.dtype(np.uint16), out, rows)
    _layers.count_seen(np.ascontiguousarray(seen), out, first, end)
    return out


def _prepared(
    stack: Array, ndim: int, nodata: float, out: Array | None, rows: Rows | None
) -> tuple[Any, Array, int, int]:
    """Nodata as one of the stack's numbers, the array for the result, and its rows; compiled loops check nothing."""
    if stack.ndim != ndim:
        raise ValueError(
            f"a stack with dims {'(band, time, y, x)' if ndim == 4 else '(time, y, x)'}, not {stack.shape}"
        )
    shape = (*stack.shape[: ndim - 3], *stack.shape[-2:])
    return as_nodata(stack, nodata), *target(shape, stack.dtype, out, rows)
