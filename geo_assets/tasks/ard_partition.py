"""One partition of analysis-ready layers: which are still to be made, why, and how they are made and recorded."""

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd

from geo_assets.eo.radar_quality import Quality, RadarQuality, days_dropped
from geo_assets.errors import ComputeError
from geo_assets.model import path
from geo_assets.model.ard import ArdTask
from geo_assets.model.cell import CellBox
from geo_assets.model.collection import mask_for
from geo_assets.model.project import Project
from geo_assets.model.receipt import BlockReceipt, Dropped, PartitionReceipt, scene_use
from geo_assets.model.recipe import digest
from geo_assets.model.scene import Scene
from geo_assets.model.sensor import Sensor
from geo_assets.model.task import TaskResult, scene_hash
from geo_assets.registry import sensor_of
from geo_assets.storage import Storage
from geo_assets.tasks import ard, composite
from geo_assets.tasks.ard_layers import layers_of
from geo_assets.tasks.ard_picture import ard_quicklook, update_ard_picture
from geo_assets.tasks.ard_pixels import read_bands
from geo_assets.tasks.ard_recipe import reason, recipe_values, settings
from geo_assets.tasks.ard_table import read_layers, write_layers
from geo_assets.tasks.cells import cell_boxes, region_grid
from geo_assets.tasks.heights import height_scenes, placed_by, reaching, terrain_correction
from geo_assets.tasks.jobs import Jobs, money
from geo_assets.tasks.search import dropped, used_scenes
from geo_assets.tasks.steps import Batch, Steps
from geo_assets.tasks.tile import tile_bands


def product(sensor: str) -> str:
    """Name of a sensor's analysis-ready layers as a product: in receipts, on the command line and in Dagster."""
    return f"ard/{sensor}"


def ard_sensors(project: Project) -> list[str]:
    """Sensors of which analysis-ready layers are made."""
    return list(project.ard.sensors) or [s.sensor for s in project.sensors]


def ard_bands(project: Project, sensor: Sensor) -> tuple[str, ...]:
    """Bands of a sensor's layers: those of the recipe, else the sensor's usual ones and those that are derived."""
    if project.ard.layout == "tiles":
        return tile_bands(sensor)
    return tuple(project.ard.bands.get(sensor.name) or [*sensor.default_bands, *sensor.derived])


def source_bands(project: Project, sensor: Sensor) -> list[str]:
    """Bands whose assets a sensor's layers are made from, without that of its mask."""
    read = read_bands(sensor, ard_bands(project, sensor))
    if project.ard.layout == "tiles" and "scl" in sensor.mask_band and mask_for(project.mask, sensor).kind == "none":
        return [*read, sensor.mask_band["scl"]]  # days are chosen by it all the same
    return read


def band_advice(project: Project, sensor: Sensor) -> str:
    """What to do about a band that scenes lack."""
    return (
        f"leave {sensor.name} out of ard.sensors"
        if project.ard.layout == "tiles"
        else f"leave it out of ard.bands.{sensor.name}"
    )


@dataclass(frozen=True)
class Todo:
    """A layer that is to be made.

    Attributes:
        name: Of the layer.
        scenes: It is made from.
        cells: In which it is made now; not all that are wanted if only some are missing.
        key: Fingerprint of its scenes, the recipe and the code.
        reason: Why.
        heights: Scenes that heights of its ground come from, where it is placed by them.
    """

    name: str
    scenes: tuple[Scene, ...]
    cells: tuple[CellBox, ...]
    key: str
    reason: str
    heights: tuple[Scene, ...] = ()


