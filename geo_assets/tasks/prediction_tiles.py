"""Maps of a model from yearly tiles: which are still to be made, and the tasks that make them, one a tile."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd

from geo_assets.eo.tile_months import products_of
from geo_assets.errors import PartitionError, StoreError
from geo_assets.model.cell import CellBox
from geo_assets.model.geometry import Block, PixelGrid
from geo_assets.model.period import Periods
from geo_assets.model.prediction import PredictionTask, StoredArray, TileArrays, prediction_settings
from geo_assets.model.project import Project
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.model.recipe import digest
from geo_assets.storage import DamagedError, Storage
from geo_assets.tasks import prediction
from geo_assets.tasks.ard_partition import ard_boxes, product
from geo_assets.tasks.ard_table import read_layers
from geo_assets.tasks.model_file import stage
from geo_assets.tasks.prediction_plan import PredictionPlan, Todo, gone, reason_of
from geo_assets.tasks.predictor import Predictor
from geo_assets.tasks.previous import Previous
from geo_assets.tasks.tile import tile_box


def tile_cells(table: gpd.GeoDataFrame, region: str, project: Project) -> list[CellBox]:
    """The cells that a region owns, with the pixels of their yearly tiles, which are those of their maps."""
    return [replace(cell, box=tile_box(cell)) for cell in ard_boxes(table, region, project)]


def read_tiles(storage: Storage, predictor: Predictor, region: str, month: str) -> dict[str, PartitionReceipt]:
    """Receipts of the yearly tiles that a partition is made from, by their sensor.

    Raises:
        PartitionError: Those of a sensor were not made yet, or their receipt is damaged.
    """
    found = {}
    for sensor in predictor.sensors.values():
        where, advice = f"{sensor} for {region} {month}", "run the project with product ard first"
        try:
            receipt = storage.read_receipt(product(sensor), region, month)
        except DamagedError as e:
            raise PartitionError(f"yearly tiles of {where}: {e}; {advice}") from e
        if receipt is None:
            raise PartitionError(f"no yearly tiles of {where}: not made yet; {advice}")
        found[sensor] = receipt
    return found


def read_maps(storage: Storage, predictor: Predictor, region: str, month: str) -> Previous:
    """The receipt of a partition's maps, unless it is damaged."""
    try:
        return Previous(storage.read_receipt(predictor.product, region, month))
    except DamagedError as e:
        return Previous(fault=str(e))


def plan_tiles(
    predictor: Predictor, *, region: str, month: str, grid: PixelGrid, cells: Sequence[CellBox], tiles: Mapping[str, PartitionReceipt],
    previous: PartitionReceipt | None, stored: Collection[str], overwrite: bool = False, only: frozenset[str] | None = None, fault: str = "",
) -> PredictionPlan:  # fmt: skip
    """Compare what is wanted with what the receipt says; reads no pixel.

    A tile of which a layer failed and nothing is stored has a map of nodata, until the layer is made.

    Args:
        predictor: The model.
        region: Key of the region.
        month: Key of the year.
        grid: Pixel grid of the region's group.
        cells: See ``tile_cells``.
        tiles: See ``read_tiles``.
        previous: Receipt of the partition, if there is one.
        stored: See ``stored_maps``.
        overwrite: Make everything again.
        only: Tiles that are made now; the others stay as they are. None is all.
        fault: What is wrong with the receipt that is there, which is why ``previous`` is None.

    Raises:
        PartitionError: A layer of a tile was never asked for.
    """
    only = None if fault else only  # nothing tells what is there of the others, so they would be lost
    known = {b.name: b for b in previous.blocks} if previous else {}
    made = {sensor: {b.name: b for b in receipt.blocks} for sensor, receipt in tiles.items()}
    todo, fresh = [], []
    for cell in cells:
        had = known.get(cell.id)
        if only is not None and cell.id not in only:
            fresh += [had] if had else []
            continue
        layers = _layers(cell, made, f"{region} {month}")
        key = _key(predictor, month, cell, layers)
        same = had is not None and had.key == key and had.status == "ok"
        if had is not None and same and cell.id in stored and not overwrite:
            fresh.append(had)
            continue
        why = gone([cell.id]) if same and cell.id not in stored else reason_of(previous, had, [cell], "tile")
        reason = "overwrite" if overwrite else fault or why
        lacking = tuple(one.says for one in layers if not one.key)
        notes = tuple(one.says for one in layers if one.key and one.says)
        pairs = tuple((one.sensor, one.key) for one in layers)
        todo.append(Todo(Block(0, 0), (cell,), key, reason, cell.id, pairs, lacking, notes))
    inputs = {receipt.product: receipt.data_version for receipt in tiles.values()}
    return PredictionPlan(
        predictor, region, month, grid, tuple(cells), tuple(todo), tuple(fresh), previous, inputs, None
    )


