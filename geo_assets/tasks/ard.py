"""One analysis-ready layer of some cells: read, mask, align, harmonise, write one file a cell.

A scene is read once for all cells of its region: windows that follow each other share the tiles under them.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geo_assets.eo.lattice import CELL_PX, phase
from geo_assets.eo.mask import coarse, halo_px
from geo_assets.eo.scale import filled, unobserved
from geo_assets.errors import SourceError
from geo_assets.model import path
from geo_assets.model.ard import ArdTask, CellBox
from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox
from geo_assets.model.plugin import Format, Image, Layer, ReadSession
from geo_assets.model.scene import Scene
from geo_assets.registry import load, sensor_of
from geo_assets.storage import Storage
from geo_assets.tasks.clear import clear_pixels

CODE_VERSION = "1"  # raise it when the same scenes and recipe give other pixels or files
MOSAIC = "mosaic"  # the layer of a sensor whose scenes have no date

Pixels = npt.NDArray[Any]
Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ArdResult:
    """What a worker sends back, beside which the pixels are in the storage.

    Attributes:
        rows: Of the table of layers, one a cell in which something is observed.
        bytes_read: Of source files.
        requests: Reads of a file or range.
        notes: What a person should know.
        wall_s: How long it took.
        cpu_s: CPU seconds of its thread.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    bytes_read: int = 0
    requests: int = 0
    notes: tuple[str, ...] = ()
    wall_s: float = 0.0
    cpu_s: float = 0.0


def run(task: ArdTask) -> ArdResult:
    """Make a layer of each cell that its scenes reach, and write it into the storage.

    Raises:
        SourceError: An asset is missing, unreadable or refused; files that were written count for nothing.
        StoreError: A file could not be written.
    """
    began, cpu = time.perf_counter(), time.thread_time()
    catalog, storage = load("catalogs", task.catalog.kind), Storage(task.root)
    sensor = sensor_of(task.sensor)
    bands = [sensor.bands[name] for name in task.bands]
    rows = []
    with load("readers", task.reader).session(catalog.access(task.catalog), catalog.sign) as session:
        for cell, values in _Pixels(task, session).cells():
            rows.append(_stored(task, storage, cell, bands, values))
        usage = session.usage
    return ArdResult(
        rows, usage.bytes, usage.requests, tuple(usage.notes), round(time.perf_counter() - began, 3), round(time.thread_time() - cpu, 3)
    )  # fmt: skip


@dataclass(frozen=True)
class _Seen:
    """Where a scene is clear in a cell; ``bits`` are packed along x, ``lattice`` says which cells of the lattice have some."""

    cell: CellBox
    scene: Scene
    bits: Bits
    lattice: npt.NDArray[np.bool_]


class _Pixels:
    """Pixels of a task, cell by cell."""

    def __init__(self, task: ArdTask, session: ReadSession) -> None:
        self._task, self._session = task, session
        self._sensor = sensor_of(task.sensor)
        self._bands = [self._sensor.bands[name] for name in task.bands]

    def cells(self) -> Iterator[tuple[CellBox, list[Pixels]]]:
        """Each cell in which something is observed, and its bands, dims (y, x), ``fill`` where nothing is clear."""
        seen = list(self._clear())
        layers = [
            self._layer(s.scene, b, s.cell.box, self._task.ard.resampling, s.lattice) for s in seen for b in self._bands
        ]
        windows = self._session.windows(layers)
        by_cell: dict[str, list[_Seen]] = {}
        for one in seen:
            by_cell.setdefault(one.cell.id, []).append(one)
        for of_cell in by_cell.values():
            values = self._mosaic(of_cell, windows)
            if not all(unobserved(v, b.fill).all() for v, b in zip(values, self._bands, strict=True)):
                yield of_cell[0].cell, values

    def _mosaic(self, seen: Sequence[_Seen], windows: Iterator[Pixels | None]) -> list[Pixels]:
        """Per pixel and band the first clear and observed scene, in the order of the scenes."""
        from geo_assets.eo.reduce import merge_first  # compiled loops, which nothing but a worker needs

        shape = seen[0].cell.box.shape
        made = [np.full(shape, band.fill, band.dtype) for band in self._bands]
        for one in seen:
            clear = np.unpackbits(one.bits, axis=1, count=shape[1]).view(bool)
            for band, layer in zip(self._bands, made, strict=True):
                pixels = next(windows)
                if pixels is not None:
                    offset = 0 if band.categorical else one.scene.dn_offset
                    merge_first(layer, filled(pixels, band), clear, offset=offset, nodata=band.fill)
        return made

    def _clear(self) -> Iterator[_Seen]:
        """Where each scene is clear in each cell that it may reach, without those where it is nowhere."""
        task = self._task
        pairs = [(cell, scene) for cell in task.cells for scene in _reaching(cell, task.scenes)]
        if task.mask.kind == "none":
            for cell, scene in pairs:
                yield _packed(cell, scene, np.ones(cell.box.shape, bool))
            return
        band = self._sensor.bands[self._sensor.mask_band[task.mask.kind]]
        halo = halo_px(task.mask.close_px, task.mask.open_px)
        wide = {
            cell.id: _widened(cell.box, halo) for cell in task.cells
        }  # one object a cell: windows that lie alike share a plan
        layers = [self._layer(scene, band, wide[cell.id], task.mask.resampling, None) for cell, scene in pairs]
        for (cell, scene), classes in zip(pairs, self._session.windows(layers), strict=True):
            if classes is None:
                continue
            rows, cols = cell.box.shape
            clear = clear_pixels(classes, band, task.mask)[halo : halo + rows, halo : halo + cols]
            if clear.any():
                yield _packed(cell, scene, clear)

    def _layer(
        self, scene: Scene, band: Band, box: GeoBox, resampling: str, lattice: npt.NDArray[np.bool_] | None
    ) -> Layer:
        href = scene.href(band.name)
        if href is None:
            raise SourceError(
                f"scene {scene.item_id} has no asset for band {band.name}; leave it out of ard.bands, or name the item in sensors.exclude"
            )
        return Layer(href, band, box, resampling, scene.said(band.name), lattice)


