"""The earlier serverless cube's method: odc-stac in chunks of 600, a cleaned SCL mask, xarray's median on dask.

As it was but for three repairs, without which its pixels could not be compared: classes by nearest instead of bilinear,
the DN offset, and rounding. Its mask clean-up, ``odc.algo.mask_cleanup`` with scikit-image's binary closing and opening,
is done by the functions of scipy that scikit-image calls, chunk by chunk with the overlap that it had: the largest radius.
"""

from typing import Any

import dask
import numpy as np
import numpy.typing as npt
import odc.stac
from scipy import ndimage

from benchmarks.raster.candidates import _numpy
from benchmarks.raster.candidates.odc_eager import odc_box, stac
from benchmarks.raster.candidates.odc_lazy import composite
from benchmarks.raster.targets import Target


def _cleaned(bad: npt.NDArray[np.bool_], *, radius: int) -> npt.NDArray[np.bool_]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x * x + y * y <= radius * radius)[None]
    bad = ndimage.binary_erosion(ndimage.binary_dilation(bad, disk), disk, border_value=1)
    return ndimage.binary_dilation(ndimage.binary_erosion(bad, disk, border_value=1), disk)


def run(
    items: list[dict[str, Any]],
    target: Target,
    *,
    chunk_px: int = 600,
    threads: int = 4,
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
            bad = ~loaded.scl.isin(target.keep)
            depth = (0, target.clean, target.clean)
            bad.data = bad.data.map_overlap(_cleaned, depth, boundary="none", radius=target.clean)
            results.append(composite(loaded, ~bad & (loaded.scl > 0), offsets, target))
    return results
