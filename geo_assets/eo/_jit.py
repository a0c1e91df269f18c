"""Compiled loops over arrays."""

from collections.abc import Callable
from typing import Any

import numba


def kernel(function: Callable[..., Any]) -> Any:
    """The function compiled: it holds no interpreter lock, and is kept on disk where a folder for that can be written."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba's word for: neither the package's folder nor the user's cache can be written
        return numba.njit(**options)(function)
