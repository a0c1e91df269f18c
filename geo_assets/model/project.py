"""The project file: all recipes together, and errors that name the key and the nearest known one."""

import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from geo_assets.errors import ConfigError
from geo_assets.model.ard import ArdRecipe
from geo_assets.model.chip_settings import ChipsRecipe
from geo_assets.model.collection import SensorRecipe
from geo_assets.model.compute import ComputeRecipe
from geo_assets.model.prediction import PredictionRecipe
from geo_assets.model.recipe import (
    AoiRecipe,
    CatalogRecipe,
    CubeRecipe,
    EmbeddingRecipe,
    GridRecipe,
    MaskRecipe,
    MonthsRecipe,
    Recipe,
    ReleaseRecipe,
    SafeName,
    StacRecipe,
    TablesRecipe,
)

Product = Literal[
    "cells", "scenes", "ard", "composite", "pyramid", "chips", "merged", "embeddings", "change", "prediction", "release", "stac"
]  # fmt: skip
# What this version makes, in the order of making
MADE: tuple[Product, ...] = ("cells", "scenes", "ard", "composite", "pyramid", "chips", "prediction")
# What each of them is made from
NEEDS: dict[Product, tuple[Product, ...]] = {
    "cells": (), "scenes": ("cells",), "ard": ("cells", "scenes"), "composite": ("cells", "scenes"), "pyramid": ("cells", "scenes", "composite"),
    "chips": ("cells", "scenes"), "prediction": ("cells", "scenes", "composite"),
}  # fmt: skip


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", value):
        raise ValueError(f"{str(value)[:80]!r} is not a name: use lower-case letters, digits and '-', at most 63")
    return value


def _aois(value: Any) -> Any:
    return {k: {"path": v} if isinstance(v, str) else v for k, v in value.items()} if isinstance(value, dict) else value


def _sensors(value: Any) -> Any:
    return [{"sensor": v} if isinstance(v, str) else v for v in value] if isinstance(value, list) else value


