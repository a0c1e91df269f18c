"""This machine: threads, or with ``compute.isolation: process`` processes of their own."""

import contextlib
from collections.abc import Iterator, Sequence

from geo_assets.compute._driver import Adapter, Engine
from geo_assets.compute._processes import Processes
from geo_assets.compute._threads import Threads
from geo_assets.model.compute import Capabilities, ComputeRecipe
from geo_assets.model.cost import FREE, Estimate, Load, Price, estimate


class Local:
    """See ``model.compute.Compute``."""

    def capabilities(self, recipe: ComputeRecipe) -> Capabilities:
        """Those of threads or of processes."""
        return (Processes if recipe.isolation == "process" else Threads).capabilities

    def price(self, recipe: ComputeRecipe, region: str) -> Price:
        """Nothing: nobody is billed for this machine."""
        return FREE

    def estimate(self, recipe: ComputeRecipe, loads: Sequence[Load]) -> Estimate:
        """Time of some loads."""
        return estimate(loads, workers=recipe.workers, price=lambda _: FREE)

    @contextlib.contextmanager
    def connect(self, recipe: ComputeRecipe) -> Iterator[Engine]:
        """Workers start with the first tasks, and are kept until the end."""
        made: Threads | Processes
        if recipe.isolation == "process":
            made = Processes(recipe.workers, recipe.memory_mb)
        else:
            made = Threads(recipe.workers)
        adapter: Adapter = made
        try:
            yield Engine(adapter, recipe)
        finally:
            made.close()


PLUGIN = Local()
