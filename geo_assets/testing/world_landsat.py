"""Landsat 8 and 9 over the sample world: Collection 2 Level-2 scenes on 30 m grids that do not nest with 10 m pixels."""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from scipy import ndimage, sparse

from geo_assets.model.crs import reproject
from geo_assets.model.geometry import GeoBox
from geo_assets.model.period import Month
from geo_assets.testing.world_land import F32, SPECTRA, Ground, Landscape, Mask, fine, inner
from geo_assets.testing.world_landsat_item import FILL, NODATA, Qa, item_of
from geo_assets.testing.world_sky import HAZE, SHADOW, Sky
from geo_assets.testing.world_stac import north_up, write_cog, write_item
from geo_assets.testing.world_static import Terrain

REFLECTIVE = ("blue", "green", "red", "nir08", "swir16", "swir22")
THERMAL = "lwir11"
BANDS = (*REFLECTIVE, THERMAL)
SCALE, OFFSET = 0.0000275, -0.2  # Landsat 8-9 Collection 2 Level 2 Science Product Guide, section 5: reflectance
THERMAL_SCALE, THERMAL_OFFSET = 0.00341802, 149.0  # the same: surface temperature, kelvin
NOISE = 0.004  # standard deviation of a pixel's reflectance
THERMAL_NOISE_K = 0.3
CLOUD_SHARES = (0.12, 0.45)  # of the two passes of a month
SKY_DAY = 50  # number of the first pass among the skies of a month; Sentinel-2 has those below
SNOW_MONTHS = (1, 2, 3, 11, 12)
_SNOW_SHARE = 0.08  # of the world, its highest ground
_SNOW = {"swir16": 0.10, "swir22": 0.08}  # in all other bands 0.8
_PASSES = ((8, 7), (9, 15))  # Landsat and day of the month
_PATH, _ROWS = 190, (27, 28)
_PIXEL_M = 30.0
_TALL_PIXEL_M = 30.1
_ORIGIN_M = 15.0  # edges of Landsat's pixels lie at odd multiples of 15 m
_TILE_SHARE = 0.58  # of the world's height that each tile covers
_DILATED_PX = 2
_PRELIMINARY_BIAS = 0.03
_WARMTH = Ground(12.0, 3.0, 1.0, 16.0, -3.0)  # of pure ground above the air, kelvin, in the middle of summer


