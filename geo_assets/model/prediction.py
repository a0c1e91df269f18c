"""A trained model over the cube or yearly tiles: what is asked for, and what of it one worker makes."""

import re
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from geo_assets.errors import ConfigError
from geo_assets.model.band import Band
from geo_assets.model.cell import CellBox
from geo_assets.model.geometry import PixelGrid
from geo_assets.model.mlm import ModelItem
from geo_assets.model.period import Periods
from geo_assets.model.recipe import Recipe, digest

_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class PredictionRecipe(Recipe):
    """A model run over the cells, on the composites of the periods that it reads or on the cells' yearly tiles."""

    model: str = Field(
        min_length=1, description="file of the model's STAC item (MLM extension); its weights lie beside it"
    )
    name: str | None = Field(
        default=None,
        pattern=rf"^{_NAME}$",
        description="of the product prediction/<name>; left out: that of the item's file",
    )
    source: Literal["cube", "tiles"] = Field(
        default="cube",
        description="cube: the composites of some periods; tiles: twelve months of each yearly tile (ard.layout tiles)",
    )
    periods: PositiveInt | None = Field(
        default=None, description="periods that a model of any number of time steps reads, up to the one it is for"
    )
    format: Literal["cog", "zarr", "both"] = Field(default="cog", description="GeoTIFF, a Zarr group, or both")
    device: str = Field(
        default="cpu", min_length=1, description="cpu, or one that the model's runtime knows, such as cuda"
    )
    batch: PositiveInt | None = Field(
        default=None, description="windows, or pixels, at once; left out: as the model suggests"
    )
    window_px: PositiveInt | None = Field(
        default=None, description="side of windows, of a model that takes any; left out: as the model says"
    )
    halo_px: int | None = Field(
        default=None, ge=0, description="pixels at a window's edges that lack context; left out: as the model says"
    )

    @model_validator(mode="after")
    def _named(self) -> "PredictionRecipe":
        if not self.label:
            raise ValueError(f"model {self.model[:80]!r} is no name of a file; give the model's STAC item")
        if self.source == "tiles" and self.periods is not None:
            raise ValueError("periods is for source cube: of yearly tiles a model reads the twelve months of a year")
        if self.source == "tiles" and self.format != "cog":
            raise ValueError(f"format {self.format} is for source cube: maps of yearly tiles are GeoTIFFs, cog")
        return self

    @property
    def label(self) -> str:
        """Name of the product behind ``prediction/``."""
        return self.name or _UNSAFE.sub("-", PurePath(self.model).stem).strip("-_")[:63]


@dataclass(frozen=True)
class CubeSeries:
    """Composites of a series of periods.

    Attributes:
        grid: Pixel grid of the group.
        bands: The cube's bands that the model reads, in its order.
        arrays: Array of each band, and its place in an array of several bands.
        times: Places of the periods on the cube's time axis, oldest first.
        store: Kind of the cube's store.
        reader: Handle of a session, whose state is read.
        snapshot: Of the cube's newest state when the partition began, or "".
    """

    grid: PixelGrid
    bands: tuple[Band, ...]
    arrays: tuple[tuple[str, int | None], ...]
    times: tuple[int, ...]
    store: str
    reader: bytes
    snapshot: str


@dataclass(frozen=True)
class StoredArray:
    """One array of a yearly tile.

    Attributes:
        product: What it is, such as ``s2_10``.
        name: Of its object below the storage root.
        key: Fingerprint of the layer that it belongs to.
    """

    product: str
    name: str
    key: str


@dataclass(frozen=True)
class TileArrays:
    """What is stored of a yearly tile.

    Attributes:
        year: The year.
        arrays: Those that the model reads.
        lacking: Why some are not there, in words: of such a tile everything is nodata.
        notes: What else a person should know of them.
    """

    year: int
    arrays: tuple[StoredArray, ...]
    lacking: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PredictionTask:
    """Cells of which one worker makes the maps of a period: those whose centres lie in a block, or one with a yearly tile.

    Attributes:
        region: Key of the region that owns the cells.
        month: Key of the last period that is read.
        row: Row of the block; 0 of a tile.
        col: Its column.
        cells: The cells, with the pixels of their maps.
        model: What the model's item says.
        recipe: How it is run.
        root: Of the storage.
        folder: Where the model lies below the root.
        start: First day of the first period, ``2023-01-01``.
        end: Last day of the last one.
        reads: What the model is given.
    """

    region: str
    month: str
    row: int
    col: int
    cells: tuple[CellBox, ...]
    model: ModelItem
    recipe: PredictionRecipe
    root: str
    folder: str
    start: str
    end: str
    reads: CubeSeries | TileArrays

    @property
    def name(self) -> str:
        """For messages: region, month and block, or tile."""
        what = f"block {self.row},{self.col}" if isinstance(self.reads, CubeSeries) else f"tile {self.cells[0].id}"
        return f"prediction of {self.region} {self.month} {what}"


def series(model: ModelItem, recipe: PredictionRecipe, periods: Periods) -> dict[str, tuple[str, ...]]:
    """Periods that the prediction for a period reads, oldest first and itself last, by its key.

    Periods that have too few before them, or other calendar months than the model was trained on, are left out.

    Raises:
        ConfigError: The number of periods is not known, or is not the model's.
    """
    wanted = recipe.periods if model.steps == -1 else model.steps
    if wanted is None:
        raise ConfigError(
            f"prediction.periods: model {model.item_id} takes any number of time steps: say how many periods it is to read"
        )
    if recipe.periods not in (None, wanted):
        raise ConfigError(f"prediction.periods: model {model.item_id} reads {wanted} time steps, not {recipe.periods}")
    found = {}
    for last in range(wanted - 1, len(periods)):
        read = [periods.at(i) for i in range(last - wanted + 1, last + 1)]
        if not model.months or tuple(p.first.month for p in read) == model.months:
            found[read[-1].key] = tuple(p.key for p in read)
    return found


def prediction_settings(model: ModelItem, recipe: PredictionRecipe) -> str:
    """Fingerprint of what pixels and files of a prediction depend on beside its source; of batches and devices it is none."""
    said = recipe.model_dump(
        mode="json", exclude={"model", "name", "device", "batch", "periods"}, exclude_defaults=True
    )
    facts = [
        model.artifact.sha256, [{k: v for k, v in asdict(b).items() if k != "unit" or v} for b in model.bands], [asdict(s) for s in model.scaling], asdict(model.input), asdict(model.output),
        [asdict(c) for c in model.classes], model.output_name, model.window_px, model.halo_px, model.months, model.missing,
    ]  # fmt: skip
    return digest([said, facts])
