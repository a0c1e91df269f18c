"""A prediction as a Cloud-Optimized GeoTIFF with its STAC item, which names the model and the data that it is made from."""

import datetime as dt
import math
import os
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
import shapely
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.windows import Window

from geo_assets.eo.picture import class_colours
from geo_assets.errors import ConfigError, StoreError
from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox
from geo_assets.model.mlm import ModelItem
from geo_assets.model.prediction import StoredArray
from geo_assets.tasks.predict import Strip, label_type

_TILE_PX = 512
# Key and media type of an asset, by the kind of its file
_KINDS: Mapping[str, tuple[str, str]] = {
    "cog": ("prediction", "image/tiff; application=geotiff; profile=cloud-optimized"),
    "zarr": ("prediction-zarr", "application/vnd.zarr; version=3"),
    "thumbnail": ("thumbnail", "image/png"),
}
# Media type of a tile's array, by the ending of its name
_TYPES = {".npz": "application/x-npz", ".zarr": "application/vnd.zarr; version=3", ".tif": "image/tiff; application=geotiff; profile=cloud-optimized"}  # fmt: skip
_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
)


@dataclass(frozen=True)
class Lineage:
    """What a prediction is made from.

    Attributes:
        model: Address of the model's item, as links write it.
        cube: Address of the cube; "" where none was read.
        snapshot: The state of the cube that was read, or "" where it keeps none.
        start: Beginning of the first period that was read, UTC.
        end: End of the last one, UTC.
        arrays: Arrays of a yearly tile that were read; their names are addresses.
    """

    model: str
    cube: str
    snapshot: str
    start: dt.datetime
    end: dt.datetime
    arrays: tuple[StoredArray, ...] = ()


def write_prediction(model: ModelItem, strips: Iterable[Strip], box: GeoBox, file: Path) -> None:
    """Write a map, or the values of a model without classes, as a COG that appears under its name when it is whole.

    Args:
        model: The model.
        strips: Of all rows, as ``predict`` gives them.
        box: Where they lie; row 0 is the first row of the first strip.
        file: The GeoTIFF. Classes are their values, with names and colours; nodata as ``label_type``. Values are float32,
            nodata NaN, one band a layer.

    Raises:
        ConfigError: The strips do not fill the box.
        StoreError: The file cannot be written.
    """
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
    whole = part.with_suffix(".cog")
    try:
        _write(model, strips, box, part)
        sampling = "MODE" if model.classes else "AVERAGE"
        # Not its statistics and not the time: the same pixels make the same bytes
        rasterio.shutil.copy(
            part, whole, driver="COG", blocksize=_TILE_PX, compress="DEFLATE", predictor="YES",
            overview_resampling=sampling, bigtiff="IF_SAFER", num_threads="1",
        )  # fmt: skip
        os.replace(whole, file)
    except (RasterioError, OSError) as e:
        raise StoreError(f"{file}: cannot be written: {e}") from e
    finally:
        for left in (part, whole):
            left.unlink(missing_ok=True)


def _write(model: ModelItem, strips: Iterable[Strip], box: GeoBox, part: Path) -> None:
    dtype, nodata = label_type(model) if model.classes else (np.dtype(np.float32), math.nan)
    rows, cols = box.shape
    profile: dict[str, Any] = {
        "driver": "GTiff", "height": rows, "width": cols, "count": 1 if model.classes else model.layers, "dtype": dtype,
        "nodata": nodata, "crs": box.crs, "transform": box.transform, "tiled": True, "blockxsize": _TILE_PX,
        "blockysize": _TILE_PX, "compress": "DEFLATE", "bigtiff": "IF_SAFER",
    }  # fmt: skip
    done, top = 0, 0
    with rasterio.open(part, "w", **profile) as target:
        for strip in strips:
            values = strip.scores if strip.labels is None else strip.labels[None]
            top = strip.rows.start if not done else top
            if strip.rows.start - top != done or values.shape[1:] != (strip.rows.stop - strip.rows.start, cols):
                raise ConfigError(
                    f"rows {strip.rows.start} to {strip.rows.stop} of a prediction are not the next of {box.shape}"
                )
            target.write(values, window=Window(0, done, cols, values.shape[1]))
            done += values.shape[1]
        if model.classes:
            _describe(model, target, dtype)
    if done != rows:
        raise ConfigError(f"a prediction of {rows} rows has only {done}")


