"""Writes a commented project file: its keys, defaults, ranges and descriptions are those of the recipes."""

import contextlib
import datetime as dt
import os
import re
import typing
import unicodedata
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from geo_assets.doors.secrets import find_secrets
from geo_assets.eo.aoi import read_aoi
from geo_assets.errors import ConfigError
from geo_assets.model.period import Month
from geo_assets.model.project import MADE, Project
from geo_assets.model.recipe import AoiRecipe
from geo_assets.project import DEFAULT_FILE, load_project, parse_loaded, parse_yaml
from geo_assets.registry import available

_MONTHS = 12  # of a new project
_COLUMN = 44  # where comments begin
# What most people decide about; everything else stands below it as a comment with its default
_SHOWN = {
    "months": ("start", "end"), "catalog": ("kind",), "grid": ("kind",), "cube": ("sensor", "crs", "resolution", "bands", "statistic"),
    "mask": ("kind",), "compute": ("backend", "workers"),
}  # fmt: skip
_PLUGINS = {"backend": "compute"}  # fields whose description leaves it to the registry to list what there is
_SECTIONS = ("months", "catalog", "sensors", "grid", "cube", "mask", "products", "storage", "compute")
_HEAD = """\
# A geo_assets project. Commented lines show options with their defaults; relative paths count from this file.
# Credentials never stand here: they come from the environment. Next: geo-assets doctor, plan, run.
"""
_NO_AREA = """\
aois: {}
  # No area yet, so there is nothing to run: replace {} by one or more, or use `geo-assets aoi add NAME FILE`.
  # valley: valley.gpkg
  # town: {path: towns.gpkg, layer: outline}
  # box: {bbox: [15.0, 46.9, 15.3, 47.2]}
"""


def write_project(
    path: str | os.PathLike[str],
    *,
    aoi: str | os.PathLike[str] | None = None,
    layer: str | None = None,
    bbox: Sequence[float] | None = None,
    grid: str | None = None,
    months: str | None = None,
    storage: str | None = None,
    compute: str | None = None,
    force: bool = False,
    today: dt.date | None = None,
) -> Path:
    """Write a project file with every option, and check it by loading it.

    Args:
        path: The file, or a folder for ``geo_assets.yaml``.
        aoi: Vector file of the area; a relative path counts from the current folder and is written relative to the file.
        layer: Its layer.
        bbox: West, south, east, north in degrees, in place of ``aoi``.
        grid: Grid plugin.
        months: ``2023-01:2023-12``, ``2023-01:`` for all complete months since, or one month; by default the last twelve
            complete months.
        storage: Path or URI of everything that is made.
        compute: Compute plugin.
        force: Replace a file that is there.
        today: The day that counts as today (UTC).

    Returns:
        The file's absolute path.

    Raises:
        ConfigError: The file is there already, or an argument cannot be used; nothing was written.
    """
    file = Path(path).expanduser().absolute()
    file = file / DEFAULT_FILE if file.is_dir() or not file.suffix else file
    if file.exists() and not force:
        raise ConfigError(f"{file} is there already: choose another name, or remove it first")
    given: dict[str, dict[str, Any]] = {
        "months": _months(months, today or dt.datetime.now(dt.UTC).date()),
        "grid": {"kind": grid} if grid else {},
        "compute": {"backend": compute} if compute else {},
    }
    area = _area(file, aoi, layer, bbox)
    text = _document(_safe_name(file.parent.name), area, given, storage)
    if find_secrets(text):
        raise ConfigError("an argument holds a password, key or token: leave it out, it comes from the environment")
    parse_loaded(parse_yaml(text, str(file)), file)
    for name, recipe in area.items():
        # From the current folder: that of the file need not exist yet
        source = {"path": os.fspath(aoi), "layer": layer} if aoi is not None else recipe
        read_aoi(name, AoiRecipe.model_validate(source), Path.cwd())
    _write(file, text)
    load_project(file)
    return file


def _write(file: Path, text: str) -> None:
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, file)
    except OSError as e:
        raise ConfigError(f"{file}: cannot be written: {e}") from e
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


# ---- what is given ---------------------------------------------------------------------------------------------------


def _safe_name(folder: str) -> str:
    """A project name from the name of a folder, or the default where nothing of it can be used."""
    plain = unicodedata.normalize("NFKD", folder).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-")
    return name or str(Project.model_fields["name"].default)


