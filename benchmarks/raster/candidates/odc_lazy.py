"""odc-stac in chunks, and xarray's median on dask."""

from typing import Any

import dask
import numpy as np
import odc.stac
import xarray as xr

from benchmarks.raster.candidates import _numpy
from benchmarks.raster.candidates.odc_eager import odc_box, stac
from benchmarks.raster.targets import Target


def run(
    items: list[dict[str, Any]],
    target: Target,
    *,
    chunk_px: int = 1200,
    threads: int = 2,
    gdal: dict[str, Any] | None = None,
) -> list[_numpy.Pixels]:
    odc.stac.configure_rio(cloud_defaults=True, **(gdal or {}))
    parsed = stac(items)
    offsets = {day: float(_numpy.offset_of(of[0])) for day, of in _numpy.days_of(items).items()}
    results = []
    with dask.config.set(scheduler="threads", num_workers=threads):
        for box in target.boxes:
            loaded = odc.stac.load(
                parsed, bands=["scl", *target.bands], geobox=odc_box(box), groupby="solar_day",
                resampling={"scl": "nearest", "*": "bilinear"}, chunks={"time": 1, "x": chunk_px, "y": chunk_px},
            )  # fmt: skip
            results.append(composite(loaded, loaded.scl.isin(target.keep), offsets, target))
    return results


def composite(loaded: xr.Dataset, clear: xr.DataArray, offsets: dict[str, float], target: Target) -> _numpy.Pixels:
    """xarray's median of what is clear, dims (band, y, x)."""
    days = [str(t)[:10] for t in loaded.time.values]
    offset = xr.DataArray(np.array([offsets[d] for d in days], np.float32), dims="time")
    medians = []
    for band in target.bands:
        pixels = loaded[band]
        seen = (pixels.where(clear & (pixels > 0)) + offset).clip(min=1)
        medians.append(seen.median("time").round().fillna(0).astype("uint16"))
    return np.stack(dask.compute(*(m.data for m in medians)))
