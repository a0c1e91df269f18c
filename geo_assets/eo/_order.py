"""Compiled loops of the statistics over time; ``geo_assets.eo.reduce`` says what they compute and checks what goes in.

They work on segments of a row, so that each step is one loop over neighbours that the compiler turns into vector
instructions. Values that such a loop chooses between are read first: a read inside a branch would keep it scalar.
"""
# mypy: allow-untyped-defs

import numpy as np

from geo_assets.eo._jit import kernel

SEGMENT_PX = 512
UNSIGNED, SIGNED, FLOAT = 0, 1, 2


@kernel
def median(stack, nodata, lowest, highest, whole, networks, out, first, end):
    """Median of each pixel through a network as large as the days of its segment; ``networks`` has one for them all."""
    comparators, starts, wires = networks
    days, _, cols = stack.shape
    px = min(SEGMENT_PX, cols)
    rows, layers = np.empty((days, px), stack.dtype), np.empty(days, np.int64)
    for r in range(first, end):
        for c in range(0, cols, px):
            m = min(px, cols - c)
            made = out[r, c : c + m]
            n = _observed_layers(stack, r, c, c + m, nodata, layers)
            if n == 0:
                made[:] = nodata
                continue
            missing = _fill(stack, r, c, layers[:n], nodata, lowest, highest, rows, m)
            _sort(rows, m, comparators[starts[n] : starts[n + 1]])
            _middle(rows[wires[n, 0], :m], rows[wires[n, 1], :m], missing, n, nodata, whole, made)


@kernel
def quantile(stack, bits, nodata, kind, q, middle, keys, out, first, end):
    """Quantile ``q`` of each pixel, or with ``middle`` its median, whatever the number of days.

    ``bits`` is the memory of the stack as unsigned integers; ``keys`` is scratch: a row a day, of 32 or at least 16 bits.
    """
    days, _, cols = stack.shape
    px = keys.shape[1]
    layers = np.empty(days, np.int64)
    for r in range(first, end):
        for c in range(0, cols, px):
            m = min(px, cols - c)
            made = out[r, c : c + m]
            n = _observed_layers(stack, r, c, c + m, nodata, layers)
            if n == 0:
                made[:] = nodata
            else:
                _select(stack, bits, r, c, layers[:n], nodata, kind, q, middle, keys[:n], made)


@kernel
def _observed_layers(stack, r, c0, c1, nodata, layers):
    """Lists the days on which the segment has an observed pixel, so that the others cost nothing."""
    n = 0
    for t in range(stack.shape[0]):
        row = stack[t, r, c0:c1]
        found = False
        for c in range(row.size):
            v = row[c]
            found |= not ((v == nodata) | (v != v))
        layers[n] = t
        n += found
    return n


@kernel
def _fill(stack, r, c0, layers, nodata, lowest, highest, rows, m):
    """Copies the segment, with missing numbers highest and lowest in turn; returns how many each pixel misses."""
    missing = np.zeros(m, np.uint16)
    for k in range(layers.size):
        row = stack[layers[k], r, c0 : c0 + m]
        target = rows[k, :m]
        for c in range(m):
            v = row[c]
            gone = (v == nodata) | (v != v)
            end = lowest if missing[c] & 1 else highest
            target[c] = end if gone else v
            missing[c] += gone
    return missing


@kernel
def _sort(rows, m, comparators):
    for k in range(comparators.shape[0]):
        low, high, kept = rows[comparators[k, 0], :m], rows[comparators[k, 1], :m], comparators[k, 2]
        if kept == 0:
            for c in range(m):
                a, b = low[c], high[c]
                low[c] = a if a < b else b
                high[c] = b if a < b else a
        elif kept == 1:
            for c in range(m):
                a, b = low[c], high[c]
                low[c] = a if a < b else b
        else:
            for c in range(m):
                a, b = low[c], high[c]
                high[c] = b if a < b else a


@kernel
def _middle(low, high, missing, n, nodata, whole, made):
    odd = n % 2
    for c in range(made.size):
        a, b = np.float64(low[c]), np.float64(high[c])
        moved = missing[c] & 1
        first = b if odd > moved else a
        second = a if odd < moved else b
        v = (first + second) * 0.5
        v = np.rint(v) if whole else v
        made[c] = nodata if missing[c] == n else v


@kernel
def _select(stack, bits, r, c0, layers, nodata, kind, q, middle, keys, made):
    """Quantile by its bits, the highest first: linear in the number of days, and each pixel has a rank of its own.

    A bit of the number at rank k is set if at most k numbers are below the bits so far with this one set.
    """
    m = made.size
    count = np.zeros(m, np.uint16)
    same, some = _keys(stack, bits, r, c0, layers, nodata, kind, keys, count)
    rank, share = np.empty(m, keys.dtype), np.empty(m, np.float64)
    _ranks(count, q, rank, share)
    low, high, guess, below = (
        np.empty(m, keys.dtype), np.empty(m, keys.dtype), np.empty(m, keys.dtype), np.empty(m, keys.dtype),
    )  # fmt: skip
    width = 0
    while (same ^ some) >> width:
        width += 1
    low[:] = (same >> width) << width
    for bit in range(width - 1, -1, -1):
        one = keys.dtype.type(1 << bit)
        for c in range(m):
            guess[c] = low[c] | one
            below[c] = 0
        _count_below(keys, guess, below)
        for c in range(m):
            a, b = low[c], guess[c]
            low[c] = b if below[c] <= rank[c] else a
    _next(keys, low, rank, count, below, high)
    a, b = _decoded(low, bits, kind).view(stack.dtype), _decoded(high, bits, kind).view(stack.dtype)
    _between(a, b, share, count, nodata, middle, kind != FLOAT, made)