@dataclass(frozen=True)
class ArdPlan:
    """What a partition needs.

    Attributes:
        sensor: Name of the sensor.
        region: Key of its region.
        month: Key of its period; None for a sensor whose scenes have no date.
        cells: Cells that the region owns.
        todo: Layers to make.
        fresh: Receipts of the layers that are as they should be.
        previous: Receipt of the partition as it is now.
        scenes: Scenes that are used.
        dropped: Scenes that are not.
        heights: Scenes that heights of the ground come from.
    """

    sensor: str
    region: str
    month: str | None
    cells: tuple[CellBox, ...]
    todo: tuple[Todo, ...]
    fresh: tuple[BlockReceipt, ...]
    previous: PartitionReceipt | None
    scenes: tuple[Scene, ...]
    dropped: tuple[Dropped, ...]
    heights: tuple[Scene, ...] = ()

    @property
    def done(self) -> PartitionReceipt | None:
        """The receipt that is there, if it says what is wanted; else there is something to make, or to put right in it."""
        if self.previous is None or self.todo or self.previous.failures:
            return None
        return self.previous if layers_version(list(self.fresh)) == self.previous.data_version else None

    @property
    def reason(self) -> str:
        """Why it is not fresh, in the words of its layers, or ""."""
        reasons = [t.reason for t in self.todo]
        if not reasons and self.previous is not None and self.done is None:
            reasons = ["scenes withdrawn"]
        return "; ".join(dict.fromkeys(reasons))


def layers_version(blocks: Sequence[BlockReceipt]) -> str:
    """Data version of a partition from its layers' keys and cells; their order does not count."""
    return digest([ard.CODE_VERSION, sorted([b.name, b.key, sorted(b.cells)] for b in blocks if b.key)])


def plan_ard(
    project: Project, sensor: Sensor, *, region: str, month: str | None, cells: Sequence[CellBox], table: gpd.GeoDataFrame,
    previous: PartitionReceipt | None, overwrite: bool = False, only: frozenset[str] | None = None, fault: str = "",
    heights: gpd.GeoDataFrame | None = None,
) -> ArdPlan:  # fmt: skip
    """Compare what is wanted with what the receipt says; reads no pixel.

    Args:
        project: The recipes.
        sensor: Whose scenes are made ready.
        region: Key of the region.
        month: Key of the period, or None.
        cells: Cells that the region owns.
        table: Scene table of the partition.
        previous: Receipt of the partition, if there is one.
        overwrite: Make everything again.
        only: Cells that are made now; the others stay as they are. None is all.
        fault: What is wrong with the receipt that is there, which is why ``previous`` is None.
        heights: Scene table of the region for the sensor that tells heights (``heights.height_sensor``), where one is needed.

    Raises:
        ConfigError: No scene has an asset for a band.
    """
    only = None if fault else only  # nothing tells what is there of the others, so they would be lost
    entry, mask = project.sensor(sensor.name), mask_for(project.mask, sensor)
    scenes = used_scenes(table, sensor, source_bands(project, sensor), mask, advice=band_advice(project, sensor))
    bands = ard_bands(project, sensor)
    said = [settings(project, sensor, bands), composite.pixel_mask(mask), entry.facts, ard.CODE_VERSION]
    ground, every = height_scenes(project, sensor, heights), set[int]()
    known = {b.name: b for b in previous.blocks} if previous else {}
    todo, fresh = [], []
    for name, group, reached in layers_of(project.ard, sensor, scenes, cells):
        under = reaching([cell.box for cell in reached], ground)
        every |= {id(s) for s in under}
        key = digest([said, [list(map(str, s.identity)) for s in group], *placed_by(project, sensor, under)])
        had = known.get(name)
        same = had is not None and had.key == key and not overwrite
        # Of what failed, older files may be there still
        made = {*had.cells} - {*had.missing} if had is not None and same else set()
        now = tuple(c for c in reached if c.id not in made and (only is None or c.id in only))
        if now:
            why = fault or reason(
                previous, had, group, under, project=project, sensor=sensor, bands=bands, same=same, overwrite=overwrite
            )  # fmt: skip
            todo.append(Todo(name, group, now, key, why, under))
        elif had is not None:  # as it should be, or another one by now but none of the cells that are made now
            there = {c.id for c in reached}
            fresh.append(had.model_copy(update={"cells": [c for c in had.cells if c in there]}))
    used = tuple(s for s in ground if id(s) in every)
    return ArdPlan(
        sensor.name,
        region,
        month,
        tuple(cells),
        tuple(todo),
        tuple(fresh),
        previous,
        scenes,
        tuple(dropped(table)),
        used,
    )