@dataclass(frozen=True)
class _Layer:
    """What is stored of a tile by a sensor: the key of its layer, "" where there is none; and what is to be said of it."""

    sensor: str
    key: str
    says: str = ""


def _layers(cell: CellBox, made: Mapping[str, Mapping[str, BlockReceipt]], where: str) -> list[_Layer]:
    found = []
    for sensor, blocks in made.items():
        block = blocks.get(cell.id)
        if block is None:
            raise PartitionError(
                f"no yearly tile {cell.id} of {sensor} for {where}: it was not made yet; run the project with product ard first"
            )
        says = ""
        if block.status == "failed":
            state = "its last try failed, and this is made from what was stored before" if block.key else "failed"
            says = f"{product(sensor)}: {state}: {block.cause}"
        found.append(_Layer(sensor, block.key, says))
    return found


def _key(predictor: Predictor, month: str, cell: CellBox, layers: Sequence[_Layer]) -> str:
    """Fingerprint of all that the map of a tile depends on."""
    place = [cell.id, str(cell.box.left), str(cell.box.top), *cell.box.shape]
    read = [[one.sensor, one.key] for one in layers]
    settings = prediction_settings(predictor.model, predictor.recipe)
    return digest([prediction.CODE_VERSION, settings, place, month, read])


def tile_tasks(plan: PredictionPlan, periods: Periods, storage: Storage) -> list[PredictionTask]:
    """The tasks that make what a plan lists.

    Args:
        plan: What to make.
        periods: The time axis.
        storage: Holds the model and the tiles.

    Raises:
        ConfigError: The model's file is missing, or not what its item says.
        SourceError: A table of tiles is damaged.
        StoreError: A tile that a receipt tells of stands in no table.
    """
    if not plan.todo:
        return []
    predictor, year = plan.predictor, periods.at(periods.index(plan.month))
    recipe = predictor.recipe
    tables = {sensor: _tables(storage, sensor, plan) for sensor in predictor.sensors.values()}
    common: dict[str, Any] = {
        "region": plan.region, "month": plan.month, "row": 0, "col": 0, "model": predictor.model, "recipe": recipe, "root": storage.root,
        "folder": stage(storage, predictor.model, Path(recipe.model).parent), "start": str(year.start), "end": str(year.end),
    }  # fmt: skip
    return [PredictionTask(cells=t.cells, reads=_arrays(t, plan, tables), **common) for t in plan.todo]


def _tables(storage: Storage, sensor: str, plan: PredictionPlan) -> dict[str, dict[str, str]]:
    """Arrays of each tile of a sensor, by product."""
    table = read_layers(storage, sensor, plan.region, plan.month)
    return {str(layer): dict(arrays) for layer, arrays in zip(table["layer"], table["arrays"], strict=True)}


def _arrays(todo: Todo, plan: PredictionPlan, tables: Mapping[str, Mapping[str, Mapping[str, str]]]) -> TileArrays:
    predictor, year, keys = plan.predictor, int(plan.month[:4]), dict(todo.layers)
    if todo.lacking:
        return TileArrays(year, (), todo.lacking, todo.notes)
    found = []
    for name, form in products_of(predictor.model.bands).items():
        sensor = predictor.sensors[form]
        stored = tables[sensor].get(todo.tile, {}).get(name)
        if stored is None:
            raise StoreError(
                f"{plan.predictor.product} {plan.region} {plan.month}: the table of {product(sensor)} has no {name} of {todo.tile}: run that partition with --overwrite"
            )
        found.append(StoredArray(name, stored, keys[sensor]))
    return TileArrays(year, tuple(found), (), todo.notes)
