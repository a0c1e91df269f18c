"""Cells: what a grid plugin is, and the table that lists its cells.

A cell's id, edges and CRS follow from the grid's settings alone, never from the area that asked for it.
"""

import re
from typing import Any, Protocol

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon

from geo_assets.errors import ConfigError
from geo_assets.model.geometry import utm_zone_at
from geo_assets.model.recipe import GridRecipe
from geo_assets.model.tiling import Area, Floats, Geometries

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")


class Grid(Protocol):
    """A way to tile the world."""

    def cells(self, aoi: Area, spec: GridRecipe) -> gpd.GeoDataFrame:
        """All cells that overlap ``aoi`` (EPSG:4326) by area, whole, in EPSG:4326.

        Returns:
            Columns ``cell_id`` (unique, the same for every area), ``geometry``, ``crs`` (the projected CRS in which the
            cell's pixels lie, such as EPSG:32633) and whatever else the grid knows of a cell.

        Raises:
            ConfigError: The settings do not make a grid, or the area does not fit it.
        """
        ...


def cells_of(grid: Grid, aoi: Area, spec: GridRecipe) -> gpd.GeoDataFrame:
    """Checked cells of an area, cut at its border where ``spec.clip`` says so.

    Raises:
        ConfigError: No cell overlaps the area, or the grid's answer has missing columns, unfit or repeated ids.
    """
    table = grid.cells(aoi, spec)
    missing = {"cell_id", "geometry", "crs"} - set(table.columns)
    if missing:
        raise ConfigError(
            f"grid {spec.kind!r} returned cells without {', '.join(sorted(missing))}: mend the grid plugin"
        )
    if not len(table):
        raise ConfigError(f"no cell of grid {spec.kind!r} overlaps the area: choose another grid or area")
    check_ids(table["cell_id"].to_numpy(), where=f"grid {spec.kind!r}")
    return clip_cells(table, aoi) if spec.clip else table


def check_ids(ids: npt.NDArray[Any], *, where: str) -> None:
    """Refuses ids that repeat or that could not be a file name.

    Raises:
        ConfigError: Says which id.
    """
    values, counts = np.unique(ids.astype(str), return_counts=True)
    if counts.max(initial=0) > 1:
        raise ConfigError(
            f"{where}: cell id {values[counts.argmax()][:80]!r} occurs {counts.max()} times: ids must be unique"
        )
    bad = next((v for v in values if not _ID.fullmatch(v) or ".." in v), None)
    if bad is not None:
        raise ConfigError(f"{where}: {bad[:80]!r} is not a cell id: use up to 64 letters, digits, '_', '-' and '.'")


def cell_table(
    ids: npt.NDArray[Any], geometry: Geometries, crs: npt.NDArray[Any] | str, **columns: Any
) -> gpd.GeoDataFrame:
    """The table of cells, EPSG:4326."""
    data = {"cell_id": ids.astype(object), "crs": crs, **columns}
    return gpd.GeoDataFrame(data, geometry=geometry, crs="EPSG:4326")


def utm_crs(lon: Floats, lat: Floats) -> npt.NDArray[np.object_]:
    """CRS of the UTM zones at points, such as EPSG:32633; the nearest zone beyond 84 N and 80 S."""
    names: npt.NDArray[np.object_] = np.char.add("EPSG:", utm_zone_at(lon, lat).astype(str)).astype(object)
    return names


def clip_cells(cells: gpd.GeoDataFrame, aoi: Area) -> gpd.GeoDataFrame:
    """The cells cut at the border of ``aoi`` (EPSG:4326); ids and other columns stay."""
    geometry = cells.geometry.to_numpy().copy()
    shapely.prepare(aoi)
    border = np.flatnonzero(~shapely.covers(aoi, geometry))
    geometry[border] = [polygons_of(g) for g in shapely.intersection(geometry[border], aoi)]
    cut = cells.set_geometry(gpd.GeoSeries(geometry, index=cells.index, crs="EPSG:4326"))
    return cut[shapely.area(geometry) > 0]


def polygons_of(geometry: Any) -> Area:
    """The polygons in a geometry; lines and points that an intersection or a repair left over are dropped."""
    if isinstance(geometry, Polygon):
        return geometry
    parts = shapely.get_parts(shapely.get_parts(geometry))
    kept = [p for p in parts if isinstance(p, Polygon) and not p.is_empty]
    return kept[0] if len(kept) == 1 else MultiPolygon(kept)
