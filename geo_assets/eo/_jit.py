"""Compiled loops over arrays."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

# numba keeps a loop as long as the file that it stands in does not change; loops here call others of other files
_STAMP = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(Path(__file__).parent.glob("_*.py")))).hexdigest()[:8]
_KEPT: list[Any] = []


def kernel(function: Callable[..., Any]) -> Any:
    """The function compiled: it holds no interpreter lock, and is kept on disk where a folder for that can be written."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    function.__qualname__ += f"_{_STAMP}"  # a part of the name of the file that it is kept in
    try:
        made = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba's word for: neither the package's folder nor the user's cache can be written
        return numba.njit(**options)(function)
    _KEPT.append(made)
    return made


def load_kept() -> int:
    """Load what is kept on disk of all kernels that are imported, for processes that are forked from this one; returns how much.

    A process does so with its first calls else, which takes half a second.
    """
    loaded = 0
    for made in _KEPT:
        cache, target = made._cache, made.targetctx
        for key in cache._cache_file._load_index():
            # Others are of another processor or of an older version of the function, and would be compiled anew
            if key == cache._index_key(key[0], target.codegen()):
                made.compile(key[0])
                loaded += 1
    return loaded
