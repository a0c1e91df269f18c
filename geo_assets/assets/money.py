"""What the tasks of a partition are expected to cost, before they are sent; nothing is asked where nobody is billed."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from geo_assets.assets.context import Workspace
from geo_assets.assets.live import shared
from geo_assets.assets.ports import Compute
from geo_assets.errors import ConfigError
from geo_assets.model.compute import Capabilities, ComputeRecipe
from geo_assets.model.compute import Compute as Backend
from geo_assets.model.cost import Load
from geo_assets.registry import load, sensor_of
from geo_assets.report.markup import plural
from geo_assets.tasks.ard_partition import ArdPlan
from geo_assets.tasks.ard_partition import product as ard_product
from geo_assets.tasks.chip_partition import ChipPlan
from geo_assets.tasks.chip_recipe import PRODUCT as CHIPS
from geo_assets.tasks.forecast import ArdForecast, ChipForecast, CompositeForecast, PredictionForecast, PyramidForecast
from geo_assets.tasks.pace import MOST, host
from geo_assets.tasks.partition import PRODUCT as COMPOSITE
from geo_assets.tasks.partition import PartitionPlan
from geo_assets.tasks.prediction_plan import PredictionPlan
from geo_assets.tasks.pyramid_partition import PRODUCT as PYRAMID
from geo_assets.tasks.pyramid_partition import PyramidPlan

F = TypeVar("F")
_STARTED = ""  # beside products' names, in what a command knows
Expected = dict[Any, float]  # by row and column of a block, or by the name of a layer


@dataclass
class Money:
    """Of one run of an asset.

    Attributes:
        workspace: The project.
        compute: Where its tasks run.
    """

    workspace: Workspace
    compute: Compute
    _known: dict[str, Any] = field(init=False)
    _sent_usd: float = field(default=0.0, init=False)
    _before_usd: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        """Note what others of the run have spent before; what is expected stays what it was when a command asked for it."""
        self._before_usd = self.compute.spent_usd()
        others = shared()
        self._known = others.known if others else {}

    @property
    def capabilities(self) -> Capabilities:
        """What may be expected of the backend."""
        return self._backend[2]

    def of_composite(self, plan: PartitionPlan) -> Expected:
        """USD by row and column of the blocks that are to be made.

        Raises:
            ConfigError: With them the run would cost more than ``compute.max_usd``, or nobody knows the price.
        """
        recipe, backend, can = self._backend
        if not can.paid or not plan.todo:
            return {}
        project, sensor = self.workspace.project, self.workspace.loaded.sensor
        forecast = self._forecast(COMPOSITE, functools.partial(CompositeForecast, project, sensor))
        todo = [t for t in plan.todo if t.scenes]  # the others have nothing to read
        loads = [forecast.load(t, plan.grid, forecast.bytes_of(t, plan.grid)) for t in todo]
        return self._refused([(t.plan.block.row, t.plan.block.col) for t in todo], loads, recipe, backend)

    def of_pyramid(self, plan: PyramidPlan) -> Expected:
        """USD by row and column of the blocks over which levels are to be made.

        Raises:
            ConfigError: With them the run would cost more than ``compute.max_usd``, or nobody knows the price.
        """
        recipe, backend, can = self._backend
        if not can.paid or not plan.todo:
            return {}
        forecast = self._forecast(PYRAMID, functools.partial(PyramidForecast, self.workspace.project))
        size, pace = plan.grid.chunk_px**2, forecast.pace
        todo = [t for t in plan.todo if t.source.days]
        loads = [pace.load(len(t.source.chunks) * size) for t in todo]
        return self._refused([(t.block.row, t.block.col) for t in todo], loads, recipe, backend)

    def of_prediction(self, plan: PredictionPlan) -> Expected:
        """USD by the tile, or row and column of the block, of which maps are to be made.

        Raises:
            ConfigError: With them the run would cost more than ``compute.max_usd``, or nobody knows the price.
        """
        recipe, backend, can = self._backend
        if not can.paid or not plan.todo:
            return {}
        forecast = self._forecast(plan.predictor.product, functools.partial(PredictionForecast, plan.predictor))
        loads = [forecast.pace.load(t.pixels) for t in plan.todo]
        return self._refused([t.place for t in plan.todo], loads, recipe, backend)

    def of_ard(self, plan: ArdPlan) -> Expected:
        """USD by the name of the layers that are to be made.

        Raises:
            ConfigError: With them the run would cost more than ``compute.max_usd``, or nobody knows the price.
        """
        recipe, backend, can = self._backend
        if not can.paid or not plan.todo:
            return {}
        project, sensor = self.workspace.project, sensor_of(self.workspace.project.sensor(plan.sensor))
        forecast = self._forecast(ard_product(plan.sensor), functools.partial(ArdForecast, project, sensor))
        loads = [forecast.pace.load(forecast.bytes_of(t.cells, len(t.scenes)), plan.sensor) for t in plan.todo]
        return self._refused([t.name for t in plan.todo], loads, recipe, backend)

    def of_chips(self, plan: ChipPlan) -> Expected:
        """USD by the name of the scenes of which chips are to be cut.

        Raises:
            ConfigError: With them the run would cost more than ``compute.max_usd``, or nobody knows the price.
        """
        recipe, backend, can = self._backend
        if not can.paid or not plan.todo:
            return {}
        forecast = self._forecast(CHIPS, functools.partial(ChipForecast, self.workspace.project))
        loads = [forecast.load(t.sensor, t.chips) for t in plan.todo]
        return self._refused([t.name for t in plan.todo], loads, recipe, backend)

    def _forecast(self, product: str, make: Callable[..., F]) -> F:
        """The product's forecast from what its stored receipts tell; read once a command."""
        if product not in self._known:
            recipe, _, can = self._backend
            receipts = self.workspace.storage.receipts(product, most=MOST)
            self._known[product] = make(receipts, host(recipe, can))
        known: F = self._known[product]
        return known

    @functools.cached_property
    def _backend(self) -> tuple[ComputeRecipe, Backend, Capabilities]:
        recipe = self.compute.recipe()
        backend: Backend = load("compute", recipe.backend)
        return recipe, backend, backend.capabilities(recipe)

    def _on_workers(self, loads: Sequence[Load], recipe: ComputeRecipe) -> list[Load]:
        """The loads as they come to workers that partitions of the command share: those that have started start no more."""
        started: Counter[str] = self._known.setdefault(_STARTED, Counter())
        found = []
        for one in loads:
            place = recipe.region_of(one.source)
            found.append(one if started[place] < recipe.workers else replace(one, start_s=0.0))
            started[place] += 1
        return found

    def _refused(
        self, names: Sequence[Any], loads: Sequence[Load], recipe: ComputeRecipe, backend: Backend
    ) -> Expected:
        loads = self._on_workers(loads, recipe)
        expected = {n: backend.estimate(recipe, [one]).usd for n, one in zip(names, loads, strict=True)}
        # What was sent may not be paid yet: tasks of several partitions are out at a time
        spent, more = max(self.compute.spent_usd(), self._before_usd + self._sent_usd), sum(expected.values())
        if recipe.max_usd is not None and spent + more > recipe.max_usd:
            raise ConfigError(
                f"refused: with {plural(len(names), 'task')} of this partition, expected at ${more:.4f}, the run would cost ${spent + more:.4f}, and compute.max_usd is {recipe.max_usd:g}; nothing of it was sent: raise max_usd, or run less at a time"
            )
        self._sent_usd += more
        return expected
