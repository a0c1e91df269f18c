"""Writes docs/reference/project-file.md from the recipes, so that each default and description has one home."""

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from geo_assets.model.project import MADE, Project

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
    return f"## {name}\n\n{doc}\n\n| key | values | default | what it is |\n|---|---|---|---|\n" + "\n".join(rows)


def render() -> str:
    """The page."""
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
            sections.append(_section(key, inner[0]))
    return "\n".join([parts[0], parts[1] + "\n" + "\n".join(rows), "", "\n\n".join(sections)]) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("reference").joinpath("project-file.md").write_text(render())