def _describe(model: ModelItem, target: Any, dtype: np.dtype[Any]) -> None:
    target.set_band_description(1, model.output_name)
    target.update_tags(1, **{f"class_{c.value}": c.name for c in model.classes})
    if dtype == np.uint8:  # each class has a colour, the model's or one of ours, as in its thumbnail
        palette = class_colours(map_bands(model)[0]).tolist()
        target.colorinterp = [ColorInterp.palette]
        target.write_colormap(1, {c.value: (*palette[c.value], 255) for c in model.classes})


def map_bands(model: ModelItem) -> list[Band]:
    """Facts of a map's layers: its classes with the colours that the model hints at, or values."""
    if not model.classes:
        return [
            Band(name, (), 0.0, dtype="float32", nodata=None, unit="1", shown=(0.0, 1.0)) for name in layer_names(model)
        ]
    kind, nodata = label_type(model)
    hints = {c.value: str(c.more.get("color_hint", "")).removeprefix("#") for c in model.classes}
    # STAC Classification extension: six hexadecimal digits; what is none is no hint
    colours = {value: f"#{hint}" for value, hint in hints.items() if re.fullmatch("[0-9a-fA-F]{6}", hint)}
    names = {c.value: c.name for c in model.classes}
    return [
        Band(model.output_name, (), 0.0, dtype=kind.name, nodata=nodata, unit="class", classes=names, colours=colours)
    ]


def prediction_item(
    model: ModelItem, box: GeoBox, lineage: Lineage, *, item_id: str, files: Mapping[str, str], links: Sequence[Mapping[str, Any]] = (),
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The STAC item of a prediction; the same for the same prediction, since it holds no time of its own making.

    Args:
        model: The model.
        box: Where the map lies.
        lineage: What it is made from; becomes links ``derived_from``, to the model and to the state of the cube or to each array.
        item_id: Id of the item.
        files: Addresses of its files as the item writes them, by their kind: ``cog``, ``zarr`` or ``thumbnail``.
        links: Further links.
        more: Further properties.
    """
    outline = box.lonlat()
    classes = [{"value": c.value, "name": c.name, **c.more} for c in model.classes]
    values = (
        {"nodata": label_type(model)[1], "data_type": label_type(model)[0].name}
        if classes
        else {"nodata": "nan", "data_type": "float32"}
    )
    names = [model.output_name] if classes else layer_names(model)
    bands = [{"name": name, **values, **({"classification:classes": classes} if classes else {})} for name in names]
    affine = box.transform
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": item_id,
        "geometry": shapely.geometry.mapping(outline),
        "bbox": list(outline.bounds),
        "properties": {
            "datetime": None, "start_datetime": _instant(lineage.start), "end_datetime": _instant(lineage.end),
            "proj:code": box.crs, "proj:shape": list(box.shape), "proj:transform": list(affine)[:6],
            **(more or {}),
        },
        "links": [
            {"rel": "derived_from", "href": lineage.model, "type": "application/geo+json", "title": model.name, "mlm:name": model.name, "geo_assets:sha256": model.artifact.sha256},
            *_sources(lineage),
            *(dict(link) for link in links),
        ],
        "assets": dict(_asset(kind, href, model.output_name, bands) for kind, href in files.items()),
    }  # fmt: skip


def _sources(lineage: Lineage) -> list[dict[str, Any]]:
    """Links to what was read."""
    cube = {"rel": "derived_from", "href": lineage.cube, "type": "application/vnd.zarr", "title": "cube", "geo_assets:snapshot": lineage.snapshot}  # fmt: skip
    arrays = [
        {"rel": "derived_from", "href": a.name, "type": _TYPES[os.path.splitext(a.name)[1]], "title": a.product, "geo_assets:key": a.key}
        for a in lineage.arrays
    ]  # fmt: skip
    return [cube, *arrays] if lineage.cube else arrays


def _asset(kind: str, href: str, title: str, bands: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Key and fields of one of the files of a prediction."""
    key, media_type = _KINDS[kind]
    if kind == "thumbnail":
        return key, {"href": href, "type": media_type, "roles": ["thumbnail"]}
    return key, {"href": href, "type": media_type, "roles": ["data"], "title": title, "bands": list(bands)}


def layer_names(model: ModelItem) -> list[str]:
    """Names of the layers of a model without classes."""
    return [model.output_name] if model.layers == 1 else [f"{model.output_name}-{n}" for n in range(model.layers)]


def _instant(time: dt.datetime) -> str:
    if time.tzinfo is None:
        raise ConfigError(f"{time}: a time of a prediction says no zone; give UTC")
    return time.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
