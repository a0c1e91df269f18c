"""One partition of the pyramid: which blocks of the composite changed, and how the levels over them are made."""

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from geo_assets.errors import ComputeError, PartitionError
from geo_assets.model import path
from geo_assets.model.cf import CATEGORICAL
from geo_assets.model.geometry import Block, PixelGrid
from geo_assets.model.levels import blockwise, levels
from geo_assets.model.period import Periods
from geo_assets.model.plugin import Cube
from geo_assets.model.project import Project
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt, composite_version
from geo_assets.model.recipe import digest
from geo_assets.model.sensor import Sensor
from geo_assets.model.task import PyramidTask, TaskResult
from geo_assets.storage import Storage
from geo_assets.tasks import composite as composite_task
from geo_assets.tasks import pyramid
from geo_assets.tasks.jobs import Jobs, money
from geo_assets.tasks.partition import PRODUCT as COMPOSITE
from geo_assets.tasks.partition import left
from geo_assets.tasks.pixels import stored_blocks
from geo_assets.tasks.previous import read_previous
from geo_assets.tasks.quicklook import update_overview
from geo_assets.tasks.steps import Batch, Steps

PRODUCT = "pyramid"


@dataclass(frozen=True)
class Todo:
    """A block of the composite over which the pyramid is to be made, and why."""

    source: BlockReceipt
    reason: str

    @property
    def block(self) -> Block:
        """Which block."""
        return Block(self.source.row, self.source.col)


@dataclass(frozen=True)
class PyramidPlan:
    """What a partition needs.

    Attributes:
        composite: Receipt of the composite that it is made from.
        grid: Pixel grid of the group.
        todo: Blocks over which it is to be made.
        fresh: Receipts of the blocks over which it is as it should be.
        previous: Receipt of the partition as it is now.
    """

    composite: PartitionReceipt
    grid: PixelGrid
    todo: tuple[Todo, ...]
    fresh: tuple[BlockReceipt, ...]
    previous: PartitionReceipt | None

    @property
    def done(self) -> PartitionReceipt | None:
        """The receipt that is there, if it says what is wanted; else there is something to make, or to put right in it."""
        return self.previous if self.previous and not self.todo and not self.previous.failures else None

    @property
    def reason(self) -> str:
        """Why it is not fresh, in the words of its blocks, or ""."""
        return "; ".join(dict.fromkeys(t.reason for t in self.todo))


def read_composite(storage: Storage, region: str, month: str, grid: PixelGrid, *, cube: str | None) -> PartitionReceipt:
    """Receipt of the composite that a pyramid is made from.

    Raises:
        PartitionError: There is none, or none that tells what the cube holds.
    """
    known = read_previous(storage, COMPOSITE, region, month, grid)
    advice = f"materialize asset {COMPOSITE} for it first"
    if known.receipt is None:
        raise PartitionError(f"no composite of {region} {month}: {known.fault or 'not made yet'}; {advice}")
    if known.receipt.cube != cube:
        raise PartitionError(f"no composite of {region} {month}: the cube that held it is gone; {advice}")
    if not any(block.chunks for block in known.receipt.blocks) and known.receipt.failures:
        raise PartitionError(f"no composite of {region} {month}: {known.receipt.failures[0].cause}; {advice}")
    return known.receipt


def plan_pyramid(
    composite: PartitionReceipt, grid: PixelGrid, previous: PartitionReceipt | None, *, overwrite: bool = False, fault: str = ""
) -> PyramidPlan:  # fmt: skip
    """Compare the composite's receipt with the pyramid's; reads no pixel.

    A block's receipt has the key and the chunks of the composite's block that it was made from. Where that block failed
    they are what the cube still holds.

    Args:
        composite: Receipt of the composite.
        grid: Pixel grid of the region's group.
        previous: Receipt of the pyramid, if there is one; that of another cube does not count.
        overwrite: Make everything again.
        fault: What is wrong with the pyramid's receipt that is there, which is why ``previous`` is None.
    """
    if previous is not None and previous.cube != composite.cube:
        previous = None
    known = {(b.row, b.col): b for b in previous.blocks} if previous else {}
    todo, fresh = [], []
    for source in composite.blocks:
        if not source.chunks:  # it failed before anything of it was made
            continue
        had = known.pop((source.row, source.col), None)
        reason = "overwrite" if overwrite else fault or _reason(previous, had, source)
        if had and not reason:
            fresh.append(had)
        else:
            todo.append(Todo(source, reason))
    fresh += filter(None, map(left, known.values()))
    return PyramidPlan(composite, grid, tuple(todo), tuple(fresh), previous)


def _reason(previous: PartitionReceipt | None, had: BlockReceipt | None, source: BlockReceipt) -> str:
    if previous is None:
        return "missing"
    if previous.code_version != pyramid.CODE_VERSION:
        return f"code {previous.code_version} -> {pyramid.CODE_VERSION}"
    if had is None:
        return "new cells"
    if had.status == "failed":
        return f"failed: {had.cause}"
    if had.key != source.key:
        return "composite changed"
    same = {tuple(c) for c in had.chunks} == {tuple(c) for c in source.chunks}
    return "" if same else "new cells"


