"""Arrays of a yearly tile as files: ``.npz``, a Zarr group or a GeoTIFF, the same bytes for the same arrays."""

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
import zarr
from rasterio.io import MemoryFile
from zarr.codecs import BloscCodec
from zarr.storage import MemoryStore

from geo_assets.errors import ConfigError
from geo_assets.formats._memory import objects
from geo_assets.model.geometry import GeoBox

EXTENSIONS = {"npz": ".npz", "zarr": ".zarr", "cog": ".tif"}
_TILE_PX = 512


@dataclass(frozen=True, eq=False)
class TileArray:
    """One array of a tile.

    Attributes:
        values: Dims as ``dims`` names them.
        dims: Such as time, y, x, band.
        box: Pixels of y and x; None where it has none.
        bands: Names along ``band``.
        days: Days of the year along ``time``.
        nodata: Number that means "not observed"; NaN for floats, None where every number counts.
        attrs: What else is kept with it: unit, scale and the like.
    """

    values: npt.NDArray[Any]
    dims: tuple[str, ...]
    box: GeoBox | None = None
    bands: tuple[str, ...] = ()
    days: tuple[int, ...] = ()
    nodata: float | None = None
    attrs: Mapping[str, str | float] = field(default_factory=dict)


def encode(array: TileArray, kind: str) -> dict[str, bytes]:
    """Objects by what follows the array's key without extension; what makes it complete comes last.

    Args:
        array: The array.
        kind: npz, zarr or cog. An array without pixels, such as dates, is an npz file where a GeoTIFF is asked for.

    Raises:
        ConfigError: Unknown kind.
    """
    if kind not in EXTENSIONS:
        raise ConfigError(f"ard.format {kind!r} is none of tiles: one of {', '.join(EXTENSIONS)}")
    if kind == "zarr":
        return _zarr(array)
    if kind == "cog" and _has_pixels(array):
        return {EXTENSIONS["cog"]: _geotiff(array)}
    return {EXTENSIONS["npz"]: _npz(array)}


def extension(array: TileArray, kind: str) -> str:
    """Of an array's main object."""
    return EXTENSIONS["npz" if kind == "cog" and not _has_pixels(array) else kind]


def _has_pixels(array: TileArray) -> bool:
    """Whether a GeoTIFF can hold it: a file without bands cannot be."""
    return array.box is not None and array.values.size > 0


def _npz(array: TileArray) -> bytes:
    """``data`` with its place beside it; numpy gives all members of the archive one date."""
    box = array.box
    beside: dict[str, Any] = {"dims": np.array(array.dims)}
    if box is not None:
        beside |= {"crs": np.array(box.crs), "transform": np.array(list(box.transform)[:6])}
    if array.bands:
        beside["bands"] = np.array(array.bands)
    if array.days:
        beside["days_of_year"] = np.array(array.days, np.int64)
    if array.nodata is not None:
        beside["nodata"] = np.array(array.nodata)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, data=array.values, **beside)
    return buffer.getvalue()


def _geotiff(array: TileArray) -> bytes:
    """Steps and bands as bands of one file, each described by its day of the year and name."""
    box = array.box
    assert box is not None
    layers, names = _layers(array)
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": len(layers), "dtype": array.values.dtype, "height": box.shape[0], "width": box.shape[1], "crs": box.crs,
        "transform": box.transform, "nodata": array.nodata, "interleave": "band",
    }  # fmt: skip
    floats = array.values.dtype.kind == "f"
    with MemoryFile() as made, MemoryFile() as plain:
        with plain.open(**profile) as file:
            file.update_tags(**{k: str(v) for k, v in array.attrs.items()})
            for number, (layer, name) in enumerate(zip(layers, names, strict=True), 1):
                file.write(np.ascontiguousarray(layer), number)
                file.set_band_description(number, name)
        options = {
            "COMPRESS": "DEFLATE",
            "PREDICTOR": "FLOATING_POINT" if floats else "STANDARD",
            "BLOCKSIZE": _TILE_PX,
        }
        with plain.open() as source:
            rasterio.shutil.copy(source, made.name, driver="COG", OVERVIEWS="NONE", **options)
        return bytes(made.read())


def _layers(array: TileArray) -> tuple[list[npt.NDArray[Any]], list[str]]:
    values = array.values
    if "band" not in array.dims:
        values = values[..., None]
    if "time" not in array.dims:
        values = values[None]
    bands, days = array.bands or ("",), array.days or (0,) * len(values)
    layers = [values[t, ..., b] for t in range(len(values)) for b in range(values.shape[-1])]
    names = [" ".join(filter(None, (f"day {day}" if array.days else "", band))) for day in days for band in bands]
    return layers, [name or "data" for name in names]


def _zarr(array: TileArray) -> dict[str, bytes]:
    store = MemoryStore()
    group = zarr.create_group(store, zarr_format=3, attributes=json.loads(json.dumps(dict(array.attrs))))
    fill = array.nodata if array.nodata is not None else 0
    _array(
        group,
        "data",
        array.values,
        array.dims,
        fill,
        {} if array.nodata is None or math.isnan(fill) else {"_FillValue": fill},
    )
    if array.box is not None:
        xs, ys = array.box.centers()
        _array(group, "x", xs, ("x",), 0, {"axis": "X"})
        _array(group, "y", ys, ("y",), 0, {"axis": "Y"})
        group.attrs["crs"] = array.box.crs
    if array.days:
        _array(group, "day_of_year", np.array(array.days, np.int64), ("time",), 0, {})
    if array.bands:
        group.attrs["bands"] = list(array.bands)
    return objects(store, EXTENSIONS["zarr"])


def _array(
    group: zarr.Group, name: str, values: npt.NDArray[Any], dims: Sequence[str], fill: float, attrs: dict[str, Any]
) -> None:
    chunks = tuple(
        1 if dim == "time" and len(dims) > 1 else max(1, n) for dim, n in zip(dims, values.shape, strict=True)
    )
    made = group.create_array(
        name, shape=values.shape, chunks=chunks, dtype=values.dtype, fill_value=fill, dimension_names=tuple(dims), attributes=attrs,
        compressors=BloscCodec(cname="zstd", clevel=1),
    )  # fmt: skip
    made[...] = values
