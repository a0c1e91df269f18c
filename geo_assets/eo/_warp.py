"""Compiled loops of the warper; ``geo_assets.eo.warp`` says what they compute and checks what goes in.

They hold no interpreter lock. ``grid`` gives coordinates in pixels of the level, ``place`` says which part of the level
``src`` is. Every loop walks along the cells of the lattice, so that cells without a wanted pixel cost next to nothing.
"""

# mypy: allow-untyped-defs

import math
from typing import Any, NamedTuple

import numpy as np

from geo_assets.eo._jit import kernel

CELL = 16


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


_DENSITY = 1e-6  # GDAL's least weight of observed pixels
_EDGE = 1e-10  # GDAL's slack at pixel edges when averaging


@kernel
def _parabola(a, b, c, share):
    return 2 * (share - 0.5) * (share - 1) * a + 4 * share * (1 - share) * b + 2 * share * (share - 0.5) * c


@kernel
def _fill(nodes, i, j, v, shift, n, at):
    """Coordinates along a row of cell (i, j), a share ``v`` below its top, at ``shift`` + 0, 1, 2, ... pixels."""
    p, q = 2 * i, 2 * j
    a = _parabola(nodes[p, q], nodes[p + 1, q], nodes[p + 2, q], v)
    b = _parabola(nodes[p, q + 1], nodes[p + 1, q + 1], nodes[p + 2, q + 1], v)
    c = _parabola(nodes[p, q + 2], nodes[p + 1, q + 2], nodes[p + 2, q + 2], v)
    first = -3 * a + 4 * b - c
    second = 2 * a - 4 * b + 2 * c
    for k in range(n):
        u = (k + shift) / CELL
        at[k] = a + u * (first + u * second)


@kernel
def _centres(grid, r, j, xs, ys):
    """Coordinates of the centres of row ``r`` in column ``j`` of cells."""
    if grid.separable:
        base = j * CELL - grid.col
        for c in range(max(base, 0), min(base + CELL, grid.x.shape[0])):
            xs[c - base] = grid.x[c]
            ys[c - base] = grid.y[r]
        return
    i, k = (r + grid.row) // CELL, (r + grid.row) % CELL
    patch = grid.patch[i, j]
    if patch:
        for n in range(CELL):
            xs[n], ys[n] = grid.px[patch - 1, k, n], grid.py[patch - 1, k, n]
        return
    v = (k + 0.5) / CELL
    _fill(grid.gx, i, j, v, 0.5, CELL, xs)
    _fill(grid.gy, i, j, v, 0.5, CELL, ys)


@kernel
def _missing(v, stored, has):
    return (has & (v == stored)) | (v != v)


@kernel
def _rounded(value, limits):
    """As GDAL stores a result: integers rounded half up, within their range, and never nodata."""
    fill, low, high, whole = limits
    if whole:
        value = math.floor(value + 0.5)
        value = min(max(value, low), high)
    if value == fill:
        value = fill + 1 if fill < high else fill - 1
    return value


@kernel
def copy(src, row0, col0, where, stored, has, out):
    """Target pixels that are pixels of the level; (row0, col0) in ``src`` is the first one."""
    for r in range(max(0, -row0), min(out.shape[0], src.shape[0] - row0)):
        for c in range(max(0, -col0), min(out.shape[1], src.shape[1] - col0)):
            v = src[r + row0, c + col0]
            if where[r, c] and not _missing(v, stored, has):
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
            made[c] = v if chosen[c] & (not _missing(v, stored, has)) else made[c]