@kernel
def _keys(stack, bits, r, c0, layers, nodata, kind, keys, count):
    """Fills ``keys`` with unsigned integers in the order of the numbers, missing ones highest, and counts the observed.

    Returns the bits that are set in all and in any of the observed.
    """
    m = count.size
    sign = 1 << (8 * bits.itemsize - 1)
    top = np.uint32(0xFFFFFFFF)
    same, some = top, np.uint32(0)
    flips = (np.uint32(sign if kind else 0), np.uint32(2 * sign - 1 if kind == FLOAT else sign if kind else 0))
    for k in range(layers.size):
        row, raw, target = stack[layers[k], r, c0 : c0 + m], bits[layers[k], r, c0 : c0 + m], keys[k, :m]
        for c in range(m):
            v, u = row[c], np.uint32(raw[c])
            gone = (v == nodata) | (v != v)
            u ^= flips[1] if u & np.uint32(sign) else flips[0]
            target[c] = top if gone else u
            same &= top if gone else u
            some |= np.uint32(0) if gone else u
            count[c] += not gone
    return np.int64(same), np.int64(some)


@kernel
def _decoded(keys, bits, kind):
    found = np.empty(keys.size, bits.dtype)
    sign = np.uint32(1 << (8 * bits.itemsize - 1))
    for c in range(keys.size):
        u = np.uint32(keys[c])
        if kind == FLOAT:
            found[c] = u ^ (sign if u & sign else np.uint32(0xFFFFFFFF))
        else:
            found[c] = u ^ (sign if kind else np.uint32(0))
    return found


@kernel
def _ranks(count, q, rank, share):
    for c in range(count.size):
        exact = q * max(np.float64(count[c]) - 1.0, 0.0)
        low = np.floor(exact)
        share[c] = exact - low
        rank[c] = np.int32(low)


@kernel
def _count_below(keys, guess, below):
    n, m = keys.shape[0], guess.size
    four = n - n % 4
    for k in range(0, four, 4):
        p, q, r, s = keys[k, :m], keys[k + 1, :m], keys[k + 2, :m], keys[k + 3, :m]
        for c in range(guess.size):
            g = guess[c]
            below[c] += np.uint16(p[c] < g) + np.uint16(q[c] < g) + np.uint16(r[c] < g) + np.uint16(s[c] < g)
    for k in range(four, n):
        p = keys[k, :m]
        for c in range(guess.size):
            below[c] += p[c] < guess[c]


@kernel
def _next(keys, low, rank, count, upto, high):
    """The number one rank above ``low``, or ``low`` where there is none."""
    upto[:] = 0
    high[:] = keys.dtype.type(0xFFFFFFFF)
    for k in range(keys.shape[0]):
        row = keys[k, : low.size]
        for c in range(low.size):
            v, least = row[c], high[c]
            above = v > low[c]
            less = v if v < least else least
            upto[c] += not above
            high[c] = less if above else least
    for c in range(low.size):
        a, b = low[c], high[c]
        again = (upto[c] > rank[c] + 1) | (count[c] <= rank[c] + 1)
        high[c] = a if again else b


@kernel
def _between(low, high, share, count, nodata, middle, whole, made):
    """As numpy: the mean of the middle pair for a median, else its linear interpolation, which is exact at both ends."""
    for c in range(made.size):
        a, b, s = np.float64(low[c]), np.float64(high[c]), share[c]
        if middle:
            v = (a + b) * 0.5 if s > 0 else a
        else:
            v = a + (b - a) * s if s < 0.5 else b - (b - a) * (1 - s)
        v = np.rint(v) if whole else v
        made[c] = nodata if count[c] == 0 else v


@kernel
def mean(stack, nodata, whole, sums, out, first, end):
    """Mean of each pixel; ``sums`` is a scratch row whose type adds up without loss."""
    count = np.empty(sums.size, np.uint16)
    for r in range(first, end):
        made = out[r]
        sums[:] = 0
        count[:] = 0
        for t in range(stack.shape[0]):
            row = stack[t, r]
            for c in range(sums.size):
                v = row[c]
                gone = (v == nodata) | (v != v)
                sums[c] += 0 if gone else v
                count[c] += not gone
        for c in range(sums.size):
            n = count[c]
            v = np.float64(sums[c]) / np.float64(n)
            v = np.rint(v) if whole else v
            made[c] = nodata if n == 0 else v
