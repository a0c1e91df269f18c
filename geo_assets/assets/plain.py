"""Resources straight from the project file: what is bound where no ``resources`` package is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from geo_assets.model import plugin
from geo_assets.model.plugin import Cube
from geo_assets.model.project import Project
from geo_assets.model.recipe import CatalogRecipe, ComputeRecipe
from geo_assets.model.task import TaskResult
from geo_assets.registry import load
from geo_assets.storage import Storage


@dataclass(frozen=True)
class PlainCatalog:
    """The project file's catalog."""

    settings: CatalogRecipe

    def recipe(self) -> CatalogRecipe:
        """Settings of the catalog plugin."""
        return self.settings


@dataclass(frozen=True)
class PlainStore:
    """The project file's storage."""

    root: str

    def storage(self) -> Storage:
        """Tables, receipts and pictures."""
        return Storage(self.root)

    def cube(self, kind: str) -> Cube:
        """The cube."""
        store: plugin.Store = load("stores", kind)
        return store.open(self.storage().uri("cube"))


@dataclass(frozen=True)
class PlainCompute:
    """The project file's compute."""

    settings: ComputeRecipe

    def map(self, fn: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[TaskResult]:
        """Run a function on every task."""
        backend: plugin.Compute = load("compute", self.settings.backend)
        return backend.map(fn, tasks, recipe=self.settings)


def bind(project: Project) -> dict[str, Any]:
    """The three resources of a project."""
    return {
        "catalog": PlainCatalog(project.catalog),
        "storage": PlainStore(project.storage),
        "compute": PlainCompute(project.compute),
    }
