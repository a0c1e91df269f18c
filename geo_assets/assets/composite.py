"""Asset ``composite``: the clear-sky composite of a region and month, one commit a partition."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from geo_assets.assets.checks import PLAUSIBLE, PLAUSIBLE_DESCRIPTION, plausible
from geo_assets.assets.context import Workspace
from geo_assets.assets.cube import CubeRun, make_or_find
from geo_assets.assets.figures import composite_metadata
from geo_assets.assets.partitions import cube_partitions, split_key
from geo_assets.assets.ports import Catalog, Compute, Store
from geo_assets.assets.strip import Made, run_strip_of_tasks
from geo_assets.assets.workers import refuse_failed
from geo_assets.model.period import Periods
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import LoadedProject
from geo_assets.tasks import composite as task
from geo_assets.tasks.heights import height_sensor
from geo_assets.tasks.layout import ensure_layout
from geo_assets.tasks.partition import PRODUCT, PartitionPlan, make_partition, plan_partition
from geo_assets.tasks.search import product as scenes_product
from geo_assets.tasks.steps import Steps


class CompositeConfig(dg.Config):
    """Options of one run."""

    overwrite: bool = False
    """Make everything again, also what is fresh."""


def build(loaded: LoadedProject, periods: Periods) -> dg.AssetsDefinition:
    """The asset for a project."""
    cube = loaded.project.cube
    searches = [dg.AssetKey(["scenes", name]) for name in _searched(loaded)]
    partitions = cube_partitions(periods)

    @dg.asset(
        name="composite", group_name="cube", kinds={"zarr", cube.store}, owners=["team:geo-assets"], code_version=task.CODE_VERSION,
        deps=[dg.AssetKey("cells"), *searches], partitions_def=partitions, backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec(PLAUSIBLE, asset="composite", description=PLAUSIBLE_DESCRIPTION, partitions_def=partitions)],
        description=f"Monthly {cube.statistic} of the clear solar days of {cube.sensor}: {', '.join(cube.bands)} and n_clear.",
    )  # fmt: skip
    def composite(
        context: dg.AssetExecutionContext, config: CompositeConfig, storage: dg.ResourceParam[Store], catalog: dg.ResourceParam[Catalog],
        compute: dg.ResourceParam[Compute],
    ) -> Iterator[Any]:  # fmt: skip
        workspace = Workspace.of(loaded, storage=storage, catalog=catalog)
        run = CubeRun(PRODUCT, context, workspace, periods, storage, compute, prepare=ensure_layout)
        yield from run_strip_of_tasks(
            context, lambda key: _made(run, *split_key(key), overwrite=config.overwrite), fn=task.run, mapper=run.mapper,
            storage=workspace.storage, title=workspace.project.name, checks=[PLAUSIBLE], mixed=run.remote,
        )  # fmt: skip

    return composite


def _searched(loaded: LoadedProject) -> list[str]:
    """Sensors whose scenes it is made from."""
    model = height_sensor(loaded.project, loaded.sensor)
    return [loaded.project.cube.sensor, *([model.sensor] if model else [])]


def _made(run: CubeRun, region: str, month: str, *, overwrite: bool) -> Steps[Made]:
    """The steps that make what a partition needs.

    Raises:
        ConfigError: The stored cube has another layout.
        SourceError: Blocks failed; the good ones are committed.
    """
    run.check()
    plan = _plan(run, region, month, overwrite=overwrite)
    plan, receipt = yield from make_or_find(
        plan, lambda p: _partition(run, p), lambda: _plan(run, region, month, overwrite=False)
    )
    if any(todo.scenes for todo in plan.todo):
        run.say(receipt, len(plan.todo), plan.reason)
    refuse_failed(receipt)
    workspace = run.workspace
    skipped = "same scenes, recipe and code" if plan.done else None
    metadata = composite_metadata(receipt, workspace.storage, skipped=skipped, dashboard=run.dashboard)
    checked = plausible(receipt, workspace.blocks(region), workspace.loaded.sensor)
    return Made(receipt.data_version, metadata, _inputs(workspace, region, month), [checked])


def _plan(run: CubeRun, region: str, month: str, *, overwrite: bool) -> PartitionPlan:
    workspace = run.workspace
    project, grid = workspace.project, workspace.grid(region)
    known = run.previous(region, month, grid)
    return plan_partition(
        project, workspace.loaded.sensor, region=region, month=month, grid=grid, blocks=workspace.blocks(region),
        table=workspace.scenes(project.cube.sensor, region, month), previous=known.receipt,
        cube=run.cube_id, overwrite=overwrite, fault=known.fault, heights=workspace.heights(workspace.loaded.sensor, region),
    )  # fmt: skip


def _partition(run: CubeRun, plan: PartitionPlan) -> Steps[PartitionReceipt]:
    expected = run.money.of_composite(plan)
    run.prepare(plan.grid)
    workspace = run.workspace
    return make_partition(
        plan, workspace.project, workspace.loaded.sensor, periods=run.periods, cube=run.cube, storage=workspace.storage,
        run_id=run.run_id, held_in=run.cube_id, backend=run.backend, expected_usd=expected,
    )  # fmt: skip


def _inputs(workspace: Workspace, region: str, month: str) -> dict[str, str]:
    """Data versions of what the partition was made from."""
    storage = workspace.storage
    found = {"cells": storage.sound_receipt("cells", region)}
    for sensor in _searched(workspace.loaded):
        name, of = scenes_product(sensor), workspace.scenes_month(sensor, month)
        found[name] = storage.sound_receipt(name, region, of)
    return {k: r.data_version for k, r in found.items() if r}