@kernel
def nearest(src, place, grid, where, slack, stored, has, out):
    """The pixel under each centre; returns (row, column) of those that are too near to an edge to be sure."""
    r0, c0, height, width = place
    h, w = out.shape
    xs, ys = np.empty(CELL), np.empty(CELL)
    near = [(0, 0) for _ in range(0)]
    for r in range(h):
        for j in range((w + grid.col + CELL - 1) // CELL):
            base = j * CELL - grid.col
            first, end = max(0, base), min(w, base + CELL)
            if not where[r, first:end].any():
                continue
            _centres(grid, r, j, xs, ys)
            exact = grid.patch[(r + grid.row) // CELL, j] > 0
            for c in range(first, end):
                if not where[r, c]:
                    continue
                x, y = xs[c - base], ys[c - base]
                if not exact and (abs(x - round(x)) < slack or abs(y - round(y)) < slack):
                    near.append((r, c))
                    continue
                if 0 <= x < width and 0 <= y < height:
                    v = src[int(y) - r0, int(x) - c0]
                    if not _missing(v, stored, has):
                        out[r, c] = v
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
            if not _missing(v, stored, has):
                out[rows[n], cols[n]] = v


@kernel
def _cubic(x):
    """Keys' kernel with a = -0.5 (Keys 1981, equation 4)."""
    x = abs(x)
    if x <= 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x <= 2 else 0.0


@kernel
def _bilinear4(src, x, y, stored, has):
    """Weighted mean of the observed ones of four pixels; ``x`` and ``y`` count from the centre of the first pixel."""
    ix, iy = math.floor(x), math.floor(y)
    dx, dy = x - ix, y - iy
    total, weight = 0.0, 0.0
    for q in range(2):
        row = iy + q
        if row < 0 or row >= src.shape[0]:
            continue
        across = dy if q else 1 - dy
        for p in range(2):
            col = ix + p
            if 0 <= col < src.shape[1]:
                v = src[row, col]
                if not _missing(v, stored, has):
                    share = across * (dx if p else 1 - dx)
                    total += share * v
                    weight += share
    return total, weight


@kernel
def _cubic16(src, x, y, stored, has):
    """Cubic convolution of 16 pixels; of four where one of them is missing, as GDAL does."""
    ix, iy = math.floor(x), math.floor(y)
    if ix < 1 or iy < 1 or ix + 2 >= src.shape[1] or iy + 2 >= src.shape[0]:
        return _bilinear4(src, x, y, stored, has)
    total = 0.0
    for q in range(-1, 3):
        line = 0.0
        for p in range(-1, 3):
            v = src[iy + q, ix + p]
            if _missing(v, stored, has):
                return _bilinear4(src, x, y, stored, has)
            line += _cubic(p - (x - ix)) * v
        total += _cubic(q - (y - iy)) * line
    return total, 1.0


@kernel
def _weights(d, taps, squeeze, cubic, at):
    for p in range(2 * taps):
        away = (p + 1 - taps - d) * squeeze
        at[p] = _cubic(away) if cubic else max(0.0, 1 - abs(away))


@kernel
def _widened(src, left, top, stored, has, size, wx, wy):
    """Weighted mean of the observed pixels under a kernel that is as wide as the target pixel asks for."""
    down, across = 2 * size[0], 2 * size[1]
    p0, p1 = max(0, -left), min(across, src.shape[1] - left)
    q0, q1 = max(0, -top), min(down, src.shape[0] - top)
    total, weight = 0.0, 0.0
    for q in range(q0, q1):
        line, part = 0.0, 0.0
        for p in range(p0, p1):
            v = src[top + q, left + p]
            if not _missing(v, stored, has):
                line += wx[p] * v
                part += wx[p]
        total += wy[q] * line
        weight += wy[q] * part
    return total, weight


@kernel
def _careful(src, x, y, stored, has, cubic, size, squeeze, wx, wy):
    """A pixel at the border of the level, beside missing ones, or under a kernel wider than four pixels."""
    if size[0] == 0:
        return _cubic16(src, x, y, stored, has) if cubic else _bilinear4(src, x, y, stored, has)
    ix, iy = math.floor(x), math.floor(y)
    _weights(x - ix, size[1], squeeze[1], cubic, wx)
    _weights(y - iy, size[0], squeeze[0], cubic, wy)
    return _widened(src, ix + 1 - size[1], iy + 1 - size[0], stored, has, size, wx, wy)


@kernel
def convolve(src, place, grid, where, stored, has, limits, cubic, size, squeeze, across, out):
    """Bilinear or cubic. ``size`` is the kernel's reach down and across if it is widened, else 0.

    Most pixels have all their neighbours: those are summed without a branch, by unsigned offsets into the flat array, which
    is three times as fast as the general case. ``across`` is a tuple as long as the kernel is wide, whose values do not
    count: its length is known when the loop is compiled.
    """
    r0, c0, height, width = place
    h, w = out.shape
    high, stride = src.shape
    flat = src.reshape(-1)
    xs, ys = np.empty(CELL), np.empty(CELL)
    plain = size[0] == 0
    radius = (2 if cubic else 1) if plain else size[0]
    half = len(across) // 2
    wide = np.empty(max(len(across), 2 * size[1]))
    wx, wy = np.empty(len(across)), np.empty(2 * radius)
    sx, sy = (1.0, 1.0) if plain else (squeeze[1], squeeze[0])
    fits = plain or size[1] == half
    for r in range(h):
        for j in range((w + grid.col + CELL - 1) // CELL):
            base = j * CELL - grid.col
            first, end = max(0, base), min(w, base + CELL)
            if not where[r, first:end].any():
                continue
            _centres(grid, r, j, xs, ys)
            for c in range(first, end):
                x, y = xs[c - base], ys[c - base]
                if not where[r, c] or not (0 <= x < width and 0 <= y < height):
                    continue
                if _missing(src[int(y) - r0, int(x) - c0], stored, has):
                    continue
                x, y = x - c0 - 0.5, y - r0 - 0.5
                ix, iy = math.floor(x), math.floor(y)
                dx, dy = x - ix, y - iy
                left, top = ix + 1 - half, iy + 1 - radius
                total, weight, missing = 0.0, 0.0, True
                if fits and left >= 0 and top >= 0 and left + len(across) <= stride and top + 2 * radius <= high:
                    missing = False
                    part = 0.0
                    for p in range(len(across)):
                        away = (p + 1 - half - dx) * sx
                        wx[p] = _cubic(away) if cubic else max(0.0, 1 - abs(away))
                        part += wx[p]
                    for q in range(2 * radius):
                        away = (q + 1 - radius - dy) * sy
                        share = _cubic(away) if cubic else max(0.0, 1 - abs(away))
                        at = np.uint64((top + q) * stride + left)
                        line = 0.0
                        for p in range(len(across)):
                            v = flat[at + np.uint64(p)]
                            missing |= _missing(v, stored, has)
                            line += wx[p] * v
                        total += share * line
                        weight += share
                    weight = 1.0 if plain else weight * part
                if missing:
                    total, weight = _careful(src, x, y, stored, has, cubic, size, squeeze, wide, wy)
                if weight > _DENSITY:
                    out[r, c] = _rounded(total / weight, limits)


@kernel
def average(src, place, grid, where, stored, has, limits, out):
    """Mean of the observed pixels between two opposite corners of each target pixel, by the part that lies inside."""
    r0, c0, height, width = place
    h, w = out.shape
    xa, ya, xb, yb = np.empty(CELL + 1), np.empty(CELL + 1), np.empty(CELL + 1), np.empty(CELL + 1)
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
                _fill(grid.gx, i, j, k / CELL, 0.0, CELL + 1, xa)
                _fill(grid.gy, i, j, k / CELL, 0.0, CELL + 1, ya)
                _fill(grid.gx, i, j, (k + 1) / CELL, 0.0, CELL + 1, xb)
                _fill(grid.gy, i, j, (k + 1) / CELL, 0.0, CELL + 1, yb)
            for c in range(first, end):
                if not where[r, c]:
                    continue
                left, right = xa[c - base], xb[c - base + 1]
                top, bottom = ya[c - base], yb[c - base + 1]
                left, right = min(left, right), max(left, right)
                top, bottom = min(top, bottom), max(top, bottom)
                if not (right > -_EDGE and left < width + _EDGE and bottom > -_EDGE and top < height + _EDGE):
                    continue
                value, weight = _mean(
                    src, left - c0, right - c0, top - r0, bottom - r0, width - c0, height - r0, stored, has
                )
                if weight > 0:
                    out[r, c] = _rounded(value, limits)


@kernel
def _mean(src, left, right, top, bottom, width, height, stored, has):
    """Weighted mean and weight of the observed pixels of a rectangle."""
    xa, xb = int(max(math.floor(left + _EDGE), 0.0)), int(min(math.ceil(right - _EDGE), width))
    ya, yb = int(max(math.floor(top + _EDGE), 0.0)), int(min(math.ceil(bottom - _EDGE), height))
    if xa == xb and xb < width:
        xb += 1
    if ya == yb and yb < height:
        yb += 1
    value, weight = 0.0, 0.0
    for y in range(ya, min(yb, src.shape[0])):
        down = 1.0
        if y == ya:
            down = 1.0 if ya + 1 == yb else 1 - (top - ya)
        elif y + 1 == yb:
            down = 1 - (yb - bottom)
        for x in range(xa, min(xb, src.shape[1])):
            share = down
            if x == xa:
                share = down if xa + 1 == xb else down * (1 - (left - xa))
            elif x + 1 == xb:
                share = down * (1 - (xb - right))
            v = src[y, x]
            if share > 0 and not _missing(v, stored, has):
                weight += share
                value += (share / weight) * (v - value)
    return value, weight