def make_ard(
    plan: ArdPlan, project: Project, *, storage: Storage, run_id: str, backend: str = "", expected_usd: Mapping[Any, float] | None = None,
    page: Callable[[Quality], str] | None = None,
) -> Steps[PartitionReceipt]:  # fmt: skip
    """The steps that make what a plan lists, write the table of layers, their picture and the receipt, which they return.

    Layers that fail keep what is stored of them; the receipt is then ``partial`` and names the causes.

    Args:
        plan: What to make.
        project: The recipes.
        storage: Holds files, table, picture and receipt.
        run_id: For the receipt.
        backend: Name of the compute backend, for the receipt.
        expected_usd: What each layer is expected to cost, by its name, for the receipt.
        page: Writes the quality of a yearly tile as HTML, which is stored beside it.

    Raises:
        StoreError: The table or the receipt was not written; both are as before.
    """
    began, jobs = time.perf_counter(), Jobs(run_id, backend, expected_usd or {})
    tasks = [_task(t, plan, project, storage) for t in plan.todo]
    results = yield Batch(ard.run, tasks)
    if len(results) != len(tasks):
        raise ComputeError(
            f"{plan.sensor} {plan.region} {plan.month}: {len(tasks) - len(results)} tasks gave no answer"
        )
    known = {b.name: b for b in plan.previous.blocks} if plan.previous else {}
    blocks, rows = list(plan.fresh), []
    done = [(todo, result) for todo, result in zip(plan.todo, results, strict=True) if result.status == "ok"]
    for todo, result in zip(plan.todo, results, strict=True):
        if result.status == "ok":
            rows += result.value.rows
            if page is not None:
                _store_pages(storage, result.value.qualities, page)
            made = _made(todo, result.value, known.get(todo.name), paged=page is not None)
            blocks.append(jobs.noted(made, result))
        else:
            blocks.append(jobs.noted(_failed(todo, result, known.get(todo.name)), result))
    receipt = _receipt(
        plan, project, sorted(blocks, key=lambda b: b.name), run_id=run_id, seconds=time.perf_counter() - began
    )
    before = read_layers(storage, plan.sensor, plan.region, plan.month)
    table, gone = write_layers(storage, plan.sensor, plan.region, plan.month, blocks, rows, before)
    pictures = {(t.name, cell): png for t, r in done for cell, png in r.value.pictures.items()}
    update_ard_picture(
        storage, ard_quicklook(receipt.product, plan.region, plan.month), {c.id: c.box for c in plan.cells}, table, pictures
    )  # fmt: skip
    storage.write_receipt(receipt)
    for name in gone:  # last: until now the table that was there might have named them
        storage.delete(name)
    return receipt


def _store_pages(storage: Storage, qualities: Sequence[Quality], page: Callable[[Quality], str]) -> None:
    for quality in qualities:
        storage.write(_page(quality), page(quality).encode())


def _page(quality: Quality) -> str:
    name = f"s1_{quality.tile}" if isinstance(quality, RadarQuality) else quality.tile
    return path.tiles(f"{quality.year}/reports/{name}.html")


def _task(todo: Todo, plan: ArdPlan, project: Project, storage: Storage) -> ArdTask:
    entry = project.sensor(plan.sensor)
    sensor = sensor_of(entry)
    return ArdTask(
        name=todo.name, region=plan.region, month=plan.month, cells=todo.cells, scenes=todo.scenes, sensor=entry, bands=ard_bands(project, sensor),
        ard=project.ard, mask=mask_for(project.mask, sensor), catalog=project.catalog_of(plan.sensor), root=storage.root, reader=project.cube.reader,
        terrain=terrain_correction(project, sensor, todo.heights, [cell.box for cell in todo.cells]),
    )  # fmt: skip


