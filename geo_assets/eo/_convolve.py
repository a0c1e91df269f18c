"""Compiled loops of bilinear and cubic; ``geo_assets.eo.warp`` says what they compute and checks what goes in.

``place`` is the part of the level that ``src`` is: its first row and column, and the level's rows and columns.
"""
# mypy: allow-untyped-defs

import math

import numpy as np

from geo_assets.eo._coordinates import CELL, cells_across, centres, chosen_cells, missing, rounded
from geo_assets.eo._jit import kernel

_DENSITY = 1e-6  # GDAL's least weight of observed pixels
_FAR = 2e9  # pixels; further away, coordinates do not fit into the integers used here
_UNKNOWN, _COMPLETE, _MIXED = 0, 1, 2


@kernel
def convolve(src, place, grid, where, stored, has, limits, cubic, size, squeeze, across, out):
    """Bilinear or cubic. ``size`` is the kernel's reach down and across if it is widened, else 0.

    Where no pixel under any kernel of a cell is missing, which is nearly everywhere, nothing is looked at pixel by pixel,
    and each step is a loop along the whole row. ``across`` is a tuple as long as the kernel is wide, whose values do not
    count: its length is known when the loop is compiled.
    """
    r0, c0, height, width = place
    plain = size[0] == 0
    taps, radius = len(across), (2 if cubic else 1) if plain else size[0]
    fits = plain or 2 * size[1] == taps
    down_by, across_by = (1.0, 1.0) if plain else squeeze
    cells = cells_across(grid, out.shape[1])
    px = cells * CELL
    xs, ys, sums, shares = np.empty(px), np.empty(px), np.empty(px), np.empty(px)
    lefts, tops = np.empty(px, np.int32), np.empty(px, np.int32)
    wx, wy, nx, ny = np.empty((taps, px)), np.empty((2 * radius, px)), np.empty(px), np.empty(px)
    use, chosen, state = np.empty(px, np.bool_), np.empty(cells, np.int64), np.empty(cells, np.int8)
    wide, high = np.empty(max(taps, 2 * size[1])), np.empty(2 * radius)
    flat = src.reshape(-1)
    for r in range(out.shape[0]):
        if r == 0 or (r + grid.row) % CELL == 0:
            state[:] = _UNKNOWN
        n = chosen_cells(where, r, grid.col, chosen)
        if n == 0:
            continue
        centres(grid, where, r, chosen[:n], xs, ys, use)
        if fits:
            _weigh(xs[: n * CELL], c0, taps // 2, across_by, cubic, lefts, shares, wx, nx)
            _weigh(ys[: n * CELL], r0, radius, down_by, cubic, tops, shares, wy, ny)
        for m in range(n):
            j = chosen[m]
            if state[j] == _UNKNOWN:
                done = fits and _complete(src, place, grid, out.shape, r, j, radius, taps // 2, stored, has)
                state[j] = _COMPLETE if done else _MIXED
            if state[j] == _COMPLETE:
                continue
            for k in range(m * CELL, (m + 1) * CELL):
                x, y = xs[k], ys[k]
                if not use[k]:
                    continue
                use[k] = False
                if not (0 <= x < width and 0 <= y < height) or missing(src[int(y) - r0, int(x) - c0], stored, has):
                    continue
                if fits and _whole(src, tops[k], 2 * radius, lefts[k], taps, stored, has):
                    use[k] = True
                    continue
                total, weight = _careful(src, x - c0 - 0.5, y - r0 - 0.5, stored, has, cubic, size, squeeze, wide, high)
                if weight > _DENSITY:
                    out[r, j * CELL - grid.col + k - m * CELL] = rounded(total / weight, limits)
        if not fits:
            continue
        _sum(flat, src.shape[1], lefts, tops, wx, wy, use[: n * CELL], across, sums)
        _round(sums[: n * CELL], nx, ny, plain, limits)
        for m in range(n):
            first = chosen[m] * CELL - grid.col - m * CELL
            for k in range(m * CELL, (m + 1) * CELL):
                if use[k]:
                    out[r, first + k] = sums[k]


@kernel
def _weigh(xs, origin, half, squeeze, cubic, lefts, shares, weights, total):
    """First pixel and weights of each kernel along one axis, dims (tap, pixel), and their sum."""
    for k in range(xs.size):
        x = xs[k] - origin - 0.5
        whole = np.floor(x)
        lefts[k] = np.int32(min(max(whole, -_FAR), _FAR)) + np.int32(1 - half)
        shares[k] = x - whole
        total[k] = 0.0
    for p in range(weights.shape[0]):
        for k in range(xs.size):
            away = abs((p + 1 - half - shares[k]) * squeeze)
            weight = _cubic(away) if cubic else max(0.0, 1 - away)
            weights[p, k] = weight
            total[k] += weight


@kernel
def _complete(src, place, grid, shape, r, j, down, across, stored, has):
    """Whether all kernels of the cell lie in the level and in ``src``, and miss no pixel."""
    r0, c0, height, width = place
    x0, x1, y0, y1 = _extent(grid, shape, r, j)
    if not (x0 >= 0 and y0 >= 0 and x1 < width and y1 < height):
        return False
    left, right = int(np.floor(x0 - c0 - 0.5)) + 1 - across, int(np.floor(x1 - c0 - 0.5)) + 1 + across
    top, bottom = int(np.floor(y0 - r0 - 0.5)) + 1 - down, int(np.floor(y1 - r0 - 0.5)) + 1 + down
    return _whole(src, top, bottom - top, left, right - left, stored, has)


@kernel
def _extent(grid, shape, r, j):
    """Least and greatest coordinates that a pixel of the cell may have; an empty range where it is made pixel by pixel."""
    i, base = (r + grid.row) // CELL, j * CELL - grid.col
    if grid.separable:
        last, end = min(shape[0], (i + 1) * CELL - grid.row) - 1, min(shape[1], base + CELL) - 1
        xs, ys = (grid.x[max(0, base)], grid.x[end]), (grid.y[r], grid.y[last])
        return min(*xs), max(*xs), min(*ys), max(*ys)
    if grid.patch[i, j]:
        return -1.0, -1.0, -1.0, -1.0
    x0, x1, x_bend = _reach(grid.gx, 2 * i, 2 * j)
    y0, y1, y_bend = _reach(grid.gy, 2 * i, 2 * j)
    return x0 - x_bend, x1 + x_bend, y0 - y_bend, y1 + y_bend


@kernel
def _reach(nodes, p, q):
    """Least and greatest of a cell's nine points, and how far parabolas through them may go beyond."""
    low = high = nodes[p, q]
    bend = 0.0
    for m in range(3):
        for n in range(3):
            low, high = min(low, nodes[p + m, q + n]), max(high, nodes[p + m, q + n])
        bend = max(bend, abs(nodes[p + m, q] - 2 * nodes[p + m, q + 1] + nodes[p + m, q + 2]))
        bend = max(bend, abs(nodes[p, q + m] - 2 * nodes[p + 1, q + m] + nodes[p + 2, q + m]))
    return low, high, bend


@kernel
def _whole(src, top, rows, left, cols, stored, has):
    """Whether a rectangle lies in ``src`` and has no missing pixel."""
    if top < 0 or left < 0 or top + rows > src.shape[0] or left + cols > src.shape[1]:
        return False
    gone = False
    for r in range(top, top + rows):
        for c in range(left, left + cols):
            v = src[r, c]
            gone |= (has & (v == stored)) | (v != v)
    return not gone


@kernel
def _sum(flat, stride, lefts, tops, wx, wy, use, across, sums):
    """Sums under complete kernels: down each column first, four columns at a time, by unsigned offsets into the flat array."""
    rows, step = wy.shape[0], np.uint64(stride)
    for k in range(use.size):
        if not use[k]:
            continue
        start = np.uint64(np.int64(tops[k]) * stride + lefts[k])
        total = 0.0
        for p in range(0, len(across) - 3, 4):
            at = start + np.uint64(p)
            a = b = c = d = 0.0
            for q in range(rows):
                share = wy[q, k]
                a += share * flat[at]
                b += share * flat[at + np.uint64(1)]
                c += share * flat[at + np.uint64(2)]
                d += share * flat[at + np.uint64(3)]
                at += step
            total += (a * wx[p, k] + b * wx[p + 1, k]) + (c * wx[p + 2, k] + d * wx[p + 3, k])
        if len(across) % 4:
            p = len(across) - 2
            at = start + np.uint64(p)
            a = b = 0.0
            for q in range(rows):
                share = wy[q, k]
                a += share * flat[at]
                b += share * flat[at + np.uint64(1)]
                at += step
            total += a * wx[p, k] + b * wx[p + 1, k]
        sums[k] = total


@kernel
def _round(sums, nx, ny, plain, limits):
    """Divides by the weights, unless they are 1 together, and rounds as ``rounded`` does."""
    fill, low, high, whole = limits
    other = fill + 1 if fill < high else fill - 1
    for k in range(sums.size):
        value = sums[k] if plain else sums[k] / (nx[k] * ny[k])
        value = min(max(np.floor(value + 0.5), low), high) if whole else value
        sums[k] = other if value == fill else value


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
                if not missing(v, stored, has):
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
            if missing(v, stored, has):
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
            if not missing(v, stored, has):
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
