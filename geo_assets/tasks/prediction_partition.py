"""One partition of a prediction: how its maps are made and recorded."""

import datetime as dt
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from geo_assets.eo.tile_keys import map_place
from geo_assets.errors import ComputeError
from geo_assets.model import path
from geo_assets.model.prediction import CubeSeries, PredictionTask, prediction_settings
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.model.task import TaskResult
from geo_assets.storage import Storage
from geo_assets.tasks import prediction
from geo_assets.tasks.jobs import Jobs, money
from geo_assets.tasks.prediction_picture import update_picture
from geo_assets.tasks.prediction_plan import PredictionPlan, Todo, maps_version, place_of
from geo_assets.tasks.steps import Batch, Steps


def make_prediction(
    plan: PredictionPlan, tasks: Sequence[PredictionTask], *, storage: Storage, run_id: str, backend: str = "",
    expected_usd: Mapping[Any, float] | None = None,
) -> Steps[PartitionReceipt]:  # fmt: skip
    """The steps that make what a plan lists and write the receipt, which they return.

    Cells whose task fails keep the map that is stored of them; the receipt is then ``partial`` and names the causes.

    Args:
        plan: What to make.
        tasks: That make it, in its order.
        storage: Holds model, maps, picture and receipt.
        run_id: For the receipt.
        backend: Name of the compute backend, for the receipt.
        expected_usd: What each task is expected to cost, by row and column or by tile, for the receipt.

    Raises:
        StoreError: The receipt was not written.
    """
    began, jobs = time.perf_counter(), Jobs(run_id, backend, expected_usd or {})
    results = yield Batch(prediction.run, tasks)
    if len(results) != len(tasks):
        raise ComputeError(
            f"{plan.predictor.product} {plan.region} {plan.month}: {len(tasks) - len(results)} tasks gave no answer"
        )
    known = {place_of(b): b for b in plan.previous.blocks} if plan.previous else {}
    blocks = list(plan.fresh)
    for todo, result in zip(plan.todo, results, strict=True):
        block = _made(todo, result.value) if result.status == "ok" else _failed(todo, result, known.get(todo.place))
        blocks.append(jobs.noted(block, result))
    receipt = _receipt(
        plan,
        sorted(blocks, key=lambda b: (b.row, b.col, b.name)),
        tasks,
        run_id=run_id,
        seconds=time.perf_counter() - began,
    )
    pictures = {m.cell: m.picture for r in results if r.status == "ok" for m in r.value.maps}
    had = {c for b in plan.previous.blocks for c in b.cells} if plan.previous else set()
    boxes = {c.id: c.box for c in plan.cells}
    update_picture(storage, receipt, boxes, pictures, same_cells=had == boxes.keys())
    storage.write_receipt(receipt)
    _delete_withdrawn(storage, plan, receipt)  # last: until now the receipt that was there might have named them
    return receipt


def _made(todo: Todo, result: prediction.PredictionResult) -> BlockReceipt:
    counts: Counter[str] = Counter()
    for one in result.maps:
        counts.update({str(k): v for k, v in one.counts.items()})
    return BlockReceipt(
        row=todo.block.row, col=todo.block.col, name=todo.tile, key=todo.key, chunks=[], cells=[c.id for c in todo.cells], classes=dict(counts),
        pixels=sum(m.pixels for m in result.maps), observed=sum(m.seen for m in result.maps), wall_s=result.wall_s, cpu_s=result.cpu_s,
        notes=[note for m in result.maps for note in m.notes],
    )  # fmt: skip


def _failed(todo: Todo, result: TaskResult, had: BlockReceipt | None) -> BlockReceipt:
    """The receipt of maps that could not be made: what is still stored of them, and the cause."""
    held = had or BlockReceipt(row=todo.block.row, col=todo.block.col, name=todo.tile, key="", chunks=[])
    changed = {
        "status": "failed", "cause": result.cause, "error": result.error, "missing": [c.id for c in todo.cells], "wall_s": round(result.run_s, 3),
    }  # fmt: skip
    return held.model_copy(update=changed)


def _receipt(
    plan: PredictionPlan, blocks: list[BlockReceipt], tasks: Sequence[PredictionTask], *, run_id: str, seconds: float
) -> PartitionReceipt:
    bad, made = [b for b in blocks if b.status == "failed"], {t.place for t in plan.todo}
    now = [b for b in blocks if place_of(b) in made]
    pixels, seen = sum(b.pixels for b in blocks), sum(b.observed for b in blocks)
    model, recipe = plan.predictor.model, plan.predictor.recipe
    snapshot = plan.previous.snapshot if plan.previous else ""
    if tasks:
        snapshot = tasks[0].reads.snapshot if isinstance(tasks[0].reads, CubeSeries) else ""
    counts: Counter[str] = Counter()
    for block in blocks:
        counts.update(block.classes)
    names = {str(c.value): c.name for c in model.classes}
    return PartitionReceipt(
        product=plan.predictor.product, region=plan.region, month=plan.month, run_id=run_id, made_at=dt.datetime.now(dt.UTC), wall_s=round(seconds, 3),
        status="ok" if not bad else "failed" if len(bad) == len(blocks) else "partial", data_version=maps_version(blocks),
        recipe_hash=prediction_settings(model, recipe), code_version=prediction.CODE_VERSION, blocks=blocks, cube=plan.cube or "",
        snapshot=snapshot,
        figures={
            "model": model.item_id, "source": recipe.source, "sha256": model.artifact.sha256, "periods": len(plan.predictor.series[plan.month]),
            "formats": ["cog", "zarr"] if recipe.format == "both" else [recipe.format], "cells": sum(len(b.cells) for b in blocks),
            "pixels": pixels, "observed_share": round(seen / pixels, 4) if pixels else 0.0,
            "classes": {names.get(k, k): round(n / seen, 4) for k, n in sorted(counts.items(), key=lambda kn: int(kn[0])) if seen},
            "cpu_s": round(sum(b.cpu_s for b in now), 3), "blocks_made": len([b for b in now if b.status == "ok"]), "blocks_failed": len(bad),
            "blocks_kept": len(blocks) - len(now), **money(now),
        },
    )  # fmt: skip


def _delete_withdrawn(storage: Storage, plan: PredictionPlan, receipt: PartitionReceipt) -> None:
    """Delete maps of cells that are not of the partition any more, and files of another format, so that nobody takes them for its own."""
    label, month = receipt.product.partition("/")[2], str(receipt.month)
    kept = {cell for block in receipt.blocks for cell in (*block.cells, *block.missing)}
    if plan.predictor.of_tiles:  # these lie beside other tiles, so only what the receipt named is known
        before = plan.previous if plan.previous and plan.previous.figures.get("source") == "tiles" else None
        had = {cell for block in before.blocks for cell in block.cells} if before else set()
        for cell in sorted(had - kept):
            place = map_place(label, receipt.region, month, cell, source="tiles")
            for ending in (".json", ".png", ".tif"):
                storage.delete(place + ending)
        return
    base = path.prediction(label, receipt.region, month, "")
    failed = {cell for block in receipt.failures for cell in (*block.cells, *block.missing)}
    endings = {"json", "png", *({"cog": "tif"}.get(kind, kind) for kind in receipt.figures["formats"])}
    for name in storage.names(base.rstrip("/")):
        cell, _, ending = name.removeprefix(base).split("/")[0].rpartition(".")
        if cell not in kept or (ending not in endings and cell not in failed):
            storage.delete(name)
