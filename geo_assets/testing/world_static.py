"""What does not change with the month in the sample world: its heights and its land cover, as the public maps of them."""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine

from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox
from geo_assets.testing.world_land import (
    BARE,
    CROPLAND,
    GRASSLAND,
    TOWN,
    TREES,
    WATER,
    Landscape,
    Mask,
    inner,
    landscape,
)
from geo_assets.testing.world_stac import MEDIA, extensions, north_up, stac_item, write_cog, write_item

F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]

WORLDCOVER, ANNUAL_LULC = "esa-worldcover", "io-lulc-annual-v02"
CHANGED_IN = 2021  # the year from which on the largest field of crops is one; before it was grassland
_COVER_PER_DEGREE = 12_000
_COVER_TILE_DEG = 3
_ANNUAL = {TREES: 2, GRASSLAND: 11, CROPLAND: 5, TOWN: 7, BARE: 8, WATER: 1}  # ESA WorldCover to Impact Observatory
_ANNUAL_NAMES = {
    0: "No Data", 1: "Water", 2: "Trees", 4: "Flooded vegetation", 5: "Crops", 7: "Built area", 8: "Bare ground",
    9: "Snow/ice", 10: "Clouds", 11: "Rangeland",
}  # fmt: skip
_COVER_NAMES = {
    10: ("Tree cover", "006400"), 20: ("Shrubland", "FFBB22"), 30: ("Grassland", "FFFF4C"), 40: ("Cropland", "F096FF"),
    50: ("Built-up", "FA0000"), 60: ("Bare / sparse vegetation", "B4B4B4"), 70: ("Snow and ice", "F0F0F0"),
    80: ("Permanent water bodies", "0064C8"), 90: ("Herbaceous wetland", "0096A0"), 95: ("Mangroves", "00CF75"),
    100: ("Moss and lichen", "FAE6A0"),
}  # fmt: skip

_COAST_AT = (0.12, 0.12)  # share of the world's width and height, from the south-west, through which the coast runs
_COAST_AZIMUTH = math.radians(60)  # direction in which the land rises from it
_RISE_M = 4000.0
_HEIGHT_M = 30.0
_HILLS_M = (2300.0, 1900.0)  # wavelength in x and in y
_HILLS = 0.5
_DEM_MARGIN_ARCSEC = 30
# Least latitude, width of a column in rows; Copernicus DEM Product Handbook, table of grid spacing
_DEM_COLUMNS = ((85, 10), (80, 5), (70, 3), (60, 2), (50, Fraction(3, 2)), (0, 1))
_DEM_BREAK = Fraction(1, 100)


