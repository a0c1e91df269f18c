"""One block and month of the composite: read, mask, align, reduce, write one shard."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geo_assets.eo.scale import unobserved
from geo_assets.model.band import Band
from geo_assets.model.cf import band_attributes
from geo_assets.model.collection import SensorRecipe
from geo_assets.model.crs import reproject
from geo_assets.model.function import function_hash
from geo_assets.model.geometry import GeoBox, PixelGrid
from geo_assets.model.lonlat import densify
from geo_assets.model.plugin import BlockWriter, Sweeps, Variable
from geo_assets.model.receipt import BandFigures, BlockReceipt
from geo_assets.model.recipe import BIT_KINDS, CubeRecipe, MaskRecipe, digest
from geo_assets.model.scene import Scene
from geo_assets.model.sensor import Sensor
from geo_assets.model.task import CompositeTask
from geo_assets.registry import load, sensor_of

CODE_VERSION = "4"  # raise it when the same scenes and recipe give other pixels
PREVIEW_PX = 128
_SAMPLE = 65_536
_REACH_DEG = 0.01  # footprints in catalogs are simplified; a scene may reach a little beyond its own

Pixels = npt.NDArray[Any]
Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class BlockResult:
    """What a worker sends back: the receipt, the store's changes and a thumbnail, never the pixels."""

    receipt: BlockReceipt
    changes: bytes
    preview: Pixels


def variables(sensor: Sensor, cube: CubeRecipe) -> list[Variable]:
    """Arrays of the cube's groups."""
    clear = Variable(
        "n_clear", "uint16", 0, {"long_name": "solar days on which the pixel is clear in every band", "units": "1"}
    )
    bands = [sensor.bands[name] for name in cube.bands]
    if cube.layout == "stacked":
        first = bands[0]
        attrs = {k: v for k, v in band_attributes(first).items() if k != "wavelength_um" or len(bands) == 1}
        attrs["long_name"] = " ".join(cube.bands)
        return [Variable(cube.varname, first.dtype, first.fill, attrs, tuple(cube.bands)), clear]
    return [*(Variable(b.name, b.dtype, b.fill, band_attributes(b)) for b in bands), clear]


def block_key(
    scenes: tuple[Scene, ...], cube: CubeRecipe, mask: MaskRecipe, entry: SensorRecipe, placed: Sequence[Any] = ()
) -> str:
    """Fingerprint of everything that a block's pixels depend on, but for which of its chunks are made.

    Args:
        scenes: That may reach it.
        cube: Recipe.
        mask: Recipe.
        entry: Of the sensor.
        placed: What else counts where heights place its pixels.
    """
    wanted = sorted(scenes, key=lambda s: (s.time, s.item_id))
    described = {"sensor": entry.facts} if entry.described else {}
    return digest(
        {
            "scenes": [list(map(str, s.identity)) for s in wanted],
            "cube": pixel_recipe(cube),
            "mask": pixel_mask(mask),
            "code": CODE_VERSION,
            **described,
            **({"placed": list(placed)} if placed else {}),
        }
    )


def pixel_recipe(cube: CubeRecipe) -> dict[str, object]:
    """The part of the recipe that pixels depend on."""
    ignored = {
        "store",
        "varname",
        "region_blocks",
        "memory_mb",
        *(() if cube.statistic == "percentile" else ("percentile",)),
    }
    return cube.model_dump(mode="json", exclude=ignored)


def pixel_mask(mask: MaskRecipe) -> dict[str, object]:
    """The part of the mask that pixels depend on: a preset counts by its values, and the cloud cover by its scenes."""
    if mask.kind == "none":
        return {"kind": mask.kind}
    if mask.is_function:
        read = mask.model_dump(mode="json", include={"kind", "band", "close_px", "open_px", "resampling"})
        return read | {"code": function_hash(mask.kind, "mask.kind")}
    plain = {"resampling"} if mask.resampling == "nearest" else set()  # as it was before there was a choice
    unread = "keep" if mask.kind in BIT_KINDS else "bits"
    return mask.model_dump(mode="json", exclude={"preset", "max_cloud_cover", "band", unread, *plain})


