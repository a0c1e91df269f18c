"""Sentinel-1 ground range products: annotations as bytes, and windows of images that have control points and no CRS."""

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window as Rectangle

from geo_assets.eo.sar import Window
from geo_assets.eo.sar_annotation import MOST_BYTES, GridPoints, grid_points
from geo_assets.errors import SourceError
from geo_assets.model.href import Access, without_query
from geo_assets.model.plugin import Usage
from geo_assets.readers._datasets import OPTIONS, as_source_error
from geo_assets.readers._files import Guarded, Source, Sources

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MOST_PX = 2**27  # of one of the file's own strips or tiles, and of one window
_ALIAS = "measurement"


class RadarImage:
    """One measurement, which belongs to the thread that opened it.

    Attributes:
        shape: Lines and pixels.
    """

    def __init__(self, source: Source, href: str, stack: contextlib.ExitStack) -> None:
        self._href, self._shown, self._faults = href, without_query(href), list[Exception]()
        if source.magic[:4] not in _TIFF:
            raise SourceError(f"{self._shown}: no GeoTIFF file (it begins with {source.magic[:4]!r})")

        def opener(path: str, *_: Any, **__: Any) -> Any:
            if path.rsplit("/", 1)[-1] != _ALIAS:
                raise FileNotFoundError(path)
            return Guarded(source.file(), self._faults)

        with self._gdal():
            self._dataset = stack.enter_context(rasterio.open(_ALIAS, driver="GTiff", opener=opener))
            self._check()
        self.shape: tuple[int, int] = self._dataset.shape

    def _check(self) -> None:
        dataset = self._dataset
        rows, cols = dataset.block_shapes[0]
        if dataset.count != 1 or dataset.dtypes[0] != "uint16":
            raise SourceError(
                f"{self._shown}: {dataset.count} layers of {dataset.dtypes[0]}; a ground range image is one of uint16"
            )
        if rows * cols > _MOST_PX:
            raise SourceError(f"{self._shown}: its tiles have {rows} x {cols} pixels, too many to decode at once")

    def points(self) -> GridPoints:
        """Its ground control points.

        Raises:
            SourceError: It has none, or they are no grid in degrees.
        """
        with self._gdal():
            listed, crs = self._dataset.gcps
            if crs is None or crs.to_epsg() not in (4326, 4979):
                raise SourceError(f"{self._shown}: no ground control points in degrees of WGS 84")
            table = np.array([[p.row, p.col, p.x, p.y, p.z or 0.0] for p in listed], np.float64)
        return grid_points(table.reshape(-1, 5), self._shown)

    def read(self, part: Window) -> npt.NDArray[np.uint16]:
        """Amplitudes of a window, dims (line, pixel), uint16, nodata 0.

        Raises:
            SourceError: The file cannot be read there, or the window is larger than memory allows.
        """
        if part.lines * part.pixels > _MOST_PX:
            raise SourceError(
                f"{self._shown}: a window of {part.lines} x {part.pixels} samples is too large: ask for smaller blocks"
            )
        with self._gdal():
            found: npt.NDArray[np.uint16] = self._dataset.read(
                1, window=Rectangle(part.pixel, part.line, part.pixels, part.lines)
            )
        return found

    @contextlib.contextmanager
    def _gdal(self) -> Any:
        """What goes wrong within is a ``SourceError``, also what GDAL took no notice of."""
        try:
            with rasterio.Env(**OPTIONS), as_source_error(self._href):
                yield
        except SourceError:
            if not self._faults:
                raise
        if self._faults:
            cause = self._faults.pop()
            self._faults.clear()
            if isinstance(cause, SourceError):
                raise cause
            raise SourceError(f"{self._shown}: {type(cause).__name__} when reading it") from cause


class RadarFiles:
    """Files of one task, opened through the checks of their addresses and closed together."""

    def __init__(self, access: Access, sign: Callable[[str], str]) -> None:
        self.usage = Usage()
        self._sources = Sources(access, sign, self.usage)
        self._stack = contextlib.ExitStack()
        self._stack.callback(self._sources.close)

    def __enter__(self) -> "RadarFiles":
        return self

    def __exit__(self, *exc: object) -> None:
        with rasterio.Env(**OPTIONS):
            self._stack.close()

    def annotation(self, href: str) -> bytes:
        """An XML file.

        Raises:
            SourceError: It is missing, its address is refused, or it is larger than any annotation.
        """
        source = self._sources.open(href)
        if not 0 < source.size <= MOST_BYTES:
            raise SourceError(f"{without_query(href)}: {source.size} bytes; annotations have up to {MOST_BYTES}")
        return bytes(source.fetch(0, source.size))

    def image(self, href: str) -> RadarImage:
        """A measurement.

        Raises:
            SourceError: It is missing, its address is refused, or it is no ground range image.
        """
        return RadarImage(self._sources.open(href), href, self._stack)
