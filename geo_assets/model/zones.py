"""UTM zones as the Military Grid Reference System defines them, with Norway's and Svalbard's odd ones."""

import functools

import numpy as np
import numpy.typing as npt
import shapely
from shapely import Geometry, MultiPolygon, Polygon

from geo_assets.errors import ConfigError

UTM_LAT = (-80.0, 84.0)  # the UTM part of the Military Grid Reference System (NGA.STND.0037, section 2)


def zone_polygon(zone: int, *, north: bool) -> Polygon | MultiPolygon:
    """Area of a UTM zone in EPSG:4326 as the MGRS defines it, with Norway's and Svalbard's odd zones.

    Source: NGA.STND.0037, section 2 and its table of zone exceptions (32V, 31X, 33X, 35X, 37X).
    """
    west, east = -180.0 + 6 * (zone - 1), -180.0 + 6 * zone
    if not north:
        return shapely.box(west, UTM_LAT[0], east, 0.0)
    vee = {31: (0.0, 3.0), 32: (3.0, 12.0)}.get(zone, (west, east))
    xray = {31: (0.0, 9.0), 33: (9.0, 21.0), 35: (21.0, 33.0), 37: (33.0, 42.0)}.get(zone, (west, east))
    parts = [
        shapely.box(west, 0.0, east, 56.0),
        shapely.box(vee[0], 56.0, vee[1], 64.0),
        shapely.box(west, 64.0, east, 72.0),
    ]
    if zone not in (32, 34, 36):
        parts.append(shapely.box(xray[0], 72.0, xray[1], UTM_LAT[1]))
    return shapely.union_all(parts)


@functools.cache
def _zones() -> tuple[tuple[str, ...], npt.NDArray[np.object_]]:
    names = [(z, n) for n in (True, False) for z in range(1, 61)]
    polygons = np.array([zone_polygon(z, north=n) for z, n in names], dtype=object)
    return tuple(f"EPSG:{(32600 if n else 32700) + z}" for z, n in names), polygons


def utm_zones_of(geometry: Geometry) -> list[str]:
    """CRSs of the UTM zones whose area a geometry (EPSG:4326) overlaps, north first.

    Raises:
        ConfigError: The geometry reaches beyond 84 N or 80 S, where there is no UTM.
    """
    _, south, _, north = geometry.bounds
    if south < UTM_LAT[0] or north > UTM_LAT[1]:
        raise ConfigError(
            f"the area reaches latitude {south if south < UTM_LAT[0] else north:.2f}, and UTM ends at 80 S and 84 N: "
            "set cube.crs to a polar CRS such as EPSG:3413 (north) or EPSG:3031 (south), or cut the area"
        )
    names, polygons = _zones()
    shapely.prepare(geometry)
    hit = shapely.intersects(geometry, polygons) & ~shapely.touches(geometry, polygons)
    return [names[i] for i in np.flatnonzero(hit)]


def utm_zone_at(lon: npt.ArrayLike, lat: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """EPSG codes of the UTM zones at points, as the MGRS defines them; poleward of its ends the nearest band's zone."""
    lon_, lat_ = (np.asarray(lon, np.float64) + 180) % 360 - 180, np.asarray(lat, np.float64)
    zone = np.clip(np.floor((lon_ + 180) / 6).astype(np.int64) + 1, 1, 60)
    vee = (lat_ >= 56) & (lat_ < 64) & (lon_ >= 3) & (lon_ < 12)
    zone = np.where(vee, 32, zone)
    xray = (lat_ >= 72) & (lon_ >= 0) & (lon_ < 42)
    odd = np.select([lon_ < 9, lon_ < 21, lon_ < 33], [31, 33, 35], 37)
    zone = np.where(xray, odd, zone)
    codes: npt.NDArray[np.int64] = np.where(lat_ >= 0, 32600, 32700) + zone
    return codes
