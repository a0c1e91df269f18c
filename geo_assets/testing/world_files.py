"""The sample world on disk: Cloud Optimized GeoTIFFs and a static, self-contained STAC catalog."""

import contextlib
import dataclasses
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
import shapely
from affine import Affine

from geo_assets.errors import ConfigError
from geo_assets.testing.world import COLLECTION, RESOLUTION_M, SCL_RESOLUTION_M, BrokenAsset, SampleWorld
from geo_assets.testing.world_land import BANDS
from geo_assets.testing.world_plan import Granule, Observation
from geo_assets.testing.world_sky import CLOUD_CLASSES

STAMP = "sample-world.json"
AOI_FILE = "aoi.gpkg"
_EXTENSIONS = [
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("eo/v1.1.0", "projection/v1.1.0", "raster/v1.1.0", "grid/v1.1.0")
]
_MEDIA = "image/tiff; application=geotiff; profile=cloud-optimized"
_WAVELENGTH_UM = {"red": 0.665, "green": 0.560, "blue": 0.490, "nir": 0.842}
_log = logging.getLogger(__name__)


def write_world(world: SampleWorld, folder: Path) -> Path:
    """Writes a world into a folder and returns its ``catalog.json``; see ``SampleWorld.write``."""
    stamp, catalog = folder / STAMP, folder / "catalog.json"
    wanted = {"world": json.loads(json.dumps(dataclasses.asdict(world))), "code": code_version(), "complete": True}
    if stamp.exists():
        if json.loads(stamp.read_text()) == wanted:
            return catalog
        shutil.rmtree(folder / COLLECTION, ignore_errors=True)
    elif (folder / COLLECTION).exists() or catalog.exists():
        raise ConfigError(f"{folder} holds a catalog that is not a sample world: choose an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    _dump(stamp, wanted | {"complete": False})
    items = [_write_scene(world, seen, folder / COLLECTION) for seen in world.observations()]
    _write_collection(world, items, folder)
    _write_aoi(world, folder / AOI_FILE)
    _dump(stamp, wanted)
    _log.info("sample world with %d scenes written to %s", len(items), folder)
    return catalog


def code_version() -> str:
    """Checksum of the modules that make a sample world."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("world*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _dump(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n")


def _write_scene(world: SampleWorld, seen: Observation, folder: Path) -> dict[str, Any]:
    granule = seen.granule
    home = folder / granule.item_id
    home.mkdir(parents=True, exist_ok=True)
    size = world.internal_px
    for band in BANDS:
        _write_cog(home / f"{band}.tif", seen.dn[band], granule, resolution=RESOLUTION_M, size=size)
    _write_cog(home / "scl.tif", seen.scl, granule, resolution=SCL_RESOLUTION_M, size=size)
    if world.broken and world.broken.item_id == granule.item_id:
        damage(home / f"{world.broken.band}.tif", world.broken, size)
    item = _item(seen)
    _dump(home / f"{granule.item_id}.json", item)
    return item


def _transform(granule: Granule, resolution: int) -> Affine:
    box = granule.tile.box
    return Affine(resolution, 0, float(box.left), 0, -resolution, float(box.top))


def _write_cog(path: Path, values: npt.NDArray[Any], granule: Granule, *, resolution: int, size: int) -> None:
    rows, cols = values.shape
    with rasterio.open(
        path, "w", driver="COG", dtype=values.dtype, count=1, height=rows, width=cols, nodata=0,
        crs=granule.tile.box.crs, transform=_transform(granule, resolution),
        blocksize=size, compress="DEFLATE", predictor="YES", level=1, overview_resampling="NEAREST", num_threads=1,
    ) as sink:  # fmt: skip
        sink.write(values, 1)


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
        "spatial_resolution": RESOLUTION_M,
        "scale": 0.0001,
    }
    return facts | offset


def _asset(granule: Granule, band: str) -> dict[str, Any]:
    step = SCL_RESOLUTION_M if band == "scl" else RESOLUTION_M
    rows, cols = (n * RESOLUTION_M // step for n in granule.tile.box.shape)
    asset: dict[str, Any] = {
        "href": f"./{band}.tif", "type": _MEDIA, "title": "Scene classification (SCL)" if band == "scl" else band.title(),
        "roles": ["data", "reflectance"] if band != "scl" else ["data"], "gsd": step,
        "proj:shape": [rows, cols], "proj:transform": [*_transform(granule, step)[:6]],
        "raster:bands": [_raster_band(granule, band)],
    }  # fmt: skip
    if band != "scl":
        asset["eo:bands"] = [{"name": band, "common_name": band, "center_wavelength": _WAVELENGTH_UM[band]}]
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


def _item(seen: Observation) -> dict[str, Any]:
    footprint = seen.granule.footprint()
    return {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": _EXTENSIONS, "id": seen.granule.item_id,
        "collection": COLLECTION, "properties": _properties(seen),
        "bbox": [round(v, 7) for v in footprint.bounds],
        "geometry": shapely.geometry.mapping(shapely.set_precision(footprint, 1e-7)),
        "links": [
            {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
            {"rel": "collection", "href": "../collection.json", "type": "application/json"},
            {"rel": "parent", "href": "../collection.json", "type": "application/json"},
        ],
        "assets": {band: _asset(seen.granule, band) for band in (*BANDS, "scl")},
    }  # fmt: skip


def _write_collection(world: SampleWorld, items: list[dict[str, Any]], folder: Path) -> None:
    times = sorted(item["properties"]["datetime"] for item in items)
    boxes = np.array([item["bbox"] for item in items])
    bbox = [*boxes[:, :2].min(0).tolist(), *boxes[:, 2:].max(0).tolist()]
    collection = {
        "type": "Collection", "stac_version": "1.0.0", "id": COLLECTION, "license": "CC0-1.0",
        "title": "Sentinel-2 Level-2A, made up", "description": "Computed scenes of a world whose reflectance is known.",
        "extent": {"spatial": {"bbox": [bbox]}, "temporal": {"interval": [[times[0], times[-1]]]}},
        "links": [
            {"rel": "root", "href": "../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../catalog.json", "type": "application/json"},
            *({"rel": "item", "href": f"./{i['id']}/{i['id']}.json", "type": "application/geo+json"} for i in items),
        ],
    }  # fmt: skip
    catalog = {
        "type": "Catalog", "stac_version": "1.0.0", "id": "geo-assets-sample-world", "title": "Sample world",
        "description": f"A made-up piece of land with Sentinel-2 scenes of {world.months[0]} to {world.months[-1]}.",
        "links": [
            {"rel": "root", "href": "./catalog.json", "type": "application/json"},
            {"rel": "child", "href": f"./{COLLECTION}/collection.json", "type": "application/json"},
        ],
    }  # fmt: skip
    _dump(folder / COLLECTION / "collection.json", collection)
    _dump(folder / "catalog.json", catalog)


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
