"""Cloud-Optimized GeoTIFFs out of the cube, for GIS programs that do not read Zarr."""

import contextlib
import datetime as dt
import logging
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
import zarr
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geo_assets import __version__
from geo_assets.doors.overviews import write_overviews
from geo_assets.doors.reader import stored_grid
from geo_assets.errors import ConfigError, GeoAssetsError, PartitionError, StoreError
from geo_assets.model.cf import CATEGORICAL
from geo_assets.model.geometry import Block, GeoBox, PixelGrid, Region
from geo_assets.model.period import Month
from geo_assets.model.plugin import Cube
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import LoadedProject
from geo_assets.tasks.pixels import read_window
from geo_assets.tasks.previous import fault_of

_log = logging.getLogger(__name__)
_PRODUCT = "composite"
_CLEAR = "n_clear"
_CACHE_BYTES = 2**28  # rasterio sets the number as it is
_TILE_PX = 512
_COLOURS = {"red": ColorInterp.red, "green": ColorInterp.green, "blue": ColorInterp.blue, "nir": ColorInterp.nir}
_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True)
class _Layer:
    """One band of a file, and where it lies in the cube.

    Attributes:
        name: Its description in the file.
        array: dims (time, y, x) or (time, y, x, band).
        index: Place on the band axis, if there is one.
        fill: Nodata, or None where every value counts.
        scale: Of the stored numbers.
        offset: Value of the stored number 0.
        unit: Of the scaled numbers.
    """

    name: str
    array: Any
    index: int | None
    fill: float | None
    scale: float
    unit: str
    offset: float = 0.0

    @property
    def classes(self) -> bool:
        """Whether it holds classes."""
        return bool(self.array.attrs.get(CATEGORICAL))


