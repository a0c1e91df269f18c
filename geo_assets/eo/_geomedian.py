"""Compiled loops of the geometric median; ``geo_assets.eo.reduce`` says what it is.

Weiszfeld's steps with the rule of Vardi and Zhang (The multivariate L1-median and associated data depth, PNAS 97, 2000)
always lead down, but need hundreds of turns where days lie almost on a line. So Newton's step is tried first, and
Weiszfeld's taken where it does not lead down. Many pixels are iterated on together, each in a lane of its own; one that is
done makes room for the next, so that none waits and none depends on another.
"""
# mypy: allow-untyped-defs

import math

import numpy as np

from geo_assets.eo._jit import kernel

LANES = 64
SHORTER = 2  # how often a step of Newton's is made four times shorter before Weiszfeld's is taken
SINGULAR = 1e-10  # share of the mean curvature below which a direction counts as flat


@kernel
def geometric_median(stack, nodata, eps, max_iter, whole, out, first, end):
    """Geometric median of each pixel; ``eps`` is a share of the days' mean distance to their mean.

    Of a lane, ``point`` has the point, the days' pull on it, Weiszfeld's and Newton's steps from it, the best point so far
    and both steps from there; ``sums`` those of distances and of their inverses, the number of days on it, and scratch.
    """
    bands, days, _, cols = stack.shape
    kept, steps = days * bands, days * (bands + 1)
    work = np.empty((steps + 7 * bands + 6, LANES))  # all there is of a lane, so that it is moved in one loop
    values, there = work[:kept].reshape(days, bands, LANES), work[kept:steps]
    point, sums = work[steps : steps + 7 * bands].reshape(7, bands, LANES), work[steps + 7 * bands :]
    best, least, curve = sums[4], sums[5], np.empty((bands, bands, LANES))
    state = np.empty((4, LANES), np.int64)
    pixel, turns, counts, trial = state[0], state[1], state[2], state[3]
    following, active = first * cols, 0
    while True:
        while active < LANES and following < end * cols:
            n = _load(stack, nodata, following, values, there, active)
            least[active] = eps * _start(values, n, point, active)
            pixel[active], turns[active], counts[active], trial[active] = following, 0, n, 0
            if n > 2 and least[active] > 0:
                active += 1
            else:  # nothing to iterate on: no day, one, two, or all the same
                _store(point, active, n, nodata, whole, out, following)
            following += 1
        if active == 0:
            return
        _look(values, there, counts[:active].max(), point, sums, curve, active)
        _solve(curve, point, sums, active)
        lane = 0
        while lane < active:
            turns[lane] += 1
            done = _move(values, counts[lane], point, sums, best, least[lane], trial, lane)
            if not done and turns[lane] < max_iter:
                lane += 1
                continue
            if not done:
                _copy(point[4], point[0], lane)
            _settled(values, counts[lane], point, best[lane], lane)
            _store(point, lane, counts[lane], nodata, whole, out, pixel[lane])
            active -= 1
            for k in range(work.shape[0]):
                work[k, lane] = work[k, active]
            for k in range(4):
                state[k, lane] = state[k, active]


@kernel
def _load(stack, nodata, pixel, values, there, lane):
    """Brings the whole days of a pixel to the front of a lane; returns how many."""
    bands, days, _, cols = stack.shape
    r, c = pixel // cols, pixel % cols
    n = 0
    for t in range(days):
        found = True
        for b in range(bands):
            v = stack[b, t, r, c]
            found &= not ((v == nodata) | (v - v != 0))  # a number that is not finite leaves no difference of 0
            values[n, b, lane] = v
        there[n, lane] = found
        n += found
    for k in range(n, days):
        there[k, lane] = 0
        for b in range(bands):
            values[k, b, lane] = 0
    return n


@kernel
def _start(values, n, point, lane):
    """Sets the point to the mean of the days, and returns their mean distance to it."""
    total = 0.0
    for b in range(values.shape[1]):
        added = 0.0
        for k in range(n):
            added += values[k, b, lane]
        point[0, b, lane] = added / n
    for k in range(n):
        total += _distance(values, k, point[0], lane)
    return total / n


@kernel
def _clear(rows):
    for k in range(rows.shape[0]):
        row = rows[k]
        for c in range(row.size):
            row[c] = 0


@kernel
def _copy(source, target, lane):
    for b in range(source.shape[0]):
        target[b, lane] = source[b, lane]


@kernel
def _distance(values, k, point, lane):
    square = 0.0
    for b in range(values.shape[1]):
        square += (values[k, b, lane] - point[b, lane]) ** 2
    return math.sqrt(square)


@kernel
def _look(values, there, n, point, sums, curve, active):
    """At each lane's point: sum of distances, of their inverses, days on it, pull of the others, and curvature."""
    bands = values.shape[1]
    total, weight, hits, near = sums[0, :active], sums[1, :active], sums[2, :active], sums[3, :active]
    _clear(sums[:3])
    _clear(point[1])
    for b in range(bands):
        _clear(curve[b])
    for k in range(n):
        _clear(sums[3:4])
        for b in range(bands):
            x, y, gap = values[k, b, :active], point[0, b, :active], point[2, b, :active]
            for c in range(active):
                d = x[c] - y[c]
                gap[c] = d
                near[c] += d * d
        one = there[k, :active]
        for c in range(active):
            square, w = near[c], one[c]
            distance = math.sqrt(square)
            inverse = w / distance if square > 0 else 0.0
            hits[c] += 0.0 if square > 0 else w
            total[c] += distance * w
            weight[c] += inverse
            near[c] = inverse
        for i in range(bands):
            pull, gap, bent = point[1, i, :active], point[2, i, :active], point[3, i, :active]
            for c in range(active):
                w = near[c]
                d = w * gap[c]
                pull[c] += d
                bent[c] = w * w * d
            for j in range(i + 1):
                other, bend = point[2, j, :active], curve[i, j, :active]
                for c in range(active):
                    bend[c] -= bent[c] * other[c]
    for i in range(bands):
        bend = curve[i, i, :active]
        for c in range(active):
            bend[c] += weight[c]


