"""Chips: what is asked for, and whether it fits the project's sensors."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from geo_assets.errors import ConfigError
from geo_assets.model.recipe import Recipe, ResolutionText
from geo_assets.model.sensor import Sensor


class ChipsRecipe(Recipe):
    """Chips and their temporal merge."""

    sensors: list[str] = Field(
        default_factory=list, description="sensors; empty: all of the project whose scenes have a date"
    )
    size_px: int = Field(default=256, ge=8, le=4096, description="side of a chip in pixels")
    resolution: ResolutionText | None = Field(
        default=None, description="side of a pixel in units of the cube's CRS; left out: the cube's"
    )
    bands: list[str] | dict[str, list[str]] = Field(
        default_factory=list, description="bands of the only sensor, or by sensor; left out: the sensors' default bands"
    )
    resampling: Literal["nearest", "bilinear"] = Field(
        default="bilinear", description="onto the chip's pixels; classes are always the nearest"
    )
    min_valid: float = Field(
        default=0.5, ge=0, le=1, description="least share of observed pixels of a chip that is kept"
    )
    lookback_days: int = Field(
        default=90,
        ge=0,
        le=3660,
        description="how far back a gap may be filled from, of merged chips, which this version does not make",
    )
    merge: Literal["pixel", "chip"] = Field(
        default="pixel", description="what is filled: pixels, or whole chips; of merged chips alone"
    )
    fill_after: bool = Field(
        default=False, description="fill what is left from later observations; of merged chips alone"
    )
    format: Literal["zarr", "cog"] = Field(default="zarr", description="file format; cog is not made yet and refused")


def sensors_of(chips: ChipsRecipe, sensors: Mapping[str, Sensor]) -> list[str]:
    """Sensors of which chips are cut: those that are named, else all whose scenes have a date."""
    return list(chips.sensors) or [name for name, sensor in sensors.items() if not sensor.static]


def bands_of(chips: ChipsRecipe, sensor: Sensor) -> tuple[str, ...]:
    """Bands of a sensor's chips: those that are named, else the sensor's usual ones."""
    named = chips.bands.get(sensor.name, []) if isinstance(chips.bands, dict) else chips.bands
    return tuple(named or sensor.default_bands)


def check(chips: ChipsRecipe, sensors: Mapping[str, Sensor], where: str) -> None:
    """Refuses what chips cannot be cut of, or cannot be kept as.

    Args:
        chips: The settings.
        sensors: Of the project, by name.
        where: The project file, for messages.

    Raises:
        ConfigError: Says which setting.
    """
    names = sensors_of(chips, sensors)
    if chips.format != "zarr":
        raise ConfigError(f"{where}: chips.format {chips.format} is not made yet: use zarr")
    if not names:
        raise ConfigError(
            f"{where}: chips are cut of scenes that have a date, and no sensor of the project has such: list one under sensors"
        )
    if isinstance(chips.bands, list) and chips.bands and len(names) > 1:
        raise ConfigError(
            f"{where}: chips.bands is one list for {', '.join(names)}: write it by sensor, such as {{{names[0]}: [{chips.bands[0]}]}}"
        )
    for name in names:
        sensor = sensors[name]
        if sensor.static:
            raise ConfigError(
                f"{where}: chips.sensors: scenes of {name} have no date; its pixels on each cell are the product ard"
            )
        masks = {*sensor.mask_band.values()}
        usable = [band for band in sensor.bands if band not in masks]
        bands = bands_of(chips, sensor)
        if unknown := [band for band in bands if band not in usable]:
            raise ConfigError(f"{where}: chips.bands: {name} has no band {unknown[0]!r}; it has {', '.join(usable)}")
        if "clear" in bands:
            raise ConfigError(
                f"{where}: chips.bands: {name} has a band clear, which chips have of their own: give it another name"
            )
        if len({*bands}) != len(bands):
            raise ConfigError(f"{where}: chips.bands: a band of {name} is named twice")
