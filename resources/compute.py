"""Where tasks run."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from geo_assets.assets.plain import PlainCompute
from geo_assets.errors import ComputeError
from geo_assets.model.compute import ComputeRecipe
from geo_assets.model.task import TaskResult


class ComputeResource(dg.ConfigurableResource, ComputeRecipe):  # type: ignore[type-arg]
    """Any compute plugin, by name, with its settings."""

    @classmethod
    def of(cls, recipe: ComputeRecipe, *, workers: int | None = None) -> "ComputeResource":
        """With the project file's settings, and the deployment's number of workers if it has one."""
        return cls(**recipe.model_dump() | ({"workers": workers} if workers else {}))

    _made: PlainCompute | None = PrivateAttr(default=None)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Have what starts the backend, once there are tasks."""
        self._made = PlainCompute(self.recipe())

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """End what the run started, however it ends."""
        if self._made is not None:
            self._made.close()

    def recipe(self) -> ComputeRecipe:
        """Settings of the compute plugin."""
        return ComputeRecipe(**{name: getattr(self, name) for name in ComputeRecipe.model_fields})

    def dashboard(self) -> str:
        """Address of the backend's own page on what runs, or ""."""
        return self._made.dashboard() if self._made else ""

    def spent_usd(self) -> float:
        """What all tries of tasks have cost up to now."""
        return self._made.spent_usd() if self._made else 0.0

    def map(self, fn: Callable[[Any], Any], tasks: Iterable[Any], *, told: bool = True) -> Iterator[TaskResult]:
        """Run a function on every task; see ``assets.ports.Compute``.

        Raises:
            ComputeError: Outside of a run.
        """
        if self._made is None:
            raise ComputeError("the resource is not set up: it runs tasks within a Dagster run")
        return self._made.map(fn, tasks, told=told)
