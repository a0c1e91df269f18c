"""Coordinates of target pixels in a level, as compiled loops share them; ``geo_assets.eo.warp`` says where they come from.

A loop goes down row by row, and in each row over the cells of the lattice that hold a wanted pixel: only of these are
coordinates computed, one cell behind the other in arrays that are as long as the row.
"""
# mypy: allow-untyped-defs

from typing import Any, NamedTuple

import numpy as np

from geo_assets.eo._jit import kernel
from geo_assets.eo.lattice import CELL_PX

CELL = CELL_PX


class Grid(NamedTuple):
    """Coordinates of a strip's pixels in pixels of the level.

    Attributes:
        separable: Whether columns and rows have coordinates of their own: ``x`` and ``y``.
        x: Of each column's centre, or of each edge.
        y: Of each row's.
        gx: Of the lattice's nodes, else.
        gy: Likewise.
        row: Place of the strip's first row in the lattice.
        col: Place of its first column.
        patch: Number of a cell's patch plus 1, dims (cells down, cells across); 0 where it has none.
        px: Coordinates of every pixel of the cells with a patch, dims (patch, y, x).
        py: Likewise.
    """

    separable: bool
    x: Any
    y: Any
    gx: Any
    gy: Any
    row: int
    col: int
    patch: Any
    px: Any
    py: Any


@kernel
def missing(v, stored, has):
    return (has & (v == stored)) | (v != v)


@kernel
def rounded(value, limits):
    """As GDAL stores a result: integers rounded half up, within their range, and never nodata."""
    fill, low, high, whole = limits
    if whole:
        value = np.floor(value + 0.5)
        value = min(max(value, low), high)
    if value == fill:
        value = fill + 1 if fill < high else fill - 1
    return value


@kernel
def parabola(a, b, c, share):
    """Through three points at 0, 1/2 and 1."""
    return 2 * (share - 0.5) * (share - 1) * a + 4 * share * (1 - share) * b + 2 * share * (share - 0.5) * c


@kernel
def along(nodes, i, j, v, shift, n, at, first):
    """Coordinates along a row of cell (i, j), a share ``v`` below its top, at ``shift`` + 0, 1, 2, ... pixels."""
    p, q = 2 * i, 2 * j
    a = parabola(nodes[p, q], nodes[p + 1, q], nodes[p + 2, q], v)
    b = parabola(nodes[p, q + 1], nodes[p + 1, q + 1], nodes[p + 2, q + 1], v)
    c = parabola(nodes[p, q + 2], nodes[p + 1, q + 2], nodes[p + 2, q + 2], v)
    one = -3 * a + 4 * b - c
    two = 2 * a - 4 * b + 2 * c
    for k in range(n):
        u = (k + shift) / CELL
        at[first + k] = a + u * (one + u * two)


@kernel
def cells_across(grid, width):
    """Cells that a row of the target touches."""
    return (width + grid.col + CELL - 1) // CELL


@kernel
def chosen_cells(where, r, col, chosen):
    """Lists the cells of a row that hold a wanted pixel; returns how many."""
    n, width = 0, where.shape[1]
    for j in range(chosen.size):
        some = False
        for c in range(max(0, j * CELL - col), min(width, (j + 1) * CELL - col)):
            some |= where[r, c]
        if some:
            chosen[n] = j
            n += 1
    return n


@kernel
def centres(grid, where, r, chosen, xs, ys, use):
    """Coordinates of the centres in the chosen cells of a row, and which of these pixels are wanted."""
    width = where.shape[1]
    i, k0 = (r + grid.row) // CELL, (r + grid.row) % CELL
    v = (k0 + 0.5) / CELL
    for m in range(chosen.size):
        j, at = chosen[m], m * CELL
        base = j * CELL - grid.col
        if base >= 0 and base + CELL <= width:
            for k in range(CELL):
                use[at + k] = where[r, base + k]
        else:
            for k in range(CELL):
                use[at + k] = where[r, base + k] if 0 <= base + k < width else False
        if grid.separable:
            for k in range(CELL):
                xs[at + k], ys[at + k] = grid.x[min(max(base + k, 0), width - 1)], grid.y[r]
        elif grid.patch[i, j]:
            n = grid.patch[i, j] - 1
            for k in range(CELL):
                xs[at + k], ys[at + k] = grid.px[n, k0, k], grid.py[n, k0, k]
        else:
            along(grid.gx, i, j, v, 0.5, CELL, xs, at)
            along(grid.gy, i, j, v, 0.5, CELL, ys, at)
