"""Asset ``chips``: windows of the cells that a region owns, cut from every scene of a month."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from geo_assets.assets.checks import PLAUSIBLE, plausible_chips
from geo_assets.assets.context import Workspace
from geo_assets.assets.figures import chip_metadata
from geo_assets.assets.partitions import cube_partitions, region_and_month
from geo_assets.assets.ports import Catalog, Compute, Store
from geo_assets.assets.strip import Made, run_strip_of_tasks
from geo_assets.assets.workers import Workers, refuse_failed
from geo_assets.model.period import Periods
from geo_assets.project import LoadedProject
from geo_assets.registry import sensor_of
from geo_assets.storage import DamagedError
from geo_assets.tasks import chips as task
from geo_assets.tasks.chip_partition import CODE, ChipPlan, chip_boxes, make_chips, plan_chips
from geo_assets.tasks.chip_recipe import PRODUCT, chip_sensors
from geo_assets.tasks.chip_table import read_rows
from geo_assets.tasks.heights import height_sensor
from geo_assets.tasks.search import product as scenes_product
from geo_assets.tasks.steps import Steps

_CHECKED = "Every scene that reaches a chip has its chips; no chip is there twice; shares lie between 0 and 1."


class ChipsConfig(dg.Config):
    """Options of one run."""

    overwrite: bool = False
    """Make everything again, also what is fresh."""


def build(loaded: LoadedProject, periods: Periods) -> dg.AssetsDefinition:
    """The asset for a project."""
    project, partitions = loaded.project, cube_partitions(periods)
    sensors = chip_sensors(project)
    models = [m.sensor for s in sensors if (m := height_sensor(project, sensor_of(project.sensor(s))))]
    searches = dict.fromkeys([*sensors, *models])

    @dg.asset(
        key=PRODUCT, group_name="chips", kinds={"zarr", "geoparquet", *({"iceberg"} & {project.tables.kind})}, owners=["team:geo-assets"],
        code_version=CODE, deps=[dg.AssetKey("cells"), *(dg.AssetKey(["scenes", name]) for name in searches)], partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec(PLAUSIBLE, asset=PRODUCT, description=_CHECKED, partitions_def=partitions)],
        description=f"Chips of {project.chips.size_px} pixels a side of every scene, with their quality: {', '.join(sensors)}.",
    )  # fmt: skip
    def chips(
        context: dg.AssetExecutionContext, config: ChipsConfig, storage: dg.ResourceParam[Store], catalog: dg.ResourceParam[Catalog],
        compute: dg.ResourceParam[Compute],
    ) -> Iterator[Any]:  # fmt: skip
        workspace = Workspace.of(loaded, storage=storage, catalog=catalog)
        workers = Workers(PRODUCT, context, workspace, compute)

        def made(key: str) -> Steps[Made]:
            region, month = region_and_month(key)
            return _made(workers, region, str(month), overwrite=config.overwrite)

        yield from run_strip_of_tasks(
            context, made, fn=task.run, mapper=workers.mapper, storage=workspace.storage, title=workspace.project.name, checks=[PLAUSIBLE],
            mixed=workers.remote,
        )  # fmt: skip

    return chips


def _made(workers: Workers, region: str, month: str, *, overwrite: bool) -> Steps[Made]:
    """The steps that make what a partition needs.

    Raises:
        SourceError: Scenes failed; the good ones are in the table.
    """
    workspace = workers.workspace
    plan = _plan(workers, region, month, overwrite=overwrite)
    receipt = plan.done
    if receipt is None:
        receipt = yield from make_chips(
            plan, workspace.project, storage=workspace.storage, run_id=workers.run_id, backend=workers.backend, expected_usd=workers.money.of_chips(plan),
        )  # fmt: skip
        workers.say(receipt, len(plan.todo), plan.reason, "scenes")
    refuse_failed(receipt, "scenes")
    table = read_rows(workspace.storage, region, month)
    skipped = "same scenes, cells, recipe and code" if plan.done else None
    metadata = chip_metadata(receipt, table, workspace.storage, skipped=skipped, dashboard=workers.dashboard)
    return Made(receipt.data_version, metadata, _inputs(workspace, region, month), [plausible_chips(receipt, table)])


def _plan(workers: Workers, region: str, month: str, *, overwrite: bool) -> ChipPlan:
    workspace = workers.workspace
    project = workspace.project
    previous, fault = None, ""
    try:
        previous = workspace.storage.read_receipt(PRODUCT, region, month)
    except DamagedError as e:
        fault = str(e)
        workers.warn(region, month, fault)
    facts = {name: sensor_of(project.sensor(name)) for name in chip_sensors(project)}
    return plan_chips(
        project, region=region, month=month, chips=chip_boxes(workspace.cells(region), region, project),
        tables={name: workspace.scenes(name, region, month) for name in facts}, previous=previous, overwrite=overwrite, fault=fault,
        heights={name: workspace.heights(sensor, region) for name, sensor in facts.items()},
    )  # fmt: skip


def _inputs(workspace: Workspace, region: str, month: str) -> dict[str, str]:
    """Data versions of what the partition was made from."""
    storage, project = workspace.storage, workspace.project
    found = {"cells": storage.sound_receipt("cells", region)}
    for name in chip_sensors(project):
        model = height_sensor(project, sensor_of(project.sensor(name)))
        for source in [name, *([model.sensor] if model else [])]:
            found[scenes_product(source)] = storage.sound_receipt(
                scenes_product(source), region, workspace.scenes_month(source, month)
            )
    return {k: r.data_version for k, r in found.items() if r}
