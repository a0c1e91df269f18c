"""The pixels of one block and month: first which pixels of each scene are clear, then band by band in strips of rows.

A strip holds one layer a solar day. It is as high as the memory allows, and source tiles are read from their top to their
bottom as the strips go down, so that each tile is fetched and inflated once and memory does not grow with the area.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from geo_assets.eo.lattice import CELL_PX, phase
from geo_assets.eo.mask import coarse, halo_px
from geo_assets.eo.reduce import and_observed, count_seen, geometric_median, medoid, merge_first, statistic
from geo_assets.eo.scale import filled, unobserved
from geo_assets.errors import SourceError
from geo_assets.model.band import Band
from geo_assets.model.collection import mask_band
from geo_assets.model.geometry import GeoBox
from geo_assets.model.plugin import Layer, Sweep, Sweeps
from geo_assets.model.recipe import CubeRecipe, MaskRecipe
from geo_assets.model.scene import Scene
from geo_assets.model.sensor import Sensor
from geo_assets.tasks.clear import clear_pixels
from geo_assets.tasks.memory import Strips, bands_together, give_back, itemsize, masks_at_once, strips
from geo_assets.threads import Crew

Pixels = npt.NDArray[Any]
Bits = npt.NDArray[np.uint8]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Clear:
    """Clear pixels of one scene.

    Attributes:
        scene: The scene.
        bits: Packed along x, dims (y, x / 8).
        cells: Cells of the target's lattice that have one.
    """

    scene: Scene
    bits: Bits
    cells: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Group:
    """Bands that are reduced together.

    Attributes:
        days: Scenes with a clear pixel, by solar day.
        sweeps: Their layers, by band, day and scene.
        seen: Pixels that are clear and observed, packed along x, dims (time, y, x / 8).
        out: The composite, dims (band, y, x).
        fill: What a pixel holds that was not observed.
    """

    days: list[list[Clear]]
    sweeps: list[list[list[Sweep | None]]]
    seen: Bits
    out: Pixels
    fill: float

    def close(self) -> None:
        """End all layers."""
        for sweep in (s for per_day in self.sweeps for per_scene in per_day for s in per_scene):
            if sweep is not None:
                sweep.close()


class BlockPixels:
    """Composite of a window, computed once.

    Args:
        box: The window.
        wanted: Pixels that are made, dims (y, x).
        scenes: Scenes that may reach it, in the order of datetime, then item id.
        sensor: Of the scenes.
        cube: Recipe of the cube.
        mask: Recipe of the mask.
        session: Reads pixels.

    Attributes:
        used: Ids of the scenes that were read.
        cpu_s: CPU seconds of the threads that worked beside the caller's.
    """

    def __init__(
        self, box: GeoBox, wanted: npt.NDArray[np.bool_], scenes: Sequence[Scene], *, sensor: Sensor, cube: CubeRecipe, mask: MaskRecipe, session: Sweeps
    ) -> None:  # fmt: skip
        self._box, self._wanted, self._scenes = box, wanted, scenes
        self._sensor, self._cube, self._mask, self._session = sensor, cube, mask, session
        self._bands = [sensor.bands[b] for b in cube.bands]
        self.used: set[str] = set()
        self.cpu_s = 0.0
        self._lock = threading.Lock()

    def bands(self) -> Iterator[tuple[str, Pixels]]:
        """Each band's name and values, dims (y, x), then ``n_clear``.

        Raises:
            SourceError: An asset is missing, unreadable or refused.
        """
        with Crew(self._session.threads) as self._crew:
            clear = self._clear()
            give_back()
            by_day: dict[str, list[Clear]] = {}
            for one in clear:
                by_day.setdefault(one.scene.solar_day, []).append(one)
            days = list(by_day.values())
            seen = self._ever(days)
            together = bands_together(self._cube)
            groups = [self._bands] if together > 1 else [[b] for b in self._bands]
            cut = strips(
                self._cube, scenes=len(clear), days=len(days), shape=self._box.shape, bands=together, threads=self._session.threads,
                itemsize=itemsize(self._bands),
            )  # fmt: skip
            ahead: list[list[list[Sweep | None]]] | None = None
            for n, bands in enumerate(groups):
                fill = bands[0].fill
                out = np.full((len(bands), *self._box.shape), fill, bands[0].dtype)
                group = _Group(days, ahead or self._sweeps(bands, days, cut), seen, out, fill)
                for first in range(0, self._box.shape[0], cut.rows):
                    end = min(first + cut.rows, self._box.shape[0])
                    if end == self._box.shape[0]:  # what comes next is fetched while this is reduced
                        ahead = self._sweeps(groups[n + 1], days, cut) if n + 1 < len(groups) else None
                    self._strip(group, bands, first, end, cut.threads)
                for band, values in zip(bands, out, strict=True):
                    yield band.name, values
                group.close()
            yield "n_clear", count_seen(seen, self._box.shape[1])
        give_back()

    # ---- which pixels are clear

    def _clear(self) -> list[Clear]:
        """Clear pixels of each scene that has any."""
        found: list[Clear | None]
        band = mask_band(self._sensor, self._mask)
        if band is None:
            found = [self._packed(scene, self._wanted) for scene in self._scenes]
        else:
            halo = halo_px(self._mask.close_px, self._mask.open_px)
            rows, cols = self._box.shape
            wide = self._box.window(-halo, -halo, rows + 2 * halo, cols + 2 * halo)
            near = _grown(self._wanted, halo)
            cells = coarse(near, CELL_PX, *phase(wide))
            layers = [self._layer(scene, band, wide, self._mask.resampling, cells) for scene in self._scenes]
            sweeps = self._session.sweep(layers, wide.shape[0])
            found = self._each(
                lambda pair: self._classified(*pair, band, near, halo),
                list(zip(self._scenes, sweeps, strict=True)),
                masks_at_once(self._cube, scenes=len(self._scenes), shape=wide.shape),
            )
        return [one for one in found if one is not None and one.cells.any()]

    def _classified(
        self, scene: Scene, sweep: Sweep | None, band: Band, near: npt.NDArray[np.bool_], halo: int
    ) -> Clear | None:
        classes = None if sweep is None else sweep.rows(0, near.shape[0], near)
        if sweep is None or classes is None:
            return None
        sweep.close()
        with self._lock:
            self.used.add(scene.item_id)
        clear = clear_pixels(classes, band, self._mask)
        rows, cols = self._box.shape
        return self._packed(scene, clear[halo : halo + rows, halo : halo + cols] & self._wanted)

    def _packed(self, scene: Scene, clear: npt.NDArray[np.bool_]) -> Clear:
        return Clear(scene, np.packbits(clear, axis=1), coarse(clear, CELL_PX, *phase(self._box)))

    # ---- bands

    def _sweeps(self, bands: Sequence[Band], days: list[list[Clear]], cut: Strips) -> list[list[list[Sweep | None]]]:
        """Sweeps by band, day and scene."""
        layers = [
            self._layer(one.scene, band, self._box, self._cube.resampling, one.cells)
            for band in bands
            for day in days
            for one in day
        ]
        sweeps = iter(self._session.sweep(layers, cut.rows, spare_bytes=cut.spare_bytes))
        return [[[next(sweeps) for _ in day] for day in days] for _ in bands]

    def _strip(self, group: _Group, bands: Sequence[Band], first: int, end: int, threads: int) -> None:
        """Rows ``first`` to ``end`` of some bands, by some threads."""
        width, days = self._box.shape[1], group.days
        stack = np.full((len(group.sweeps), len(days), end - first, width), group.fill, group.out.dtype)

        def fill(day: int) -> None:
            masks = [np.unpackbits(one.bits[first:end], axis=1, count=width).view(bool) for one in days[day]]
            for band, layers, per_day in zip(bands, stack, group.sweeps, strict=True):
                self._mosaic(layers[day], band, (first, end), days[day], per_day[day], masks)
                and_observed(group.seen[day, first:end], layers[day], nodata=group.fill)

        self._each(fill, list(range(len(days))), threads)
        self._reduce(stack, group.out[:, first:end], group.fill)

    def _mosaic(
        self, layer: Pixels, band: Band, rows: tuple[int, int], day: list[Clear], sweeps: list[Sweep | None], masks: list[npt.NDArray[np.bool_]]
    ) -> None:  # fmt: skip
        """One solar day: per pixel the first clear and observed scene."""
        for n, (one, sweep, mask) in enumerate(zip(day, sweeps, masks, strict=True)):
            where = mask & unobserved(layer, band.fill) if n else mask
            pixels = None if sweep is None else sweep.rows(*rows, where)
            if pixels is not None:
                with self._lock:
                    self.used.add(one.scene.item_id)
                offset = one.scene.dn_offset if not band.categorical else 0
                merge_first(layer, filled(pixels, band), where, offset=offset, nodata=band.fill)

    def _reduce(self, stack: Pixels, out: Pixels, fill: float) -> None:
        name, rows = self._cube.statistic, out.shape[1]
        if not stack.shape[1]:
            return
        step = max(16, -(-rows // max(1, self._session.threads)))

        def part(first: int) -> None:
            some = first, min(first + step, rows)
            if name == "medoid":
                medoid(stack, nodata=fill, out=out, rows=some)
            elif name == "geomedian":
                geometric_median(stack, nodata=fill, out=out, rows=some)
            else:
                statistic(stack[0], name, percentile=self._cube.percentile, nodata=fill, out=out[0], rows=some)

        self._each(part, list(range(0, rows, step)))

    def _ever(self, days: list[list[Clear]]) -> Bits:
        """Pixels that are clear in any scene of a day, dims (time, y, x / 8)."""
        rows, cols = self._box.shape
        seen = np.zeros((len(days), rows, -(-cols // 8)), np.uint8)
        for bits, day in zip(seen, days, strict=True):
            for one in day:
                bits |= one.bits
        return seen

    # ---- both

    def _layer(self, scene: Scene, band: Band, box: GeoBox, resampling: str, cells: npt.NDArray[np.bool_]) -> Layer:
        href = scene.href(band.name)
        if href is None:
            raise SourceError(
                f"scene {scene.item_id} has no asset for band {band.name}; leave the band out, or name the item in sensors.exclude"
            )
        return Layer(href, band, box, resampling, scene.said(band.name), cells)

    def _each(self, work: Callable[[T], R], items: Sequence[T], most: int | None = None) -> list[R]:
        """Results in order, by as many threads as the session allows and at most so many; the first error ends it."""
        if self._session.threads < 2 or len(items) < 2:
            return [work(item) for item in items]

        def timed(item: T) -> R:
            began = time.thread_time()
            try:
                return work(item)
            finally:
                with self._lock:
                    self.cpu_s += time.thread_time() - began

        return self._crew.each(timed, items, most)


def _grown(wanted: npt.NDArray[np.bool_], halo: int) -> npt.NDArray[np.bool_]:
    """Pixels that the clean-up of wanted ones looks at, with ``halo`` pixels around the window."""
    if not halo:
        return wanted
    wide = np.pad(wanted, halo)
    if wanted.all():
        return np.ones_like(wide)
    for axis in (0, 1):
        total = np.cumsum(wide, axis=axis, dtype=np.int32)
        low = np.take(total, np.maximum(np.arange(wide.shape[axis]) - halo - 1, 0), axis=axis)
        high = np.take(total, np.minimum(np.arange(wide.shape[axis]) + halo, wide.shape[axis] - 1), axis=axis)
        wide = high > np.where(
            np.arange(wide.shape[axis]).reshape([-1 if a == axis else 1 for a in (0, 1)]) > halo, low, 0
        )
    return wide