@dataclass(frozen=True)
class LandsatTile:
    """One scene's place in the Worldwide Reference System, much smaller than a real one.

    Attributes:
        path: WRS-2 path.
        row: WRS-2 row.
        crs: Of the pixels.
        transform: From (column, row) of a pixel corner to (x, y).
        shape: Rows and columns; those at the edges lie partly outside the world and are fill.
    """

    path: int
    row: int
    crs: str
    transform: Affine
    shape: tuple[int, int]

    def edges(self, box: GeoBox) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Edges of its rows and of its columns, counted in rows and columns of the world."""
        rows, cols = self.shape
        west, _, _, north = box.bounds
        res = float(box.resolution)
        y = self.transform.f + self.transform.e * np.arange(rows + 1, dtype=np.float64)
        x = self.transform.c + self.transform.a * np.arange(cols + 1, dtype=np.float64)
        return np.asarray((north - y) / res), np.asarray((x - west) / res)

    def inside(self, box: GeoBox) -> Mask:
        """Pixels that lie wholly in the world, dims (y, x); the others are fill."""
        rows, cols = ((edges[:-1] >= 0) & (edges[1:] <= n) for edges, n in zip(self.edges(box), box.shape, strict=True))
        return np.asarray(rows[:, None] & cols[None, :])

    def footprint(self, box: GeoBox) -> shapely.Polygon:
        """The pixels that are not fill, EPSG:4326."""
        inside = self.inside(box)
        rows, cols = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        t = self.transform
        left, right = t.c + t.a * cols[0], t.c + t.a * (cols[-1] + 1)
        top, bottom = t.f + t.e * rows[0], t.f + t.e * (rows[-1] + 1)
        outline: shapely.Polygon = reproject(shapely.box(left, bottom, right, top), self.crs, "EPSG:4326")
        return outline


@dataclass(frozen=True)
class LandsatScene:
    """One scene: a tile of a pass, and how it was processed.

    Attributes:
        tile: What it shows.
        platform: 8 or 9.
        sensed: Time of acquisition, UTC.
        seeds: Of its sky: month, and number of the pass in it after ``SKY_DAY``.
        cloud_share: Of the pass.
        category: ``T1``, or ``RT`` for the preliminary processing of a scene that the catalog has as ``T1`` too.
    """

    tile: LandsatTile
    platform: int
    sensed: dt.datetime
    seeds: tuple[int, int]
    cloud_share: float
    category: str = "T1"

    @property
    def item_id(self) -> str:
        """Id of the STAC item."""
        place = f"{self.tile.path:03d}{self.tile.row:03d}"
        return f"LC{self.platform:02d}_L2SP_{place}_{self.sensed:%Y%m%d}_02_{self.category}"

    @property
    def month(self) -> str:
        """Month of the pass, UTC."""
        return f"{self.sensed:%Y-%m}"

    @property
    def bias(self) -> float:
        """Error of the reflectance of a preliminary processing."""
        return _PRELIMINARY_BIAS if self.category == "RT" else 0.0


@dataclass(frozen=True)
class LandsatObservation:
    """What a scene truly shows and what it stores; arrays (y, x) on the scene's own pixels of about 30 m.

    Attributes:
        scene: The scene.
        valid: True where the pixel is not fill.
        clear: True where no part of the pixel has cloud, shadow, haze or snow.
        cloud: True with any cloud.
        shadow: True with any shadow and no cloud.
        haze: True with any haze and no cloud, which the quality band calls cirrus.
        snow: True with any snow and no cloud.
        water: True where most of the pixel is water.
        truth: Band to the true mean over the pixel; reflectance (unit 1) or temperature (kelvin), NaN in fill.
        dn: Band to stored numbers, uint16, 0 in fill.
        qa: Quality bits as stored, uint16, 1 in fill.
    """

    scene: LandsatScene
    valid: Mask
    clear: Mask
    cloud: Mask
    shadow: Mask
    haze: Mask
    snow: Mask
    water: Mask
    truth: dict[str, F32]
    dn: dict[str, npt.NDArray[np.uint16]]
    qa: npt.NDArray[np.uint16]


def landsat_tiles(box: GeoBox) -> tuple[LandsatTile, LandsatTile]:
    """The northern tile, of square pixels, and the southern one, whose pixels are 0.1 m taller; they overlap."""
    west, south, east, north = box.bounds
    left = math.floor((west - _ORIGIN_M) / _PIXEL_M) * _PIXEL_M + _ORIGIN_M
    cols = math.ceil((east - left) / _PIXEL_M) + 1
    tiles = []
    for row, start, height in zip(_ROWS, (0.0, 1 - _TILE_SHARE), (_PIXEL_M, _TALL_PIXEL_M), strict=True):
        top = math.ceil((north - start * (north - south) - _ORIGIN_M) / _PIXEL_M) * _PIXEL_M + _ORIGIN_M
        rows = math.ceil(_TILE_SHARE * (north - south) / height) + 2
        tiles.append(LandsatTile(_PATH, row, box.crs, north_up(left, top, _PIXEL_M, height), (rows, cols)))
    return tiles[0], tiles[1]


def landsat_scenes(months: Sequence[str], box: GeoBox) -> tuple[LandsatScene, ...]:
    """All scenes of a world's months in the order of time; the first stands there as RT, then as T1.

    Args:
        months: Such as ``2024-03``.
        box: The world's 10 m pixels.
    """
    scenes = []
    for month in months:
        first = Month.parse(month).first_day
        for nth, (platform, day) in enumerate(_PASSES):
            share = CLOUD_SHARES[(first.month + nth) % 2]
            for tile, late in zip(landsat_tiles(box), (0, 24), strict=True):
                sensed = dt.datetime(first.year, first.month, day, 9, 46, 12, tzinfo=dt.UTC) + dt.timedelta(0, late)
                seeds = first.year * 12 + first.month, SKY_DAY + nth
                scenes.append(LandsatScene(tile, platform, sensed, seeds, share))
    scenes.sort(key=lambda s: s.sensed)
    return replace(scenes[0], category="RT"), *scenes


def ground_truth(land: Landscape, month: int, band: str) -> F32:
    """Truth of a month (1 to 12), dims (y, x) of the world's 10 m pixels, no nodata.

    Args:
        land: The ground.
        month: 1 to 12.
        band: A reflective band, unit 1, or ``lwir11``, kelvin.
    """
    if band != THERMAL:
        return inner(land.mixed(month, SPECTRA[band]))
    season = math.cos(2 * math.pi * (month - 7) / 12)
    warmth = inner(land.mixed(month, _WARMTH)) * np.float32(0.6 + 0.4 * season)
    return np.float32(284 + 11 * season) + warmth


class _Mean:
    """Means over the pixels of a tile, exactly weighted by area, of arrays on the world's 10 m pixels."""

    def __init__(self, tile: LandsatTile, box: GeoBox) -> None:
        self.rows, self.cols = (self._weights(e, n) for e, n in zip(tile.edges(box), box.shape, strict=True))

    @staticmethod
    def _weights(edges: npt.NDArray[np.float64], n: int) -> sparse.csr_array:
        low, high = edges[:-1, None], edges[1:, None]
        cell = np.arange(n)[None, :]
        part = (np.minimum(high, cell + 1) - np.maximum(low, cell)).clip(0)
        # Sparse not only for speed: the order of its sums, and so the last digit, does not depend on the machine
        return sparse.csr_array((part / (high - low)).astype(np.float32))

    def __call__(self, values: npt.NDArray[Any]) -> F32:
        tall = self.rows @ values.astype(np.float32)
        return np.ascontiguousarray((self.cols @ np.ascontiguousarray(tall.T)).T)


