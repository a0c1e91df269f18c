"""Cloud-Optimized GeoTIFF: one file with all bands, for every GIS program."""

import math
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from geo_assets.errors import ConfigError
from geo_assets.model.band import Band
from geo_assets.model.image import Image

_TILE_PX = 512
_COLOURS = {"red": ColorInterp.red, "green": ColorInterp.green, "blue": ColorInterp.blue, "nir": ColorInterp.nir}


class Cog:
    """Deflated tiles of 512 pixels with overviews; stored numbers with scale, offset, unit and name of each band."""

    ending = ".tif"
    one_dtype = True

    def encode(self, image: Image) -> dict[str, bytes]:
        """One object; overviews are made of pixels as they are, since a mean of masked ones would hide their edges.

        Raises:
            ConfigError: The bands are of several types.
        """
        kinds = {(b.dtype, str(b.fill)) for b in image.bands}
        if len(kinds) > 1:
            listed = ", ".join(f"{b.name} {b.dtype}" for b in image.bands)
            raise ConfigError(f"a GeoTIFF has bands of one type and nodata, and these are {listed}: use format zarr")
        with MemoryFile() as made, MemoryFile() as plain:
            with plain.open(**_profile(image)) as file:
                _describe(file, image)
                for number, values in enumerate(image.values, 1):
                    file.write(np.ascontiguousarray(values), number)
            with rasterio.Env(GDAL_NUM_THREADS=1), plain.open() as source:
                rasterio.shutil.copy(source, made.name, driver="COG", **_options(image.bands[0]))
            return {self.ending: bytes(made.read())}


def _profile(image: Image) -> dict[str, Any]:
    rows, cols = image.box.shape
    band = image.bands[0]
    return {
        "driver": "GTiff", "count": len(image.bands), "dtype": band.dtype, "height": rows, "width": cols, "crs": image.box.crs,
        "transform": image.box.transform, "nodata": band.fill if band.floating or band.nodata is not None else None, "interleave": "band",
    }  # fmt: skip


def _options(band: Band) -> dict[str, Any]:
    return {
        "COMPRESS": "DEFLATE", "PREDICTOR": "FLOATING_POINT" if band.floating else "STANDARD", "BLOCKSIZE": _TILE_PX,
        "RESAMPLING": "NEAREST", "OVERVIEW_RESAMPLING": "NEAREST",
    }  # fmt: skip


def _describe(file: Any, image: Image) -> None:
    bands = image.bands
    file.update_tags(**image.tags, **({"TIFFTAG_DATETIME": _tiff_time(image.time)} if image.time else {}))
    file.scales, file.offsets = [b.scale for b in bands], [b.offset for b in bands]
    for number, band in enumerate(bands, 1):
        file.set_band_description(number, band.name)
        file.set_band_unit(number, band.unit)
    if len(bands) == 1 and bands[0].colours and not math.isnan(bands[0].fill):
        colours = {code: tuple(int(text[i : i + 2], 16) for i in (1, 3, 5)) for code, text in bands[0].colours.items()}
        file.write_colormap(1, colours)
    else:
        file.colorinterp = [_COLOURS.get(b.name, ColorInterp.undefined) for b in bands]


def _tiff_time(time: str) -> str:
    """As TIFF 6.0 has it."""
    return time[:19].replace("-", ":").replace("T", " ")


PLUGIN = Cog()
