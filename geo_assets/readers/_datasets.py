"""Rasters of one task, opened through our own files by the driver that their first bytes name, and by no other."""

import contextlib
import itertools
import logging
import math
import re
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import rasterio
from rasterio.errors import CRSError, RasterioError
from rasterio.windows import Window

from geo_assets.eo.warp import Scale, scale_of
from geo_assets.errors import ConfigError, GeoAssetsError, SourceError
from geo_assets.model.band import Band
from geo_assets.model.crs import canonical_crs
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access, without_query
from geo_assets.model.plugin import Usage
from geo_assets.model.scene import Said
from geo_assets.readers._files import Guarded, Source, Sources
from geo_assets.readers._place import check_header, check_place

# GDAL's warnings name our aliases, and what counts is raised or noted by us; whoever sets a level of their own keeps it
for _logger in (logging.getLogger("rasterio._env"), logging.getLogger("rasterio._err")):
    if _logger.level == logging.NOTSET:
        _logger.setLevel(logging.ERROR)

OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_CACHEMAX": 2**28,  # bytes: rasterio sets the number as it is, and 256 of them would hold no tile
    "GDAL_NUM_THREADS": "1",  # other threads of GDAL do not find our files: JPEG 2000 tiles would be filled with anything
    "GTIFF_IGNORE_READ_ERRORS": "NO",
}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_JP2 = b"\0\0\0\x0cjP"
_MAX_BLOCK_PX = 2**27  # a file's own tile or strip, which GDAL decodes as a whole; a Sentinel-2 tile in one strip fits
_MAX_WARP_PX = 2**28  # GDAL's warper may want all source pixels of a window at once
_MARGIN_PX = 2  # source pixels that bilinear and cubic kernels reach beyond the window at full resolution
_ALIAS = re.compile(r"[^\s'`\"]*\basset-\d+(, band \d+)?:\s*")
_SHRINK_SLACK = 1.0001  # so that a factor that is exact but for rounding counts as reached


