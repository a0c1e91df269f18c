"""Asset ``pyramid``: the composite of a region and month in coarser pixels, one commit a partition."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from geo_assets.assets.context import Workspace
from geo_assets.assets.cube import CubeRun, make_or_find
from geo_assets.assets.figures import pyramid_metadata
from geo_assets.assets.partitions import cube_partitions, split_key
from geo_assets.assets.ports import Compute, Store
from geo_assets.assets.strip import Made, run_strip_of_tasks
from geo_assets.assets.workers import refuse_failed
from geo_assets.model.period import Periods
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import LoadedProject
from geo_assets.tasks import pyramid as task
from geo_assets.tasks.layout import ensure_levels
from geo_assets.tasks.partition import PRODUCT as COMPOSITE
from geo_assets.tasks.pyramid_partition import (
    PRODUCT,
    PyramidPlan,
    make_pyramid,
    plan_pyramid,
    read_composite,
)
from geo_assets.tasks.steps import Steps


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
        run = CubeRun(
            PRODUCT, context, Workspace.of(loaded, storage=storage), periods, storage, compute, prepare=ensure_levels
        )
        yield from run_strip_of_tasks(
            context, lambda key: _made(run, *split_key(key), overwrite=config.overwrite), fn=task.run, mapper=run.mapper,
            storage=run.workspace.storage, title=loaded.project.name, mixed=run.remote,
        )  # fmt: skip

    return pyramid


def _made(run: CubeRun, region: str, month: str, *, overwrite: bool) -> Steps[Made]:
    """The steps that make what a partition needs.

    Raises:
        ConfigError: The stored cube has another layout.
        PartitionError: There is no composite.
        SourceError: Blocks failed; the good ones are committed.
    """
    run.check()
    plan = _plan(run, region, month, overwrite=overwrite)
    plan, receipt = yield from make_or_find(
        plan, lambda p: _partition(run, p), lambda: _plan(run, region, month, overwrite=False)
    )
    if any(todo.source.days for todo in plan.todo):
        run.say(receipt, len(plan.todo), plan.reason)
    refuse_failed(receipt)
    skipped = "same composite and code" if plan.done else None
    metadata = pyramid_metadata(receipt, run.workspace.storage, skipped=skipped, dashboard=run.dashboard)
    return Made(receipt.data_version, metadata, {COMPOSITE: plan.composite.data_version})


def _plan(run: CubeRun, region: str, month: str, *, overwrite: bool) -> PyramidPlan:
    grid = run.workspace.grid(region)
    composite = read_composite(run.workspace.storage, region, month, grid, cube=run.cube_id)
    known = run.previous(region, month, grid)
    return plan_pyramid(composite, grid, known.receipt, overwrite=overwrite, fault=known.fault)


def _partition(run: CubeRun, plan: PyramidPlan) -> Steps[PartitionReceipt]:
    expected = run.money.of_pyramid(plan)
    run.prepare(plan.grid)
    workspace = run.workspace
    return make_pyramid(
        plan, workspace.project, workspace.loaded.sensor, periods=run.periods, cube=run.cube, storage=workspace.storage,
        run_id=run.run_id, backend=run.backend, expected_usd=expected,
    )  # fmt: skip
