"""Where the pixels of a target grid lie in a source raster."""

import numpy as np
import numpy.typing as npt
import pyproj
from affine import Affine

from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox

_STEP_PX = 16  # spacing of the exactly transformed nodes between which coordinates are interpolated
_SAFETY = 8.0  # the true error is taken to be at most this many times the one seen at the middle of the cells

Coordinates = npt.NDArray[np.float64]


def source_window(box: GeoBox, crs: str, transform: Affine) -> tuple[float, float, float, float]:
    """Least and greatest fractional column and row that a target window covers: (col0, row0, col1, row1)."""
    rows, cols = box.shape
    left, bottom, right, top = box.bounds
    t = np.linspace(0.0, 1.0, max(2, max(rows, cols) // _STEP_PX + 2))
    x = np.concatenate(
        [left + (right - left) * t, np.full_like(t, right), left + (right - left) * t, np.full_like(t, left)]
    )
    y = np.concatenate(
        [np.full_like(t, top), top + (bottom - top) * t, np.full_like(t, bottom), top + (bottom - top) * t]
    )
    if box.crs != crs:
        x, y = transformer(box.crs, crs).transform(x, y)
    col, row = _pixel(x, y, transform)
    if not (np.isfinite(col).all() and np.isfinite(row).all()):
        return -np.inf, -np.inf, np.inf, np.inf
    return float(col.min()), float(row.min()), float(col.max()), float(row.max())


def _pixel(x: Coordinates, y: Coordinates, transform: Affine) -> tuple[Coordinates, Coordinates]:
    if transform.b == 0 and transform.d == 0:  # divide, not multiply by a rounded inverse: edges stay exact
        return (x - transform.c) / transform.a, (y - transform.f) / transform.e
    inverse = ~transform
    return x * inverse.a + y * inverse.b + inverse.c, x * inverse.d + y * inverse.e + inverse.f


def nearest_index(box: GeoBox, crs: str, transform: Affine) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Row and column of the source pixel that holds each target pixel's centre.

    Args:
        box: Target window.
        crs: CRS of the source.
        transform: From (column, row) of the source's pixel corners to its coordinates.

    Returns:
        floor(fractional row) and floor(fractional column), broadcastable to the target's shape; they may lie outside.
        Exact: coordinates are interpolated only where that cannot change the floor.
    """
    xs, ys = box.centers()
    if box.crs == crs and transform.b == 0 and transform.d == 0:
        col, row = _pixel(xs, ys, transform)
        return np.floor(row).astype(np.int64)[:, None], np.floor(col).astype(np.int64)[None, :]
    x, y = np.meshgrid(xs, ys)
    if box.crs == crs:
        col, row = _pixel(x, y, transform)
    else:
        col, row = _interpolated(x, y, transformer(box.crs, crs), transform)
    return np.floor(row).astype(np.int64), np.floor(col).astype(np.int64)


def _interpolated(
    x: Coordinates, y: Coordinates, forward: pyproj.Transformer, transform: Affine
) -> tuple[Coordinates, Coordinates]:
    """Source coordinates, interpolated between nodes and made exact wherever a pixel edge is within the error."""
    rows, cols = x.shape
    at_row = np.unique(np.append(np.arange(0, rows, _STEP_PX), rows - 1))
    at_col = np.unique(np.append(np.arange(0, cols, _STEP_PX), cols - 1))
    node_x, node_y = forward.transform(x[np.ix_(at_row, at_col)], y[np.ix_(at_row, at_col)])
    nodes = _pixel(node_x, node_y, transform)
    between = tuple(_bilinear(n, at_row, at_col, rows, cols) for n in nodes)
    mid_row, mid_col = (at_row[:-1] + at_row[1:]) // 2, (at_col[:-1] + at_col[1:]) // 2
    if len(mid_row) and len(mid_col):
        pick = np.ix_(mid_row, mid_col)
        exact = _pixel(*forward.transform(x[pick], y[pick]), transform)
        error = max(float(np.abs(b[pick] - e).max()) for b, e in zip(between, exact, strict=True)) * _SAFETY + 1e-9
    else:
        error = 1.0
    col, row = between
    near = (np.abs(col - np.rint(col)) <= error) | (np.abs(row - np.rint(row)) <= error)
    if near.any():
        col[near], row[near] = _pixel(*forward.transform(x[near], y[near]), transform)
    return col, row


def _bilinear(
    nodes: Coordinates, at_row: npt.NDArray[np.int64], at_col: npt.NDArray[np.int64], rows: int, cols: int
) -> Coordinates:
    def weights(at: npt.NDArray[np.int64], n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Coordinates]:
        position = np.arange(n)
        low = np.clip(np.searchsorted(at, position, side="right") - 1, 0, max(len(at) - 2, 0))
        high = np.minimum(low + 1, len(at) - 1)
        width = np.maximum(at[high] - at[low], 1)
        return low, high, (position - at[low]) / width

    low_r, high_r, share_r = weights(at_row, rows)
    low_c, high_c, share_c = weights(at_col, cols)
    along = nodes[:, low_c] * (1 - share_c) + nodes[:, high_c] * share_c
    result: Coordinates = along[low_r] * (1 - share_r)[:, None] + along[high_r] * share_r[:, None]
    return result
