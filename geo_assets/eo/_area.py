"""Compiled loops of what looks at all pixels under a target pixel; ``geo_assets.eo.warp`` says what they compute.

``place`` is the part of the level that ``src`` is: its first row and column, and the level's rows and columns.
"""
# mypy: allow-untyped-defs

import math

import numpy as np

from geo_assets.eo._coordinates import CELL, along, missing, rounded
from geo_assets.eo._jit import kernel

_EDGE = 1e-10  # GDAL's slack at pixel edges when averaging
_CLASSES = 256


@kernel
def average(src, place, grid, where, stored, has, limits, mode, out):
    """Mean, or with ``mode`` the commonest, of the observed pixels between two opposite corners of each target pixel.

    A pixel counts by the part of it that lies inside.
    """
    r0, c0, height, width = place
    h, w = out.shape
    xa, ya, xb, yb = np.empty(CELL + 1), np.empty(CELL + 1), np.empty(CELL + 1), np.empty(CELL + 1)
    classes, votes = np.empty(_CLASSES, src.dtype), np.empty(_CLASSES)
    for r in range(h):
        i, k = (r + grid.row) // CELL, (r + grid.row) % CELL
        for j in range((w + grid.col + CELL - 1) // CELL):
            base = j * CELL - grid.col
            first, end = max(0, base), min(w, base + CELL)
            if not where[r, first:end].any():
                continue
            if grid.separable:
                for c in range(first, end + 1):
                    xa[c - base] = xb[c - base] = grid.x[c]
                    ya[c - base], yb[c - base] = grid.y[r], grid.y[r + 1]
            elif grid.patch[i, j]:
                n = grid.patch[i, j] - 1
                for c in range(CELL + 1):
                    xa[c], ya[c], xb[c], yb[c] = (
                        grid.px[n, k, c],
                        grid.py[n, k, c],
                        grid.px[n, k + 1, c],
                        grid.py[n, k + 1, c],
                    )
            else:
                along(grid.gx, i, j, k / CELL, 0.0, CELL + 1, xa, 0)
                along(grid.gy, i, j, k / CELL, 0.0, CELL + 1, ya, 0)
                along(grid.gx, i, j, (k + 1) / CELL, 0.0, CELL + 1, xb, 0)
                along(grid.gy, i, j, (k + 1) / CELL, 0.0, CELL + 1, yb, 0)
            for c in range(first, end):
                if not where[r, c]:
                    continue
                left, right = xa[c - base], xb[c - base + 1]
                top, bottom = ya[c - base], yb[c - base + 1]
                left, right = min(left, right), max(left, right)
                top, bottom = min(top, bottom), max(top, bottom)
                if not (right > -_EDGE and left < width + _EDGE and bottom > -_EDGE and top < height + _EDGE):
                    continue
                across, down = (left - c0, right - c0, width - c0), (top - r0, bottom - r0, height - r0)
                if mode:
                    value, votes_for = _mode(src, across, down, stored, has, classes, votes)
                    if votes_for > 0:
                        out[r, c] = value
                    continue
                mean, weight = _mean(src, across, down, stored, has)
                if weight > 0:
                    out[r, c] = rounded(mean, limits)


@kernel
def _touched(low, high, size):
    """First and end of the pixels along one axis of which a part lies between two coordinates."""
    first, end = int(max(math.floor(low + _EDGE), 0.0)), int(min(math.ceil(high - _EDGE), size))
    if first == end and end < size:
        end += 1
    return first, end


@kernel
def _within(span):
    """What of a span, low and high, lies in the level."""
    low, high, size = span
    return max(low, 0.0), min(high, float(size)), size


@kernel
def _part(at, first, end, low, high):
    """How much of a pixel lies between them."""
    if at == first:
        return 1.0 if first + 1 == end else 1 - (low - first)
    return 1 - (end - high) if at + 1 == end else 1.0


@kernel
def _mean(src, across, down, stored, has):
    """Weighted mean and weight of the observed pixels of a rectangle."""
    xa, xb = _touched(*across)
    ya, yb = _touched(*down)
    value, weight = 0.0, 0.0
    for y in range(ya, min(yb, src.shape[0])):
        high = _part(y, ya, yb, down[0], down[1])
        for x in range(xa, min(xb, src.shape[1])):
            share = high * _part(x, xa, xb, across[0], across[1])
            v = src[y, x]
            if share > 0 and not missing(v, stored, has):
                weight += share
                value += (share / weight) * (v - value)
    return value, weight


@kernel
def _mode(src, across, down, stored, has, classes, votes):
    """The class with the most of a rectangle and its part; of several the one that is the first to have as much, row by row."""
    across, down = _within(across), _within(down)
    xa, xb = _touched(*across)
    ya, yb = _touched(*down)
    best, most, known = src.dtype.type(0), 0.0, 0
    for y in range(ya, min(yb, src.shape[0])):
        high = _part(y, ya, yb, down[0], down[1])
        for x in range(xa, min(xb, src.shape[1])):
            share = high * _part(x, xa, xb, across[0], across[1])
            v = src[y, x]
            if share <= 0 or missing(v, stored, has):
                continue
            n = 0
            while n < known and classes[n] != v:
                n += 1
            if n == known:
                if known == classes.size:  # more than any classification has: the others are left out
                    continue
                classes[n], votes[n] = v, 0.0
                known += 1
            votes[n] += share
            if votes[n] > most:
                best, most = v, votes[n]
    return best, most
