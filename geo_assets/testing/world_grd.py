"""Sentinel-1 over the sample world in the radar's own geometry: products of which every sample is known."""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from geo_assets.model.crs import transformer
from geo_assets.model.period import Month
from geo_assets.testing import world_radar
from geo_assets.testing.radar_world import F64, RadarWorld
from geo_assets.testing.world_land import Landscape
from geo_assets.testing.world_stac import extensions, stac_item, write_item
from geo_assets.testing.world_static import Terrain

COLLECTION = "sentinel-1-grd"
POLARIZATIONS = world_radar.POLARIZATIONS
GEOID_M = 45.0  # of the world's heights above the ellipsoid, everywhere
_MARGIN = 80  # lines and pixels of an image beyond the world
_SLICE_S = 25
# Day, time, direction of flight, absolute orbit by the rule (absolute - 73) mod 175 + 1 of Sentinel-1A, and its state
_PASSES = (
    (5, dt.time(16, 50, 41, tzinfo=dt.UTC), -12.0, 51443, "ascending"),
    (18, dt.time(5, 10, 24, tzinfo=dt.UTC), -168.0, 51625, "descending"),
)


@dataclass(frozen=True)
class GrdView(RadarWorld):
    """A product whose ground is the sample world's.

    Attributes:
        terrain: Heights of the ground.
        land: What covers it.
        month: Number of the month, 1 to 12.
    """

    terrain: Terrain | None = None
    land: Landscape | None = None
    month: int = 1

    def _places(self, lon: F64, lat: F64) -> tuple[F64, F64]:
        x, y = transformer("EPSG:4326", self._ground.box.crs).transform(lon, lat)
        return np.asarray(x), np.asarray(y)

    @property
    def _ground(self) -> Terrain:
        if self.terrain is None:
            raise ValueError("a view of the sample world needs its terrain")
        return self.terrain

    def height(self, lon: F64, lat: F64) -> F64:
        """The ground's height above the ellipsoid in metres."""
        return self._ground.height(*self._places(lon, lat)) + GEOID_M

    @cached_property
    def _backscatter(self) -> dict[str, F64]:
        if self.land is None:
            raise ValueError("a view of the sample world needs its land cover")
        return {p: world_radar.backscatter(self.land, self.month, p).astype(np.float64) for p in POLARIZATIONS}

    def truth(self, lon: F64, lat: F64, polarization: str = "vv") -> F64:
        """Gamma0 of the world's pixel at places, or of its nearest one, linear power."""
        box, values = self._ground.box, self._backscatter[polarization]
        x, y = self._places(lon, lat)
        res = float(box.resolution)
        col = np.floor((x - float(box.left)) / res).astype(np.int64).clip(0, box.shape[1] - 1)
        row = np.floor((float(box.top) - y) / res).astype(np.int64).clip(0, box.shape[0] - 1)
        found: F64 = values[row, col]
        return found

    @cached_property
    def cosines(self) -> tuple[F64, F64]:
        """Cosine of each sample's incidence on the ellipsoid, and on the ground."""
        lon, lat, _, to_radar = self.places
        east, north, up = self._local(lon, lat)
        to_radar = to_radar / np.linalg.norm(to_radar, axis=-1, keepdims=True)
        rise_x, rise_y = self._ground.gradient(*self._places(lon, lat))
        # North of the grid is turned against true north by the convergence of the meridians
        convergence = np.radians((lon - _central(self._ground.box.crs)) * np.sin(np.radians(lat)))
        rise_east = rise_x * np.cos(convergence) + rise_y * np.sin(convergence)
        rise_north = rise_y * np.cos(convergence) - rise_x * np.sin(convergence)
        normal = up - rise_east[..., None] * east - rise_north[..., None] * north
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        return (up * to_radar).sum(-1), (normal * to_radar).sum(-1)


def _central(crs: str) -> float:
    """Central meridian of a UTM zone."""
    return int(crs[-2:]) * 6 - 183.0


