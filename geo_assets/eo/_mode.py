"""The most frequent number of each pixel, as a compiled loop; ``geo_assets.eo.reduce`` checks what goes in."""
# mypy: allow-untyped-defs

from geo_assets.eo._jit import kernel


@kernel
def mode(stack, nodata, out, first, end):
    """Most frequent observed number of each pixel; of several the least."""
    days, _, cols = stack.shape
    for r in range(first, end):
        made = out[r]
        for c in range(cols):
            best, most = nodata, 0
            for t in range(days):
                v = stack[t, r, c]
                if v == nodata:
                    continue
                n = 0
                for u in range(days):
                    n += stack[u, r, c] == v
                if n > most or (n == most and v < best):
                    best, most = v, n
            made[c] = best
