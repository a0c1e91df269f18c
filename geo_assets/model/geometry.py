"""Pixel grid, block, region and cell footprints: where every pixel lies and what its partition is called.

Everything is counted from a fixed origin, never from an area of interest, so ids, edges and keys are the same for every
AOI and for ever. Resolutions and edges are exact fractions; floats appear only at the border. docs/adr/0001-geometry.md
tells why.
"""

import functools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from shapely import MultiPolygon, Polygon

from geo_assets.errors import ConfigError, PartitionError
from geo_assets.model.crs import canonical_crs, crs_from, crs_of_group, group_of_crs, metres_per_unit, transformer
from geo_assets.model.lonlat import to_lonlat

REGION_SIZE_M = 100_000.0
_TOUCH_PX = Fraction(1, 1_000_000)  # an overlap narrower than this part of a pixel is a shared edge, not an overlap
_KEY = re.compile(r"(?P<group>[a-z0-9]+)_r(?P<row>-?\d{1,9})_c(?P<col>-?\d{1,9})")


@dataclass(frozen=True)
class GeoBox:
    """A north-up array of pixels on the ground.

    Attributes:
        crs: Canonical CRS.
        resolution: Side of a pixel in CRS units.
        left: X of the left edge, in CRS units.
        top: Y of the upper edge, in CRS units.
        shape: Rows and columns.
    """

    crs: str
    resolution: Fraction
    left: Fraction
    top: Fraction
    shape: tuple[int, int]

    @property
    def transform(self) -> Affine:
        """From (column, row) of a pixel corner to (x, y)."""
        res = float(self.resolution)
        return Affine(res, 0.0, float(self.left), 0.0, -res, float(self.top))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in CRS units."""
        rows, cols = self.shape
        right, bottom = self.left + cols * self.resolution, self.top - rows * self.resolution
        return float(self.left), float(bottom), float(right), float(self.top)

    def window(self, row: int, col: int, rows: int, cols: int) -> "GeoBox":
        """The part that begins at (``row``, ``col``), which may lie outside."""
        left, top = self.left + col * self.resolution, self.top - row * self.resolution
        return GeoBox(self.crs, self.resolution, left, top, (rows, cols))

    def centers(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """X of the columns and y of the rows at pixel centres, float64, CRS units, correctly rounded."""
        rows, cols = self.shape
        half = self.resolution / 2
        return spaced(self.left + half, self.resolution, cols), spaced(self.top - half, -self.resolution, rows)

    def lonlat(self) -> Polygon | MultiPolygon:
        """Outline in EPSG:4326 with densified edges, split at the antimeridian."""
        return to_lonlat(shapely.box(*self.bounds), self.crs)


def spaced(first: Fraction, step: Fraction, n: int) -> npt.NDArray[np.float64]:
    """``n`` numbers from ``first`` on, each correctly rounded, so that they do not depend on where counting began."""
    denominator = math.lcm(first.denominator, step.denominator)
    start, stride = first * denominator, step * denominator
    numbers: npt.NDArray[np.float64] = (int(start) + np.arange(n, dtype=np.int64) * int(stride)) / denominator
    return numbers


@dataclass(frozen=True, order=True)
class Block:
    """One shard of every array: the unit of work and of writing. Counted from the origin of its pixel grid."""

    row: int
    col: int


@dataclass(frozen=True, order=True)
class Region:
    """A square of blocks: the spatial partition. Its key is the same for every AOI."""

    group: str
    row: int
    col: int

    @property
    def key(self) -> str:
        """Partition key, such as ``utm33n_r51_c5``."""
        return f"{self.group}_r{self.row}_c{self.col}"

    @classmethod
    def parse(cls, key: str) -> "Region":
        """The region of a key.

        Raises:
            PartitionError: Not a region key.
        """
        match = _KEY.fullmatch(key)
        if not match:
            raise PartitionError(f"{key!r} is not a region key; one looks like utm33n_r51_c5")
        crs_of_group(match["group"])
        region = cls(match["group"], int(match["row"]), int(match["col"]))
        if region.key != key:
            raise PartitionError(f"{key!r} is not a region key; write {region.key}")
        return region


@dataclass(frozen=True)
class PixelGrid:
    """The pixel grid of one group of a cube.

    Pixel edges lie at origin + k * resolution. The origin is (0, 0) in projected CRSs, where rows of blocks and regions
    count northward, and (-180, 90) in geographic ones, where they count southward; columns always count eastward.

    Attributes:
        crs: Canonical CRS.
        resolution: Side of a pixel in CRS units.
        block_px: Side of a block in pixels.
        chunk_px: Side of a chunk in pixels; divides ``block_px``.
        region_blocks: Side of a region in blocks.
    """

    crs: str
    resolution: Fraction
    block_px: int
    chunk_px: int
    region_blocks: int

    @classmethod
    def build(
        cls,
        crs: str,
        resolution: Fraction,
        *,
        block_px: int | None = None,
        chunk_px: int | None = None,
        region_blocks: int | None = None,
    ) -> "PixelGrid":
        """The grid of a CRS with the defaults of its resolution.

        A block has 2048 pixels a side, 512 where a pixel is coarser than 50 m and 1200 in geographic CRSs; a region has
        as many blocks a side as come nearest to 100 km.

        Raises:
            ConfigError: Unknown CRS, or sizes that do not fit each other.
        """
        crs = canonical_crs(crs)
        pixel_m = float(resolution) * metres_per_unit(crs)
        if block_px is None:
            block_px = 1200 if crs_from(crs).is_geographic else 512 if pixel_m > 50 else 2048
        if chunk_px is None:
            chunk_px = max(n for n in range(1, min(300, block_px) + 1) if block_px % n == 0)
        if chunk_px < 1 or block_px % chunk_px:
            raise ConfigError(f"chunk_px {chunk_px} does not divide block_px {block_px}: choose a divisor")
        if region_blocks is None:
            region_blocks = max(1, round(REGION_SIZE_M / (pixel_m * block_px)))
        return cls(crs, resolution, block_px, chunk_px, region_blocks)

    @property
    def group(self) -> str:
        """Name of the group in the cube."""
        return group_of_crs(self.crs)

    @property
    def geographic(self) -> bool:
        """Whether coordinates are degrees."""
        return bool(crs_from(self.crs).is_geographic)

    @property
    def block_size(self) -> Fraction:
        """Side of a block in CRS units."""
        return self.block_px * self.resolution

    @property
    def region_size(self) -> Fraction:
        """Side of a region in CRS units."""
        return self.region_blocks * self.block_size

    @property
    def region_px(self) -> int:
        """Side of a region in pixels."""
        return self.region_blocks * self.block_px

    @property
    def pixel_m(self) -> float:
        """Side of a pixel in metres; in geographic CRSs along the meridian."""
        return float(self.resolution) * metres_per_unit(self.crs)

    def block_geobox(self, block: Block) -> GeoBox:
        """Pixels of a block."""
        return self._square(block.row, block.col, self.block_size, self.block_px)

    def region_geobox(self, region: Region) -> GeoBox:
        """Pixels of a region."""
        self._own(region)
        return self._square(region.row, region.col, self.region_size, self.region_px)

    def _square(self, row: int, col: int, size: Fraction, pixels: int) -> GeoBox:
        left = col * size + (-180 if self.geographic else 0)
        top = 90 - row * size if self.geographic else (row + 1) * size
        return GeoBox(self.crs, self.resolution, Fraction(left), Fraction(top), (pixels, pixels))

    def region_of(self, block: Block) -> Region:
        """The region that holds a block."""
        return Region(self.group, block.row // self.region_blocks, block.col // self.region_blocks)

    def blocks_of(self, region: Region) -> Iterator[Block]:
        """Blocks of a region, row by row."""
        self._own(region)
        n = self.region_blocks
        for row in range(region.row * n, (region.row + 1) * n):
            for col in range(region.col * n, (region.col + 1) * n):
                yield Block(row, col)

    def _own(self, region: Region) -> None:
        if region.group != self.group:
            raise PartitionError(f"region {region.key} is not in group {self.group}")

    def extent(self) -> tuple[int, int, int, int]:
        """Regions that the arrays of the group span: first and last + 1 row, first and last + 1 column.

        The whole world in geographic CRSs, the whole plane of a zone in UTM, else the CRS's area of use.
        """
        west, south, east, north = _plane(self.crs)
        size = self.region_size
        if self.geographic:
            rows = math.floor((90 - Fraction(north)) / size), math.ceil((90 - Fraction(south)) / size)
            cols = math.floor((Fraction(west) + 180) / size), math.ceil((Fraction(east) + 180) / size)
        else:
            rows = math.floor(Fraction(south) / size), math.ceil(Fraction(north) / size)
            cols = math.floor(Fraction(west) / size), math.ceil(Fraction(east) / size)
        return *rows, *cols

    def array_geobox(self) -> GeoBox:
        """Pixels of the arrays of the group, sparse in the store."""
        row0, row1, col0, col1 = self.extent()
        upper = row0 if self.geographic else row1 - 1
        corner = self._square(upper, col0, self.region_size, self.region_px)
        shape = (row1 - row0) * self.region_px, (col1 - col0) * self.region_px
        return GeoBox(self.crs, self.resolution, corner.left, corner.top, shape)

    def array_slices(self, box: GeoBox) -> tuple[slice, slice]:
        """Where ``box`` lies in the arrays of the group: rows, columns.

        Raises:
            PartitionError: Not on this grid, or outside the arrays.
        """
        whole = self.array_geobox()
        row, col = (whole.top - box.top) / self.resolution, (box.left - whole.left) / self.resolution
        fits = row.denominator == col.denominator == 1 and box.crs == self.crs and box.resolution == self.resolution
        rows, cols = box.shape
        if not fits or row < 0 or col < 0 or row + rows > whole.shape[0] or col + cols > whole.shape[1]:
            raise PartitionError(f"{box} is not part of the arrays of group {self.group}")
        return slice(int(row), int(row) + rows), slice(int(col), int(col) + cols)

    def blocks_at(self, rows: slice, cols: slice) -> Iterator[Block]:
        """Blocks under rows and columns of the arrays of the group, from the upper left."""
        row0, row1, col0, _ = self.extent()
        n = self.region_blocks
        for down in range(rows.start // self.block_px, -(-rows.stop // self.block_px)):
            row = row0 * n + down if self.geographic else row1 * n - 1 - down
            for right in range(cols.start // self.block_px, -(-cols.stop // self.block_px)):
                yield Block(row, col0 * n + right)

    def box_around(self, bounds: tuple[float, float, float, float]) -> GeoBox:
        """Pixels of the grid around west, south, east, north in CRS units: an edge beside a pixel's, by rounding, is on it."""
        zero_x, zero_y = (-180, 90) if self.geographic else (0, 0)
        res, slack = float(self.resolution), float(_TOUCH_PX) * 100
        west, south, east, north = bounds
        col0, col1 = math.floor((west - zero_x) / res + slack), math.ceil((east - zero_x) / res - slack)
        row0, row1 = math.floor((zero_y - north) / res + slack), math.ceil((zero_y - south) / res - slack)
        shape = max(1, row1 - row0), max(1, col1 - col0)
        left, top = zero_x + col0 * self.resolution, zero_y - row0 * self.resolution
        return GeoBox(self.crs, self.resolution, Fraction(left), Fraction(top), shape)

    def locate(
        self, x: npt.ArrayLike, y: npt.ArrayLike, *, size: Fraction
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Row and column of the squares of side ``size`` that hold points (CRS units)."""
        dx = np.asarray(x, np.float64) + (180 if self.geographic else 0)
        dy = 90 - np.asarray(y, np.float64) if self.geographic else np.asarray(y, np.float64)
        return np.floor(dy / float(size)).astype(np.int64), np.floor(dx / float(size)).astype(np.int64)

    def touched(
        self, geometries: npt.NDArray[np.object_], *, size: Fraction
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Squares of side ``size`` that overlap geometries (CRS units) by area, not by a shared edge only.

        Returns:
            Index of the geometry, row and column of the square; one entry a pair.
        """
        edge = float(self.resolution * _TOUCH_PX)
        bounds = shapely.bounds(geometries)
        some = np.flatnonzero(~np.isnan(bounds[:, 0]))
        west, south, east, north = bounds[some].T
        row_a, col_a = self.locate(west + edge, north - edge, size=size)
        row_b, col_b = (
            self.locate(east - edge, south + edge, size=size)[0],
            self.locate(east - edge, south + edge, size=size)[1],
        )
        row0, row1, col0, col1 = np.minimum(row_a, row_b), np.maximum(row_a, row_b), col_a, np.maximum(col_a, col_b)
        wide = col1 - col0 + 1
        counts = (row1 - row0 + 1) * wide
        owner = np.repeat(np.arange(len(some)), counts)
        nth = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        rows, cols = row0[owner] + nth // wide[owner], col0[owner] + nth % wide[owner]
        ask = counts[owner] > 1
        boxes = self._boxes(rows[ask], cols[ask], size=size, inset=edge)
        hit = np.ones(len(owner), bool)
        polygons = geometries[some]
        shapely.prepare(polygons)
        hit[ask] = shapely.intersects(polygons[owner[ask]], boxes)
        return some[owner[hit]], rows[hit], cols[hit]

    def _boxes(
        self, rows: npt.NDArray[np.int64], cols: npt.NDArray[np.int64], *, size: Fraction, inset: float
    ) -> npt.NDArray[np.object_]:
        side = float(size)
        left = cols * side - (180 if self.geographic else 0)
        top = 90 - rows * side if self.geographic else (rows + 1) * side
        boxes: npt.NDArray[np.object_] = shapely.box(left + inset, top - side + inset, left + side - inset, top - inset)
        return boxes


@functools.lru_cache(maxsize=256)
def _plane(crs: str) -> tuple[float, float, float, float]:
    """West, south, east, north of what the arrays of a CRS span."""
    proj = crs_from(crs)
    if proj.is_geographic:
        return -180.0, -90.0, 180.0, 90.0
    if group_of_crs(crs).startswith("utm"):
        return 0.0, 0.0, 1_000_000.0, 10_000_000.0
    area = proj.area_of_use
    if area is None:
        raise ConfigError(
            f"{crs} has no area of use in the EPSG register, so its cube would have no bounds: choose another CRS"
        )
    bounds = transformer("EPSG:4326", crs).transform_bounds(
        area.west, area.south, area.east, area.north, densify_pts=101
    )
    if not all(map(math.isfinite, bounds)):
        raise ConfigError(f"the area of use of {crs} has no finite bounds: choose another CRS")
    return bounds
