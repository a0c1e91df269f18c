"""The Zarr layout of a cube: what both cube stores create and write."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import zarr
from zarr.codecs import BloscCodec, BloscShuffle

from geo_assets.errors import StoreError
from geo_assets.model.geometry import PixelGrid
from geo_assets.model.period import Period, Periods
from geo_assets.model.plugin import Variable

MARK = "geo_assets"  # the attribute that tells a cube's root from any other Zarr group
_EPOCH = np.datetime64("1970-01-01", "D")
_COORDINATE_CHUNK = 65_536


def describe(store: Any, uri: str) -> dict[str, Any] | None:
    """Attributes of the root of a cube, or None where nothing is stored.

    Raises:
        StoreError: What is stored there is no cube.
    """
    try:
        root = zarr.open_group(store, mode="r", zarr_format=3)
    except (FileNotFoundError, zarr.errors.GroupNotFoundError):
        return None
    except zarr.errors.ContainsArrayError as e:
        raise foreign(uri, "a Zarr array") from e
    except (AttributeError, KeyError, TypeError, ValueError) as e:
        raise StoreError(f"{uri}: its zarr.json is damaged ({line(e)}): restore it, or choose another storage") from e
    attrs = dict(root.attrs)
    if MARK in attrs:
        return attrs
    if attrs or next(iter(root.keys()), None) is not None:
        raise foreign(uri, "a Zarr group")
    return None  # whoever made it was stopped before its first attribute


def foreign(uri: str, what: str) -> StoreError:
    """The error for something of another maker in the cube's place."""
    return StoreError(f"{uri} holds {what} that geo_assets did not make: choose another storage, or move it away")


def needs_work(store: Any, uri: str, group: str, periods: Periods, variables: Sequence[Variable]) -> bool:
    """Whether ``prepare`` would change something."""
    if describe(store, uri) is None:
        return True
    root = zarr.open_group(store, mode="r", zarr_format=3)
    if group not in root:
        return True
    there = zarr.open_group(store, path=group, mode="r", zarr_format=3)
    return any(v.name not in there for v in variables) or _times(there) < len(periods)


def _times(group: zarr.Group) -> int:
    time = group["time"]
    assert isinstance(time, zarr.Array)
    return int(time.shape[0])


def prepare(
    store: Any, attrs: Mapping[str, Any], group: str, grid: PixelGrid, periods: Periods, variables: Sequence[Variable]
) -> None:
    """Create root, group and arrays where they are missing; extend the time axis. The arrays are sparse."""
    root = zarr.open_group(store, mode="a", zarr_format=3)
    if not dict(root.attrs):
        root.update_attributes(dict(attrs))
    if group not in root:
        _create_group(root, group, grid, periods)
    there = root[group]
    assert isinstance(there, zarr.Group)
    for variable in variables:
        if variable.name not in there:
            _create_variable(there, variable, grid, _times(there))
    if _times(there) < len(periods):
        _extend(there, periods)


def _create_group(root: zarr.Group, group: str, grid: PixelGrid, periods: Periods) -> None:
    box = grid.array_geobox()
    crs = pyproj.CRS.from_user_input(grid.crs)
    attrs = {
        "crs": grid.crs,
        "resolution": str(grid.resolution),
        "block_px": grid.block_px,
        "chunk_px": grid.chunk_px,
        "region_blocks": grid.region_blocks,
        "left": str(box.left),
        "top": str(box.top),
    }
    there = root.create_group(group, attributes=attrs)
    xs, ys = box.centers()
    unit = "degree" if grid.geographic else "metre"
    names = ("longitude", "latitude") if grid.geographic else ("projection_x_coordinate", "projection_y_coordinate")
    units = ("degrees_east", "degrees_north") if grid.geographic else (unit, unit)
    for name, values, standard, cf_unit in (("x", xs, names[0], units[0]), ("y", ys, names[1], units[1])):
        long_name = f"{name} of pixel centres"
        _coordinate(
            there,
            name,
            values,
            {"standard_name": standard, "long_name": long_name, "units": cf_unit, "axis": name.upper()},
        )
    time = {
        "standard_name": "time",
        "long_name": "first day of the period",
        "units": "days since 1970-01-01",
        "calendar": "proleptic_gregorian",
        "axis": "T",
    }
    _coordinate(there, "time", _days(list(periods)), time)
    spatial_ref = there.create_array(
        "spatial_ref", shape=(), dtype="int64", dimension_names=(), attributes=json.loads(json.dumps(crs.to_cf()))
    )
    spatial_ref[...] = crs.to_epsg() or 0


