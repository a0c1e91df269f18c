"""Resources straight from the project file: what is bound where no ``resources`` package is."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import dagster as dg

from geo_assets.assets.live import News, Shared, shared, tell
from geo_assets.errors import ComputeError, ConfigError
from geo_assets.model import compute, plugin
from geo_assets.model.compute import ComputeRecipe
from geo_assets.model.plugin import Cube
from geo_assets.model.project import Project
from geo_assets.model.recipe import CatalogRecipe
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


class PlainCompute:
    """The project file's compute: started with the first tasks, ended by ``close``, or by the command that started the run."""

    def __init__(self, settings: ComputeRecipe) -> None:
        self._settings, self._open = settings, True
        others = shared()
        self._own, self._shared = others is None, others or Shared()
        self._engine: compute.Engine | None = None

    def recipe(self) -> ComputeRecipe:
        """Settings of the compute plugin."""
        return self._settings

    def spent_usd(self) -> float:
        """What all tries of tasks have cost up to now."""
        return self._shared.usd

    def dashboard(self) -> str:
        """Address of the backend's own page, or ""."""
        return self._engine.dashboard if self._engine else ""

    def map(self, fn: Callable[[Any], Any], tasks: Iterable[Any], *, told: bool = True) -> Iterator[TaskResult]:
        """Run a function on every task; unless ``told``, they are none of those that the run is about.

        Raises:
            GeoAssetsError: The backend cannot be started; it is tried once, since a strip asks for every partition.
            ConfigError: More than ``max_usd`` was spent; what ran is ended.
        """
        self._refuse_spent()
        if not self._open:
            raise ComputeError("the run has ended: nothing more can be run")
        self._engine = self._shared.engine(self._settings)
        return self._counted(self._engine, fn, tasks, tell if told else lambda _: None)

    def _counted(
        self, engine: compute.Engine, fn: Callable[[Any], Any], tasks: Iterable[Any], say: Callable[[News], None]
    ) -> Iterator[TaskResult]:
        def taken() -> Iterator[Any]:
            for task in tasks:
                if task is not compute.NOT_YET:
                    say(News(tasks=1, usd=self._shared.usd, dashboard=engine.dashboard))
                yield task

        cost: dict[int, float] = {}

        def count(result: TaskResult) -> None:
            self._shared.add(result.usd - cost.get(result.index, 0.0))
            cost[result.index] = result.usd
            say(News(result=result, usd=self._shared.usd))

        try:
            with contextlib.closing(engine.map(fn, taken(), on_event=count)) as results:  # type: ignore[type-var]
                for result in results:
                    yield result
                    self._refuse_spent()
        except ComputeError:
            self._shared.close()  # what failed may be the cluster itself: the next run has another one
            raise

    def _refuse_spent(self) -> None:
        most = self._settings.max_usd
        if most is not None and self._shared.usd > most:
            raise ConfigError(
                f"stopped: the run has cost ${self._shared.usd:.2f}, and compute.max_usd is {most:g}; what is committed stays, raise it to go on"
            )

    def close(self) -> None:
        """End what was started, unless other runs use it; nothing is started again."""
        self._open, self._engine = False, None
        if self._own:
            self._shared.close()


def plain_compute(settings: ComputeRecipe) -> dg.ResourceDefinition:
    """The project file's compute as a resource: what a run starts ends with it, however it ends."""

    @dg.resource(description="where tasks run, by the project file")
    def compute(_: dg.InitResourceContext) -> Iterator[PlainCompute]:
        with contextlib.closing(PlainCompute(settings)) as made:
            yield made

    return compute


def bind(project: Project) -> dict[str, Any]:
    """The three resources of a project."""
    return {
        "catalog": PlainCatalog(project.catalog),
        "storage": PlainStore(project.storage),
        "compute": plain_compute(project.compute),
    }
