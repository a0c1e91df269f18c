"""Which tiles of a level a window needs, as a compiled loop."""
# mypy: allow-untyped-defs

import math

from geo_assets.eo._jit import kernel

_ROUNDING = 1e-6  # an edge of a pixel is not beyond it


@kernel
def mark(gx, gy, wanted, reach, tile, limits, first, end):
    """For each tile the rows that wanted cells of the lattice need: ``first`` shrinks and ``end`` grows.

    ``limits`` are the first and end row, the first and end column that the window can need at all.
    """
    for i in range(wanted.shape[0]):
        for j in range(wanted.shape[1]):
            if not wanted[i, j]:
                continue
            x0 = x1 = gx[2 * i, 2 * j]
            y0 = y1 = gy[2 * i, 2 * j]
            for p in range(3):
                for q in range(3):
                    x, y = gx[2 * i + p, 2 * j + q], gy[2 * i + p, 2 * j + q]
                    x0, x1, y0, y1 = min(x0, x), max(x1, x), min(y0, y), max(y1, y)
            # As floats until they are cut: points far away do not fit into integers
            top = int(max(float(limits[0]), math.floor(y0 + _ROUNDING) - reach[0]))
            bottom = int(min(float(limits[1]), math.ceil(y1 - _ROUNDING) + reach[0]))
            left = int(max(float(limits[2]), math.floor(x0 + _ROUNDING) - reach[1]))
            right = int(min(float(limits[3]), math.ceil(x1 - _ROUNDING) + reach[1]))
            if left >= right or top >= bottom:
                continue
            for ty in range(top // tile[0], (bottom - 1) // tile[0] + 1):
                a, b = max(top, ty * tile[0]), min(bottom, (ty + 1) * tile[0])
                for tx in range(left // tile[1], (right - 1) // tile[1] + 1):
                    first[ty, tx] = min(first[ty, tx], a)
                    end[ty, tx] = max(end[ty, tx], b)
