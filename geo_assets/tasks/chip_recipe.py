"""What the recipe says of the chips of one sensor."""

from typing import Any

from geo_assets.model.ard import PLACING, ArdRecipe
from geo_assets.model.band import RADAR
from geo_assets.model.chip_settings import bands_of, sensors_of
from geo_assets.model.collection import mask_for
from geo_assets.model.project import Project
from geo_assets.model.sensor import Sensor
from geo_assets.registry import sensor_of
from geo_assets.tasks import composite

PRODUCT = "chips"
ADVICE = "leave it out of chips.bands"


def chip_sensors(project: Project) -> list[str]:
    """Sensors of which chips are cut."""
    return sensors_of(project.chips, {entry.sensor: sensor_of(entry) for entry in project.sensors})


def chip_bands(project: Project, sensor: Sensor) -> tuple[str, ...]:
    """Bands of a sensor's chips."""
    return bands_of(project.chips, sensor)


def layer_recipe(project: Project) -> ArdRecipe:
    """How bands of chips are made: as those of analysis-ready layers, by the resampling of ``chips``."""
    return project.ard.model_copy(update={"resampling": project.chips.resampling, "layout": "scenes"})


def recipe_values(project: Project, sensor: Sensor) -> dict[str, Any]:
    """Settings that a sensor's chips depend on, by their names in the project file."""
    chips, ard, bands = project.chips, project.ard.model_dump(mode="json"), chip_bands(project, sensor)
    counted = [*(PLACING if not sensor.geocoded else ())]
    counted += ["backscatter"] if any(sensor.bands[name].quantity == RADAR for name in bands) else []
    said = {
        "chips.size_px": chips.size_px, "chips.resolution": chips.resolution or project.cube.resolution, "chips.resampling": chips.resampling,
        "chips.min_valid": chips.min_valid, f"chips.bands.{sensor.name}": list(bands), **{f"ard.{name}": ard[name] for name in counted},
        **{f"{sensor.name} mask.{k}": v for k, v in composite.pixel_mask(mask_for(project.mask, sensor)).items()},
    }  # fmt: skip
    facts = project.sensor(sensor.name).facts
    return said | ({f"sensors.{sensor.name}": facts} if facts else {})
