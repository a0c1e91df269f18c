"""STAC items of Landsat Collection 2 Level-2, with the names that Earth Search and the Planetary Computer give them."""

import datetime as dt
import re
from typing import Any

import shapely
from affine import Affine

from geo_assets.testing.world_stac import MEDIA, extensions, stac_item

COLLECTION = "landsat-c2-l2"
NODATA = 0
FILL = 1  # QA_PIXEL of a pixel without data
_SOURCES = {  # band of OLI, middle and width in micrometres, title
    "blue": ("B2", 0.48, 0.06, "Blue Band", "Visible blue"),
    "green": ("B3", 0.56, 0.06, "Green Band", "Visible green"),
    "red": ("B4", 0.65, 0.04, "Red Band", "Visible red"),
    "nir08": ("B5", 0.87, 0.03, "Near Infrared Band 0.8", "Near infrared"),
    "swir16": ("B6", 1.61, 0.09, "Short-wave Infrared Band 1.6", "Short-wave infrared"),
    "swir22": ("B7", 2.2, 0.19, "Short-wave Infrared Band 2.2", "Short-wave infrared"),
}
_BITS = (
    ("fill", "Image or fill data"), ("dilated_cloud", "Dilated cloud"), ("cirrus", "Cirrus mask"),
    ("cloud", "Cloud mask"), ("cloud_shadow", "Cloud shadow mask"), ("snow", "Snow/Ice mask"),
    ("clear", "Clear mask"), ("water", "Water mask"),
)  # fmt: skip
_LEVELS = (("cloud", 8), ("cloud_shadow", 10), ("snow", 12), ("cirrus", 14))


class Qa:
    """Bits of QA_PIXEL; Landsat 8-9 Collection 2 Level 2 Science Product Guide, table of quality bits."""

    DILATED, CIRRUS, CLOUD, SHADOW, SNOW, CLEAR, WATER = range(1, 8)
    CLOUD_LEVEL, SHADOW_LEVEL, SNOW_LEVEL, CIRRUS_LEVEL = 8, 10, 12, 14  # two bits each: 1 low, 2 medium, 3 high


def _bitfields() -> list[dict[str, Any]]:
    single = [
        {"name": name, "description": text, "offset": bit, "length": 1,
         "classes": [{"name": f"not_{name}", "value": 0}, {"name": name, "value": 1}]}
        for bit, (name, text) in enumerate(_BITS)
    ]  # fmt: skip
    levels = [
        {"name": f"{name}_confidence", "description": f"{name.replace('_', ' ').capitalize()} confidence levels",
         "offset": bit, "length": 2,
         "classes": [{"name": n, "value": v} for v, n in enumerate(("not_set", "low", "medium", "high"))]}
        for name, bit in _LEVELS
    ]  # fmt: skip
    return single + levels


def _assets(product: str) -> dict[str, Any]:
    assets: dict[str, Any] = {}
    for name, (band, middle, width, title, text) in _SOURCES.items():
        assets[name] = {
            "href": f"./{product}_SR_{band}.TIF", "type": MEDIA, "title": title, "roles": ["data", "reflectance"],
            "description": f"Collection 2 Level-2 {title} (SR_{band}) Surface Reflectance",
            "eo:bands": [{"name": f"OLI_{band}", "common_name": name, "description": text,
                          "center_wavelength": middle, "full_width_half_max": width}],
            "raster:bands": [{"scale": 2.75e-05, "nodata": NODATA, "offset": -0.2, "data_type": "uint16",
                              "spatial_resolution": 30}],
        }  # fmt: skip
    assets["lwir11"] = {
        "href": f"./{product}_ST_B10.TIF", "type": MEDIA, "title": "Surface Temperature Band",
        "roles": ["data", "temperature"], "gsd": 100,
        "description": "Collection 2 Level-2 Thermal Infrared Band (ST_B10) Surface Temperature",
        "eo:bands": [{"name": "TIRS_B10", "common_name": "lwir11", "description": "Long-wave infrared",
                      "center_wavelength": 10.9, "full_width_half_max": 0.59}],
        "raster:bands": [{"unit": "kelvin", "scale": 0.00341802, "nodata": NODATA, "offset": 149.0,
                          "data_type": "uint16", "spatial_resolution": 30}],
    }  # fmt: skip
    assets["qa_pixel"] = {
        "href": f"./{product}_QA_PIXEL.TIF", "type": MEDIA, "title": "Pixel Quality Assessment Band",
        "roles": ["cloud", "cloud-shadow", "snow-ice", "water-mask"],
        "description": "Collection 2 Level-1 Pixel Quality Assessment Band (QA_PIXEL)",
        "classification:bitfields": _bitfields(),
        "raster:bands": [{"unit": "bit index", "nodata": FILL, "data_type": "uint16", "spatial_resolution": 30}],
    }  # fmt: skip
    return assets


