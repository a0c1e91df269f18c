"""Compiled loops over arrays."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

# numba keeps a loop as long as the file that it stands in does not change; loops here call others of other files
_STAMP = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(Path(__file__).parent.glob("_*.py")))).hexdigest()[:8]


def kernel(function: Callable[..., Any]) -> Any:
    """The function compiled: it holds no interpreter lock, and is kept on disk where a folder for that can be written."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    function.__qualname__ += f"_{_STAMP}"  # a part of the name of the file that it is kept in
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba's word for: neither the package's folder nor the user's cache can be written
        return numba.njit(**options)(function)
