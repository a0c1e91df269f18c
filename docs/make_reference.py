"""Writes docs/reference/project-file.md from the recipes and sensors.md from the plugins, so that each fact has one home."""

import math
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from geo_assets.model.band import Band
from geo_assets.model.project import MADE, Project
from geo_assets.model.sensor import Sensor, no_offset
from geo_assets.registry import available, load

_INTRO = """\
# The project file

YAML. Unknown keys are refused with the nearest known one; relative paths count from the file. Secrets never stand in it: they come from the
environment. `geo-assets init` writes a commented one. This page is written from the models (`python docs/make_reference.py`).

```yaml
name: styria
aois: {styria: styria.gpkg}
months: {start: 2023-01, end: 2023-12}
catalog: {kind: earth-search}
grid: {kind: majortom, size_m: 10240}
cube: {crs: utm, resolution: 10, bands: [red, green, blue, nir]}
mask: {kind: scl}
storage: ./data
```

This version makes the products {made}; sections of products to come are read and checked, and refused when they are asked for.
"""


_PRODUCT = "the product `{}` is refused when it is asked for, and these settings do nothing"
_TO_COME = {name: _PRODUCT.format(name) for name in ("chips", "embeddings", "release", "stac") if name not in MADE}

_KINDS = {str: "text", int: "whole number", float: "number", bool: "`true`, `false`"}


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if value not in (None, [], {}) else ""


def _values(field: FieldInfo) -> str:
    """What a setting may be: its choices, its range, its kind."""
    bounds = {name: getattr(m, name) for m in field.metadata for name in ("ge", "gt", "le", "lt") if hasattr(m, name)}
    low = f"{bounds['ge']:,}" if "ge" in bounds else f"over {bounds['gt']:,}" if "gt" in bounds else ""
    high = f"{bounds['le']:,}" if "le" in bounds else f"below {bounds['lt']:,}" if "lt" in bounds else ""
    if low or high:
        return f"{low} to {high}" if low and high else f"from {low}" if low else f"up to {high}"
    return ", ".join(dict.fromkeys(_kinds(field.annotation)))


def _kinds(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [f"`{choice}`" for choice in get_args(annotation)]
    inner = [kind for part in get_args(annotation) for kind in _kinds(part)]
    if get_origin(annotation) is list:
        return [f"list ({' or '.join(inner)})"]
    return inner or [_KINDS[annotation]] if annotation in _KINDS or inner else []


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for inner in getattr(annotation, "__args__", ()) for m in _models(inner)]


def _section(name: str, model: type[BaseModel]) -> str:
    rows = [
        f"| `{key}` | {_values(field)} | {_default(field)} | {field.description or ''} |"
        for key, field in model.model_fields.items()
    ]
    doc = (model.__doc__ or "").strip().splitlines()[0]
    if name in _TO_COME:
        doc += f"\n\n**Not made by this version:** {_TO_COME[name]}."
    return f"## {name}\n\n{doc}\n\n| key | values | default | what it is |\n|---|---|---|---|\n" + "\n".join(rows)


def _inner(name: str, model: type[BaseModel]) -> list[str]:
    """Tables of a section's settings that have settings of their own, and no section."""
    own = {m for field in Project.model_fields.values() for m in _models(field.annotation)}
    tables = []
    for key, field in model.model_fields.items():
        named = ".<name>" if any(get_origin(a) is dict for a in (field.annotation, *get_args(field.annotation))) else ""
        tables += [
            _section(f"`{name}.{key}{named}`", m).replace("## ", "### ", 1)
            for m in _models(field.annotation)
            if m not in own
        ]
    return tables


def render() -> str:
    """The page of the project file."""
    parts = [
        _INTRO.replace("{made}", ", ".join(f"`{m}`" for m in MADE)),
        "## Top level\n\n| key | default | what it is |\n|---|---|---|",
    ]
    sections = []
    rows = []
    for key, field in Project.model_fields.items():
        inner = _models(field.annotation)
        rows.append(
            f"| `{key}` | {'' if inner else _default(field)} | {field.description or (f'see [{key}](#{key})' if inner else '')} |"
        )
        if inner:
            listed = get_origin(field.annotation) is list
            sections += [_section(key, inner[0]), *_inner(key + ("[]" if listed else ""), inner[0])]
    return "\n".join([parts[0], parts[1] + "\n" + "\n".join(rows), "", "\n\n".join(sections)]) + "\n"


_SENSORS = """\
# Sensors

Bands of the sensors that come with geo_assets, and how their files are to be read: `value = stored * scale + offset`. Assets are the names that catalogs
give a band, in the order in which they are tried. Analysis-ready layers with values outside the plausible range fail the check `plausible`. Bands that
are made of others have no asset. A band of unit `class` is never interpolated. This page is written from the plugins (`python docs/make_reference.py`).
"""
_HEADS = ("band", "unit", "plausible", "dtype", "scale", "offset", "nodata", "pixel, m", "assets")


def _number(value: float | None) -> str:
    return "" if value is None else "NaN" if math.isnan(value) else f"{value:.12g}"


def _range(band: Band) -> str:
    low, high = band.plausible
    if math.isinf(low) and math.isinf(high):
        return ""
    return f"{'' if math.isinf(low) else _number(low)} to {'' if math.isinf(high) else _number(high)}".strip()


def _band(band: Band) -> str:
    facts = (
        f"`{band.name}`", f"`{band.unit}`", _range(band), f"`{band.dtype}`", _number(band.scale), _number(band.offset), _number(band.nodata),
        _number(band.gsd_m), ", ".join(f"`{a}`" for a in band.assets),
    )  # fmt: skip
    return f"| {' | '.join(facts)} |"


def _sensor(sensor: Sensor) -> str:
    others = " elsewhere" if len(sensor.collections) > 1 else ""
    collections = [
        ", ".join(f"`{c}`" for c in ids) + (others if kind == "*" else f" of {kind}")
        for kind, ids in sorted(sensor.collections.items(), key=lambda kv: (kv[0] == "*", kv[0]))
    ]
    said = [
        f"{sensor.title}. Collections: {'; '.join(collections)}. Usual bands: {', '.join(f'`{b}`' for b in sensor.default_bands)}."
    ]
    if sensor.mask_band:
        said += [f"Mask: {', '.join(f'`{kind}`' for kind in sensor.mask_band)}."]
    if sensor.dn_offset is not no_offset:
        said += ["The offset of a scene's processing baseline is taken off its stored numbers first."]
    if not sensor.geocoded:
        said += ["Its pixels lie in the sensor's own geometry."]
    if sensor.static:
        said += ["Its scenes have no date."]
    bands = [_band(b) for b in (*sensor.bands.values(), *sensor.derived.values())]
    table = "\n".join([f"| {' | '.join(_HEADS)} |", "|---" * len(_HEADS) + "|", *bands])
    return f"## {sensor.name}\n\n{' '.join(said)}\n\n{table}\n"


def render_sensors() -> str:
    """The page of sensors."""
    return "\n".join([_SENSORS, *(_sensor(load("sensors", name)) for name in sorted(available("sensors")))])


PAGES = {"project-file.md": render, "sensors.md": render_sensors}

if __name__ == "__main__":
    for name, write in PAGES.items():
        Path(__file__).with_name("reference").joinpath(name).write_text(write())
