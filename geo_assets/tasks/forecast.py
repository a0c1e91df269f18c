"""How much a run will read and how long its tasks will take, from the receipts of those that ran before.

Times are those of the same backend, where it ran some; until then the defaults below. Bytes come from receipts of any backend.
"""

import statistics
from collections.abc import Iterable, Sequence

from geo_assets.model.band import Band
from geo_assets.model.cell import CellBox
from geo_assets.model.collection import mask_for
from geo_assets.model.cost import Load
from geo_assets.model.crs import metres_per_unit
from geo_assets.model.geometry import PixelGrid
from geo_assets.model.project import Project
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.model.sensor import Sensor
from geo_assets.registry import sensor_of
from geo_assets.tasks import composite
from geo_assets.tasks.ard_partition import ard_bands
from geo_assets.tasks.ard_pixels import read_bands as read_of_layers
from geo_assets.tasks.chip_recipe import chip_bands, chip_sensors
from geo_assets.tasks.pace import Host, Pace, learn, pace
from geo_assets.tasks.partition import Todo
from geo_assets.tasks.predictor import Predictor
from geo_assets.tasks.search import read_bands

# Without a receipt to learn from: deflated Sentinel-2 bands (measured on L2A COGs) and one core of a laptop
_STORED_SHARE = 0.6
_TILE_PX, _HEADER_BYTES = 512, 32_768
_BYTES_PER_S = 25e6
# Bytes that are read in the time that opening a file takes, and writing a value (from tasks of benchmarks.forecast)
_FILE_BYTES, _VALUE_BYTES = 350_000, 3.5
_S_PER_VALUE = 2.5e-8  # of a pyramid: reading, halving and writing one pixel of one array
_S_PER_RESULT = 5e-6  # of a model: one pixel of a forest of some hundred trees
_STEPS_OF_TILES = 24  # at most, of the clear days of a year


class CompositeForecast:
    """Bytes and seconds of a composite's blocks.

    Args:
        project: The recipes.
        sensor: Of the cube.
        receipts: Those of composites that are stored.
        where: Compute backend that is to run them.
    """

    def __init__(
        self, project: Project, sensor: Sensor, receipts: Iterable[PartitionReceipt], where: Host
    ) -> None:  # fmt: skip
        self._project, self._sensor = project, sensor
        self._files = len(read_bands(sensor, project.cube.bands, project.mask))  # of a scene
        blocks = [
            b for r in receipts for b in r.blocks if b.status == "ok" and b.bytes_read and b.pixels and b.scene_ids
        ]
        each = [b.bytes_read / (b.pixels * (b.cover or len(b.scene_ids))) for b in blocks]
        self._bytes_per_px = statistics.median(each) if each else None
        usual = learn(((self._work(b), b.wall_s, b.wall_s) for b in blocks), Pace(0.0, 1 / _BYTES_PER_S))
        self.pace = pace(blocks, self._work, where, unit_s=usual.unit_s, fixed_s=usual.fixed_s)

    def load(self, todo: Todo, grid: PixelGrid, volume: float) -> Load:
        """A block's task, which will read so many bytes."""
        beside = self._beside(len(todo.scenes), len(todo.chunks) * grid.chunk_px**2)
        return self.pace.load(volume + beside, self._sensor.name)

    def _work(self, block: BlockReceipt) -> float:
        """Bytes that a task read, and those that it could have read while it opened files and wrote pixels."""
        return block.bytes_read + self._beside(len(block.scene_ids), block.pixels)

    def _beside(self, scenes: int, pixels: int) -> float:
        """Bytes that could be read while files of so many scenes are opened and so many pixels written."""
        return scenes * self._files * _FILE_BYTES + pixels * (len(self._project.cube.bands) + 1) * _VALUE_BYTES

    def bytes_of(self, todo: Todo, grid: PixelGrid) -> float:
        """Bytes that a block's task will read."""
        pixels = len(todo.chunks) * grid.chunk_px**2
        footprints = composite.Footprints(todo.scenes, grid.crs)
        box = grid.block_geobox(todo.plan.block).window(*composite.window_of_chunks(todo.chunks, grid))
        each = pixels * self._bytes_per_px if self._bytes_per_px else self._formula(todo.chunks, grid)
        return each * footprints.mean_cover(box)

    def _formula(self, chunks: Sequence[tuple[int, int]], grid: PixelGrid) -> float:
        """Stored bytes that all bands of one scene take under some chunks of a block."""
        bands = read_bands(self._sensor, self._project.cube.bands, self._project.mask)
        sides = [(max(at) + 1 - min(at)) * grid.chunk_px * grid.pixel_m for at in zip(*chunks, strict=True)]
        return sum(_bytes_of(self._sensor.bands[band], sides, grid.pixel_m) for band in bands)