class Project(Recipe):
    """A project file: what is made, of which area and months, from where, and where it is kept."""

    name: Annotated[str, BeforeValidator(_name)] = Field(
        default="project", description="name of the project: lower-case letters, digits and '-'"
    )
    aois: Annotated[dict[SafeName, AoiRecipe], BeforeValidator(_aois)] = Field(
        default_factory=dict, description="areas of interest by name"
    )
    months: MonthsRecipe = Field(description="time span")
    catalog: CatalogRecipe = Field(default_factory=CatalogRecipe)
    sensors: Annotated[list[SensorRecipe], BeforeValidator(_sensors)] = Field(
        default_factory=lambda: [SensorRecipe(sensor="sentinel-2-l2a")]
    )
    grid: GridRecipe = Field(default_factory=GridRecipe)
    cube: CubeRecipe = Field(default_factory=CubeRecipe)
    mask: MaskRecipe = Field(default_factory=MaskRecipe)
    ard: ArdRecipe = Field(default_factory=ArdRecipe)
    chips: ChipsRecipe = Field(default_factory=ChipsRecipe)
    embeddings: list[EmbeddingRecipe] = Field(default_factory=list)
    prediction: PredictionRecipe | None = None
    release: ReleaseRecipe | None = None
    stac: StacRecipe = Field(default_factory=StacRecipe)
    tables: TablesRecipe = Field(default_factory=TablesRecipe)
    products: list[Product] = Field(
        default_factory=lambda: list[Product](["composite"]),
        min_length=1,
        description="what run makes, with all that it needs",
    )
    storage: str = Field(default="./data", description="path or URI of everything that is made")
    compute: ComputeRecipe = Field(default_factory=ComputeRecipe)

    @model_validator(mode="before")
    @classmethod
    def _cube_of_the_first(cls, data: Any) -> Any:
        """A cube that names no sensor is of Sentinel-2 where that is listed, else of the first one that is."""
        cube, listed = (data.get("cube", {}), data.get("sensors")) if isinstance(data, dict) else (None, None)
        if not isinstance(cube, dict) or "sensor" in cube or not isinstance(listed, list):
            return data
        names = [e.get("sensor", e.get("name")) if isinstance(e, dict) else e for e in listed]
        usual = CubeRecipe.model_fields["sensor"].default
        if not names or usual in names or not all(isinstance(name, str) for name in names):
            return data
        return {**data, "cube": {**cube, "sensor": names[0]}}

    @model_validator(mode="after")
    def _fits(self) -> "Project":
        names = [s.sensor for s in self.sensors]
        if self.cube.sensor not in names:
            raise ValueError(f"cube.sensor is {self.cube.sensor!r}, but sensors lists only {', '.join(names)}")
        if len(set(names)) != len(names):
            raise ValueError("a sensor is listed twice")
        for where, listed in (
            ("ard.sensors", self.ard.sensors), ("ard.bands", list(self.ard.bands)), ("chips.sensors", self.chips.sensors),
            ("chips.bands", list(self.chips.bands) if isinstance(self.chips.bands, dict) else []),
        ):  # fmt: skip
            for name in listed:
                if name not in names:
                    raise ValueError(f"{where} names {name!r}, but sensors lists only {', '.join(names)}")
        if "prediction" in self.products and self.prediction is None:
            raise ValueError(
                "products lists prediction, but nothing says of which model: add `prediction: {model: FILE}`"
            )
        if self.prediction is not None and self.prediction.source == "tiles" and self.ard.layout != "tiles":
            raise ValueError("prediction.source tiles reads yearly tiles: set ard.layout to tiles, or leave source out")
        return self

    def needs(self, product: Product) -> tuple[Product, ...]:
        """What a product is made from."""
        of_tiles = product == "prediction" and self.prediction is not None and self.prediction.source == "tiles"
        return NEEDS["ard"] + ("ard",) if of_tiles else NEEDS[product]

    def sensor(self, name: str) -> SensorRecipe:
        """The entry of a sensor.

        Raises:
            ConfigError: It is not listed.
        """
        for entry in self.sensors:
            if entry.sensor == name:
                return entry
        raise ConfigError(f"sensor {name!r} is not in the project; it has {', '.join(s.sensor for s in self.sensors)}")

    def catalog_of(self, name: str) -> CatalogRecipe:
        """Where a sensor's scenes are searched: its own catalog, or the project's.

        Raises:
            ConfigError: It is not listed.
        """
        return self.sensor(name).catalog or self.catalog


def parse_project(data: Any, source: str) -> Project:
    """The project of a parsed YAML document.

    Args:
        data: What the YAML parser returned.
        source: Name of the file, for messages.

    Raises:
        ConfigError: It does not validate; the text lists every fault, unknown keys with the nearest known one.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: a project file is a YAML mapping; write one with `geo-assets init`")
    try:
        return Project.model_validate(data)
    except ValidationError as e:
        lines = [_fault(error, data) for error in e.errors()]
        raise ConfigError(f"{source}: " + "; ".join(dict.fromkeys(lines))) from None


def _fault(error: Any, data: Any) -> str:
    where = [part for part in error["loc"] if not (isinstance(part, str) and part.startswith("function-"))]
    dotted = ".".join(str(p) for p in where)
    if error["type"] == "extra_forbidden":
        known = _known_keys(where[:-1])
        near = difflib.get_close_matches(str(where[-1]), known, n=1, cutoff=0.5)
        return f"unknown key {dotted!r}, " + (f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}")
    message = error["msg"].removeprefix("Value error, ")
    given = (
        ""
        if error["type"] in ("missing", "value_error") or isinstance(error.get("input"), dict)
        else f" (got {str(error.get('input'))[:60]!r})"
    )
    return f"{dotted or 'project'}: {message}{given}"


def _known_keys(where: Iterable[Any]) -> list[str]:
    model: Any = Project
    for part in where:
        if isinstance(part, int) or model is AoiRecipe:
            continue
        annotation = model.model_fields[part].annotation if part in getattr(model, "model_fields", {}) else None
        found = next((m for m in _models_in(annotation)), None)
        model = found or model
    return sorted(model.model_fields)


def _models_in(annotation: Any) -> Iterable[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)
