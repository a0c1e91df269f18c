"""The levels of a pyramid beside a cube's arrays, and a worker's reader of both: what both cube stores share."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from geo_assets.errors import StoreError
from geo_assets.model.geometry import PixelGrid
from geo_assets.model.levels import level_path
from geo_assets.model.period import Periods
from geo_assets.model.plugin import Variable
from geo_assets.stores import _layout

_CONVENTIONS = "https://github.com/zarr-conventions"
# Each convention has an id for ever, by which GDAL and other readers find it
_NAMED = (
    ("multiscales", "multiscales", "d35379db-88df-4056-af3a-620245f8e347", "Multiscale layout of zarr datasets"),
    ("spatial", "spatial:", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information"),
    ("geo-proj", "proj:", "f17cb550-5864-4468-aeb7-f3180cfb622f", "Coordinate reference system information for geospatial data"),
)  # fmt: skip


def needs_work(
    store: Any, uri: str, group: str, grid: PixelGrid, periods: Periods, variables: Sequence[Variable],
    levels: Sequence[PixelGrid],
) -> bool:  # fmt: skip
    """Whether ``prepare`` would change something."""
    if not levels:
        return False
    root = zarr.open_group(store, mode="r", zarr_format=3)
    if group not in root or not _has(dict(root[group].attrs), multiscales(grid, levels)):
        return True
    places = [level_path(group, n) for n, _ in enumerate(levels, 1)]
    return any(_layout.needs_work(store, uri, place, periods, variables) for place in places)


def prepare(
    store: Any, group: str, grid: PixelGrid, periods: Periods, variables: Sequence[Variable],
    levels: Sequence[PixelGrid],
) -> None:  # fmt: skip
    """Create the levels that are missing below a group, extend their time axes, and list them in its attributes."""
    for n, level in enumerate(levels, 1):
        means = [replace(v, attrs={**v.attrs, "cell_methods": "area: mean"}) for v in variables]
        place = level_path(group, n)
        _layout.prepare(store, {}, place, level, periods, means)
        _describe(store, place, _placed(level))
    if levels:
        _describe(store, group, multiscales(grid, levels))


def _describe(store: Any, place: str, wanted: dict[str, Any]) -> None:
    there = zarr.open_group(store, path=place, mode="r+", zarr_format=3)
    if not _has(dict(there.attrs), wanted):
        there.update_attributes(wanted)


def _has(attrs: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(attrs.get(name) == value for name, value in wanted.items())


def multiscales(grid: PixelGrid, levels: Sequence[PixelGrid]) -> dict[str, Any]:
    """Attributes of a group whose arrays are level 0, by the conventions multiscales, spatial and geo-proj."""
    layout: list[dict[str, Any]] = [{"asset": ".", **_shape(grid)}]
    for n, level in enumerate(levels, 1):
        layout.append(
            {
                "asset": str(n), "derived_from": str(n - 1) if n > 1 else ".", "resampling_method": "average",
                "transform": {"scale": [2.0, 2.0], "translation": [0.0, 0.0]}, **_shape(level),
            }
        )  # fmt: skip
    placed = _placed(grid)
    conventions = [_convention(*_NAMED[0]), *placed["zarr_conventions"]]
    return placed | {
        "zarr_conventions": conventions,
        "multiscales": {"layout": layout, "resampling_method": "average"},
    }


def _placed(grid: PixelGrid) -> dict[str, Any]:
    """Where the arrays of one group lie."""
    return {
        "zarr_conventions": [_convention(*named) for named in _NAMED[1:]],
        "proj:code": grid.crs,
        "spatial:dimensions": ["y", "x"],
        "spatial:bbox": list(grid.array_geobox().bounds),
        **_shape(grid),
    }


def _shape(grid: PixelGrid) -> dict[str, Any]:
    box = grid.array_geobox()
    return {"spatial:shape": list(box.shape), "spatial:transform": [float(v) for v in box.transform[:6]]}


def _convention(repository: str, name: str, uuid: str, description: str) -> dict[str, str]:
    return {
        "uuid": uuid, "name": name, "description": description, "spec_url": f"{_CONVENTIONS}/{repository}/blob/v1/README.md",
        "schema_url": f"https://raw.githubusercontent.com/zarr-conventions/{repository}/refs/tags/v1/schema.json",
    }  # fmt: skip


class ZarrBlockReader:
    """Reads windows of one group; see ``BlockReader``."""

    def __init__(self, store: Any, group: str, faults: tuple[type[Exception], ...]) -> None:
        self._faults = faults
        try:
            self._group = zarr.open_group(store, path=group, mode="r", zarr_format=3)
        except faults as e:
            raise StoreError(f"group {group} cannot be opened: {_layout.line(e)}") from e

    def read(self, variable: str, time_index: int, rows: slice, cols: slice) -> npt.NDArray[Any]:
        """Read one window of one period."""
        where = f"{variable} of the cube at rows {rows.start} to {rows.stop}, columns {cols.start} to {cols.stop}, period {time_index}"
        try:
            array = self._group[variable]
            assert isinstance(array, zarr.Array)
            return np.asarray(array[time_index, rows, cols])
        except KeyError as e:
            raise StoreError(f"{where}: there is no such array") from e
        except self._faults as e:
            raise StoreError(f"{where} is damaged: {_layout.line(e)}") from e
