"""One partition of chips: of which scenes they are still to be cut, why, and how that is made and recorded."""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import pyarrow as pa
import pyarrow.compute as pc

from geo_assets.errors import ComputeError
from geo_assets.model import path
from geo_assets.model.ard import ArdTask
from geo_assets.model.cell import CellBox
from geo_assets.model.chip import Chip, chips_of
from geo_assets.model.collection import mask_for
from geo_assets.model.project import Project
from geo_assets.model.receipt import BlockReceipt, Dropped, PartitionReceipt, scene_use
from geo_assets.model.recipe import MaskRecipe, digest
from geo_assets.model.scene import Scene
from geo_assets.model.task import TaskResult, scene_hash
from geo_assets.registry import sensor_of
from geo_assets.storage import Storage
from geo_assets.tasks import ard
from geo_assets.tasks import chips as cutting
from geo_assets.tasks.ard_layers import scene_layers
from geo_assets.tasks.cells import cell_boxes, region_grid
from geo_assets.tasks.chip_publish import project_table, publish, table_kind
from geo_assets.tasks.chip_recipe import ADVICE, PRODUCT, chip_bands, chip_sensors, layer_recipe, recipe_values
from geo_assets.tasks.chip_table import read_rows, write_rows
from geo_assets.tasks.heights import height_scenes, placed_by, reaching, terrain_correction
from geo_assets.tasks.jobs import Jobs, money
from geo_assets.tasks.partition import changed
from geo_assets.tasks.search import dropped, used_scenes
from geo_assets.tasks.steps import Batch, Steps

CODE = f"{cutting.CODE_VERSION}.{ard.CODE_VERSION}"


@dataclass(frozen=True)
class Todo:
    """Chips of one scene that are to be cut.

    Attributes:
        sensor: Name of the sensor.
        layer: Of the scene.
        scene: The scene.
        chips: That it may reach.
        key: Fingerprint of scene, chips, recipe and code.
        reason: Why.
        heights: Scenes that heights of its ground come from, where it is placed by them.
    """

    sensor: str
    layer: str
    scene: Scene
    chips: tuple[Chip, ...]
    key: str
    reason: str
    heights: tuple[Scene, ...] = ()

    @property
    def name(self) -> str:
        """Of its receipt."""
        return f"{self.sensor} {self.layer}"


@dataclass(frozen=True)
class ChipPlan:
    """What a partition needs.

    Attributes:
        region: Key of its region.
        month: Key of its period.
        chips: Chips of the cells that the region owns.
        todo: Scenes of which chips are to be cut.
        fresh: Receipts of those that are as they should be.
        previous: Receipt of the partition as it is now.
        scenes: Scenes that are used.
        dropped: Scenes that are not.
        table: Where the rows are to be kept.
        heights: Scenes that heights of the ground come from.
    """

    region: str
    month: str
    chips: tuple[Chip, ...]
    todo: tuple[Todo, ...]
    fresh: tuple[BlockReceipt, ...]
    previous: PartitionReceipt | None
    scenes: tuple[Scene, ...]
    dropped: tuple[Dropped, ...]
    table: str
    heights: tuple[Scene, ...] = ()

    @property
    def done(self) -> PartitionReceipt | None:
        """The receipt that is there, if it says what is wanted; else there is something to make, or to put right in it."""
        if self.previous is None or self.todo or self.previous.failures or not self._published:
            return None
        return self.previous if chips_version(self.fresh) == self.previous.data_version else None

    @property
    def _published(self) -> bool:
        return self.previous is not None and self.previous.figures.get("table") == self.table

    @property
    def reason(self) -> str:
        """Why it is not fresh, in the words of its scenes, or ""."""
        reasons = [t.reason for t in self.todo]
        if not reasons and self.previous is not None and self.done is None:
            reasons = ["scenes withdrawn" if self._published else "another table"]
        return "; ".join(dict.fromkeys(reasons))


def chips_version(blocks: Sequence[BlockReceipt]) -> str:
    """Data version of a partition from the keys of its scenes; their order does not count."""
    return digest([CODE, sorted([b.name, b.key] for b in blocks if b.key)])


def chip_boxes(table: gpd.GeoDataFrame, region: str, project: Project) -> list[Chip]:
    """The chips of the cells that a region owns, on pixels of ``chips.resolution``; see ``cell_boxes``."""
    grid = region_grid(region, project.cube)
    if project.chips.resolution is not None:
        grid = project.cube.model_copy(update={"resolution": project.chips.resolution}).pixel_grid(grid.crs)
    cells: list[CellBox] = cell_boxes(table, region, grid, "chips.resolution")
    return [one for cell in cells for one in chips_of(cell, project.chips.size_px)]


