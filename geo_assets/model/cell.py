"""Cells: what a grid plugin is, and the table that lists its cells.

A cell's id, edges and CRS follow from the grid's settings alone, never from the area that asked for it.
"""

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
from shapely import MultiPolygon, Polygon

from geo_assets.errors import ConfigError
from geo_assets.model.geohash import geohash_at
from geo_assets.model.geometry import GeoBox
from geo_assets.model.lonlat import mended, split_antimeridian
from geo_assets.model.recipe import GridRecipe
from geo_assets.model.tiling import Area, Floats, Geometries, overlapping
from geo_assets.model.zones import utm_zone_at

EVERYWHERE_LAT = 85.0
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")


class Grid(Protocol):
    """A way to tile the world.

    One that has cells everywhere up to 85 degrees north and south says so by an attribute ``everywhere = True``: an area
    that the cube cannot show is then refused before its cells are made.
    """

    def cells(self, aoi: Area, spec: GridRecipe) -> gpd.GeoDataFrame:
        """All cells that overlap ``aoi`` (EPSG:4326) by area, whole, in EPSG:4326.

        Returns:
            Columns ``cell_id`` (unique, the same for every area), ``geometry``, ``crs`` (the projected CRS in which the
            cell's pixels lie, such as EPSG:32633) and whatever else the grid knows of a cell.

        Raises:
            ConfigError: The settings do not make a grid, or the area does not fit it.
        """
        ...


@dataclass(frozen=True)
class CellBox:
    """A cell as an array of pixels.

    Attributes:
        id: Of the cell.
        box: Its pixels.
        outline: Its outline in EPSG:4326 as WKB.
    """

    id: str
    box: GeoBox
    outline: bytes


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


def table_of_answer(answer: Any, *, where: str) -> gpd.GeoDataFrame:
    """What a user's function returned as a table with a CRS; rows and tables without one count as EPSG:4326.

    Raises:
        ConfigError: Neither a GeoDataFrame nor rows with a geometry.
    """
    if isinstance(answer, gpd.GeoDataFrame):
        return answer if answer.crs is not None else answer.set_crs("EPSG:4326")
    if isinstance(answer, str | bytes) or not isinstance(answer, Iterable):
        raise ConfigError(f"{where} returned {type(answer).__name__}: return a GeoDataFrame, or rows with a geometry")
    rows = list(answer)
    if not all(isinstance(r, Mapping) and "geometry" in r for r in rows):
        raise ConfigError(f"{where} returned rows without 'geometry': give each its polygon")
    columns = None if rows else ["geometry"]
    return gpd.GeoDataFrame(
        pd.DataFrame([dict(r) for r in rows], columns=columns), geometry="geometry", crs="EPSG:4326"
    )


def cells_from_table(
    table: gpd.GeoDataFrame, aoi: Area, *, id_column: str | None, where: str, must_name: bool = False
) -> gpd.GeoDataFrame:
    """Cells of an area from a table of polygons in any CRS.

    Args:
        table: Polygons with a CRS (EPSG:4326 if it has none), and maybe ids.
        aoi: The area in EPSG:4326.
        id_column: Column with the ids; left out: the first of cell_id, grid_id, tile_id and id.
        where: What the table is, for messages.
        must_name: Refuse a table without ids instead of naming its cells by geohash.

    Raises:
        ConfigError: Unknown column, unnamed cells, or geometries that are no polygons on the earth.
    """
    names = _ids_of(table, id_column, where, must_name=must_name)
    geometry = _polygons_lonlat(table, where)
    hit = overlapping(aoi, geometry)
    lon, lat = _centres(geometry[hit])
    ids = geohash_at(lon, lat, 11) if names is None else names[hit]
    if names is None and hit.any():
        warnings.warn(
            f"{where} names no cells: each is named by the geohash of its centroid", UserWarning, stacklevel=3
        )
    kept = table.drop(columns=[table.geometry.name, "crs", "cell_id"], errors="ignore")[hit]
    own = table["crs"].to_numpy()[hit] if "crs" in table.columns else utm_crs(lon, lat)
    return cell_table(ids, geometry[hit], own, **{str(c): kept[c].to_numpy() for c in kept.columns})


def _ids_of(table: gpd.GeoDataFrame, column: str | None, where: str, *, must_name: bool) -> npt.NDArray[Any] | None:
    listed = ", ".join(map(str, table.columns))[:200]
    if column is not None and column not in table.columns:
        raise ConfigError(f"{where} has no column {column!r}; it has {listed}")
    column = column or next((c for c in ("cell_id", "grid_id", "tile_id", "id") if c in table.columns), None)
    if column is None and must_name:
        raise ConfigError(f"{where} does not name its cells: set id_column to one of {listed}")
    return None if column is None else table[column].astype(str).to_numpy(object)


def _polygons_lonlat(table: gpd.GeoDataFrame, where: str) -> Geometries:
    given = table.geometry.to_numpy()
    if (shapely.is_missing(given) | (shapely.get_dimensions(given) < 2) | shapely.is_empty(given)).any():
        raise ConfigError(f"{where} has cells that are no polygons: each needs an area")
    moved: Geometries = table.geometry.to_crs("EPSG:4326").to_numpy()
    xy = shapely.get_coordinates(moved)
    if not np.isfinite(xy).all() or (np.abs(xy) > (360, 90 + 1e-6)).any():
        raise ConfigError(f"{where} has cells outside the world: its CRS ({table.crs}) is probably declared wrongly")
    bounds = shapely.bounds(moved)
    wide = np.flatnonzero((bounds[:, 2] - bounds[:, 0] > 180) | (np.abs(bounds[:, [0, 2]]) > 180).any(axis=1))
    moved[wide] = [split_antimeridian(g) for g in moved[wide]]
    broken = ~shapely.is_valid(moved)
    try:
        moved[broken] = [polygons_of(g) for g in mended(moved[broken])]
    except ConfigError as e:
        raise ConfigError(f"{where}: {e}") from e
    return moved


def _centres(geometry: Geometries) -> tuple[Floats, Floats]:
    """Centroids; of cells across the antimeridian the centroid of their larger part."""
    largest = [max(shapely.get_parts(g), key=shapely.area) if g.geom_type != "Polygon" else g for g in geometry]
    points = shapely.centroid(np.asarray(largest, dtype=object))
    return shapely.get_x(points), shapely.get_y(points)