class Footprints:
    """Footprints of scenes in the CRS of a pixel grid, to ask which scenes reach a window."""

    def __init__(self, scenes: tuple[Scene, ...], crs: str) -> None:
        self.scenes = tuple(sorted(scenes, key=lambda s: (s.time, s.item_id)))
        shapes = shapely.from_wkb([s.footprint for s in self.scenes])
        reached = shapely.buffer(shapes, _REACH_DEG, quad_segs=2) if len(self.scenes) else np.array([], object)
        self._shapes = reproject(densify(reached), "EPSG:4326", crs) if len(self.scenes) else reached

    def reaching(self, box: GeoBox) -> tuple[Scene, ...]:
        """Scenes that may have pixels in a window, in the order of datetime, then item id."""
        if not self.scenes:
            return ()
        hits = shapely.intersects(self._shapes, shapely.box(*box.bounds))
        return tuple(s for s, hit in zip(self.scenes, hits, strict=True) if hit)

    def mean_cover(self, box: GeoBox) -> float:
        """Scenes that a pixel of a window has on average, by their footprints."""
        if not self.scenes:
            return 0.0
        window = shapely.box(*box.bounds)
        valid = shapely.make_valid(self._shapes)  # what was valid in degrees may cross itself in metres
        return float(shapely.area(shapely.intersection(valid, window)).sum() / window.area)


def run(task: CompositeTask) -> BlockResult:
    """Make a block's chunks of one month and write them through the task's writer.

    Raises:
        SourceError: An asset that the block needs is missing, unreadable or refused; nothing counts as written.
        StoreError: A write failed.
        ConfigError: The block does not fit into the memory that the recipe allows.
    """
    began, cpu = time.perf_counter(), time.thread_time()
    writer: BlockWriter = load("stores", task.cube.store).writer(task.writer)
    with _session(task) as session:
        made, beside = _make(task, session, writer)
        usage = session.usage
    receipt = made.receipt.model_copy(
        update={
            "bytes_read": usage.bytes, "requests": usage.requests, "notes": list(usage.notes),
            "wall_s": round(time.perf_counter() - began, 3), "cpu_s": round(time.thread_time() - cpu + beside, 3),
        }
    )  # fmt: skip
    return replace(made, receipt=receipt, changes=writer.changes())


@contextlib.contextmanager
def _session(task: CompositeTask) -> Iterator[Sweeps]:
    """What gives the layers of a task's scenes."""
    if task.terrain is not None:
        from geo_assets.tasks.radar_sweep import radar_session  # with what only its workers need

        with radar_session(task) as placed:
            yield placed
        return
    catalog = load("catalogs", task.catalog.kind)
    with load("readers", task.cube.reader).session(catalog.access(task.catalog), catalog.sign) as session:
        yield session


def _make(task: CompositeTask, session: Sweeps, writer: BlockWriter) -> tuple[BlockResult, float]:
    """The block's receipt and thumbnail, and the CPU seconds of other threads; its pixels go to the writer."""
    from geo_assets.tasks.block import BlockPixels  # compiled loops, which nothing but a worker needs

    window, wanted = window_of(task)
    box = task.grid.block_geobox(task.block).window(*window)
    footprints = Footprints(task.scenes, task.grid.crs)
    scenes = footprints.reaching(box)
    sensor = sensor_of(task.sensor)
    pixels = BlockPixels(box, wanted, scenes, sensor=sensor, cube=task.cube, mask=task.mask, session=session)
    bands = [sensor.bands[name] for name in task.cube.bands]
    figures, preview = _Figures(wanted), _Preview(task, window, bands)
    sink = _Sink(task, window, wanted, writer, bands)
    for n, (name, values) in enumerate(pixels.bands()):
        if name == "n_clear":
            figures.clear(values)
        else:
            figures.band(name, values, bands[n].fill)
            preview.band(n, values)
        sink.write(n, name, values)
    receipt = BlockReceipt(
        row=task.block.row, col=task.block.col, key=task.key,
        chunks=[list(c) for c in sorted(task.chunks)], cells=list(task.cells), days=len({s.solar_day for s in task.scenes}),
        cover=round(footprints.mean_cover(box), 3),
        scene_ids=sorted(pixels.used), height_ids=[s.item_id for s in task.terrain.scenes] if task.terrain else [], pixels=figures.pixels, observed=figures.observed, n_clear_mean=figures.n_clear_mean, bands=figures.bands,
    )  # fmt: skip
    return BlockResult(receipt, b"", preview.pixels), pixels.cpu_s


