"""Maps of a project's model without Dagster, from composites that are there, one partition after the other."""

from collections.abc import Sequence

from geo_assets.model.compute import Compute
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import LoadedProject
from geo_assets.registry import load
from geo_assets.tasks import areas, cells
from geo_assets.tasks.layout import cube_id
from geo_assets.tasks.prediction_cube import cube_tasks, plan_prediction
from geo_assets.tasks.prediction_partition import make_prediction
from geo_assets.tasks.prediction_plan import stored_maps
from geo_assets.tasks.predictor import Composites, Predictor, needed_regions
from geo_assets.tasks.steps import Mapper, alone


def run_prediction(
    loaded: LoadedProject, *, regions: Sequence[str] | None = None, months: Sequence[str] | None = None, overwrite: bool = False,
    mapper: Mapper | None = None,
) -> dict[tuple[str, str], PartitionReceipt]:  # fmt: skip
    """Make what the project asks for; returns receipts by region and month.

    Args:
        loaded: The project, which has a model.
        regions: Only these.
        months: Only these.
        overwrite: Make everything again.
        mapper: Runs tasks; the project's backend if left out.
    """
    project, periods, there = loaded.project, loaded.periods(), cube_id(loaded.cube)
    predictor = Predictor.of(project, periods)
    assert predictor is not None
    cut, composites = cells.cut(areas.areas(loaded), project.grid, project.cube), Composites(loaded.storage, there)
    backend: Compute = load("compute", project.compute.backend)
    made = {}
    with backend.connect(project.compute) as engine:
        for region in regions or cut.regions:
            grid, table = cells.region_grid(region, project.cube), cut.of_region(region)
            needed = [r for r in needed_regions(table, region) if regions is None or r in regions]
            boxes = cells.cell_boxes(table, region, grid)
            for month in (m for m in predictor.series if months is None or m in months):
                plan = plan_prediction(
                    predictor, region=region, month=month, grid=grid, cells=boxes, regions=needed,
                    composites=composites, stored=stored_maps(loaded.storage, predictor, region, month, boxes), previous=loaded.storage.read_receipt(predictor.product, region, month), cube=there, overwrite=overwrite,
                )  # fmt: skip
                tasks = cube_tasks(
                    plan, project, loaded.sensor, periods=periods, cube=loaded.cube, storage=loaded.storage
                )
                steps = make_prediction(plan, tasks, storage=loaded.storage, run_id="plain")
                made[region, month] = plan.done or alone(steps, mapper or engine.map)
    return made
