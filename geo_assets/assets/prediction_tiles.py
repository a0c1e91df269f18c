"""Assets ``prediction/<model>`` of yearly tiles: a trained model over the tiles that a region owns, year by year."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from geo_assets.assets.context import Workspace
from geo_assets.assets.figures import prediction_metadata
from geo_assets.assets.partitions import cube_partitions, split_key
from geo_assets.assets.ports import Compute, Store
from geo_assets.assets.strip import Made, run_strip_of_tasks
from geo_assets.assets.workers import Workers, refuse_failed
from geo_assets.model.period import Periods
from geo_assets.project import LoadedProject
from geo_assets.tasks import prediction as task
from geo_assets.tasks.ard_partition import product as ard_product
from geo_assets.tasks.prediction_partition import make_prediction
from geo_assets.tasks.prediction_plan import PredictionPlan, stored_maps
from geo_assets.tasks.prediction_tiles import plan_tiles, read_maps, read_tiles, tile_cells, tile_tasks
from geo_assets.tasks.predictor import Predictor
from geo_assets.tasks.steps import Steps


class TilePredictionConfig(dg.Config):
    """Options of one run."""

    overwrite: bool = False
    """Make everything again, also what is fresh."""
    cells: list[str] = Field(default_factory=list)
    """Only these tiles; empty: all."""


def build(loaded: LoadedProject, predictor: Predictor, periods: Periods) -> dg.AssetsDefinition:
    """The asset of a project's model that reads yearly tiles."""
    model, classes = predictor.model, ", ".join(c.name for c in predictor.model.classes)
    sources = [dg.AssetKey(ard_product(name).split("/")) for name in predictor.sensors.values()]

    @dg.asset(
        key=dg.AssetKey(predictor.product.split("/")), group_name="inference", kinds={"cog"}, owners=["team:geo-assets"],
        code_version=task.CODE_VERSION, deps=sources, partitions_def=cube_partitions(periods), backfill_policy=dg.BackfillPolicy.single_run(),
        description=f"{model.name} over every yearly tile, from twelve months of {', '.join(b.name for b in model.bands)}" + (f": {classes}." if classes else "."),
    )  # fmt: skip
    def prediction(
        context: dg.AssetExecutionContext, config: TilePredictionConfig, storage: dg.ResourceParam[Store], compute: dg.ResourceParam[Compute]
    ) -> Iterator[Any]:  # fmt: skip
        workspace = Workspace.of(loaded, storage=storage)
        run = _Run(predictor, context, workspace, periods, compute)
        yield from run_strip_of_tasks(
            context, lambda key: run.made(*split_key(key), config), fn=task.run, mapper=run.mapper, storage=workspace.storage,
            title=loaded.project.name, mixed=run.remote,
        )  # fmt: skip

    return prediction


class _Run(Workers):
    """One run of the asset."""

    def __init__(
        self, predictor: Predictor, context: dg.AssetExecutionContext, workspace: Workspace, periods: Periods, compute: Compute
    ) -> None:  # fmt: skip
        super().__init__(predictor.product, context, workspace, compute)
        self._predictor, self._periods = predictor, periods

    def made(self, region: str, month: str, config: TilePredictionConfig) -> Steps[Made]:
        """The steps that make what a partition needs.

        Raises:
            ConfigError: The model's file is not what its item says.
            PartitionError: Tiles were not made yet.
            SourceError: Maps failed; the good ones are stored.
        """
        plan = self._plan(region, month, config)
        storage, receipt = self.workspace.storage, plan.done
        if receipt is None:
            expected_usd = self.money.of_prediction(plan)
            tasks = tile_tasks(plan, self._periods, storage)
            receipt = yield from make_prediction(
                plan, tasks, storage=storage, run_id=self.run_id, backend=self.backend, expected_usd=expected_usd
            )
            self.say(receipt, len(plan.todo), plan.reason, "maps")
        refuse_failed(receipt, "maps")
        skipped = "same tiles, model and code" if plan.done else None
        metadata = prediction_metadata(receipt, storage, skipped=skipped, dashboard=self.dashboard)
        return Made(receipt.data_version, metadata, dict(plan.inputs))

    def _plan(self, region: str, month: str, config: TilePredictionConfig) -> PredictionPlan:
        workspace, predictor = self.workspace, self._predictor
        known = read_maps(workspace.storage, predictor, region, month)
        if known.fault:
            self.warn(region, month, known.fault)
        cells = tile_cells(workspace.cells(region), region, workspace.project)
        return plan_tiles(
            predictor, region=region, month=month, grid=workspace.grid(region), cells=cells, tiles=read_tiles(workspace.storage, predictor, region, month),
            previous=known.receipt, stored=stored_maps(workspace.storage, predictor, region, month, cells), overwrite=config.overwrite,
            only=frozenset(config.cells) if config.cells else None, fault=known.fault,
        )  # fmt: skip
