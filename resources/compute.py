"""Where tasks run."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import dagster as dg

from geo_assets.assets.plain import PlainCompute
from geo_assets.model.recipe import ComputeRecipe
from geo_assets.model.task import TaskResult


class ComputeResource(dg.ConfigurableResource, ComputeRecipe):  # type: ignore[type-arg]
    """Any compute plugin, by name, with its settings."""

    @classmethod
    def of(cls, recipe: ComputeRecipe, *, workers: int | None = None) -> "ComputeResource":
        """With the project file's settings, and the deployment's number of workers if it has one."""
        return cls(**recipe.model_dump() | ({"workers": workers} if workers else {}))

    def map(self, fn: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[TaskResult]:
        """Run a function on every task."""
        settings = ComputeRecipe(**{name: getattr(self, name) for name in ComputeRecipe.model_fields})
        return PlainCompute(settings).map(fn, tasks)
