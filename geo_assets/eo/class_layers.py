"""Layers of class codes as one."""

from typing import Any

import numpy as np
import numpy.typing as npt


def first_class(layers: npt.NDArray[Any], *, nodata: int = 0) -> npt.NDArray[Any]:
    """Per pixel the first class that is observed: codes are names, and the mean of two is a third one.

    Args:
        layers: Dims (time, y, x), an integer type, nodata ``nodata``; the layer that counts most comes first.
        nodata: Code that means "not observed".

    Returns:
        Dims (y, x), dtype of ``layers``, nodata where no layer is observed.

    Raises:
        ValueError: ``layers`` are no integers with these dims.
    """
    if layers.ndim != 3 or layers.dtype.kind not in "iu":
        raise ValueError(f"layers are {layers.dtype} {layers.shape}; they must be integers with dims (time, y, x)")
    result = np.full(layers.shape[1:], nodata, layers.dtype)
    for layer in layers:
        np.copyto(result, layer, where=result == nodata)
    return result