def plan_chips(
    project: Project, *, region: str, month: str, chips: Sequence[Chip], tables: Mapping[str, gpd.GeoDataFrame], previous: PartitionReceipt | None,
    heights: Mapping[str, gpd.GeoDataFrame | None], overwrite: bool = False, fault: str = "",
) -> ChipPlan:  # fmt: skip
    """Compare what is wanted with what the receipt says; reads no pixel.

    Args:
        project: The recipes.
        region: Key of the region.
        month: Key of the period.
        chips: Chips of the cells that the region owns.
        tables: Scene tables of the partition by sensor.
        previous: Receipt of the partition, if there is one.
        heights: By sensor the scene table of the sensor that tells heights, where one is needed.
        overwrite: Make everything again.
        fault: What is wrong with the receipt that is there, which is why ``previous`` is None.

    Raises:
        ConfigError: No scene has an asset for a band.
    """
    known = {b.name: b for b in previous.blocks} if previous else {}
    todo: list[Todo] = []
    fresh: list[BlockReceipt] = []
    scenes: list[Scene] = []
    left_out: list[Dropped] = []
    ground: dict[int, Scene] = {}
    for name in chip_sensors(project):
        sensor = sensor_of(project.sensor(name))
        values, table = recipe_values(project, sensor), tables[name]
        used = used_scenes(
            table, sensor, list(chip_bands(project, sensor)), mask_for(project.mask, sensor), advice=ADVICE
        )
        scenes += used
        left_out += dropped(table)
        model = height_scenes(project, sensor, heights.get(name))
        for layer, (scene,), reached in scene_layers(used, chips):
            under = reaching([c.box for c in reached], model)
            ground |= {id(s): s for s in under}
            ids = [c.id for c in reached]
            key = digest([CODE, values, list(map(str, scene.identity)), ids, *placed_by(project, sensor, under)])
            had = known.get(f"{name} {layer}")
            if had is not None and had.key == key and had.status == "ok" and not overwrite:
                fresh.append(had)
                continue
            why = fault or _reason(previous, had, values, overwrite=overwrite)
            todo.append(Todo(name, layer, scene, tuple(reached), key, why, under))
    return ChipPlan(
        region, month, tuple(chips), tuple(todo), tuple(fresh), previous, tuple(scenes), tuple(left_out), table_kind(project), tuple(ground.values())
    )  # fmt: skip


def _reason(
    previous: PartitionReceipt | None, had: BlockReceipt | None, values: dict[str, Any], *, overwrite: bool
) -> str:
    if overwrite:
        return "overwrite"
    if previous is None:
        return "missing"
    if had is None:
        return "new scenes"
    if had.status == "failed":
        return f"failed: {had.cause}"
    if previous.code_version != CODE:
        return f"code {previous.code_version} -> {CODE}"
    before = {k: v for k, v in dict(previous.figures.get("recipe", {})).items() if k in values}
    if before != values:
        return f"recipe changed: {changed(before, values)}"
    return "scenes, heights or cells changed"


def make_chips(
    plan: ChipPlan, project: Project, *, storage: Storage, run_id: str, backend: str = "", expected_usd: Mapping[Any, float] | None = None
) -> Steps[PartitionReceipt]:  # fmt: skip
    """The steps that make what a plan lists, write the table and the receipt, which they return.

    Scenes that fail keep what is stored of them; the receipt is then ``partial`` and names the causes.

    Args:
        plan: What to make.
        project: The recipes.
        storage: Holds pixels, table and receipt.
        run_id: For the receipt.
        backend: Name of the compute backend, for the receipt.
        expected_usd: What each scene is expected to cost, by its name, for the receipt.

    Raises:
        ConfigError: The settings of the project's table are wrong, or its library is not installed; nothing was made.
        StoreError: A table or the receipt was not written; the receipt is as before.
    """
    began, jobs = time.perf_counter(), Jobs(run_id, backend, expected_usd or {})
    shared = project_table(project, storage.root, PRODUCT)  # first: without it no task is worth its time
    results = yield Batch(cutting.run, [_task(t, plan, project, storage) for t in plan.todo])
    if len(results) != len(plan.todo):
        raise ComputeError(
            f"{PRODUCT} {plan.region} {plan.month}: {len(plan.todo) - len(results)} tasks gave no answer"
        )
    known = {b.name: b for b in plan.previous.blocks} if plan.previous else {}
    blocks, rows = list(plan.fresh), []
    for todo, result in zip(plan.todo, results, strict=True):
        if result.status == "ok":
            rows += result.value.rows
            blocks.append(jobs.noted(_made(todo, result.value), result))
        else:
            blocks.append(jobs.noted(_failed(todo, result, known.get(todo.name)), result))
    now = {t.name for t, r in zip(plan.todo, results, strict=True) if r.status == "ok"}
    hrefs = {b.href for b in blocks if b.href and b.name not in now}
    before = read_rows(storage, plan.region, plan.month) if hrefs else None
    kept = before.filter(pc.is_in(before["href"], pa.array(sorted(hrefs), pa.string()))) if before is not None else None
    table = write_rows(storage, plan.region, plan.month, rows, kept)
    receipt = _receipt(
        plan, project, sorted(blocks, key=lambda b: b.name), table, run_id=run_id, seconds=time.perf_counter() - began
    )
    if shared is not None:
        publish(shared, plan.region, plan.month, table)
    storage.write_receipt(receipt)
    _remove_others(storage, plan, {b.href for b in blocks})  # last: the old table named them
    return receipt


