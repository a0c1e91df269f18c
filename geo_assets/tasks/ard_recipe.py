"""What the recipe says of one sensor's analysis-ready layers, and why a layer that is there is made again."""

from collections.abc import Mapping, Sequence
from typing import Any

from geo_assets.model.ard import ArdRecipe, ard_settings, ard_values
from geo_assets.model.band import RADAR
from geo_assets.model.collection import mask_for
from geo_assets.model.project import Project
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.model.scene import Scene
from geo_assets.model.sensor import Sensor
from geo_assets.tasks import ard, composite
from geo_assets.tasks.partition import changed
from geo_assets.tasks.tile import rules_read

Values = dict[str, Any]


def settings(project: Project, sensor: Sensor, bands: tuple[str, ...]) -> str:
    """Fingerprint of what ``ard`` says of a sensor's layers."""
    return ard_settings(project.ard, sensor.name, bands, **_counts(project, sensor, bands))


def recipe_values(project: Project, sensor: Sensor, bands: tuple[str, ...]) -> Values:
    """Settings that a sensor's layers depend on, by their names in the project file."""
    return _of_ard(project.ard, project, sensor, bands) | {
        f"ard.bands.{sensor.name}": list(bands),
        **{f"mask.{k}": v for k, v in composite.pixel_mask(mask_for(project.mask, sensor)).items()},
        **_flat(f"sensors.{sensor.name}", project.sensor(sensor.name).facts),
    }


def reason(
    previous: PartitionReceipt | None, had: BlockReceipt | None, scenes: Sequence[Scene], heights: Sequence[Scene],
    *, project: Project, sensor: Sensor, bands: tuple[str, ...], same: bool, overwrite: bool,
) -> str:  # fmt: skip
    """Why a layer is made.

    Args:
        previous: Receipt of its partition, if there is one.
        had: Its own receipt, if there is one.
        scenes: It is to be made from.
        heights: Scenes that heights of its ground are to come from.
        project: The recipes.
        sensor: Of the layer.
        bands: Of the layer.
        same: Whether it was made of the same scenes, by the same recipe and code.
        overwrite: Whether everything is made again.
    """
    if overwrite:
        return "overwrite"
    if previous is None:
        return "missing"
    if had is None:
        return "new scenes"
    if had.status == "failed":
        return f"failed: {had.cause}"
    if same:
        return "new cells"
    if previous.code_version != ard.CODE_VERSION:
        return f"code {previous.code_version} -> {ard.CODE_VERSION}"
    if "recipe" in previous.figures:
        # An option that came later was at its default
        before = _of_ard(ArdRecipe(), project, sensor, bands) | previous.figures["recipe"]
        now = recipe_values(project, sensor, bands)
        if before != now:
            return f"recipe changed: {changed(before, now)}"
    # A receipt may be older than its settings, or keep layers of an earlier recipe beside cells that were named
    return _other_scenes(had, scenes, heights) or "scenes or recipe changed"


def _other_scenes(had: BlockReceipt, scenes: Sequence[Scene], heights: Sequence[Scene]) -> str:
    parts = []
    for before, now, of in ((had.scene_ids, scenes, ""), (had.height_ids, heights, " of heights")):
        old, new = {*before}, {s.item_id for s in now}
        counts = ((len(new - old), "new"), (len(old - new), "withdrawn"))
        parts += [f"{n} {word} scene{'s' if n > 1 else ''}{of}" for n, word in counts if n]
    return ", ".join(parts)


def _counts(project: Project, sensor: Sensor, bands: tuple[str, ...]) -> dict[str, Any]:
    """Which settings count for a sensor."""
    known = {**sensor.bands, **sensor.derived}
    return {
        "rules": rules_read(sensor) if project.ard.layout == "tiles" else (),
        "placed": not sensor.geocoded,
        "radar": any(known[name].quantity == RADAR for name in bands),
    }


def _of_ard(recipe: ArdRecipe, project: Project, sensor: Sensor, bands: tuple[str, ...]) -> Values:
    return _flat("ard", ard_values(recipe, **_counts(project, sensor, bands)))


def _flat(name: str, values: Mapping[str, Any]) -> Values:
    """Values of nested mappings by their dotted names."""
    flat: Values = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(f"{name}.{key}", value)
        else:
            flat[f"{name}.{key}"] = "nan" if value != value else value  # JSON has no such number
    return flat
