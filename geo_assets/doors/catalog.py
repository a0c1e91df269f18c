"""One small search, to see before work starts whether the catalog can be used."""

from typing import Any

import shapely

from geo_assets.errors import CatalogError
from geo_assets.model.collection import SensorRecipe
from geo_assets.model.plugin import Catalog
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.model.scene import SceneQuery
from geo_assets.project import LoadedProject
from geo_assets.registry import load, sensor_of
from geo_assets.tasks import areas
from geo_assets.tasks.search import STATIC_SPAN

_TIMEOUT_S, _DEADLINE_S = 10.0, 25.0


def in_files(loaded: LoadedProject, entry: SensorRecipe) -> bool:
    """Whether a sensor's catalog lies in files, which are searched at once, and not behind an API."""
    return loaded.project.catalog_of(entry.sensor).path is not None


def ask(loaded: LoadedProject, entry: SensorRecipe) -> list[dict[str, Any]]:
    """STAC items that a sensor has: over the whole area and time in a catalog in files, over a small part behind an API.

    Raises:
        CatalogError: The search failed.
        ConfigError: The catalog or the sensor's collections are wrong.
    """
    recipe, periods = loaded.project.catalog_of(entry.sensor), loaded.periods()
    area = shapely.union_all([a.geometry for a in areas.areas(loaded)])
    start, end = periods.at(0).start, periods.at(len(periods) - 1).end
    if not in_files(loaded, entry):
        area, end = area.representative_point().buffer(0.001), start
        limits = {"timeout_s": min(recipe.timeout_s, _TIMEOUT_S), "deadline_s": min(recipe.deadline_s, _DEADLINE_S)}
        recipe = recipe.model_copy(update={"retries": 0, **limits})
    facts, plugin = sensor_of(entry), _plugin(recipe)
    collections = tuple(entry.collections) or facts.collections_in(recipe.kind)
    if facts.static:
        start, end = STATIC_SPAN
    return plugin.search(recipe, SceneQuery(collections, area, start, end))


def _plugin(recipe: CatalogRecipe) -> Catalog:
    plugin: Catalog = load("catalogs", recipe.kind)
    return plugin


def refuse_unusable(loaded: LoadedProject) -> None:
    """Refuses a catalog that will give the same answer next time: no API, no such collection, no access.

    One that is down is not refused: the run asks it with patience, month by month, and says what failed.

    Raises:
        CatalogError: It refuses the search.
        ConfigError: Its address or the collections are wrong.
    """
    for entry in loaded.project.sensors:
        if in_files(loaded, entry):
            continue
        try:
            ask(loaded, entry)
        except CatalogError as e:
            if not e.retryable:
                raise
