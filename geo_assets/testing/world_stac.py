"""What all collections of the sample world have in common on disk: COGs, STAC items and their collections."""

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import shapely
from affine import Affine

MEDIA = "image/tiff; application=geotiff; profile=cloud-optimized"
COLLECTIONS = {
    "sentinel-2-l2a": ("sentinel-2-l2a",),
    "sentinel-1-rtc": ("sentinel-1-rtc",),
    "sentinel-1-grd": ("sentinel-1-grd",),
    "landsat-c2-l2": ("landsat-c2-l2",),
    "dem": ("cop-dem-glo-30", "cop-dem-glo-90"),
    "landcover": ("esa-worldcover", "io-lulc-annual-v02"),
}  # of every sensor of the sample world


def dump(path: Path, document: Mapping[str, Any]) -> None:
    """Writes a JSON document."""
    path.write_text(json.dumps(document, indent=1) + "\n")


def write_cog(
    path: Path, values: npt.NDArray[Any], *, crs: str, transform: Affine, nodata: float | None, size: int
) -> None:
    """Writes a Cloud Optimized GeoTIFF of one band.

    Args:
        path: The file.
        values: Dims (y, x).
        crs: Of the pixels.
        transform: From (column, row) of a pixel corner to (x, y).
        nodata: What the header calls nodata; None if it names none.
        size: Side of the internal tiles.
    """
    rows, cols = values.shape
    with rasterio.open(
        path, "w", driver="COG", dtype=values.dtype, count=1, height=rows, width=cols, nodata=nodata,
        crs=crs, transform=transform,
        blocksize=size, compress="DEFLATE", predictor="YES", level=1, overview_resampling="NEAREST", num_threads=1,
    ) as sink:  # fmt: skip
        sink.write(values, 1)


def north_up(
    left: float | Fraction, top: float | Fraction, step_x: float | Fraction, step_y: float | Fraction
) -> Affine:
    """From (column, row) of a pixel corner to (x, y), rows counting southward."""
    return Affine(float(step_x), 0, float(left), 0, -float(step_y), float(top))


def extensions(*names: str) -> list[str]:
    """Schemas of STAC extensions, given as ``eo/v1.1.0``."""
    return [f"https://stac-extensions.github.io/{name}/schema.json" for name in names]


def stac_item(
    item_id: str,
    collection: str,
    *,
    footprint: shapely.Polygon,
    properties: Mapping[str, Any],
    assets: Mapping[str, Any],
    schemas: Sequence[str],
) -> dict[str, Any]:
    """A STAC item of a static catalog; ``footprint`` is in EPSG:4326."""
    return {
        "type": "Feature", "stac_version": "1.0.0", "stac_extensions": list(schemas), "id": item_id,
        "collection": collection, "properties": dict(properties),
        "bbox": [round(v, 7) for v in footprint.bounds],
        "geometry": shapely.geometry.mapping(shapely.set_precision(footprint, 1e-7)),
        "links": [
            {"rel": "root", "href": "../../catalog.json", "type": "application/json"},
            {"rel": "collection", "href": "../collection.json", "type": "application/json"},
            {"rel": "parent", "href": "../collection.json", "type": "application/json"},
        ],
        "assets": dict(assets),
    }  # fmt: skip


def write_item(item: Mapping[str, Any], folder: Path) -> None:
    """Writes an item beside its files, into the folder of its collection."""
    dump(folder / item["id"] / f"{item['id']}.json", item)


def _times(item: Mapping[str, Any]) -> tuple[str, str]:
    p = item["properties"]
    return p["datetime"] or p["start_datetime"], p["datetime"] or p["end_datetime"]


def write_collection(items: Sequence[Mapping[str, Any]], folder: Path, *, title: str, description: str) -> None:
    """Writes the ``collection.json`` of items that lie in ``folder``, which is named as their collection is.

    Args:
        items: At least one.
        folder: The collection's folder.
        title: For people.
        description: What it holds.
    """
    starts, ends = zip(*(_times(item) for item in items), strict=True)
    boxes = np.array([item["bbox"] for item in items])
    bbox = [*boxes[:, :2].min(0).tolist(), *boxes[:, 2:].max(0).tolist()]
    collection = {
        "type": "Collection", "stac_version": "1.0.0", "id": folder.name, "license": "CC0-1.0",
        "title": title, "description": description,
        "extent": {"spatial": {"bbox": [bbox]}, "temporal": {"interval": [[min(starts), max(ends)]]}},
        "links": [
            {"rel": "root", "href": "../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../catalog.json", "type": "application/json"},
            *({"rel": "item", "href": f"./{i['id']}/{i['id']}.json", "type": "application/geo+json"} for i in items),
        ],
    }  # fmt: skip
    dump(folder / "collection.json", collection)
