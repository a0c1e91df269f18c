"""What is checked before compiled loops run, which check nothing themselves."""

from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.errors import ConfigError

DTYPES = ("uint8", "int16", "uint16", "int32", "float32")

Array = npt.NDArray[Any]
Rows = tuple[int, int]


def as_nodata(array: Array, nodata: float) -> Any:
    """Nodata as one of the array's numbers.

    Raises:
        ConfigError: The array's dtype is none of ``DTYPES``, or nodata is no number of it.
    """
    if array.dtype.name not in DTYPES or not array.dtype.isnative:
        raise ConfigError(f"pixels of type {array.dtype}: one of {', '.join(DTYPES)}")
    lowest, highest = dtype_limits(array.dtype)
    if array.dtype.kind != "f" and not (lowest <= nodata <= highest and nodata == int(nodata)):
        raise ConfigError(f"nodata {nodata} is no {array.dtype}")
    return array.dtype.type(nodata)


def dtype_limits(dtype: np.dtype[Any]) -> tuple[Any, Any]:
    """Least and greatest number of a dtype."""
    if dtype.kind == "f":
        return dtype.type(-np.inf), dtype.type(np.inf)
    return dtype.type(np.iinfo(dtype).min), dtype.type(np.iinfo(dtype).max)


def target(
    shape: tuple[int, ...], dtype: np.dtype[Any], out: Array | None, rows: Rows | None
) -> tuple[Array, int, int]:
    """The array for the result, dims (..., y, x), and the first row and the end of those to make."""
    if out is None:
        if rows is not None:
            raise ValueError("rows of which array? Give out")
        out = np.empty(shape, dtype)
    same("out", out, shape, dtype)
    return out, *within(rows, shape[-2])


def within(rows: Rows | None, height: int) -> Rows:
    """First row and end of those to make; all if None."""
    first, end = (0, height) if rows is None else rows
    if not 0 <= first <= end <= height:
        raise ValueError(f"rows {first} to {end} of {height}")
    return first, end


def same(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Refuse an array of another shape or dtype."""
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"{name} is {array.dtype} {array.shape}; it must be {dtype} {shape}")
