"""Compiled loops of the mask's clean-up; ``geo_assets.eo.mask`` says what they compute."""
# mypy: allow-untyped-defs

import numpy as np

from geo_assets.eo._jit import kernel


@kernel
def cleaned(classes, table, closing, opening):
    """Clear pixels by a table of classes, after closing then opening the others by disks given as half their widths."""
    bad, other = np.empty(classes.shape, np.uint8), np.empty(classes.shape, np.uint8)
    for r in range(classes.shape[0]):
        for c in range(classes.shape[1]):
            bad[r, c] = not table[classes[r, c]]
    if closing.size > 1:
        _dilate(bad, closing, other, 0)
        _dilate(other, closing, bad, 1)
        _invert(bad)
    if opening.size > 1:
        _dilate(bad, opening, other, 1)
        _dilate(other, opening, bad, 1)
    for r in range(classes.shape[0]):
        row, known = bad[r], classes[r]
        for c in range(row.size):
            row[c] = (row[c] == 0) & (known[c] != 0)
    return bad


@kernel
def _invert(mask):
    for r in range(mask.shape[0]):
        row = mask[r]
        for c in range(row.size):
            row[c] ^= 1


@kernel
def _dilate(mask, widths, out, inverted):
    """Sets pixels that have one within the disk; ``inverted`` looks at the unset ones. Beyond the border there is none.

    Each row is smeared sideways a pixel further at a time, and or-ed into the rows for which the disk is that wide.
    """
    rows, cols = mask.shape
    radius = widths.size // 2
    smeared = np.empty(cols, np.uint8)
    out[:] = 0
    for r in range(rows):
        row = mask[r]
        found = 0
        for c in range(cols):
            smeared[c] = row[c] ^ inverted
            found |= smeared[c]
        if found == 0:
            continue
        for width in range(widths.max() + 1):
            if width:
                _smear(row, inverted, min(width, cols), smeared)
            for k in range(widths.size):
                target = r + k - radius
                if widths[k] == width and 0 <= target < rows:
                    into = out[target]
                    for c in range(cols):
                        into[c] |= smeared[c]


@kernel
def _smear(row, inverted, width, smeared):
    cols = row.size
    before, after = smeared[width:], smeared[: cols - width]
    left, right = row[: cols - width], row[width:]
    for c in range(cols - width):
        before[c] |= left[c] ^ inverted
    for c in range(cols - width):
        after[c] |= right[c] ^ inverted
