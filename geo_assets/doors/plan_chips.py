"""What chips would read, take and cost, before anything is spent."""

from collections.abc import Sequence
from typing import Any

from geo_assets.assets.context import Workspace
from geo_assets.model.compute import Compute
from geo_assets.model.cost import Estimate, Load
from geo_assets.model.geometry import Region
from geo_assets.model.period import Period
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.registry import sensor_of
from geo_assets.storage import DamagedError
from geo_assets.tasks import search as search_task
from geo_assets.tasks.chip_partition import chip_boxes, plan_chips
from geo_assets.tasks.chip_recipe import PRODUCT, chip_sensors
from geo_assets.tasks.forecast import ChipForecast
from geo_assets.tasks.pace import MOST, Host
from geo_assets.tasks.search_area import search_area, search_heights

_PARTITION_S = 0.07  # that a partition takes beside its pixels, measured on two shared cores


class ChipEstimate:
    """Sums over partitions, as the receipts of this storage let expect them.

    Args:
        workspace: The project.
        backend: That is to run the tasks.
        where: Likewise, as its tasks are foretold.
        wanted: Whether chips are to be made at all.
        overwrite: Whether what is fresh is made again.
    """

    def __init__(self, workspace: Workspace, backend: Compute, where: Host, *, wanted: bool, overwrite: bool) -> None:
        self._workspace, self._backend, self._overwrite = workspace, backend, overwrite
        self._cells: set[str] = set()
        self._items: set[tuple[str, str]] = set()
        self._loads: list[Load] = []
        self._partitions = self._bytes = 0
        self._wanted = wanted
        if wanted:
            self._forecast = ChipForecast(workspace.project, workspace.storage.receipts(PRODUCT, most=MOST), where)

    def add(self, region: str, cells: Any, periods: Sequence[Period]) -> None:
        """Take a region and its periods; searches the catalog, reads no pixel.

        Raises:
            CatalogError: The search failed.
        """
        if not self._wanted:
            return
        workspace, project = self._workspace, self._workspace.project
        grid, tables, heights = workspace.grid(region), {}, {}
        for name in chip_sensors(project):
            entry = project.sensor(name)
            sensor = sensor_of(entry)
            tables[name] = search_task.search(
                Region.parse(region), grid, periods, catalog=project.catalog_of(name), sensor=entry, mask=project.mask,
                area=search_area(project, sensor, region, grid, cells),
            )  # fmt: skip
            heights[name] = search_heights(project, sensor, region, grid, cells)
        chips = chip_boxes(cells, region, project)
        self._cells |= {c.cell_id for c in chips}
        for period in periods:
            self._partitions += bool(chips)  # a region that owns no cell has nothing to make
            previous, fault = self._previous(region, period.key)
            plan = plan_chips(
                project, region=region, month=period.key, chips=chips, tables={n: t[period.key] for n, t in tables.items()}, previous=previous,
                heights=heights, overwrite=self._overwrite, fault=fault,
            )  # fmt: skip
            self._items |= {(s.collection, s.item_id) for s in plan.scenes}
            self._bytes += sum(int(self._forecast.bytes_of(t.sensor, t.chips)) for t in plan.todo)
            self._loads += [self._forecast.load(t.sensor, t.chips) for t in plan.todo]

    def _previous(self, region: str, month: str) -> tuple[PartitionReceipt | None, str]:
        """The receipt of a partition, and what is wrong with it: everything of such a one is made again."""
        try:
            return self._workspace.storage.read_receipt(PRODUCT, region, month), ""
        except DamagedError as e:
            return None, str(e)

    def work(self) -> Estimate:
        """Seconds and USD of the tasks."""
        return self._backend.estimate(self._workspace.project.compute, self._loads)

    def figures(self) -> dict[str, Any]:
        """Of the product's plan."""
        work = self.work()
        return {
            "product": PRODUCT, "partitions": self._partitions, "scenes": len(self._items), "bytes": self._bytes,
            "seconds": round(work.seconds + self._partitions * _PARTITION_S, 1), "usd": round(work.usd, 6), "cells": len(self._cells),
        }  # fmt: skip
