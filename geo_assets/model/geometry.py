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
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import shapely
from affine import Affine
from shapely import Geometry, MultiPolygon, Polygon

from geo_assets.errors import ConfigError, PartitionError

METRES_PER_DEGREE = 111_320.0  # of latitude, and of longitude at the equator (WGS 84 equatorial radius * pi / 180)
REGION_SIZE_M = 100_000.0
UTM_LAT = (-80.0, 84.0)  # the UTM part of the Military Grid Reference System (NGA.STND.0037, section 2)
_MAX_EDGE_DEG = 0.05  # a straight edge of this length misses the true parallel by under 0.5 m below 60 degrees
_TOUCH_PX = Fraction(1, 1_000_000)  # an overlap narrower than this part of a pixel is a shared edge, not an overlap
_KEY = re.compile(r"(?P<group>[a-z0-9]+)_r(?P<row>-?\d{1,9})_c(?P<col>-?\d{1,9})")
_UTM_GROUP = re.compile(r"utm(\d{2})([ns])")


@functools.lru_cache(maxsize=256)
def _crs(text: str) -> pyproj.CRS:
    try:
        return pyproj.CRS.from_user_input(text)
    except pyproj.exceptions.CRSError as e:
        raise ConfigError(f"unknown CRS {text!r}: give an EPSG code such as EPSG:3035") from e


@functools.lru_cache(maxsize=512)
def transformer(source: str, target: str) -> pyproj.Transformer:
    """Coordinate transformation between two CRSs, always in the order (x, y)."""
    return pyproj.Transformer.from_crs(_crs(source), _crs(target), always_xy=True)