def _months(text: str | None, today: dt.date) -> dict[str, Any]:
    if text is None:
        this = Month(today.year, today.month)
        return {"start": str(this.plus(-_MONTHS)), "end": str(this.plus(-1))}
    first, colon, last = (part.strip() for part in text.partition(":"))
    if not first:
        raise ConfigError(
            f"months {text!r} has no start: write 2023-01:2023-12, or 2023-01: for all complete months since"
        )
    if not colon:
        return {"start": first, "end": first}
    return {"start": first, "end": last} if last else {"start": first}


def _area(
    file: Path, aoi: str | os.PathLike[str] | None, layer: str | None, bbox: Sequence[float] | None
) -> dict[str, Any]:
    if aoi is not None and bbox is not None:
        raise ConfigError("give an AOI file or a bounding box, not both")
    if bbox is not None:
        return {"area": {"bbox": [float(v) for v in bbox]}}
    if aoi is None:
        if layer is not None:
            raise ConfigError("a layer needs the AOI file that it is in")
        return {}
    shown = os.fspath(aoi)
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(shown).stem).strip("_-")[:64] or "area"
    if not os.path.isabs(shown) and "://" not in shown:
        shown = Path(os.path.relpath(Path(shown).absolute(), file.parent)).as_posix()
    return {name: {"path": shown, "layer": layer} if layer else shown}


# ---- the document ----------------------------------------------------------------------------------------------------


def _document(name: str, area: dict[str, Any], given: dict[str, dict[str, Any]], storage: str | None) -> str:
    fields = Project.model_fields
    lines = [_HEAD, _line("name", name, _about(fields["name"])), ""]
    lines += [f"# {fields['aois'].description}"]
    lines += ["aois:", *(_line(n, v, "", indent="  ") for n, v in area.items()), ""] if area else [_NO_AREA]
    for section in _SECTIONS:
        if section in ("sensors", "products", "storage"):
            value = _default(fields[section])
            lines.append(_plain(section, storage if section == "storage" and storage else value, fields[section]))
        else:
            model = _model(fields[section].annotation)
            lines += [f"# {(model.__doc__ or '').strip().splitlines()[0]}", f"{section}:"]
            lines += _options(model, _SHOWN[section], given.get(section, {}))
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _plain(section: str, value: Any, field: FieldInfo) -> str:
    """A key of the project that is no section of its own."""
    if section == "sensors":
        shown = [v.sensor for v in value]
        return _line(section, shown, "or {sensor: NAME, collections: [...]} where a catalog names them otherwise")
    about = f"{field.description}: {', '.join(MADE)}" if section == "products" else _about(field)
    return _line(section, value, about)


def _options(model: type[BaseModel], shown: Sequence[str], given: dict[str, Any]) -> Iterator[str]:
    """The fields of a recipe: those shown or given as they count, the others as comments."""
    order = [n for n in model.model_fields if n in shown] + [n for n in model.model_fields if n not in shown]
    for name in order:
        field = model.model_fields[name]
        value = given.get(name, _default(field))
        if isinstance(value, str) and value.isdigit():
            value = int(value)  # an exact number, such as a resolution
        about = _about(field) + (f": {', '.join(available(_PLUGINS[name]))}" if name in _PLUGINS else "")
        active = name in given or (name in shown and value is not None)
        yield _line(name, value, about, indent="  " if active else "  # ")


def _line(key: str, value: Any, about: str, *, indent: str = "") -> str:
    text = f"{indent}{_yaml(key)}:" if value is None else f"{indent}{_yaml(key)}: {_yaml(value)}"
    return f"{text.ljust(_COLUMN)}  # {about}" if about else text


def _yaml(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()


def _default(field: FieldInfo) -> Any:
    value = field.get_default(call_default_factory=True, validated_data={})
    return None if value is PydanticUndefined else value


def _about(field: FieldInfo) -> str:
    """The description with choices and range."""
    parts = [field.description or "", _choices(field.annotation), _range(field)]
    return "; ".join(p for p in parts if p)


def _choices(annotation: Any) -> str:
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(map(str, arguments))
    if typing.get_origin(annotation) in (typing.Union, UnionType):
        return next((c for c in map(_choices, arguments) if c), "")
    return ""


def _range(field: FieldInfo) -> str:
    limits = {k: getattr(m, k) for m in field.metadata for k in ("ge", "gt", "le") if getattr(m, k, None) is not None}
    low = f"from {limits['ge']}" if "ge" in limits else f"above {limits['gt']}" if "gt" in limits else ""
    high = f"up to {limits['le']}" if "le" in limits else ""
    return " ".join(filter(None, (low, high)))


def _model(annotation: Any) -> type[BaseModel]:
    assert isinstance(annotation, type)
    assert issubclass(annotation, BaseModel)
    return annotation