def _made(todo: Todo, result: ard.ArdResult, had: BlockReceipt | None, *, paged: bool) -> BlockReceipt:
    before = set(had.cells) if had is not None and had.key == todo.key else set()
    pixels = sum(cell.box.shape[0] * cell.box.shape[1] for cell in todo.cells)
    sizes = {cell.id: cell.box.shape[0] * cell.box.shape[1] for cell in todo.cells}
    observed = sum(round(r["observed_share"] * sizes[r["cell_id"]]) for r in result.rows)
    return BlockReceipt(
        row=0, col=0, name=todo.name, key=todo.key, chunks=[], cells=sorted(before | sizes.keys()), scene_ids=[s.item_id for s in todo.scenes], height_ids=[s.item_id for s in todo.heights],
        days=len({s.solar_day for s in todo.scenes}), pixels=pixels, observed=observed, bytes_read=result.bytes_read, requests=result.requests,
        notes=list(result.notes), wall_s=result.wall_s, cpu_s=result.cpu_s, **_judgement(result.qualities, paged),
    )  # fmt: skip


def _judgement(qualities: Sequence[Quality], paged: bool) -> dict[str, Any]:
    """What a receipt says of a yearly tile's quality."""
    return {
        key: value
        for q in qualities
        for key, value in (
            ("days_dropped", days_dropped(q)), ("faults", list(q.verdict.faults)), ("doubts", list(q.verdict.doubts)), ("page", _page(q) if paged else ""),
        )
    }  # fmt: skip


def _failed(todo: Todo, result: TaskResult, had: BlockReceipt | None) -> BlockReceipt:
    """The receipt of a layer that could not be made: what is still stored of it, and the cause."""
    held = had or BlockReceipt(row=0, col=0, name=todo.name, key="", chunks=[])
    changed = {
        "status": "failed", "cause": result.cause, "error": result.error, "missing": [c.id for c in todo.cells], "bytes_read": 0, "requests": 0,
        "wall_s": round(result.run_s, 3),
    }  # fmt: skip
    return held.model_copy(update=changed)


def _receipt(
    plan: ArdPlan, project: Project, blocks: list[BlockReceipt], *, run_id: str, seconds: float
) -> PartitionReceipt:
    bad, now = [b for b in blocks if b.status == "failed"], [b for b in blocks if b.name in {t.name for t in plan.todo}]
    pixels = sum(b.pixels for b in blocks)
    sensor = sensor_of(project.sensor(plan.sensor))
    bands = ard_bands(project, sensor)
    return PartitionReceipt(
        product=product(plan.sensor), region=plan.region, month=plan.month, run_id=run_id, made_at=dt.datetime.now(dt.UTC), wall_s=round(seconds, 3),
        status="ok" if not bad else "failed" if len(bad) == len(blocks) else "partial", data_version=layers_version(blocks),
        recipe_hash=settings(project, sensor, bands), scene_hash=scene_hash([*plan.scenes, *plan.heights]),
        code_version=ard.CODE_VERSION, scenes=[scene_use(s) for s in plan.scenes], heights=[scene_use(s) for s in plan.heights], dropped=list(plan.dropped), blocks=blocks,
        figures={
            "recipe": recipe_values(project, sensor, bands),
            "layers": len([b for b in blocks if b.key]), "cells": len({c for b in blocks for c in b.cells}), "pixels": pixels,
            "observed_share": round(sum(b.observed for b in blocks) / pixels, 4) if pixels else 0.0,
            "bytes_read": sum(b.bytes_read for b in now), "requests": sum(b.requests for b in now), "cpu_s": round(sum(b.cpu_s for b in now), 3),
            "blocks_made": len([b for b in now if b.status == "ok"]), "blocks_failed": len(bad), "blocks_kept": len(blocks) - len(now), **money(now),
        },
    )  # fmt: skip


def ard_boxes(table: gpd.GeoDataFrame, region: str, project: Project) -> list[CellBox]:
    """The cells that a region owns as arrays of pixels of ``ard.resolution``; see ``cell_boxes``."""
    grid = region_grid(region, project.cube)
    if project.ard.resolution is not None:
        grid = project.cube.model_copy(update={"resolution": project.ard.resolution}).pixel_grid(grid.crs)
    return cell_boxes(table, region, grid, "ard.resolution")