def window_of(task: CompositeTask) -> tuple[Window, npt.NDArray[np.bool_]]:
    """The part of a block that holds all of a task's chunks as row, column, rows, columns, and which of its pixels they are."""
    chunk = task.grid.chunk_px
    window = window_of_chunks(task.chunks, task.grid)
    row, col, down, across = (v // chunk for v in window)
    at = np.asarray(task.chunks)
    chunks = np.zeros((down, across), bool)
    chunks[at[:, 0] - row, at[:, 1] - col] = True
    return window, chunks.repeat(chunk, axis=0).repeat(chunk, axis=1)


def window_of_chunks(chunks: Sequence[tuple[int, int]], grid: PixelGrid) -> Window:
    """The part of a block that holds some of its chunks, as row, column, rows, columns in pixels."""
    at = np.asarray(chunks)
    (row, col), (down, across) = at.min(axis=0), at.max(axis=0) - at.min(axis=0) + 1
    return int(row) * grid.chunk_px, int(col) * grid.chunk_px, int(down) * grid.chunk_px, int(across) * grid.chunk_px


class _Sink:
    """Writes a block's window, one whole shard at a time.

    Where other chunks of the block stay, they are kept; else the whole block is written, empty beside the window: then
    nothing has to be read first, and what a damaged shard held does not matter.
    """

    def __init__(
        self, task: CompositeTask, window: Window, wanted: npt.NDArray[np.bool_], writer: BlockWriter, bands: Sequence[Band]
    ) -> None:  # fmt: skip
        block = task.grid.block_geobox(task.block)
        self._task, self._writer, self._wanted = task, writer, wanted
        self._row, self._col, rows, cols = window
        self._whole = not task.adds
        shape = block.shape if self._whole else (rows, cols)
        self._place = task.grid.array_slices(block if self._whole else block.window(*window))
        self._shape, self._fills = shape, [b.fill for b in bands]
        self._widens = self._whole and shape != (rows, cols)
        stacked = task.cube.layout == "stacked"
        self._stack = np.full((*shape, len(bands)), bands[0].fill, bands[0].dtype) if stacked else None

    def write(self, number: int, name: str, values: Pixels) -> None:
        """Take one band, or ``n_clear`` in the end."""
        if self._widens:
            fill = self._fills[number] if name != "n_clear" else 0
            out = np.full(self._shape, fill, values.dtype)
            out[self._row : self._row + values.shape[0], self._col : self._col + values.shape[1]] = values
            values = out
        if self._stack is None or name == "n_clear":
            self._put(name, values)
        else:
            self._stack[..., number] = values
            if number + 1 == self._stack.shape[-1]:
                self._put(self._task.cube.varname, self._stack)

    def _put(self, name: str, values: Pixels) -> None:
        where = None if self._whole or self._wanted.all() else self._wanted
        self._writer.write(name, self._task.time_index, *self._place, values, where)


class _Preview:
    """A thumbnail of the block: every n-th pixel."""

    def __init__(self, task: CompositeTask, window: Window, bands: Sequence[Band]) -> None:
        self._stride = max(1, task.grid.block_px // PREVIEW_PX)
        side = -(-task.grid.block_px // self._stride)
        self.pixels = np.zeros((side, side, len(bands)), np.result_type(*(b.dtype for b in bands)))
        self.pixels[...] = [b.fill for b in bands]
        self._window = window

    def band(self, number: int, values: Pixels) -> None:
        """Take a band's values of the window."""
        row, col, _, _ = self._window
        y, x = -(-row // self._stride), -(-col // self._stride)
        part = values[y * self._stride - row :: self._stride, x * self._stride - col :: self._stride]
        self.pixels[y : y + part.shape[0], x : x + part.shape[1], number] = part


class _Figures:
    """Statistics of the pixels that a block wrote."""

    def __init__(self, wanted: npt.NDArray[np.bool_]) -> None:
        self._wanted, self._whole = wanted, bool(wanted.all())
        self._step = max(1, int(np.sqrt(wanted.size / _SAMPLE)))
        self._observed = wanted.copy()
        self._clear_sum = 0
        self.pixels = int(np.count_nonzero(wanted))
        self.bands: dict[str, BandFigures] = {}

    def band(self, name: str, values: Pixels, fill: float) -> None:
        """Take one band; a band without an observed pixel has no figures. Pixels that are not wanted are ``fill``."""
        self._observed &= ~unobserved(values, fill)
        sample = values[:: self._step, :: self._step]
        sample = sample[~unobserved(sample, fill)]
        if not sample.size and self._step > 1:
            sample = values[~unobserved(values, fill)]
        if sample.size:
            p01, p50, p99 = np.percentile(sample, [1, 50, 99])
            self.bands[name] = BandFigures(
                p01=float(p01), p50=float(p50), p99=float(p99), floor_share=float((sample == 1).mean())
            )

    def clear(self, n_clear: Pixels) -> None:
        """Take the number of clear days."""
        self._clear_sum = int(n_clear.sum())

    @property
    def observed(self) -> int:
        """Pixels with every band."""
        return int(np.count_nonzero(self._observed))

    @property
    def n_clear_mean(self) -> float:
        """Clear days of a pixel on average."""
        return round(self._clear_sum / self.pixels, 3) if self.pixels else 0.0
