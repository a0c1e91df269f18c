"""Compiled loops of the medoid; ``geo_assets.eo.reduce`` says what it is and checks what goes in."""
# mypy: allow-untyped-defs

import math

import numpy as np

from geo_assets.eo._jit import kernel

SEGMENT_PX = 128


@kernel
def medoid(stack, nodata, out, first, end):
    """Per pixel the whole day with the least sum of distances to the others, the earliest of several."""
    bands, days, _, cols = stack.shape
    px = min(SEGMENT_PX, cols)
    values, whole = np.empty((days, bands, px)), np.empty((days, px))
    layers, sums, square = np.empty(days, np.int64), np.empty((days, px)), np.empty(px)
    for r in range(first, end):
        for c in range(0, cols, px):
            m = min(px, cols - c)
            n = _whole_days(stack, r, c, m, nodata, values, whole, layers)
            _distances(values, whole, n, m, sums, square)
            _nearest(stack, r, c, m, nodata, layers[:n], whole, sums, out)


@kernel
def _whole_days(stack, r, c0, m, nodata, values, whole, layers):
    """Fills values and weights (0 or 1) of the days that are whole somewhere in the segment; returns how many."""
    n = 0
    for t in range(stack.shape[1]):
        weight = whole[n, :m]
        weight[:] = 1
        for b in range(stack.shape[0]):
            row, target = stack[b, t, r, c0 : c0 + m], values[n, b, :m]
            for c in range(m):
                v = row[c]
                gone = (v == nodata) | (v - v != 0)  # a number that is not finite leaves no difference of 0
                target[c] = 0 if gone else v
                weight[c] = 0 if gone else weight[c]
        layers[n] = t
        n += weight.max() > 0
    return n


@kernel
def _distances(values, whole, n, m, sums, square):
    sums[:] = 0
    total = square[:m]
    for i in range(n):
        for j in range(i + 1, n):
            total[:] = 0
            for b in range(values.shape[1]):
                p, q = values[i, b, :m], values[j, b, :m]
                for c in range(m):
                    step = p[c] - q[c]
                    total[c] += step * step
            to_i, to_j, with_i, with_j = sums[i, :m], sums[j, :m], whole[i, :m], whole[j, :m]
            for c in range(m):
                distance = math.sqrt(total[c])
                to_i[c] += distance * with_j[c]
                to_j[c] += distance * with_i[c]


@kernel
def _nearest(stack, r, c0, m, nodata, layers, whole, sums, out):
    for c in range(m):
        best, chosen = np.inf, -1
        for k in range(layers.size):
            if whole[k, c] > 0 and sums[k, c] < best:
                best, chosen = sums[k, c], layers[k]
        for b in range(stack.shape[0]):
            out[b, r, c0 + c] = stack[b, chosen, r, c0 + c] if chosen >= 0 else nodata
