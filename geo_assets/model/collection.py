"""Sensors in the project file: a plugin by its name, or a collection that no plugin knows, described with the same facts."""

import functools
import re
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from geo_assets.model.band import Band
from geo_assets.model.recipe import BIT_KINDS, NAME, TAKEN, CatalogRecipe, MaskRecipe, Recipe, check_bits
from geo_assets.model.same import same_scene
from geo_assets.model.sensor import Sensor

Dtype = Literal["uint8", "int16", "uint16", "int32", "float32"]
_MASK_BAND = "mask"  # name of the band of a described mask


def _text(value: Any) -> Any:
    return float(value) if isinstance(value, str) and value.strip().lower() in ("nan", "-nan") else value


class BandRecipe(Recipe):
    """One band of a described collection: ``value = DN * scale + offset``."""

    asset: str = Field(min_length=1, max_length=200, description="name of the item's asset")
    scale: float = Field(default=1.0, allow_inf_nan=False, description="value of one DN")
    offset: float = Field(default=0.0, allow_inf_nan=False, description="value of DN 0")
    nodata: Annotated[float | None, BeforeValidator(_text)] = Field(
        default=None,
        description="DN that means not observed, where the file does not say it; left out: 0, or NaN for float32",
    )
    dtype: Dtype = Field(
        default="uint16", description="type of the stored numbers; of unit class always uint8, which may be left out"
    )
    gsd_m: float = Field(default=10, gt=0, le=100_000, description="ground sampling distance in metres")
    unit: str = Field(default="1", max_length=40, description="unit of the value; class for categories")
    shown: list[float] = Field(
        default_factory=lambda: [0.0, 0.3],
        min_length=2,
        max_length=2,
        description="values that a picture shows black and white",
    )

    @model_validator(mode="before")
    @classmethod
    def _of_classes(cls, data: Any) -> Any:
        classes = isinstance(data, dict) and data.get("unit") == "class"
        return {"dtype": "uint8", **data} if classes else data

    @model_validator(mode="after")
    def _fits(self) -> "BandRecipe":
        if self.scale == 0:
            raise ValueError("scale is 0: every value would be the same")
        whole = self.dtype != "float32"
        if whole and self.nodata is not None and self.nodata != int(self.nodata):
            raise ValueError(f"nodata {self.nodata} is no {self.dtype}")
        if self.unit == "class" and self.dtype != "uint8":
            raise ValueError(f"a band of unit class has dtype uint8, not {self.dtype}: leave dtype out")
        if self.shown[0] >= self.shown[1]:
            raise ValueError("shown needs two values, the smaller one first")
        return self


class MaskFacts(Recipe):
    """The band of a described collection that tells clear pixels, and how it does."""

    asset: str = Field(min_length=1, max_length=200, description="name of the item's asset")
    keep: list[int] = Field(default_factory=list, description="classes that count as clear; or give bits")
    bits: list[int] = Field(default_factory=list, description="bits of which none may be set in a clear pixel")
    nodata: int | None = Field(
        default=None, ge=0, le=65_535, description="number that means not observed; left out: 0 for classes"
    )
    gsd_m: float = Field(default=10, gt=0, le=100_000, description="ground sampling distance in metres")
    dtype: Literal["uint8", "uint16"] | None = Field(
        default=None, description="type of the stored numbers; left out: uint8 for classes, uint16 for bits"
    )

    @field_validator("bits")
    @classmethod
    def _bits(cls, bits: list[int]) -> list[int]:
        return check_bits(bits)

    @model_validator(mode="after")
    def _one_rule(self) -> "MaskFacts":
        if bool(self.keep) == bool(self.bits):
            raise ValueError(
                "give either keep, the classes that are clear, or bits, of which none is set in a clear pixel"
            )
        if self.keep and (min(self.keep) < 1 or max(self.keep) > 255 or self.dtype == "uint16"):
            raise ValueError("classes lie between 1 and 255 and are uint8; 0 is nodata and is never clear")
        return self


