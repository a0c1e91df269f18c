"""Assets ``prediction/<model>``: a trained model over the cells that a region owns, from the composites of several months."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from geo_assets.assets.context import Workspace
from geo_assets.assets.figures import prediction_metadata
from geo_assets.assets.partitions import month_partitions, reads_months, split_key
from geo_assets.assets.ports import Compute, Store
from geo_assets.assets.strip import Made, run_strip_of_tasks
from geo_assets.assets.workers import Workers, refuse_failed
from geo_assets.model.period import Periods
from geo_assets.model.plugin import Cube
from geo_assets.model.recipe import digest
from geo_assets.project import LoadedProject
from geo_assets.tasks import prediction as task
from geo_assets.tasks.cells import cell_boxes
from geo_assets.tasks.layout import cube_id, refuse_other_layout, refuse_other_store
from geo_assets.tasks.partition import PRODUCT as COMPOSITE
from geo_assets.tasks.prediction_cube import cube_tasks, plan_prediction
from geo_assets.tasks.prediction_partition import make_prediction
from geo_assets.tasks.prediction_plan import PredictionPlan, stored_maps
from geo_assets.tasks.predictor import Composites, Predictor, needed_regions
from geo_assets.tasks.previous import read_previous
from geo_assets.tasks.steps import Steps


class PredictionConfig(dg.Config):
    """Options of one run."""

    overwrite: bool = False
    """Make everything again, also what is fresh."""


def build(loaded: LoadedProject, predictor: Predictor, periods: Periods) -> dg.AssetsDefinition:
    """The asset of a project's model."""
    model, classes = predictor.model, ", ".join(c.name for c in predictor.model.classes)
    key = dg.AssetKey(predictor.product.split("/"))

    @dg.asset(
        key=key, group_name="inference", kinds={loaded.project.prediction.format.replace("both", "cog") if loaded.project.prediction else "cog"},
        owners=["team:geo-assets"], code_version=task.CODE_VERSION,
        deps=[dg.AssetDep(COMPOSITE, partition_mapping=reads_months(predictor.series))], partitions_def=month_partitions(list(predictor.series)),
        backfill_policy=dg.BackfillPolicy.single_run(),
        description=f"{model.name} over every cell, from the composites of {len(next(iter(predictor.series.values())))} periods" + (f": {classes}." if classes else "."),
    )  # fmt: skip
    def prediction(
        context: dg.AssetExecutionContext, config: PredictionConfig, storage: dg.ResourceParam[Store], compute: dg.ResourceParam[Compute]
    ) -> Iterator[Any]:  # fmt: skip
        workspace = Workspace.of(loaded, storage=storage)
        run = _Run(predictor, context, workspace, periods, storage.cube(workspace.project.cube.store), compute)
        yield from run_strip_of_tasks(
            context, lambda key: run.made(*split_key(key), overwrite=config.overwrite), fn=task.run, mapper=run.mapper,
            storage=workspace.storage, title=loaded.project.name, mixed=run.remote,
        )  # fmt: skip

    return prediction


class _Run(Workers):
    """One run of the asset."""

    def __init__(
        self, predictor: Predictor, context: dg.AssetExecutionContext, workspace: Workspace, periods: Periods, cube: Cube, compute: Compute
    ) -> None:  # fmt: skip
        super().__init__(predictor.product, context, workspace, compute)
        self._predictor, self._periods, self._cube = predictor, periods, cube
        self._composites: Composites | None = None
        self._cube_id: str | None = None

    def made(self, region: str, month: str, *, overwrite: bool) -> Steps[Made]:
        """The steps that make what a partition needs.

        Raises:
            ConfigError: The stored cube has another layout, or the model's file is not what its item says.
            PartitionError: A composite is missing.
            SourceError: Maps failed; the good ones are stored.
        """
        plan = self._plan(region, month, overwrite=overwrite)
        workspace, receipt = self.workspace, plan.done
        if receipt is None:
            storage, expected_usd = workspace.storage, self.money.of_prediction(plan)
            tasks = cube_tasks(
                plan,
                workspace.project,
                workspace.loaded.sensor,
                periods=self._periods,
                cube=self._cube,
                storage=storage,
            )
            receipt = yield from make_prediction(
                plan, tasks, storage=storage, run_id=self.run_id, backend=self.backend, expected_usd=expected_usd
            )
            self.say(receipt, len(plan.todo), plan.reason, "blocks of maps")
        refuse_failed(receipt, "blocks of maps")
        skipped = "same composites, model and code" if plan.done else None
        metadata = prediction_metadata(receipt, workspace.storage, skipped=skipped, dashboard=self.dashboard)
        return Made(receipt.data_version, metadata, {COMPOSITE: digest(sorted(plan.inputs.items()))})

    def _plan(self, region: str, month: str, *, overwrite: bool) -> PredictionPlan:
        workspace, grid = self.workspace, self.workspace.grid(region)
        composites = self._ready()
        known = read_previous(workspace.storage, self._predictor.product, region, month, grid)
        if known.fault:
            self.warn(region, month, known.fault)
        table = workspace.cells(region)
        boxes = cell_boxes(table, region, grid)
        return plan_prediction(
            self._predictor, region=region, month=month, grid=grid, cells=boxes, regions=needed_regions(table, region), composites=composites,
            previous=known.receipt, stored=stored_maps(workspace.storage, self._predictor, region, month, boxes), cube=self._cube_id, overwrite=overwrite, fault=known.fault,
        )  # fmt: skip

    def _ready(self) -> Composites:
        """Receipts of composites, once it is known that the cube is the project's."""
        if self._composites is None:
            refuse_other_store(self.workspace.project, self.workspace.storage)
            refuse_other_layout(self._cube, self.workspace.project, self._periods)
            self._cube_id = cube_id(self._cube)
            self._composites = Composites(self.workspace.storage, self._cube_id)
        return self._composites
