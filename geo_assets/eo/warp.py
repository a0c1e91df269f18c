"""Source pixels on a target grid: nearest, bilinear, cubic, average and mode, aware of nodata.

A result is a function of the source and of the target pixel alone: the same value whatever window, chunk or strip it is
computed in. Kernels follow GDAL's warper (alg/gdalwarpkernel.cpp): the source pixel under the centre decides about nodata,
kernels widen when pixels grow, integers are rounded half up, and a valid result never equals nodata. GDAL interpolates
coordinates along a line, within a tolerance; here they are exact to 1e-4 of a source pixel, mostly to 1e-6.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine

from geo_assets.eo._area import average
from geo_assets.eo._convolve import convolve
from geo_assets.eo._coordinates import Grid
from geo_assets.eo._cover import mark
from geo_assets.eo._nearest import copy, gather, nearest, pick
from geo_assets.eo.lattice import CELL_PX, Nodes, all_finite, exact, jumps, nodes
from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox, spaced

TOLERANCE_PX = 1e-4  # cells whose coordinates may be further off are transformed pixel by pixel
_SHRINK_SLACK = 1.0001  # so that a factor that is exact but for rounding counts as reached
_SNAP = 0.05  # GDAL takes a shrink factor this close to an integer for that integer
_DIGITS = 6
_UNROLLED = 8  # widest kernel that has a loop of its own
_KEPT_NEEDS = 128
_AREAS = ("average", "mode")  # what looks at all pixels under a target pixel
_WIDE = 0.95  # from here on GDAL counts a pixel as not shrunk

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Raster:
    """A level of a file: its place and its nodata.

    Attributes:
        crs: CRS.
        transform: From (column, row) of its pixel corners to its coordinates.
        shape: Rows and columns.
        nodata: Stored number that means "not observed", or None.
    """

    crs: str
    transform: Affine
    shape: tuple[int, int]
    nodata: float | None


@dataclass(frozen=True)
class Scale:
    """Target pixels that one pixel of a level measures, along its columns and rows; below 1 where it shrinks."""

    x: float
    y: float

    @property
    def snapped(self) -> "Scale":
        """As GDAL uses it."""
        return Scale(_snap(self.x), _snap(self.y))


def _snap(scale: float) -> float:
    if scale >= 1:
        return scale
    whole = math.floor(1 / scale + 0.5)
    return 1 / whole if abs(1 / scale - whole) < _SNAP else scale


def scale_of(box: GeoBox, crs: str, transform: Affine, shape: tuple[int, int]) -> Scale:
    """Target pixels that a pixel of a file measures, seen at the middle of the file.

    The same for every window of a grid: kernels get their width from it. GDAL's own guess from the size of a window would
    make a pixel depend on which others are asked for with it.
    """
    row, col = shape[0] / 2, shape[1] / 2
    cols, rows = np.array([col - 0.5, col + 0.5, col, col]), np.array([row, row, row - 0.5, row + 0.5])
    x, y = transform.a * cols + transform.b * rows + transform.c, transform.d * cols + transform.e * rows + transform.f
    if box.crs != crs:
        x, y = transformer(crs, box.crs).transform(x, y)
    res = float(box.resolution)
    wide, high = math.hypot(x[1] - x[0], y[1] - y[0]) / res, math.hypot(x[3] - x[2], y[3] - y[2]) / res
    return Scale(wide, high) if 0 < wide < math.inf and 0 < high < math.inf else Scale(1.0, 1.0)


def coarsest(shapes: Sequence[tuple[int, int]], scale: Scale) -> int:
    """The coarsest level that is not coarser than the target, as gdalwarp chooses it.

    Args:
        shapes: Rows and columns of the full image and its overviews.
        scale: Of the full image on the target.
    """
    shrink = _SHRINK_SLACK / max(scale.x, scale.y)
    fit = [n for n, shape in enumerate(shapes) if round(shapes[0][1] / shape[1]) <= shrink]
    return fit[-1] if fit else 0


class Placement:
    """A target window over a level of a file.

    Args:
        box: Target window.
        raster: The level.
        scale: Of the level on the target; the same for all windows of a target.
        resampling: nearest, bilinear, cubic, average or mode.
        lattice: ``nodes(box, raster.crs)``, if it is there already.
    """

    def __init__(
        self, box: GeoBox, raster: Raster, scale: Scale, resampling: str, lattice: Nodes | None = None
    ) -> None:
        self.box, self.raster, self.resampling = box, raster, resampling
        self._scale = scale.snapped
        self._t = raster.transform
        straight = self._t.b == 0 and self._t.d == 0
        self._separable = box.crs == raster.crs and straight
        self._lattice = lattice or nodes(box, raster.crs)
        self.cols, self.rows = self._to_pixels(self._lattice.x, self._lattice.y)
        pixel = min(math.hypot(self._t.a, self._t.d), math.hypot(self._t.b, self._t.e))
        self._rough = self._lattice.error > TOLERANCE_PX * pixel
        self._odd = ~(np.isfinite(self.cols) & np.isfinite(self.rows))
        self._odd |= jumps(self.cols, raster.shape[1]) | jumps(self.rows, raster.shape[0])
        self._limits = self._pixel_limits()
        self._needed: dict[Any, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = {}
        # A node out of the CRS's reach makes its cells rough, so that single pixels decide
        self._rough |= ~(all_finite(self.cols) & all_finite(self.rows))

    @property
    def points(self) -> int:
        """Nodes of its lattice."""
        return self._lattice.points

    def _pixel_limits(self) -> tuple[int, int, int, int]:
        """First and end row, first and end column of the level that the window covers, without what kernels reach beyond."""
        height, width = self.raster.shape
        cols, rows = self._to_pixels(self._lattice.edge_x, self._lattice.edge_y)
        if not (np.isfinite(cols).all() and np.isfinite(rows).all()) or self._odd.any():
            return 0, height, 0, width
        cols, rows = cols.round(_DIGITS), rows.round(_DIGITS)  # an edge of a pixel is not beyond it
        low, high = np.clip([rows.min(), rows.max()], -1e9, 1e9)
        left, right = np.clip([cols.min(), cols.max()], -1e9, 1e9)
        return math.floor(low), math.ceil(high), math.floor(left), math.ceil(right)

    def _to_pixels(self, x: Array, y: Array) -> tuple[Array, Array]:
        t = self._t
        if t.b == 0 and t.d == 0:  # divided, not multiplied by a rounded inverse: edges stay exact
            return (x - t.c) / t.a, (y - t.f) / t.e
        inverse = ~t
        return x * inverse.a + y * inverse.b + inverse.c, x * inverse.d + y * inverse.e + inverse.f

    @functools.cached_property
    def identity(self) -> tuple[int, int] | None:
        """Row and column of the level's pixel that is the window's first, if every target pixel is one of the level."""
        res = float(self.box.resolution)
        if not self._separable or self._t.a != res or self._t.e != -res:
            return None
        col, row = (self.box.bounds[0] - self._t.c) / res, (self._t.f - self.box.bounds[3]) / res
        return (round(row), round(col)) if row == round(row) and col == round(col) else None

    @functools.cached_property
    def reach(self) -> tuple[int, int]:
        """Pixels of the level that a kernel may reach beyond the one under the centre: rows, columns."""
        if self.identity is not None:
            return 0, 0
        if self.resampling == "nearest":
            return (0, 0) if self._separable else (1, 1)
        taps = 2 if self.resampling == "cubic" else 1
        return tuple(math.ceil(taps / min(1.0, s)) + 1 for s in (self._scale.y, self._scale.x))  # type: ignore[return-value]

    def needs(
        self, wanted: npt.NDArray[np.bool_] | None, tile: tuple[int, int]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """First row and end row that are needed of each tile of the level.

        Args:
            wanted: Cells of the lattice in which any pixel is wanted, dims (down, across); None is all.
            tile: Rows and columns of a tile.

        Returns:
            First row and end row of the level, dims (tiles down, tiles across); equal where nothing is needed of a tile.
        """
        key = tile, None if wanted is None else np.packbits(wanted).tobytes()
        if (had := self._needed.get(key)) is not None:  # the bands of a scene ask for the same
            return had
        (height, width), (down, across) = self.raster.shape, self.reach
        first = np.full((-(-height // tile[0]), -(-width // tile[1])), np.iinfo(np.int64).max)
        end = np.zeros(first.shape, np.int64)
        cells = np.ones(self._rough.shape, bool) if wanted is None else wanted
        top, bottom, left, right = self._limits
        limits = max(0, top - down), min(height, bottom + down), max(0, left - across), min(width, right + across)
        cols, rows = self._finite
        mark(cols, rows, cells, self.reach, tile, limits, first, end)
        if len(self._needed) >= _KEPT_NEEDS:
            self._needed.clear()
        self._needed[key] = found = np.minimum(first, end), end
        return found

    def columns(self) -> tuple[int, int]:
        """First column and end column of the level that the window needs; empty if none."""
        left, right = (
            max(0, self._limits[2] - self.reach[1]),
            min(self.raster.shape[1], self._limits[3] + self.reach[1]),
        )
        return (left, right) if left < right else (0, 0)

    def span(self, first: int, end: int) -> tuple[int, int]:
        """First row and end row of the level that rows ``first`` to ``end`` of the window need; empty if none."""
        above, below = (self._lattice.row + first) // CELL_PX, -(-(self._lattice.row + end) // CELL_PX)
        _, rows = self._finite
        part = rows[2 * above : 2 * below + 1]
        low, high = (
            max(0.0, math.floor(part.min()) - self.reach[0]),
            min(float(self.raster.shape[0]), math.ceil(part.max()) + self.reach[0]),
        )
        low, high = max(low, self._limits[0] - self.reach[0]), min(high, self._limits[1] + self.reach[0])
        return (int(low), int(high)) if low < high else (0, 0)

    @functools.cached_property
    def descends(self) -> bool:
        """Whether the rows of the level that are needed never go up again as those of the window go down."""
        top = self._finite[1].min(axis=1)
        return bool((np.diff(top) >= 0).all())

    def part(self, first: int, end: int, cells: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_] | None:
        """Of the lattice's cells those that rows ``first`` to ``end`` of the window lie in, dims (down, across)."""
        if cells is None:
            return None
        above, below = (self._lattice.row + first) // CELL_PX, -(-(self._lattice.row + end) // CELL_PX)
        return cells[above:below]

    @functools.cached_property
    def _finite(self) -> tuple[Array, Array]:
        """Nodes in pixels; those out of the CRS's reach or beside a jump may lie anywhere, so their cells cover the whole level."""
        odd = self._odd
        if not odd.any():
            return self.cols, self.rows
        height, width = self.raster.shape
        chess = (np.indices(odd.shape).sum(axis=0) % 2).astype(bool)
        cols, rows = self.cols.copy(), self.rows.copy()
        cols[odd], rows[odd] = np.where(chess, 0, width)[odd], np.where(chess, 0, height)[odd]
        return cols, rows

    def warp(
        self,
        pixels: Array,
        origin: tuple[int, int],
        first: int,
        end: int,
        where: npt.NDArray[np.bool_] | None,
        fill: float,
    ) -> Array:
        """Rows ``first`` to ``end`` of the window.

        Args:
            pixels: Part of the level that holds all that is needed, dims (y, x).
            origin: Row and column of its first pixel in the level.
            first: First row of the window.
            end: Row after the last one.
            where: Pixels that are wanted, dims (y, x); others are ``fill`` or anything else. None is all.
            fill: Nodata of the result.

        Returns:
            Dims (y, x), dtype of ``pixels``, ``fill`` where nothing was observed; a part of ``pixels`` itself where each
            target pixel is one of them.
        """
        shape = end - first, self.box.shape[1]
        at = self.identity
        if (
            at is not None
            and (view := self._view(pixels, at[0] + first - origin[0], at[1] - origin[1], shape, fill)) is not None
        ):
            return view
        out = np.full(shape, fill, pixels.dtype)
        if not pixels.size:
            return out
        if where is None:
            where = np.ones(shape, bool)
        if at is not None:
            stored, has = _stored(self.raster.nodata, pixels.dtype)
            copy(pixels, at[0] + first - origin[0], at[1] - origin[1], where, stored, has, out)
        elif self.resampling == "nearest":
            self._nearest(pixels, origin, first, where, out)
        else:
            self._kernel(pixels, origin, first, where, out, fill)
        return out

    def _kernel(
        self, pixels: Array, origin: tuple[int, int], first: int, where: npt.NDArray[np.bool_], out: Array, fill: float
    ) -> None:
        stored, has = _stored(self.raster.nodata, pixels.dtype)
        whole = np.issubdtype(pixels.dtype, np.integer)
        low, high = (
            (float(np.iinfo(pixels.dtype).min), float(np.iinfo(pixels.dtype).max)) if whole else (-np.inf, np.inf)
        )
        grid = self._grid(first, out.shape[0], corners=self.resampling in _AREAS)
        place = (origin[0], origin[1], self.raster.shape[0], self.raster.shape[1])
        limits = (float(fill), low, high, bool(whole))
        if self.resampling in _AREAS:
            average(pixels, place, grid, where, stored, has, limits, self.resampling == "mode", out)
            return
        plain = self._scale.x >= _WIDE and self._scale.y >= _WIDE
        taps = 2 if self.resampling == "cubic" else 1
        size = (
            (0, 0) if plain else (math.ceil(taps / min(1.0, self._scale.y)), math.ceil(taps / min(1.0, self._scale.x)))
        )
        wide = min(2 * (size[1] or taps), _UNROLLED)
        across = (0,) * wide
        squeeze = min(1.0, self._scale.y), min(1.0, self._scale.x)
        convolve(pixels, place, grid, where, stored, has, limits, taps == 2, size, squeeze, across, out)

    def _view(self, pixels: Array, row: int, col: int, shape: tuple[int, int], fill: float) -> Array | None:
        """The pixels themselves, if they hold the whole strip and have the result's nodata."""
        nodata = self.raster.nodata
        same = nodata == fill or (nodata is not None and math.isnan(nodata) and math.isnan(fill))
        inside = row >= 0 and col >= 0 and row + shape[0] <= pixels.shape[0] and col + shape[1] <= pixels.shape[1]
        return pixels[row : row + shape[0], col : col + shape[1]] if same and inside else None

    def _nearest(
        self, pixels: Array, origin: tuple[int, int], first: int, where: npt.NDArray[np.bool_], out: Array
    ) -> None:
        stored, has = _stored(self.raster.nodata, pixels.dtype)
        grid = self._grid(first, out.shape[0], corners=False)
        if grid.separable:
            rows, cols = (
                np.where((at >= 0) & (at < size), np.floor(at) - start, -1).astype(np.int64)
                for at, size, start in zip((grid.y, grid.x), self.raster.shape, origin, strict=True)
            )
            gather(pixels, rows, cols, where, stored, has, out)
            return
        place = (origin[0], origin[1], self.raster.shape[0], self.raster.shape[1])
        near = nearest(pixels, place, grid, where, TOLERANCE_PX, stored, has, out)
        if len(near):  # so close to a pixel's edge that interpolated coordinates could take the neighbour
            near_rows, near_cols = near[:, 0], near[:, 1]
            x, y = self._to_pixels(*exact(self.box, self.raster.crs, near_rows + first, near_cols))
            pick(pixels, place, x, y, near_rows, near_cols, stored, has, out)

    def _grid(self, first: int, rows: int, *, corners: bool) -> Grid:
        """Coordinates as kernels take them: separable ones by row and column, or nodes, or pixel by pixel in rough cells."""
        none, no_patch = np.empty(0), np.empty((0, 0, 0))
        if self._separable:
            xs, ys = _edges(self.box) if corners else self.box.centers()
            col, row = self._to_pixels(xs, ys)
            more = 1 if corners else 0
            index = np.zeros((1, 1), np.int64)
            return Grid(
                True, col, row[first : first + rows + more], self.cols, self.rows, 0, 0, index, no_patch, no_patch
            )
        index, x, y = self._patches(first, rows, corners=corners)
        return Grid(False, none, none, self.cols, self.rows, self._lattice.row + first, self._lattice.col, index, x, y)

    def _patches(self, first: int, rows: int, *, corners: bool) -> tuple[npt.NDArray[np.int64], Array, Array]:
        """Exact coordinates of every pixel of the rough cells of some rows: number of the cell's patch plus 1, and patches."""
        index = np.zeros(self._rough.shape, np.int64)
        above, below = (self._lattice.row + first) // CELL_PX, -(-(self._lattice.row + first + rows) // CELL_PX)
        found = np.argwhere(self._rough[above:below])
        side = CELL_PX + 1 if corners else CELL_PX
        if not len(found):
            return index, np.empty((0, 0, 0)), np.empty((0, 0, 0))
        found[:, 0] += above
        index[found[:, 0], found[:, 1]] = np.arange(len(found)) + 1
        shift = 0.0 if corners else 0.5
        res = float(self.box.resolution)
        k = (np.arange(side) + shift) * res
        left = float(self.box.left) + (found[:, 1] * CELL_PX - self._lattice.col) * res
        top = float(self.box.top) - (found[:, 0] * CELL_PX - self._lattice.row) * res
        x = np.broadcast_to(left[:, None, None] + k[None, None, :], (len(found), side, side))
        y = np.broadcast_to(top[:, None, None] - k[None, :, None], (len(found), side, side))
        if self.box.crs != self.raster.crs:
            x, y = transformer(self.box.crs, self.raster.crs).transform(x, y)
        col, row = self._to_pixels(x, y)
        return index, np.where(np.isfinite(col), col, -1e18), np.where(np.isfinite(row), row, -1e18)


def _edges(box: GeoBox) -> tuple[Array, Array]:
    rows, cols = box.shape
    return spaced(box.left, box.resolution, cols + 1), spaced(box.top, -box.resolution, rows + 1)


def _stored(nodata: float | None, dtype: npt.DTypeLike) -> tuple[Any, bool]:
    """Nodata as a number, and whether there is one that a pixel of this type can have; NaN never counts as observed."""
    if nodata is None or math.isnan(nodata):
        return np.dtype(dtype).type(0), False
    kind = np.dtype(dtype)
    possible = not np.issubdtype(kind, np.integer) or (
        nodata == int(nodata) and np.iinfo(kind).min <= nodata <= np.iinfo(kind).max
    )
    return np.asarray(nodata if possible else 0).astype(kind)[()], bool(possible)