class SensorRecipe(Recipe):
    """A sensor: a plugin and, where a catalog names them otherwise, its collections; or a collection that is described."""

    sensor: str = Field(description="sensor plugin; or, as name, what the collection described here is called")
    collections: list[str] = Field(
        default_factory=list, description="collection ids in this catalog; empty: those the sensor knows"
    )
    exclude: list[str] = Field(default_factory=list, description="ids of items that are not used, such as damaged ones")
    catalog: CatalogRecipe | None = Field(default=None, description="where its scenes are searched; left out: catalog")
    bands: dict[str, BandRecipe] = Field(
        default_factory=dict, description="bands of a collection that is described here, by the name that they get"
    )
    mask: MaskFacts | None = Field(default=None, description="what tells its clear pixels; left out: nothing does")
    static: bool = Field(
        default=False, description="whether it shows what has no date: every period has the same scenes"
    )
    cloud_cover: str | None = Field(
        default="eo:cloud_cover", description="property of its items with the cloud cover in percent"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "name" not in data:
            return data
        if "sensor" in data:
            raise ValueError(
                "give either sensor, a plugin, or name, with the bands of a collection that no plugin knows"
            )
        if not data.get("bands"):
            raise ValueError("a collection that is described needs bands, such as bands: {red: {asset: B4}}")
        if not data.get("collections"):
            raise ValueError("a collection that is described needs collections: its ids in the catalog")
        return {("sensor" if k == "name" else k): v for k, v in data.items()}

    @model_validator(mode="after")
    def _described(self) -> "SensorRecipe":
        if not self.described:
            given = [
                n for n in ("mask", "static", "cloud_cover") if getattr(self, n) != type(self).model_fields[n].default
            ]
            if given:
                raise ValueError(
                    f"{given[0]} is for a collection that is described here: call it by name, not by sensor"
                )
            return self
        if not re.fullmatch(NAME, self.sensor):
            raise ValueError(f"{self.sensor[:80]!r} is no name for it: use letters, digits, '_', '-' and '.'")
        for band in self.bands:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", band) or band in (*TAKEN, _MASK_BAND):
                taken = ", ".join((*TAKEN, _MASK_BAND))
                raise ValueError(
                    f"{band[:80]!r} is no name of a band: use letters, digits and '_', and none of {taken}"
                )
        return self

    @property
    def described(self) -> bool:
        """Whether the facts stand here, and not in a plugin."""
        return bool(self.bands)

    @property
    def facts(self) -> dict[str, Any]:
        """The description as plain values; empty for a plugin."""
        if not self.described:
            return {}
        return self.model_dump(mode="json", include={"bands", "mask", "static", "cloud_cover"})


def describe(entry: SensorRecipe) -> Sensor:
    """The sensor that an entry describes."""
    return _describe(entry.model_dump_json())


@functools.lru_cache(maxsize=64)
def _describe(text: str) -> Sensor:
    entry = SensorRecipe.model_validate_json(text)
    bands = {name: _band(name, facts) for name, facts in entry.bands.items()}
    mask, kinds = entry.mask, {}
    if mask is not None:
        kinds = {"bits" if mask.bits else "classes": _MASK_BAND}
        dtype = mask.dtype or ("uint16" if mask.bits else "uint8")
        nodata = mask.nodata if mask.nodata is not None or mask.bits else 0
        bands[_MASK_BAND] = Band(_MASK_BAND, (mask.asset,), mask.gsd_m, dtype=dtype, nodata=nodata, unit="class")
    assets = tuple(sorted({a for band in bands.values() for a in band.assets}))
    return Sensor(
        name=entry.sensor, title=entry.sensor, collections={"*": tuple(entry.collections)}, bands=bands, default_bands=tuple(entry.bands),
        mask_band=kinds, cloud_cover_field=entry.cloud_cover, static=entry.static,
        acquisition=functools.partial(same_scene, assets=assets, static=entry.static),
        mask_keep=tuple(mask.keep) if mask else (), mask_bits=tuple(mask.bits) if mask else (),
    )  # fmt: skip


def mask_for(mask: MaskRecipe, sensor: Sensor) -> MaskRecipe:
    """The project's mask as it is for one sensor: of another kind than the sensor has, it is the sensor's own.

    Args:
        mask: Of the project; ``none`` is none for every sensor.
        sensor: Whose scenes are masked.
    """
    if mask.is_function and _band_of_function(mask, sensor):
        return mask
    kind = mask.kind if mask.kind == "none" or mask.kind in sensor.mask_band else sensor.own_mask
    changed: dict[str, Any] = {"kind": kind}
    if kind == "classes" and "keep" not in mask.model_fields_set:
        changed["keep"] = list(sensor.mask_keep)
    if kind in BIT_KINDS:
        changed["bits"] = mask.bits or list(sensor.mask_bits)
    return mask.model_copy(update=changed)


def mask_band(sensor: Sensor, mask: MaskRecipe) -> Band | None:
    """The band that tells clear pixels, as classes; None where nothing does.

    Args:
        sensor: Whose scenes are masked.
        mask: Recipe of the mask, as it is for the sensor.
    """
    name = _band_of_function(mask, sensor) if mask.is_function else sensor.mask_band.get(mask.kind)
    if name is None:
        return None
    band = sensor.bands[name]
    return band if band.categorical else replace(band, unit="class")  # never interpolated


def _band_of_function(mask: MaskRecipe, sensor: Sensor) -> str | None:
    """Name of the band that a user's function judges; None of a sensor that does not have it."""
    if mask.band is not None:
        return mask.band if mask.band in sensor.bands else None
    return sensor.mask_band.get(sensor.own_mask)


def _band(name: str, facts: BandRecipe) -> Band:
    nodata = facts.nodata if facts.nodata is not None else float("nan") if facts.dtype == "float32" else 0
    return Band(
        name, (facts.asset,), facts.gsd_m, dtype=facts.dtype, scale=facts.scale, offset=facts.offset, nodata=nodata, unit=facts.unit,
        shown=(facts.shown[0], facts.shown[1]),
    )  # fmt: skip