def _reaching(cell: CellBox, scenes: Sequence[Scene]) -> list[Scene]:
    """Scenes whose footprint may overlap a cell, in their order."""
    from geo_assets.tasks.composite import Footprints

    if len(scenes) == 1:
        return list(scenes)  # the plan has asked already
    near = {id(s) for s in Footprints(tuple(scenes), cell.box.crs).reaching(cell.box)}
    return [s for s in scenes if id(s) in near]


def _widened(box: GeoBox, halo: int) -> GeoBox:
    return box.window(-halo, -halo, box.shape[0] + 2 * halo, box.shape[1] + 2 * halo)


def _packed(cell: CellBox, scene: Scene, clear: npt.NDArray[np.bool_]) -> _Seen:
    return _Seen(cell, scene, np.packbits(clear, axis=1), coarse(clear, CELL_PX, *phase(cell.box)))


def _stored(
    task: ArdTask, storage: Storage, cell: CellBox, bands: Sequence[Band], values: Sequence[Pixels]
) -> dict[str, Any]:
    """Write a cell's files; returns its row of the table of layers."""
    base = path.ard_layer(task.sensor.sensor, task.region, task.month, cell.id, task.name)
    one = task.scenes[0]
    single = task.name != MOSAIC
    image = Image(bands, values, cell.box, one.time if single else "", _tags(task, cell))
    hrefs = {}
    for kind in ("cog", "zarr") if task.ard.format == "both" else (task.ard.format,):
        made: Format = load("formats", kind)
        for suffix, content in made.encode(image).items():
            storage.write(base + suffix, content)
        hrefs[kind] = base + made.ending
    observed = ~np.logical_or.reduce([unobserved(v, b.fill) for v, b in zip(values, bands, strict=True)])
    footprint = shapely.from_wkb(cell.outline)
    if single:
        footprint = shapely.intersection(footprint, shapely.from_wkb(one.footprint))
    return {
        "cell_id": cell.id, "layer": task.name, "item_ids": [s.item_id for s in task.scenes], "time": one.time if single else None,
        "solar_day": one.solar_day if single else None, "observed_share": round(float(observed.mean()), 6),
        "crs": cell.box.crs, "transform": list(cell.box.transform)[:6], "shape": list(cell.box.shape),
        "offset": one.dn_offset if single else 0, "baseline": one.baseline if single else "",
        "bands": {b.name: _figures(b, v) for b, v in zip(bands, values, strict=True)}, "hrefs": hrefs, "footprint": shapely.to_wkb(footprint),
    }  # fmt: skip


def _tags(task: ArdTask, cell: CellBox) -> dict[str, str]:
    one = task.scenes[0]
    ids = [s.item_id for s in task.scenes]
    return {
        "GEO_ASSETS_PRODUCT": f"ard/{task.sensor.sensor}", "GEO_ASSETS_REGION": task.region, "GEO_ASSETS_CELL": cell.id,
        "GEO_ASSETS_SCENES": " ".join(ids), "GEO_ASSETS_CODE_VERSION": CODE_VERSION, "GEO_ASSETS_MASK": task.mask.kind,
        **({"GEO_ASSETS_MONTH": task.month, "GEO_ASSETS_SOLAR_DAY": one.solar_day, "GEO_ASSETS_OFFSET": str(one.dn_offset)} if task.month else {}),
    }  # fmt: skip


def _figures(band: Band, stored: Pixels) -> dict[str, float]:
    """Statistics of a band's observed pixels, in values and not in stored numbers; of classes the pixels of each."""
    seen = stored[~unobserved(stored, band.fill)]
    if band.categorical:
        codes, counts = np.unique(seen, return_counts=True)
        each = {f"class_{code}": float(n) for code, n in zip(codes, counts, strict=True)}
        return {"count": float(seen.size)} | each
    if not seen.size:
        return {"count": 0.0}
    p01, p50, p99 = (band.value(float(v)) for v in np.percentile(seen, [1, 50, 99]))
    wide = seen.astype(np.float64)
    return {
        "count": float(seen.size), "min": band.value(float(seen.min())), "max": band.value(float(seen.max())), "mean": band.value(float(wide.mean())),
        "std": float(wide.std()) * abs(band.scale), "p01": p01, "p50": p50, "p99": p99,
    }  # fmt: skip
