"""One partition of a prediction: which maps are still to be made, why, and how they are made and recorded."""

import datetime as dt
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo_assets.errors import ComputeError
from geo_assets.model import path
from geo_assets.model.cell import CellBox
from geo_assets.model.geometry import Block, PixelGrid
from geo_assets.model.period import Periods
from geo_assets.model.plugin import Cube
from geo_assets.model.prediction import PredictionTask, prediction_settings
from geo_assets.model.project import Project
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.model.recipe import digest
from geo_assets.model.sensor import Sensor
from geo_assets.model.task import TaskResult
from geo_assets.storage import Storage
from geo_assets.tasks import prediction
from geo_assets.tasks.jobs import Jobs, money
from geo_assets.tasks.model_file import stage
from geo_assets.tasks.prediction_picture import update_picture
from geo_assets.tasks.predictor import Composites, Predictor
from geo_assets.tasks.steps import Batch, Steps


@dataclass(frozen=True)
class Todo:
    """Maps that are to be made by one task: of the cells whose centres lie in a block, and why."""

    block: Block
    cells: tuple[CellBox, ...]
    key: str
    reason: str

    @property
    def pixels(self) -> int:
        """Of its maps."""
        return sum(c.box.shape[0] * c.box.shape[1] for c in self.cells)


@dataclass(frozen=True)
class PredictionPlan:
    """What a partition needs.

    Attributes:
        predictor: The model.
        region: Key of the region that owns the cells.
        month: Key of the last period that is read.
        grid: Pixel grid of the region's group.
        cells: Cells that the region owns.
        todo: Maps to make.
        fresh: Receipts of the maps that are as they should be.
        previous: Receipt of the partition as it is now.
        inputs: Data versions of the composites of its own region, by period.
        cube: Id of the cube.
    """

    predictor: Predictor
    region: str
    month: str
    grid: PixelGrid
    cells: tuple[CellBox, ...]
    todo: tuple[Todo, ...]
    fresh: tuple[BlockReceipt, ...]
    previous: PartitionReceipt | None
    inputs: Mapping[str, str]
    cube: str | None

    @property
    def done(self) -> PartitionReceipt | None:
        """The receipt that is there, if it says what is wanted; else there is something to make, or to put right in it."""
        if self.previous is None or self.todo or self.previous.failures:
            return None
        return self.previous if maps_version(self.fresh) == self.previous.data_version else None

    @property
    def reason(self) -> str:
        """Why it is not fresh, in the words of its maps, or ""."""
        reasons = [t.reason for t in self.todo]
        if not reasons and self.previous is not None and self.done is None:
            reasons = ["cells withdrawn"]
        return "; ".join(dict.fromkeys(reasons))


def maps_version(blocks: Sequence[BlockReceipt]) -> str:
    """Data version of a partition from the keys of its maps; their order does not count."""
    return digest([prediction.CODE_VERSION, sorted([b.row, b.col, b.key, sorted(b.cells)] for b in blocks if b.key)])


def plan_prediction(
    predictor: Predictor, *, region: str, month: str, grid: PixelGrid, cells: Sequence[CellBox], regions: Sequence[str],
    composites: Composites, previous: PartitionReceipt | None, cube: str | None, overwrite: bool = False, fault: str = "",
) -> PredictionPlan:  # fmt: skip
    """Compare what is wanted with what the receipt says; reads no pixel.

    Args:
        predictor: The model.
        region: Key of the region.
        month: Key of the last period that is read.
        grid: Pixel grid of the region's group.
        cells: Cells that the region owns.
        regions: Whose composites must be there, see ``needed_regions``. Windows may see more, as far as it is there.
        composites: Receipts of composites.
        previous: Receipt of the partition, if there is one.
        cube: Id of the cube.
        overwrite: Make everything again.
        fault: What is wrong with the receipt that is there, which is why ``previous`` is None.

    Raises:
        PartitionError: A composite that is needed is missing.
    """
    for key in predictor.series[month]:
        for name in regions:
            composites.of(name, key, grid)
    known = {Block(b.row, b.col): b for b in previous.blocks} if previous else {}
    todo, fresh = [], []
    for block, own in groups_of(cells, grid).items():
        key = _key(predictor, month, grid, own, composites)
        had = known.get(block)
        if had is not None and had.key == key and had.status == "ok" and not overwrite:
            fresh.append(had)
        else:
            reason = "overwrite" if overwrite else fault or _reason(previous, had, own)
            todo.append(Todo(block, own, key, reason))
    inputs = {key: composites.of(region, key, grid).data_version for key in predictor.series[month]}
    return PredictionPlan(
        predictor, region, month, grid, tuple(cells), tuple(todo), tuple(fresh), previous, inputs, cube
    )