class ArdForecast:
    """Bytes and seconds of analysis-ready layers.

    Args:
        project: The recipes.
        sensor: Whose scenes are made ready.
        receipts: Those of its layers that are stored.
        where: Compute backend that is to run them.
        bands: Of the layers; left out: those of ``ard``.
    """

    def __init__(
        self, project: Project, sensor: Sensor, receipts: Iterable[PartitionReceipt], where: Host, *, bands: tuple[str, ...] = ()
    ) -> None:  # fmt: skip
        self._sensor = sensor
        read = read_of_layers(sensor, bands or ard_bands(project, sensor))
        self._bands = read_bands(sensor, read, mask_for(project.mask, sensor))
        blocks = [b for r in receipts for b in r.blocks if b.status == "ok" and b.bytes_read and b.pixels]
        each = [b.bytes_read / b.pixels for b in blocks]
        self._bytes_per_px = statistics.median(each) if each else None
        self.pace = pace(blocks, lambda b: b.bytes_read, where, unit_s=1 / _BYTES_PER_S)

    def bytes_of(self, cells: Sequence[CellBox], scenes: int) -> float:
        """Bytes that a layer's task will read for some cells."""
        if self._bytes_per_px:
            return self._bytes_per_px * sum(c.box.shape[0] * c.box.shape[1] for c in cells)
        boxes = [c.box for c in cells]
        pixel_m = float(boxes[0].resolution) * metres_per_unit(boxes[0].crs)
        west, south, east, north = (f(b.bounds[i] for b in boxes) for i, f in enumerate((min, min, max, max)))
        each = float(boxes[0].resolution) / pixel_m
        around = [(east - west) / each, (north - south) / each]
        alone = sum(self._under([n * pixel_m for n in box.shape], pixel_m) for box in boxes)
        # Cells that lie together share tiles; of many scenes without a date a cell meets one or two
        return min(alone, self._under(around, pixel_m)) * min(scenes, 2)

    def _under(self, sides_m: Sequence[float], pixel_m: float) -> float:
        """Stored bytes of all bands of one scene under a window."""
        return sum(_bytes_of(self._sensor.bands[band], sides_m, pixel_m) for band in self._bands)


class ChipForecast:
    """Bytes and seconds of chips, sensor by sensor.

    Args:
        project: The recipes.
        receipts: Those of chips that are stored.
        where: Compute backend that is to run them.
    """

    def __init__(self, project: Project, receipts: Iterable[PartitionReceipt], where: Host) -> None:
        stored = list(receipts)
        self._of = {}
        for name in chip_sensors(project):
            sensor = sensor_of(project.sensor(name))
            own = [
                r.model_copy(update={"blocks": [b for b in r.blocks if b.name.startswith(f"{name} ")]}) for r in stored
            ]
            self._of[name] = ArdForecast(project, sensor, own, where, bands=chip_bands(project, sensor))

    def bytes_of(self, sensor: str, chips: Sequence[CellBox]) -> float:
        """Bytes that a scene's task will read."""
        return self._of[sensor].bytes_of(chips, 1)

    def load(self, sensor: str, chips: Sequence[CellBox]) -> Load:
        """A scene's task."""
        return self._of[sensor].pace.load(self.bytes_of(sensor, chips), sensor)


class PyramidForecast:
    """Bytes and seconds of what a pyramid's blocks are made from.

    Args:
        project: The recipes.
        receipts: Those of pyramids that are stored.
        where: Compute backend that is to run them.
    """

    def __init__(self, project: Project, receipts: Iterable[PartitionReceipt], where: Host) -> None:
        self._arrays = len(project.cube.bands) + 1
        blocks = [b for r in receipts for b in r.blocks if b.status == "ok" and b.pixels and b.wall_s and b.days]
        self.pace = pace(blocks, lambda b: b.pixels, where, unit_s=self._arrays * _S_PER_VALUE)

    def bytes_of(self, pixels: int) -> float:
        """Bytes of so many pixels of the composite, as they are stored."""
        return pixels * self._arrays * 2 * _STORED_SHARE


class PredictionForecast:
    """Bytes and seconds of the maps of a model.

    Args:
        predictor: The model.
        receipts: Those of its maps that are stored.
        where: Compute backend that is to run them.
    """

    def __init__(self, predictor: Predictor, receipts: Iterable[PartitionReceipt], where: Host) -> None:
        steps = _STEPS_OF_TILES if predictor.of_tiles else len(next(iter(predictor.series.values()), ()))
        self._values = steps * len(predictor.model.bands)
        blocks = [b for r in receipts for b in r.blocks if b.status == "ok" and b.pixels and b.wall_s and b.observed]
        self.pace = pace(blocks, lambda b: b.pixels, where, unit_s=self._values * _S_PER_VALUE + _S_PER_RESULT)

    def bytes_of(self, pixels: int) -> float:
        """Bytes of the composites or tiles under so many pixels, as they are stored."""
        return pixels * self._values * 2 * _STORED_SHARE


def _bytes_of(band: Band, sides_m: Sequence[float], pixel_m: float) -> float:
    """Bytes of one band of one scene under a window: whole tiles are fetched, and the file's first bytes."""
    size = 1 if band.dtype in ("uint8", "int8") else 2 if "16" in band.dtype else 4
    finest = max(band.gsd_m, pixel_m)  # coarser pixels are read from overviews
    rows, cols = (side / finest + _TILE_PX for side in sides_m)  # half a tile more at each end, on average
    return rows * cols * size * _STORED_SHARE + _HEADER_BYTES
