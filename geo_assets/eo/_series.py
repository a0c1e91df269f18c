"""Compiled loops over the series of a year; ``geo_assets.eo.series`` says what they compute and checks what goes in.

They work on segments of a row, so that each step is one loop over neighbours that the compiler turns into vector
instructions. Sums are in float64: a mean of equal numbers is then that number again, and short series stay solvable.
"""
# mypy: allow-untyped-defs

import numpy as np

from geo_assets.eo._jit import kernel

SEGMENT_PX = 256
_PIVOT, _BACK, _LOW, _FAR, _Z = 1, 2, 3, 4, 5


@kernel
def composites(stack, clear, order, days, steps, window, nodata, out, first, end):
    """Weighted mean of the nearest two observations on each side of every step.

    ``order`` has the layers by day, ``days`` their days in that order; ``steps`` rise.
    """
    _, bands, _, cols = stack.shape
    px = min(SEGMENT_PX, cols)
    total, weight, near = np.empty((steps.size, px)), np.empty((steps.size, px)), np.empty((4, px))
    for b in range(bands):
        for r in range(first, end):
            for c in range(0, cols, px):
                m = min(px, cols - c)
                total[:] = 0
                weight[:] = 0
                place = (b, r, c, m)
                _before(stack, clear, place, order, days, steps, window, nodata, near, total, weight)
                _after(stack, clear, place, order, days, steps, window, nodata, near, total, weight)
                for s in range(steps.size):
                    made, sums, weights = out[s, b, r, c : c + m], total[s], weight[s]
                    for p in range(m):
                        made[p] = sums[p] / weights[p]  # 0 / 0 is NaN


@kernel
def _before(stack, clear, place, order, days, steps, window, nodata, near, total, weight):
    """Adds the last two observations before each step."""
    b, r, c, m = place
    _forget(near)
    t = 0
    for s in range(steps.size):
        while t < days.size and days[t] < steps[s]:
            _remember(stack[order[t], b, r, c : c + m], clear[order[t], r, c : c + m], days[t], nodata, near)
            t += 1
        _add(steps[s], window, near, total[s], weight[s], m)


@kernel
def _after(stack, clear, place, order, days, steps, window, nodata, near, total, weight):
    """Adds the first two observations on or after each step."""
    b, r, c, m = place
    _forget(near)
    t = days.size - 1
    for s in range(steps.size - 1, -1, -1):
        while t >= 0 and days[t] >= steps[s]:
            _remember(stack[order[t], b, r, c : c + m], clear[order[t], r, c : c + m], days[t], nodata, near)
            t -= 1
        _add(steps[s], window, near, total[s], weight[s], m)


@kernel
def _forget(near):
    near[0] = np.inf
    near[1] = 0
    near[2] = np.inf
    near[3] = 0


@kernel
def _remember(row, clear, day, nodata, near):
    """Makes an observation the nearest and what was the nearest the next; rows of ``near``: day and value of either."""
    day1, value1, day2, value2 = near[0], near[1], near[2], near[3]
    some = False
    for p in range(row.size):
        some |= clear[p]
    if not some:
        return
    for p in range(row.size):
        v = row[p]
        seen = clear[p] & (v != nodata) & (v - v == 0)
        a, b, c, d = day1[p], value1[p], day2[p], value2[p]
        day2[p] = a if seen else c
        value2[p] = b if seen else d
        day1[p] = day if seen else a
        value1[p] = v if seen else b


@kernel
def _add(step, window, near, total, weight, m):
    """Both observations at once, since a division takes longest."""
    day1, value1, day2, value2 = near[0], near[1], near[2], near[3]
    for p in range(m):
        far1, far2 = abs(day1[p] - step), abs(day2[p] - step)
        near1, near2 = far1 <= window, far2 <= window
        far1 = max(far1, 1.0) if near1 else 1.0
        far2 = max(far2, 1.0) if near2 else 1.0
        share = 1 / (far1 * far2)
        w1 = far2 * share if near1 else 0.0
        w2 = far1 * share if near2 else 0.0
        total[p] += w1 * value1[p] + w2 * value2[p]
        weight[p] += w1 + w2


@kernel
def months(steps, table, smoothing, out, first, end):
    """Smooths and averages: where every step is there by ``table``, dims (month, step), elsewhere by solving for the pixel."""
    count, bands, _, cols = steps.shape
    px = min(SEGMENT_PX, cols)
    places, work = np.empty(px, np.int64), np.empty((6, count + 2, px))
    penalty = _penalty(count, smoothing)
    for b in range(bands):
        for r in range(first, end):
            for c in range(0, cols, px):
                m = min(px, cols - c)
                n = _gaps(steps, b, r, c, m, places)
                if n < m:
                    _product(steps, b, r, c, m, table, out)
                if n > 0:
                    _solve(steps, b, r, c, places[:n], penalty, work, out)


