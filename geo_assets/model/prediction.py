"""A trained model over the cube: what is asked for, and what of it one worker makes."""

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
    """A model run over the cells, on the composites of the periods that it reads."""

    model: str = Field(
        min_length=1, description="file of the model's STAC item (MLM extension); its weights lie beside it"
    )
    name: str | None = Field(
        default=None,
        pattern=rf"^{_NAME}$",
        description="of the product prediction/<name>; left out: that of the item's file",
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
        return self

    @property
    def label(self) -> str:
        """Name of the product behind ``prediction/``."""
        return self.name or _UNSAFE.sub("-", PurePath(self.model).stem).strip("-_")[:63]


@dataclass(frozen=True)
class PredictionTask:
    """The cells whose centres lie in one block, in the period that a series ends with.

    Attributes:
        region: Key of the region that owns the cells.
        month: Key of the last period that is read.
        row: Row of the block.
        col: Its column.
        cells: The cells.
        grid: Pixel grid of the group.
        model: What the model's item says.
        recipe: How it is run.
        root: Of the storage.
        folder: Where the model lies below the root.
        bands: The cube's bands that the model reads, in its order.
        arrays: Array of each band, and its place in an array of several bands.
        times: Places of the periods on the cube's time axis, oldest first.
        start: First day of the first period, ``2023-01-01``.
        end: Last day of the last one.
        store: Kind of the cube's store.
        reader: Handle of a session, whose state is read.
        snapshot: Of the cube's newest state when the partition began, or "".
    """

    region: str
    month: str
    row: int
    col: int
    cells: tuple[CellBox, ...]
    grid: PixelGrid
    model: ModelItem
    recipe: PredictionRecipe
    root: str
    folder: str
    bands: tuple[Band, ...]
    arrays: tuple[tuple[str, int | None], ...]
    times: tuple[int, ...]
    start: str
    end: str
    store: str
    reader: bytes
    snapshot: str

    @property
    def name(self) -> str:
        """For messages: region, month and block."""
        return f"prediction of {self.region} {self.month} block {self.row},{self.col}"


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
    """Fingerprint of what pixels and files of a prediction depend on beside the cube; of batches and devices it is none."""
    said = recipe.model_dump(
        mode="json", exclude={"model", "name", "device", "batch", "periods"}, exclude_defaults=True
    )
    facts = [
        model.artifact.sha256, [asdict(b) for b in model.bands], [asdict(s) for s in model.scaling], asdict(model.input), asdict(model.output),
        [asdict(c) for c in model.classes], model.output_name, model.window_px, model.halo_px, model.months, model.missing,
    ]  # fmt: skip
    return digest([said, facts])
