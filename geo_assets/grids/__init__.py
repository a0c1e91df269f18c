"""Grids: one module a tiling scheme, and the same grids for notebooks."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geo_assets.grids._notebook import (
        GridSpec,
        custom_generator,
        load_geometry_file,
        load_grid_for_aoi,
        majortom_generator,
        square_tiling_generator,
    )

__all__ = [
    "GridSpec",
    "custom_generator",
    "load_geometry_file",
    "load_grid_for_aoi",
    "majortom_generator",
    "square_tiling_generator",
]


def __getattr__(name: str) -> Any:
    # Late, so that listing the grids imports none of them
    if name in __all__:
        return getattr(importlib.import_module("geo_assets.grids._notebook"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
