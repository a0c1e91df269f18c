"""stackstac in chunks, and xarray's median on dask.

stackstac reads full resolution whatever the target's; with ``overviews`` it is given a reader of its own protocol that
opens the level that the others read.
"""

from typing import Any

import dask
import numpy as np
import rasterio
import stackstac
import xarray as xr
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from stackstac.rio_reader import (
    DEFAULT_GDAL_ENV,
    AutoParallelRioReader,
    SelfCleaningDatasetReader,
    ThreadLocalRioDataset,
)

from benchmarks.raster.candidates import _numpy
from benchmarks.raster.candidates.odc_eager import stac
from benchmarks.raster.chips import Chips
from benchmarks.raster.targets import Target
from geo_assets.model.geometry import GeoBox


class _OfLevel(AutoParallelRioReader):
    """stackstac's reader on the first overview."""

    def _open(self) -> ThreadLocalRioDataset:
        with self.gdal_env.open:
            dataset = SelfCleaningDatasetReader(self.url, sharing=False, overview_level=0)
            with self.gdal_env.open_vrt:
                warped = WarpedVRT(dataset, sharing=False, resampling=self.resampling, **self.spec.vrt_params)
        return ThreadLocalRioDataset(self.gdal_env, dataset, vrt=warped)


def stack(
    items: list[Any], box: GeoBox, bands: list[str], *, chunk_px: int, gdal: dict[str, Any], **options: Any
) -> xr.DataArray:
    """A lazy stack on a window's pixels."""
    return stackstac.stack(
        items, assets=bands, epsg=int(box.crs.split(":")[1]), resolution=float(box.resolution), bounds=box.bounds,
        snap_bounds=False, rescale=False, chunksize=chunk_px, xy_coords=False, properties=False, band_coords=False,
        gdal_env=DEFAULT_GDAL_ENV.updated(always=gdal), **options,
    )  # fmt: skip


def run(
    items: list[dict[str, Any]],
    target: Target,
    *,
    chunk_px: int = 1200,
    threads: int = 2,
    overviews: bool = True,
    gdal: dict[str, Any] | None = None,
) -> list[_numpy.Pixels]:
    days = list(_numpy.days_of(items).values())
    parsed = stac([item for day in days for item in day])
    coarse = overviews and target.crs == "EPSG:4326"
    results = []
    with dask.config.set(scheduler="threads", num_workers=threads), rasterio.Env():
        for box in target.boxes:
            more = {"chunk_px": chunk_px, "gdal": gdal or {}}
            classes = stack(
                parsed,
                box,
                ["scl"],
                resampling=Resampling.nearest,
                dtype=np.dtype("uint8"),
                fill_value=np.uint8(0),
                **more,
            )
            pixels = stack(
                parsed, box, list(target.bands), resampling=Resampling.bilinear, dtype=np.dtype("float32"),
                fill_value=np.float32("nan"), **({"reader": _OfLevel} if coarse else {}), **more,
            )  # fmt: skip
            clear = classes.isel(band=0, drop=True).isin(target.keep)
            results.append(_median(pixels.where(clear), days))
    return results


def _median(seen: xr.DataArray, days: list[list[dict[str, Any]]]) -> _numpy.Pixels:
    layers, at = [], 0
    for day in days:
        layer = seen.isel(time=slice(at, at + len(day)))
        layer = stackstac.mosaic(layer) if len(day) > 1 else layer.isel(time=0, drop=True)
        layers.append((layer + np.float32(_numpy.offset_of(day[0]))).clip(min=1))
        at += len(day)
    middle = xr.concat(layers, "time", coords="minimal", compat="override").median("time")
    return middle.round().fillna(0).astype("uint16").compute().values


def chips(
    items: list[dict[str, Any]], wanted: Chips, *, threads: int = 1, gdal: dict[str, Any] | None = None
) -> list[_numpy.Pixels]:
    """A stack a chip, all dates and assets at once; dims (asset, date, y, x)."""
    parsed, found = stac(items), []
    scheduler = {"scheduler": "threads", "num_workers": threads} if threads > 1 else {"scheduler": "synchronous"}
    with dask.config.set(**scheduler):
        for box in wanted.boxes:
            pixels = stack(
                parsed, box, list(wanted.bands), chunk_px=-1, gdal=gdal or {}, resampling=Resampling.nearest,
                dtype=np.dtype("uint16"), fill_value=np.uint16(0),
            )  # fmt: skip
            found.append(np.moveaxis(pixels.data.compute(), 0, 1))
    return found
