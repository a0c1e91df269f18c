"""GDAL through rasterio: exact nearest by our own index, everything else by GDAL's warper at tolerance 1e-4."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geo_assets.eo.align import nearest_index, source_window
from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access
from geo_assets.model.plugin import Layer, Usage
from geo_assets.model.scene import Said
from geo_assets.readers._datasets import Raster, Rasters
from geo_assets.readers._window import WindowSweep, windows

_TOLERANCE_PX = 1e-4
_GATHER_PX = 2**26  # most source pixels in memory at once


class GdalSession:
    """Files of one task, opened once each."""

    def __init__(self, access: Access, sign: Callable[[str], str]) -> None:
        self.usage = Usage()
        self.threads = 1  # GDAL's handles belong to the thread that made them
        self._rasters = Rasters(access, sign, self.usage)

    def __enter__(self) -> "GdalSession":
        return self

    def __exit__(self, *exc: object) -> None:
        self._rasters.close()

    def sweep(self, layers: Sequence[Layer], strip_rows: int, *, spare_bytes: int = 0) -> list[WindowSweep]:
        """Layers to be read side by side; nothing is fetched ahead. See ``ReadSession``."""
        return [WindowSweep(layer, self.read) for layer in layers]

    def windows(self, layers: Sequence[Layer]) -> Iterator[npt.NDArray[Any] | None]:
        """Each layer as a whole, one after the other. See ``ReadSession``."""
        return windows(layers, self.read)

    def read(
        self, href: str, band: Band, box: GeoBox, *, resampling: str, said: Said | None = None
    ) -> npt.NDArray[Any] | None:
        """One band of an asset on a target window; see ``ReadSession``."""
        with self._rasters.use(href, band, said) as raster:
            return _on_grid(raster, band, box, band.kernel(resampling))


def _on_grid(raster: Raster, band: Band, box: GeoBox, resampling: str) -> npt.NDArray[Any] | None:
    dataset = raster.dataset
    window = source_window(box, raster.crs, dataset.transform)
    if not raster.reaches(window, box):
        return None
    if resampling == "nearest" or _aligned(raster.crs, dataset.transform, box):
        return _gather(raster, band, box)
    level, kernel = raster.level(window, box, overviews=resampling != "mode")
    with WarpedVRT(
        level, crs=box.crs, transform=box.transform, width=box.shape[1], height=box.shape[0],
        resampling=Resampling[resampling], src_nodata=raster.nodata(band), nodata=band.nodata,
        tolerance=_TOLERANCE_PX, **kernel,
    ) as warped:  # fmt: skip
        pixels: npt.NDArray[Any] = warped.read(1)
    return pixels


def _gather(raster: Raster, band: Band, box: GeoBox) -> npt.NDArray[Any] | None:
    """The source pixel under each target pixel's centre; None where all centres lie outside."""
    dataset = raster.dataset
    row, col = nearest_index(box, raster.crs, dataset.transform)
    in_row, in_col = (row >= 0) & (row < dataset.height), (col >= 0) & (col < dataset.width)
    if not in_row.any() or not in_col.any() or not (in_row & in_col).any():
        return None
    fill = np.asarray(0 if band.nodata is None else band.nodata, band.dtype)
    result = np.full(box.shape, fill)
    if row.shape[1] == col.shape[0] == 1:  # target and source run along each other: a rectangle lies inside
        rows, cols = _span(in_row), _span(in_col)
        result[rows, cols] = _pick(dataset, row[rows], col[:, cols])
    else:
        inside = in_row & in_col
        result[inside] = _pick(dataset, row[inside], col[inside])
    stored = raster.nodata(band)
    if stored is not None and stored != band.nodata:
        result[np.isnan(result) if math.isnan(stored) else result == stored] = fill
    return result


def _span(inside: npt.NDArray[np.bool_]) -> slice:
    at = np.flatnonzero(inside)
    return slice(int(at[0]), int(at[-1]) + 1)


def _pick(dataset: Any, row: npt.NDArray[np.int64], col: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Pixels at rows and columns, lists of the same length or (n, 1) and (1, m); in halves if they lie far apart."""
    row0, row1, col0, col1 = int(row.min()), int(row.max()) + 1, int(col.min()), int(col.max()) + 1
    if (row1 - row0) * (col1 - col0) > _GATHER_PX and row.size * col.size > 1:
        if row.ndim == 1:
            halves = zip(np.array_split(row, 2), np.array_split(col, 2), strict=True)
            return np.concatenate([_pick(dataset, r, c) for r, c in halves])
        if row.size >= col.size:
            return np.concatenate([_pick(dataset, r, col) for r in np.array_split(row, 2)])
        return np.concatenate([_pick(dataset, row, c) for c in np.array_split(col, 2, axis=1)], axis=1)
    pixels: npt.NDArray[Any] = dataset.read(1, window=Window(col0, row0, col1 - col0, row1 - row0))
    if row.ndim == 2 and pixels.shape == (row.size, col.size) and row[0] <= row[-1] and col[0, 0] <= col[0, -1]:
        return pixels
    return pixels[row - row0, col - col0]


def _aligned(crs: str, transform: Affine, box: GeoBox) -> bool:
    """Whether target pixels are source pixels, so that every kernel is the identity."""
    res = float(box.resolution)
    if crs != box.crs or transform.b or transform.d or transform.a != res or transform.e != -res:
        return False
    dx, dy = (box.bounds[0] - transform.c) / res, (box.bounds[3] - transform.f) / res
    return dx == round(dx) and dy == round(dy)


class _Gdal:
    def session(self, access: Access, sign: Callable[[str], str]) -> GdalSession:
        """A session for one task."""
        return GdalSession(access, sign)


PLUGIN = _Gdal()
