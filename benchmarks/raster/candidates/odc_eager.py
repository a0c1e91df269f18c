"""odc-stac straight into arrays, then bottleneck."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import odc.stac
import pystac
from odc.geo.geobox import GeoBox as OdcGeoBox
from odc.stac import _stac_load

from benchmarks.raster.candidates import _numpy
from benchmarks.raster.chips import Chips
from benchmarks.raster.targets import Target
from geo_assets.model.geometry import GeoBox


def odc_box(box: GeoBox) -> OdcGeoBox:
    return OdcGeoBox(box.shape, box.transform, box.crs)


def stac(items: list[dict[str, Any]]) -> list[pystac.Item]:
    return [pystac.Item.from_dict(item, migrate=False) for item in items]


def run(
    items: list[dict[str, Any]],
    target: Target,
    *,
    threads: int = 2,
    piece_px: int = _stac_load.DEFAULT_CHUNK_FOR_LOAD,
    gdal: dict[str, Any] | None = None,
) -> list[_numpy.Pixels]:
    odc.stac.configure_rio(cloud_defaults=True, **(gdal or {}))
    _stac_load.DEFAULT_CHUNK_FOR_LOAD = piece_px  # no argument: smaller pieces than the window read tiles twice
    parsed = stac(items)
    offset_of = {day: _numpy.offset_of(of[0]) for day, of in _numpy.days_of(items).items()}
    results = []
    with ThreadPoolExecutor(threads) as pool:
        for box in target.boxes:
            loaded = odc.stac.load(
                parsed, bands=["scl", *target.bands], geobox=odc_box(box), groupby="solar_day",
                resampling={"scl": "nearest", "*": "bilinear"}, pool=threads,
            )  # fmt: skip
            offsets = np.array([offset_of[str(t)[:10]] for t in loaded.time.values], np.float32)
            masks = pool.map(lambda c: _numpy.clear_mask(c, target.keep, target.clean), loaded.scl.values)
            clear = np.stack(list(masks))
            results.append(np.stack([_numpy.median(loaded[b].values, clear, offsets, pool) for b in target.bands]))
    return results


def chips(
    items: list[dict[str, Any]], wanted: Chips, *, threads: int = 1, gdal: dict[str, Any] | None = None
) -> list[_numpy.Pixels]:
    """A load a chip, all dates and assets at once; dims (asset, date, y, x)."""
    odc.stac.configure_rio(cloud_defaults=True, **(gdal or {}))
    parsed, found = stac(items), []
    for box in wanted.boxes:
        loaded = odc.stac.load(
            parsed, bands=list(wanted.bands), geobox=odc_box(box), groupby="id", resampling="nearest",
            pool=threads if threads > 1 else None,
        )  # fmt: skip
        found.append(np.stack([loaded[band].values.astype(np.uint16, copy=False) for band in wanted.bands]))
    return found
