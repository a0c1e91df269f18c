"""Outlines in longitude and latitude: short edges, the poles and the antimeridian."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely import Geometry, MultiPolygon, Polygon

from geo_assets.errors import ConfigError
from geo_assets.model.crs import crs_from, reproject, transformer

_SIMPLE_VERTICES = 60
_EDGES_AT_A_TIME = 100
_MOST_CROSSINGS = 1_000  # of random rings; mending takes about a second then, and minutes at ten times as many
_MOST_TOUCHES = 20_000  # pairs of edges, such as of squares that touch at their corners; as slow as 1,000 crossings
_MAX_EDGE_DEG = 0.05  # a straight edge of this length misses the true parallel by under 0.5 m below 60 degrees


def densify(geometry: Any) -> Any:
    """Geometry (EPSG:4326, one or an array) with edges short enough to be straight in any projected CRS."""
    return shapely.segmentize(geometry, _MAX_EDGE_DEG)


def to_lonlat(geometry: Geometry, crs: str) -> Polygon | MultiPolygon:
    """Polygon of a CRS in EPSG:4326, edges densified, split at the antimeridian and closed along a pole that it holds.

    Raises:
        ConfigError: Part of it lies where the CRS has no longitude and latitude.
    """
    west, south, east, north = geometry.bounds
    if crs_from(crs).is_geographic:
        return split_antimeridian(reproject(densify(geometry), crs, "EPSG:4326"))
    dense = shapely.segmentize(geometry, max(east - west, north - south) / 32)
    parts: list[Polygon] = []
    for polygon in shapely.get_parts(dense):
        outer, *holes = (_ring_lonlat(ring, crs) for ring in shapely.get_rings(polygon))
        area = shapely.difference(outer, shapely.union_all(holes)) if holes else outer
        parts += [p for p in shapely.get_parts(area) if isinstance(p, Polygon) and p.area > 0]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _ring_lonlat(ring: Geometry, crs: str) -> Geometry:
    """Area inside a ring, followed around the globe: no step is longer than 180 degrees."""
    xy = shapely.get_coordinates(ring)
    lon, lat = transformer(crs, "EPSG:4326").transform(xy[:, 0], xy[:, 1])
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        name = crs if len(crs) < 40 else "its CRS"
        raise ConfigError(f"an outline reaches beyond what {name} can show: cut it, or declare another CRS")
    pole = math.copysign(90.0, lat[np.abs(lat).argmax()])
    corner = np.flatnonzero(90 - np.abs(lat) < 1e-9)
    if len(corner):
        # A pole has every longitude: the ring leaves it along one meridian and comes back along another
        start = int(corner[0])
        lon, lat = (np.delete(np.roll(v[:-1], -start), 0) for v in (lon, lat))
    lon = lon[0] + np.concatenate([[0.0], np.cumsum((np.diff(lon) + 180) % 360 - 180)])
    if len(corner) or abs(lon[-1] - lon[0]) > 180:
        lon, lat = np.append(lon, [lon[-1], lon[0]]), np.append(lat, [pole, pole])
    area = Polygon(np.column_stack([lon, lat]))
    return _cut(area if area.is_valid else mended(area))


def _cut(area: Geometry) -> Geometry:
    """Area with any longitudes, cut into turns of the globe that are laid onto -180..180."""
    west, _, east, _ = area.bounds
    pieces = []
    for turn in range(math.floor((west + 180) / 360), math.floor((east + 180) / 360) + 1):
        piece = shapely.intersection(area, shapely.box(-180.0 + 360 * turn, -90.0, 180.0 + 360 * turn, 90.0))
        pieces.append(shapely.transform(piece, lambda xy, t=turn: xy - (360.0 * t, 0.0)))
    return shapely.union_all(pieces) if len(pieces) > 1 else pieces[0]


def split_antimeridian(geometry: Geometry) -> Polygon | MultiPolygon:
    """Polygons (degrees) cut at longitude 180 so that every part lies within -180..180.

    A ring crosses the antimeridian where it reaches beyond 180 degrees or where neighbouring vertices are 270 degrees or
    more apart: shorter edges are taken as they are written, and one of exactly 360 runs along the border of the world.

    Raises:
        ConfigError: A ring is so tangled that it cannot be mended.
    """
    parts = [q for p in shapely.get_parts(geometry) for q in _split_one(p)]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _split_one(polygon: Polygon) -> list[Polygon]:
    ring, lat = shapely.get_coordinates(polygon.exterior).T
    steps = np.abs(np.diff(ring))
    along_pole = np.minimum(np.abs(lat[1:]), np.abs(lat[:-1])) >= 90  # there an edge of any length has none
    crosses = bool(np.any((steps >= 270) & (steps < 360) & ~along_pole))
    if not crosses and (not len(ring) or (ring.min() >= -180 and ring.max() <= 180)):
        return [polygon] if polygon.area > 0 else []
    if crosses:
        polygon = shapely.transform(polygon, _eastern)
    if not polygon.is_valid:
        polygon = mended(polygon)
    parts = []
    for turn in (-360.0, 0.0, 360.0):
        piece = shapely.intersection(polygon, shapely.box(-180 + turn, -90, 180 + turn, 90))
        parts += [
            g
            for g in shapely.get_parts(
                shapely.transform(piece, lambda xy, t=turn: xy - (t, 0.0)),
            )
            if g.area > 0
        ]
    return [q for g in parts for q in shapely.get_parts(g) if isinstance(q, Polygon)]


def _eastern(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.column_stack([np.where(xy[:, 0] < 0, xy[:, 0] + 360, xy[:, 0]), xy[:, 1]])


def mended(geometry: Any) -> Any:
    """Valid shapes of the same area (one or an array), which may have other parts, and lines and points beside polygons.

    Raises:
        ConfigError: One is so tangled that mending it would take minutes.
    """
    refuse_tangle(np.atleast_1d(np.asarray(geometry, dtype=object)))
    return shapely.make_valid(geometry)


def refuse_tangle(polygons: npt.NDArray[np.object_]) -> None:
    """Refuses polygons whose edges cross or touch so often that mending them would take minutes.

    Raises:
        ConfigError: One has over 1,000 crossings, or over 20,000 pairs of edges that touch.
    """
    for polygon in polygons:
        if shapely.get_num_coordinates(polygon) < _SIMPLE_VERTICES:
            continue
        edges, first, last = _edges(polygon)
        tree = shapely.STRtree(edges)
        crossings = touches = 0
        for start in range(0, len(edges), _EDGES_AT_A_TIME):
            mine, other = tree.query(edges[start : start + _EDGES_AT_A_TIME], predicate="intersects")
            mine = mine + start
            # The neighbours along a ring share a vertex, as its last edge and its first do
            apart = (other > mine + 1) & ~((mine == first[mine]) & (other == last[mine]))
            apart |= (other == mine + 1) & (first[other] != first[mine])
            touches += int(np.count_nonzero(apart))
            asked = np.flatnonzero(apart)[:_MOST_TOUCHES]
            crossings += int(np.count_nonzero(shapely.crosses(edges[mine[asked]], edges[other[asked]])))
            if touches > _MOST_TOUCHES or crossings > _MOST_CROSSINGS:
                crossed = f"crosses itself over {_MOST_CROSSINGS:,} times"
                touched = f"crosses or touches itself over {_MOST_TOUCHES:,} times"
                many = crossed if crossings > _MOST_CROSSINGS else touched
                raise ConfigError(
                    f"a polygon of {shapely.get_num_coordinates(polygon):,} vertices {many}: mend it in a GIS, or take its hull"
                )


def _edges(polygon: Geometry) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Edges of all rings that have a length, and for each the place of its ring's first and last edge among them."""
    xy, ring = shapely.get_coordinates(shapely.get_rings(polygon), return_index=True)
    long = (ring[1:] == ring[:-1]) & (xy[1:] != xy[:-1]).any(axis=1)
    owner = ring[:-1][long]
    edges = shapely.linestrings(np.stack([xy[:-1][long], xy[1:][long]], axis=1))
    return edges, np.searchsorted(owner, owner, side="left"), np.searchsorted(owner, owner, side="right") - 1
