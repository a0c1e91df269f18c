"""All definitions of a project."""

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from geo_assets.assets import ard, cells, chips, composite, plain, prediction, prediction_tiles, pyramid, scenes
from geo_assets.model.ard import by_region
from geo_assets.model.function import load_function
from geo_assets.project import LoadedProject
from geo_assets.registry import sensor_of
from geo_assets.tasks.ard_partition import ard_sensors
from geo_assets.tasks.chip_recipe import chip_sensors
from geo_assets.tasks.predictor import Predictor

EXECUTOR = dg.in_process_executor.configured(
    # Months whose scenes are known are composited even if the search of another month of the strip failed
    {"step_dependency_config": {"require_upstream_step_success": False}}
)


def build_definitions(
    loaded: LoadedProject,
    resources: Mapping[str, Any] | None = None,
    *,
    executor: dg.ExecutorDefinition | None = None,
) -> dg.Definitions:
    """Assets, jobs and resources of a project.

    Args:
        loaded: The project.
        resources: ``catalog``, ``storage`` and ``compute`` (see ``ports``); those left out come from the project file.
        executor: Where steps run; by default in the process of their run.

    Raises:
        ConfigError: The project does not fit the version.
    """
    with warnings.catch_warnings():
        # Range runs and checks by partition are what this is built on; their state is pinned with Dagster's version
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return _definitions(loaded, resources or {}, executor or EXECUTOR)


def _definitions(
    loaded: LoadedProject, resources: Mapping[str, Any], executor: dg.ExecutorDefinition
) -> dg.Definitions:
    periods = loaded.periods()
    if loaded.project.mask.is_function:  # now that the project's folder is where modules are looked for
        load_function(loaded.project.mask.kind, f"{loaded.file}: mask.kind")
    static = {e.sensor for e in loaded.project.sensors if sensor_of(e).static}
    undated = {name for name in static if by_region(loaded.project.ard, static=True)}
    searches = {e.sensor: scenes.build(loaded, e.sensor, periods) for e in loaded.project.sensors}
    ready = {name: ard.build(loaded, name, periods) for name in ard_sensors(loaded.project)}
    made, levels = composite.build(loaded, periods), pyramid.build(loaded, periods)
    predictor = Predictor.of(loaded.project, periods)
    build_maps = prediction_tiles.build if predictor and predictor.of_tiles else prediction.build
    maps = [build_maps(loaded, predictor, periods)] if predictor and predictor.series else []
    wanted = {*loaded.project.products, *(n for p in loaded.project.products for n in loaded.project.needs(p))}
    by_month = [asset for name, asset in searches.items() if name not in static]
    by_month += [asset for name, asset in ready.items() if name not in undated] if "ard" in wanted else []
    by_month += [made] if "composite" in wanted else []
    by_month += [levels] if "pyramid" in wanted else []
    cut = [chips.build(loaded, periods)] if chip_sensors(loaded.project) else []
    by_month += cut if "chips" in wanted else []
    of_region = [asset for name, asset in searches.items() if name in static]
    of_region += [asset for name, asset in ready.items() if name in undated] if "ard" in wanted else []
    jobs = [
        dg.define_asset_job(
            "cells_job",
            selection=[cells_asset := cells.build(loaded)],
            description="Cut the areas into cells, by region.",
        ),
        dg.define_asset_job(
            "cube_job",
            selection=by_month,
            description="Search scenes and make what the project asks for, by region and month.",
        ),
    ]
    if of_region:
        text = "Search the scenes that have no date, such as terrain, and make what the project asks for of them, by region."
        jobs.append(dg.define_asset_job("static_job", selection=of_region, description=text))
    if maps and "prediction" in wanted:
        text = "Run the project's model over its cells, by region and by the month that the model's series ends with."
        jobs.append(dg.define_asset_job("prediction_job", selection=maps, description=text))
    return dg.Definitions(
        assets=[cells_asset, *searches.values(), *ready.values(), made, levels, *cut, *maps],
        jobs=jobs,
        executor=executor,
        resources={**plain.bind(loaded.project), **resources},
    )