def make_pyramid(
    plan: PyramidPlan, project: Project, sensor: Sensor, *, periods: Periods, cube: Cube, storage: Storage, run_id: str,
    backend: str = "", expected_usd: Mapping[tuple[int, int], float] | None = None,
) -> Steps[PartitionReceipt]:  # fmt: skip
    """The steps that make what a plan lists, commit it at once, and write the receipt, which they return.

    Over failed blocks the levels keep what they held; the receipt is then ``partial`` and names the causes.

    Args:
        plan: What to make.
        project: The recipes.
        sensor: Of the cube.
        periods: The time axis.
        cube: The cube, whose levels exist.
        storage: For the receipt and the picture.
        run_id: For the receipt.
        backend: Name of the compute backend, for the receipt.
        expected_usd: What each block is expected to cost, by row and column, for the receipt.

    Raises:
        StoreError: The commit failed; the cube and the receipt are as before.
    """
    began, jobs = time.perf_counter(), Jobs(run_id, backend, expected_usd or {})
    session = cube.session(plan.grid.group)
    maker = _Maker(plan, project, sensor, periods.index(str(plan.composite.month)), cube, session.handle(), jobs)
    made, failed, changes = yield from maker.make()
    blocks = sorted([*plan.fresh, *made, *failed], key=lambda b: (b.row, b.col))
    receipt = _receipt(plan, blocks, maker, run_id=run_id, seconds=time.perf_counter() - began)
    snapshot = plan.previous.snapshot if plan.previous else ""
    if made:
        message = f"{PRODUCT} {receipt.region} {receipt.month}"
        snapshot = session.commit(changes, message, _commit_metadata(receipt)) or snapshot
    receipt = receipt.model_copy(update={"snapshot": snapshot})
    if changes:
        update_overview(storage, receipt, plan.grid, cube, project.cube, sensor, periods.index(str(receipt.month)))
    elif plan.previous is None:  # a picture that is there is of a cube that was replaced
        storage.delete(path.quicklook(PRODUCT, receipt.region, str(receipt.month)))
    storage.write_receipt(receipt)
    return receipt


class _Maker:
    """The tasks of one partition: first the blocks side by side, then the levels that are one shard a region."""

    def __init__(
        self, plan: PyramidPlan, project: Project, sensor: Sensor, time_index: int, cube: Cube, handle: bytes,
        jobs: Jobs,
    ) -> None:  # fmt: skip
        self.shards, self.cpu_s = 0, 0.0
        self.above: list[TaskResult] = []  # the task of the levels above, which is no block's
        self._plan, self._jobs = plan, jobs
        self._levels = levels(plan.grid)
        self._own = blockwise(plan.grid, self._levels)
        names = composite_task.variables(sensor, project.cube)
        self._held = self._stored(cube, [v.name for v in names], time_index)
        self._common: dict[str, Any] = {
            "region": plan.composite.region, "month": str(plan.composite.month), "time_index": time_index, "grid": plan.grid,
            "arrays": tuple((v.name, v.fill, bool(v.attrs.get(CATEGORICAL))) for v in names), "store": project.cube.store, "writer": handle,
        }  # fmt: skip

    def make(self) -> Steps[tuple[list[BlockReceipt], list[BlockReceipt], list[bytes]]]:
        """Receipts of the blocks that were made and of those that failed, and the changes to commit."""
        work = [t for t in self._plan.todo if not self._blank(t)]
        blank = [_made(t) for t in self._plan.todo if self._blank(t)]
        if not work:
            return blank, [], []
        results: Sequence[TaskResult | None] = [None] * len(work)
        if self._own:
            results = yield from self._run([self._block_task(t) for t in work])
        failed = [self._failed(t, r) for t, r in zip(work, results, strict=True) if r and r.status != "ok"]
        good = [(t, r) for t, r in zip(work, results, strict=True) if not r or r.status == "ok"]
        changes = [r.value.changes for _, r in good if r]
        if good and self._own < len(self._levels):
            self.above = yield from self._run(
                [self._region_task({t.block: r.value.changes if r else b"" for t, r in good})]
            )
            (top,) = self.above
            if top.status != "ok":  # levels that do not agree must not be seen
                self.shards = 0
                return blank, [*failed, *(self._failed(t, _at_cost_of(r, top)) for t, r in good)], []
            changes.append(top.value.changes)
        return [*blank, *(self._made(t, r) for t, r in good)], failed, changes

    def _made(self, todo: Todo, result: TaskResult | None) -> BlockReceipt:
        made = _made(todo, result.value if result else None)
        return self._jobs.noted(made, result) if result else made

    def _stored(self, cube: Cube, names: list[str], time_index: int) -> set[Block]:
        """Blocks of which the level holds something that those of the region are made from.

        The cube is asked, since it may hold pixels that no receipt tells of: a receipt may be lost, or a run killed before it.
        """
        plan = self._plan
        listed = [*plan.composite.blocks, *(plan.previous.blocks if plan.previous else [])]
        blocks = sorted({Block(b.row, b.col) for b in listed})
        below = self._levels[self._own - 1] if self._own else plan.grid
        labels = [f"{self._own}/{name}" if self._own else name for name in names]
        return stored_blocks(cube, below, labels, time_index, blocks)

    def _blank(self, todo: Todo) -> bool:
        """Whether no scene reaches a block and no level holds anything of it, so that there is nothing to do."""
        return not todo.source.days and bool(self._own) and todo.block not in self._held

    def _run(self, tasks: Sequence[PyramidTask]) -> Steps[list[TaskResult]]:
        results = yield Batch(pyramid.run, tasks)
        if len(results) != len(tasks):
            raise ComputeError(f"{tasks[0].name}: {len(tasks) - len(results)} of {len(tasks)} tasks gave no answer")
        made = [r.value for r in results if r.status == "ok"]
        self.shards += sum(v.shards for v in made)
        self.cpu_s += sum(v.cpu_s for v in made)
        return results

    def _block_task(self, todo: Todo) -> PyramidTask:
        chunks = tuple((row, col) for row, col in todo.source.chunks)
        return PyramidTask(block=todo.block, chunks=chunks, cells=tuple(todo.source.cells), **self._common)

    def _region_task(self, made: dict[Block, bytes]) -> PyramidTask:
        below = {block: made.get(block, b"") for block in sorted(self._held | made.keys())}
        return PyramidTask(block=None, chunks=(), below=tuple(below.items()), **self._common)

    def _failed(self, todo: Todo, result: TaskResult) -> BlockReceipt:
        """The receipt of a block that could not be made: what the levels still hold, and the cause."""
        previous = self._plan.previous
        had = next((b for b in previous.blocks if Block(b.row, b.col) == todo.block), None) if previous else None
        held = had or BlockReceipt(row=todo.block.row, col=todo.block.col, key="", chunks=[])
        changed = {
            "cause": result.cause,
            "error": result.error,
            "cells": list(todo.source.cells),
        }
        failed = held.model_copy(update={"status": "failed", "wall_s": round(result.run_s, 3), **changed})
        return self._jobs.noted(failed, result)


