"""One partition of the composite: what is still to be made, why, and how it is made, committed and recorded."""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import geopandas as gpd
import numpy as np

from geo_assets.errors import ComputeError
from geo_assets.model.geometry import PixelGrid
from geo_assets.model.period import Periods
from geo_assets.model.plugin import Cube, CubeSession
from geo_assets.model.project import Project
from geo_assets.model.receipt import BlockReceipt, Dropped, PartitionReceipt, composite_version, scene_use
from geo_assets.model.recipe import digest
from geo_assets.model.scene import Scene
from geo_assets.model.sensor import Sensor
from geo_assets.model.task import CompositeTask, TaskResult, scene_hash
from geo_assets.registry import sensor_of
from geo_assets.storage import Storage
from geo_assets.tasks import composite
from geo_assets.tasks.cells import BlockPlan
from geo_assets.tasks.heights import (
    height_scenes,
    placed_by,
    placing_values,
    refuse_memory,
    terrain_correction,
    under_boxes,
)
from geo_assets.tasks.jobs import Jobs, money
from geo_assets.tasks.layout import cube_id
from geo_assets.tasks.memory import bands_together, itemsize, strips
from geo_assets.tasks.pixels import stored_blocks
from geo_assets.tasks.quicklook import update_pictures
from geo_assets.tasks.search import dropped, used_scenes
from geo_assets.tasks.steps import Batch, Steps

PRODUCT = "composite"


@dataclass(frozen=True)
class Todo:
    """A block that is to be made.

    Attributes:
        plan: What is wanted of it.
        scenes: Scenes that may reach it.
        key: Fingerprint of its scenes, the recipe and the code.
        chunks: What is computed now; not all that is wanted if only chunks are missing.
        reason: Why.
        adds: Whether what the block holds stays, beside these chunks.
        heights: Scenes that heights of its ground come from, where it is placed by them.
    """

    plan: BlockPlan
    scenes: tuple[Scene, ...]
    key: str
    chunks: tuple[tuple[int, int], ...]
    reason: str
    adds: bool = False
    heights: tuple[Scene, ...] = ()


@dataclass(frozen=True)
class PartitionPlan:
    """What a partition needs.

    Attributes:
        region: Key of its region.
        month: Key of its period.
        grid: Pixel grid of its group.
        todo: Blocks to make.
        fresh: Receipts of the blocks that are as they should be.
        previous: Receipt of the partition as it is now.
        scenes: Scenes that are used.
        dropped: Scenes that are not.
        heights: Scenes that heights of the ground come from.
    """

    region: str
    month: str
    grid: PixelGrid
    todo: tuple[Todo, ...]
    fresh: tuple[BlockReceipt, ...]
    previous: PartitionReceipt | None
    scenes: tuple[Scene, ...]
    dropped: tuple[Dropped, ...]
    heights: tuple[Scene, ...] = ()

    @property
    def done(self) -> PartitionReceipt | None:
        """The receipt that is there, if it says what is wanted; else there is something to make, or to put right in it."""
        return self.previous if self.previous and not self.todo and not self.previous.failures else None

    @property
    def reason(self) -> str:
        """Why it is not fresh, in the words of its blocks, or ""."""
        return "; ".join(dict.fromkeys(t.reason for t in self.todo))


def recipe_hash(project: Project) -> str:
    """Fingerprint of all settings that a composite's pixels depend on."""
    entry = project.sensor(project.cube.sensor)
    described = [entry.facts] if entry.described else []
    placing = [said] if (said := placing_values(project, sensor_of(entry))) else []
    return digest([composite.pixel_recipe(project.cube), composite.pixel_mask(project.mask), *described, *placing])


