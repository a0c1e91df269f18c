"""What the assets in the cube share while they run: the cube is checked once, and each group's arrays are prepared once."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import dagster as dg

from geo_assets.assets.context import Workspace
from geo_assets.assets.ports import Compute, Store
from geo_assets.assets.workers import Workers
from geo_assets.errors import ConflictError
from geo_assets.model.geometry import PixelGrid
from geo_assets.model.period import Periods
from geo_assets.model.plugin import Cube
from geo_assets.model.project import Project
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.model.sensor import Sensor
from geo_assets.tasks.layout import cube_id, refuse_other_layout, refuse_other_store
from geo_assets.tasks.previous import Previous, read_previous
from geo_assets.tasks.steps import Steps
from geo_assets.tasks.sweep import sweep_once

_LOOKS, _LOOK_S = 20, 0.25
Prepare = Callable[[Cube, Project, Sensor, PixelGrid, Periods], None]


class Plan(Protocol):
    """What a partition needs."""

    @property
    def done(self) -> PartitionReceipt | None:
        """The receipt that is there, if it says what is wanted."""
        ...


P = TypeVar("P", bound=Plan)


class CubeRun(Workers):
    """One run of an asset in the cube.

    Args:
        product: The asset's product.
        context: Of the run.
        workspace: The project.
        periods: Its periods.
        store: Has the cube.
        compute: Where tasks run.
        prepare: Makes the arrays of a group, and leaves those that are there.

    Attributes:
        periods: Its periods.
        cube: The cube.
        cube_id: What tells it from one made anew; None where there is none.
    """

    def __init__(
        self, product: str, context: dg.AssetExecutionContext, workspace: Workspace, periods: Periods, store: Store, compute: Compute, *, prepare: Prepare
    ) -> None:  # fmt: skip
        super().__init__(product, context, workspace, compute)
        self._prepare, self.periods = prepare, periods
        self.cube = store.cube(workspace.project.cube.store)
        self.cube_id: str | None = None
        self._fits = False
        self._ready: set[str] = set()

    def check(self) -> None:
        """Look at the cube, once.

        Raises:
            ConfigError: The stored cube has another layout, or is of another store.
        """
        if self._fits:
            return
        refuse_other_store(self.workspace.project, self.workspace.storage)
        refuse_other_layout(self.cube, self.workspace.project, self.periods)
        sweep_once(self.workspace.storage)
        self.cube_id = cube_id(self.cube)
        self._fits = True

    def previous(self, region: str, month: str, grid: PixelGrid) -> Previous:
        """What is known of a partition; a receipt that cannot be used is said."""
        known = read_previous(self.workspace.storage, self._product, region, month, grid)
        if known.fault:
            self.warn(region, month, known.fault)
        return known

    def prepare(self, grid: PixelGrid) -> None:
        """Have the arrays of a group.

        Raises:
            ConfigError: The stored cube does not fit.
        """
        if grid.group not in self._ready:
            self._prepare(self.cube, self.workspace.project, self.workspace.loaded.sensor, grid, self.periods)
            self._ready.add(grid.group)
            self.cube_id = cube_id(self.cube)


def make_or_find(
    plan: P, make: Callable[[P], Steps[PartitionReceipt]], look: Callable[[], P]
) -> Steps[tuple[P, PartitionReceipt]]:
    """The steps that make what a plan lists; where another run committed it first, take what that one made, if it is what is wanted.

    Args:
        plan: What to make.
        make: Makes it.
        look: Plans anew.

    Returns:
        The plan that holds in the end, and the receipt.
    """
    try:
        return plan, plan.done or (yield from make(plan))
    except ConflictError:
        for _ in range(_LOOKS):  # it writes its receipt a moment after its commit
            if (done := (now := look()).done) is not None:
                return now, done
            time.sleep(_LOOK_S)
        raise
