"""What the candidates are compared with: GDAL at tolerance 1e-4, exact nearest for classes, and numpy's median; slow.

GDAL guesses the width of its kernel from the size of a window; here it is given the scale at the middle of the file, so that
a pixel does not depend on which others are made with it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from scipy import ndimage

from benchmarks.raster.candidates._numpy import days_of, offset_of
from benchmarks.raster.chips import Chips
from benchmarks.raster.targets import Target
from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox

_TOLERANCE_PX = 1e-4
_STRIP = 100


def run(items: list[dict[str, Any]], target: Target) -> list[npt.NDArray[np.uint16]]:
    return [_composite(items, box, target) for box in target.boxes]


def chips(items: list[dict[str, Any]], wanted: Chips) -> list[npt.NDArray[np.uint16]]:
    """The source pixels under the chips' pixels; dims (asset, date, y, x)."""
    read = [[[_nearest(i["assets"][b]["file"], box) for i in items] for b in wanted.bands] for box in wanted.boxes]
    return [np.array(chip, np.uint16) for chip in read]


def _composite(items: list[dict[str, Any]], box: GeoBox, target: Target) -> npt.NDArray[np.uint16]:
    days = days_of(items).values()
    clear = {item["id"]: _clear(item["assets"]["scl"]["file"], box, target) for item in items}
    bands = []
    for band in target.bands:
        layers = np.zeros((len(days), *box.shape), np.uint16)
        for layer, day in zip(layers, days, strict=True):
            for item in day:
                dn = _warped(item["assets"][band]["file"], box)
                moved = np.where(dn > 0, np.maximum(dn.astype(np.int32) + offset_of(item), 1), 0).astype(np.uint16)
                np.copyto(layer, moved, where=clear[item["id"]] & (layer == 0))
        bands.append(_median(layers))
    return np.stack(bands)


def _median(layers: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    out = np.zeros(layers.shape[1:], np.uint16)
    for row in range(0, len(out), _STRIP):
        values = np.sort(np.where(layers[:, row : row + _STRIP] == 0, 65535, layers[:, row : row + _STRIP]), axis=0)
        count = (layers[:, row : row + _STRIP] > 0).sum(0)
        low, high = np.maximum((count - 1) // 2, 0), count // 2
        pair = [
            np.take_along_axis(values, n[None], 0)[0].astype(np.float64)
            for n in (low, np.minimum(high, len(values) - 1))
        ]
        out[row : row + _STRIP] = np.where(count > 0, np.rint((pair[0] + pair[1]) / 2), 0)
    return out


def _clear(path: str, box: GeoBox, target: Target) -> npt.NDArray[np.bool_]:
    halo = 4 * target.clean
    wide = box.window(-halo, -halo, box.shape[0] + 2 * halo, box.shape[1] + 2 * halo)
    classes = _nearest(path, wide)
    bad = ~np.isin(classes, target.keep)
    if target.clean:
        y, x = np.ogrid[-target.clean : target.clean + 1, -target.clean : target.clean + 1]
        disk = x * x + y * y <= target.clean**2
        for grow in (True, False, False, True):  # a closing, then an opening
            bad = ndimage.binary_dilation(bad, disk) if grow else ~ndimage.binary_dilation(~bad, disk)
    clear = ~bad & (classes != 0)
    return clear[halo : halo + box.shape[0], halo : halo + box.shape[1]]


def _nearest(path: str, box: GeoBox) -> npt.NDArray[Any]:
    xs, ys = box.centers()
    with rasterio.open(path) as source:
        pixels, place = source.read(1), source.transform
        out = np.zeros(box.shape, pixels.dtype)
        for row in range(0, box.shape[0], _STRIP):
            x, y = np.meshgrid(xs, ys[row : row + _STRIP])
            if source.crs.to_string() != box.crs:
                x, y = transformer(box.crs, source.crs.to_string()).transform(x, y)
            c, r = (np.floor(v).astype(np.int64) for v in ((x - place.c) / place.a, (y - place.f) / place.e))
            inside = (r >= 0) & (c >= 0) & (r < source.height) & (c < source.width)
            out[row : row + _STRIP][inside] = pixels[r[inside], c[inside]]
    return out


def _scale(source: Any, box: GeoBox) -> tuple[float, float]:
    """Target pixels that a pixel at the middle of a file measures, along its rows and its columns."""
    col, row = source.width / 2, source.height / 2
    place = source.transform
    x = place.c + place.a * np.array([col - 0.5, col + 0.5, col, col])
    y = place.f + place.e * np.array([row, row, row - 0.5, row + 0.5])
    if source.crs.to_string() != box.crs:
        x, y = transformer(source.crs.to_string(), box.crs).transform(x, y)
    res = float(box.resolution)
    return float(np.hypot(x[1] - x[0], y[1] - y[0])) / res, float(np.hypot(x[3] - x[2], y[3] - y[2])) / res


def _warped(path: str, box: GeoBox) -> npt.NDArray[np.uint16]:
    with rasterio.open(path) as source:
        wide, high = _scale(source, box)
        factors = source.overviews(1)
        fine = [i for i, factor in enumerate(factors) if factor <= 1.001 / max(wide, high)]
        full = source.width, source.height
    with (
        rasterio.open(path, **({"overview_level": fine[-1]} if fine else {})) as source,
        WarpedVRT(
            source, crs=box.crs, transform=box.transform, height=box.shape[0], width=box.shape[1],
            resampling=Resampling.bilinear, src_nodata=0, nodata=0, tolerance=_TOLERANCE_PX,
            XSCALE=repr(wide * full[0] / source.width), YSCALE=repr(high * full[1] / source.height),
        ) as warped,
    ):  # fmt: skip
        return warped.read(1)
