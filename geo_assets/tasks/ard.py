"""One analysis-ready layer of some cells: read, mask, align, harmonise, write one file a cell.

A scene is read once for all cells of its region: windows that follow each other share the tiles under them.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geo_assets.eo.radar_quality import Quality
from geo_assets.eo.scale import unobserved
from geo_assets.eo.tile_keys import RawKey, TileId
from geo_assets.model import path
from geo_assets.model.ard import ArdTask
from geo_assets.model.band import Band
from geo_assets.model.cell import CellBox
from geo_assets.model.image import Format, Image
from geo_assets.model.sensor import Sensor
from geo_assets.registry import load, sensor_of
from geo_assets.storage import Storage
from geo_assets.tasks.ard_picture import layer_picture, tile_picture
from geo_assets.tasks.ard_pixels import LayerPixels, finished
from geo_assets.tasks.heights import reaching
from geo_assets.tasks.tile import TileResult, make_tile
from geo_assets.tasks.tile_files import encode, extension

CODE_VERSION = "1"  # raise it when the same scenes and recipe give other pixels or files
MOSAIC = "mosaic"  # the layer of a sensor whose scenes have no date

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ArdResult:
    """What a worker sends back, beside which the pixels are in the storage.

    Attributes:
        rows: Of the table of layers, one a cell in which something is observed.
        qualities: Of yearly tiles.
        pictures: Small ones as PNG, by cell.
        bytes_read: Of source files.
        requests: Reads of a file or range.
        notes: What a person should know.
        wall_s: How long it took.
        cpu_s: CPU seconds of its thread.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    qualities: tuple[Quality, ...] = ()
    pictures: dict[str, bytes] = field(default_factory=dict)
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
    storage = Storage(task.root)
    rows: list[dict[str, Any]] = []
    qualities: list[Quality] = []
    pictures: dict[str, bytes] = {}
    with windows_of(task) as session:
        if task.ard.layout == "tiles":
            tile = make_tile(task, session)
            rows.append(_stored_tile(task, storage, tile))
            shown = next((a for a in tile.arrays.values() if a.box is not None), None)
            pictures |= {task.cells[0].id: tile_picture(shown, sensor_of(task.sensor))} if shown is not None else {}
            qualities += [tile.quality] if tile.quality else []
        else:
            for cell, read in LayerPixels(task, session).cells():
                bands, values = finished(task, cell.box, read)
                rows.append(_stored(task, storage, cell, bands, values))
                pictures[cell.id] = layer_picture(bands, values, cells=len(task.cells))
        usage = session.usage
    return ArdResult(
        rows, tuple(qualities), pictures, usage.bytes, usage.requests, tuple(usage.notes), round(time.perf_counter() - began, 3), round(time.thread_time() - cpu, 3)
    )  # fmt: skip


@contextlib.contextmanager
def windows_of(task: ArdTask) -> Iterator[Any]:
    """What gives the windows of a task's scenes."""
    if task.terrain is not None:
        from geo_assets.tasks.radar_windows import radar_windows  # with what only its workers need

        with radar_windows(task.terrain, task.catalog, task.reader) as placed:
            yield placed
        return
    catalog = load("catalogs", task.catalog.kind)
    with load("readers", task.reader).session(catalog.access(task.catalog), catalog.sign) as session:
        yield session


def _height_ids(task: ArdTask, cell: CellBox) -> list[str]:
    """Scenes that may have told heights of a cell and of the ground around that counts."""
    return [] if task.terrain is None else [s.item_id for s in reaching([cell.box], task.terrain.scenes)]


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
    observed = observed_pixels(sensor_of(task.sensor), bands, values)
    footprint = shapely.from_wkb(cell.outline)
    if single:
        footprint = shapely.intersection(footprint, shapely.from_wkb(one.footprint))
    return {
        "cell_id": cell.id, "layer": task.name, "item_ids": [*(s.item_id for s in task.scenes), *_height_ids(task, cell)], "time": one.time if single else None,
        "solar_day": one.solar_day if single else None, "observed_share": round(float(observed.mean()), 6),
        "crs": cell.box.crs, "transform": list(cell.box.transform)[:6], "shape": list(cell.box.shape),
        "offset": one.dn_offset if single else 0, "baseline": one.baseline if single else "",
        "bands": {b.name: _figures(b, v) for b, v in zip(bands, values, strict=True)}, "hrefs": hrefs, "arrays": {}, "report": {}, "footprint": shapely.to_wkb(footprint),
    }  # fmt: skip


def observed_pixels(sensor: Sensor, bands: Sequence[Band], values: Sequence[Pixels]) -> Mask:
    """Whether a pixel is observed, dims (y, x), bool: in every band that was read, whatever is made of them.

    Flat ground is seen and has no aspect, so derived bands do not count; where there are no others, any of them does.

    Args:
        sensor: Says which bands are derived.
        bands: Facts of the bands.
        values: Stored numbers by band, dims (y, x).
    """
    seen = [(b.name in sensor.derived, ~unobserved(v, b.fill)) for b, v in zip(bands, values, strict=True)]
    own = [there for derived, there in seen if not derived]
    observed: Mask = np.logical_and.reduce(own) if own else np.logical_or.reduce([there for _, there in seen])
    return observed


def _stored_tile(task: ArdTask, storage: Storage, tile: TileResult) -> dict[str, Any]:
    """Write a tile's arrays; returns its row of the table of layers."""
    cell, year = task.cells[0], int(str(task.month)[:4])
    hrefs = {}
    for name, array in tile.arrays.items():
        ending = extension(array, task.ard.format)
        key = path.tiles(str(RawKey(year, TileId.parse(cell.id), name, ending)))
        for suffix, content in encode(array, task.ard.format).items():
            storage.write(key.removesuffix(ending) + suffix, content)
        hrefs[name] = key
    box = next((a.box for a in tile.arrays.values() if a.box is not None), cell.box)
    return {
        "cell_id": cell.id, "layer": task.name, "item_ids": list(tile.items), "time": None, "solar_day": None,
        "observed_share": round(tile.observed_share, 6), "crs": box.crs, "transform": list(box.transform)[:6], "shape": list(box.shape),
        "offset": 0, "baseline": "", "bands": {}, "hrefs": {}, "arrays": hrefs, "report": tile.report, "footprint": cell.outline,
    }  # fmt: skip


def _tags(task: ArdTask, cell: CellBox) -> dict[str, str]:
    one = task.scenes[0]
    ids = [s.item_id for s in task.scenes]
    return {
        "GEO_ASSETS_PRODUCT": f"ard/{task.sensor.sensor}", "GEO_ASSETS_REGION": task.region, "GEO_ASSETS_CELL": cell.id,
        "GEO_ASSETS_SCENES": " ".join(ids), "GEO_ASSETS_CODE_VERSION": CODE_VERSION, "GEO_ASSETS_MASK": task.mask.kind,
        **({"GEO_ASSETS_HEIGHTS": " ".join(_height_ids(task, cell)), "GEO_ASSETS_FLATTENED_BY": task.terrain.flatten} if task.terrain else {}),
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
