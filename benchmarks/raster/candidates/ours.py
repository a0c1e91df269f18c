"""geo_assets: its composite task, with a store that keeps the pixels in files. Nothing else knows the engine's interface."""

import urllib.parse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.raster.chips import Chips
from benchmarks.raster.targets import Target
from geo_assets.eo.scenes import decide, scenes_of
from geo_assets.model.collection import SensorRecipe
from geo_assets.model.geometry import Block
from geo_assets.model.plugin import Layer
from geo_assets.model.recipe import CatalogRecipe, CubeRecipe, MaskRecipe
from geo_assets.model.task import CompositeTask
from geo_assets.registry import load
from geo_assets.tasks import composite

Pixels = npt.NDArray[np.uint16]


class Kept:
    """A store, and the writer of one block: a file a band, so that what is made does not count as memory."""

    def __init__(self, folder: Path, target: Target, block: Block) -> None:
        self._folder, self._size = folder, target.block_px
        rows, cols = target.grid.array_slices(target.grid.block_geobox(block))
        self._origin = rows.start, cols.start

    def writer(self, _handle: bytes) -> "Kept":
        return self

    def write(
        self, variable: str, _time_index: int, rows: slice, cols: slice, values: npt.NDArray[Any], where: Any = None
    ) -> None:
        data = np.ascontiguousarray(values if where is None else np.where(where, values, 0), np.uint16)
        path = self._folder / variable
        with path.open("r+b" if path.exists() else "w+b") as file:
            whole = data.shape[1] == self._size
            for nth, part in enumerate([data] if whole else data):
                file.seek(2 * ((rows.start - self._origin[0] + nth) * self._size + cols.start - self._origin[1]))
                file.write(part)

    def changes(self) -> bytes:
        return b""

    def read(self, bands: tuple[str, ...]) -> Pixels:
        """What was written, dims (band, y, x)."""
        shape = (self._size, self._size)
        return np.stack([np.fromfile(self._folder / band, np.uint16).reshape(shape) for band in bands])


def tasks(items: list[dict[str, Any]], target: Target, **cube: Any) -> list[CompositeTask]:
    """One task a block."""
    sensor = load("sensors", "sentinel-2-l2a")
    scenes = tuple(scenes_of(decide(items, sensor), (*target.bands, "scl")))
    address = urllib.parse.urlsplit(items[0]["assets"]["scl"]["href"])
    footprints = composite.Footprints(scenes, target.crs)
    recipe = CubeRecipe(
        crs=target.crs, resolution=target.resolution, bands=list(target.bands), block_px=target.block_px, **cube
    )
    return [
        CompositeTask(
            region="bench", month="2024-03", time_index=0, block=block, grid=target.grid, chunks=target.chunks,
            scenes=footprints.reaching(target.grid.block_geobox(block)), cube=recipe,
            mask=MaskRecipe(keep=list(target.keep), close_px=target.clean, open_px=target.clean),
            sensor=SensorRecipe(sensor="sentinel-2-l2a"), catalog=CatalogRecipe(kind="stac-api", url=f"{address.scheme}://{address.netloc}"), writer=b"", key="",
        )
        for block in target.places
    ]  # fmt: skip


def run(items: list[dict[str, Any]], target: Target, **cube: Any) -> "Result":
    """Composites of a target's blocks; they are read back only when they are asked for."""
    result = Result(target)
    for task, store in zip(tasks(items, target, **cube), result.stores, strict=True):
        _run(task, store)
    return result


def _run(task: CompositeTask, store: Kept) -> None:
    """The task as a worker runs it, on another store."""
    original = composite.load
    composite.load = lambda kind, name: store if kind == "stores" else original(kind, name)  # type: ignore[assignment]
    try:
        composite.run(task)
    finally:
        composite.load = original


class Result:
    """What the stores hold, as the other candidates return it."""

    def __init__(self, target: Target) -> None:
        self._target, self._folder = target, TemporaryDirectory()
        folders = [Path(self._folder.name) / f"{b.row}-{b.col}" for b in target.places]
        for folder in folders:
            folder.mkdir()
        self.stores = [Kept(f, target, b) for f, b in zip(folders, target.places, strict=True)]

    def __iter__(self) -> Any:
        return (store.read(self._target.bands) for store in self.stores)


def chips(items: list[dict[str, Any]], wanted: Chips, *, reader: str = "native") -> list[Pixels]:
    """Windows through the reader plugin, in one session, asset by asset; dims (asset, date, y, x)."""
    sensor = load("sensors", "sentinel-2-l2a")
    address = urllib.parse.urlsplit(items[0]["assets"]["scl"]["href"])
    recipe = CatalogRecipe(kind="stac-api", url=f"{address.scheme}://{address.netloc}")
    catalog = load("catalogs", recipe.kind)
    boxes = wanted.boxes
    places = [(b, d, n) for b in range(len(wanted.bands)) for d in range(len(items)) for n in range(len(boxes))]
    layers = [
        Layer(items[d]["assets"][wanted.bands[b]]["href"], sensor.bands[wanted.bands[b]], boxes[n], "nearest")
        for b, d, n in places
    ]
    found = [np.zeros((len(wanted.bands), len(items), *box.shape), np.uint16) for box in boxes]
    with load("readers", reader).session(catalog.access(recipe), catalog.sign) as session:
        for (b, d, n), pixels in zip(places, session.windows(layers), strict=True):
            if pixels is not None:
                found[n][b, d] = pixels
    return found
