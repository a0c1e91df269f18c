"""stackstac: its lazy stack of one asset, computed in this thread.

Files are opened through our own checked and counted files, never by stackstac from an address, and warped at GDAL's
tolerance 1e-4. Nearest is the warper's own: next to pixel edges it may take another pixel than the reader ``gdal``, which
works the index out exactly.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dask
import numpy as np
import numpy.typing as npt
import stackstac
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from geo_assets.eo.align import source_window
from geo_assets.errors import ConfigError, SourceError
from geo_assets.model.band import Band
from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access, without_query
from geo_assets.model.plugin import Layer, Usage
from geo_assets.model.scene import Said
from geo_assets.readers._datasets import Rasters
from geo_assets.readers._window import WindowSweep, windows

_TOLERANCE_PX = 1e-4
_ASSET = "pixels"


class _Window:
    """stackstac's reader of one opened asset; see ``stackstac.reader_protocol.Reader``."""

    def __init__(self, dataset: Any, options: dict[str, str], nodata: float | None, name: str) -> None:
        self._dataset, self._options, self._nodata, self._name = dataset, options, nodata, name

    def __call__(self, *, spec: Any, resampling: Resampling, fill_value: Any, **_: Any) -> "_Window":
        """The reader itself: stackstac makes readers by calling their class."""
        self._spec, self._resampling, self._fill = spec, resampling, fill_value
        return self

    def __dask_tokenize__(self) -> str:
        return self._name

    def read(self, window: Any) -> npt.NDArray[Any]:
        """Pixels of a window of the stack."""
        with WarpedVRT(
            self._dataset, **self._spec.vrt_params, resampling=self._resampling,
            src_nodata=self._nodata, nodata=self._fill, tolerance=_TOLERANCE_PX, **self._options,
        ) as warped:  # fmt: skip
            pixels: npt.NDArray[Any] = warped.read(1, window=window)
        return pixels


class StackstacSession:
    """Files of one task, opened once each."""

    def __init__(self, access: Access, sign: Callable[[str], str]) -> None:
        self.usage = Usage()
        self.threads = 1  # GDAL's handles belong to the thread that made them
        self._rasters = Rasters(access, sign, self.usage)

    def __enter__(self) -> "StackstacSession":
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
        """One band of an asset on a target window; see ``ReadSession``.

        Raises:
            ConfigError: The cube's CRS has no EPSG code, and stackstac knows no other.
        """
        if not box.crs.startswith("EPSG:"):
            raise ConfigError(
                f"cube.reader stackstac needs a CRS with an EPSG code, not {box.crs[:60]}: use cube.reader: gdal"
            )
        with self._rasters.use(href, band, said) as raster:
            window = source_window(box, raster.crs, raster.dataset.transform)
            if not raster.reaches(window, box):
                return None
            kernel = Resampling[band.kernel(resampling)]
            whole = kernel in (Resampling.nearest, Resampling.mode)
            level = (raster.dataset, {}) if whole else raster.level(window, box)
            return _stack(_item(box), _Window(*level, raster.nodata(band), without_query(href)), band, box, kernel)


def _item(box: GeoBox) -> dict[str, Any]:
    """A STAC item of one asset."""
    # The target's own bounds: stackstac would leave an asset out whose bounds it estimates a little too small
    west, south, east, north = box.bounds
    code = int(box.crs.removeprefix("EPSG:"))
    asset = {"href": _ASSET, "proj:epsg": code, "proj:bbox": [west, south, east, north]}
    lonlat = transformer(box.crs, "EPSG:4326").transform([west, east], [south, north])
    bbox = [float(v) for pair in zip(*lonlat, strict=True) for v in pair]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": _ASSET, "bbox": bbox, "geometry": None, "links": [],
        "properties": {"datetime": "2000-01-01T00:00:00Z"}, "assets": {_ASSET: asset},
    }  # fmt: skip


def _stack(item: dict[str, Any], reader: _Window, band: Band, box: GeoBox, kernel: Resampling) -> npt.NDArray[Any]:
    dtype = np.dtype(band.dtype)
    stack = stackstac.stack(
        [item], assets=[_ASSET], epsg=int(box.crs.removeprefix("EPSG:")), resolution=float(box.resolution), bounds=box.bounds,
        snap_bounds=False, rescale=False, dtype=dtype, fill_value=dtype.type(0 if band.nodata is None else band.nodata),
        resampling=kernel, chunksize=-1, xy_coords=False, properties=False, band_coords=False, errors_as_nodata=(), reader=reader,
    )  # fmt: skip
    with dask.config.set(scheduler="synchronous"):
        pixels: npt.NDArray[Any] = stack.data.compute()[0, 0]
    if pixels.shape != box.shape:
        raise SourceError(f"stackstac makes {pixels.shape} pixels of a window of {box.shape}")
    return pixels


class _Stackstac:
    def session(self, access: Access, sign: Callable[[str], str]) -> StackstacSession:
        """A session for one task."""
        return StackstacSession(access, sign)


PLUGIN = _Stackstac()
