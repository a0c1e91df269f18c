"""Maps of a model from the cube: which are still to be made, and the tasks that make them."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from geo_assets.model.cell import CellBox
from geo_assets.model.geometry import Block, PixelGrid
from geo_assets.model.period import Periods
from geo_assets.model.plugin import Cube
from geo_assets.model.prediction import CubeSeries, PredictionTask, prediction_settings
from geo_assets.model.project import Project
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.model.recipe import digest
from geo_assets.model.sensor import Sensor
from geo_assets.storage import Storage
from geo_assets.tasks import prediction
from geo_assets.tasks.model_file import stage
from geo_assets.tasks.prediction_plan import PredictionPlan, Todo, gone, reason_of
from geo_assets.tasks.predictor import Composites, Predictor


def plan_prediction(
    predictor: Predictor, *, region: str, month: str, grid: PixelGrid, cells: Sequence[CellBox], regions: Sequence[str],
    composites: Composites, previous: PartitionReceipt | None, stored: Collection[str], cube: str | None, overwrite: bool = False, fault: str = "",
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
        stored: See ``stored_maps``.
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
        same = had is not None and had.key == key and had.status == "ok"
        lost = [c.id for c in own if c.id not in stored]
        if had is not None and same and not lost and not overwrite:
            fresh.append(had)
        else:
            why = gone(lost) if same and lost else reason_of(previous, had, own, "composite")
            reason = "overwrite" if overwrite else fault or why
            todo.append(Todo(block, own, key, reason))
    inputs = {key: composites.of(region, key, grid).data_version for key in predictor.series[month]}
    return PredictionPlan(
        predictor, region, month, grid, tuple(cells), tuple(todo), tuple(fresh), previous, inputs, cube
    )


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


def cube_tasks(
    plan: PredictionPlan, project: Project, sensor: Sensor, *, periods: Periods, cube: Cube, storage: Storage
) -> list[PredictionTask]:
    """The tasks that make what a plan lists.

    Args:
        plan: What to make.
        project: The recipes.
        sensor: Of the cube.
        periods: The time axis.
        cube: The cube.
        storage: Holds the model.

    Raises:
        ConfigError: The model's file is missing, or not what its item says.
    """
    if not plan.todo:
        return []
    model, recipe = plan.predictor.model, plan.predictor.recipe
    read = plan.predictor.series[plan.month]
    stacked = project.cube.layout == "stacked"
    arrays = tuple(
        (project.cube.varname, project.cube.bands.index(b.name)) if stacked else (b.name, None) for b in model.bands
    )
    reads = CubeSeries(
        grid=plan.grid, bands=tuple(sensor.bands[b.name] for b in model.bands), arrays=arrays, times=tuple(periods.index(k) for k in read),
        store=project.cube.store, reader=cube.session(plan.grid.group).handle(), snapshot=next((str(c["id"]) for c in cube.history()), ""),
    )  # fmt: skip
    common: dict[str, Any] = {
        "region": plan.region, "month": plan.month, "model": model, "recipe": recipe, "root": storage.root,
        "folder": stage(storage, model, Path(recipe.model).parent), "start": str(periods.at(periods.index(read[0])).start),
        "end": str(periods.at(periods.index(read[-1])).end), "reads": reads,
    }  # fmt: skip
    return [PredictionTask(row=t.block.row, col=t.block.col, cells=t.cells, **common) for t in plan.todo]
