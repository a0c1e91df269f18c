"""The code location: the project of ``GEO_ASSETS_PROJECT`` (or ``geo_assets.yaml`` here), bound to its resources.

In a repository with a ``resources`` package that package binds storage, catalog and compute for the deployment; where
there is none, as in a wheel, they come from the project file alone.
"""

import importlib
import importlib.util
import os
from typing import Any

from geo_assets.assets.build import build_definitions
from geo_assets.project import DEFAULT_FILE, ENVIRONMENT, LoadedProject, load_project


def _deployment(loaded: LoadedProject) -> dict[str, Any]:
    """Resources of the deployment, if the ``resources`` package on the path is one of ours."""
    if importlib.util.find_spec("resources") is None:
        return {}
    module = importlib.import_module("resources")
    if not getattr(module, "GEO_ASSETS_RESOURCES", False):
        return {}
    bound: dict[str, Any] = module.bind(loaded.project)
    return bound


project = load_project(os.environ.get(ENVIRONMENT) or DEFAULT_FILE)
resources = _deployment(project)
defs = build_definitions(project, resources)
storage_root: str = resources["storage"].storage().root if "storage" in resources else project.storage.root