@kernel
def _solve(curve, point, sums, active):
    """Steps of Weiszfeld (into ``point[2]``) and Newton (``point[3]``), by a Cholesky factorisation in place."""
    bands = curve.shape[0]
    weight, hits, share = sums[1, :active], sums[2, :active], sums[3, :active]
    _clear(sums[3:4])
    for b in range(bands):
        pull = point[1, b, :active]
        for c in range(active):
            share[c] += pull[c] ** 2
    for c in range(active):
        force, w = math.sqrt(share[c]), weight[c]
        free = max(0.0, force - hits[c])
        share[c] = free / (force * w) if force * w > 0 else 0.0
    for j in range(bands):
        pivot = curve[j, j, :active]
        for k in range(j):
            a = curve[j, k, :active]
            for c in range(active):
                pivot[c] -= a[c] ** 2
        for c in range(active):
            v, w = pivot[c], SINGULAR * weight[c]
            pivot[c] = math.sqrt(v if v > w else w)
        for i in range(j + 1, bands):
            a = curve[i, j, :active]
            for k in range(j):
                p, q = curve[i, k, :active], curve[j, k, :active]
                for c in range(active):
                    a[c] -= p[c] * q[c]
            for c in range(active):
                a[c] /= pivot[c]
    for i in range(bands):
        pull, step, newton = point[1, i, :active], point[2, i, :active], point[3, i, :active]
        for c in range(active):
            step[c], newton[c] = pull[c] * share[c], pull[c]
        for k in range(i):
            a, p = curve[i, k, :active], point[3, k, :active]
            for c in range(active):
                newton[c] -= a[c] * p[c]
        a = curve[i, i, :active]
        for c in range(active):
            newton[c] /= a[c]
    for i in range(bands - 1, -1, -1):
        newton = point[3, i, :active]
        for k in range(i + 1, bands):
            a, p = curve[k, i, :active], point[3, k, :active]
            for c in range(active):
                newton[c] -= a[c] * p[c]
        a = curve[i, i, :active]
        for c in range(active):
            newton[c] /= a[c]


@kernel
def _move(values, n, point, sums, best, least, trial, lane):
    """Takes a step; returns whether the point is the median. The best point so far and the steps from it are kept."""
    bands = values.shape[1]
    if trial[lane] and not sums[0, lane] < best[lane]:
        _copy(point[4], point[0], lane)
        if trial[lane] == 1:
            found = _settled(values, n, point, best[lane], lane)
            if found:
                trial[lane] = 0
                return found == 2
        way, share = 5, 1.0
        if trial[lane] <= SHORTER:
            way, share = 6, 0.25 ** trial[lane]
        trial[lane] = trial[lane] + 1 if way == 6 else 0
        for b in range(bands):
            point[0, b, lane] += share * point[way, b, lane]
        return False
    best[lane] = sums[0, lane]
    way = 3 if sums[2, lane] == 0 else 2  # on a day there is no curvature
    trial[lane] = way == 3
    square = 0.0
    for b in range(bands):
        point[4, b, lane] = point[0, b, lane]
        point[5, b, lane], point[6, b, lane] = point[2, b, lane], point[3, b, lane]
        point[0, b, lane] += point[way, b, lane]
        square += point[way, b, lane] ** 2
    return square <= least * least


@kernel
def _settled(values, n, point, best, lane):
    """Moves the point to the day nearest to it, if that is the median (2) or at least better than the best so far (1).

    Iterates only come close to a median that is a day, and creep past a day that nearly is: Vardi and Zhang's test tells.
    """
    bands = values.shape[1]
    nearest, least = 0, np.inf
    for k in range(n):
        distance = _distance(values, k, point[0], lane)
        if distance < least:
            nearest, least = k, distance
    pull = point[1]
    for b in range(bands):
        pull[b, lane] = 0
    same, total, force = 0, 0.0, 0.0
    for k in range(n):
        square = 0.0
        for b in range(bands):
            square += (values[k, b, lane] - values[nearest, b, lane]) ** 2
        same += square == 0
        distance = math.sqrt(square)
        inverse = 1 / distance if square > 0 else 0.0
        total += distance
        for b in range(bands):
            pull[b, lane] += inverse * (values[k, b, lane] - values[nearest, b, lane])
    for b in range(bands):
        force += pull[b, lane] ** 2
    found = 2 if math.sqrt(force) <= same else 1 if total < best else 0
    if found:
        _copy(values[nearest], point[0], lane)
    return found


@kernel
def _store(point, lane, n, nodata, whole, out, pixel):
    cols = out.shape[2]
    for b in range(out.shape[0]):
        v = point[0, b, lane]
        v = np.rint(v) if whole else v
        out[b, pixel // cols, pixel % cols] = v if n > 0 else nodata
