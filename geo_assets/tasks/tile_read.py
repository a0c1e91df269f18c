"""Stored arrays of yearly tiles, read back from what ``tasks.tile_files`` wrote, whatever its format."""

import io
import re
import zipfile
import zlib
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from geo_assets.errors import StoreError
from geo_assets.model.geometry import GeoBox
from geo_assets.storage import Storage
from geo_assets.tasks.tile_files import EXTENSIONS, TileArray

MOST_BYTES = 2 * 2**30  # of one array, unpacked
_LAYER = re.compile(r"(?:day (?P<day>\d+))? ?(?P<band>.*)")


def read_array(storage: Storage, name: str) -> TileArray:
    """One array of a tile.

    Args:
        storage: Has it.
        name: Of its object, or of its folder where it is a Zarr group, below the storage root.

    Raises:
        StoreError: It is lost, damaged or larger than any tile.
    """
    try:
        if name.endswith(EXTENSIONS["zarr"]):
            return _from_zarr(storage, name)
        content = _content(storage, name)
        return _from_geotiff(content) if name.endswith(EXTENSIONS["cog"]) else _from_npz(content)
    except (
        OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error, RasterioError,
    ) as e:  # fmt: skip
        line = " ".join(str(e).split())[:200] or type(e).__name__
        raise StoreError(f"{storage.uri(name)}: no array of a yearly tile: {line}; make the tile again") from e


def _content(storage: Storage, name: str) -> bytes:
    content = storage.read(name)
    if content is None:
        raise StoreError(f"{storage.uri(name)}: is lost; make the tile again")
    return content


def _checked(size: int) -> None:
    if size > MOST_BYTES:
        raise ValueError(f"{size} bytes are more than the {MOST_BYTES} of any tile")


def _box(crs: Any, affine: npt.NDArray[np.float64], rows: int, cols: int) -> GeoBox:
    a, b, c, d, e, f = (float(v) for v in affine)
    if b or d or a <= 0 or e != -a:
        raise ValueError("its pixels are not square and north-up")
    exact = [Fraction(v).limit_denominator(1_000_000) for v in (a, c, f)]
    return GeoBox(str(crs), exact[0], exact[1], exact[2], (rows, cols))


def _placed(dims: tuple[str, ...], values: npt.NDArray[Any], crs: Any, affine: npt.NDArray[np.float64]) -> GeoBox:
    return _box(crs, affine, values.shape[dims.index("y")], values.shape[dims.index("x")])


def _from_npz(content: bytes) -> TileArray:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        _checked(sum(member.file_size for member in archive.infolist()))
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        values, dims = file["data"], tuple(str(d) for d in file["dims"])
        box = _placed(dims, values, file["crs"].item(), file["transform"]) if "crs" in file else None
        bands = tuple(str(b) for b in file["bands"]) if "bands" in file else ()
        days = tuple(int(d) for d in file["days_of_year"]) if "days_of_year" in file else ()
        nodata = float(file["nodata"]) if "nodata" in file else None
    return TileArray(values, dims, box, bands, days, nodata)


def _from_geotiff(content: bytes) -> TileArray:
    with MemoryFile(content) as memory, memory.open(driver="GTiff") as file:
        _checked(file.count * file.height * file.width * np.dtype(file.dtypes[0]).itemsize)
        found = [_LAYER.fullmatch(text or "") for text in file.descriptions]
        days = [int(m["day"]) for m in found if m and m["day"]]
        bands = tuple(dict.fromkeys(m["band"] for m in found if m and m["band"] and m["day"]))
        each = max(1, len(bands))
        if (days and len(days) != file.count) or file.count % each:
            raise ValueError("its layers do not say which step and band they are")
        values = file.read()
        box = _box(f"EPSG:{file.crs.to_epsg()}", np.array(list(file.transform)[:6]), file.height, file.width)
        nodata = file.nodata
    if not days:
        return TileArray(values[0], ("y", "x"), box, (), (), nodata)
    if not bands:
        return TileArray(values, ("time", "y", "x"), box, (), tuple(days), nodata)
    stacked = values.reshape(-1, each, *box.shape).transpose(0, 2, 3, 1)
    return TileArray(stacked, ("time", "y", "x", "band"), box, bands, tuple(days[::each]), nodata)


def _from_zarr(storage: Storage, name: str) -> TileArray:
    # Small objects, through the storage that has the credentials, and not by an address of their own
    store = MemoryStore()
    for member in storage.names(name):
        buffer = default_buffer_prototype().buffer.from_bytes(_content(storage, member))
        sync(store.set(member.removeprefix(f"{name}/"), buffer))
    group = zarr.open_group(store, mode="r", zarr_format=3)
    data = group["data"]
    if not isinstance(data, zarr.Array) or data.metadata.zarr_format != 3:
        raise ValueError("data is no array")
    _checked(int(data.nbytes))
    values: npt.NDArray[Any] = np.asarray(data[...])
    dims = tuple(str(d) for d in data.metadata.dimension_names or ())
    box = None
    if "crs" in group.attrs:
        xs, ys = (np.asarray(group[axis][...], np.float64) for axis in ("x", "y"))  # type: ignore[index]
        side = (xs[-1] - xs[0]) / (len(xs) - 1)
        box = _placed(
            dims, values, group.attrs["crs"], np.array([side, 0, xs[0] - side / 2, 0, -side, ys[0] + side / 2])
        )
    bands: Any = group.attrs.get("bands", [])
    days = tuple(int(d) for d in np.asarray(group["day_of_year"][...])) if "day_of_year" in group else ()  # type: ignore[index]
    return TileArray(values, dims, box, tuple(str(b) for b in bands), days, float(data.fill_value))