def _reason(previous: PartitionReceipt | None, had: BlockReceipt | None, cells: Sequence[CellBox]) -> str:
    if previous is None:
        return "missing"
    if had is None or set(had.cells) != {c.id for c in cells}:
        return "other cells"
    if had.status == "failed":
        return f"failed: {had.cause}"
    if previous.code_version != prediction.CODE_VERSION:
        return f"code {previous.code_version} -> {prediction.CODE_VERSION}"
    return "composite or model changed"


def groups_of(cells: Sequence[CellBox], grid: PixelGrid) -> dict[Block, tuple[CellBox, ...]]:
    """Cells by the block that their centre lies in."""
    found: dict[Block, list[CellBox]] = {}
    for cell in cells:
        rows, cols = grid.array_slices(cell.box)
        middle = [slice((s.start + s.stop) // 2, (s.start + s.stop) // 2 + 1) for s in (rows, cols)]
        (block,) = grid.blocks_at(*middle)
        found.setdefault(block, []).append(cell)
    return {block: tuple(found[block]) for block in sorted(found)}


def _key(predictor: Predictor, month: str, grid: PixelGrid, cells: Sequence[CellBox], composites: Composites) -> str:
    """Fingerprint of all that the maps of some cells depend on."""
    blocks = sorted({b for cell in cells for b in grid.blocks_at(*predictor.reach(cell, grid))})
    read = []
    for key in predictor.series[month]:
        for block in blocks:
            receipt = composites.found(grid.region_of(block).key, key, grid)
            of = (
                next((b for b in receipt.blocks if (b.row, b.col) == (block.row, block.col)), None) if receipt else None
            )
            read.append([key, block.row, block.col, of.key if of else "", sorted(map(list, of.chunks)) if of else []])
    places = [[c.id, str(c.box.left), str(c.box.top), *c.box.shape] for c in cells]
    return digest([prediction.CODE_VERSION, prediction_settings(predictor.model, predictor.recipe), places, read])


def make_prediction(
    plan: PredictionPlan, project: Project, sensor: Sensor, *, periods: Periods, cube: Cube, storage: Storage, run_id: str,
    backend: str = "", expected_usd: Mapping[tuple[int, int], float] | None = None,
) -> Steps[PartitionReceipt]:  # fmt: skip
    """The steps that make what a plan lists and write the receipt, which they return.

    Cells whose task fails keep the map that is stored of them; the receipt is then ``partial`` and names the causes.

    Args:
        plan: What to make.
        project: The recipes.
        sensor: Of the cube.
        periods: The time axis.
        cube: The cube.
        storage: Holds model, maps, picture and receipt.
        run_id: For the receipt.
        backend: Name of the compute backend, for the receipt.
        expected_usd: What each task is expected to cost, by row and column, for the receipt.

    Raises:
        ConfigError: The model's file is missing, or not what its item says.
        StoreError: The receipt was not written.
    """
    began, jobs = time.perf_counter(), Jobs(run_id, backend, expected_usd or {})
    tasks = _tasks(plan, project, sensor, periods, cube, storage) if plan.todo else []
    results = yield Batch(prediction.run, tasks)
    if len(results) != len(tasks):
        raise ComputeError(
            f"{plan.predictor.product} {plan.region} {plan.month}: {len(tasks) - len(results)} tasks gave no answer"
        )
    known = {Block(b.row, b.col): b for b in plan.previous.blocks} if plan.previous else {}
    blocks = list(plan.fresh)
    for todo, result in zip(plan.todo, results, strict=True):
        block = _made(todo, result.value) if result.status == "ok" else _failed(todo, result, known.get(todo.block))
        blocks.append(jobs.noted(block, result))
    receipt = _receipt(
        plan, sorted(blocks, key=lambda b: (b.row, b.col)), tasks, run_id=run_id, seconds=time.perf_counter() - began
    )
    pictures = {m.cell: m.picture for r in results if r.status == "ok" for m in r.value.maps}
    had = {c for b in plan.previous.blocks for c in b.cells} if plan.previous else set()
    boxes = {c.id: c.box for c in plan.cells}
    update_picture(storage, receipt, boxes, pictures, same_cells=had == boxes.keys())
    storage.write_receipt(receipt)
    _delete_withdrawn(storage, receipt)  # last: until now the receipt that was there might have named them
    return receipt


def _tasks(
    plan: PredictionPlan, project: Project, sensor: Sensor, periods: Periods, cube: Cube, storage: Storage
) -> list[PredictionTask]:
    model, recipe = plan.predictor.model, plan.predictor.recipe
    read = plan.predictor.series[plan.month]
    stacked = project.cube.layout == "stacked"
    arrays = tuple(
        (project.cube.varname, project.cube.bands.index(b.name)) if stacked else (b.name, None) for b in model.bands
    )
    common: dict[str, Any] = {
        "region": plan.region, "month": plan.month, "grid": plan.grid, "model": model, "recipe": recipe, "root": storage.root,
        "folder": stage(storage, model, Path(recipe.model).parent), "bands": tuple(sensor.bands[b.name] for b in model.bands), "arrays": arrays,
        "times": tuple(periods.index(k) for k in read), "start": str(periods.at(periods.index(read[0])).start),
        "end": str(periods.at(periods.index(read[-1])).end), "store": project.cube.store, "reader": cube.session(plan.grid.group).handle(),
        "snapshot": next((str(c["id"]) for c in cube.history()), ""),
    }  # fmt: skip
    return [PredictionTask(row=t.block.row, col=t.block.col, cells=t.cells, **common) for t in plan.todo]


def _made(todo: Todo, result: prediction.PredictionResult) -> BlockReceipt:
    counts: Counter[str] = Counter()
    for one in result.maps:
        counts.update({str(k): v for k, v in one.counts.items()})
    return BlockReceipt(
        row=todo.block.row, col=todo.block.col, key=todo.key, chunks=[], cells=[c.id for c in todo.cells], classes=dict(counts),
        pixels=sum(m.pixels for m in result.maps), observed=sum(m.seen for m in result.maps), wall_s=result.wall_s, cpu_s=result.cpu_s,
    )  # fmt: skip


def _failed(todo: Todo, result: TaskResult, had: BlockReceipt | None) -> BlockReceipt:
    """The receipt of maps that could not be made: what is still stored of them, and the cause."""
    held = had or BlockReceipt(row=todo.block.row, col=todo.block.col, key="", chunks=[])
    changed = {
        "status": "failed", "cause": result.cause, "error": result.error, "missing": [c.id for c in todo.cells], "wall_s": round(result.run_s, 3),
    }  # fmt: skip
    return held.model_copy(update=changed)


def _receipt(
    plan: PredictionPlan, blocks: list[BlockReceipt], tasks: Sequence[PredictionTask], *, run_id: str, seconds: float
) -> PartitionReceipt:
    bad, made = [b for b in blocks if b.status == "failed"], {t.block for t in plan.todo}
    now = [b for b in blocks if Block(b.row, b.col) in made]
    pixels, seen = sum(b.pixels for b in blocks), sum(b.observed for b in blocks)
    model = plan.predictor.model
    counts: Counter[str] = Counter()
    for block in blocks:
        counts.update(block.classes)
    names = {str(c.value): c.name for c in model.classes}
    return PartitionReceipt(
        product=plan.predictor.product, region=plan.region, month=plan.month, run_id=run_id, made_at=dt.datetime.now(dt.UTC), wall_s=round(seconds, 3),
        status="ok" if not bad else "failed" if len(bad) == len(blocks) else "partial", data_version=maps_version(blocks),
        recipe_hash=prediction_settings(model, plan.predictor.recipe), code_version=prediction.CODE_VERSION, blocks=blocks, cube=plan.cube or "",
        snapshot=tasks[0].snapshot if tasks else plan.previous.snapshot if plan.previous else "",
        figures={
            "model": model.item_id, "sha256": model.artifact.sha256, "periods": len(plan.predictor.series[plan.month]),
            "formats": ["cog", "zarr"] if plan.predictor.recipe.format == "both" else [plan.predictor.recipe.format], "cells": sum(len(b.cells) for b in blocks),
            "pixels": pixels, "observed_share": round(seen / pixels, 4) if pixels else 0.0,
            "classes": {names.get(k, k): round(n / seen, 4) for k, n in sorted(counts.items(), key=lambda kn: int(kn[0])) if seen},
            "cpu_s": round(sum(b.cpu_s for b in now), 3), "blocks_made": len([b for b in now if b.status == "ok"]), "blocks_failed": len(bad),
            "blocks_kept": len(blocks) - len(now), **money(now),
        },
    )  # fmt: skip


def _delete_withdrawn(storage: Storage, receipt: PartitionReceipt) -> None:
    """Delete maps of cells that are not of the partition any more, so that nobody takes them for its own."""
    label = receipt.product.partition("/")[2]
    kept = {cell for block in receipt.blocks for cell in (*block.cells, *block.missing)}
    base = path.prediction(label, receipt.region, str(receipt.month), "")
    for name in storage.names(base.rstrip("/")):
        cell = name.removeprefix(base).split("/")[0].rsplit(".", 1)[0]
        if cell not in kept:
            storage.delete(name)
