"""One block and month of the composite: read, mask, align, reduce, write one shard."""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geo_assets.eo.composite import medoid, statistic
from geo_assets.eo.mask import clear_from_classes, halo_px
from geo_assets.eo.scale import apply_offset
from geo_assets.eo.windows import rectangles
from geo_assets.errors import SourceError
from geo_assets.model.band import Band
from geo_assets.model.crs import reproject
from geo_assets.model.geometry import GeoBox
from geo_assets.model.lonlat import densify
from geo_assets.model.plugin import BlockWriter, ReadSession, Variable
from geo_assets.model.receipt import BandFigures, BlockReceipt
from geo_assets.model.recipe import CubeRecipe, MaskRecipe, digest
from geo_assets.model.scene import Scene
from geo_assets.model.sensor import Sensor
from geo_assets.model.task import CompositeTask
from geo_assets.registry import load

CODE_VERSION = "1"  # raise it when the same scenes and recipe give other pixels
PREVIEW_PX = 128
_MEMORY_BYTES = 256 * 2**20  # of one stack of days
_SAMPLE = 65_536
_REACH_DEG = 0.01  # footprints in catalogs are simplified; a scene may reach a little beyond its own

Pixels = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class BlockResult:
    """What a worker sends back: the receipt, the store's changes and a thumbnail, never the pixels."""

    receipt: BlockReceipt
    changes: bytes
    preview: npt.NDArray[np.uint16]


def variables(sensor: Sensor, cube: CubeRecipe) -> list[Variable]:
    """Arrays of the cube's groups."""

    def attrs(*names: str) -> dict[str, object]:
        band = sensor.bands[names[0]]
        known: dict[str, object] = {
            "long_name": " ".join(names),
            "standard_name": "surface_bidirectional_reflectance",
            "units": "1",
        }
        if band.wavelength_um is not None and len(names) == 1:
            known["wavelength_um"] = band.wavelength_um
        return {**known, "scale_factor": band.scale, "add_offset": 0.0, "_FillValue": 0}

    clear = Variable(
        "n_clear", "uint16", 0, {"long_name": "solar days on which the pixel is clear in every band", "units": "1"}
    )
    if cube.layout == "stacked":
        return [Variable(cube.varname, "uint16", 0, attrs(*cube.bands), tuple(cube.bands)), clear]
    return [*(Variable(b, "uint16", 0, attrs(b)) for b in cube.bands), clear]


def block_key(scenes: tuple[Scene, ...], cube: CubeRecipe, mask: MaskRecipe) -> str:
    """Fingerprint of everything that a block's pixels depend on, but for which of its chunks are made."""
    wanted = sorted(scenes, key=lambda s: (s.time, s.item_id))
    return digest(
        {
            "scenes": [list(map(str, s.identity)) for s in wanted],
            "cube": pixel_recipe(cube),
            "mask": pixel_mask(mask),
            "code": CODE_VERSION,
        }
    )


def pixel_recipe(cube: CubeRecipe) -> dict[str, object]:
    """The part of the recipe that pixels depend on."""
    ignored = {"store", "varname", "region_blocks", *(() if cube.statistic == "percentile" else ("percentile",))}
    return cube.model_dump(mode="json", exclude=ignored)


def pixel_mask(mask: MaskRecipe) -> dict[str, object]:
    """The part of the mask that pixels depend on: a preset counts by its values, and the cloud cover by its scenes."""
    return (
        {"kind": mask.kind}
        if mask.kind == "none"
        else mask.model_dump(mode="json", exclude={"preset", "max_cloud_cover"})
    )


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
        return float(shapely.area(shapely.intersection(self._shapes, window)).sum() / window.area)


