"""Pixels of one analysis-ready layer, cell by cell: masks of all cells first, then the bands where something is clear."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from geo_assets.eo import terrain
from geo_assets.eo.backscatter import to_db
from geo_assets.eo.height_tiles import join_margin_px, joined
from geo_assets.eo.lattice import CELL_PX, phase
from geo_assets.eo.mask import coarse, halo_px
from geo_assets.eo.scale import filled, unobserved
from geo_assets.errors import SourceError
from geo_assets.model.ard import ArdTask
from geo_assets.model.band import RADAR, Band
from geo_assets.model.cell import CellBox
from geo_assets.model.collection import mask_band
from geo_assets.model.geometry import GeoBox
from geo_assets.model.plugin import Layer
from geo_assets.model.scene import Scene
from geo_assets.model.sensor import Sensor
from geo_assets.registry import sensor_of
from geo_assets.tasks.clear import clear_pixels
from geo_assets.tasks.composite import Footprints
from geo_assets.tasks.heights import edge_px

Pixels = npt.NDArray[Any]
Bits = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Seen:
    """Where a scene is clear in a cell; ``bits`` are packed along x, ``lattice`` says which cells of the lattice have some."""

    cell: CellBox
    scene: Scene
    bits: Bits
    lattice: Mask


class Windows(Protocol):
    """What gives windows of layers: a session of a reader, or ``radar_windows.RadarWindows``."""

    def windows(self, layers: Sequence[Layer]) -> Iterator[Pixels | None]:
        """See ``ReadSession``."""
        ...


class LayerPixels:
    """Pixels of a task, cell by cell.

    Args:
        task: What is made.
        session: Reads pixels.
    """

    def __init__(self, task: ArdTask, session: Windows) -> None:
        self._task, self._session = task, session
        self._sensor = sensor_of(task.sensor)
        self._bands = [self._sensor.bands[name] for name in read_bands(self._sensor, task.bands)]
        margin = margin_px(task)
        self._joined = self._sensor.heights if joins_heights(task) else ""
        # One object a cell: windows that lie alike share a plan
        self._boxes = {cell.id: _widened(cell.box, margin) for cell in task.cells}

    def cells(self) -> Iterator[tuple[CellBox, dict[str, Pixels]]]:
        """Each cell in which something is observed, and its bands by name, dims (y, x), ``fill`` where nothing is clear.

        Where bands are made from others, all are ``margin_px`` wider than the cell on each side.

        Raises:
            SourceError: An asset is missing, unreadable or refused.
        """
        seen, resampling = list(self._clear()), self._task.ard.resampling
        layers = [
            layer_of(s.scene, band, self._boxes[s.cell.id], resampling, s.lattice) for s in seen for band in self._bands
        ]
        windows = self._session.windows(layers)
        by_cell: dict[str, list[_Seen]] = {}
        for one in seen:
            by_cell.setdefault(one.cell.id, []).append(one)
        for of_cell in by_cell.values():
            values = self._mosaic(of_cell, windows)
            if not all(unobserved(v, b.fill).all() for v, b in zip(values, self._bands, strict=True)):
                yield of_cell[0].cell, {b.name: v for b, v in zip(self._bands, values, strict=True)}

    def _mosaic(self, seen: Sequence[_Seen], windows: Iterator[Pixels | None]) -> list[Pixels]:
        """Per pixel and band the first clear and observed scene, in the order of the scenes."""
        from geo_assets.eo.reduce import merge_first  # compiled loops, which nothing but a worker needs

        shape = self._boxes[seen[0].cell.id].shape
        made = [np.full(shape, band.fill, band.dtype) for band in self._bands]
        tiles: list[Pixels] = []
        for one in seen:
            clear = np.unpackbits(one.bits, axis=1, count=shape[1]).view(bool)
            for band, layer in zip(self._bands, made, strict=True):
                pixels = next(windows)
                if pixels is not None and band.name == self._joined:
                    tiles.append(np.where(clear, filled(pixels, band), np.float32(np.nan)))
                elif pixels is not None:
                    offset = 0 if band.categorical else one.scene.dn_offset
                    merge_first(layer, filled(pixels, band), clear, offset=offset, nodata=band.fill)
        if tiles:
            place = [band.name for band in self._bands].index(self._joined)
            scenes = [one.scene for one in seen]
            edge = edge_px(scenes, self._bands[place], self._boxes[seen[0].cell.id])
            made[place] = joined(tiles, edge_px=edge)
        return made

    def _clear(self) -> Iterator[_Seen]:
        """Where each scene is clear in each cell that it may reach, without those where it is nowhere."""
        task = self._task
        pairs = [(cell, scene) for cell in task.cells for scene in _reaching(cell, task.scenes)]
        band = mask_band(self._sensor, task.mask)
        if band is None:
            for cell, scene in pairs:
                yield _packed(cell, scene, self._boxes[cell.id], np.ones(self._boxes[cell.id].shape, bool))
            return
        halo = halo_px(task.mask.close_px, task.mask.open_px)
        wide = {cell.id: _widened(self._boxes[cell.id], halo) for cell in task.cells}
        layers = [layer_of(scene, band, wide[cell.id], task.mask.resampling, None) for cell, scene in pairs]
        for (cell, scene), classes in zip(pairs, self._session.windows(layers), strict=True):
            if classes is None:
                continue
            rows, cols = self._boxes[cell.id].shape
            clear = clear_pixels(classes, band, task.mask)[halo : halo + rows, halo : halo + cols]
            if clear.any():
                yield _packed(cell, scene, self._boxes[cell.id], clear)


def layer_of(scene: Scene, band: Band, box: GeoBox, resampling: str, lattice: Mask | None) -> Layer:
    """A band of a scene on a window.

    Raises:
        SourceError: The scene has no asset for it.
    """
    href = scene.href(band.name)
    if href is None:
        raise SourceError(
            f"scene {scene.item_id} has no asset for band {band.name}; leave it out of ard.bands, or name the item in sensors.exclude"
        )
    return Layer(href, band, box, resampling, scene.said(band.name), lattice)


def _reaching(cell: CellBox, scenes: Sequence[Scene]) -> list[Scene]:
    """Scenes whose footprint may overlap a cell, in their order."""
    if len(scenes) == 1:
        return list(scenes)  # the plan has asked already
    near = {id(s) for s in Footprints(tuple(scenes), cell.box.crs).reaching(cell.box)}
    return [s for s in scenes if id(s) in near]


def _widened(box: GeoBox, by: int) -> GeoBox:
    return box.window(-by, -by, box.shape[0] + 2 * by, box.shape[1] + 2 * by)


def _packed(cell: CellBox, scene: Scene, box: GeoBox, clear: Mask) -> _Seen:
    return _Seen(cell, scene, np.packbits(clear, axis=1), coarse(clear, CELL_PX, *phase(box)))


def read_bands(sensor: Sensor, names: Sequence[str]) -> list[str]:
    """Bands that are read for some bands of a layer: themselves, and what others are made from."""
    read = [name for name in names if name not in sensor.derived]
    return read if len(read) == len(names) or sensor.heights in read else [*read, sensor.heights]


def joins_heights(task: ArdTask) -> bool:
    """Whether tiles of a height model are joined: where kernels reach over the end of one, and the next is needed."""
    sensor = sensor_of(task.sensor)
    smooth = task.ard.resampling != "nearest" and len(task.scenes) > 1
    return bool(sensor.heights) and smooth and sensor.heights in read_bands(sensor, task.bands)


def margin_px(task: ArdTask) -> int:
    """Pixels around a cell that its bands are made from."""
    sensor = sensor_of(task.sensor)
    halo = terrain.HALO_PX if any(name in sensor.derived for name in task.bands) else 0
    if not joins_heights(task):
        return halo
    return halo + join_margin_px(edge_px(task.scenes, sensor.bands[sensor.heights], task.cells[0].box))


def finished(task: ArdTask, box: GeoBox, read: Mapping[str, Pixels]) -> tuple[list[Band], list[Pixels]]:
    """A cell's bands as they are stored: slope and aspect made of heights, radar in decibels where that is asked for.

    Args:
        task: Says which bands.
        box: Pixels of the cell.
        read: Bands that were read, by name, dims (y, x), ``margin_px`` wider than the cell on each side.

    Returns:
        Facts and values of the bands, dims (y, x).
    """
    sensor = sensor_of(task.sensor)
    margin, halo = margin_px(task), terrain.HALO_PX
    inside = slice(margin, margin + box.shape[0]), slice(margin, margin + box.shape[1])
    derived = any(name in sensor.derived for name in task.bands)
    near = slice(margin - halo, margin + box.shape[0] + halo), slice(margin - halo, margin + box.shape[1] + halo)
    made = _derived(box, read[sensor.heights][near]) if derived else {}
    bands, values = [], []
    for name in task.bands:
        band = sensor.derived.get(name) or sensor.bands[name]
        stored = made[name] if name in sensor.derived else np.ascontiguousarray(read[name][inside])
        if task.ard.backscatter == "db" and band.quantity == RADAR:
            band, stored = replace(band, unit="dB", shown=(-25.0, 0.0), plausible=(-60.0, 30.0)), to_db(stored)
        bands.append(band)
        values.append(stored)
    return bands, values


def _derived(box: GeoBox, heights: Pixels) -> dict[str, Pixels]:
    falls = terrain.gradient(heights, box)
    return {"slope": terrain.slope(falls), "aspect": terrain.aspect(falls)}