def item_of(
    item_id: str,
    sensed: dt.datetime,
    *,
    footprint: shapely.Polygon,
    crs: str,
    transform: Affine,
    shape: tuple[int, int],
    cloud_cover: float,
) -> dict[str, Any]:
    """The STAC item of a scene.

    Args:
        item_id: Such as ``LC08_L2SP_190027_20240607_02_T1``.
        sensed: Time of acquisition, UTC.
        footprint: The pixels that are not fill, EPSG:4326.
        crs: Of the pixels.
        transform: From (column, row) of a pixel corner to (x, y).
        shape: Rows and columns.
        cloud_cover: Percent of the pixels that are not fill.
    """
    sensor, correction, place, day, number, category = re.split("_", item_id)
    # A preliminary scene is out within hours, the final one when the orbit and the calibration are known
    generated = sensed + (dt.timedelta(hours=8) if category == "RT" else dt.timedelta(days=9))
    product = f"{sensor}_{correction}_{place}_{day}_{generated:%Y%m%d}_{number}_{category}"
    processed = f"{generated + dt.timedelta(days=1):%Y-%m-%dT%H:%M:%S.000000Z}"
    cover = round(cloud_cover, 2)
    properties = {
        "datetime": f"{sensed:%Y-%m-%dT%H:%M:%S.%f}Z", "created": processed, "updated": processed,
        "description": "Landsat Collection 2 Level-2", "gsd": 30, "platform": f"landsat-{int(sensor[2:])}",
        "instruments": ["oli", "tirs"], "eo:cloud_cover": cover, "grid:code": f"WRS2-{place}",
        "landsat:cloud_cover_land": cover, "landsat:collection_category": category,
        "landsat:collection_number": number, "landsat:correction": correction,
        "landsat:product_generated": f"{generated:%Y-%m-%dT%H:%M:%SZ}",
        "landsat:scene_id": f"LC{int(sensor[2:])}{place}{sensed:%Y%j}LGN00", "landsat:wrs_path": place[:3],
        "landsat:wrs_row": place[3:], "landsat:wrs_type": "2", "proj:epsg": int(crs.split(":")[1]),
        "proj:shape": list(shape), "proj:transform": [*transform[:6]], "sci:doi": "10.5066/P9OGBGM6",
        "view:off_nadir": 0, "view:sun_azimuth": 148.0, "view:sun_elevation": 52.0,
    }  # fmt: skip
    schemas = [
        *extensions("raster/v1.0.0", "eo/v1.0.0", "view/v1.0.0", "projection/v1.0.0", "grid/v1.1.0"),
        "https://landsat.usgs.gov/stac/landsat-extension/v1.1.1/schema.json",
        *extensions("classification/v1.0.0", "scientific/v1.0.0"),
    ]
    return stac_item(
        item_id, COLLECTION, footprint=footprint, properties=properties, assets=_assets(product), schemas=schemas
    )