def run(task: CompositeTask) -> BlockResult:
    """Make a block's chunks of one month and write them through the task's writer.

    Raises:
        SourceError: An asset that the block needs is missing, unreadable or refused; nothing counts as written.
        StoreError: A write failed.
    """
    began, cpu = time.perf_counter(), time.thread_time()
    catalog = load("catalogs", task.catalog.kind)
    writer: BlockWriter = load("stores", task.cube.store).writer(task.writer)
    with load("readers", task.cube.reader).session(catalog.access(task.catalog), catalog.sign) as session:
        made = _Maker(task, session).make(writer)
    receipt = replace_times(made.receipt, began, cpu, session)
    return replace(made, receipt=receipt, changes=writer.changes())


def replace_times(receipt: BlockReceipt, began: float, cpu: float, session: ReadSession) -> BlockReceipt:
    """The receipt with what reading cost and how long the task took."""
    usage = session.usage
    return receipt.model_copy(
        update={
            "bytes_read": usage.bytes, "requests": usage.requests, "notes": list(usage.notes),
            "wall_s": round(time.perf_counter() - began, 3), "cpu_s": round(time.thread_time() - cpu, 3),
        }
    )  # fmt: skip


class _Maker:
    """One block being made."""

    def __init__(self, task: CompositeTask, session: ReadSession) -> None:
        self._task, self._session = task, session
        self._sensor: Sensor = load("sensors", task.cube.sensor)
        self._bands = [self._sensor.bands[b] for b in task.cube.bands]
        self._box = task.grid.block_geobox(task.block)
        self._footprints = Footprints(task.scenes, task.grid.crs)
        self._used: set[str] = set()

    def make(self, writer: BlockWriter) -> BlockResult:
        task, chunk = self._task, self._task.grid.chunk_px
        days = max(1, len({s.solar_day for s in task.scenes}))
        depth = len(self._bands) if task.cube.statistic == "medoid" else 1
        most = max(1, _MEMORY_BYTES // (chunk * chunk * days * 2 * depth))
        stride = max(1, task.grid.block_px // PREVIEW_PX)
        side = -(-task.grid.block_px // stride)
        preview = np.zeros((side, side, len(self._bands)), np.uint16)
        figures = _Figures(task.cube.bands)
        for row, col, rows, cols in rectangles(task.chunks, max_chunks=most):
            window = (row * chunk, col * chunk, rows * chunk, cols * chunk)
            bands, n_clear = self._window(self._box.window(*window))
            self._write(writer, window, bands, n_clear)
            figures.add(bands, n_clear)
            y0, x0 = -(-window[0] // stride), -(-window[1] // stride)
            part = bands[:, y0 * stride - window[0] :: stride, x0 * stride - window[1] :: stride]
            preview[y0 : y0 + part.shape[1], x0 : x0 + part.shape[2]] = np.moveaxis(part, 0, -1)
        receipt = BlockReceipt(
            row=task.block.row, col=task.block.col, key=block_key(task.scenes, task.cube, task.mask),
            chunks=[list(c) for c in sorted(task.chunks)], cells=list(task.cells), days=len({s.solar_day for s in task.scenes}),
            scene_ids=sorted(self._used), pixels=figures.pixels, observed=figures.observed, n_clear_mean=figures.n_clear_mean, bands=figures.bands(),
        )  # fmt: skip
        return BlockResult(receipt, b"", preview)

    def _write(self, writer: BlockWriter, window: tuple[int, int, int, int], bands: Pixels, n_clear: Pixels) -> None:
        task = self._task
        rows, cols = task.grid.array_slices(self._box.window(*window))
        if task.cube.layout == "stacked":
            writer.write(task.cube.varname, task.time_index, rows, cols, np.moveaxis(bands, 0, -1))
        else:
            for name, values in zip(task.cube.bands, bands, strict=True):
                writer.write(name, task.time_index, rows, cols, values)
        writer.write("n_clear", task.time_index, rows, cols, n_clear)

    def _window(self, box: GeoBox) -> tuple[Pixels, Pixels]:
        """Composite of a window, dims (band, y, x), and its ``n_clear``."""
        scenes = self._footprints.reaching(box)
        clear = {s.item_id: mask for s in scenes if (mask := self._clear(s, box)) is not None and mask.any()}
        days: dict[str, list[Scene]] = {}
        for scene in scenes:
            if scene.item_id in clear:
                days.setdefault(scene.solar_day, []).append(scene)
        seen = np.ones((len(days), *box.shape), bool)
        reduced, stacks = [], []
        for name in self._task.cube.bands:
            stack = self._mosaics(name, days, clear, box)
            seen &= stack != 0
            if self._task.cube.statistic == "medoid":
                stacks.append(stack)
            else:
                reduced.append(statistic(stack, self._task.cube.statistic, percentile=self._task.cube.percentile))
        bands = medoid(np.stack(stacks)) if stacks else np.stack(reduced)
        return bands, seen.sum(axis=0, dtype=np.uint16)

    def _clear(self, scene: Scene, box: GeoBox) -> npt.NDArray[np.bool_] | None:
        """Clear pixels of a scene, or None where it does not reach the window."""
        mask = self._task.mask
        if mask.kind == "none":
            return np.ones(box.shape, bool)
        band = self._sensor.bands[self._sensor.mask_band[mask.kind]]
        halo = halo_px(mask.close_px, mask.open_px)
        wide = box.window(-halo, -halo, box.shape[0] + 2 * halo, box.shape[1] + 2 * halo)
        classes = self._read(scene, band, wide, "nearest")
        if classes is None:
            return None
        self._used.add(scene.item_id)
        clear = clear_from_classes(classes, mask.keep, close_px=mask.close_px, open_px=mask.open_px)
        return clear[halo : halo + box.shape[0], halo : halo + box.shape[1]]

    def _mosaics(
        self, name: str, days: dict[str, list[Scene]], clear: dict[str, npt.NDArray[np.bool_]], box: GeoBox
    ) -> Pixels:
        """One layer a solar day, dims (time, y, x): per pixel the first clear and observed scene."""
        band = self._sensor.bands[name]
        stack = np.zeros((len(days), *box.shape), np.uint16)
        for layer, scenes in zip(stack, days.values(), strict=True):
            for scene in scenes:
                pixels = self._read(scene, band, box, self._task.cube.resampling)
                if pixels is not None:
                    self._used.add(scene.item_id)
                    take = clear[scene.item_id] & (layer == 0)
                    np.copyto(layer, apply_offset(pixels, scene.dn_offset), where=take)
        return stack

    def _read(self, scene: Scene, band: Band, box: GeoBox, resampling: str) -> npt.NDArray[Any] | None:
        href = self._href(scene, band.name)
        return self._session.read(href, band, box, resampling=resampling, footprint=scene.footprint)

    def _href(self, scene: Scene, band: str) -> str:
        href = scene.href(band)
        if href is None:
            raise SourceError(
                f"scene {scene.item_id} has no asset for band {band}; leave the band or the scene's collection out"
            )
        return href


class _Figures:
    """Statistics of the pixels that a block wrote."""

    def __init__(self, names: list[str]) -> None:
        self._names = names
        self.pixels = self.observed = 0
        self._clear_sum = 0
        self._samples: list[Pixels] = []

    def add(self, bands: Pixels, n_clear: Pixels) -> None:
        self.pixels += n_clear.size
        self.observed += int(np.count_nonzero((bands != 0).all(axis=0)))
        self._clear_sum += int(n_clear.sum())
        flat = bands.reshape(len(bands), -1)
        self._samples.append(flat[:, :: max(1, flat.shape[1] // _SAMPLE)])

    @property
    def n_clear_mean(self) -> float:
        return round(self._clear_sum / self.pixels, 3) if self.pixels else 0.0

    def bands(self) -> dict[str, BandFigures]:
        """Figures by band; a band without an observed pixel has none."""
        found = {}
        for i, name in enumerate(self._names):
            values = np.concatenate([s[i] for s in self._samples]) if self._samples else np.array([], np.uint16)
            values = values[values != 0]
            if values.size:
                p01, p50, p99 = np.percentile(values, [1, 50, 99])
                found[name] = BandFigures(
                    p01=float(p01), p50=float(p50), p99=float(p99), floor_share=float((values == 1).mean())
                )
        return found
