"""Areas of interest: from a bounding box, a vector file or a table of tiles to polygons in EPSG:4326, mended, split, bounded.

Every doubt is either settled and noted (``Aoi.notes``) or refused with the reason; nothing is dropped in silence.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from shapely import MultiPolygon

from geo_assets.eo.tile_table import joined, tile_boxes
from geo_assets.eo.vector import read_vector
from geo_assets.errors import ConfigError
from geo_assets.model.cell import polygons_of
from geo_assets.model.crs import reproject
from geo_assets.model.lonlat import mended, split_antimeridian, to_lonlat
from geo_assets.model.recipe import AoiRecipe

MAX_VERTICES = 5_000_000
_EDGE_M = 5_000.0  # longer edges get vertices in between before they are reprojected, so that they stay where they were
_SNAP_DEG = 1e-6  # beyond the border of the world by rounding only
_TINY_DEG = 1e-12  # numbers near the end of what a float can hold upset the geometry engine

Geometries = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Aoi:
    """An area of interest.

    Attributes:
        name: What the project calls it.
        geometry: EPSG:4326, valid, split at the antimeridian.
        notes: What had to be assumed or mended, one sentence each.
    """

    name: str
    geometry: MultiPolygon
    notes: tuple[str, ...] = ()


def read_aoi(name: str, recipe: AoiRecipe, base_dir: Path | str) -> Aoi:
    """The area of a recipe. Assumptions that may be wrong (a missing CRS) are warned about as well as noted.

    Args:
        name: What the project calls it.
        recipe: Its bounding box or its file: a vector file, or CSV with the columns X, Y, Y_tile and X_tile, which stands
            for the boxes of these 1/18 degree tiles.
        base_dir: Folder that a relative path counts from.

    Raises:
        ConfigError: Unreadable, too large, without area, or not on the earth; the text says what to do.
    """
    try:
        if recipe.bbox is not None:
            return Aoi(name, box_geometry(recipe.bbox))
        path = Path(base_dir) / str(recipe.path)
        if path.suffix.lower() == ".csv":
            return Aoi(name, _of_tiles(path, recipe.layer))
        geometries, crs, notes = read_vector(path, layer=recipe.layer)
        geometry, more = clean_geometry(geometries, crs)
    except ConfigError as e:
        raise ConfigError(f"AOI {name!r}: {e}") from e
    for note in notes:
        warnings.warn(f"AOI {name!r}: {note}", UserWarning, stacklevel=2)
    return Aoi(name, geometry, (*notes, *more))


def _of_tiles(path: Path, layer: str | None) -> MultiPolygon:
    """Union of the tiles of a table."""
    if layer is not None:
        raise ConfigError(f"{path.name} is a table of tiles and has no layers: leave layer out")
    return MultiPolygon(list(shapely.get_parts(joined(tile_boxes(path)))))


def box_geometry(bbox: Iterable[float]) -> MultiPolygon:
    """Area of (west, south, east, north) in degrees; west > east crosses the antimeridian, and -100..100 is 200 wide.

    Raises:
        ConfigError: No numbers, out of range, or without area.
    """
    try:
        west, south, east, north = (float(v) for v in bbox)
    except (TypeError, ValueError) as e:
        raise ConfigError("a bbox is four numbers: west, south, east, north in degrees") from e
    text = f"bbox [{west:g}, {south:g}, {east:g}, {north:g}]"
    if not np.isfinite([west, south, east, north]).all():
        raise ConfigError(f"{text} has a value that is not a number: give west, south, east, north in degrees")
    if max(abs(south), abs(north)) > 90:
        swapped = max(abs(west), abs(east)) <= 90
        hint = "it looks like lat, lon order; " if swapped else ""
        raise ConfigError(f"{text}: latitudes lie between -90 and 90; {hint}write west, south, east, north in degrees")
    if max(abs(west), abs(east)) > 180:
        raise ConfigError(
            f"{text}: longitudes lie between -180 and 180; a box across the antimeridian has west > east, such as 170 .. -170"
        )
    if south >= north or west == east:
        raise ConfigError(f"{text} has no area: write west, south, east, north with south < north")
    spans = [(west, east)] if west < east else [(west, 180.0), (-180.0, east)]
    return MultiPolygon([shapely.box(w, south, e, north) for w, e in spans if w < e])


def clean_geometry(geometry: Any, crs: str) -> tuple[MultiPolygon, tuple[str, ...]]:
    """Union of geometries in EPSG:4326, valid and split at the antimeridian, and notes on what was mended.

    Args:
        geometry: One shapely geometry or an array of them.
        crs: Their CRS, in any form that PROJ reads.

    Raises:
        ConfigError: Empty, without area, with coordinates that are no numbers, too many, or outside the world.
    """
    notes: list[str] = []
    given = np.atleast_1d(np.asarray(geometry, dtype=object))
    parts = _polygons(shapely.force_2d(given[~shapely.is_missing(given)]), notes)
    count = int(shapely.get_num_coordinates(parts).sum())
    if count > MAX_VERTICES:
        raise ConfigError(
            f"the area has {count:,} vertices and {MAX_VERTICES:,} is the most: simplify it (a tenth of a pixel is plenty)"
        )
    if not np.isfinite(shapely.get_coordinates(parts)).all():
        raise ConfigError("a vertex is not a number (NaN or infinite): mend the file")
    lonlat = _on_earth(_to_degrees(parts, crs), crs)
    whole = polygons_of(shapely.union_all(_mended(lonlat, notes)))
    if not whole.area > 0:
        raise ConfigError("the polygons have no area: their vertices lie on a line")
    return MultiPolygon(list(shapely.get_parts(whole))), tuple(notes)


def _polygons(given: Geometries, notes: list[str]) -> Geometries:
    filled = given[~shapely.is_empty(given)]
    if not len(filled):
        raise ConfigError("the area is empty: no feature has a geometry")
    parts = shapely.get_parts(shapely.get_parts(filled))
    flat = shapely.get_dimensions(parts) < 2
    if flat.all():
        raise ConfigError(
            "the area has points or lines only, which have no area: buffer them to polygons, or give a bbox"
        )
    if flat.any():
        notes.append(f"{int(flat.sum())} of {len(parts)} geometries are points or lines and were left out")
    kept: Geometries = parts[~flat]
    return kept


def _to_degrees(parts: Geometries, crs: str) -> Geometries:
    try:
        proj = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as e:
        raise ConfigError(f"unknown CRS {crs[:80]!r}: give one with an EPSG code") from e
    if proj.is_geographic:
        return reproject(parts, crs, "EPSG:4326") if not proj.equals("EPSG:4326", ignore_axis_order=True) else parts
    dense = shapely.segmentize(parts, _EDGE_M / proj.axis_info[0].unit_conversion_factor)
    moved = reproject(dense, crs, "EPSG:4326")
    bounds = np.nan_to_num(shapely.bounds(moved), nan=0.0, posinf=0.0, neginf=0.0)  # what has none is refused later
    # A polygon around a pole or across the antimeridian spans most longitudes once its vertices are moved
    odd = np.flatnonzero((bounds[:, 2] - bounds[:, 0] > 180) | (np.abs(bounds[:, [1, 3]]).max(axis=1) > 90 - 1e-9))
    moved[odd] = [_rounded(to_lonlat(p, crs)) for p in dense[odd]]
    return np.asarray(moved, dtype=object)


def _rounded(shape: Any) -> Any:
    """A shape whose border at the end of the world is exact; what this bends by rounding is no fault of the file."""
    exact = shapely.transform(shape, _snap)
    return exact if exact.is_valid else polygons_of(mended(exact))


def _on_earth(parts: Geometries, crs: str) -> Geometries:
    xy = shapely.get_coordinates(parts)
    where = f"in {crs}" if len(crs) < 40 else "in its CRS"
    if not np.isfinite(xy).all():
        raise ConfigError(f"coordinates lie outside what can be shown {where}: its CRS is probably declared wrongly")
    lon, lat = np.abs(xy).max(axis=0)
    if lat > 90 + _SNAP_DEG:
        swapped = lon <= 90 and lat <= 180
        hint = (
            "latitude and longitude look swapped: write x (longitude) first"
            if swapped
            else "its CRS is missing or declared wrongly"
        )
        raise ConfigError(f"latitude {xy[np.abs(xy[:, 1]).argmax(), 1]:g} {where} is outside the world: {hint}")
    if lon > 360 + _SNAP_DEG:
        raise ConfigError(
            f"longitude {xy[np.abs(xy[:, 0]).argmax(), 0]:g} {where} is outside the world: its CRS is missing or declared wrongly"
        )
    return np.asarray(shapely.transform(parts, _snap), dtype=object)


def _snap(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    lon, lat = xy.T
    lon = np.where(np.abs(np.abs(lon) - 180) < _SNAP_DEG, np.copysign(180.0, lon), lon)
    snapped = np.column_stack([lon, np.clip(lat, -90.0, 90.0)])
    return np.where(np.abs(snapped) < _TINY_DEG, 0.0, snapped)


def _mended(parts: Geometries, notes: list[str]) -> Geometries:
    wide = _crossing(parts)
    parts = parts.copy()
    parts[wide] = [split_antimeridian(p) for p in parts[wide]]
    broken = ~shapely.is_valid(parts)
    if broken.any():
        reason = shapely.is_valid_reason(parts[broken][0])
        parts[broken] = mended(parts[broken])
        notes.append(f"{int(broken.sum())} of {len(parts)} polygons were invalid and were mended (the first: {reason})")
    return parts


def _crossing(parts: Geometries) -> npt.NDArray[np.bool_]:
    bounds = shapely.bounds(parts)
    wide: npt.NDArray[np.bool_] = (bounds[:, 2] - bounds[:, 0] > 180) | (np.abs(bounds[:, [0, 2]]).max(axis=1) > 180)
    return wide
