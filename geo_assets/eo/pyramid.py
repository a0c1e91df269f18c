"""Half as many pixels a side: the mean of what was observed, or its most frequent class."""

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]


def halve(pixels: Pixels, fill: float, *, classes: bool = False) -> Pixels:
    """The mean of the observed ones of each 2 x 2 pixels, or of classes the most frequent; where none is observed, nothing is.

    Integers are summed as integers and rounded half to even, so the result is exact; a mean that would round to ``fill``
    becomes the next number above it.

    Args:
        pixels: Dims (y, x) or (y, x, band), even numbers of rows and columns.
        fill: What a pixel holds that was not observed; NaN for floats.
        classes: Whether the numbers are classes, of which there is no mean; of several that are as frequent the least counts.

    Returns:
        Half the rows and columns, dtype of ``pixels``.
    """
    parts = [pixels[row::2, col::2] for row in (0, 1) for col in (0, 1)]
    if classes:
        return _most_frequent(parts, fill)
    return _mean_of_floats(parts) if np.issubdtype(pixels.dtype, np.floating) else _mean_of_integers(parts, int(fill))


def _most_frequent(parts: list[Pixels], fill: float) -> Pixels:
    best = np.full(parts[0].shape, fill, parts[0].dtype)
    most = np.zeros(parts[0].shape, np.uint8)
    for part in parts:
        count = np.add.reduce([part == other for other in parts], dtype=np.uint8)
        better = (part != fill) & ((count > most) | ((count == most) & (part < best)))
        best, most = np.where(better, part, best), np.where(better, count, most)
    return best


def _mean_of_integers(parts: list[Pixels], fill: int) -> Pixels:
    dtype = parts[0].dtype
    wide = np.uint32 if dtype in (np.uint8, np.uint16) else np.int64
    total: Pixels = np.zeros(parts[0].shape, wide)
    count: Pixels = np.zeros(parts[0].shape, wide)
    for part in parts:
        seen = part != fill
        count += seen
        np.add(total, part, out=total, where=True if fill == 0 else seen, casting="same_kind")
    quotient, rest = np.divmod(total, np.maximum(count, 1))
    quotient += (2 * rest > count) | ((2 * rest == count) & (count > 0) & (quotient & 1 == 1))
    if fill != 0 or np.issubdtype(dtype, np.signedinteger):  # positive numbers have no mean of 0
        quotient[quotient == fill] = fill + 1
    return np.where(count == 0, fill, quotient).astype(dtype)


def _mean_of_floats(parts: list[Pixels]) -> Pixels:
    total, count = np.zeros(parts[0].shape), np.zeros(parts[0].shape)
    for part in parts:
        seen = ~np.isnan(part)
        count += seen
        np.add(total, part, out=total, where=seen)
    mean: Pixels = np.full(parts[0].shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean.astype(parts[0].dtype)
