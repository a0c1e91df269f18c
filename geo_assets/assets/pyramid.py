"""Asset ``pyramid``: the composite of a region and month in coarser pixels, one commit a partition."""

import warnings
from collections.abc import Iterator
from typing import Any

import dagster as dg

from geo_assets.assets.context import Workspace
from geo_assets.assets.figures import pyramid_metadata
from geo_assets.assets.partitions import cube_partitions, split_key
from geo_assets.assets.ports import Compute, Store
from geo_assets.assets.strip import Made, run_strip
from geo_assets.errors import SourceError
from geo_assets.model.period import Periods
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import LoadedProject
from geo_assets.tasks import pyramid as task
from geo_assets.tasks.layout import cube_id, ensure_levels, refuse_other_layout, refuse_other_store
from geo_assets.tasks.partition import PRODUCT as COMPOSITE
from geo_assets.tasks.previous import read_previous
from geo_assets.tasks.pyramid_partition import (
    PRODUCT,
    PyramidPlan,
    make_pyramid,
    plan_pyramid,
    read_composite,
)


class PyramidConfig(dg.Config):
    """Options of one run."""

    overwrite: bool = False
    """Make everything again, also what is fresh."""


def build(loaded: LoadedProject, periods: Periods) -> dg.AssetsDefinition:
    """The asset for a project."""

    @dg.asset(
        name=PRODUCT, group_name="cube", kinds={"zarr", loaded.project.cube.store}, owners=["team:geo-assets"], code_version=task.CODE_VERSION,
        deps=[dg.AssetKey(COMPOSITE)], partitions_def=cube_partitions(periods), backfill_policy=dg.BackfillPolicy.single_run(),
        description="The composite in pixels 2, 4, 8, ... times as wide: means of what was observed, for maps and quick looks.",
    )  # fmt: skip
    def pyramid(
        context: dg.AssetExecutionContext, config: PyramidConfig, storage: dg.ResourceParam[Store], compute: dg.ResourceParam[Compute]
    ) -> Iterator[Any]:  # fmt: skip
        maker = _Maker(
            context, Workspace.of(loaded, storage=storage), periods, storage, compute, overwrite=config.overwrite
        )
        yield from run_strip(context, lambda key: maker.make(*split_key(key)))

    return pyramid


class _Maker:
    """Partitions of one run."""

    def __init__(
        self,
        context: dg.AssetExecutionContext,
        workspace: Workspace,
        periods: Periods,
        store: Store,
        compute: Compute,
        *,
        overwrite: bool,
    ) -> None:
        self._context, self._workspace, self._periods = context, workspace, periods
        self._compute, self._overwrite = compute, overwrite
        self._cube = store.cube(workspace.project.cube.store)
        self._fits = False
        self._id: str | None = None
        self._ready: set[str] = set()

    def _plan(self, region: str, month: str) -> PyramidPlan:
        storage, grid = self._workspace.storage, self._workspace.grid(region)
        composite = read_composite(storage, region, month, grid, cube=self._id)
        known = read_previous(storage, PRODUCT, region, month, grid)
        if known.fault:
            message = f"{PRODUCT} {region} {month}: {known.fault}; everything of it is made again"
            self._context.log.warning(message)
            warnings.warn(message, stacklevel=1)
        return plan_pyramid(composite, grid, known.receipt, overwrite=self._overwrite, fault=known.fault)

    def make(self, region: str, month: str) -> Made:
        """Make what a partition needs.

        Raises:
            ConfigError: The stored cube has another layout.
            PartitionError: There is no composite.
            SourceError: Blocks failed; the good ones are committed.
        """
        workspace = self._workspace
        if not self._fits:
            refuse_other_store(workspace.project, workspace.storage)
            refuse_other_layout(self._cube, workspace.project, self._periods)
            self._id = cube_id(self._cube)
            self._fits = True
        plan = self._plan(region, month)
        receipt = plan.done or self._made(plan)
        if any(todo.source.days for todo in plan.todo):  # a line in the run's log costs as much as an event
            self._context.log.info(
                f"{PRODUCT} {region} {month}: {receipt.status}, {len(plan.todo)} blocks ({plan.reason})"
            )
        if receipt.failures:
            first = receipt.failures[0]
            raise SourceError(
                f"{region} {month}: {len(receipt.failures)} of {len(receipt.blocks)} blocks failed, the first is {first.row},{first.col}: {first.cause}"
            )
        metadata = pyramid_metadata(
            receipt, workspace.storage, skipped="same composite and code" if plan.done else None
        )
        return Made(receipt.data_version, metadata, {COMPOSITE: plan.composite.data_version})

    def _made(self, plan: PyramidPlan) -> PartitionReceipt:
        project, sensor = self._workspace.project, self._workspace.loaded.sensor
        if plan.grid.group not in self._ready:
            ensure_levels(self._cube, project, sensor, plan.grid, self._periods)
            self._ready.add(plan.grid.group)
        return make_pyramid(
            plan, project, sensor, periods=self._periods, cube=self._cube, storage=self._workspace.storage,
            mapper=self._compute.map, run_id=self._context.run.run_id,
        )  # fmt: skip
