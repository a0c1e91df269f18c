"""What a partition of a prediction needs, whatever its model reads."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geo_assets.eo.tile_keys import map_place
from geo_assets.model.cell import CellBox
from geo_assets.model.geometry import Block, PixelGrid
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.model.recipe import digest
from geo_assets.storage import Storage
from geo_assets.tasks import prediction
from geo_assets.tasks.predictor import Predictor

Place = str | tuple[int, int]


@dataclass(frozen=True)
class Todo:
    """Maps that are to be made by one task: of the cells whose centres lie in a block, or of one with a yearly tile.

    Attributes:
        block: The block; of a tile 0, 0.
        cells: The cells, with the pixels of their maps.
        key: Fingerprint of all that they depend on.
        reason: Why they are made.
        tile: Id of the tile, or "".
        layers: Of a tile, the sensor and key of each layer that it is made from.
        lacking: Of a tile, why there is no such layer.
        notes: Of a tile, what else is to be known of the layers.
    """

    block: Block
    cells: tuple[CellBox, ...]
    key: str
    reason: str
    tile: str = ""
    layers: tuple[tuple[str, str], ...] = ()
    lacking: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """By which receipts know it."""
        return self.tile or (self.block.row, self.block.col)

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
        cells: Cells that the region owns, with the pixels of their maps.
        todo: Maps to make.
        fresh: Receipts of the maps that are as they should be.
        previous: Receipt of the partition as it is now.
        inputs: Data versions of what it is made from: of the composites of its own region, by period, or of layers, by product.
        cube: Id of the cube; None where there is none.
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


def stored_maps(
    storage: Storage, predictor: Predictor, region: str, month: str, cells: Sequence[CellBox]
) -> frozenset[str]:
    """Cells of which a map is stored, whole: its item is written last. One listing of a folder, and reads nothing."""
    label, source = predictor.recipe.label, predictor.recipe.source
    places = {map_place(label, region, month, c.id, source=source) + ".json": c.id for c in cells}
    if not places:
        return frozenset()
    folder = os.path.commonpath([os.path.dirname(p) for p in places])
    return frozenset(places[name] for name in storage.names(folder) if name in places)


def place_of(block: BlockReceipt) -> Place:
    """What a receipt is of: a tile, or a block by its row and column."""
    return block.name or (block.row, block.col)


def failures_of(plan: PredictionPlan) -> list[BlockReceipt]:
    """Receipts of maps whose last try failed and that are still to be made."""
    asked = {t.place for t in plan.todo}
    return [b for b in plan.previous.failures if place_of(b) in asked] if plan.previous else []


def maps_version(blocks: Sequence[BlockReceipt]) -> str:
    """Data version of a partition from the keys of its maps; their order does not count."""
    return digest([prediction.CODE_VERSION, sorted([b.row, b.col, b.key, sorted(b.cells)] for b in blocks if b.key)])


def gone(cells: Sequence[str]) -> str:
    """That maps are no longer where they were put."""
    return f"{len(cells)} maps are gone, such as {cells[0]}" if len(cells) > 1 else f"the map of {cells[0]} is gone"


def reason_of(
    previous: PartitionReceipt | None, had: BlockReceipt | None, cells: Sequence[CellBox], source: str
) -> str:  # fmt: skip
    """Why maps are made again; ``source`` names what may have changed."""
    if previous is None:
        return "missing"
    if had is None or set(had.cells) != {c.id for c in cells}:
        return "other cells"
    if had.status == "failed":
        return f"failed: {had.cause}"
    if previous.code_version != prediction.CODE_VERSION:
        return f"code {previous.code_version} -> {prediction.CODE_VERSION}"
    return f"{source} or model changed"
