"""The sample world on disk: Cloud Optimized GeoTIFFs and a static, self-contained STAC catalog."""

import contextlib
import dataclasses
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
from affine import Affine

from geo_assets.errors import ConfigError
from geo_assets.testing import world_grd, world_landsat, world_radar, world_static
from geo_assets.testing.world import COLLECTION, RESOLUTION_M, SCL_RESOLUTION_M, BrokenAsset, SampleWorld
from geo_assets.testing.world_land import BANDS
from geo_assets.testing.world_plan import Granule, Observation
from geo_assets.testing.world_sky import CLOUD_CLASSES
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
)  # fmt: skip

STAMP = "sample-world.json"
AOI_FILE = "aoi.gpkg"
_EXTENSIONS = extensions("eo/v1.1.0", "projection/v1.1.0", "raster/v1.1.0", "grid/v1.1.0")
_WAVELENGTH_UM = {
    "red": 0.665, "green": 0.560, "blue": 0.490, "nir": 0.842, "rededge1": 0.704, "rededge2": 0.740,
    "rededge3": 0.783, "nir08": 0.865, "swir16": 1.610, "swir22": 2.190,
}  # fmt: skip
_Written = list[tuple[str, int]]  # collections and the number of their items
_log = logging.getLogger(__name__)


def write_world(world: SampleWorld, folder: Path) -> Path:
    """Writes a world into a folder and returns its ``catalog.json``; see ``SampleWorld.write``."""
    stamp, catalog = folder / STAMP, folder / "catalog.json"
    wanted = {"world": _choices(world), "code": code_version(), "complete": True}
    known = [folder / name for names in COLLECTIONS.values() for name in names]
    if stamp.exists():
        if json.loads(stamp.read_text()) == wanted:
            return catalog
        for old in known:
            shutil.rmtree(old, ignore_errors=True)
    elif catalog.exists() or any(path.exists() for path in known):
        raise ConfigError(f"{folder} holds a catalog that is not a sample world: choose an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    dump(stamp, wanted | {"complete": False})
    scenes = {
        name: n for sensor in COLLECTIONS if sensor in world.sensors for name, n in _WRITERS[sensor](world, folder)
    }
    _write_catalog(world, list(scenes), catalog)
    _write_aoi(world, folder / AOI_FILE)
    dump(stamp, wanted)
    _log.info("sample world with %d scenes written to %s", sum(scenes.values()), folder)
    return catalog


def _choices(world: SampleWorld) -> dict[str, Any]:
    """What was asked for; sensors and bands only where they are not the usual ones."""
    plain = {f.name: f.default for f in dataclasses.fields(world) if f.name in ("sensors", "bands")}
    chosen = dataclasses.asdict(world)
    document: dict[str, Any] = json.loads(json.dumps({k: v for k, v in chosen.items() if plain.get(k) != v}))
    return document


def code_version() -> str:
    """Checksum of the modules that make a sample world."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("world*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _write_scene(world: SampleWorld, seen: Observation, folder: Path) -> dict[str, Any]:
    granule = seen.granule
    home = folder / granule.item_id
    home.mkdir(parents=True, exist_ok=True)
    for band in world.bands:
        _write_band(home / f"{band}.tif", seen.dn[band], granule, resolution=_step(band), size=world.internal_px)
    _write_band(home / "scl.tif", seen.scl, granule, resolution=SCL_RESOLUTION_M, size=world.internal_px)
    if world.broken and world.broken.item_id == granule.item_id:
        damage(home / f"{world.broken.band}.tif", world.broken, world.internal_px)
    item = _item(seen, world.bands)
    write_item(item, folder)
    return item


def _step(band: str) -> int:
    return RESOLUTION_M if band in BANDS else SCL_RESOLUTION_M


def _transform(granule: Granule, resolution: int) -> Affine:
    box = granule.tile.box
    return north_up(box.left, box.top, resolution, resolution)


def _write_band(path: Path, values: npt.NDArray[Any], granule: Granule, *, resolution: int, size: int) -> None:
    transform = _transform(granule, resolution)
    write_cog(path, values, crs=granule.tile.box.crs, transform=transform, nodata=0, size=size)


def damage(path: Path, broken: BrokenAsset, size: int) -> None:
    """Overwrites one internal tile of a COG, so that the file opens and this tile alone cannot be decoded."""
    row, col = broken.window[0] // size, broken.window[1] // size
    with rasterio.open(path) as source:
        offset = int(source.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1))
        length = int(source.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=1))
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(
            b"\xff" * (length - 4)
        )  # no deflate stream begins so; the last bytes are a checksum that COGs repeat


def _raster_band(granule: Granule, band: str) -> dict[str, Any]:
    if band == "scl":
        return {"nodata": 0, "data_type": "uint8", "spatial_resolution": SCL_RESOLUTION_M}
    # Earth Search lists this offset also where it has taken it out of the pixels; the flag decides
    offset = {"offset": -0.1} if granule.baseline >= "04.00" else {}
    facts = {
        "nodata": 0,
        "data_type": "uint16",
        "bits_per_sample": 15,
        "spatial_resolution": _step(band),
        "scale": 0.0001,
    }
    return facts | offset


def _asset(granule: Granule, band: str) -> dict[str, Any]:
    step = _step(band)
    rows, cols = (n * RESOLUTION_M // step for n in granule.tile.box.shape)
    asset: dict[str, Any] = {
        "href": f"./{band}.tif", "type": MEDIA, "title": "Scene classification (SCL)" if band == "scl" else band.title(),
        "roles": ["data", "reflectance"] if band != "scl" else ["data"], "gsd": step,
        "proj:shape": [rows, cols], "proj:transform": [*_transform(granule, step)[:6]],
        "raster:bands": [_raster_band(granule, band)],
    }  # fmt: skip
    if band != "scl":
        asset["eo:bands"] = [
            {"name": band, "common_name": band.rstrip("123"), "center_wavelength": _WAVELENGTH_UM[band]}
        ]
    return asset


def _properties(seen: Observation) -> dict[str, Any]:
    g, rows_cols = seen.granule, list(seen.box.shape)
    observed = seen.scl > 0
    cloudy = float(np.isin(seen.scl, CLOUD_CLASSES).sum() / max(1, observed.sum()) * 100)
    sensed = f"{g.sensed:%Y%m%dT%H%M%S}"
    strip = f"{g.sensed:%Y%m%dT1006}{g.seeds[1] % 60:02d}"
    processed = f"{g.sensed:%Y-%m-%d}T{14 if g.baseline == '04.00' else 20}:30:00Z"
    baseline = g.baseline.replace(".", "")
    properties: dict[str, Any] = {
        "datetime": f"{g.sensed:%Y-%m-%dT%H:%M:%S}.024000Z", "created": processed, "updated": processed,
        "platform": f"sentinel-2{g.platform.lower()}", "constellation": "sentinel-2", "instruments": ["msi"], "gsd": 10,
        "eo:cloud_cover": round(cloudy, 4), "grid:code": f"MGRS-{g.tile.code}",
        "proj:epsg": int(g.tile.box.crs.split(":")[1]), "proj:shape": rows_cols,
        "proj:transform": [*_transform(g, RESOLUTION_M)[:6]],
        "s2:processing_baseline": g.baseline, "s2:generation_time": processed,
        "s2:datastrip_id": f"S2{g.platform}_OPER_MSI_L2A_DS_2APS_{processed[:10].replace('-', '')}T143000_S{strip}_N{g.baseline}",
        "s2:product_uri": f"S2{g.platform}_MSIL2A_{sensed}_N{baseline}_R122_T{g.tile.code}_{processed[:10].replace('-', '')}T143000.SAFE",
        "s2:nodata_pixel_percentage": round(float((~observed).mean() * 100), 4),
    }  # fmt: skip
    if g.offset_applied:
        properties["earthsearch:boa_offset_applied"] = True
    return properties


def _item(seen: Observation, bands: tuple[str, ...]) -> dict[str, Any]:
    return stac_item(
        seen.granule.item_id, COLLECTION, footprint=seen.granule.footprint(), properties=_properties(seen),
        assets={band: _asset(seen.granule, band) for band in (*bands, "scl")}, schemas=_EXTENSIONS,
    )  # fmt: skip


def _write_optical(world: SampleWorld, folder: Path) -> _Written:
    home = folder / COLLECTION
    items = [_write_scene(world, seen, home) for seen in world.observations()]
    text = "Computed scenes of a world whose reflectance is known."
    write_collection(items, home, title="Sentinel-2 Level-2A, made up", description=text)
    return [(COLLECTION, len(items))]


def _write_radar(world: SampleWorld, folder: Path) -> _Written:
    home = folder / world_radar.COLLECTION
    items = [world_radar.write_scene(world.observe_radar(s), home, world.internal_px) for s in world.radar_scenes]
    text = f"Computed gamma0 of a world whose backscatter is known, with speckle of {world_radar.LOOKS} looks."
    write_collection(items, home, title="Sentinel-1 terrain-corrected, made up", description=text)
    return [(home.name, len(items))]


def _write_grd(world: SampleWorld, folder: Path) -> _Written:
    home = folder / world_grd.COLLECTION
    items = [world_grd.write_scene(s, home) for s in world.grd_scenes]
    text = "Computed ground range products of a world whose backscatter and heights are known, without speckle."
    write_collection(items, home, title="Sentinel-1 ground range, made up", description=text)
    return [(home.name, len(items))]


def _write_landsat(world: SampleWorld, folder: Path) -> _Written:
    home = folder / "landsat-c2-l2"
    seen = (world.observe_landsat(scene) for scene in world.landsat_scenes)
    items = [world_landsat.write_scene(s, world.box, home, world.internal_px) for s in seen]
    text = "Computed scenes of a world whose reflectance and temperature are known."
    write_collection(items, home, title="Landsat Collection 2 Level-2, made up", description=text)
    return [(home.name, len(items))]


def _write_dem(world: SampleWorld, folder: Path) -> _Written:
    written = []
    for name, arcsec in (("cop-dem-glo-30", 1), ("cop-dem-glo-90", 3)):
        items = world_static.write_dem(world.terrain, folder / name, arcsec, world.internal_px)
        text = "Heights of a world as a known function of place."
        write_collection(items, folder / name, title=f"Copernicus DEM GLO-{30 * arcsec}, made up", description=text)
        written.append((name, len(items)))
    return written


def _write_landcover(world: SampleWorld, folder: Path) -> _Written:
    years = sorted({2020, 2021, *(int(month[:4]) for month in world.months)})
    covers, annual = folder / world_static.WORLDCOVER, folder / world_static.ANNUAL_LULC
    maps = world_static.write_worldcover(world.cover, covers, world.internal_px)
    yearly = world_static.write_annual(world.cover, years, world.codes[0][:3], annual, world.internal_px)
    text = "Land cover of a made-up world."
    write_collection(maps, covers, title="ESA WorldCover, made up", description=text)
    write_collection(yearly, annual, title="Annual land cover of Impact Observatory, made up", description=text)
    return [(covers.name, len(maps)), (annual.name, len(yearly))]


_WRITERS: dict[str, Callable[[SampleWorld, Path], _Written]] = {
    "sentinel-2-l2a": _write_optical, "sentinel-1-rtc": _write_radar, "sentinel-1-grd": _write_grd, "landsat-c2-l2": _write_landsat,
    "dem": _write_dem, "landcover": _write_landcover,
}  # fmt: skip


def _write_catalog(world: SampleWorld, collections: list[str], path: Path) -> None:
    what = "Sentinel-2 scenes" if world.sensors == (COLLECTION,) else ", ".join(collections)
    catalog = {
        "type": "Catalog", "stac_version": "1.0.0", "id": "geo-assets-sample-world", "title": "Sample world",
        "description": f"A made-up piece of land with {what} of {world.months[0]} to {world.months[-1]}.",
        "links": [
            {"rel": "root", "href": "./catalog.json", "type": "application/json"},
            *({"rel": "child", "href": f"./{n}/collection.json", "type": "application/json"} for n in collections),
        ],
    }  # fmt: skip
    dump(path, catalog)


@contextlib.contextmanager
def _fixed_date() -> Iterator[None]:
    """GeoPackages record when they were changed; equal worlds shall have equal bytes."""
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2024-01-01T00:00:00.000Z"})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def _write_aoi(world: SampleWorld, path: Path) -> None:
    path.unlink(missing_ok=True)
    with _fixed_date():
        gpd.GeoDataFrame({"name": ["sample"]}, geometry=[world.aoi], crs="EPSG:4326").to_file(
            path, layer="aoi", driver="GPKG"
        )