def _remove_others(storage: Storage, plan: ChipPlan, named: set[str]) -> None:
    """Delete groups of the partition that its table does not name any more."""
    for name in storage.names(f"{path.CHIPS}/{plan.region}/{plan.month}"):
        group = name.partition(".zarr/")[0] + ".zarr"
        if group not in named:
            storage.delete(name)


def _task(todo: Todo, plan: ChipPlan, project: Project, storage: Storage) -> cutting.ChipTask:
    entry = project.sensor(todo.sensor)
    sensor = sensor_of(entry)
    layer = ArdTask(
        name=todo.layer, region=plan.region, month=plan.month, cells=todo.chips, scenes=(todo.scene,), sensor=entry, bands=chip_bands(project, sensor),
        ard=layer_recipe(project), mask=MaskRecipe(kind="none"), catalog=project.catalog_of(todo.sensor), root=storage.root, reader=project.cube.reader,
        terrain=terrain_correction(project, sensor, todo.heights, [c.box for c in todo.chips]),
    )  # fmt: skip
    base = path.chip_group(todo.sensor, plan.region, plan.month, todo.layer, todo.key)
    return cutting.ChipTask(layer, mask_for(project.mask, sensor), base, project.chips.min_valid)


def _made(todo: Todo, result: cutting.ChipResult) -> BlockReceipt:
    pixels = sum(c.box.shape[0] * c.box.shape[1] for c in todo.chips)
    size = todo.chips[0].box.shape[0] * todo.chips[0].box.shape[1]
    observed = sum(round(r["valid_fraction"] * size) for r in result.rows)
    return BlockReceipt(
        row=0, col=0, name=todo.name, key=todo.key, chunks=[], cells=sorted({c.cell_id for c in todo.chips}), scene_ids=[todo.scene.item_id],
        height_ids=[s.item_id for s in todo.heights], days=1, pixels=pixels, observed=observed, bytes_read=result.bytes_read, requests=result.requests,
        notes=list(result.notes), href=result.href, wall_s=result.wall_s, cpu_s=result.cpu_s,
    )  # fmt: skip


def _failed(todo: Todo, result: TaskResult, had: BlockReceipt | None) -> BlockReceipt:
    """The receipt of a scene whose chips could not be cut: what is still stored of them, and the cause."""
    held = had or BlockReceipt(row=0, col=0, name=todo.name, key="", chunks=[])
    changes = {
        "status": "failed", "cause": result.cause, "error": result.error, "missing": sorted({c.cell_id for c in todo.chips}), "bytes_read": 0, "requests": 0,
        "wall_s": round(result.run_s, 3),
    }  # fmt: skip
    return held.model_copy(update=changes)


def _receipt(
    plan: ChipPlan, project: Project, blocks: list[BlockReceipt], table: pa.Table, *, run_id: str, seconds: float
) -> PartitionReceipt:
    bad, now = [b for b in blocks if b.status == "failed"], [b for b in blocks if b.name in {t.name for t in plan.todo}]
    values: dict[str, Any] = {}
    for name in chip_sensors(project):
        values |= recipe_values(project, sensor_of(project.sensor(name)))
    pixels = sum(b.pixels for b in blocks)
    return PartitionReceipt(
        product=PRODUCT, region=plan.region, month=plan.month, run_id=run_id, made_at=dt.datetime.now(dt.UTC), wall_s=round(seconds, 3),
        status="ok" if not bad else "failed" if len(bad) == len(blocks) else "partial", data_version=chips_version(blocks),
        recipe_hash=digest(values), scene_hash=scene_hash([*plan.scenes, *plan.heights]), code_version=CODE,
        scenes=[scene_use(s) for s in plan.scenes], heights=[scene_use(s) for s in plan.heights], dropped=list(plan.dropped), blocks=blocks,
        figures={
            "recipe": values, "table": plan.table, "chips": table.num_rows, "places": len(plan.chips), "cells": len({c.cell_id for c in plan.chips}), "pixels": pixels,
            "observed_share": round(sum(b.observed for b in blocks) / pixels, 4) if pixels else 0.0,
            "clear_fraction": round(float(pc.mean(table["clear_fraction"]).as_py() or 0.0), 4),
            "bytes_read": sum(b.bytes_read for b in now), "requests": sum(b.requests for b in now), "cpu_s": round(sum(b.cpu_s for b in now), 3),
            "blocks_made": len([b for b in now if b.status == "ok"]), "blocks_failed": len(bad), "blocks_kept": len(blocks) - len(now), **money(now),
        },
    )  # fmt: skip
