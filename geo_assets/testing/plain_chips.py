"""Cells, scenes and chips of a project without Dagster, one partition after the other."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from geo_assets.model.compute import Compute
from geo_assets.model.geometry import Region
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import LoadedProject
from geo_assets.registry import load, sensor_of
from geo_assets.tasks import areas, cells, search
from geo_assets.tasks.chip_partition import ChipPlan, chip_boxes, make_chips, plan_chips
from geo_assets.tasks.chip_recipe import PRODUCT, chip_sensors
from geo_assets.tasks.chip_table import read_rows
from geo_assets.tasks.search_area import search_area, search_heights
from geo_assets.tasks.steps import Mapper, alone

Key = tuple[str, str]  # region, month


@dataclass
class ChipRun:
    """What a run made.

    Attributes:
        plans: By region and month.
        receipts: Likewise.
        tables: Likewise, as they are stored.
    """

    plans: dict[Key, ChipPlan] = field(default_factory=dict)
    receipts: dict[Key, PartitionReceipt] = field(default_factory=dict)
    tables: dict[Key, pa.Table] = field(default_factory=dict)

    @property
    def todo(self) -> list[tuple[str, str]]:
        """Name and reason of what was made."""
        return [(t.name, t.reason) for plan in self.plans.values() for t in plan.todo]


def run_chips(
    loaded: LoadedProject, *, months: Sequence[str] | None = None, overwrite: bool = False, mapper: Mapper | None = None
) -> ChipRun:  # fmt: skip
    """Make what the project asks for.

    Args:
        loaded: The project.
        months: Only these periods.
        overwrite: Make everything again.
        mapper: Runs tasks; the project's backend if left out.
    """
    project, run = loaded.project, ChipRun()
    cut = cells.cut(areas.areas(loaded), project.grid, project.cube)
    periods = [p for p in loaded.periods() if months is None or p.key in months]
    backend: Compute = load("compute", project.compute.backend)
    with backend.connect(project.compute) as engine:
        for region in cut.regions:
            own, grid = cut.of_region(region), cells.region_grid(region, project.cube)
            tables, heights = {}, {}
            for name in chip_sensors(project):
                facts = sensor_of(project.sensor(name))
                tables[name] = search.search(
                    Region.parse(region), grid, periods, catalog=project.catalog_of(name), sensor=project.sensor(name), mask=project.mask,
                    area=search_area(project, facts, region, grid, own),
                )  # fmt: skip
                heights[name] = search_heights(project, facts, region, grid, own)
            for period in periods:
                key = region, period.key
                plan = plan_chips(
                    project, region=region, month=period.key, chips=chip_boxes(own, region, project), tables={n: t[period.key] for n, t in tables.items()},
                    previous=loaded.storage.read_receipt(PRODUCT, *key), heights=heights, overwrite=overwrite,
                )  # fmt: skip
                run.plans[key] = plan
                made = make_chips(plan, project, storage=loaded.storage, run_id="plain")
                run.receipts[key] = plan.done or alone(made, mapper or engine.map)
                table = read_rows(loaded.storage, *key)
                assert table is not None
                run.tables[key] = table
    return run