class Raster:
    """One asset: its dataset, and its overviews opened when they are needed."""

    def __init__(self, open_level: Callable[[int | None], Any], href: str, band: Band) -> None:
        self._open_level = open_level
        self._shown = without_query(href)
        self.dataset = open_level(None)
        self._levels: dict[int | None, Any] = {None: self.dataset}
        self._scales: dict[tuple[str, Fraction], tuple[float, float]] = {}
        _check(self.dataset, href, band)
        self.crs = canonical_crs(self.dataset.crs.to_wkt())
        check_header(self.dataset, self.crs, self._shown)
        self._placed: set[Said] = set()

    def place(self, said: Said) -> str | None:
        """Compare the header with what its item says, once; returns a remark where they agree only in part.

        Raises:
            SourceError: The file lies elsewhere.
        """
        if said in self._placed:
            return None
        remark = check_place(self.dataset, self.crs, said, self._shown)
        self._placed.add(said)
        return remark

    def nodata(self, band: Band) -> float | None:
        """The file's own nodata, else the band's."""
        return band.nodata if self.dataset.nodata is None else float(self.dataset.nodata)

    def scale(self, box: GeoBox) -> tuple[float, float]:
        """Target pixels a source pixel along the source's columns and rows, at the middle of the file.

        The same for every window of a grid: kernels get their width from it, and GDAL's own guess from the size of a
        window would make a pixel depend on which others are asked for with it.
        """
        key = box.crs, box.resolution
        if key not in self._scales:
            full = self.dataset.height, self.dataset.width
            scale = scale_of(box, self.crs, self.dataset.transform, full)
            self._scales[key] = scale.x, scale.y
        return self._scales[key]

    def reaches(self, window: tuple[float, float, float, float], box: GeoBox) -> bool:
        """Whether any kernel can see a pixel of the file from a target window."""
        if not all(map(math.isfinite, window)):
            return False
        reach = _MARGIN_PX * max(1.0, 1 / min(self.scale(box)))
        beyond = window[0] - reach >= self.dataset.width or window[1] - reach >= self.dataset.height
        return not (beyond or window[2] + reach <= 0 or window[3] + reach <= 0)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Rows and columns of the full image and of its overviews."""
        levels = [None, *range(len(self.dataset.overviews(1)))]
        return [(self._at(n).height, self._at(n).width) for n in levels]

    def pixels(self, number: int, rows: tuple[int, int], cols: tuple[int, int]) -> Any:
        """A window of a level: 0 is the full image, 1 its first overview."""
        window = Window(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0])
        return self._at(number - 1 if number else None).read(1, window=window)

    def _at(self, index: int | None) -> Any:
        if index not in self._levels:
            self._levels[index] = self._open_level(index)
        return self._levels[index]

    def level(
        self, window: tuple[float, float, float, float], box: GeoBox, *, overviews: bool = True
    ) -> tuple[Any, dict[str, str]]:
        """The coarsest overview that is not coarser than the target, as gdalwarp chooses it, and its kernel's width.

        Without ``overviews`` it is the full image.

        Raises:
            SourceError: Even that has far more pixels under the window than fit into memory.
        """
        wide, high = self.scale(box)
        shrink = _SHRINK_SLACK / max(wide, high)
        factors = [factor for factor in self.dataset.overviews(1) if overviews and 0 < factor <= shrink]
        factor = factors[-1] if factors else 1
        cols = min(window[2], self.dataset.width) - max(window[0], 0)
        rows = min(window[3], self.dataset.height) - max(window[1], 0)
        if cols * rows / factor**2 > _MAX_WARP_PX:
            text = (
                f"one window covers {cols:.0f} x {rows:.0f} of its pixels, too many to resample without finer overviews"
            )
            raise SourceError(f"{self._shown}: {text}")
        index = len(factors) - 1 if factors else None
        level = self._at(index)
        kernel = Scale(wide * self.dataset.width / level.width, high * self.dataset.height / level.height).snapped
        return level, {"XSCALE": repr(kernel.x), "YSCALE": repr(kernel.y)}


class Rasters:
    """Opens each asset of a task once, and closes all of them.

    They belong to one thread: GDAL's handles are not to be shared, and rasterio keeps the files that it opened in a
    context variable, so that they vanish under GDAL when the thread ends that opened them.
    """

    def __init__(self, access: Access, sign: Callable[[str], str], usage: Usage) -> None:
        self._sources, self._usage = Sources(access, sign, usage), usage
        self._open: dict[str, Raster] = {}
        self._failed: dict[str, str] = {}
        self._faults: dict[str, list[Exception]] = {}
        self._stack = contextlib.ExitStack()
        self._stack.callback(self._sources.close)
        self._thread: int | None = None
        self._numbers = itertools.count()

    def cancel(self) -> None:
        """End what is being fetched; from any thread."""
        self._sources.cancel()

    def close(self) -> None:
        """Close all datasets, files and connections."""
        with rasterio.Env(**OPTIONS):
            self._stack.close()

    @contextlib.contextmanager
    def use(self, href: str, band: Band, said: Said | None) -> Iterator[Raster]:
        """An asset for one read. Whatever goes wrong within is a ``SourceError`` that names the asset.

        Raises:
            SourceError: See ``ReadSession.read``; a fault of the file under GDAL is one even if GDAL took no notice.
            RuntimeError: Another thread than the first one reads.
        """
        self._thread = self._thread or threading.get_ident()
        if self._thread != threading.get_ident():
            raise RuntimeError("a read session belongs to one thread: open one in each")
        with rasterio.Env(**OPTIONS):  # an environment counts for one thread only
            raster = self._raster(href, band)
            with self._faults_of(href):
                _check_dtype(raster.dataset, href, band)
                if said is not None and (remark := raster.place(said)):
                    self._usage.note(remark)
                yield raster

    def _raster(self, href: str, band: Band) -> Raster:
        if href in self._failed:
            raise SourceError(self._failed[href])
        if href not in self._open:
            try:
                source = self._sources.open(href)
                with self._faults_of(href):
                    self._open[href] = self._opened(source, href, band)
            except SourceError as e:
                self._failed[href] = str(e)
                raise
        return self._open[href]

    def _opened(self, source: Source, href: str, band: Band) -> Raster:
        driver = "GTiff" if source.magic[:4] in _TIFF else "JP2OpenJPEG" if source.magic[:6] == _JP2 else None
        if driver is None:
            raise SourceError(
                f"{without_query(href)}: neither a GeoTIFF nor a JPEG 2000 file (it begins with {source.magic[:4]!r})"
            )
        alias = (
            f"asset-{next(self._numbers)}"  # GDAL sees no address: none can leak into its messages or be opened by it
        )
        faults = self._faults.setdefault(href, [])

        def opener(path: str, *_: Any, **__: Any) -> Any:
            if path.rsplit("/", 1)[-1] != alias:
                raise FileNotFoundError(path)
            return Guarded(source.file(), faults)

        def open_level(level: int | None) -> Any:
            more = {} if level is None else {"overview_level": level}
            return self._stack.enter_context(rasterio.open(alias, driver=driver, opener=opener, **more))

        return Raster(open_level, href, band)

    @contextlib.contextmanager
    def _faults_of(self, href: str) -> Iterator[None]:
        """Turns GDAL's errors, and those of the file below GDAL, into one of ours."""
        faults = self._faults.setdefault(href, [])
        try:
            with as_source_error(href):
                yield
        except SourceError:
            if not faults:
                raise
        if faults:
            cause = faults.pop()
            faults.clear()
            if isinstance(cause, SourceError):
                raise cause
            raise SourceError(f"{without_query(href)}: {type(cause).__name__} when reading it") from cause


@contextlib.contextmanager
def as_source_error(href: str) -> Iterator[None]:
    """Turns what GDAL raises about an asset into a ``SourceError`` that names it."""
    try:
        yield
    except SourceError:
        raise
    except ConfigError as e:
        raise SourceError(f"{without_query(href)}: {e}") from e
    except GeoAssetsError:
        raise
    except MemoryError as e:
        raise SourceError(f"{without_query(href)}: too large to be read into memory") from e
    except (RasterioError, CRSError, ValueError, OSError, RuntimeError) as e:
        text = _ALIAS.sub("", str(e.__cause__ or e)).splitlines() or [type(e).__name__]
        raise SourceError(f"{without_query(href)}: cannot be read: {text[0][:200]}") from e


def _check(dataset: Any, href: str, band: Band) -> None:
    shown = without_query(href)
    if dataset.crs is None:
        raise SourceError(f"{shown}: the file has no CRS")
    if dataset.transform.is_identity or dataset.transform.is_degenerate:
        raise SourceError(f"{shown}: the file does not say where its pixels lie")
    rows, cols = dataset.block_shapes[0]
    if rows * cols > _MAX_BLOCK_PX:
        raise SourceError(f"{shown}: its tiles have {rows} x {cols} pixels, too many to decode at once")
    if dataset.count != 1:
        raise SourceError(f"{shown}: the file has {dataset.count} layers, an asset of band {band.name} has one")
    _check_dtype(dataset, href, band)


def _check_dtype(dataset: Any, href: str, band: Band) -> None:
    if dataset.dtypes[0] != band.dtype:
        text = f"pixels are {dataset.dtypes[0]}, band {band.name} has {band.dtype}; is it scaled already?"
        raise SourceError(f"{without_query(href)}: {text}")