@dataclass(frozen=True)
class Terrain:
    """Heights as a smooth function of place, so that slope and aspect are known exactly.

    With ``t`` the distance inland from a straight coast in units of 4 km, the height is 30 m times the square of
    ``t * (1 + 0.5 * sin(kx) * cos(ky))``, and exactly 0 m seaward of the coast.

    Attributes:
        seed: Of the world; where the hills lie.
        box: Its 10 m pixels.
    """

    seed: int
    box: GeoBox

    @functools.cached_property
    def _hills_at(self) -> F64:
        return np.random.default_rng([self.seed, 9]).uniform(0, 2 * np.pi, 2)

    def _rise(self, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[F64, F64, F64]:
        """What is squared for the height, and its derivatives in x and y; all 0 in the sea."""
        west, south, east, north = self.box.bounds
        along, up = math.sin(_COAST_AZIMUTH) / _RISE_M, math.cos(_COAST_AZIMUTH) / _RISE_M
        x = np.asarray(x, float) - (west + _COAST_AT[0] * (east - west))
        y = np.asarray(y, float) - (south + _COAST_AT[1] * (north - south))
        inland = np.maximum(x * along + y * up, 0)
        waves = [2 * np.pi / length for length in _HILLS_M]
        a, b = x * waves[0] + self._hills_at[0], y * waves[1] + self._hills_at[1]
        hills = 1 + _HILLS * np.sin(a) * np.cos(b)
        dx = along * hills + inland * _HILLS * waves[0] * np.cos(a) * np.cos(b)
        dy = up * hills - inland * _HILLS * waves[1] * np.sin(a) * np.sin(b)
        land = inland > 0
        return inland * hills, np.where(land, dx, 0), np.where(land, dy, 0)

    def height(self, x: npt.ArrayLike, y: npt.ArrayLike) -> F64:
        """True height at places of the world's CRS, float64, metres; exactly 0 in the sea, no nodata."""
        return np.asarray(_HEIGHT_M * self._rise(x, y)[0] ** 2)

    def gradient(self, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[F64, F64]:
        """How the height changes eastward and northward on the grid of the world's CRS, float64, metres a metre."""
        rise, dx, dy = self._rise(x, y)
        return 2 * _HEIGHT_M * rise * dx, 2 * _HEIGHT_M * rise * dy

    def slope(self, x: npt.ArrayLike, y: npt.ArrayLike) -> F64:
        """True slope at places of the world's CRS, float64, degrees from the horizontal."""
        return np.asarray(np.degrees(np.arctan(np.hypot(*self.gradient(x, y)))))

    def aspect(self, x: npt.ArrayLike, y: npt.ArrayLike) -> F64:
        """Direction in which the ground falls, float64, degrees clockwise from grid north, NaN where it is level."""
        east, north = self.gradient(x, y)
        return np.asarray(np.where(np.hypot(east, north) > 0, np.degrees(np.arctan2(-east, -north)) % 360, np.nan))


@dataclass(frozen=True)
class MapTile:
    """A piece of a global map in EPSG:4326, on the global map's own pixels.

    Attributes:
        south: Degree of its south edge, by which it is named, as far as the map names it.
        west: Degree of its west edge.
        step_x: Width of a pixel, degrees.
        step_y: Height of a pixel, degrees.
        left: West edge of its pixels, degrees.
        top: North edge of its pixels, degrees.
        shape: Rows and columns.
    """

    south: Fraction
    west: Fraction
    step_x: Fraction
    step_y: Fraction
    left: Fraction
    top: Fraction
    shape: tuple[int, int]

    @property
    def transform(self) -> Affine:
        """From (column, row) of a pixel corner to longitude and latitude."""
        return north_up(self.left, self.top, self.step_x, self.step_y)

    @property
    def footprint(self) -> shapely.Polygon:
        """All of it, EPSG:4326."""
        rows, cols = self.shape
        right, bottom = self.left + cols * self.step_x, self.top - rows * self.step_y
        return shapely.box(float(self.left), float(bottom), float(right), float(self.top))

    def places(self, crs: str) -> tuple[F64, F64]:
        """X and y of the pixel centres in a CRS, dims (y, x)."""
        lon = float(self.left) + (np.arange(self.shape[1]) + 0.5) * float(self.step_x)
        lat = float(self.top) - (np.arange(self.shape[0]) + 0.5) * float(self.step_y)
        x, y = transformer("EPSG:4326", crs).transform(*np.meshgrid(lon, lat))
        return np.asarray(x), np.asarray(y)

    def name(self, *, decimals: bool) -> str:
        """As the DEM names it, ``N47_00_E015_15``, or as ESA WorldCover does, ``N45E015``."""
        sides = ("N" if self.south >= 0 else "S", self.south, 2), ("E" if self.west >= 0 else "W", self.west, 3)
        if not decimals:
            return "".join(f"{letter}{abs(int(degree)):0{width}}" for letter, degree, width in sides)
        cents = [(letter, round(abs(degree) * 100), width) for letter, degree, width in sides]
        return "_".join(f"{letter}{n // 100:0{width}}_{n % 100:02}" for letter, n, width in cents)


def _whole(low: float, high: float, step: int = 1) -> list[Fraction]:
    """Multiples of some degrees between two."""
    return [Fraction(n * step) for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _spans(low: float, high: float, breaks: Sequence[Fraction]) -> Iterator[tuple[Fraction, Fraction]]:
    edges = [Fraction(low), *(b for b in breaks if low < b < high), Fraction(high)]
    return itertools.pairwise(edges)


def _cut(low: Fraction, high: Fraction, step: Fraction) -> tuple[int, int]:
    """First and last pixel, counted from 0 degrees, so that neighbours share an edge and no pixel."""
    return math.floor(low / step + Fraction(1, 2)), math.floor(high / step + Fraction(1, 2))


def dem_tiles(box: GeoBox, arcsec: int) -> list[MapTile]:
    """The tiles of the Copernicus DEM over a world, much smaller than real ones: at least two, which meet in it.

    As in the real ones a pixel's centre, not its edge, lies on a whole degree, and columns are wider in high latitudes.

    Args:
        box: The world's 10 m pixels.
        arcsec: Height of a pixel: 1 or 3.
    """
    west, south, east, north = box.lonlat().bounds
    margin, step_y = _DEM_MARGIN_ARCSEC / 3600, Fraction(arcsec, 3600)
    west, south, east, north = west - margin, south - margin, east + margin, north + margin
    middle = round(Fraction((west + east) / 2) / _DEM_BREAK) * _DEM_BREAK
    meridians = sorted({*_whole(west, east), middle})
    tiles = []
    for bottom, top in _spans(south, north, _whole(south, north)):
        wide = next(width for least, width in _DEM_COLUMNS if min(abs(bottom), abs(top)) >= least)
        step_x = step_y * wide
        for left, right in _spans(west, east, meridians):
            # A tile's southernmost row belongs to the next tile, as its easternmost column does
            (c0, c1), (r0, r1) = _cut(left, right, step_x), _cut(bottom, top, step_y)
            named = (Fraction(math.floor(bottom)), left if left == middle else Fraction(math.floor(left)))
            corner = (c0 - Fraction(1, 2)) * step_x, (r1 + Fraction(1, 2)) * step_y
            tiles.append(MapTile(*named, step_x, step_y, *corner, (r1 - r0, c1 - c0)))
    return tiles


def write_dem(terrain: Terrain, folder: Path, arcsec: int, size: int) -> list[dict[str, Any]]:
    """Writes the tiles of ``cop-dem-glo-30`` (1 arc second) or ``cop-dem-glo-90`` (3), and returns their items.

    The pixels are float32 heights in metres at the pixel centres, and the header names no nodata.

    Args:
        terrain: The heights.
        folder: Of the collection.
        arcsec: Height of a pixel: 1 or 3.
        size: Side of a COG's internal tiles.
    """
    items = []
    for tile in dem_tiles(terrain.box, arcsec):
        name = tile.name(decimals=True)
        item_id = f"Copernicus_DSM_COG_{arcsec * 10}_{name}_DEM"
        home = folder / item_id
        home.mkdir(parents=True, exist_ok=True)
        heights = terrain.height(*tile.places(terrain.box.crs)).astype(np.float32)
        write_cog(home / f"{item_id}.tif", heights, crs="EPSG:4326", transform=tile.transform, nodata=None, size=size)
        properties = {
            "datetime": "2021-04-22T00:00:00Z", "gsd": 30 * arcsec, "platform": "TanDEM-X", "proj:epsg": 4326,
            "proj:shape": list(tile.shape), "proj:transform": [*tile.transform[:6]],
        }  # fmt: skip
        assets = {"data": {"href": f"./{item_id}.tif", "type": MEDIA, "title": name, "roles": ["data"]}}
        item = stac_item(
            item_id, folder.name, footprint=tile.footprint, properties=properties, assets=assets,
            schemas=extensions("projection/v1.0.0"),
        )  # fmt: skip
        write_item(item, folder)
        items.append(item)
    return items


@dataclass(frozen=True)
class Cover:
    """Land cover of the world's pixels, by the codes of ESA WorldCover.

    Attributes:
        seed: Of the world.
        box: Its 10 m pixels.
    """

    seed: int
    box: GeoBox

    @property
    def _land(self) -> Landscape:
        return landscape(self.seed, self.box.shape)

    @property
    def changed(self) -> Mask:
        """The field that was grassland before 2021 and is cropland since, dims (y, x) of the world."""
        return inner(self._land.largest_field)

    def classes(self, year: int) -> U8:
        """Codes of ESA WorldCover in a year, dims (y, x) of the world, uint8, no nodata."""
        now = inner(self._land.classes)
        return now if year >= CHANGED_IN else np.where(self.changed, GRASSLAND, now).astype(np.uint8)

    def at(self, x: F64, y: F64, year: int) -> U8:
        """Codes at places of the world's CRS, uint8, 0 outside the world."""
        rows, cols = self.box.shape
        west, _, _, north = self.box.bounds
        res = float(self.box.resolution)
        row, col = np.floor((north - y) / res).astype(np.int64), np.floor((x - west) / res).astype(np.int64)
        inside = (row >= 0) & (row < rows) & (col >= 0) & (col < cols)
        return np.where(inside, self.classes(year)[row.clip(0, rows - 1), col.clip(0, cols - 1)], 0).astype(np.uint8)


def cover_tiles(box: GeoBox) -> list[MapTile]:
    """The tiles of ESA WorldCover over a world, named as the real ones of 3 degrees of which each is a part."""
    bounds = box.lonlat().bounds
    step, size, tiles = Fraction(1, _COVER_PER_DEGREE), _COVER_TILE_DEG, []
    for bottom, top in _spans(bounds[1], bounds[3], _whole(bounds[1], bounds[3], size)):
        for left, right in _spans(bounds[0], bounds[2], _whole(bounds[0], bounds[2], size)):
            c0, c1, r0, r1 = (
                math.floor(left / step), math.ceil(right / step), math.floor(bottom / step), math.ceil(top / step)
            )  # fmt: skip
            named = [Fraction(math.floor(v / size) * size) for v in (bottom, left)]
            tiles.append(MapTile(named[0], named[1], step, step, c0 * step, r1 * step, (r1 - r0, c1 - c0)))
    return tiles


def _worldcover_item(tile: MapTile, year: int) -> dict[str, Any]:
    name, version = tile.name(decimals=False), 100 + 100 * (year - 2020)
    item_id = f"ESA_WorldCover_10m_{year}_v{version}_{name}"
    asset = {
        "href": f"./{item_id}_Map.tif", "type": MEDIA, "title": "Land Cover Classes", "roles": ["data"],
        "description": "Discrete classification according to the Land Cover Classification System scheme developed by "
        "the United Nations Food and Agriculture Organization",
        "proj:shape": list(tile.shape), "proj:transform": [*tile.transform[:6]],
        "raster:bands": [
            {"name": "Band1", "description": "Classification values", "data_type": "uint8", "nodata": 0,
             "sampling": "area", "spatial_resolution": 10}
        ],
        "classification:classes": [
            {"value": code, "description": text, "color-hint": color} for code, (text, color) in _COVER_NAMES.items()
        ],
    }  # fmt: skip
    properties = {
        "datetime": None, "start_datetime": f"{year}-01-01T00:00:00Z", "end_datetime": f"{year}-12-31T23:59:59Z",
        "created": f"{year + 1}-10-24T12:00:00.000000Z", "description": "ESA WorldCover product at 10m resolution",
        "esa_worldcover:product_tile": name, "esa_worldcover:product_version": f"{version // 100}.0.0",
        "grid:code": f"ESAWORLDCOVER-{name}", "instruments": ["c-sar", "msi"], "mission": "sentinel-1, sentinel-2",
        "platform": "sentinel-1a, sentinel-1b, sentinel-2a, sentinel-2b", "proj:epsg": 4326,
    }  # fmt: skip
    names = ("projection/v1.1.0", "grid/v1.1.0", "raster/v1.1.0", "classification/v1.0.0")
    return stac_item(
        item_id, WORLDCOVER, footprint=tile.footprint, properties=properties, assets={"map": asset},
        schemas=extensions(*names),
    )  # fmt: skip


def write_worldcover(cover: Cover, folder: Path, size: int) -> list[dict[str, Any]]:
    """Writes the editions 2020 and 2021 of ESA WorldCover, uint8, nodata 0, and returns their items."""
    items = []
    for tile in cover_tiles(cover.box):
        x, y = tile.places(cover.box.crs)
        for year in (2020, 2021):
            item = _worldcover_item(tile, year)
            home = folder / item["id"]
            home.mkdir(parents=True, exist_ok=True)
            path = home / item["assets"]["map"]["href"]
            write_cog(path, cover.at(x, y, year), crs="EPSG:4326", transform=tile.transform, nodata=0, size=size)
            write_item(item, folder)
            items.append(item)
    return items


def _annual_item(cover: Cover, zone: str, year: int) -> dict[str, Any]:
    footprint = cover.box.lonlat()
    asset = {
        "href": f"./{zone}_{year}0101-{year + 1}0101.tif", "type": MEDIA, "roles": ["data"],
        "raster:bands": [{"nodata": 0, "spatial_resolution": 10}],
        "file:values": [{"values": [code], "summary": text} for code, text in _ANNUAL_NAMES.items()],
    }  # fmt: skip
    properties = {
        "datetime": None, "start_datetime": f"{year}-01-01T00:00:00Z", "end_datetime": f"{year + 1}-01-01T00:00:00Z",
        "io:tile_id": zone, "supercell": zone, "proj:epsg": int(cover.box.crs.split(":")[1]),
        "proj:bbox": list(cover.box.bounds), "proj:shape": list(cover.box.shape),
        "proj:transform": [*cover.box.transform[:6]],
    }  # fmt: skip
    return stac_item(
        f"{zone}-{year}", ANNUAL_LULC, footprint=footprint, properties=properties, assets={"data": asset},
        schemas=extensions("projection/v1.1.0", "file/v2.0.0", "raster/v1.1.0"),
    )  # fmt: skip


def write_annual(cover: Cover, years: Sequence[int], zone: str, folder: Path, size: int) -> list[dict[str, Any]]:
    """Writes the annual maps of Impact Observatory (v02) of some years, uint8, nodata 0, and returns their items.

    Args:
        cover: The truth.
        years: Of the maps.
        zone: UTM zone and latitude band, by which the tile is named, such as ``33T``.
        folder: Of the collection.
        size: Side of a COG's internal tiles.
    """
    table = np.zeros(256, np.uint8)
    table[list(_ANNUAL)] = list(_ANNUAL.values())
    items = []
    for year in years:
        item = _annual_item(cover, zone, year)
        home = folder / item["id"]
        home.mkdir(parents=True, exist_ok=True)
        values, path = table[cover.classes(year)], home / item["assets"]["data"]["href"]
        write_cog(path, values, crs=cover.box.crs, transform=cover.box.transform, nodata=0, size=size)
        write_item(item, folder)
        items.append(item)
    return items
