"""geo_assets: monthly Earth-observation data cubes as partitioned Dagster assets.

``geo_assets.open(root)`` reads what was made, without Dagster::

    import geo_assets

    data = geo_assets.open("data")
    cube = data.cube()          # xarray.Dataset, lazy

``geo_assets.grids`` has the grids for notebooks.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geo_assets import grids as grids
    from geo_assets.doors.reader import Store

__version__ = "0.1.0"


def open(root: str) -> "Store":  # noqa: A001 - the public name, as in CONTRACT and in xarray's open_*
    """What was made under ``root`` (a path or an fsspec URI such as ``s3://bucket/prefix``).

    Raises:
        StoreError: Nothing made by geo_assets lies there.
    """
    from geo_assets.doors.reader import Store  # imported late: `import geo_assets` stays light

    return Store.open(root)


def __getattr__(name: str) -> Any:
    if name == "grids":  # late, as above
        return importlib.import_module("geo_assets.grids")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "grids"})
