"""Which layers there are of some scenes and cells, how each is called, and which cells it reaches."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import shapely

from geo_assets.model.ard import ArdRecipe
from geo_assets.model.cell import CellBox
from geo_assets.model.recipe import digest
from geo_assets.model.scene import Scene
from geo_assets.model.sensor import Sensor
from geo_assets.tasks.ard import MOSAIC
from geo_assets.tasks.composite import Footprints
from geo_assets.tasks.tile import view_area

C = TypeVar("C", bound=CellBox)
_REACH_DEG = 0.01  # footprints in catalogs are simplified; a scene may reach a little beyond its own
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,159}")


def layers_of(
    ard_recipe: ArdRecipe, sensor: Sensor, scenes: tuple[Scene, ...], cells: Sequence[CellBox]
) -> list[tuple[str, tuple[Scene, ...], tuple[CellBox, ...]]]:
    """Name, scenes and reached cells of each layer: one a scene, or one of all scenes where they have no date."""
    if ard_recipe.layout == "tiles":
        return [(cell.id, _around(cell, scenes, sensor), (cell,)) for cell in cells]
    if not sensor.static:
        return scene_layers(scenes, cells)
    if not scenes or not cells:
        return []
    anyhow: npt.NDArray[np.bool_] = np.any(_reached(scenes, cells), axis=0)
    reached = tuple(c for c, hit in zip(cells, anyhow, strict=True) if hit)
    return [(MOSAIC, scenes, reached)] if reached else []


def scene_layers(scenes: Sequence[Scene], cells: Sequence[C]) -> list[tuple[str, tuple[Scene, ...], tuple[C, ...]]]:
    """Name, scene and reached cells (or windows of cells) of each scene that reaches any."""
    if not scenes or not cells:
        return []
    counts = Counter(s.item_id for s in scenes)
    found: list[tuple[str, tuple[Scene, ...], tuple[C, ...]]] = []
    for scene, row in zip(scenes, _reached(scenes, cells), strict=True):
        reached = tuple(c for c, hit in zip(cells, row, strict=True) if hit)
        if reached:
            found.append((_name(scene, twice=counts[scene.item_id] > 1), (scene,), reached))
    return found


def _around(cell: CellBox, scenes: tuple[Scene, ...], sensor: Sensor) -> tuple[Scene, ...]:
    """Scenes that a yearly tile is chosen from; clouds are looked for around it."""
    if not scenes:
        return ()
    area = view_area(shapely.from_wkb(cell.outline)) if "scl" in sensor.mask_band else shapely.from_wkb(cell.outline)
    shapes = shapely.from_wkb([s.footprint for s in scenes])
    hits = shapely.intersects(shapes, shapely.buffer(area, _REACH_DEG))
    return tuple(s for s, hit in zip(scenes, hits, strict=True) if hit)


def _name(scene: Scene, *, twice: bool) -> str:
    """A scene's id where it can be the name of a file; two items of one id are told apart by their collections."""
    mark = digest([scene.collection, scene.item_id])[:8]
    if not _FILE_NAME.fullmatch(scene.item_id) or ".." in scene.item_id or scene.item_id == MOSAIC:
        return f"scene-{mark}"
    return f"{scene.item_id}-{mark}" if twice else scene.item_id


def _reached(scenes: Sequence[Scene], cells: Sequence[CellBox]) -> npt.NDArray[np.bool_]:
    """Whether a scene may have pixels in a cell, dims (scene, cell)."""
    footprints = Footprints(tuple(scenes), cells[0].box.crs)
    order = {id(s): i for i, s in enumerate(scenes)}
    hits = np.zeros((len(scenes), len(cells)), bool)
    for n, cell in enumerate(cells):
        for scene in footprints.reaching(cell.box):
            hits[order[id(scene)], n] = True
    return hits
