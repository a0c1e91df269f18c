"""Square cells in any projected CRS, counted from its origin (0, 0): column eastward, row northward.

The same place has the same id whatever area asks. In CRSs that end at the antimeridian (EPSG:3857) the outermost cells
end there too.
"""

import functools
import math

import geopandas as gpd
import numpy as np
import pyproj
import shapely

from geo_assets.errors import ConfigError
from geo_assets.model.cell import cell_table, polygons_of
from geo_assets.model.crs import canonical_crs, reproject, transformer
from geo_assets.model.lonlat import densify, mended, to_lonlat
from geo_assets.model.recipe import GridRecipe
from geo_assets.model.tiling import Area, Bounds, Floats, Geometries, Ints, regular_cells

DEFAULT_CRS = "EPSG:3857"
_EDGE_M = 5_000.0  # longer edges get vertices in between, so that they stay straight in the CRS
_SEAM_M = 1_000_000.0  # no edge of 0.05 degrees is this long, unless it crosses the place where the plane is cut open


class SquareGrid:
    """Squares of ``size_m`` in the CRS ``crs``."""

    everywhere = True

    def cells(self, aoi: Area, spec: GridRecipe) -> gpd.GeoDataFrame:
        """Cells ``square_{col}_{row}`` with their ``col``, ``row``, ``size_m`` and ``crs``."""
        crs = canonical_crs(spec.crs or DEFAULT_CRS)
        proj = pyproj.CRS.from_user_input(crs)
        if not proj.is_projected:
            raise ConfigError(
                f"square cells need a projected CRS and {crs} is not: choose one such as EPSG:3035, or the grid lonlat"
            )
        side = spec.size_m / proj.axis_info[0].unit_conversion_factor
        area = project_area(aoi, crs)
        row, col = regular_cells(area, origin=(0.0, 0.0), step=(side, side), what=f"square cells of {spec.size_m:g} m")
        west, east = _world(crs)
        bounds = np.maximum(col * side, west), row * side, np.minimum((col + 1) * side, east), (row + 1) * side
        ids = np.char.add(np.char.add("square_", col.astype(str)), np.char.add("_", row.astype(str)))
        return cell_table(ids, squares_lonlat(bounds, crs), crs, col=col, row=row, size_m=spec.size_m)


def project_area(aoi: Area, crs: str) -> Area:
    """An area (EPSG:4326) in a projected CRS.

    Raises:
        ConfigError: It reaches beyond what the CRS can show, or across the line where its plane is cut open, or is tangled there.
    """
    area = reproject(densify(aoi), "EPSG:4326", crs)
    xy, ring = shapely.get_coordinates(area, return_index=False), _rings(area)
    limit = _SEAM_M / pyproj.CRS.from_user_input(crs).axis_info[0].unit_conversion_factor
    steps = np.abs(np.diff(xy, axis=0)).max(axis=1)[ring[1:] == ring[:-1]]
    if not np.isfinite(xy).all() or steps.max(initial=0) > limit:
        raise ConfigError(
            f"the area reaches beyond what {crs} can show: set grid.crs to a CRS that covers it, or cut the area"
        )
    if not area.is_valid:
        area = polygons_of(mended(area))
    return area


def _rings(area: Area) -> Ints:
    rings = shapely.get_rings(area)
    owner: Ints = np.repeat(np.arange(len(rings)), shapely.get_num_coordinates(rings))
    return owner


def squares_lonlat(bounds: Bounds, crs: str) -> Geometries:
    """Boxes of a projected CRS (west, south, east, north) in EPSG:4326, split where they cross the antimeridian."""
    west, south, east, north = bounds
    if not len(west):
        return np.empty(0, object)
    x, y = _outline(west, south, east, north, crs)
    lon, lat = transformer(crs, "EPSG:4326").transform(x, y)
    broken = ~(np.isfinite(lon) & np.isfinite(lat)).all(axis=1)
    if broken.any():
        raise ConfigError(
            f"cells at the border of {crs} have no longitude and latitude: choose a CRS that covers the area"
        )
    lon = _at_border(lon, x, crs)
    cells: Geometries = shapely.polygons(shapely.linearrings(np.stack([lon, lat], axis=-1)))
    odd = np.flatnonzero(np.ptp(lon, axis=1) > 180)
    odd = np.union1d(odd, _around_poles(west, south, east, north, crs))
    boxes = shapely.box(west[odd], south[odd], east[odd], north[odd])
    cells[odd] = [to_lonlat(b, crs) for b in boxes]
    return cells


def _outline(west: Floats, south: Floats, east: Floats, north: Floats, crs: str) -> tuple[Floats, Floats]:
    unit = pyproj.CRS.from_user_input(crs).axis_info[0].unit_conversion_factor
    n = 1 if crs == DEFAULT_CRS else max(1, min(32, math.ceil(float((north - south).max()) * unit / _EDGE_M)))
    t = np.arange(n) / n
    zero, one = np.zeros(n), np.ones(n)
    u = np.concatenate([t, one, 1 - t, zero, [0.0]])
    v = np.concatenate([zero, t, one, 1 - t, [0.0]])
    x = west[:, None] * (1 - u) + east[:, None] * u
    y = south[:, None] * (1 - v) + north[:, None] * v
    return x, y


@functools.lru_cache(maxsize=64)
def _world(crs: str) -> tuple[float, float]:
    """X of the antimeridian's two sides where the plane of a cylindrical CRS is cut there, else no limits."""
    x, _ = transformer("EPSG:4326", crs).transform([-180.0, -180.0, 180.0, 180.0], [0.0, 60.0, 0.0, 60.0])
    cylindrical = np.isfinite(x).all() and math.isclose(x[0], x[1]) and math.isclose(x[2], x[3]) and x[0] < x[2]
    return (x[0], x[2]) if cylindrical else (-math.inf, math.inf)


def _at_border(lon: Floats, x: Floats, crs: str) -> Floats:
    west, east = _world(crs)
    return np.where(x <= west, -180.0, np.where(x >= east, 180.0, lon))


def _around_poles(west: Floats, south: Floats, east: Floats, north: Floats, crs: str) -> Ints:
    hits = []
    for pole in (90.0, -90.0):
        x, y = transformer("EPSG:4326", crs).transform(0.0, pole)
        if math.isfinite(x) and math.isfinite(y):
            hits.append(np.flatnonzero((west <= x) & (x <= east) & (south <= y) & (y <= north)))
    return np.concatenate(hits) if hits else np.empty(0, np.int64)


PLUGIN = SquareGrid()