def plan_partition(
    project: Project, sensor: Sensor, *, region: str, month: str, grid: PixelGrid, blocks: Sequence[BlockPlan],
    table: gpd.GeoDataFrame, previous: PartitionReceipt | None, cube: str | None = "", overwrite: bool = False,
    fault: str = "", heights: gpd.GeoDataFrame | None = None,
) -> PartitionPlan:  # fmt: skip
    """Compare what is wanted with what the receipt says; reads no pixel.

    Args:
        project: The recipes.
        sensor: Of the cube.
        region: Key of the region.
        month: Key of the period.
        grid: Pixel grid of the region's group.
        blocks: Blocks that the region's cells ask for.
        table: Scene table of the partition.
        previous: Receipt of the partition, if there is one.
        cube: Id of the cube that is there, None if there is none; a receipt of another cube does not count. "" asks nothing.
        overwrite: Make everything again.
        fault: What is wrong with the receipt that is there, which is why ``previous`` is None; everything is made again.
        heights: Scene table of the region for the sensor that tells heights (``heights.height_sensor``), where one is needed.

    Raises:
        ConfigError: The scenes lack a band, or a block does not fit into its memory.
    """
    if previous is not None and cube != "" and previous.cube != cube:
        previous = None
    scenes = used_scenes(table, sensor, project.cube.bands, project.mask)
    footprints, entry = composite.Footprints(scenes, grid.crs), project.sensor(sensor.name)
    known = {(b.row, b.col): b for b in previous.blocks} if previous else {}
    ground, every, placing = height_scenes(project, sensor, heights), set[int](), placing_values(project, sensor)
    grounds = composite.Footprints(ground, grid.crs)
    todo, fresh = [], []
    for plan in blocks:
        box = grid.block_geobox(plan.block)
        reached, under = footprints.reaching(box), under_boxes(grounds, ground, [box]) if ground else ()
        every |= {id(s) for s in under}
        placed = [] if sensor.geocoded else [*placed_by(project, sensor, under), placing]
        key = composite.block_key(reached, project.cube, project.mask, entry, placed)
        had = known.pop((plan.block.row, plan.block.col), None)
        made = {(r, c) for r, c in had.chunks} if had else set()
        missing = tuple(c for c in plan.chunks if c not in made)
        if had and had.status == "ok" and had.key == key and not missing and not overwrite:
            fresh.append(had)
            continue
        same = had is not None and had.status == "ok" and had.key == key and not overwrite
        chunks = missing if same else tuple(sorted(made | set(plan.chunks)))
        reason = fault or _reason(project, previous, had, (reached, under), same=same, overwrite=overwrite)
        _check_memory(project, sensor, grid, reached)
        if not sensor.geocoded:
            refuse_memory(project.cube, box)
        todo.append(Todo(plan, reached, key, chunks, reason, adds=same, heights=under))
    fresh += filter(None, map(left, known.values()))
    used = tuple(s for s in ground if id(s) in every)
    return PartitionPlan(region, month, grid, tuple(todo), tuple(fresh), previous, scenes, tuple(dropped(table)), used)


def left(had: BlockReceipt) -> BlockReceipt | None:
    """Of a block that no cell asks for any more: what was made stays, and that it could not be made again is no matter."""
    if had.status == "ok":
        return had
    return had.model_copy(update={"status": "ok", "cause": None, "error": None}) if had.chunks else None


def _check_memory(project: Project, sensor: Sensor, grid: PixelGrid, scenes: tuple[Scene, ...]) -> None:
    """Refuses a block that cannot be made within the recipe's memory, before any pixel is read."""
    days, side = len({s.solar_day for s in scenes}), grid.block_px
    strips(
        project.cube, scenes=len(scenes), days=days, shape=(side, side), bands=bands_together(project.cube),
        itemsize=itemsize(sensor.bands[b] for b in project.cube.bands),
    )  # fmt: skip


def _reason(
    project: Project,
    previous: PartitionReceipt | None,
    had: BlockReceipt | None,
    now: tuple[tuple[Scene, ...], tuple[Scene, ...]],
    *,
    same: bool,
    overwrite: bool,
) -> str:
    """Why a block is made, ``now`` of what scenes and on what heights."""
    if overwrite:
        return "overwrite"
    if previous is None:
        return "missing"
    if had is None or same:
        return "new cells"
    if had.status == "failed":
        return f"failed: {had.cause}"
    if previous.code_version != composite.CODE_VERSION:
        return f"code {previous.code_version} -> {composite.CODE_VERSION}"
    if previous.recipe_hash != recipe_hash(project):
        return "recipe changed: " + changed(previous.figures.get("recipe", {}), recipe_values(project))
    parts = []
    listed = (previous.scenes, had.scene_ids, ""), (previous.heights, had.height_ids, " of heights")
    for (known, used, of), scenes in zip(listed, now, strict=True):
        before, ids = {s.id for s in known}, {s.item_id for s in scenes}
        counts = (len(ids - before), "new"), (len((before & {*used}) - ids), "withdrawn")
        parts += [f"{n} {word} scene{'s' if n > 1 else ''}{of}" for n, word in counts if n]
    return ", ".join(parts) or "scenes changed"


def recipe_values(project: Project) -> dict[str, Any]:
    """Settings that a composite's pixels depend on, by their names in the project file."""
    cube = {f"cube.{k}": v for k, v in composite.pixel_recipe(project.cube).items()}
    mask = {f"mask.{k}": v for k, v in composite.pixel_mask(project.mask).items()}
    placing = placing_values(project, sensor_of(project.sensor(project.cube.sensor)))
    return cube | mask | {f"ard.{k}": v for k, v in placing.items()}