@kernel
def _penalty(count, smoothing):
    """Diagonals of ``smoothing`` times D'D, dims (diagonal, step), where D takes second differences."""
    found = np.zeros((3, count))
    for i in range(count - 2):
        for a, x in ((0, 1.0), (1, -2.0), (2, 1.0)):
            for b, y in ((0, 1.0), (1, -2.0), (2, 1.0)):
                if b >= a:
                    found[b - a, i + a] += smoothing * x * y
    return found


@kernel
def _gaps(steps, b, r, c, m, places):
    """Lists the pixels that miss a step; returns how many."""
    whole = np.zeros(m, np.float32)
    for s in range(len(steps)):
        row = steps[s, b, r, c : c + m]
        for p in range(m):
            whole[p] += row[p] - row[p]  # NaN from a NaN or an infinity on
    n = 0
    for p in range(m):
        places[n] = p
        n += whole[p] != 0
    return n


@kernel
def _product(steps, b, r, c0, m, table, out):
    """Two months and four steps at a time, so that numbers are read and sums written less often."""
    for j in range(0, len(table), 2):
        made, next_made = out[j, b, r, c0 : c0 + m], out[j + 1, b, r, c0 : c0 + m]
        made[:] = 0
        next_made[:] = 0
        for s in range(0, len(steps), 4):
            y0, y1 = steps[s, b, r, c0 : c0 + m], steps[s + 1, b, r, c0 : c0 + m]
            y2, y3 = steps[s + 2, b, r, c0 : c0 + m], steps[s + 3, b, r, c0 : c0 + m]
            v0, v1, v2, v3 = table[j, s], table[j, s + 1], table[j, s + 2], table[j, s + 3]
            w0, w1, w2, w3 = table[j + 1, s], table[j + 1, s + 1], table[j + 1, s + 2], table[j + 1, s + 3]
            for p in range(m):
                a0, a1, a2, a3 = y0[p], y1[p], y2[p], y3[p]
                made[p] += (v0 * a0 + v1 * a1) + (v2 * a2 + v3 * a3)
                next_made[p] += (w0 * a0 + w1 * a1) + (w2 * a2 + w3 * a3)


@kernel
def _solve(steps, b, r, c, places, penalty, work, out):
    """LDL' of the matrix with five diagonals, of all pixels of ``places`` side by side."""
    count, n = len(steps), places.size
    seen, only = work[0, 0, :n], work[0, 1, :n]
    work[:, :2] = 0  # stand for two steps before the first
    for s in range(count):
        _gather(steps[s, b, r, c:], places, seen, only, work[_PIVOT, s + 2, :n], work[_Z, s + 2, :n])
    for s in range(count):
        _eliminate(penalty[0, s], penalty[1, s], penalty[2, s], work, s + 2, n)
    for s in range(count - 1, -1, -1):
        _substitute(work, s + 2, min(s + 3, count + 1), min(s + 4, count + 1), n)
    size = count // len(out)
    for j in range(len(out)):
        mean = work[_BACK, 0, :n]
        mean[:] = 0
        for k in range(size):
            part = work[_Z, 2 + j * size + k, :n]
            for q in range(n):
                mean[q] += part[q] / size
        for q in range(n):
            v = only[q] if seen[q] == 1 else mean[q]  # of the lines through one point the flat one
            out[j, b, r, c + places[q]] = np.nan if seen[q] == 0 else v


@kernel
def _gather(row, places, seen, only, weight, z):
    for q in range(places.size):
        z[q] = row[places[q]]
    for q in range(places.size):
        y = z[q]
        there = y - y == 0
        y = y if there else 0.0
        w = 1.0 if there else 0.0
        seen[q] += w
        only[q] += y
        z[q] = y
        weight[q] = w


@kernel
def _eliminate(c0, c1, c2, work, i, n):
    d, d1, d2 = work[_PIVOT, i, :n], work[_PIVOT, i - 1, :n], work[_PIVOT, i - 2, :n]
    z, z1, z2 = work[_Z, i, :n], work[_Z, i - 1, :n], work[_Z, i - 2, :n]
    low, low1, far, far1, far2 = (
        work[_LOW, i, :n],
        work[_LOW, i - 1, :n],
        work[_FAR, i, :n],
        work[_FAR, i - 1, :n],
        work[_FAR, i - 2, :n],
    )
    back = work[_BACK, i, :n]
    for q in range(n):
        pivot = d[q] + c0 - low1[q] * low1[q] * d1[q] - far2[q] * far2[q] * d2[q]
        share = 1 / pivot
        d[q] = pivot
        back[q] = share
        z[q] -= low1[q] * z1[q] + far2[q] * z2[q]
        low[q] = (c1 - d1[q] * low1[q] * far1[q]) * share
        far[q] = c2 * share


@kernel
def _substitute(work, i, i1, i2, n):
    """Beside the last steps, where there is nothing, ``low`` and ``far`` are 0."""
    z, z1, z2 = work[_Z, i, :n], work[_Z, i1, :n], work[_Z, i2, :n]
    low, far, back = work[_LOW, i, :n], work[_FAR, i, :n], work[_BACK, i, :n]
    for q in range(n):
        z[q] = z[q] * back[q] - low[q] * z1[q] - far[q] * z2[q]
