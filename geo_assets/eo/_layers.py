"""Compiled loops over one day's layer: merging a scene, and which pixels are seen, eight to a byte.

``geo_assets.eo.reduce`` says what they compute and checks what goes in. Within a byte the first pixel has the highest bit.
"""
# mypy: allow-untyped-defs

import numpy as np

from geo_assets.eo._jit import kernel

_ONES = np.uint64(0x0101010101010101)
_EACH = np.uint64(0x0102040810204080)  # bit 7 of the first byte, bit 6 of the second, ...
_GATHER = np.uint64(0x8040201008040201)  # as a factor brings the lowest bits of eight bytes into the highest byte
_CARRY = np.uint64(0x7F7F7F7F7F7F7F7F)


@kernel
def merge(layer, pixels, clear, nodata, first, end):
    """Takes pixels as they are."""
    taken = False
    for r in range(first, end):
        here, there, mask = layer[r], pixels[r], clear[r]
        for c in range(here.size):
            a, b = here[c], there[c]
            take = mask[c] & ((a == nodata) | (a != a)) & ~((b == nodata) | (b != b))
            here[c] = b if take else a
            taken |= take
    return taken


@kernel
def merge_moved(layer, pixels, clear, nodata, offset, limits, first, end):
    """Takes integers with an offset added, within their type's range and never nodata.

    ``limits``: the pixels that the sum does not lead out of the range, what others become, and what nodata becomes.
    """
    low, high, least, most, beside = limits
    taken = False
    for r in range(first, end):
        here, there, mask = layer[r], pixels[r], clear[r]
        for c in range(here.size):
            a, b = here[c], there[c]
            take = mask[c] & (a == nodata) & (b != nodata)
            moved = layer.dtype.type(b + offset)
            moved = least if b < low else moved
            moved = most if b > high else moved
            moved = beside if moved == nodata else moved
            here[c] = moved if take else a
            taken |= take
    return taken


@kernel
def and_observed(seen, layer, nodata, first, end):
    """Clears the bits of pixels that are not observed."""
    cols = layer.shape[1]
    flags = np.zeros(8 * seen.shape[1], np.uint8)
    words = flags.view(np.uint64)
    for r in range(first, end):
        row, bits = layer[r], seen[r]
        for c in range(cols):
            v = row[c]
            flags[c] = ~((v == nodata) | (v != v))
        for w in range(bits.size):
            bits[w] &= np.uint8((words[w] * _GATHER) >> np.uint64(56))


@kernel
def count_seen(seen, out, first, end):
    """Counts the bits of each pixel: rows of bits are added up as binary numbers whose digits lie in rows of their own."""
    days, _, size = seen.shape
    digits = 0
    while days >> digits:
        digits += 1
    sums = np.empty((digits, size), np.uint8)
    carry, low, high = np.empty(size, np.uint8), np.empty(size, np.uint64), np.empty(size, np.uint64)
    for r in range(first, end):
        sums[:] = 0
        for t in range(days):
            carry[:] = seen[t, r]
            for d in range(digits):
                row = sums[d]
                for w in range(size):
                    a, b = row[w], carry[w]
                    row[w] = a ^ b
                    carry[w] = a & b
        low[:] = 0
        high[:] = 0
        for d in range(digits):
            row, eight = sums[d], low if d < 8 else high
            for w in range(size):
                spread = (np.uint64(row[w]) * _ONES) & _EACH
                flags = ((spread + _CARRY) >> np.uint64(7)) & _ONES
                eight[w] |= flags << np.uint64(d % 8)
        made, ones, many = out[r], low.view(np.uint8), high.view(np.uint8)
        for c in range(made.size):
            made[c] = np.uint16(ones[c]) | (np.uint16(many[c]) << np.uint16(8))