def _coordinate(group: zarr.Group, name: str, values: npt.NDArray[Any], attrs: Mapping[str, Any]) -> None:
    chunk = min(len(values), _COORDINATE_CHUNK)
    array = group.create_array(
        name,
        shape=values.shape,
        chunks=(chunk,),
        dtype=values.dtype,
        fill_value=0,
        dimension_names=(name,),
        attributes=dict(attrs),
        config={"write_empty_chunks": True},
    )
    array[:] = values


def _days(periods: list[Period]) -> npt.NDArray[np.int64]:
    starts = np.array([np.datetime64(p.start, "D") for p in periods])
    days: npt.NDArray[np.int64] = (starts - _EPOCH).astype(np.int64)
    return days


def _create_variable(group: zarr.Group, variable: Variable, grid: PixelGrid, times: int) -> None:
    rows, cols = grid.array_geobox().shape
    depth = (len(variable.bands),) if variable.bands else ()
    names = ("time", "y", "x", *(("band",) if variable.bands else ()))
    if variable.bands and "band" not in group:
        labels = group.create_array("band", shape=depth, chunks=depth, dtype=str, dimension_names=("band",))
        labels[:] = np.array(variable.bands)
    group.create_array(
        variable.name,
        shape=(times, rows, cols, *depth),
        shards=(1, grid.block_px, grid.block_px, *depth),
        chunks=(1, grid.chunk_px, grid.chunk_px, *depth),
        dtype=variable.dtype,
        fill_value=variable.fill,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle=BloscShuffle.shuffle),
        dimension_names=names,
        attributes={**variable.attrs, "grid_mapping": "spatial_ref", "coordinates": "spatial_ref"},
    )


def _extend(group: zarr.Group, periods: Periods) -> None:
    days, had = _days(list(periods)), _times(group)
    for _, array in group.arrays():
        if array.metadata.dimension_names and array.metadata.dimension_names[0] == "time":  # type: ignore[union-attr]
            array.resize((len(days), *array.shape[1:]))
    group["time"][had:] = days[had:]  # type: ignore[index]


class ZarrBlockWriter:
    """Writes windows of one group; see ``BlockWriter``.

    Attributes:
        faults: What the store raises when a write fails.
    """

    faults: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, store: Any, group: str) -> None:
        try:
            self._group = zarr.open_group(store, path=group, mode="r+", zarr_format=3)
        except self.faults as e:
            raise StoreError(f"group {group} cannot be opened for writing: {line(e)}") from e

    def check(self, variable: str, time_index: int, rows: slice, cols: slice) -> tuple[zarr.Array[Any], str]:
        """The array of a window, and the window for messages.

        Raises:
            StoreError: The window lies outside the array.
        """
        array = self._group[variable]
        assert isinstance(array, zarr.Array)
        shown = f"{variable}: {rows.start}:{rows.stop}, {cols.start}:{cols.stop} at time {time_index}"
        low = min(rows.start, cols.start, time_index)
        if low < 0 or rows.stop > array.shape[1] or cols.stop > array.shape[2] or time_index >= array.shape[0]:
            raise StoreError(f"{shown} lies outside the array of shape {array.shape}")
        return array, shown

    def write(
        self, variable: str, time_index: int, rows: slice, cols: slice, values: npt.NDArray[Any], where: npt.NDArray[np.bool_] | None = None
    ) -> None:  # fmt: skip
        """Write one window of one period, at once, so that its shard is encoded once; see ``BlockWriter``."""
        array, shown = self.check(variable, time_index, rows, cols)
        try:
            if where is not None:
                kept = np.asarray(array[time_index, rows, cols])
                values = np.where(where if kept.ndim == 2 else where[..., None], values, kept)
            array[time_index, rows, cols] = values
        except self.faults as e:
            raise StoreError(f"{shown} cannot be written: {line(e)}") from e


def line(error: Exception) -> str:
    """The first line of an error's text."""
    lines = str(error).strip().splitlines()
    return lines[0].strip()[:300] if lines else type(error).__name__
