"""Dagster resources for this repository's deployments. Not installed: a project that installs the wheel writes its own."""

from typing import Any

import dagster as dg

from geo_assets.errors import ConfigError
from geo_assets.model.project import Project
from resources.catalog import CatalogResource
from resources.compute import ComputeResource
from resources.deployments import STEPS_ON, deployment
from resources.storage import StorageResource

GEO_ASSETS_RESOURCES = True  # tells geo_assets.definitions that this package is ours


def bind(project: Project) -> dict[str, Any]:
    """The three resources of a project in the deployment that the environment names.

    Raises:
        ConfigError: The deployment is unknown or its settings do not validate.
    """
    settings = deployment()
    return {
        "catalog": CatalogResource.of(project.catalog),
        "storage": StorageResource(root=settings.storage_root or project.storage),
        "compute": ComputeResource.of(project.compute, workers=settings.workers),
    }


def executor(project: Project) -> dg.ExecutorDefinition | None:
    """What runs whole steps elsewhere, if the environment names a scheduler for them; None leaves them to their run.

    Raises:
        ConfigError: The address is wrong, or the tasks would run on the same cluster.
    """
    address = deployment().steps_on
    if address is None:
        return None
    from geo_assets.assets.dask_executor import dask_executor

    try:
        return dask_executor(address, project.compute)
    except ConfigError as e:
        raise ConfigError(f"{STEPS_ON}: {e}") from e