def reproject(geometry: Any, source: str, target: str) -> Any:
    """``geometry`` (one or an array of shapely geometries) in CRS ``target``; vertices only, edges are not densified."""
    if source == target:
        return geometry
    forward = transformer(source, target).transform

    def move(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.column_stack(forward(xy[:, 0], xy[:, 1]))

    return shapely.transform(geometry, move)


def canonical_crs(text: str) -> str:
    """``EPSG:code`` of a CRS given in any form that PROJ reads.

    Raises:
        ConfigError: Unknown, or without an authority code (its pixel grid could not be named for ever).
    """
    crs = _crs(text)
    authority = crs.to_authority(min_confidence=100) or crs.to_authority()
    if authority is None:
        raise ConfigError(f"CRS {text!r} has no authority code: give one that has, such as EPSG:3035")
    if not (crs.is_geographic or crs.is_projected):
        raise ConfigError(f"CRS {text!r} is neither geographic nor projected: give one such as EPSG:3035")
    return f"{authority[0].upper()}:{authority[1]}"


def crs_of_group(group: str) -> str:
    """CRS of a cube's group: ``utm33n`` -> ``EPSG:32633``, ``epsg4326`` -> ``EPSG:4326``.

    Raises:
        PartitionError: Not the name of a group.
    """
    if utm := _UTM_GROUP.fullmatch(group):
        zone = int(utm[1])
        if 1 <= zone <= 60:
            return f"EPSG:{(32600 if utm[2] == 'n' else 32700) + zone}"
    elif other := re.fullmatch(r"([a-z]+)(\d+)", group):
        return f"{other[1].upper()}:{other[2]}"
    raise PartitionError(f"{group!r} is not a group of a cube; groups look like utm33n or epsg4326")


def group_of_crs(crs: str) -> str:
    """Name of the cube's group of a canonical CRS: ``EPSG:32633`` -> ``utm33n``."""
    authority, code = crs.split(":")
    if authority == "EPSG" and code.isdigit():
        number = int(code)
        if 32601 <= number <= 32660:
            return f"utm{number - 32600:02d}n"
        if 32701 <= number <= 32760:
            return f"utm{number - 32700:02d}s"
    return f"{authority.lower()}{code.lower()}"


def parse_resolution(value: str | float) -> Fraction:
    """Exact resolution from ``10``, ``"1/3600"`` or ``0.000277777777777778`` (a float that means 1/n becomes 1/n).

    Raises:
        ConfigError: Not a positive number.
    """
    try:
        exact = Fraction(str(value).replace(" ", ""))
    except (ValueError, ZeroDivisionError) as e:
        raise ConfigError(f"resolution {value!r} is not a number: write 10 or 1/3600") from e
    if exact <= 0:
        raise ConfigError(f"resolution {value!r} must be above 0")
    inverse = round(1 / exact)
    if inverse > 1 and abs(exact * inverse - 1) < Fraction(1, 10**9):
        return Fraction(1, inverse)
    return exact


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
        return _centers(self.left, self.resolution, cols), _centers(self.top, -self.resolution, rows)

    def lonlat(self) -> Polygon | MultiPolygon:
        """Outline in EPSG:4326 with densified edges, split at the antimeridian."""
        return to_lonlat(shapely.box(*self.bounds), self.crs)


def _centers(first_edge: Fraction, step: Fraction, n: int) -> npt.NDArray[np.float64]:
    denominator = math.lcm((first_edge + step / 2).denominator, step.denominator)
    first, stride = (first_edge + step / 2) * denominator, step * denominator
    numbers: npt.NDArray[np.float64] = (int(first) + np.arange(n, dtype=np.int64) * int(stride)) / denominator
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
        pixel_m = float(resolution) * _metres_per_unit(crs)
        if block_px is None:
            block_px = 1200 if _crs(crs).is_geographic else 512 if pixel_m > 50 else 2048
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
        return bool(_crs(self.crs).is_geographic)

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
        return float(self.resolution) * _metres_per_unit(self.crs)

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
def _metres_per_unit(crs: str) -> float:
    proj = _crs(crs)
    return METRES_PER_DEGREE if proj.is_geographic else float(proj.axis_info[0].unit_conversion_factor)


@functools.lru_cache(maxsize=256)
def _plane(crs: str) -> tuple[float, float, float, float]:
    """West, south, east, north of what the arrays of a CRS span."""
    proj = _crs(crs)
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


def zone_polygon(zone: int, *, north: bool) -> Polygon | MultiPolygon:
    """Area of a UTM zone in EPSG:4326 as the MGRS defines it, with Norway's and Svalbard's odd zones.

    Source: NGA.STND.0037, section 2 and its table of zone exceptions (32V, 31X, 33X, 35X, 37X).
    """
    west, east = -180.0 + 6 * (zone - 1), -180.0 + 6 * zone
    if not north:
        return shapely.box(west, UTM_LAT[0], east, 0.0)
    vee = {31: (0.0, 3.0), 32: (3.0, 12.0)}.get(zone, (west, east))
    xray = {31: (0.0, 9.0), 33: (9.0, 21.0), 35: (21.0, 33.0), 37: (33.0, 42.0)}.get(zone, (west, east))
    parts = [
        shapely.box(west, 0.0, east, 56.0),
        shapely.box(vee[0], 56.0, vee[1], 64.0),
        shapely.box(west, 64.0, east, 72.0),
    ]
    if zone not in (32, 34, 36):
        parts.append(shapely.box(xray[0], 72.0, xray[1], UTM_LAT[1]))
    return shapely.union_all(parts)


@functools.cache
def _zones() -> tuple[tuple[str, ...], npt.NDArray[np.object_]]:
    names = [(z, n) for n in (True, False) for z in range(1, 61)]
    polygons = np.array([zone_polygon(z, north=n) for z, n in names], dtype=object)
    return tuple(f"EPSG:{(32600 if n else 32700) + z}" for z, n in names), polygons


def utm_zones_of(geometry: Geometry) -> list[str]:
    """CRSs of the UTM zones whose area a geometry (EPSG:4326) overlaps, north first.

    Raises:
        ConfigError: The geometry reaches beyond 84 N or 80 S, where there is no UTM.
    """
    _, south, _, north = geometry.bounds
    if south < UTM_LAT[0] or north > UTM_LAT[1]:
        raise ConfigError(
            f"the area reaches latitude {south if south < UTM_LAT[0] else north:.2f}, and UTM ends at 80 S and 84 N: "
            "set cube.crs to a polar CRS such as EPSG:3413 (north) or EPSG:3031 (south), or cut the area"
        )
    names, polygons = _zones()
    shapely.prepare(geometry)
    hit = shapely.intersects(geometry, polygons) & ~shapely.touches(geometry, polygons)
    return [names[i] for i in np.flatnonzero(hit)]


def utm_zone_at(lon: npt.ArrayLike, lat: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """EPSG codes of the UTM zones at points, as the MGRS defines them; poleward of its ends the nearest band's zone."""
    lon_, lat_ = (np.asarray(lon, np.float64) + 180) % 360 - 180, np.asarray(lat, np.float64)
    zone = np.clip(np.floor((lon_ + 180) / 6).astype(np.int64) + 1, 1, 60)
    vee = (lat_ >= 56) & (lat_ < 64) & (lon_ >= 3) & (lon_ < 12)
    zone = np.where(vee, 32, zone)
    xray = (lat_ >= 72) & (lon_ >= 0) & (lon_ < 42)
    odd = np.select([lon_ < 9, lon_ < 21, lon_ < 33], [31, 33, 35], 37)
    zone = np.where(xray, odd, zone)
    codes: npt.NDArray[np.int64] = np.where(lat_ >= 0, 32600, 32700) + zone
    return codes


def densify(geometry: Any) -> Any:
    """Geometry (EPSG:4326, one or an array) with edges short enough to be straight in any projected CRS."""
    return shapely.segmentize(geometry, _MAX_EDGE_DEG)


def to_lonlat(geometry: Geometry, crs: str) -> Polygon | MultiPolygon:
    """Polygon of a CRS in EPSG:4326, edges densified, split at the antimeridian and closed along a pole that it holds."""
    west, south, east, north = geometry.bounds
    if _crs(crs).is_geographic:
        return split_antimeridian(reproject(densify(geometry), crs, "EPSG:4326"))
    dense = shapely.segmentize(geometry, max(east - west, north - south) / 32)
    parts: list[Polygon] = []
    for polygon in shapely.get_parts(dense):
        outer, *holes = (_ring_lonlat(ring, crs) for ring in shapely.get_rings(polygon))
        area = shapely.difference(outer, shapely.union_all(holes)) if holes else outer
        parts += [p for p in shapely.get_parts(area) if isinstance(p, Polygon) and p.area > 0]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _ring_lonlat(ring: Geometry, crs: str) -> Geometry:
    """Area inside a ring, followed around the globe: no step is longer than 180 degrees."""
    xy = shapely.get_coordinates(ring)
    lon, lat = transformer(crs, "EPSG:4326").transform(xy[:, 0], xy[:, 1])
    pole = math.copysign(90.0, lat[np.abs(lat).argmax()])
    corner = np.flatnonzero(90 - np.abs(lat) < 1e-9)
    if len(corner):
        # A pole has every longitude: the ring leaves it along one meridian and comes back along another
        start = int(corner[0])
        lon, lat = (np.delete(np.roll(v[:-1], -start), 0) for v in (lon, lat))
    lon = lon[0] + np.concatenate([[0.0], np.cumsum((np.diff(lon) + 180) % 360 - 180)])
    if len(corner) or abs(lon[-1] - lon[0]) > 180:
        lon, lat = np.append(lon, [lon[-1], lon[0]]), np.append(lat, [pole, pole])
    area = Polygon(np.column_stack([lon, lat]))
    return _cut(area if area.is_valid else shapely.make_valid(area))


def _cut(area: Geometry) -> Geometry:
    """Area with any longitudes, cut into turns of the globe that are laid onto -180..180."""
    west, _, east, _ = area.bounds
    pieces = []
    for turn in range(math.floor((west + 180) / 360), math.floor((east + 180) / 360) + 1):
        piece = shapely.intersection(area, shapely.box(-180.0 + 360 * turn, -90.0, 180.0 + 360 * turn, 90.0))
        pieces.append(shapely.transform(piece, lambda xy, t=turn: xy - (360.0 * t, 0.0)))
    return shapely.union_all(pieces) if len(pieces) > 1 else pieces[0]


def split_antimeridian(geometry: Geometry) -> Polygon | MultiPolygon:
    """Polygons (degrees) cut at longitude 180 so that every part lies within -180..180.

    A ring crosses the antimeridian where it reaches beyond 180 degrees or where neighbouring vertices are 270 degrees or
    more apart: shorter edges are taken as they are written, and one of exactly 360 runs along the border of the world.
    """
    parts = [q for p in shapely.get_parts(geometry) for q in _split_one(p)]
    return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _split_one(polygon: Polygon) -> list[Polygon]:
    ring = shapely.get_coordinates(polygon.exterior)[:, 0]
    steps = np.abs(np.diff(ring))
    crosses = bool(np.any((steps >= 270) & (steps < 360)))
    if not crosses and (not len(ring) or (ring.min() >= -180 and ring.max() <= 180)):
        return [polygon] if polygon.area > 0 else []
    if crosses:
        polygon = shapely.transform(polygon, _eastern)
    if not polygon.is_valid:
        polygon = shapely.make_valid(polygon)
    parts = []
    for turn in (-360.0, 0.0, 360.0):
        piece = shapely.intersection(polygon, shapely.box(-180 + turn, -90, 180 + turn, 90))
        parts += [
            g
            for g in shapely.get_parts(
                shapely.transform(piece, lambda xy, t=turn: xy - (t, 0.0)),
            )
            if g.area > 0
        ]
    return [q for g in parts for q in shapely.get_parts(g) if isinstance(q, Polygon)]


def _eastern(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.column_stack([np.where(xy[:, 0] < 0, xy[:, 0] + 360, xy[:, 0]), xy[:, 1]])