@dataclass(frozen=True)
class GrdScene:
    """One scene.

    Attributes:
        item_id: Id of the STAC item.
        sensed: Time of its first line, UTC.
        absolute_orbit: Number of the pass.
        state: ``ascending`` or ``descending``.
        view: Its product.
    """

    item_id: str
    sensed: dt.datetime
    absolute_orbit: int
    state: str
    view: GrdView

    def footprint(self) -> shapely.Polygon:
        """What the image shows, EPSG:4326."""
        lines, pixels = (n - 1 for n in self.view.shape)
        lon, lat, _, _ = self.view.place(np.array([0, 0, lines, lines]), np.array([0, pixels, pixels, 0]))
        return shapely.Polygon(list(zip(lon, lat, strict=True)))


def grd_scenes(months: Sequence[str], terrain: Terrain, land: Landscape) -> tuple[GrdScene, ...]:
    """Two scenes a month, one from each direction, in the order of time.

    Args:
        months: Such as ``2024-03``.
        terrain: Of the world.
        land: Of the world.
    """
    return tuple(_scene(Month.parse(month).first_day, nth, terrain, land) for month in months for nth in (0, 1))


def _scene(first: dt.date, nth: int, terrain: Terrain, land: Landscape) -> GrdScene:
    day, time, heading, orbit, state = _PASSES[nth]
    sensed = dt.datetime.combine(first.replace(day=day), time)
    box = terrain.box
    west, south, east, north = box.bounds
    x, y = (west + east) / 2, (south + north) / 2
    lon, lat = transformer(box.crs, "EPSG:4326").transform(x, y)
    turn, (rows, cols) = math.radians(heading), box.shape
    c, s = abs(math.cos(turn)), abs(math.sin(turn))
    shape = round(rows * c + cols * s) + 2 * _MARGIN, round(cols * c + rows * s) + 2 * _MARGIN
    view = GrdView(
        lon=lon, lat=lat, heading_deg=heading, height_m=float(terrain.height(x, y)) + GEOID_M, shape=shape, noise=600.0, start=sensed,
        terrain=terrain, land=land, month=first.month,
    )  # fmt: skip
    end = sensed + dt.timedelta(seconds=_SLICE_S)
    item_id = f"S1A_IW_GRDH_1SDV_{sensed:%Y%m%dT%H%M%S}_{end:%Y%m%dT%H%M%S}_{orbit + 175 * first.month:06}_{first.month:05X}{nth}"
    return GrdScene(item_id, sensed, orbit + 175 * first.month, state, view)


def write_scene(scene: GrdScene, folder: Path) -> dict[str, Any]:
    """Writes a scene's measurements, annotations and item into the folder of its collection, and returns the item."""
    home = folder / scene.item_id
    home.mkdir(parents=True, exist_ok=True)
    for polarization in POLARIZATIONS:
        scene.view.write(home, polarization)
    assets = {
        p: {
            "href": f"./measurement/iw-{p}.tiff", "type": "image/tiff; application=geotiff", "roles": ["data"], "title": f"{p.upper()} Data",
        }
        for p in POLARIZATIONS
    }  # fmt: skip
    properties = {
        "datetime": f"{scene.sensed:%Y-%m-%dT%H:%M:%S.%f}Z", "platform": "sentinel-1a", "constellation": "sentinel-1",
        "sar:center_frequency": 5.405, "sar:frequency_band": "C", "sar:instrument_mode": "IW", "sar:polarizations": ["VV", "VH"],
        "sar:product_type": "GRD", "sat:absolute_orbit": scene.absolute_orbit, "sat:orbit_state": scene.state,
        "sat:relative_orbit": (scene.absolute_orbit - 73) % 175 + 1,
    }  # fmt: skip
    item = stac_item(
        scene.item_id, COLLECTION, footprint=scene.footprint(), properties=properties, assets=assets,
        schemas=extensions("sar/v1.0.0", "sat/v1.0.0"),
    )  # fmt: skip
    write_item(item, folder)
    return item
