"""A composite made the slow and plain way with rasterio, numpy and pyproj alone; nothing of geo_assets is used here."""

import datetime as dt
import functools
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import rasterio
import shapely
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

KEEP = (2, 4, 5, 6, 7, 11)
Item = dict[str, Any]
Statistic = Callable[[np.ndarray], np.ndarray]


def read_items(folder: Path) -> list[Item]:
    """Items of a collection on disk, with absolute hrefs."""
    items = []
    for file in sorted(folder.glob("*/*.json")):
        item = json.loads(file.read_text())
        for asset in item["assets"].values():
            asset["href"] = str((file.parent / asset["href"]).resolve())
        items.append(item)
    return items


def solar_day(item: Item) -> str:
    """Day of the mean solar time at the footprint's centroid; footprints on both sides of 180 degrees count as one."""
    shape = shapely.geometry.shape(item["geometry"])
    west, _, east, _ = shape.bounds
    if east - west > 180:
        shape = shapely.transform(
            shape, lambda xy: np.column_stack([np.where(xy[:, 0] < 0, xy[:, 0] + 360, xy[:, 0]), xy[:, 1]])
        )
    lon = (shapely.union_all(shape).centroid.x + 180) % 360 - 180
    time = dt.datetime.fromisoformat(item["properties"]["datetime"].replace("Z", "+00:00"))
    return f"{time + dt.timedelta(hours=lon / 15):%Y-%m-%d}"


def offset(item: Item) -> int:
    """What is to be added to the DN of an item of baseline 04.00 or later."""
    return 0 if item["properties"].get("earthsearch:boa_offset_applied") else -1000


@functools.lru_cache(maxsize=64)
def _moved(xs: bytes, ys: bytes, crs: str, target: str) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.frombuffer(xs), np.frombuffer(ys))
    return (x, y) if crs == target else pyproj.Transformer.from_crs(crs, target, always_xy=True).transform(x, y)


def nearest(href: str, x: np.ndarray, y: np.ndarray, crs: str) -> np.ndarray:
    """The source pixel at floor(fractional row), floor(fractional column) of every centre; 0 outside."""
    with rasterio.open(href) as source:
        pixels, t, target = source.read(1), source.transform, f"EPSG:{source.crs.to_epsg()}"
    px, py = _moved(x.tobytes(), y.tobytes(), crs, target)
    col, row = np.floor((px - t.c) / t.a).astype(int), np.floor((py - t.f) / t.e).astype(int)
    inside = (row >= 0) & (row < pixels.shape[0]) & (col >= 0) & (col < pixels.shape[1])
    return np.where(inside, pixels[np.clip(row, 0, pixels.shape[0] - 1), np.clip(col, 0, pixels.shape[1] - 1)], 0)


@functools.lru_cache(maxsize=16)
def _scale(href: str, crs: str, step: float) -> tuple[float, float]:
    """Target pixels a source pixel in x and y, from two steps at the middle of the source; for CRSs of like orientation."""
    with rasterio.open(href) as source:
        t, target = source.transform, source.crs
        x, y = t.c + t.a * source.width / 2, t.f + t.e * source.height / 2
    xs, ys = [x - t.a / 2, x + t.a / 2, x, x], [y, y, y - t.a / 2, y + t.a / 2]
    lon, lat = pyproj.Transformer.from_crs(f"EPSG:{target.to_epsg()}", crs, always_xy=True).transform(xs, ys)
    return (lon[1] - lon[0]) / step, (lat[3] - lat[2]) / step


def warped(href: str, x: np.ndarray, y: np.ndarray, crs: str, *, resampling: str, tolerance: float) -> np.ndarray:
    """The whole window by GDAL's warper, which interpolates coordinates as long as they are right to a tolerance in pixels.

    The width of the kernel is given: what GDAL guesses from a window's size is wrong for one that the source covers in part.
    """
    step = (x[-1] - x[0]) / (len(x) - 1)
    grid = from_origin(x[0] - step / 2, y[0] + step / 2, step, step)
    wide, high = _scale(href, crs, step)
    options = {"src_nodata": 0, "nodata": 0, "tolerance": tolerance, "XSCALE": str(wide), "YSCALE": str(high)}
    with (
        rasterio.open(href) as source,
        WarpedVRT(
            source, crs=crs, transform=grid, width=len(x), height=len(y), resampling=Resampling[resampling], **options
        ) as view,
    ):
        return view.read(1)


def days(
    items: list[Item],
    x: np.ndarray,
    y: np.ndarray,
    crs: str,
    bands: list[str],
    *,
    keep: tuple[int, ...] | None = KEEP,
    resampling: str = "nearest",
    tolerance: float = 1e-4,
) -> np.ndarray:
    """Clear observations, dims (band, solar day, y, x), float64, NaN where there is none."""
    names = sorted({solar_day(i) for i in items})
    stack = np.full((len(bands), len(names), len(y), len(x)), np.nan)
    for item in sorted(items, key=lambda i: (i["properties"]["datetime"], i["id"])):
        clear = np.ones((len(y), len(x)), bool)
        if keep is not None:
            clear = np.isin(nearest(item["assets"]["scl"]["href"], x, y, crs), keep)
        for layers, band in zip(stack, bands, strict=True):
            href = item["assets"][band]["href"]
            dn = (
                nearest(href, x, y, crs)
                if resampling == "nearest"
                else warped(href, x, y, crs, resampling=resampling, tolerance=tolerance)
            )
            layer = layers[names.index(solar_day(item))]
            first = clear & (dn != 0) & np.isnan(layer)
            layer[first] = np.maximum(dn[first].astype(int) + offset(item), 1)
    return stack


def reduced(stack: np.ndarray, statistic: Statistic) -> np.ndarray:
    """A statistic over days, rounded half to even, 0 where no day is clear."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        value = statistic(stack)
    return np.rint(np.nan_to_num(value)).astype(np.uint16)


def median(stack: np.ndarray) -> np.ndarray:
    return np.nanmedian(stack, axis=0)


def n_clear(stack: np.ndarray) -> np.ndarray:
    """Days on which every band is clear and observed."""
    return (~np.isnan(stack)).all(axis=0).sum(axis=0).astype(np.uint16)


def medoid(stack: np.ndarray) -> np.ndarray:
    """Per pixel the whole day with the least sum of distances to the other whole days, by a loop over pixels."""
    bands, _, rows, cols = stack.shape
    out = np.zeros((bands, rows, cols), np.uint16)
    for r in range(rows):
        for c in range(cols):
            seen = stack[:, ~np.isnan(stack[:, :, r, c]).any(axis=0), r, c].T
            if len(seen):
                distance = np.sqrt(((seen[:, None] - seen[None]) ** 2).sum(-1)).sum(1)
                out[:, r, c] = seen[int(np.argmin(distance))]
    return out


def dilated(mask: np.ndarray, radius: int) -> np.ndarray:
    """A pixel is set if a set one lies within the radius; the mask is shifted by every offset in the disk."""
    out, rows, cols = np.zeros_like(mask), *mask.shape
    wide = np.pad(mask, radius)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dy * dy + dx * dx <= radius * radius:
                out |= wide[radius + dy : radius + dy + rows, radius + dx : radius + dx + cols]
    return out


def cleaned(bad: np.ndarray, close: int, open_: int) -> np.ndarray:
    """A mask after closing, then opening, with disks; right where the border is further away than the disks reach."""
    closed = ~dilated(~dilated(bad, close), close)
    return dilated(~dilated(~closed, open_), open_)
