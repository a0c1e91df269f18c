"""What the maps of a model would read, take and cost, before anything is spent; and of what they are made."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from geo_assets.assets.context import Workspace
from geo_assets.model.compute import Compute, ComputeRecipe
from geo_assets.model.cost import Estimate
from geo_assets.model.period import Period, Periods
from geo_assets.model.project import Project
from geo_assets.tasks.cells import CellTable, cell_boxes
from geo_assets.tasks.forecast import PredictionForecast
from geo_assets.tasks.layout import cube_id
from geo_assets.tasks.model_file import artifact_bytes, runtime_of
from geo_assets.tasks.pace import MOST, Host
from geo_assets.tasks.predict import open_content
from geo_assets.tasks.prediction_cube import groups_of, plan_prediction
from geo_assets.tasks.prediction_plan import stored_maps
from geo_assets.tasks.prediction_tiles import plan_tiles, read_maps, read_tiles, tile_cells
from geo_assets.tasks.predictor import Composites, Predictor, needed_regions
from geo_assets.tasks.previous import read_previous

_PARTITION_S = 0.07  # that a partition takes beside its pixels, measured on two shared cores
Key = tuple[str, str]
Tiles = Mapping[tuple[str, str, str | None], Collection[str]]


def predictor_of(project: Project, periods: Periods, products: Collection[str]) -> Predictor | None:
    """The model that is to be run, or None.

    Raises:
        ConfigError: It cannot be, or the project has no period for it.
    """
    predictor = Predictor.of(project, periods) if "prediction" in products else None
    if predictor is not None:
        predictor.refuse_without_periods(periods)
    return predictor


def refuse_unrunnable(predictor: Predictor, backend: Compute, recipe: ComputeRecipe) -> None:
    """Refuses a model whose file is missing or damaged, or that this machine cannot open where it is to be run here.

    Raises:
        ConfigError: Says what to do.
        PluginError: A package is missing.
    """
    model, folder = predictor.model, Path(predictor.recipe.model).parent
    runtime_of(model)
    content = artifact_bytes(model, folder)
    if not backend.capabilities(recipe).remote:
        how = predictor.recipe
        open_content(model, content, device=how.device, batch=how.batch, window_px=how.window_px, halo_px=how.halo_px)


def with_sources(keys: Iterable[Key], predictor: Predictor | None, table: CellTable) -> list[Key]:
    """Regions and months, with those of whose composites the maps that are among them are made; region by region, in order.

    Maps of yearly tiles are made from tiles of the same region and year.
    """
    found = dict.fromkeys(keys)
    if predictor is not None and predictor.of_tiles:
        return list(found)
    neighbours: dict[str, list[str]] = {}
    for region, month in list(found) if predictor else []:
        for read in predictor.series.get(month, ()) if predictor else ():
            if region not in neighbours:
                neighbours[region] = needed_regions(table.of_region(region), region)
            found |= dict.fromkeys((name, read) for name in neighbours[region])
    place = {region: n for n, region in enumerate(table.regions)}
    return sorted(found, key=lambda k: (place[k[0]], k[1])) if predictor else list(found)


class PredictionEstimate:
    """Sums over partitions, as the receipts of this storage let expect them.

    Args:
        workspace: The project.
        backend: That is to run the tasks.
        where: Likewise, as its tasks are foretold.
        predictor: The model; None where none is to be run.
        wanted: Partitions that are to be made; None is all.
        only: Tiles that are to be made, of a model that reads them; None is all.
        overwrite: Whether what is fresh is made again.
    """

    def __init__(
        self, workspace: Workspace, backend: Compute, where: Host, *, predictor: Predictor | None, wanted: Collection[Key] | None = None,
        only: frozenset[str] | None = None, overwrite: bool = False,
    ) -> None:  # fmt: skip
        self._workspace, self._backend, self._predictor = workspace, backend, predictor
        self._wanted, self._only, self._overwrite = wanted, only, overwrite
        self._partitions = self._blocks = self._cells = 0
        self._pixels: list[int] = []
        if predictor is not None:
            self._cube = cube_id(workspace.loaded.cube)
            self._composites = Composites(workspace.storage, self._cube)
            self._forecast = PredictionForecast(
                predictor, workspace.storage.receipts(predictor.product, most=MOST), where
            )  # fmt: skip

    def add(
        self, region: str, cells: Any, periods: Sequence[Period], remade: Collection[Key], tiles: Tiles = MappingProxyType({})
    ) -> None:  # fmt: skip
        """Take a region and its periods; reads no pixel.

        Args:
            region: Key of the region.
            cells: Its cells.
            periods: Its periods.
            remade: Composites that are to be made first, so that all maps that they feed are made too.
            tiles: Likewise yearly tiles, by sensor, region and month.
        """
        predictor, grid = self._predictor, self._workspace.grid(region)
        if predictor is None:
            return
        if predictor.of_tiles:
            for month in (p.key for p in periods):
                if self._wanted is None or (region, month) in self._wanted:
                    self._add_tiles(predictor, region, cells, month, tiles)
            return
        boxes = cell_boxes(cells, region, grid)
        groups = groups_of(boxes, grid)
        self._blocks, self._cells = self._blocks + len(groups), self._cells + len(boxes)
        regions = needed_regions(cells, region)
        for month in (p.key for p in periods if p.key in predictor.series):
            if self._wanted is not None and (region, month) not in self._wanted:
                continue
            self._partitions += 1
            anew = self._overwrite or any((r, m) in remade for r in regions for m in predictor.series[month])
            if anew:
                self._pixels += [sum(c.box.shape[0] * c.box.shape[1] for c in own) for own in groups.values()]
                continue
            known = read_previous(self._workspace.storage, predictor.product, region, month, grid)
            plan = plan_prediction(
                predictor, region=region, month=month, grid=grid, cells=boxes, regions=regions, composites=self._composites,
                previous=known.receipt, stored=stored_maps(self._workspace.storage, predictor, region, month, boxes), cube=self._cube, fault=known.fault,
            )  # fmt: skip
            self._pixels += [t.pixels for t in plan.todo]

    def _add_tiles(self, predictor: Predictor, region: str, cells: Any, month: str, tiles: Tiles) -> None:
        """Take a year of a region: maps of tiles that are made again, and of those that were not made since."""
        storage, known = self._workspace.storage, read_maps(self._workspace.storage, predictor, region, month)
        boxes = tile_cells(cells, region, self._workspace.project)
        if not known.fault:  # else everything is made again
            boxes = [b for b in boxes if self._only is None or b.id in self._only]
        self._partitions, self._blocks, self._cells = (
            self._partitions + 1,
            self._blocks + len(boxes),
            self._cells + len(boxes),
        )
        anew = {name for sensor in predictor.sensors.values() for name in tiles.get((sensor, region, month), ())}
        again = [b for b in boxes if self._overwrite or b.id in anew]
        rest = [b for b in boxes if not self._overwrite and b.id not in anew]
        self._pixels += [b.box.shape[0] * b.box.shape[1] for b in again]
        if rest:
            plan = plan_tiles(
                predictor, region=region, month=month, grid=self._workspace.grid(region), cells=rest, tiles=read_tiles(storage, predictor, region, month),
                previous=known.receipt, stored=stored_maps(storage, predictor, region, month, rest), fault=known.fault,
            )  # fmt: skip
            self._pixels += [t.pixels for t in plan.todo]

    def work(self) -> Estimate:
        """Seconds and USD of the tasks."""
        if self._predictor is None:
            return Estimate()
        loads = [self._forecast.pace.load(pixels) for pixels in self._pixels]
        return self._backend.estimate(self._workspace.project.compute, loads)

    def figures(self) -> dict[str, Any]:
        """Of a product's plan."""
        assert self._predictor is not None
        work = self.work()
        return {
            "product": self._predictor.product, "partitions": self._partitions, "months": len(self._predictor.series), "cells": self._cells,
            "blocks": self._blocks, "bytes": int(self._forecast.bytes_of(sum(self._pixels))),
            "seconds": round(work.seconds + self._partitions * _PARTITION_S, 1), "usd": round(work.usd, 6),
        }  # fmt: skip
