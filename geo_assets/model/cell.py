"""Cells: what a grid plugin is, and what all grids share: which cells an area overlaps, and the table that lists them.

A cell's id, edges and CRS follow from the grid's settings alone, never from the area that asked for it.
"""

import re
from typing import Any, Protocol, TypeAlias

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely
from shapely import MultiPolygon, Polygon

from geo_assets.errors import ConfigError
from geo_assets.model.recipe import GridRecipe

MAX_CELLS = 20_000_000
TOUCH = 1e-6  # an overlap narrower than this part of a cell is a shared edge, not an overlap
_LEAF_CELLS = 256  # pieces of an area that are this small are tested cell by cell
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Geometries: TypeAlias = npt.NDArray[np.object_]
Area: TypeAlias = Any  # Polygon or MultiPolygon; shapely has no types


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


def refuse_too_many(count: float, *, what: str) -> None:
    """Stops before a grid fills the memory.

    Raises:
        ConfigError: ``count`` is over the limit.
    """
    if count > MAX_CELLS:
        raise ConfigError(
            f"{what} would make about {count:,.0f} cells and {MAX_CELLS:,} is the most: choose larger cells or a smaller area"
        )


def subdivide(area: Area, cell: tuple[float, float]) -> Geometries:
    """Pieces of an area that are rectangles or no wider than a few cells of (width, height).

    So scattered and slanted areas cost what their own size costs, not what their bounding box does.
    """
    todo, done = shapely.get_parts(area), []
    while len(todo):
        west, south, east, north = shapely.bounds(todo).T
        across, up = (east - west) / cell[0], (north - south) / cell[1]
        full = shapely.area(todo) >= (1 - 1e-12) * (east - west) * (north - south)
        ready = full | (across * up <= _LEAF_CELLS)
        done.append(todo[ready])
        todo, west, south, east, north, wide = (a[~ready] for a in (todo, west, south, east, north, across > up))
        mid_x, mid_y = np.where(wide, (west + east) / 2, east), np.where(wide, north, (south + north) / 2)
        low = shapely.box(west, south, mid_x, mid_y)
        high = shapely.box(np.where(wide, mid_x, west), np.where(wide, south, mid_y), east, north)
        halves = np.concatenate([shapely.intersection(todo, low), shapely.intersection(todo, high)])
        parts = shapely.get_parts(shapely.get_parts(halves))
        todo = parts[shapely.area(parts) > 0]
    return np.concatenate(done) if done else np.empty(0, object)


def expand(first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """All integers of the ranges ``first..last`` (inclusive): the index of the range and the integer, one entry each."""
    counts = np.maximum(last - first + 1, 0)
    owner = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, first[owner] + nth


def overlap(pieces: Geometries, owner: Ints, bounds: tuple[Floats, Floats, Floats, Floats]) -> npt.NDArray[np.bool_]:
    """Which candidate cells (west, south, east, north) overlap their piece by area; those in a full rectangle do."""
    west, south, east, north = bounds
    edges = shapely.bounds(pieces)
    full = shapely.area(pieces) >= (1 - 1e-12) * (edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1])
    hit = np.ones(len(owner), bool)
    ask = np.flatnonzero(~full[owner])
    dx, dy = TOUCH * (east - west)[ask], TOUCH * (north - south)[ask]
    shapely.prepare(pieces)
    boxes = shapely.box(west[ask] + dx, south[ask] + dy, east[ask] - dx, north[ask] - dy)
    hit[ask] = shapely.intersects(pieces[owner[ask]], boxes)
    return hit


def regular_cells(
    area: Area, *, origin: tuple[float, float], step: tuple[float, float], what: str
) -> tuple[Ints, Ints]:
    """Rows (northward) and columns of the cells of a regular grid that overlap an area by area, south-west first.

    Args:
        area: In the coordinates of the grid.
        origin: X and y of the lower left corner of cell (0, 0).
        step: Width and height of a cell.
        what: Name of the grid for messages.

    Raises:
        ConfigError: Far too many cells.
    """
    (x0, y0), (dx, dy) = origin, step
    refuse_too_many(area.area / (dx * dy), what=what)
    pieces = subdivide(area, step)
    west, south, east, north = shapely.bounds(pieces).T
    row0, row1 = _range((south - y0) / dy, (north - y0) / dy)
    col0, col1 = _range((west - x0) / dx, (east - x0) / dx)
    refuse_too_many(float(((row1 - row0 + 1.0) * (col1 - col0 + 1.0)).sum()), what=what)
    piece, row = expand(row0, row1)
    nth, col = expand(col0[piece], col1[piece])
    piece, row = piece[nth], row[nth]
    hit = overlap(pieces, piece, (x0 + col * dx, y0 + row * dy, x0 + (col + 1) * dx, y0 + (row + 1) * dy))
    return distinct(row[hit], col[hit])


def _range(low: Floats, high: Floats) -> tuple[Ints, Ints]:
    return np.floor(low + TOUCH).astype(np.int64), np.ceil(high - TOUCH).astype(np.int64) - 1


def distinct(row: Ints, col: Ints) -> tuple[Ints, Ints]:
    """Pairs without repetition, by row, then column."""
    if not len(row):
        return row, col
    wide = int(col.max() - col.min()) + 1
    key = np.unique((row - row.min()) * wide + (col - col.min()))
    return key // wide + row.min(), key % wide + col.min()