def changed(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Settings that differ, at most four of them, as ``name before -> now``."""
    names = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
    return ", ".join(f"{k} {before.get(k)} -> {now.get(k)}" for k in names[:4]) or "unknown settings"


def make_partition(
    plan: PartitionPlan,
    project: Project,
    sensor: Sensor,
    *,
    periods: Periods,
    cube: Cube,
    storage: Storage,
    run_id: str,
    held_in: str | None = None,
    backend: str = "",
    expected_usd: Mapping[tuple[int, int], float] | None = None,
) -> Steps[PartitionReceipt]:
    """The steps that make what a plan lists, commit the good blocks at once, and write the receipt, which they return.

    Failed blocks keep what the cube held before; the receipt is then ``partial`` and names the causes.

    Args:
        plan: What to make.
        project: The recipes.
        sensor: Of the cube.
        periods: The time axis.
        cube: The cube, whose group exists.
        storage: For the receipt and the pictures.
        run_id: For the receipt.
        held_in: Id of the cube, if it is known; else it is asked.
        backend: Name of the compute backend, for the receipt.
        expected_usd: What each block is expected to cost, by row and column, for the receipt.

    Raises:
        StoreError: The commit failed; the cube and the receipt are as before.
    """
    began, jobs = time.perf_counter(), Jobs(run_id, backend, expected_usd or {})
    session = cube.session(plan.grid.group)
    blank, work = _split_blank(plan, cube, [v.name for v in composite.variables(sensor, project.cube)], periods)
    tasks = [_task(todo, plan, project, session, periods) for todo in work]
    done: list[composite.BlockResult] = []
    failed: list[BlockReceipt] = []
    for result in (yield Batch(composite.run, tasks)):
        if result.status == "ok":
            done.append(replace(result.value, receipt=jobs.noted(result.value.receipt, result)))
        else:
            failed.append(jobs.noted(_failed(work[result.index], result, plan.previous), result))
    if len(done) + len(failed) != len(tasks):
        raise ComputeError(
            f"{plan.region} {plan.month}: {len(tasks) - len(done) - len(failed)} of {len(tasks)} tasks gave no answer"
        )
    made = [_merged(receipt, plan.previous) for receipt in [*blank, *(r.receipt for r in done)]]
    blocks = sorted([*plan.fresh, *made, *failed], key=lambda b: (b.row, b.col))
    receipt = _receipt(plan, project, blocks, run_id=run_id, snapshot="", seconds=time.perf_counter() - began)
    snapshot = (
        session.commit([r.changes for r in done], f"{PRODUCT} {plan.region} {plan.month}", _commit_metadata(receipt))
        if made
        else ""
    )
    kept = plan.previous.snapshot if plan.previous else ""
    receipt = receipt.model_copy(update={"snapshot": snapshot or kept, "cube": held_in or cube_id(cube) or ""})
    update_pictures(
        storage,
        receipt,
        plan.grid,
        done,
        cube,
        project.cube,
        sensor,
        periods.index(plan.month),
        anew=plan.previous is None,
    )
    storage.write_receipt(receipt)
    return receipt


def _split_blank(
    plan: PartitionPlan, cube: Cube, names: Sequence[str], periods: Periods
) -> tuple[list[BlockReceipt], list[Todo]]:
    """Receipts of blocks that no scene reaches and that the cube does not hold, for which there is nothing to do; and the rest.

    The cube is asked, since it may hold pixels that no receipt tells of: a receipt may be lost, or a run killed before it.
    """
    unreached = [t.plan.block for t in plan.todo if not t.scenes]
    held = stored_blocks(cube, plan.grid, names, periods.index(plan.month), unreached) if unreached else set()
    receipts, work = [], []
    for todo in plan.todo:
        block = todo.plan.block
        if todo.scenes or block in held:
            work.append(todo)
            continue
        receipts.append(
            BlockReceipt(
                row=block.row, col=block.col, key=todo.key, chunks=[list(c) for c in sorted(todo.chunks)], cells=list(todo.plan.cells),
                pixels=len(todo.chunks) * plan.grid.chunk_px**2,
            )
        )  # fmt: skip
    return receipts, work


def _task(todo: Todo, plan: PartitionPlan, project: Project, session: CubeSession, periods: Periods) -> CompositeTask:
    sensor = sensor_of(project.sensor(project.cube.sensor))
    box = plan.grid.block_geobox(todo.plan.block)
    return CompositeTask(
        region=plan.region, month=plan.month, time_index=periods.index(plan.month), block=todo.plan.block, grid=plan.grid, chunks=todo.chunks,
        scenes=todo.scenes, cube=project.cube, mask=project.mask, sensor=project.sensor(project.cube.sensor), catalog=project.catalog_of(project.cube.sensor), writer=session.handle(), cells=todo.plan.cells,
        key=todo.key, terrain=terrain_correction(project, sensor, todo.heights, [box]), adds=todo.adds, repeatable=session.atomic,
    )  # fmt: skip


def _failed(todo: Todo, result: TaskResult, previous: PartitionReceipt | None) -> BlockReceipt:
    """The receipt of a block that could not be made: what the cube still holds, and the cause."""
    block = todo.plan.block
    had = next((b for b in previous.blocks if (b.row, b.col) == (block.row, block.col)), None) if previous else None
    held = had or BlockReceipt(row=block.row, col=block.col, key="", chunks=[])
    return held.model_copy(
        update={"status": "failed", "cause": result.cause, "error": result.error, "cells": list(todo.plan.cells), "wall_s": round(result.run_s, 3), "bytes_read": 0, "requests": 0}
    )  # fmt: skip


def _merged(receipt: BlockReceipt, previous: PartitionReceipt | None) -> BlockReceipt:
    """The receipt of a block of which only missing chunks were made, together with the chunks that it had."""
    had = next((b for b in previous.blocks if (b.row, b.col) == (receipt.row, receipt.col)), None) if previous else None
    if had is None or had.key != receipt.key:
        return receipt
    chunks = sorted({tuple(c) for c in had.chunks} | {tuple(c) for c in receipt.chunks})
    if len(chunks) == len(receipt.chunks):
        return receipt
    pixels = had.pixels + receipt.pixels
    mean = (had.n_clear_mean * had.pixels + receipt.n_clear_mean * receipt.pixels) / pixels
    return receipt.model_copy(
        update={
            "chunks": [list(c) for c in chunks], "pixels": pixels, "observed": had.observed + receipt.observed, "n_clear_mean": round(mean, 3),
            "scene_ids": sorted({*had.scene_ids, *receipt.scene_ids}), "height_ids": sorted({*had.height_ids, *receipt.height_ids}),
        }
    )  # fmt: skip


def _receipt(
    plan: PartitionPlan, project: Project, blocks: list[BlockReceipt], *, run_id: str, snapshot: str, seconds: float
) -> PartitionReceipt:
    bad = [b for b in blocks if b.status == "failed"]
    made = {(t.plan.block.row, t.plan.block.col) for t in plan.todo}
    now = [b for b in blocks if (b.row, b.col) in made]
    pixels, observed = sum(b.pixels for b in blocks), sum(b.observed for b in blocks)
    return PartitionReceipt(
        product=PRODUCT, region=plan.region, month=plan.month, run_id=run_id, snapshot=snapshot, made_at=dt.datetime.now(dt.UTC), wall_s=round(seconds, 3),
        status="ok" if not bad else "failed" if len(bad) == len(blocks) else "partial", data_version=composite_version(blocks),
        recipe_hash=recipe_hash(project), scene_hash=scene_hash([*plan.scenes, *plan.heights]), code_version=composite.CODE_VERSION,
        scenes=[scene_use(s) for s in plan.scenes], heights=[scene_use(s) for s in plan.heights], dropped=list(plan.dropped), blocks=blocks,
        figures={
            "recipe": recipe_values(project),
            "pixels": pixels, "observed_share": round(observed / pixels, 4) if pixels else 0.0,
            "n_clear_mean": round(float(np.average([b.n_clear_mean for b in blocks], weights=[b.pixels for b in blocks])), 3) if pixels else 0.0,
            "bytes_read": sum(b.bytes_read for b in now), "requests": sum(b.requests for b in now), "cpu_s": round(sum(b.cpu_s for b in now), 3),
            "blocks_made": len(now) - len([b for b in now if b.status == "failed"]), "blocks_failed": len(bad), "blocks_kept": len(blocks) - len(now),
            **money(now),
        },
    )  # fmt: skip


def _commit_metadata(receipt: PartitionReceipt) -> dict[str, str]:
    return {
        "product": receipt.product, "region": receipt.region, "month": str(receipt.month), "status": receipt.status, "recipe_hash": receipt.recipe_hash,
        "scene_hash": receipt.scene_hash, "data_version": receipt.data_version, "run_id": receipt.run_id,
    }  # fmt: skip
