"""This machine: threads, or with ``compute.isolation: process`` processes of their own."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

from geo_assets.compute._call import Adapter
from geo_assets.compute._driver import Engine
from geo_assets.compute._processes import Processes
from geo_assets.compute._threads import Threads
from geo_assets.model.compute import Capabilities, ComputeRecipe
from geo_assets.model.cost import Estimate, Load, Price, estimate, hourly


class Local:
    """See ``model.compute.Compute``."""

    def capabilities(self, recipe: ComputeRecipe) -> Capabilities:
        """Those of threads or of processes."""
        kind = Processes if recipe.isolation == "process" else Threads
        return replace(kind.capabilities, paid=bool(recipe.usd_per_hour))

    def price(self, recipe: ComputeRecipe, region: str) -> Price:
        """A worker's hour as the settings say, such as its part of a rented machine's; else nothing."""
        return hourly(recipe.usd_per_hour)

    def estimate(self, recipe: ComputeRecipe, loads: Sequence[Load]) -> Estimate:
        """Time and money of some loads."""
        return estimate(loads, workers=recipe.workers, price=lambda _: self.price(recipe, ""))

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
            yield Engine(adapter, recipe, price=lambda region: self.price(recipe, region))
        finally:
            made.close()


PLUGIN = Local()
