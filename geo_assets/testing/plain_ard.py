"""Cells, scenes and analysis-ready layers of a project without Dagster, one partition after the other."""

from collections.abc import Callable, Sequence

import geopandas as gpd

from geo_assets.eo.radar_quality import Quality
from geo_assets.model.ard import by_region
from geo_assets.model.compute import Compute
from geo_assets.model.geometry import Region
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import LoadedProject
from geo_assets.registry import load, sensor_of
from geo_assets.tasks import areas, cells, search
from geo_assets.tasks.ard_partition import ArdPlan, ard_boxes, ard_sensors, make_ard, plan_ard, product
from geo_assets.tasks.ard_table import read_layers
from geo_assets.tasks.search_area import search_area, search_heights
from geo_assets.tasks.steps import Mapper, alone

Key = tuple[str, str, str | None]  # sensor, region, month


class ArdRun:
    """What a run made.

    Attributes:
        plans: By sensor, region and month.
        receipts: Likewise.
        tables: Likewise, as they are stored.
    """

    def __init__(self) -> None:
        self.plans: dict[Key, ArdPlan] = {}
        self.receipts: dict[Key, PartitionReceipt] = {}
        self.tables: dict[Key, gpd.GeoDataFrame] = {}


def run_ard(
    loaded: LoadedProject, *, months: Sequence[str] | None = None, overwrite: bool = False, only: Sequence[str] | None = None,
    mapper: Mapper | None = None, page: Callable[[Quality], str] | None = None,
) -> ArdRun:  # fmt: skip
    """Make what the project asks for.

    Args:
        loaded: The project.
        months: Only these periods.
        overwrite: Make everything again.
        only: Only these cells.
        mapper: Runs tasks; the project's backend if left out.
        page: Writes the quality of a yearly tile as HTML.
    """
    project, run = loaded.project, ArdRun()
    cut = cells.cut(areas.areas(loaded), project.grid, project.cube)
    periods = [p for p in loaded.periods() if months is None or p.key in months]
    backend: Compute = load("compute", project.compute.backend)
    with backend.connect(project.compute) as engine:
        for sensor in ard_sensors(project):
            facts = sensor_of(project.sensor(sensor))
            for region in cut.regions:
                own = cut.of_region(region)
                found = search.search(
                    Region.parse(region), cells.region_grid(region, project.cube), periods, catalog=project.catalog_of(sensor),
                    sensor=project.sensor(sensor), mask=project.mask, area=search_area(project, facts, region, cells.region_grid(region, project.cube), own),
                )  # fmt: skip
                dated = (
                    [(None, next(iter(found.values())))]
                    if by_region(project.ard, static=facts.static)
                    else [*found.items()]
                )
                heights = search_heights(project, facts, region, cells.region_grid(region, project.cube), own)
                for month, table in dated:
                    key = sensor, region, month
                    plan = plan_ard(
                        project, facts, region=region, month=month, cells=ard_boxes(own, region, project), table=table,
                        previous=loaded.storage.read_receipt(product(sensor), region, month), overwrite=overwrite,
                        only=frozenset(only) if only else None, heights=heights,
                    )  # fmt: skip
                    run.plans[key] = plan
                    run.receipts[key] = plan.done or alone(
                        make_ard(plan, project, storage=loaded.storage, run_id="plain", page=page), mapper or engine.map
                    )
                    run.tables[key] = read_layers(loaded.storage, sensor, region, month)
    return run