def _at_cost_of(own: TaskResult | None, top: TaskResult) -> TaskResult:
    """The failure of the levels above for a block, with what the block's own task cost: that of the levels counts once."""
    return replace(top, usd=own.usd if own else 0.0, billed_s=own.billed_s if own else 0.0)


def _made(todo: Todo, result: pyramid.PyramidResult | None = None) -> BlockReceipt:
    """The receipt of a block over which the levels are made: what of the composite they were made from."""
    source = todo.source
    return BlockReceipt(
        row=source.row, col=source.col, key=source.key, chunks=source.chunks, cells=source.cells, days=source.days, pixels=source.pixels,
        observed=source.observed, n_clear_mean=source.n_clear_mean, wall_s=result.wall_s if result else 0.0, cpu_s=result.cpu_s if result else 0.0,
    )  # fmt: skip


def pyramid_version(blocks: list[BlockReceipt]) -> str:
    """Data version of a pyramid partition: of what it was made from, and of the code."""
    return digest([PRODUCT, pyramid.CODE_VERSION, composite_version(blocks)])


def _receipt(
    plan: PyramidPlan, blocks: list[BlockReceipt], maker: _Maker, *, run_id: str, seconds: float
) -> PartitionReceipt:
    bad = [b for b in blocks if b.status == "failed"]
    todo = {t.block for t in plan.todo}
    now = [b for b in blocks if Block(b.row, b.col) in todo]
    composite = plan.composite
    return PartitionReceipt(
        product=PRODUCT, region=composite.region, month=composite.month, run_id=run_id, made_at=dt.datetime.now(dt.UTC), wall_s=round(seconds, 3),
        status="ok" if not bad else "failed" if len(bad) == len(blocks) else "partial", data_version=pyramid_version(blocks),
        recipe_hash=composite.recipe_hash, scene_hash=composite.scene_hash, code_version=pyramid.CODE_VERSION, cube=composite.cube, blocks=blocks,
        figures={
            "levels": len(levels(plan.grid)), "shards": maker.shards, "pixels": sum(b.pixels for b in blocks), "composite": composite.data_version,
            "pixels_read": sum(b.pixels for b in now if b.status == "ok" and b.days), "cpu_s": round(maker.cpu_s, 3),
            "blocks_made": len([b for b in now if b.status == "ok"]), "blocks_failed": len(bad), "blocks_kept": len(blocks) - len(now),
            **money(now, maker.above),
        },
    )  # fmt: skip


def _commit_metadata(receipt: PartitionReceipt) -> dict[str, str]:
    return {
        "product": receipt.product, "region": receipt.region, "month": str(receipt.month), "status": receipt.status, "recipe_hash": receipt.recipe_hash,
        "scene_hash": receipt.scene_hash, "data_version": receipt.data_version, "run_id": receipt.run_id,
    }  # fmt: skip