def _snow(terrain: Terrain, month: int) -> Mask:
    """Where snow lies, dims (y, x) of the world."""
    if month not in SNOW_MONTHS:
        return np.zeros(terrain.box.shape, bool)
    x, y = terrain.box.centers()
    height = terrain.height(x[None, :], y[:, None])
    return np.asarray(height > np.quantile(height, 1 - _SNOW_SHARE))


@dataclass(frozen=True)
class _Air:
    """What stands between the ground and the sensor; arrays (y, x) of the world's 10 m pixels.

    Attributes:
        opacity: Share of the ground that cloud hides.
        veil: Opacity times the cloud's reflectance.
        light: Share of the light that is left in shadow.
        haze: Reflectance that haze adds.
        shadow: True in shadow.
        snow: True under snow.
    """

    opacity: F32
    veil: F32
    light: F32
    haze: F32
    shadow: Mask
    snow: Mask

    @classmethod
    def of(cls, sky: Sky, snow: Mask) -> "_Air":
        """The air of a sky."""
        opacity, shadow = fine(sky.opacity), fine(sky.shadow)
        light = np.where(shadow, np.float32(SHADOW), np.float32(1))
        return cls(opacity, opacity * fine(sky.brightness), light, fine(sky.haze) * np.float32(HAZE), shadow, snow)

    def seen(self, band: str, truth: F32) -> F32:
        """What comes through of a band's truth."""
        if band == THERMAL:
            ground = np.where(self.snow, np.float32(271), truth) - np.float32(2) * self.shadow
            return np.asarray(ground + self.opacity * (np.float32(262) - ground), np.float32)
        ground = np.where(self.snow, np.float32(_SNOW.get(band, 0.8)), truth) * self.light + self.haze
        return np.asarray(ground * (1 - self.opacity) + self.veil, np.float32)


