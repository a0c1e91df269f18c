"""Land cover models trained on the sample world: its twelve months against what truly grows there.

The split is by whole blocks of ground with a strip left out around each, so that no field lies on both sides of it: fields
are up to ``GAP_PX`` long, and pixels of one field are nearly copies of one another.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.model.mlm import Artifact, InputBand, ModelItem, OutputClass, Scaling, Tensor
from geo_assets.testing.world import SampleWorld
from geo_assets.testing.world_land import BANDS, F32, LAND_COVER

MONTHS = tuple(f"2024-{m:02d}" for m in range(1, 13))
BLOCK_PX = 128
GAP_PX = 36  # a field of 26 px lies askew
WINDOW_PX = 64
HALO_PX = 4  # two convolutions of 3 x 3 see 2 pixels around each
CLASSES = tuple(OutputClass(n, name.replace(" ", "-")) for n, name in enumerate(LAND_COVER, 1))
_SHARE = 0.6  # of the blocks that are trained on
Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """The world as models see it.

    Attributes:
        series: Monthly medians of the clear days, dims (time, band, y, x), float32, reflectance, NaN where no day was clear.
        truth: Land cover, dims (y, x), codes from 1 on.
        train: Pixels of the blocks that are trained on, dims (y, x).
        test: Pixels of the other blocks, dims (y, x).
    """

    series: F32
    truth: Codes
    train: npt.NDArray[np.bool_]
    test: npt.NDArray[np.bool_]

    def last_month(self) -> "Sample":
        """The same with the last month only."""
        return replace(self, series=self.series[-1:])


@dataclass(frozen=True)
class Score:
    """How well a model does on the blocks that it was not trained on.

    Attributes:
        accuracy: Share of pixels that have the right class.
        balanced: Mean over the classes of the share of their pixels that have it.
    """

    accuracy: float
    balanced: float

    @classmethod
    def of(cls, labels: npt.NDArray[Any], sample: Sample) -> "Score":
        """The score of a map, dims (y, x), codes."""
        right, truth = (labels == sample.truth)[sample.test], sample.truth[sample.test]
        shares = [right[truth == c.value].mean() for c in CLASSES if (truth == c.value).any()]
        return cls(round(float(right.mean()), 4), round(float(np.mean(shares)), 4))


def make_sample(world: SampleWorld | None = None, *, seed: int = 0) -> Sample:
    """The sample world over ``MONTHS``, and its split.

    Args:
        world: Another one; its months are the steps of the series.
        seed: Of the split.
    """
    world = world or SampleWorld(months=MONTHS, with_broken=False, with_duplicate=False)
    series = np.stack([_median(world, month) for month in world.months])
    train, test = blocked_split(world.size_px, seed=seed)
    return Sample(series, world.land_cover(), train, test)


def _median(world: SampleWorld, month: str) -> F32:
    """Median of the days that are truly clear, dims (band, y, x), NaN where none was."""
    days: dict[str, F32] = {}
    for seen in world.observations(month):
        layer = days.setdefault(seen.granule.solar_day, np.full((len(BANDS), *world.size_px), np.nan, np.float32))
        part = layer[:, :, seen.granule.tile.col : seen.granule.tile.col + seen.box.shape[1]]
        for band, name in enumerate(BANDS):
            fresh = np.isnan(part[band]) & seen.clear
            part[band][fresh] = seen.reflectance[name][fresh]
    stack = np.stack(list(days.values()))
    none = np.isnan(stack).all(axis=0)
    stack[:, none] = 0
    median = np.nanmedian(stack, axis=0).astype(np.float32)
    median[none] = np.nan
    return median


def blocked_split(shape: tuple[int, int], *, seed: int = 0) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Pixels to train on and to test with, dims (y, x): whole blocks, less a strip of ``GAP_PX`` between any two."""
    rows, cols = (-(-n // BLOCK_PX) for n in shape)
    order = np.random.default_rng(seed).permutation(rows * cols)
    taken = np.zeros(rows * cols, bool)
    taken[order[: round(_SHARE * rows * cols)]] = True
    whole = taken.reshape(rows, cols).repeat(BLOCK_PX, 0).repeat(BLOCK_PX, 1)[: shape[0], : shape[1]]
    inner = np.ones(shape, bool)
    for axis, size in enumerate(shape):
        at = np.arange(size) % BLOCK_PX
        edge = (at < GAP_PX // 2) | (at >= BLOCK_PX - GAP_PX // 2)
        inner &= ~(edge[:, None] if axis == 0 else edge[None, :])
    return whole & inner, ~whole & inner


def majority(sample: Sample) -> Score:
    """The score of the class that is commonest where models are trained, everywhere."""
    most = np.bincount(sample.truth[sample.train]).argmax()
    return Score.of(np.full_like(sample.truth, most), sample)


def train_lightgbm(sample: Sample, folder: Path, *, rounds: int = 40, pixels: int = 20_000, seed: int = 0) -> ModelItem:
    """Train trees on single pixels; writes ``lightgbm.txt`` into the folder, and gives its item."""
    import lightgbm

    rng = np.random.default_rng(seed)
    rows, cols = np.nonzero(sample.train)
    some = rng.choice(len(rows), min(pixels, len(rows)), replace=False)
    rows, cols = rows[some], cols[some]
    steps = sample.series.shape[0]
    table = np.moveaxis(sample.series[:, :, rows, cols], -1, 0).reshape(len(rows), -1)
    options = {"objective": "multiclass", "num_class": len(CLASSES), "learning_rate": 0.15, "num_leaves": 15, "seed": seed,
        "deterministic": True, "force_row_wise": True, "verbosity": -1, "num_threads": 2}  # fmt: skip
    booster = lightgbm.train(options, lightgbm.Dataset(table, sample.truth[rows, cols] - 1), num_boost_round=rounds)
    file = folder / "lightgbm.txt"
    file.write_text(booster.model_to_string(), encoding="utf-8")
    return item_of(
        file, kind="lightgbm.Booster.save_model", media_type="text/plain", framework="LightGBM",
        version=lightgbm.__version__, architecture="gradient boosted trees", missing="nan",
        input_=Tensor((-1, steps, len(BANDS)), ("batch", "time", "bands")),
        output=Tensor((-1, len(CLASSES)), ("batch", "class"), "float64"), batch=1 << 15,
    )  # fmt: skip


def train_torch(sample: Sample, folder: Path, *, rounds: int = 150, seed: int = 0) -> ModelItem:
    """Train a small network on windows; writes ``convolutions.pt2`` into the folder, and gives its item."""
    import torch

    torch.manual_seed(seed)
    steps, wide = sample.series.shape[0], 32
    layers = torch.nn
    network = layers.Sequential(
        layers.Flatten(1, 2), layers.Conv2d(steps * len(BANDS), wide, 1), layers.ReLU(),
        layers.Conv2d(wide, wide, 3, padding=1), layers.ReLU(), layers.Conv2d(wide, wide, 3, padding=1), layers.ReLU(),
        layers.Conv2d(wide, len(CLASSES), 1),
    )  # fmt: skip
    known = sample.series[:, :, sample.train]
    scaling = tuple(
        Scaling("z-score", (float(np.nanmean(known[:, b])), float(np.nanstd(known[:, b])))) for b in range(len(BANDS))
    )
    item = item_of(
        folder / "convolutions.pt2", kind="torch.export.save", media_type="application/octet-stream; framework=pytorch",
        framework="PyTorch", version=torch.__version__, architecture="convolutions", missing="fill", scaling=scaling,
        input_=Tensor((-1, steps, len(BANDS), WINDOW_PX, WINDOW_PX), ("batch", "time", "bands", "height", "width")),
        output=Tensor((-1, len(CLASSES), WINDOW_PX, WINDOW_PX), ("batch", "class", "height", "width")),
        batch=8, window_px=WINDOW_PX, halo_px=HALO_PX,
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), 4e-3)
    loss_of = torch.nn.CrossEntropyLoss(ignore_index=-1)
    for series, truth in _windows(item.prepared(sample.series[None])[0], sample, rounds, seed):
        optimizer.zero_grad()
        loss = loss_of(network(torch.from_numpy(series)), torch.from_numpy(truth))
        loss.backward()
        optimizer.step()
    example = torch.zeros(2, steps, len(BANDS), WINDOW_PX, WINDOW_PX)
    batch = torch.export.Dim("batch", min=1, max=1024)
    program = torch.export.export(network.eval(), (example,), dynamic_shapes=({0: batch},))
    torch.export.save(program, folder / "convolutions.pt2")
    return _with_artifact(item, folder / "convolutions.pt2")


def _windows(prepared: F32, sample: Sample, rounds: int, seed: int) -> Iterator[tuple[F32, npt.NDArray[np.int64]]]:
    """Batches of windows around pixels to train on; the class is -1 where a pixel is not trained on."""
    rng = np.random.default_rng(seed)
    rows, cols = np.nonzero(sample.train)
    classes = np.where(sample.train, sample.truth.astype(np.int64) - 1, -1)
    half, (high, wide) = WINDOW_PX // 2, sample.truth.shape
    for _ in range(rounds):
        at = rng.choice(len(rows), 4)
        tops = np.clip(rows[at] - half, 0, high - WINDOW_PX)
        lefts = np.clip(cols[at] - half, 0, wide - WINDOW_PX)
        cuts = [(slice(t, t + WINDOW_PX), slice(x, x + WINDOW_PX)) for t, x in zip(tops, lefts, strict=True)]
        yield np.stack([prepared[:, :, r, c] for r, c in cuts]), np.stack([classes[r, c] for r, c in cuts])


def item_of(
    file: Path, *, kind: str, media_type: str, framework: str, version: str, architecture: str, input_: Tensor,
    output: Tensor, scaling: tuple[Scaling, ...] = (Scaling(),) * len(BANDS), **more: Any,
) -> ModelItem:  # fmt: skip
    """The item of a land cover model of the sample world, whose file may not be there yet."""
    model = ModelItem(
        item_id=f"sample-land-cover-{file.stem}", name=f"Land cover of the sample world - {architecture}",
        architecture=architecture, framework=framework, framework_version=version, tasks=("semantic-segmentation",),
        bands=tuple(InputBand(b) for b in BANDS), input=input_, scaling=scaling, output=output, classes=CLASSES,
        input_name="monthly reflectance", output_name="scores",
        artifact=Artifact("model", file.name, media_type, kind, "0" * 64),
        months=tuple(range(1, 13)) if input_.size("time") == 12 else (), **more,
    )  # fmt: skip
    return _with_artifact(model, file) if file.exists() else model


def _with_artifact(model: ModelItem, file: Path) -> ModelItem:
    content = file.read_bytes()
    artifact = replace(model.artifact, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
    return replace(model, artifact=artifact)
