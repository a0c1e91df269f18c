"""Compiled loops of nearest; ``geo_assets.eo.warp`` says what they compute and checks what goes in.

``place`` is the part of the level that ``src`` is: its first row and column, and the level's rows and columns.
"""
# mypy: allow-untyped-defs

import numpy as np

from geo_assets.eo._coordinates import CELL, cells_across, centres, chosen_cells, missing
from geo_assets.eo._jit import kernel


@kernel
def copy(src, row0, col0, where, stored, has, out):
    """Target pixels that are pixels of the level; (row0, col0) in ``src`` is the first one."""
    for r in range(max(0, -row0), min(out.shape[0], src.shape[0] - row0)):
        for c in range(max(0, -col0), min(out.shape[1], src.shape[1] - col0)):
            v = src[r + row0, c + col0]
            if where[r, c] and not missing(v, stored, has):
                out[r, c] = v


@kernel
def gather(src, rows, cols, where, stored, has, out):
    """Pixels at a row for each target row and a column for each target column; below 0 where there is none."""
    first, end = 0, cols.shape[0]
    while first < end and cols[first] < 0:
        first += 1
    while end > first and cols[end - 1] < 0:
        end -= 1
    for r in range(rows.shape[0]):
        if rows[r] < 0:
            continue
        line, made, chosen = src[rows[r]], out[r], where[r]
        for c in range(first, end):
            v = line[cols[c]]
            made[c] = v if chosen[c] & (not missing(v, stored, has)) else made[c]


@kernel
def nearest(src, place, grid, where, slack, stored, has, out):
    """The pixel under each centre; returns (row, column) of those that are too near to an edge to be sure."""
    r0, c0, height, width = place
    cells = cells_across(grid, out.shape[1])
    xs, ys, use = np.empty(cells * CELL), np.empty(cells * CELL), np.empty(cells * CELL, np.bool_)
    chosen = np.empty(cells, np.int64)
    near = [(0, 0) for _ in range(0)]
    for r in range(out.shape[0]):
        n = chosen_cells(where, r, grid.col, chosen)
        if n == 0:
            continue
        centres(grid, where, r, chosen[:n], xs, ys, use)
        for m in range(n):
            exact = grid.patch[(r + grid.row) // CELL, chosen[m]] > 0
            base = chosen[m] * CELL - grid.col - m * CELL
            for k in range(m * CELL, (m + 1) * CELL):
                if not use[k]:
                    continue
                x, y = xs[k], ys[k]
                if not exact and (abs(x - np.rint(x)) < slack or abs(y - np.rint(y)) < slack):
                    near.append((r, base + k))
                elif 0 <= x < width and 0 <= y < height:
                    v = src[int(y) - r0, int(x) - c0]
                    if not missing(v, stored, has):
                        out[r, base + k] = v
    found = np.empty((len(near), 2), np.int64)
    for n in range(len(near)):
        found[n, 0], found[n, 1] = near[n]
    return found


@kernel
def pick(src, place, x, y, rows, cols, stored, has, out):
    """The pixel under single points."""
    r0, c0, height, width = place
    for n in range(x.shape[0]):
        if 0 <= x[n] < width and 0 <= y[n] < height:
            v = src[int(y[n]) - r0, int(x[n]) - c0]
            if not missing(v, stored, has):
                out[rows[n], cols[n]] = v
