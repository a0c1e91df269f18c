"""rasterio with datasets kept open and threads, then bottleneck: windows where the grids are aligned, else WarpedVRT."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from benchmarks.raster.candidates import _numpy
from benchmarks.raster.chips import Chips
from benchmarks.raster.targets import Target
from geo_assets.model.geometry import GeoBox

CLOUD = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".tif",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
}


class Files:
    """Datasets kept open for the whole target, each used by one thread at a time."""

    def __init__(self, *, overviews: bool, tolerance: float, windows: bool) -> None:
        self._overviews, self._tolerance, self._windows = overviews, tolerance, windows
        self._open: dict[tuple[str, int], Any] = {}

    def close(self) -> None:
        for dataset in self._open.values():
            dataset.close()

    def _dataset(self, href: str, level: int = -1) -> Any:
        if (href, level) not in self._open:
            more = {"overview_level": level} if level >= 0 else {}
            self._open[href, level] = rasterio.open(href, sharing=False, **more)
        return self._open[href, level]

    def read(self, asset: dict[str, Any], box: GeoBox, *, nearest: bool) -> npt.NDArray[Any]:
        """An asset on a window, 0 where it does not reach."""
        dataset = self._dataset(asset["href"])
        if self._windows and (aligned := _window(dataset, box)) is not None:
            return _paste(dataset, aligned, box)
        resampling = Resampling.nearest if nearest else Resampling.bilinear
        if self._overviews and not nearest:
            dataset = self._level(dataset, asset["href"], box)
        with WarpedVRT(
            dataset, crs=box.crs, transform=box.transform, height=box.shape[0], width=box.shape[1], resampling=resampling,
            src_nodata=0, nodata=0, **({"tolerance": self._tolerance} if self._tolerance else {}),
        ) as warped:  # fmt: skip
            pixels: npt.NDArray[Any] = warped.read(1)
        return pixels

    def _level(self, dataset: Any, href: str, box: GeoBox) -> Any:
        """The coarsest level that is not coarser than the window."""
        left, bottom, right, top = transform_bounds(box.crs, dataset.crs, *box.bounds)
        step = dataset.transform.a
        shrink = min((top - bottom) / step / box.shape[0], (right - left) / step / box.shape[1])
        fine = [i for i, factor in enumerate(dataset.overviews(1)) if factor <= shrink]
        return self._dataset(href, fine[-1]) if fine else dataset


def _window(dataset: Any, box: GeoBox) -> tuple[float, float, float] | None:
    """Column, row and source pixels a target pixel, where the grids are aligned or nested."""
    if dataset.crs.to_string() != box.crs:
        return None
    step = dataset.transform.a / float(box.resolution)
    place = dataset.transform
    col, row = (box.bounds[0] - place.c) / place.a, (box.bounds[3] - place.f) / place.e
    whole = all(math.isclose(v, round(v), abs_tol=1e-6) for v in (col * step, row * step, step))
    return (col, row, 1 / step) if whole and step >= 1 else None


def _paste(dataset: Any, place: tuple[float, float, float], box: GeoBox) -> npt.NDArray[Any]:
    """Pixels of a window that may reach beyond the file, by nearest where the file is coarser."""
    col, row, scale = place
    out = np.zeros(box.shape, dataset.dtypes[0])
    r0, c0 = max(0, round(-row / scale)), max(0, round(-col / scale))
    r1 = min(box.shape[0], round((dataset.height - row) / scale))
    c1 = min(box.shape[1], round((dataset.width - col) / scale))
    if r0 >= r1 or c0 >= c1:
        return out
    if scale == 1:
        window = Window(col + c0, row + r0, c1 - c0, r1 - r0)
        out[r0:r1, c0:c1] = dataset.read(1, window=window)
        return out
    rows, cols = (
        np.floor((np.arange(a, b) + 0.5) * scale + at).astype(int) for a, b, at in ((r0, r1, row), (c0, c1, col))
    )
    window = Window(cols[0], rows[0], cols[-1] + 1 - cols[0], rows[-1] + 1 - rows[0])
    out[r0:r1, c0:c1] = dataset.read(1, window=window)[rows - rows[0]][:, cols - cols[0]]
    return out


@contextmanager
def opened(*, threads: int, gdal: dict[str, Any], **options: Any) -> Iterator[tuple[Files, ThreadPoolExecutor]]:
    """Files and the threads that read them."""
    files = Files(**options)

    with rasterio.Env(**{**CLOUD, **gdal}), ThreadPoolExecutor(threads) as pool:
        try:
            yield files, pool
        finally:
            files.close()


def run(
    items: list[dict[str, Any]],
    target: Target,
    *,
    threads: int = 8,
    overviews: bool = True,
    tolerance: float = 0.0,
    windows: bool = True,
    gdal: dict[str, Any] | None = None,
) -> list[_numpy.Pixels]:
    days = list(_numpy.days_of(items).values())
    offsets = np.array([_numpy.offset_of(day[0]) for day in days], np.float32)
    results = []
    with opened(threads=threads, gdal=gdal or {}, overviews=overviews, tolerance=tolerance, windows=windows) as (
        files,
        pool,
    ):
        for box in target.boxes:

            def mosaic(day: list[dict[str, Any]], band: str, box: GeoBox = box) -> npt.NDArray[Any]:
                out = files.read(day[0]["assets"][band], box, nearest=band == "scl")
                for item in day[1:]:
                    more = files.read(item["assets"][band], box, nearest=band == "scl")
                    np.copyto(out, more, where=out == 0)
                return out

            def clear(day: list[dict[str, Any]], mosaic: Any = mosaic) -> _numpy.Mask:
                return _numpy.clear_mask(mosaic(day, "scl"), target.keep, target.clean)

            masks = np.stack(list(pool.map(clear, days)))
            bands = []
            for band in target.bands:
                stack = np.stack(list(pool.map(lambda day, b=band, m=mosaic: m(day, b), days)))
                bands.append(_numpy.median(stack, masks, offsets, pool))
            results.append(np.stack(bands))
    return results


def chips(
    items: list[dict[str, Any]],
    wanted: Chips,
    *,
    keep_open: bool = True,
    threads: int = 4,
    gdal: dict[str, Any] | None = None,
) -> list[_numpy.Pixels]:
    """Windows of datasets that stay open, or that are opened for each chip; dims (asset, date, y, x)."""
    assets = [(band, date) for band in range(len(wanted.bands)) for date in range(len(items))]
    found = [np.zeros((len(wanted.bands), len(items), *box.shape), np.uint16) for box in wanted.boxes]
    options = {"overviews": False, "tolerance": 0.0, "windows": True}

    def of_asset(place: tuple[int, int]) -> None:
        band, date = place
        asset, name = items[date]["assets"][wanted.bands[band]], wanted.bands[band]
        files = Files(**options)
        for out, box in zip(found, wanted.boxes, strict=True):
            out[band, date] = files.read(asset, box, nearest=name == "scl")
            if not keep_open:
                files.close()
                files = Files(**options)
        files.close()

    with opened(threads=threads, gdal=gdal or {}, **options) as (_, pool):
        list(pool.map(of_asset, assets))
    return found