def observe(scene: LandsatScene, land: Landscape, sky: Sky, terrain: Terrain, seed: int) -> LandsatObservation:
    """What a scene shows under a sky, and what it stores."""
    tile, month = scene.tile, scene.sensed.month
    rng = np.random.default_rng([seed, 10, *scene.seeds, tile.row, int(scene.category == "RT")])
    mean, valid, snowy = _Mean(tile, terrain.box), tile.inside(terrain.box), _snow(terrain, month)
    cloud, shadow, haze, snow = (mean(part) > 0 for part in (fine(sky.cloud), fine(sky.shadow), fine(sky.haze), snowy))
    water = mean(inner(land.water)) > 0.5
    truth, dn, air = {}, {}, _Air.of(sky, snowy)
    for band in BANDS:
        ground = ground_truth(land, month, band)
        truth[band] = np.where(valid, mean(ground), np.float32(np.nan))
        scale, offset = (THERMAL_SCALE, THERMAL_OFFSET) if band == THERMAL else (SCALE, OFFSET)
        noise, bias = (THERMAL_NOISE_K, 0.0) if band == THERMAL else (NOISE, scene.bias)
        seen = mean(air.seen(band, ground)) + bias + noise * rng.standard_normal(tile.shape, np.float32)
        dn[band] = np.where(valid, np.rint((seen - offset) / scale).clip(1, 65_535), NODATA).astype(np.uint16)
    shadow, haze, snow = shadow & ~cloud, haze & ~cloud, snow & ~cloud
    qa = _quality(cloud=cloud, shadow=shadow, haze=haze, snow=snow, water=water)
    qa[~valid] = FILL
    return LandsatObservation(
        scene, valid, clear=valid & ~(cloud | shadow | haze | snow), cloud=cloud & valid, shadow=shadow & valid,
        haze=haze & valid, snow=snow & valid, water=water & valid, truth=truth, dn=dn, qa=qa,
    )  # fmt: skip


def _quality(*, cloud: Mask, shadow: Mask, haze: Mask, snow: Mask, water: Mask) -> npt.NDArray[np.uint16]:
    """Bits of QA_PIXEL; "clear" means neither cloud nor dilated cloud, so shadows and snow have it too."""
    dilated = ndimage.binary_dilation(cloud, np.ones((3, 3)), iterations=_DILATED_PX) & ~cloud
    qa = np.zeros(cloud.shape, np.uint16)
    for bit, where in (
        (Qa.DILATED, dilated), (Qa.CIRRUS, haze), (Qa.CLOUD, cloud), (Qa.SHADOW, shadow), (Qa.SNOW, snow),
        (Qa.CLEAR, ~cloud & ~dilated), (Qa.WATER, water & ~cloud),
    ):  # fmt: skip
        qa |= where.astype(np.uint16) << bit
    levels = (Qa.CLOUD_LEVEL, cloud), (Qa.SHADOW_LEVEL, shadow), (Qa.SNOW_LEVEL, snow), (Qa.CIRRUS_LEVEL, haze)
    for bit, high in levels:
        qa |= np.where(high, 3, 1).astype(np.uint16) << bit
    return qa


def write_scene(seen: LandsatObservation, box: GeoBox, folder: Path, size: int) -> dict[str, Any]:
    """Writes a scene's COGs and item into the folder of its collection, and returns the item.

    Args:
        seen: What it stores.
        box: The world's 10 m pixels.
        folder: Of the collection.
        size: Side of a COG's internal tiles.
    """
    scene, tile = seen.scene, seen.scene.tile
    cloudy = float(seen.cloud.sum() / seen.valid.sum() * 100)
    item = item_of(
        scene.item_id, scene.sensed, footprint=tile.footprint(box), crs=tile.crs, transform=tile.transform,
        shape=tile.shape, cloud_cover=cloudy,
    )  # fmt: skip
    home = folder / scene.item_id
    home.mkdir(parents=True, exist_ok=True)
    for name, values in (*seen.dn.items(), ("qa_pixel", seen.qa)):
        path, nodata = home / item["assets"][name]["href"], FILL if name == "qa_pixel" else NODATA
        write_cog(path, values, crs=tile.crs, transform=tile.transform, nodata=nodata, size=size)
    write_item(item, folder)
    return item
