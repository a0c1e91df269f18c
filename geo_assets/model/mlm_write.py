"""Writes the STAC item of a model (MLM extension)."""

import re
from typing import Any

from geo_assets.errors import ConfigError
from geo_assets.model.mlm import FIELDS, InputBand, ModelItem, Tensor
from geo_assets.model.mlm_item import MLM, MULTIHASH, OURS, read_item

_WRITTEN = (
    MLM,
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
)
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]")  # the MLM schema's pattern of mlm:name


def write_item(model: ModelItem) -> dict[str, Any]:
    """The STAC item of a model, from which ``read_item`` makes the same model.

    Raises:
        ConfigError: It is no model that could be run.
    """
    if not _NAME.fullmatch(model.name):
        raise ConfigError(
            f"model item {model.item_id}: properties.mlm:name: {model.name[:80]!r} may have letters, digits, blanks and '_.-' only"
        )
    own: dict[str, Any] = {
        "window_px": model.window_px, "halo_px": model.halo_px, "months": list(model.months) or None,
        "missing": None if model.missing == "nodata" else model.missing,
    }  # fmt: skip
    properties = dict(model.properties)
    hyper = (properties.pop("mlm:hyperparameters", None) or {}) | {OURS + k: v for k, v in own.items() if v is not None}
    properties.setdefault("datetime", None)
    if properties["datetime"] is None:  # STAC: an item without a time has a range of times
        properties.setdefault("start_datetime", "1900-01-01T00:00:00Z")
        properties.setdefault("end_datetime", "9999-12-31T23:59:59Z")
    properties |= {
        "mlm:name": model.name, "mlm:architecture": model.architecture, "mlm:framework": model.framework,
        "mlm:tasks": list(model.tasks), "mlm:input": [_written_input(model)], "mlm:output": [_written_output(model)],
        "bands": [_written_band(b) for b in model.bands],
    }  # fmt: skip
    optional = {"mlm:framework_version": model.framework_version, "mlm:batch_size_suggestion": model.batch}
    properties |= {k: v for k, v in optional.items() if v is not None} | (
        {"mlm:hyperparameters": hyper} if hyper else {}
    )
    artifact = model.artifact
    asset = {"href": artifact.href, "type": artifact.media_type, "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": artifact.kind, "file:checksum": MULTIHASH + artifact.sha256}  # fmt: skip
    item: dict[str, Any] = {
        "type": "Feature", "stac_version": "1.1.0", "stac_extensions": list(_WRITTEN), "id": model.item_id,
        "geometry": model.geometry, "properties": properties, "links": [],
        "assets": {artifact.key: asset | ({"file:size": artifact.size} if artifact.size is not None else {})},
    }  # fmt: skip
    if model.bbox is not None:
        item["bbox"] = list(model.bbox)
    read_item(item)
    return item


def _written_input(model: ModelItem) -> dict[str, Any]:
    scaling = [
        {"type": s.kind or None, **dict(zip(FIELDS.get(s.kind, ()), s.numbers, strict=True))} for s in model.scaling
    ]
    return {
        "name": model.input_name, "bands": [b.name for b in model.bands], "input": _written_tensor(model.input),
        "value_scaling": scaling if any(s.kind for s in model.scaling) else None, "resize_type": None,
    }  # fmt: skip


def _written_output(model: ModelItem) -> dict[str, Any]:
    classes = [{"value": c.value, "name": c.name, **c.more} for c in model.classes]
    return {
        "name": model.output_name, "tasks": list(model.tasks), "result": _written_tensor(model.output),
        **({"classification:classes": classes} if classes else {}),
    }  # fmt: skip


def _written_tensor(tensor: Tensor) -> dict[str, Any]:
    return {"shape": list(tensor.shape), "dim_order": list(tensor.names), "data_type": tensor.dtype}


def _written_band(band: InputBand) -> dict[str, Any]:
    numbers = {"raster:scale": band.scale, "raster:offset": band.offset}
    return {
        "name": band.name,
        **{k: v for k, v in numbers.items() if v != (1.0 if k == "raster:scale" else 0.0)},
        **({} if band.nodata is None else {"nodata": band.nodata}),
        **({"unit": band.unit} if band.unit else {}),
    }
