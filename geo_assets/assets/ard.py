"""Assets ``ard/<sensor>``: analysis-ready scenes on the grids of the cells that a region owns."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from geo_assets.assets.checks import PLAUSIBLE, plausible_layers
from geo_assets.assets.context import Workspace
from geo_assets.assets.figures import ard_metadata
from geo_assets.assets.partitions import REGIONS, cube_partitions, region_and_month
from geo_assets.assets.ports import Catalog, Compute, Store
from geo_assets.assets.strip import Made, run_strip_of_tasks
from geo_assets.assets.workers import Workers, refuse_failed
from geo_assets.model.ard import by_region
from geo_assets.model.period import Periods
from geo_assets.project import LoadedProject
from geo_assets.registry import sensor_of
from geo_assets.report.radar_tile import quality_page
from geo_assets.storage import DamagedError
from geo_assets.tasks import ard as task
from geo_assets.tasks.ard_partition import ArdPlan, ard_bands, ard_boxes, make_ard, plan_ard, product
from geo_assets.tasks.ard_table import read_layers
from geo_assets.tasks.search import product as scenes_product
from geo_assets.tasks.steps import Steps

_CHECKED = "Values of every band lie in the range of what they measure; something is observed if there are scenes."


class ArdConfig(dg.Config):
    """Options of one run."""

    overwrite: bool = False
    """Make everything again, also what is fresh."""
    cells: list[str] = Field(default_factory=list)
    """Only these cells; empty: all."""


def build(loaded: LoadedProject, sensor: str, periods: Periods) -> dg.AssetsDefinition:
    """The asset of a sensor for a project; of one whose scenes have no date a partition is a region."""
    facts = sensor_of(loaded.project.sensor(sensor))
    of_region = by_region(loaded.project.ard, static=facts.static)
    partitions = REGIONS if of_region else cube_partitions(periods)
    name = product(sensor)
    key = dg.AssetKey(name.split("/"))
    bands = ", ".join(ard_bands(loaded.project, facts))

    @dg.asset(
        key=key, group_name="ard", kinds={loaded.project.ard.format.replace("both", "cog"), "geoparquet"}, owners=["team:geo-assets"],
        code_version=task.CODE_VERSION, deps=[dg.AssetKey("cells"), dg.AssetKey(["scenes", sensor])], partitions_def=partitions,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec(PLAUSIBLE, asset=key, description=_CHECKED, partitions_def=partitions)],
        description=f"Scenes of {facts.title}, masked, harmonised and aligned to the cells' pixels: {bands}.",
    )  # fmt: skip
    def ard(
        context: dg.AssetExecutionContext, config: ArdConfig, storage: dg.ResourceParam[Store], catalog: dg.ResourceParam[Catalog],
        compute: dg.ResourceParam[Compute],
    ) -> Iterator[Any]:  # fmt: skip
        workspace = Workspace.of(loaded, storage=storage, catalog=catalog)
        workers = Workers(name, context, workspace, compute)
        yield from run_strip_of_tasks(
            context, lambda key: _made(workers, sensor, *region_and_month(key), config), fn=task.run, mapper=workers.mapper,
            storage=workspace.storage, title=workspace.project.name, checks=[PLAUSIBLE], mixed=workers.remote,
        )  # fmt: skip

    return ard


def _made(workers: Workers, sensor: str, region: str, month: str | None, config: ArdConfig) -> Steps[Made]:
    """The steps that make what a partition needs.

    Raises:
        SourceError: Layers failed; the good ones are in the table.
    """
    workspace = workers.workspace
    plan = _plan(workers, sensor, region, month, config)
    receipt = plan.done
    if receipt is None:
        receipt = yield from make_ard(
            plan, workspace.project, storage=workspace.storage, run_id=workers.run_id, backend=workers.backend,
            expected_usd=workers.money.of_ard(plan), page=quality_page,
        )  # fmt: skip
        workers.say(receipt, len(plan.todo), plan.reason, "layers")
    refuse_failed(receipt, "layers")
    table = read_layers(workspace.storage, sensor, region, month)
    skipped = "same scenes, cells, recipe and code" if plan.done else None
    facts = sensor_of(workspace.project.sensor(sensor))
    metadata = ard_metadata(receipt, table, workspace.storage, facts, skipped=skipped, dashboard=workers.dashboard)
    return Made(
        receipt.data_version,
        metadata,
        _inputs(workspace, sensor, region, month),
        [plausible_layers(receipt, table, facts)],
    )


def _plan(workers: Workers, sensor: str, region: str, month: str | None, config: ArdConfig) -> ArdPlan:
    workspace = workers.workspace
    project, storage = workspace.project, workspace.storage
    previous, fault = None, ""
    try:
        previous = storage.read_receipt(product(sensor), region, month)
    except DamagedError as e:
        fault = str(e)
        workers.warn(region, month, fault)
    return plan_ard(
        project, sensor_of(project.sensor(sensor)), region=region, month=month, cells=ard_boxes(workspace.cells(region), region, project),
        table=workspace.scenes(sensor, region, month), previous=previous, overwrite=config.overwrite,
        only=frozenset(config.cells) if config.cells else None, fault=fault,
    )  # fmt: skip


def _inputs(workspace: Workspace, sensor: str, region: str, month: str | None) -> dict[str, str]:
    """Data versions of what the partition was made from."""
    storage, name = workspace.storage, scenes_product(sensor)
    of = workspace.scenes_month(sensor, month)
    found = {"cells": storage.sound_receipt("cells", region), name: storage.sound_receipt(name, region, of)}
    return {k: r.data_version for k, r in found.items() if r}
