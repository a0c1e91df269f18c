"""Which cells of a grid an area overlaps, without a look at every cell of its bounding box.

The area is cut into pieces first: rectangles, whose cells all overlap, and small pieces along its border, whose cells are
tested one by one. All of it works on arrays.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import shapely

from geo_assets.errors import ConfigError

MAX_CELLS = 20_000_000
TOUCH = 1e-6  # an overlap narrower than this part of a cell, and of the area, is a shared edge and not an overlap
_LEAF_CELLS = 256  # pieces of an area that are this small are tested cell by cell
_WHOLE = 1 - 1e-12  # a piece that fills this part of its bounding box is a rectangle

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Geometries: TypeAlias = npt.NDArray[np.object_]
Area: TypeAlias = Any  # Polygon or MultiPolygon; shapely has no types
Bounds: TypeAlias = tuple[Floats, Floats, Floats, Floats]


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
        full = shapely.area(todo) >= _WHOLE * (east - west) * (north - south)
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


def overlap(pieces: Geometries, owner: Ints, bounds: Bounds) -> npt.NDArray[np.bool_]:
    """Which candidate cells (west, south, east, north) overlap their piece by area."""
    west, south, east, north = bounds
    edges = shapely.bounds(pieces)
    left, bottom, right, top = edges[owner].T
    dx, dy = TOUCH * np.minimum(east - west, right - left), TOUCH * np.minimum(north - south, top - bottom)
    hit: npt.NDArray[np.bool_] = (np.minimum(east, right) - np.maximum(west, left) > dx) & (
        np.minimum(north, top) - np.maximum(south, bottom) > dy
    )
    full = shapely.area(pieces) >= _WHOLE * (edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1])
    ask = np.flatnonzero(hit & ~full[owner])
    shapely.prepare(pieces)
    boxes = shapely.box((west + dx)[ask], (south + dy)[ask], (east - dx)[ask], (north - dy)[ask])
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
    row0, row1 = index_range((south - y0) / dy, (north - y0) / dy)
    col0, col1 = index_range((west - x0) / dx, (east - x0) / dx)
    refuse_too_many(float(((row1 - row0 + 1.0) * (col1 - col0 + 1.0)).sum()), what=what)
    piece, row = expand(row0, row1)
    nth, col = expand(col0[piece], col1[piece])
    piece, row = piece[nth], row[nth]
    hit = overlap(pieces, piece, (x0 + col * dx, y0 + row * dy, x0 + (col + 1) * dx, y0 + (row + 1) * dy))
    return distinct(row[hit], col[hit])


def index_range(low: Floats, high: Floats) -> tuple[Ints, Ints]:
    """First and last cell that the spans ``low``..``high`` (in cells) overlap; last < first where they overlap none."""
    edge = TOUCH * np.minimum(high - low, 1)
    return np.floor(low + edge).astype(np.int64), np.ceil(high - edge).astype(np.int64) - 1


def distinct(row: Ints, col: Ints) -> tuple[Ints, Ints]:
    """Pairs without repetition, by row, then column."""
    if not len(row):
        return row, col
    wide = int(col.max() - col.min()) + 1
    key = np.unique((row - row.min()) * wide + (col - col.min()))
    return key // wide + row.min(), key % wide + col.min()


def overlapping(area: Area, cells: Geometries) -> npt.NDArray[np.bool_]:
    """Which polygons of any shape overlap an area by more than a millionth of their own area."""
    near = shapely.STRtree(cells)
    sizes = shapely.area(cells)
    typical = float(np.sqrt(np.median(sizes))) if len(cells) else 1.0
    pieces = subdivide(area, (max(typical, 1e-6), max(typical, 1e-6)))
    piece, cell = near.query(pieces, predicate="intersects")
    shared = np.bincount(cell, shapely.area(shapely.intersection(pieces[piece], cells[cell])), minlength=len(cells))
    hit: npt.NDArray[np.bool_] = shared > TOUCH * np.minimum(sizes, area.area)
    return hit


def lonlat_boxes(bounds: Bounds) -> Geometries:
    """Boxes (west, south, east, north in degrees); what reaches beyond 180 degrees goes on at the other side."""
    west, south, east, north = bounds
    turn = 360.0 * (np.floor((west + 180) / 360 + 1e-12))
    west, east = np.maximum(west - turn, -180.0), east - turn
    south, north = np.maximum(south, -90.0), np.minimum(north, 90.0)
    boxes: Geometries = shapely.box(west, south, np.minimum(east, 180.0), north)
    over = np.flatnonzero(east > 180 + 1e-9)
    rest = shapely.box(np.full(len(over), -180.0), south[over], east[over] - 360, north[over])
    boxes[over] = [shapely.MultiPolygon([a, b]) for a, b in zip(boxes[over], rest, strict=True)]
    return boxes


def spherical(area: Area) -> float:
    """Size of an area (EPSG:4326) in square degrees at the equator."""

    def flatten(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack([xy[:, 0], np.degrees(np.sin(np.radians(xy[:, 1])))])

    return float(shapely.transform(area, flatten).area)
