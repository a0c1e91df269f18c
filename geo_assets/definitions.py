"""The code location: the project of ``GEO_ASSETS_PROJECT`` (or ``geo_assets.yaml`` here), bound to its resources.

In a repository with a ``resources`` package that package binds storage, catalog and compute for the deployment and says where
steps run; where there is none, as in a wheel, they come from the project file alone.
"""

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from geo_assets.assets.build import build_definitions
from geo_assets.project import DEFAULT_FILE, ENVIRONMENT, load_project

_MARK = "GEO_ASSETS_RESOURCES = True"  # stands in the package that a deployment of ours has


def _deployment() -> Any:
    """The ``resources`` package on the path, if it is one of ours; another is never run."""
    spec = importlib.util.find_spec("resources")
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        return None
    if _MARK not in Path(spec.origin).read_text(encoding="utf-8", errors="replace"):
        return None
    return importlib.import_module("resources")


project = load_project(os.environ.get(ENVIRONMENT) or DEFAULT_FILE)
if str(project.base) not in sys.path:
    # Last, so that nothing in it hides a module of ours; functions that the project names may lie beside its file
    sys.path.append(str(project.base))
_deployed = _deployment()
resources: dict[str, Any] = _deployed.bind(project.project) if _deployed else {}
defs = build_definitions(project, resources, executor=_deployed.executor(project.project) if _deployed else None)
storage_root: str = resources["storage"].storage().root if "storage" in resources else project.storage.root
