"""Where a raster lies by its header: whether that can be true, and whether its item says the same."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from affine import Affine
from pyproj.exceptions import ProjError

from geo_assets.errors import ConfigError, SourceError
from geo_assets.model.crs import crs_from, metres_per_unit, transformer
from geo_assets.model.lonlat import mended, to_lonlat
from geo_assets.model.scene import Header, Said

_MAX_PIXELS = 200_000**2
_PIXEL_M = 0.01, 100_000.0  # no known scene has smaller or larger pixels
_WORLD_DEG = 541.0, 91.0  # pixels of a global file may reach half their size beyond the border of the world
_TOLERANCE_DEG = 0.02  # footprints in catalogs are simplified
_NEAR_PX = 1e-3  # numbers of a transform in a catalog are rounded
_WRONG, _WHOLE = 0.5, 0.98  # share of the footprint: below the first the places differ, from the second on they agree


def check_header(dataset: Any, crs: str, shown: str) -> None:
    """Whether pixels can lie where a header puts them.

    Raises:
        SourceError: No: more pixels than any scene has, numbers that are not finite, absurd pixels, or a place that is not on the globe.
    """
    transform: Affine = dataset.transform
    if dataset.width * dataset.height > _MAX_PIXELS:
        raise SourceError(f"{shown}: {dataset.width} x {dataset.height} pixels is more than any known scene has")
    if not all(math.isfinite(v) for v in transform[:6]):
        raise SourceError(f"{shown}: the transform in its header is not finite: {_numbers(transform[:6])}")
    unit = metres_per_unit(crs)
    for size in (math.hypot(transform.a, transform.d) * unit, math.hypot(transform.b, transform.e) * unit):
        if not _PIXEL_M[0] <= size <= _PIXEL_M[1]:
            raise SourceError(f"{shown}: its pixels are {size:.3g} m large by its header, which no known scene has")
    if _outline(crs, transform, dataset.width, dataset.height) is None:
        raise SourceError(f"{shown}: its corners lie nowhere on the globe: {_numbers(transform[:6])} in {crs}")


def check_place(dataset: Any, crs: str, said: Said, shown: str) -> str | None:
    """Whether a raster lies where its item says; its header must have been checked, and counts where they differ.

    Args:
        dataset: The file.
        crs: Its CRS.
        said: What the item says.
        shown: Its address, for messages.

    Returns:
        A remark where it covers only a part of the footprint, or its header differs from what the item says of it.

    Raises:
        SourceError: It covers less than half of the footprint, or that is too tangled to be compared.
    """
    try:
        outline, item = _outline(crs, dataset.transform, dataset.width, dataset.height), _item_area(said.footprint)
    except ConfigError as e:
        raise SourceError(f"{shown}: its item's footprint: {e}") from e
    differs = _differences(dataset, crs, said.header) if said.header else ""
    remark = f"{shown}: {differs}; its pixels are used where its header says" if differs else None
    if outline is None or not item.area > 0:
        return remark
    covered = shapely.intersection(shapely.buffer(outline, _TOLERANCE_DEG, quad_segs=2), item).area / item.area
    if covered < _WRONG:
        places = f"the file lies at {_place(outline)} by its header ({crs}), its item at {_place(item)}"
        raise SourceError(f"{shown}: {places} (west south east north in degrees); one of them is wrong")
    if covered < _WHOLE and remark is None:
        return f"{shown}: it covers {covered:.0%} of its item's footprint; its pixels are used where its header says"
    return remark


def _differences(dataset: Any, crs: str, header: Header) -> str:
    """What a file's header and its item say differently, or ""."""
    found: Affine = dataset.transform
    parts = []
    if header.crs and header.crs != crs:
        parts.append(f"it is in {crs} by its header, in {header.crs} by its item")
    near = _NEAR_PX * max(abs(found.a), abs(found.b), abs(found.d), abs(found.e))
    if header.transform and any(abs(a - b) > near for a, b in zip(found[:6], header.transform, strict=True)):
        parts.append(f"its transform is {_numbers(found[:6])} by its header, {_numbers(header.transform)} by its item")
    if header.shape and header.shape != (dataset.height, dataset.width):
        rows, cols = header.shape
        parts.append(f"it has {dataset.height} x {dataset.width} pixels by its header, {rows} x {cols} by its item")
    return ", and ".join(parts)


@functools.lru_cache(maxsize=256)  # the bands of a scene, and scenes of a tile, mostly lie in the same place
def _outline(crs: str, transform: Affine, width: int, height: int) -> shapely.Geometry | None:
    """Outline in EPSG:4326, or None where it has none."""
    corners = np.array([transform @ at for at in ((0, 0), (width, 0), (width, height), (0, height))], float)
    lon, lat = transformer(crs, "EPSG:4326").transform(corners[:, 0], corners[:, 1])
    if not (np.abs(lon) <= _WORLD_DEG[0]).all() or not (np.abs(lat) <= _WORLD_DEG[1]).all():
        return None
    if crs_from(crs).is_geographic:
        corners[:, 1] = corners[:, 1].clip(-90, 90)
    try:
        outline = to_lonlat(shapely.Polygon(corners), crs)
    except (ValueError, OverflowError, ProjError, shapely.errors.GEOSException):  # points between corners at infinity
        return None
    if not np.isfinite(outline.bounds).all() or not outline.area > 0:
        return None
    return outline if outline.is_valid else mended(outline)


@functools.lru_cache(maxsize=256)
def _item_area(footprint: bytes) -> shapely.Geometry:
    area = shapely.from_wkb(footprint)
    return area if area.is_valid else mended(area)


def _place(area: shapely.Geometry) -> str:
    west, south, east, north = area.bounds
    if east - west > 180 and shapely.get_num_geometries(area) > 1:  # split at the antimeridian, as bboxes in STAC are
        lon = shapely.get_coordinates(area)[:, 0] % 360
        west, east = float(lon.min()), float(lon.max()) - 360
    return " ".join(f"{v:.2f}" for v in (west, south, east, north))


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{v:.12g}" for v in values)
