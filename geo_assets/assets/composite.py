"""Asset ``composite``: the clear-sky composite of a region and month, one commit a partition."""

import warnings
from collections.abc import Iterator
from typing import Any

import dagster as dg

from geo_assets.assets.checks import PLAUSIBLE, PLAUSIBLE_DESCRIPTION, plausible
from geo_assets.assets.context import Workspace
from geo_assets.assets.figures import composite_metadata
from geo_assets.assets.partitions import cube_partitions, split_key
from geo_assets.assets.ports import Catalog, Compute, Store
from geo_assets.assets.strip import Made, run_strip
from geo_assets.errors import SourceError
from geo_assets.model.period import Periods
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import LoadedProject
from geo_assets.tasks import composite as task
from geo_assets.tasks.layout import cube_id, ensure_layout, refuse_other_layout, refuse_other_store
from geo_assets.tasks.partition import PRODUCT, PartitionPlan, make_partition, plan_partition
from geo_assets.tasks.previous import read_previous
from geo_assets.tasks.search import product as scenes_product
from geo_assets.tasks.sweep import sweep_once


class CompositeConfig(dg.Config):
    """Options of one run."""

    overwrite: bool = False
    """Make everything again, also what is fresh."""


def build(loaded: LoadedProject, periods: Periods) -> dg.AssetsDefinition:
    """The asset for a project."""
    cube = loaded.project.cube
    sensor_key = dg.AssetKey(["scenes", cube.sensor])
    partitions = cube_partitions(periods)

    @dg.asset(
        name="composite", group_name="cube", kinds={"zarr", cube.store}, owners=["team:geo-assets"], code_version=task.CODE_VERSION,
        deps=[dg.AssetKey("cells"), sensor_key], partitions_def=partitions, backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec(PLAUSIBLE, asset="composite", description=PLAUSIBLE_DESCRIPTION, partitions_def=partitions)],
        description=f"Monthly {cube.statistic} of the clear solar days of {cube.sensor}: {', '.join(cube.bands)} and n_clear.",
    )  # fmt: skip
    def composite(
        context: dg.AssetExecutionContext, config: CompositeConfig, storage: dg.ResourceParam[Store], catalog: dg.ResourceParam[Catalog],
        compute: dg.ResourceParam[Compute],
    ) -> Iterator[Any]:  # fmt: skip
        maker = _Maker(
            context,
            Workspace.of(loaded, storage=storage, catalog=catalog),
            periods,
            storage,
            compute,
            overwrite=config.overwrite,
        )
        yield from run_strip(context, lambda key: maker.make(*split_key(key)), checks=[PLAUSIBLE])

    return composite


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
        self._context, self._workspace, self._periods, self._compute, self._overwrite = (
            context,
            workspace,
            periods,
            compute,
            overwrite,
        )
        self._cube = store.cube(workspace.project.cube.store)
        self._fits = False
        self._id: str | None = None
        self._ready: set[str] = set()

    def _plan(self, region: str, month: str) -> PartitionPlan:
        workspace = self._workspace
        project, grid = workspace.project, workspace.grid(region)
        known = read_previous(workspace.storage, PRODUCT, region, month, grid)
        if known.fault:
            message = f"composite {region} {month}: {known.fault}; everything of it is made again"
            self._context.log.warning(message)
            warnings.warn(message, stacklevel=1)
        return plan_partition(
            project, workspace.loaded.sensor, region=region, month=month, grid=grid, blocks=workspace.blocks(region),
            table=workspace.scenes(project.cube.sensor, region, month), previous=known.receipt,
            cube=self._id, overwrite=self._overwrite, fault=known.fault,
        )  # fmt: skip

    def make(self, region: str, month: str) -> Made:
        """Make what a partition needs.

        Raises:
            ConfigError: The stored cube has another layout.
            SourceError: Blocks failed; the good ones are committed.
        """
        workspace, log = self._workspace, self._context.log
        if not self._fits:
            refuse_other_store(workspace.project, workspace.storage)
            refuse_other_layout(self._cube, workspace.project, self._periods)
            sweep_once(workspace.storage)
            self._id = cube_id(self._cube)
            self._fits = True
        plan = self._plan(region, month)
        receipt = plan.done or self._made(plan)
        if any(todo.scenes for todo in plan.todo):  # a line in the run's log costs as much as an event
            log.info(f"composite {region} {month}: {receipt.status}, {len(plan.todo)} blocks ({plan.reason})")
        if receipt.failures:
            first = receipt.failures[0]
            raise SourceError(
                f"{region} {month}: {len(receipt.failures)} of {len(receipt.blocks)} blocks failed, the first is {first.row},{first.col}: {first.cause}"
            )
        skipped = "same scenes, recipe and code" if plan.done else None
        metadata = composite_metadata(receipt, workspace.storage, skipped=skipped)
        return Made(
            receipt.data_version, metadata, self._inputs(region, month), [plausible(receipt, workspace.blocks(region))]
        )

    def _made(self, plan: PartitionPlan) -> PartitionReceipt:
        workspace, sensor = self._workspace, self._workspace.loaded.sensor
        if plan.grid.group not in self._ready:
            ensure_layout(self._cube, workspace.project, sensor, plan.grid, self._periods)
            self._ready.add(plan.grid.group)
            self._id = cube_id(self._cube)
        return make_partition(
            plan, workspace.project, sensor, periods=self._periods, cube=self._cube, storage=workspace.storage,
            mapper=self._compute.map, run_id=self._context.run.run_id, held_in=self._id,
        )  # fmt: skip

    def _inputs(self, region: str, month: str) -> dict[str, str]:
        """Data versions of what the partition was made from."""
        storage, name = self._workspace.storage, scenes_product(self._workspace.project.cube.sensor)
        found = {"cells": storage.sound_receipt("cells", region), name: storage.sound_receipt(name, region, month)}
        return {k: r.data_version for k, r in found.items() if r}
