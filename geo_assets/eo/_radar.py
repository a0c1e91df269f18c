"""Compiled loops of radar images; ``geo_assets.eo.sar`` and ``sar_area`` say what they compute."""
# mypy: allow-untyped-defs

import math

import numpy as np

from geo_assets.eo._jit import kernel


@kernel
def interpolated(value, weight, known, line, pixel, first_line, first_pixel):
    """Bilinear values of an image at places; NaN where the sample that holds a place is not known."""
    out = np.empty(line.shape, np.float32)
    for y in range(line.shape[0]):
        for x in range(line.shape[1]):
            out[y, x] = _at(value, weight, known, line[y, x] - first_line, pixel[y, x] - first_pixel)
    return out


@kernel
def _at(value, weight, known, row, col):
    lines, pixels = value.shape
    # False for NaN as well
    if not (row >= -0.5 and row < lines - 0.5 and col >= -0.5 and col < pixels - 0.5):
        return np.nan
    if not known[math.floor(row + 0.5), math.floor(col + 0.5)]:
        return np.nan
    first_row, first_col = math.floor(row), math.floor(col)
    below, right = row - first_row, col - first_col
    total = share = 0.0
    for down in range(2):
        for over in range(2):
            r, c = first_row + down, first_col + over
            if 0 <= r < lines and 0 <= c < pixels:
                part = (below if down else 1 - below) * (right if over else 1 - right)
                total += part * value[r, c]
                share += part * weight[r, c]
    return total / share


@kernel
def spread(total, area, line, pixel, steps, pieces, first_line, first_pixel):
    """Adds the area of each place, cut into pieces along both sides, to the four samples around each piece.

    ``steps`` are the change of line from row to row and from column to column, then that of pixel.
    """
    lines, pixels = total.shape
    for y in range(area.shape[0]):
        for x in range(area.shape[1]):
            piece = area[y, x] / (pieces * pieces)
            if not piece > 0:
                continue
            for n in range(pieces * pieces):
                down, over = (n // pieces + 0.5) / pieces - 0.5, (n % pieces + 0.5) / pieces - 0.5
                row = line[y, x] + down * steps[0][y, x] + over * steps[1][y, x] - first_line
                col = pixel[y, x] + down * steps[2][y, x] + over * steps[3][y, x] - first_pixel
                if row > -1 and row < lines and col > -1 and col < pixels:
                    _add(total, row, col, piece)


@kernel
def _add(total, row, col, piece):
    first_row, first_col = math.floor(row), math.floor(col)
    below, right = row - first_row, col - first_col
    for down in range(2):
        for over in range(2):
            r, c = first_row + down, first_col + over
            if 0 <= r < total.shape[0] and 0 <= c < total.shape[1]:
                total[r, c] += piece * (below if down else 1 - below) * (right if over else 1 - right)


@kernel
def cast(height, margin, away_row, away_col, step_m, tan, low, high, shadow, layover):
    """Marks pixels that other ground hides from the radar, or that appear in the same sample as other ground.

    ``away_row`` and ``away_col`` are the step from pixel to pixel along the line of sight, away from the radar, and
    ``step_m`` its length. ``height`` reaches ``margin`` pixels further than the others.
    """
    for y in range(shadow.shape[0]):
        for x in range(shadow.shape[1]):
            row, col, own = y + margin, x + margin, height[y + margin, x + margin]
            slope, metres = tan[y, x], step_m[y, x]
            if not (own == own and metres > 0):
                continue
            # No ground is higher or lower than that, so none further away matters
            behind = min(margin, int(max((high - own) * slope, (own - low) / slope) / metres) + 1)
            for n in range(1, behind + 1):
                rise = _height(height, row - n * away_row[y, x], col - n * away_col[y, x]) - own
                shadow[y, x] |= rise * slope > n * metres
                layover[y, x] |= -rise >= n * metres * slope
            for n in range(1, min(margin, int((high - own) / slope / metres) + 1) + 1):
                rise = _height(height, row + n * away_row[y, x], col + n * away_col[y, x]) - own
                layover[y, x] |= rise >= n * metres * slope


@kernel
def _height(height, row, col):
    r, c = min(max(math.floor(row), 0), height.shape[0] - 2), min(max(math.floor(col), 0), height.shape[1] - 2)
    y, x = row - r, col - c
    upper = height[r, c] * (1 - x) + height[r, c + 1] * x
    return upper * (1 - y) + (height[r + 1, c] * (1 - x) + height[r + 1, c + 1] * x) * y
