"""A pyramid's pixels: each level from the one below, in strips of rows, and whole shards written at once."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.eo.pyramid import halve
from geo_assets.model.geometry import GeoBox, PixelGrid, Region
from geo_assets.model.levels import blockwise, levels
from geo_assets.model.plugin import BlockReader, BlockWriter, Store
from geo_assets.model.task import PyramidTask
from geo_assets.registry import load

CODE_VERSION = "1"  # raise it when the same composite gives other pixels

Pixels = npt.NDArray[Any]


@dataclass(frozen=True)
class PyramidResult:
    """What a worker sends back, beside which the pixels are in the store.

    Attributes:
        changes: The store's changes.
        shards: Objects that hold something, of those that were written.
        wall_s: How long it took.
        cpu_s: CPU seconds of its thread.
    """

    changes: bytes
    shards: int
    wall_s: float
    cpu_s: float


def run(task: PyramidTask) -> PyramidResult:
    """Make the levels of a block, or those above for its region, and write them through the task's writer.

    Raises:
        StoreError: What they are made from is lost or damaged, or a write failed; nothing counts as written.
    """
    began, cpu = time.perf_counter(), time.thread_time()
    store: Store = load("stores", task.store)
    writer = store.writer(task.writer)
    shards = (_of_block if task.block else _of_region)(task, store, writer)
    return PyramidResult(
        writer.changes(), shards, round(time.perf_counter() - began, 3), round(time.thread_time() - cpu, 3)
    )


def _of_block(task: PyramidTask, store: Store, writer: BlockWriter) -> int:
    """Levels whose shard is a block, from the composite."""
    assert task.block is not None
    grid, block, coarser = task.grid, task.block, levels(task.grid)
    own = coarser[: blockwise(grid, coarser)]
    box, reader = grid.block_geobox(block), store.reader(task.writer)
    step = math.lcm(grid.chunk_px, 2 ** len(own))
    tops = sorted({row * grid.chunk_px // step * step for row, _ in task.chunks})

    def strips(name: str) -> Iterator[tuple[int, Pixels]]:
        for top in tops:
            yield top, _read(reader, name, task, grid, box.window(top, 0, step, grid.block_px))

    places = [(n, level, level.block_geobox(block)) for n, level in enumerate(own, 1)]
    return sum(_make(writer, task, array, strips(array[0]), places) for array in task.arrays)


def _of_region(task: PyramidTask, store: Store, writer: BlockWriter) -> int:
    """Levels whose shard is the region, from the last one whose shard is a block."""
    grid, coarser, region = task.grid, levels(task.grid), Region.parse(task.region)
    first = blockwise(grid, coarser)
    below = coarser[first - 1] if first else grid
    whole = below.region_geobox(region)
    step = math.lcm(below.block_px, 2 ** (len(coarser) - first))
    opened = {changes: store.reader(task.writer, changes) for _, changes in task.below}
    readers = [(below.block_geobox(block), opened[changes]) for block, changes in task.below]

    def strips(name: str) -> Iterator[tuple[int, Pixels]]:
        label, fill = _label(name, first), next(f for n, f, _ in task.arrays if n == name)
        for top in range(0, below.region_px, step):
            strip: Pixels | None = None
            for box, reader in readers:
                row, col = _offset(whole, box)
                if not top <= row < top + step:
                    continue
                pixels = _read(reader, label, task, below, box)
                if strip is None:
                    strip = np.full((step, below.region_px, *pixels.shape[2:]), fill, pixels.dtype)
                strip[row - top : row - top + below.block_px, col : col + below.block_px] = pixels
            if strip is not None:
                yield top, strip

    places = [(n, level, level.region_geobox(region)) for n, level in enumerate(coarser[first:], first + 1)]
    return sum(_make(writer, task, array, strips(array[0]), places) for array in task.arrays)


def _make(
    writer: BlockWriter, task: PyramidTask, array: tuple[str, float, bool], strips: Iterator[tuple[int, Pixels]],
    places: Sequence[tuple[int, PixelGrid, GeoBox]],
) -> int:  # fmt: skip
    """Halve strips of an array level by level, and write each level's shard; returns how many hold something."""
    name, fill, classes = array
    shards: list[Pixels] = []
    for top, strip in strips:
        row, pixels = top, strip
        for i, (_, _, box) in enumerate(places):
            row, pixels = row // 2, halve(pixels, fill, classes=classes)
            if i == len(shards):
                shards.append(np.full((*box.shape, *pixels.shape[2:]), fill, pixels.dtype))
            shards[i][row : row + len(pixels)] = pixels
    written = 0
    for (n, level, box), pixels in zip(places, shards, strict=bool(shards)):
        writer.write(_label(name, n), task.time_index, *level.array_slices(box), pixels)
        written += bool((~np.isnan(pixels) if math.isnan(fill) else pixels != fill).any())
    return written


def _label(name: str, level: int) -> str:
    """Name of an array of a level, from the group of level 0."""
    return f"{level}/{name}" if level else name


def _read(reader: BlockReader, name: str, task: PyramidTask, grid: PixelGrid, box: GeoBox) -> Pixels:
    return reader.read(name, task.time_index, *grid.array_slices(box))


def _offset(whole: GeoBox, part: GeoBox) -> tuple[int, int]:
    """Row and column at which a box begins in another one."""
    return int((whole.top - part.top) / whole.resolution), int((part.left - whole.left) / whole.resolution)
