"""GDAL through rasterio: exact nearest by our own index, everything else by GDAL's warper at tolerance 1e-4."""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geo_assets.eo.align import nearest_index, source_window
from geo_assets.errors import ConfigError, SourceError
from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox, canonical_crs
from geo_assets.model.href import Access, without_query
from geo_assets.model.plugin import Usage
from geo_assets.readers._files import Meter, open_source

_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO", "GDAL_CACHEMAX": 256, "GTIFF_IGNORE_READ_ERRORS": "NO"}
_DRIVERS = {b"II*\0": "GTiff", b"MM\0*": "GTiff", b"II+\0": "GTiff", b"MM\0+": "GTiff", b"\0\0\0\x0c": "JP2OpenJPEG"}
_MAX_PIXELS = 200_000**2
_MARGIN_PX = 2  # source pixels that bilinear and cubic kernels reach beyond the window at full resolution
_TOLERANCE_PX = 1e-4


class _Open:
    """One asset: its dataset, and its overviews opened when they are needed."""

    def __init__(self, open_level: Callable[[int | None], Any], href: str, band: Band) -> None:
        self._open_level = open_level
        self._levels: dict[int | None, Any] = {}
        self.dataset = open_level(None)
        _check(self.dataset, href, band)
        self.crs = canonical_crs(self.dataset.crs.to_wkt())
        self.lock = threading.Lock()  # GDAL handles are not to be shared between threads

    def nodata(self, band: Band) -> float | None:
        """The file's own nodata, else the band's."""
        return band.nodata if self.dataset.nodata is None else float(self.dataset.nodata)

    def shrink(self, window: tuple[float, float, float, float], box: GeoBox) -> float:
        """Source pixels a target pixel, along the finer axis."""
        return min((window[2] - window[0]) / box.shape[1], (window[3] - window[1]) / box.shape[0])

    def level(self, window: tuple[float, float, float, float], box: GeoBox) -> Any:
        """The coarsest overview that is not coarser than the target, as gdalwarp chooses it."""
        shrink = self.shrink(window, box) * 1.0001
        fitting = [i for i, factor in enumerate(self.dataset.overviews(1)) if factor <= shrink]
        if not fitting:
            return self.dataset
        if fitting[-1] not in self._levels:
            self._levels[fitting[-1]] = self._open_level(fitting[-1])
        return self._levels[fitting[-1]]


class GdalSession:
    """Files of one task, opened once each."""

    def __init__(self, access: Access, sign: Callable[[str], str]) -> None:
        self.usage = Usage()
        self._access, self._sign, self._meter = access, sign, Meter(self.usage)
        self._stack = contextlib.ExitStack()
        self._open: dict[str, _Open] = {}
        self._failed: dict[str, SourceError] = {}

    def __enter__(self) -> "GdalSession":
        self._stack.enter_context(rasterio.Env(**_OPTIONS))
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def read(self, href: str, band: Band, box: GeoBox, *, resampling: str) -> npt.NDArray[Any] | None:
        """One band of an asset on a target window; see ``ReadSession``."""
        source = self._dataset(href, band)
        with source.lock, _as_source_error(href):
            return _on_grid(source, band, box, "nearest" if band.categorical else resampling)

    def _dataset(self, href: str, band: Band) -> _Open:
        if href in self._failed:
            raise self._failed[href]
        if href not in self._open:
            try:
                with _as_source_error(href):
                    self._open[href] = self._opened(href, band)
            except SourceError as e:
                self._failed[href] = e
                raise
        return self._open[href]

    def _opened(self, href: str, band: Band) -> _Open:
        source = open_source(href, self._access, self._sign, self._meter)
        with source.file() as probe:
            magic = probe.read(4)
        driver = _DRIVERS.get(magic)
        if driver is None:
            raise SourceError(f"{without_query(href)}: neither a GeoTIFF nor a JPEG 2000 file (it begins with {magic!r})")
        alias = f"asset-{len(self._open)}"  # GDAL sees no address: none can leak into its messages or be opened by it

        def opener(path: str, *_: Any, **__: Any) -> Any:
            if path.rsplit("/", 1)[-1] != alias:
                raise FileNotFoundError(path)
            return source.file()

        def open_level(level: int | None) -> Any:
            more = {} if level is None else {"overview_level": level}
            return self._stack.enter_context(rasterio.open(alias, driver=driver, opener=opener, **more))

        return _Open(open_level, href, band)


@contextlib.contextmanager
def _as_source_error(href: str) -> Iterator[None]:
    try:
        yield
    except (RasterioError, CRSError, ConfigError, ValueError, OSError) as e:
        text = str(e.__cause__ or e).splitlines()[0] if str(e.__cause__ or e) else type(e).__name__
        raise SourceError(f"{without_query(href)}: cannot be read: {text[:200]}") from e


def _check(dataset: Any, href: str, band: Band) -> None:
    shown = without_query(href)
    if dataset.crs is None:
        raise SourceError(f"{shown}: the file has no CRS")
    if dataset.width * dataset.height > _MAX_PIXELS:
        raise SourceError(f"{shown}: {dataset.width} x {dataset.height} pixels is more than any known scene has")
    if dataset.dtypes[0] != band.dtype:
        raise SourceError(f"{shown}: pixels are {dataset.dtypes[0]}, band {band.name} has {band.dtype}; is it scaled already?")


def _on_grid(source: _Open, band: Band, box: GeoBox, resampling: str) -> npt.NDArray[Any] | None:
    dataset = source.dataset
    window = source_window(box, source.crs, dataset.transform)
    if not all(map(math.isfinite, window)):
        return None
    if resampling == "nearest" or _aligned(source.crs, dataset.transform, box):
        return _gather(source, band, box, window)
    reach = _MARGIN_PX * max(1.0, source.shrink(window, box))
    if window[2] + reach <= 0 or window[3] + reach <= 0 or window[0] - reach >= dataset.width or window[1] - reach >= dataset.height:
        return None
    with WarpedVRT(
        source.level(window, box), crs=box.crs, transform=box.transform, width=box.shape[1], height=box.shape[0],
        resampling=Resampling[resampling], src_nodata=source.nodata(band), nodata=band.nodata, tolerance=_TOLERANCE_PX,
    ) as warped:  # fmt: skip
        pixels: npt.NDArray[Any] = warped.read(1)
    return pixels


def _gather(source: _Open, band: Band, box: GeoBox, window: tuple[float, float, float, float]) -> npt.NDArray[Any] | None:
    """The source pixel under each target pixel's centre."""
    dataset = source.dataset
    col0, row0 = max(0, math.floor(window[0]) - 1), max(0, math.floor(window[1]) - 1)
    col1, row1 = min(dataset.width, math.ceil(window[2]) + 1), min(dataset.height, math.ceil(window[3]) + 1)
    if col0 >= col1 or row0 >= row1:
        return None
    row, col = nearest_index(box, source.crs, dataset.transform)
    inside = (row >= row0) & (row < row1) & (col >= col0) & (col < col1)
    if not inside.any():
        return None
    pixels = dataset.read(1, window=Window(col0, row0, col1 - col0, row1 - row0))
    picked = pixels[np.clip(row - row0, 0, row1 - row0 - 1), np.clip(col - col0, 0, col1 - col0 - 1)]
    fill = np.asarray(0 if band.nodata is None else band.nodata, band.dtype)
    stored = source.nodata(band)
    observed = inside if stored is None else inside & (picked != stored)
    result: npt.NDArray[Any] = np.where(observed, picked, fill)
    return result


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
