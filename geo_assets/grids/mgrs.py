"""The 100 km squares of the Military Grid Reference System, as they are inside their grid zone (``32TMT``).

Names follow NGA.STND.0037, section 3 (the letters of WGS 84). Squares at the border of a zone or of a latitude band are
cut there, so all squares together tile the world between 80 S and 84 N.
"""

import warnings

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely

from geo_assets.errors import ConfigError
from geo_assets.model.cell import cell_table, polygons_of
from geo_assets.model.crs import reproject
from geo_assets.model.lonlat import densify, mended
from geo_assets.model.recipe import GridRecipe
from geo_assets.model.tiling import Area, Geometries, Ints, regular_cells
from geo_assets.model.zones import UTM_LAT, zone_polygon

SIDE_M = 100_000.0
_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_COLUMNS = np.array(["ABCDEFGH", "JKLMNPQR", "STUVWXYZ"], dtype="<U8").view("<U1").reshape(3, 8)
_ROWS = np.array(list("ABCDEFGHJKLMNPQRSTUV"))
_EDGE_M = 5_000.0


class MgrsGrid:
    """Squares of 100 km, cut at zones and bands."""

    def cells(self, aoi: Area, spec: GridRecipe) -> gpd.GeoDataFrame:
        """Cells such as ``32TMT`` with their ``zone`` and ``band``."""
        _, south, _, north = aoi.bounds
        if south >= UTM_LAT[1] or north <= UTM_LAT[0]:
            raise ConfigError(
                "the area lies beyond 84 N or 80 S, where the grid mgrs ends: choose square with a polar CRS"
            )
        if south < UTM_LAT[0] or north > UTM_LAT[1]:
            warnings.warn(
                "the grid mgrs ends at 80 S and 84 N: the rest of the area has no cells", UserWarning, stacklevel=3
            )
        shapely.prepare(aoi)
        found = [_squares(aoi, zone, band) for zone in range(1, 61) for band in _BANDS if _meets(aoi, zone, band)]
        full = [t for t in found if len(t)]
        if not full:
            return cell_table(np.empty(0, object), np.empty(0, object), "", zone=[], band=[])
        return gpd.GeoDataFrame(pd.concat(full, ignore_index=True), crs="EPSG:4326")


def grid_zone(zone: int, band: str) -> Area:
    """Area of a grid zone such as 32T in EPSG:4326; empty where Svalbard leaves none."""
    index = _BANDS.index(band)
    low, high = -80.0 + 8 * index, UTM_LAT[1] if band == "X" else -72.0 + 8 * index
    return shapely.intersection(zone_polygon(zone, north=low >= 0), shapely.box(-180, low, 180, high))


def _meets(aoi: Area, zone: int, band: str) -> bool:
    return bool(shapely.intersects(aoi, grid_zone(zone, band)))


def _squares(aoi: Area, zone: int, band: str) -> gpd.GeoDataFrame:
    place = grid_zone(zone, band)
    crs = f"EPSG:{(32600 if band >= 'N' else 32700) + zone}"
    part = polygons_of(shapely.intersection(aoi, place))
    area = reproject(densify(part), "EPSG:4326", crs)
    area = area if area.is_valid else polygons_of(mended(area))
    row, col = regular_cells(area, origin=(0.0, 0.0), step=(SIDE_M, SIDE_M), what="squares of 100 km")
    boxes = shapely.box(col * SIDE_M, row * SIDE_M, (col + 1) * SIDE_M, (row + 1) * SIDE_M)
    outline = reproject(shapely.segmentize(boxes, _EDGE_M), crs, "EPSG:4326")
    whole = np.asarray([polygons_of(g) for g in shapely.intersection(_unrolled(outline, zone), place)], dtype=object)
    some = shapely.area(whole) > 0
    ids = _names(zone, band, row, col)
    return cell_table(ids[some], whole[some], crs, zone=zone, band=band)


def _unrolled(outline: Geometries, zone: int) -> Geometries:
    middle = -183.0 + 6 * zone

    def near(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        lon = (xy[:, 0] - middle + 180) % 360 - 180 + middle
        return np.column_stack([lon, xy[:, 1]])

    unrolled: Geometries = shapely.transform(outline, near)
    return unrolled


def _names(zone: int, band: str, row: Ints, col: Ints) -> npt.NDArray[np.str_]:
    letters = np.char.add(_COLUMNS[(zone - 1) % 3, col - 1], _ROWS[(row + (5 if zone % 2 == 0 else 0)) % 20])
    return np.char.add(f"{zone:02d}{band}", letters)


PLUGIN = MgrsGrid()
