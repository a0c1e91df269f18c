"""Where target pixels lie in a source's CRS: cells of a fixed lattice, whose coordinates depend on nothing but the pixel."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox, spaced

CELL_PX = (
    16  # cells of the lattice; coordinates are a parabola in each direction through three transformed points a side
)
_HALF_PX = CELL_PX // 2
_SAFETY = 4.0  # the true error is taken to be at most this many times the one seen at the two points that are checked

Coordinates = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Nodes:
    """Transformed points of the cells that hold a target window.

    The lattice is counted from the origin of the CRS, not from the window: a pixel has the same coordinates, to the last
    bit, whatever window it is computed in.

    Attributes:
        x: X in the source's CRS at every eighth pixel corner, dims (2 * cells + 1 down, 2 * cells + 1 across).
        y: Y, likewise.
        error: How far the parabolas may be from the truth in a cell, in units of the source's CRS, dims (down, across).
        row: Place of the window's first row in its first cell, 0 to 15.
        col: Place of the window's first column in its first cell, 0 to 15.
        edge_x: X of points along the window's border, which may run through its outer cells.
        edge_y: Y of these points.
    """

    x: Coordinates
    y: Coordinates
    error: Coordinates
    row: int
    col: int
    edge_x: Coordinates
    edge_y: Coordinates

    @property
    def points(self) -> int:
        """How many."""
        return self.x.size


def phase(box: GeoBox) -> tuple[int, int]:
    """Place of a window's first row and column in its first cell, 0 to 15 each."""
    return int((-box.top / box.resolution) // 1) % CELL_PX, int((box.left / box.resolution) // 1) % CELL_PX


def cells_of(box: GeoBox, row: int, rows: int, col: int, cols: int) -> tuple[slice, slice]:
    """Cells of a window's lattice that hold some of its rows and columns."""
    down, across = phase(box)
    return (
        slice((row + down) // CELL_PX, -(-(row + down + rows) // CELL_PX)),
        slice((col + across) // CELL_PX, -(-(col + across + cols) // CELL_PX)),
    )


def nodes(box: GeoBox, crs: str) -> Nodes:
    """The lattice under a target window, in the CRS of a source.

    Args:
        box: Target window.
        crs: CRS of the source.

    Returns:
        Coordinates; infinite where the CRS of the source does not reach.
    """
    rows, cols = box.shape
    row, col = phase(box)
    down, across = -(-(row + rows) // CELL_PX), -(-(col + cols) // CELL_PX)
    # Every eighth corner
    y = spaced(box.top + row * box.resolution, -box.resolution * _HALF_PX, 2 * down + 1)
    x = spaced(box.left - col * box.resolution, box.resolution * _HALF_PX, 2 * across + 1)
    quarter = float(box.resolution) * _HALF_PX / 2
    at_x, at_y = _moved(x, y, box.crs, crs)
    error = np.zeros((down, across))
    if box.crs != crs:
        for side in (-1, 1):  # where a parabola is furthest from a cubic: halfway between its points
            true_x, true_y = _moved(x[1::2] + side * quarter, y[1::2] - side * quarter, box.crs, crs)
            between = 0.5 + side * 0.25
            for true, at in ((true_x, at_x), (true_y, at_y)):
                with np.errstate(invalid="ignore"):
                    off = np.abs(_inside(at, between) - true)
                error = np.maximum(error, np.where(np.isfinite(off), off, np.inf))
    return Nodes(at_x, at_y, error * _SAFETY, row, col, *_border(box, crs))


def _border(box: GeoBox, crs: str) -> tuple[Coordinates, Coordinates]:
    """Points along a window's border, every sixteen pixels."""
    left, bottom, right, top = box.bounds
    t = np.linspace(0.0, 1.0, max(2, max(box.shape) // CELL_PX + 2))
    across, down = left + (right - left) * t, top + (bottom - top) * t
    x = np.concatenate([across, across, np.full_like(t, left), np.full_like(t, right)])
    y = np.concatenate([np.full_like(t, top), np.full_like(t, bottom), down, down])
    if box.crs != crs:
        x, y = transformer(box.crs, crs).transform(x, y)
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def _moved(x: Coordinates, y: Coordinates, source: str, target: str) -> tuple[Coordinates, Coordinates]:
    grid_x, grid_y = np.meshgrid(x, y)
    if source == target:
        return grid_x, grid_y
    moved = transformer(source, target).transform(grid_x, grid_y)
    return np.asarray(moved[0], np.float64), np.asarray(moved[1], np.float64)


def _inside(at: Coordinates, share: float) -> Coordinates:
    """What the parabolas say at a share of each cell's side, down and across."""
    first, middle, last = 2 * (share - 0.5) * (share - 1), 4 * share * (1 - share), 2 * share * (share - 0.5)
    down = first * at[:-2:2] + middle * at[1::2] + last * at[2::2]
    return first * down[:, :-2:2] + middle * down[:, 1::2] + last * down[:, 2::2]


def exact(
    box: GeoBox, crs: str, rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64]
) -> tuple[Coordinates, Coordinates]:
    """Coordinates of single pixels' centres in the source's CRS, transformed one by one.

    Args:
        box: Target window.
        crs: CRS of the source.
        rows: Rows in the window.
        cols: Columns in the window, as many.
    """
    xs, ys = box.centers()
    if box.crs == crs:
        return xs[cols], ys[rows]
    x, y = transformer(box.crs, crs).transform(xs[cols], ys[rows])
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def jumps(at: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.bool_]:
    """Nodes from one of which to the next a coordinate goes by half of the level or more, as over the antimeridian.

    The pixels between them may lie beyond both, so their cells cover the whole level.
    """
    found = np.zeros(at.shape, bool)
    with np.errstate(invalid="ignore"):  # nodes out of the CRS's reach
        down, across = (np.abs(np.diff(at, axis=axis)) > size / 2 for axis in (0, 1))
    found[1:] |= down
    found[:-1] |= down
    found[:, 1:] |= across
    found[:, :-1] |= across
    return found


def all_finite(at: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Cells all of whose nodes are finite."""
    good = np.isfinite(at)
    across = good[:, :-2:2] & good[:, 1::2] & good[:, 2::2]
    cells: npt.NDArray[np.bool_] = across[:-2:2] & across[1::2] & across[2::2]
    return cells
