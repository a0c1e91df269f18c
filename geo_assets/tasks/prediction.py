"""A model over the cells of one block: read the cube, run the model, write one map a cell; or over one yearly tile.

Windows lie on the pixel grid of the whole group, and what a window sees of other cells, blocks and regions is what the
cube holds of them. So maps of neighbouring cells meet without a seam, whoever makes them. A yearly tile stands alone:
beyond its edges there is nothing, and pixels are mirrored.
"""

import datetime as dt
import functools
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.eo.picture import Picture, encode_png
from geo_assets.eo.scale import unobserved
from geo_assets.eo.tile_keys import map_place
from geo_assets.eo.windows import Part
from geo_assets.errors import StoreError
from geo_assets.model import path
from geo_assets.model.band import Band
from geo_assets.model.cell import CellBox
from geo_assets.model.image import Format, Image
from geo_assets.model.plugin import BlockReader, Store
from geo_assets.model.prediction import CubeSeries, PredictionTask, TileArrays
from geo_assets.registry import load
from geo_assets.storage import Storage
from geo_assets.tasks.model_file import staged
from geo_assets.tasks.predict import F32, OpenModel, ReadAhead, Strip, open_content, predict
from geo_assets.tasks.prediction_file import Lineage, map_bands, prediction_item, write_prediction
from geo_assets.tasks.prediction_picture import thumbnail
from geo_assets.tasks.tile_raster import TileRaster

CODE_VERSION = "1"  # raise it when the same composites and model give other pixels or files
PREVIEW_PX = 128
_THREADS = 1  # of a model: tasks run side by side
_opening = threading.Lock()


@dataclass(frozen=True)
class CellMap:
    """What was made of one cell.

    Attributes:
        cell: Its id.
        pixels: Of its map.
        seen: Those that have a result.
        counts: Pixels of each class, by its value; empty for a model without classes.
        picture: A small one of it, dims (y, x, 3), uint8.
        notes: What lacks of what the model read.
    """

    cell: str
    pixels: int
    seen: int
    counts: dict[int, int]
    picture: Picture
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PredictionResult:
    """What a worker sends back, beside which the maps are in the storage."""

    maps: tuple[CellMap, ...]
    wall_s: float
    cpu_s: float


class CubeRaster:
    """The composites of a series as a worker sees them, the arrays of the whole group, for one thread.

    Args:
        series: Says which bands and periods.
        reader: Reads stored numbers.
    """

    origin = (0, 0)
    notes: tuple[str, ...] = ()

    def __init__(self, series: CubeSeries, reader: BlockReader) -> None:
        self._series, self._reader = series, reader
        self.shape = series.grid.array_geobox().shape
        self._ahead = ReadAhead(
            self._read, values=(len(series.times), len(series.bands)), height=self.shape[0], chunk_rows=series.grid.chunk_px
        )  # fmt: skip

    def read(self, rows: slice, cols: slice) -> F32:
        """See ``Raster.read``."""
        return self._ahead.read(rows, cols)

    def _read(self, rows: slice, cols: slice) -> F32:
        of = self._series
        out = np.empty((len(of.times), len(of.bands), rows.stop - rows.start, cols.stop - cols.start), np.float32)
        for t, index in enumerate(of.times):
            stacks: dict[str, npt.NDArray[Any]] = {}
            for b, (band, (array, layer)) in enumerate(zip(of.bands, of.arrays, strict=True)):
                if array not in stacks:
                    stacks[array] = self._reader.read(array, index, rows, cols)
                out[t, b] = _values(stacks[array] if layer is None else stacks[array][..., layer], band)
        return out


def _values(stored: npt.NDArray[Any], band: Band) -> F32:
    """Stored numbers in the band's unit, NaN where not observed; worked out in float64, as xarray decodes them."""
    values = (stored.astype(np.float64) * band.scale + band.offset).astype(np.float32)
    values[unobserved(stored, band.fill)] = np.nan
    return values


def run(task: PredictionTask) -> PredictionResult:
    """Make the maps of a task's cells, and write each with its STAC item into the storage.

    Raises:
        ConfigError: The model and its item contradict each other, or its file is not what the item says.
        QualityError: It gives what is no number.
        StoreError: What it reads is lost or damaged, or a map cannot be written.
    """
    began, cpu = time.perf_counter(), time.thread_time()
    storage = Storage(task.root)
    model = _model(task, storage)
    maps = tuple(_made(task, storage, model, *part) for part in _parts(task, storage))
    return PredictionResult(maps, round(time.perf_counter() - began, 3), round(time.thread_time() - cpu, 3))


def _parts(task: PredictionTask, storage: Storage) -> Iterator[tuple[CellBox, CubeRaster | TileRaster, Part]]:
    """Each cell, what it is made from, and where it lies in that."""
    reads = task.reads
    if isinstance(reads, TileArrays):
        for cell in task.cells:
            rows, cols = cell.box.shape
            yield cell, TileRaster(reads, task.model.bands, cell.box, storage), (slice(0, rows), slice(0, cols))
        return
    store: Store = load("stores", reads.store)
    raster = CubeRaster(reads, store.reader(reads.reader))
    for cell in task.cells:
        yield cell, raster, reads.grid.array_slices(cell.box)


def _model(task: PredictionTask, storage: Storage) -> OpenModel:
    """The task's model, opened once a process and not once a task."""
    with _opening:
        return _open(_Key(task, storage))


