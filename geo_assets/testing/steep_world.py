"""A steep piece of land: a ground range scene of it, and the tiles of its height model, as a static STAC catalog."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from geo_assets.model.crs import transformer
from geo_assets.testing.radar_world import F64, RadarWorld
from geo_assets.testing.world_stac import (
    COLLECTIONS,
    MEDIA,
    dump,
    extensions,
    north_up,
    stac_item,
    write_cog,
    write_collection,
    write_item,
)

GRD, DEM = "sentinel-1-grd", COLLECTIONS["dem"][0]
GEOID_M = 48.0
CRS = "EPSG:32632"
MONTH = "2021-08"
_REACH_DEG = (0.06, 0.04)  # of the height model around the middle
_ARCSEC = 3600


@dataclass(frozen=True)
class SteepWorld:
    """Ground that is tilted as a plane, with a ridge that only the height model has.

    Attributes:
        radar: The scene and its truth.
        ridge_m: Height of the ridge, which runs north and south through the middle; 0 is none.
        ridge_width_m: Its width at the foot.
    """

    radar: RadarWorld = field(default_factory=lambda: RadarWorld(east=-0.25, north=0.1))
    ridge_m: float = 0.0
    ridge_width_m: float = 240.0

    @property
    def middle(self) -> tuple[float, float]:
        """X and y of the middle in the CRS of the cells."""
        x, y = transformer("EPSG:4326", CRS).transform(self.radar.lon, self.radar.lat)
        return float(x), float(y)

    def height(self, lon: F64, lat: F64) -> F64:
        """Metres above the geoid, as the height model has them."""
        x, _ = transformer("EPSG:4326", CRS).transform(lon, lat)
        off = np.abs(np.asarray(x) - self.middle[0]) / (self.ridge_width_m / 2)
        ridge: F64 = self.radar.height(lon, lat) - GEOID_M + self.ridge_m * np.maximum(1 - off, 0)
        return ridge

    def write(self, folder: Path) -> Path:
        """Writes the scene and the height model; returns the path of ``catalog.json``."""
        write_collection([self._write_scene(folder / GRD)], folder / GRD, title="GRD", description="One scene.")
        self.write_heights(folder)
        names = (GRD, DEM)
        links = [{"rel": "child", "href": f"./{name}/collection.json", "type": "application/json"} for name in names]
        root = {"rel": "root", "href": "./catalog.json", "type": "application/json"}
        dump(
            folder / "catalog.json",
            {
                "type": "Catalog", "stac_version": "1.0.0", "id": "steep", "description": "Steep land.", "links": [root, *links],
            },
        )  # fmt: skip
        return folder / "catalog.json"

    def _write_scene(self, folder: Path) -> dict[str, Any]:
        start = self.radar.start
        item_id = f"S1A_IW_GRDH_1SDV_{start:%Y%m%dT%H%M%S}_{start:%Y%m%dT%H%M%S}_039156_049F13"
        for polarization in ("vv", "vh"):
            self.radar.write(folder / item_id, polarization)
        assets = {p: {"href": f"./measurement/iw-{p}.tiff", "type": MEDIA, "roles": ["data"]} for p in ("vv", "vh")}
        lines, pixels = (n - 1 for n in self.radar.shape)
        lon, lat, _, _ = self.radar.place(np.array([0, 0, lines, lines]), np.array([0, pixels, pixels, 0]))
        properties = {"datetime": f"{start:%Y-%m-%dT%H:%M:%SZ}", "sat:orbit_state": "ascending"}
        item = stac_item(
            item_id, GRD, footprint=shapely.Polygon(list(zip(lon, lat, strict=True))), properties=properties, assets=assets,
            schemas=extensions("sat/v1.0.0"),
        )  # fmt: skip
        write_item(item, folder)
        return item

    def write_heights(self, folder: Path, *, version: str = "2021") -> None:
        """Writes the two tiles of the height model, which meet in the middle; ``version`` is part of their ids."""
        home, step = folder / DEM, 1 / _ARCSEC
        rows, cols = (round(2 * n * _ARCSEC) for n in _REACH_DEG[::-1])
        left, top = self.radar.lon - _REACH_DEG[0], self.radar.lat + _REACH_DEG[1]
        items = []
        for nth, first in enumerate((0, cols // 2)):
            west = left + first * step
            lon = west + (np.arange(cols // 2) + 0.5) * step
            lat = top - (np.arange(rows) + 0.5) * step
            item_id = f"Copernicus_DSM_COG_10_{'WE'[nth]}_{version}_DEM"
            (home / item_id).mkdir(parents=True, exist_ok=True)
            heights = self.height(*np.meshgrid(lon, lat)).astype(np.float32)
            write_cog(
                home / item_id / "dem.tif", heights, crs="EPSG:4326", transform=north_up(west, top, step, step), nodata=None, size=128
            )  # fmt: skip
            footprint = shapely.box(west, top - rows * step, west + cols // 2 * step, top)
            item = stac_item(
                item_id, DEM, footprint=footprint, properties={"datetime": "2021-04-22T00:00:00Z"},
                assets={"data": {"href": "./dem.tif", "type": MEDIA, "roles": ["data"]}}, schemas=(),
            )  # fmt: skip
            write_item(item, home)
            items.append(item)
        write_collection(items, home, title="Heights", description="Two tiles.")