def export_cog(
    loaded: LoadedProject,
    out: Path,
    *,
    months: list[str] | None = None,
    regions: list[str] | None = None,
    bands: list[str] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write one Cloud-Optimized GeoTIFF a region and month, and one with its clear days beside it.

    Pixels are those of the cube, cut to the chunks that were made: stored numbers with scale and names of the bands,
    0 = not observed. Overviews are computed as the levels of the pyramid are, from the file's upper left. A file appears under its name ``<project>_<region>_<month>[_n_clear].tif`` when it is whole; one
    that is there is kept unless ``overwrite``.

    Args:
        loaded: The project.
        out: Local folder of the files; made where it is missing.
        months: First months of the periods; all if left out.
        regions: Keys of the regions; all if left out.
        bands: Bands in the order of the file; all of the cube if left out.
        overwrite: Write files anew that are there.

    Returns:
        The files, also those that were there already.

    Raises:
        ConfigError: A month, region or band is unknown, nothing of what is asked for was made, or ``out`` is no folder.
        StoreError: The cube cannot be read, or a file cannot be written.
    """
    chosen = _chosen(loaded, months, regions)
    root = _root(loaded)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ConfigError(f"{out}: no folder can be made there: {e}; choose another") from e
    files = []
    for receipt in chosen:
        files += _export(loaded, root, receipt, out, bands, overwrite=overwrite)
    return files


def _chosen(loaded: LoadedProject, months: list[str] | None, regions: list[str] | None) -> list[PartitionReceipt]:
    """Receipts of the partitions that are asked for and hold something, by region, then month."""
    try:
        wanted_months = None if months is None else {str(Month.parse(m)) for m in months}
        wanted_regions = None if regions is None else {Region.parse(r).key for r in regions}
    except PartitionError as e:
        raise ConfigError(str(e)) from e
    made = [r for r in loaded.storage.receipts(_PRODUCT) if any(b.chunks for b in r.blocks)]
    if not made:
        raise ConfigError(f"no cube in {loaded.storage.root} yet: run the project first")
    for what, wanted, there in (
        ("month", wanted_months, {str(r.month) for r in made}),
        ("region", wanted_regions, {r.region for r in made}),
    ):
        if wanted is not None and (unknown := sorted(wanted - there)):
            listed = ", ".join(sorted(there)[:12]) + (", ..." if len(there) > 12 else "")
            raise ConfigError(f"{what} {', '.join(unknown)} was not made; there is {listed}")
    chosen = [r for r in made if wanted_months is None or r.month in wanted_months]
    chosen = [r for r in chosen if wanted_regions is None or r.region in wanted_regions]
    if not chosen:
        raise ConfigError("no partition lies in both the regions and the months that are asked for")
    return sorted(chosen, key=lambda r: (r.region, str(r.month)))


def _root(loaded: LoadedProject) -> zarr.Group:
    try:
        return zarr.open_group(loaded.cube.zarr_store(), mode="r", zarr_format=3)
    except (FileNotFoundError, zarr.errors.GroupNotFoundError) as e:
        raise StoreError(f"no cube at {loaded.storage.uri('cube')}, but receipts of one: check cube.store") from e


def _export(
    loaded: LoadedProject,
    root: zarr.Group,
    receipt: PartitionReceipt,
    out: Path,
    bands: list[str] | None,
    *,
    overwrite: bool,
) -> list[Path]:
    region = Region.parse(receipt.region)
    group = root[region.group]
    assert isinstance(group, zarr.Group)
    layers = _layers(group, bands, loaded.project.cube.bands)
    grid = stored_grid(group.attrs)
    if fault := fault_of(receipt, grid):
        raise StoreError(f"{receipt.region} {receipt.month}: its receipt is damaged: {fault}; run the partition again")
    box, windows = _made(grid, receipt)
    time = _time_index(group, str(receipt.month))
    clear = _Layer(_CLEAR, group[_CLEAR], None, None, 1.0, "solar days")
    tags = _tags(loaded, receipt)
    files = []
    for chosen, suffix in ((layers, ""), ([clear], f"_{_CLEAR}")):
        file = out / f"{loaded.project.name}_{receipt.region}_{receipt.month}{suffix}.tif"
        files.append(file)
        if file.exists() and not overwrite:
            _warn_if_other(file, tags, chosen)
            continue
        with _whole_file(file) as (raw, part):
            _check_space(out, box, windows, chosen)
            with _named(receipt):
                _write_raw(loaded.cube, raw, chosen, time, grid, box, windows, tags)
            _write_cog(raw, part, chosen)
        _log.info("%s: %d x %d pixels, %d band(s)", file, *box.shape, len(chosen))
    return files


@contextlib.contextmanager
def _named(receipt: PartitionReceipt) -> Iterator[None]:
    try:
        yield
    except StoreError as e:
        again = f"geo-assets run --regions {receipt.region} --months {receipt.month} --overwrite"
        mend = f"restore the storage, or make this partition again with `{again}`"
        raise StoreError(f"{receipt.region} {receipt.month}: {e}; {mend}") from e


def _order(name: str, order: Sequence[str]) -> tuple[int, str]:
    return (order.index(name) if name in order else len(order), name)


def _layers(group: zarr.Group, bands: list[str] | None, order: Sequence[str]) -> list[_Layer]:
    """Bands of the cube in the order that is asked for.

    Raises:
        ConfigError: One is unknown or named twice.
    """
    found: dict[str, _Layer] = {}
    for name, array in sorted(group.arrays(), key=lambda pair: _order(pair[0], order)):
        attrs, dims = dict(array.attrs), getattr(array.metadata, "dimension_names", None) or ()
        if tuple(dims[:3]) != ("time", "y", "x") or name == _CLEAR:
            continue
        scale, unit = float(str(attrs.get("scale_factor", 1.0))), str(attrs.get("units", ""))
        names = [str(n) for n in np.asarray(group["band"][:])] if len(dims) == 4 else [name]  # type: ignore[index]
        for i, band in enumerate(names):
            found[band] = _Layer(
                band,
                array,
                i if len(dims) == 4 else None,
                float(array.fill_value),
                scale,
                unit,
                float(str(attrs.get("add_offset", 0.0))),
            )
    wanted = list(found) if bands is None else bands
    unknown = [b for b in wanted if b not in found]
    if unknown or not wanted or len(set(wanted)) != len(wanted):
        if _CLEAR in unknown:
            raise ConfigError(
                f"{_CLEAR} is no band: it is written to a file of its own beside each; bands are {', '.join(found)}"
            )
        what = f"the cube has no band {', '.join(unknown)}" if unknown else "name each band once, and at least one"
        raise ConfigError(f"{what}; it has {', '.join(found)}")
    return [found[b] for b in wanted]


def _made(grid: PixelGrid, receipt: PartitionReceipt) -> tuple[GeoBox, list[GeoBox]]:
    """The box around all chunks that were made, and the part of it in each block."""
    size = grid.chunk_px
    parts = []
    for block in receipt.blocks:
        if not block.chunks:
            continue
        rows, cols = [c[0] for c in block.chunks], [c[1] for c in block.chunks]
        top, left = min(rows), min(cols)
        whole = grid.block_geobox(Block(block.row, block.col))
        parts.append(whole.window(top * size, left * size, (max(rows) + 1 - top) * size, (max(cols) + 1 - left) * size))
    res = grid.resolution
    left_, top_ = min(p.left for p in parts), max(p.top for p in parts)
    right = max(p.left + p.shape[1] * res for p in parts)
    bottom = min(p.top - p.shape[0] * res for p in parts)
    shape = int((top_ - bottom) / res), int((right - left_) / res)
    return GeoBox(grid.crs, res, left_, top_, shape), sorted(parts, key=lambda p: (-p.top, p.left))


def _time_index(group: zarr.Group, month: str) -> int:
    days = np.asarray(group["time"][:])  # type: ignore[index]
    first = (Month.parse(month).first_day - _EPOCH).days
    found = np.flatnonzero(days == first)
    if not len(found):
        raise StoreError(f"the cube has no {month}, but a receipt of it: run the project again")
    return int(found[0])


def _tags(loaded: LoadedProject, receipt: PartitionReceipt) -> dict[str, str]:
    return {
        "GEO_ASSETS_PROJECT": loaded.project.name,
        "GEO_ASSETS_PRODUCT": receipt.product,
        "GEO_ASSETS_REGION": receipt.region,
        "GEO_ASSETS_MONTH": str(receipt.month),
        "GEO_ASSETS_STATUS": receipt.status,
        "GEO_ASSETS_DATA_VERSION": receipt.data_version,
        "GEO_ASSETS_RECIPE_HASH": receipt.recipe_hash,
        "GEO_ASSETS_SNAPSHOT": receipt.snapshot,
        "GEO_ASSETS_VERSION": __version__,
    }


def _warn_if_other(file: Path, tags: dict[str, str], layers: Sequence[_Layer]) -> None:
    """Say what a file that is kept is not."""
    key, names = "GEO_ASSETS_DATA_VERSION", tuple(layer.name for layer in layers)
    try:
        with rasterio.open(file) as there:
            same, bands = there.tags().get(key) == tags[key], there.descriptions
    except RasterioError:
        same, bands = False, names
    if not same:
        _log.warning("%s is kept, but is not of the cube as it is now: export with overwrite to replace it", file)
    elif bands != names:
        shown = ", ".join(str(b) for b in bands)
        _log.warning("%s is kept, but its bands are %s: export with overwrite, or to another folder", file, shown)


@contextlib.contextmanager
def _whole_file(file: Path) -> Iterator[tuple[Path, Path]]:
    """Two files to work in; the second becomes ``file`` once the block ends well, and neither is left over."""
    mark = uuid.uuid4().hex
    raw, part = file.with_name(f".{mark}.raw.part"), file.with_name(f".{mark}.cog.part")
    try:
        yield raw, part
        with part.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(part, file)
    except GeoAssetsError:
        raise
    except (RasterioError, OSError, ValueError) as e:
        raise StoreError(f"{file}: cannot be written: {e}") from e
    finally:
        for left in file.parent.glob(f".{mark}.*"):
            left.unlink(missing_ok=True)


def _check_space(out: Path, box: GeoBox, windows: list[GeoBox], layers: Sequence[_Layer]) -> None:
    """Refuses to begin where the disk cannot hold the pixels twice, with overviews: GDAL reports a full disk too late."""
    pixels = sum(math.prod(w.shape) for w in windows)
    need = int(2.7 * pixels * sum(np.dtype(layer.array.dtype).itemsize for layer in layers))
    free = shutil.disk_usage(out).free
    if need > free:
        raise StoreError(
            f"{out}: {need / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free: make room or choose another folder"
        )


def _write_raw(
    cube: Cube,
    raw: Path,
    layers: Sequence[_Layer],
    time: int,
    grid: PixelGrid,
    box: GeoBox,
    windows: list[GeoBox],
    tags: dict[str, str],
) -> None:
    """An uncompressed GeoTIFF, block by block: what was not made is never held, neither in memory nor on the disk."""
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": len(layers), "dtype": np.result_type(*(layer.array.dtype for layer in layers)).name,
        "height": box.shape[0], "width": box.shape[1], "crs": box.crs, "transform": box.transform,
        "tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band", "sparse_ok": True, "bigtiff": "IF_SAFER",
    }  # fmt: skip
    if layers[0].fill is not None:  # a file has one nodata, and so have the bands of a sensor
        profile["nodata"] = layers[0].fill
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES), rasterio.open(raw, "w", **profile) as file:
        file.update_tags(**tags, TIFFTAG_SOFTWARE="geo_assets")
        file.scales, file.offsets = [layer.scale for layer in layers], [layer.offset for layer in layers]
        for number, layer in enumerate(layers, 1):
            file.set_band_description(number, layer.name)
            file.set_band_unit(number, layer.unit)
        if layers[0].name != _CLEAR:
            # Before the first pixel is written, or GDAL would keep it beside the file's own header
            file.colorinterp = [_COLOURS.get(layer.name, ColorInterp.undefined) for layer in layers]
        for window in windows:
            rows, cols = grid.array_slices(window)
            row, col = int((box.top - window.top) / box.resolution), int((window.left - box.left) / box.resolution)
            place = Window(col, row, window.shape[1], window.shape[0])
            for values, numbers in _read(cube, layers, time, rows, cols):
                file.write(values, numbers, window=place)


def _read(
    cube: Cube, layers: Sequence[_Layer], time: int, rows: slice, cols: slice
) -> Iterator[tuple[npt.NDArray[Any], list[int]]]:
    """Pixels of a window, dims (band, y, x), with their places in the file; each shard is read once."""
    arrays = {layer.array.name: layer.array for layer in layers}
    for name, array in arrays.items():
        numbers = [i for i, layer in enumerate(layers, 1) if layer.array.name == name]
        values = read_window(cube, array, time, rows, cols)
        if layers[numbers[0] - 1].index is None:
            yield values[None], numbers
        else:
            yield np.stack([values[..., layers[n - 1].index] for n in numbers]), numbers


def _write_cog(raw: Path, part: Path, layers: Sequence[_Layer]) -> None:
    """Copy with overviews: means of what was observed, also for counts, whose 0 is no observation."""
    floats = np.issubdtype(layers[0].array.dtype, np.floating)
    options = {
        "COMPRESS": "DEFLATE", "PREDICTOR": "FLOATING_POINT" if floats else "STANDARD", "BLOCKSIZE": _TILE_PX, "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": 2,
    }  # fmt: skip
    with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES):
        fills = [float(layer.array.fill_value) for layer in layers]
        write_overviews(raw, fills, largest_px=_TILE_PX, classes=[layer.classes for layer in layers])
        rasterio.shutil.copy(raw, part, driver="COG", **options)
