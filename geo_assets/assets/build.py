"""All definitions of a project."""

import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from geo_assets.assets import cells, composite, plain, pyramid, scenes
from geo_assets.project import LoadedProject

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
    searches = [scenes.build(loaded, entry.sensor, periods) for entry in loaded.project.sensors]
    cube = [*searches, composite.build(loaded, periods)]
    levels = pyramid.build(loaded, periods)
    asked = [levels] if "pyramid" in loaded.project.products else []
    jobs = [
        dg.define_asset_job(
            "cells_job",
            selection=[cells_asset := cells.build(loaded)],
            description="Cut the areas into cells, by region.",
        ),
        dg.define_asset_job(
            "cube_job",
            selection=[*cube, *asked],
            description="Search scenes and make what the project asks for of the cube, by region and month.",
        ),
    ]
    return dg.Definitions(
        assets=[cells_asset, *cube, levels],
        jobs=jobs,
        executor=executor,
        resources={**plain.bind(loaded.project), **resources},
    )
