"""Smooth quantities of a window: worked out at few points, bilinear between them, the same whatever the window is."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from geo_assets.model.geometry import GeoBox, spaced

SPACING_PX = 16

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Anchored:
    """Points around a window, every sixteen pixels from the origin of its CRS on, and not from the window.

    Attributes:
        x: X of the columns of points, CRS units.
        y: Y of the rows of points, CRS units.
    """

    x: F64
    y: F64
    _row: float
    _col: float
    _shape: tuple[int, int]

    @classmethod
    def under(cls, box: GeoBox) -> "Anchored":
        """The points that a window's pixels lie between."""
        rows, cols = box.shape
        row, first_y, n_y = _cells(-box.top / box.resolution, rows)
        col, first_x, n_x = _cells(box.left / box.resolution, cols)
        step = box.resolution * SPACING_PX
        return cls(spaced(first_x * step, step, n_x), spaced(-first_y * step, -step, n_y), row, col, box.shape)

    def spread(self, node: F64) -> F64:
        """Values at the window's pixel centres from values at the points, dims (y, x); an axis of length 1 stays so."""
        for axis, (share, size) in enumerate(((self._row, self._shape[0]), (self._col, self._shape[1]))):
            if node.shape[axis] == 1:
                continue
            at = share + np.arange(size) / SPACING_PX
            low = np.floor(at).astype(np.int64)
            weight = (at - low)[:, None] if axis == 0 else (at - low)[None, :]
            node = np.take(node, low, axis) * (1 - weight) + np.take(node, low + 1, axis) * weight
        return node


def _cells(edge: Fraction, size: int) -> tuple[float, int, int]:
    """Place of the first pixel's centre in its cell (0 to 1), the number of that cell, and how many points there are."""
    centre = edge + Fraction(1, 2)
    first = centre // SPACING_PX
    share = (centre - first * SPACING_PX) / SPACING_PX
    last = (centre + size - 1) // SPACING_PX
    return float(share), int(first), int(last - first) + 2