class _Key:
    """A model and how it is run, so that the one that is open is known again; what opens it does not count."""

    def __init__(self, task: PredictionTask, storage: Storage) -> None:
        self.task, self.storage, recipe = task, storage, task.recipe
        # The folder's name is the fingerprint of the whole item, which names the weights by their checksum
        self._of = task.folder, recipe.device, recipe.batch, recipe.window_px, recipe.halo_px

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._of == other._of

    def __hash__(self) -> int:
        return hash(self._of)


@functools.lru_cache(maxsize=1)
def _open(key: _Key) -> OpenModel:
    recipe, item = key.task.recipe, key.task.model
    content = staged(key.storage, key.task.folder, item)
    threads = _THREADS if recipe.device == "cpu" else None
    return open_content(
        item, content, device=recipe.device, threads=threads, batch=recipe.batch, window_px=recipe.window_px, halo_px=recipe.halo_px
    )  # fmt: skip


def _made(
    task: PredictionTask, storage: Storage, model: OpenModel, cell: CellBox, raster: CubeRaster | TileRaster, part: Part
) -> CellMap:
    """Write a cell's files; returns what they hold."""
    watch = _Watch(model, cell, part)
    strips: Iterator[Strip] | list[Strip] = watch.over(predict(model, raster, part))
    both = task.recipe.format == "both"
    if task.recipe.format != "cog":
        strips = list(strips)
    base, files = _base(task, cell), {}
    stem = base.rpartition("/")[2]
    if task.recipe.format != "zarr":
        with tempfile.TemporaryDirectory(prefix="geo-assets-") as folder:
            file = Path(folder) / "map.tif"
            write_prediction(model.item, strips, cell.box, file)
            storage.write(f"{base}.tif", _content(file))
        files["cog"] = f"{stem}.tif"
    if both or not files:
        for suffix, content in _group(model, list(strips), cell).items():
            storage.write(base + suffix, content)
        files["zarr"] = f"{stem}.zarr"
    made = watch.finished(raster.notes)
    storage.write(f"{base}.png", encode_png(made.picture))
    files["thumbnail"] = f"{stem}.png"
    storage.write(f"{base}.json", _item(task, cell, files))  # last: it makes the map complete
    return made


def _base(task: PredictionTask, cell: CellBox) -> str:
    return map_place(task.recipe.label, task.region, task.month, cell.id, source=task.recipe.source)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as e:
        raise StoreError(f"{file}: cannot be read: {e.strerror or e}") from e


def _group(model: OpenModel, strips: list[Strip], cell: CellBox) -> dict[str, bytes]:
    """A map as a Zarr group; of a model without classes one array a layer."""
    made: Format = load("formats", "zarr")
    if model.item.classes:
        values = [np.concatenate([s.labels for s in strips if s.labels is not None])]
    else:
        values = list(np.concatenate([s.scores for s in strips], axis=1))
    return made.encode(Image(map_bands(model.item), values, cell.box))


def _item(task: PredictionTask, cell: CellBox, files: dict[str, str]) -> bytes:
    up = "../" * _base(task, cell).count("/")
    start, end = (
        dt.datetime.fromisoformat(f"{task.start}T00:00:00Z"),
        dt.datetime.fromisoformat(f"{task.end}T23:59:59Z"),
    )
    model, reads = f"{up}{task.folder}/{path.MODEL_ITEM}", task.reads
    if isinstance(reads, TileArrays):
        arrays = tuple(replace(a, name=f"{up}{a.name}") for a in reads.arrays)
        lineage = Lineage(model, "", "", start, end, arrays)
    else:
        lineage = Lineage(model, f"{up}{path.CUBE}/{reads.grid.group}", reads.snapshot, start, end)
    said = {
        "geo_assets:region": task.region,
        "geo_assets:month": task.month,
        "geo_assets:cell": cell.id,
        "geo_assets:code_version": CODE_VERSION,
    }
    item_id = f"{task.recipe.label}-{cell.id}-{task.month}"
    item = prediction_item(task.model, cell.box, lineage, item_id=item_id, files=files, more=said)
    return json.dumps(item, indent=1, allow_nan=False).encode()


class _Watch:
    """Counts what strips hold on their way to a file, and keeps a few pixels for a picture."""

    def __init__(self, model: OpenModel, cell: CellBox, part: tuple[slice, slice]) -> None:
        self._model, self._cell, self._top = model.item, cell, part[0].start
        self._step = max(1, -(-max(cell.box.shape) // PREVIEW_PX))
        self._seen, self._counts = 0, {c.value: 0 for c in model.item.classes}
        self._rows: list[npt.NDArray[Any]] = []

    def over(self, strips: Iterator[Strip]) -> Iterator[Strip]:
        """The strips, counted as they go by."""
        for strip in strips:
            shown = strip.scores[0] if strip.labels is None else strip.labels
            known = np.isfinite(strip.scores)
            self._seen += int((known.any(axis=0) if strip.labels is None else known.all(axis=0)).sum())
            for value in self._counts:
                self._counts[value] += int((shown == value).sum())
            first = -(strip.rows.start - self._top) % self._step
            self._rows.append(shown[first :: self._step, :: self._step].copy())
            yield strip

    def finished(self, notes: tuple[str, ...]) -> CellMap:
        """What was counted, once all strips went by."""
        rows, cols = self._cell.box.shape
        picture = thumbnail(self._model, np.concatenate(self._rows))
        counts = {k: v for k, v in self._counts.items() if v}
        return CellMap(self._cell.id, rows * cols, self._seen, counts, picture, notes)
