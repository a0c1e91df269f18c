"""What analysis-ready layers would read, take and cost, before anything is spent."""

from collections.abc import Sequence
from typing import Any

from geo_assets.assets.context import Workspace
from geo_assets.model.ard import by_region
from geo_assets.model.compute import Compute
from geo_assets.model.cost import Estimate, Load
from geo_assets.model.geometry import Region
from geo_assets.model.period import Period
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.registry import sensor_of
from geo_assets.storage import DamagedError
from geo_assets.tasks import search as search_task
from geo_assets.tasks.ard_partition import ard_boxes, ard_sensors, plan_ard, product
from geo_assets.tasks.forecast import ArdForecast
from geo_assets.tasks.pace import MOST, Host
from geo_assets.tasks.search_area import search_area, search_heights

_PARTITION_S = 0.07  # that a partition takes beside its pixels, measured on two shared cores


class ArdEstimate:
    """Sums over partitions and sensors, as the receipts of this storage let expect them.

    Args:
        workspace: The project.
        backend: That is to run the tasks.
        where: Likewise, as its tasks are foretold.
        wanted: Whether such layers are to be made at all.
        overwrite: Whether what is fresh is made again.
        only: Cells that are to be made; None is all.

    Attributes:
        sensors: Whose layers are to be made.
        remade: Layers that are to be made, by sensor, region and month.
    """

    def __init__(
        self, workspace: Workspace, backend: Compute, where: Host, *, wanted: bool, overwrite: bool, only: frozenset[str] | None = None
    ) -> None:  # fmt: skip
        self._workspace, self._backend, self._overwrite, self._only = workspace, backend, overwrite, only
        self._cells: set[str] = set()
        project = workspace.project
        self.sensors = ard_sensors(project) if wanted else []
        self.remade: dict[tuple[str, str, str | None], set[str]] = {}
        self._partitions = dict.fromkeys(self.sensors, 0)
        self._bytes = dict.fromkeys(self.sensors, 0.0)
        self._items: dict[str, set[tuple[str, str]]] = {name: set() for name in self.sensors}
        self._loads: dict[str, list[Load]] = {name: [] for name in self.sensors}
        self._forecasts = {
            name: ArdForecast(
                project, sensor_of(project.sensor(name)), workspace.storage.receipts(product(name), most=MOST), where
            )
            for name in self.sensors
        }  # fmt: skip

    def add(self, region: str, cells: Any, periods: Sequence[Period]) -> None:
        """Take a region and its periods; searches the catalog, reads no pixel.

        Raises:
            CatalogError: The search failed.
        """
        workspace, project = self._workspace, self._workspace.project
        self._cells |= {str(c) for c in cells["cell_id"] if self._only is None or c in self._only}
        for name in self.sensors:
            entry = project.sensor(name)
            sensor, grid = sensor_of(entry), workspace.grid(region)
            found = search_task.search(
                Region.parse(region), grid, periods, catalog=project.catalog_of(name), sensor=entry, mask=project.mask, area=search_area(project, sensor, region, grid, cells)
            )  # fmt: skip
            tables = (
                [(None, next(iter(found.values())))]
                if by_region(project.ard, static=sensor.static)
                else [*found.items()]
            )
            boxes, heights = ard_boxes(cells, region, project), search_heights(project, sensor, region, grid, cells)
            for month, table in tables:
                self._partitions[name] += bool(boxes)  # a region that owns no cell has nothing to make
                previous, fault = self._previous(name, region, month)
                plan = plan_ard(
                    project, sensor, region=region, month=month, cells=boxes, table=table, previous=previous, overwrite=self._overwrite,
                    only=self._only, fault=fault, heights=heights,
                )  # fmt: skip
                self._items[name] |= {(s.collection, s.item_id) for s in plan.scenes}
                self.remade[name, region, month] = {t.name for t in plan.todo}
                for todo in plan.todo:
                    volume = self._forecasts[name].bytes_of(todo.cells, len(todo.scenes))
                    self._bytes[name] += volume
                    self._loads[name].append(self._forecasts[name].pace.load(volume, name))

    def _previous(self, sensor: str, region: str, month: str | None) -> tuple[PartitionReceipt | None, str]:
        """The receipt of a partition, and what is wrong with it: everything of such a one is made again."""
        try:
            return self._workspace.storage.read_receipt(product(sensor), region, month), ""
        except DamagedError as e:
            return None, str(e)

    def work(self, sensor: str) -> Estimate:
        """Seconds and USD of a sensor's tasks."""
        return self._backend.estimate(self._workspace.project.compute, self._loads[sensor])

    def scenes(self, sensor: str) -> int:
        """Scenes of a sensor that are used."""
        return len(self._items.get(sensor, ()))

    def figures(self, sensor: str) -> dict[str, Any]:
        """Of a product's plan."""
        work = self.work(sensor)
        project = self._workspace.project
        static = by_region(project.ard, static=sensor_of(project.sensor(sensor)).static)
        return {
            "product": product(sensor), "partitions": self._partitions[sensor], "scenes": self.scenes(sensor), "bytes": int(self._bytes[sensor]),
            "seconds": round(work.seconds + self._partitions[sensor] * _PARTITION_S, 1), "usd": round(work.usd, 6), "cells": len(self._cells),
            **({"months": 0} if static else {}),
        }  # fmt: skip
