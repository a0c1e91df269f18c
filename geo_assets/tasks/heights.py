"""Heights of the ground under scenes that are placed by them: which scenes of the height model, and how far around."""

import math
from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from geo_assets.eo.geoid import undulation
from geo_assets.errors import ConfigError
from geo_assets.model.ard import PLACING
from geo_assets.model.band import Band
from geo_assets.model.collection import SensorRecipe, mask_for
from geo_assets.model.crs import metres_per_unit, transformer
from geo_assets.model.geometry import GeoBox
from geo_assets.model.lonlat import split_antimeridian
from geo_assets.model.project import Project
from geo_assets.model.recipe import CubeRecipe
from geo_assets.model.scene import Scene
from geo_assets.model.sensor import Sensor
from geo_assets.model.terrain import Geoid, TerrainCorrection
from geo_assets.registry import heights_of, sensor_of
from geo_assets.tasks.composite import Footprints
from geo_assets.tasks.search import used_scenes

CODE_VERSION = "1"  # of gamma0: raise it when the same scenes, heights and recipe give another
# Ground that stands further away casts neither shadow nor layover: enough for 1,700 m of relief within it at the steepest
# view of the wide swath, 30 degrees
MARGIN_M = 3000.0
_DEGREE_M = 110_574.0  # of latitude at the equator, where it is shortest
_PIXEL_BYTES, _PART_MB = (
    36,
    24,
)  # while tiles of heights are joined for a block, and what its strips take beside (measured)
_GEOID_STEP_M = 5000.0  # about the spacing of PROJ's own grid, 2.5 minutes, between whose points it is bilinear, too


def height_sensor(project: Project, sensor: Sensor) -> SensorRecipe | None:
    """The project's sensor whose heights place a sensor's pixels; None where they lie on a map.

    The project was refused if there is none.
    """
    return None if sensor.geocoded else heights_of(project.sensors)


def gives_heights(project: Project, sensor: Sensor) -> bool:
    """Whether a sensor's heights place pixels of another one of the project."""
    if not sensor.heights or all(sensor_of(entry).geocoded for entry in project.sensors):
        return False
    entry = heights_of(project.sensors)
    return entry is not None and entry.sensor == sensor.name


def height_scenes(project: Project, sensor: Sensor, table: gpd.GeoDataFrame | None) -> tuple[Scene, ...]:
    """Scenes whose heights place a sensor's pixels, in the order in which they fill a window; none where it lies on a map.

    Args:
        project: The recipes.
        sensor: Whose pixels are placed.
        table: Scene table of the sensor that tells heights, where one is needed.

    Raises:
        ConfigError: None of them has an asset for heights.
    """
    entry = height_sensor(project, sensor)
    if entry is None:
        return ()
    if table is None:
        raise ValueError(f"{sensor.name}: its plan needs the scene table of {entry.sensor}")
    facts = sensor_of(entry)
    return used_scenes(table, facts, [facts.heights], mask_for(project.mask, facts))


def placed_by(project: Project, sensor: Sensor, under: Sequence[Scene]) -> list[Any]:
    """What pixels that heights place depend on beside their own scenes, for fingerprints; nothing where they lie on a map.

    Args:
        project: The recipes.
        sensor: Whose pixels they are.
        under: Scenes of the height model that reach them.
    """
    return [] if sensor.geocoded else [[list(map(str, s.identity)) for s in under], CODE_VERSION]


def placing_values(project: Project, sensor: Sensor) -> dict[str, Any]:
    """Options of ``ard`` that pixels that heights place depend on, by name; none where they lie on a map."""
    return {} if sensor.geocoded else project.ard.model_dump(mode="json", include=set(PLACING))


def margin_px(box: GeoBox) -> int:
    """Pixels around a window whose ground counts for it."""
    return math.ceil(MARGIN_M / (float(box.resolution) * metres_per_unit(box.crs)))


def with_margin(box: GeoBox) -> GeoBox:
    """A window with the ground around that counts for it."""
    by = margin_px(box)
    return box.window(-by, -by, box.shape[0] + 2 * by, box.shape[1] + 2 * by)


def widened(shape: shapely.Geometry) -> shapely.Geometry:
    """An outline (EPSG:4326) with the ground around that counts for it."""
    _, south, _, north = shape.bounds
    # At the poles any width would do; heights end there anyway
    narrow = max(math.cos(math.radians(max(abs(south), abs(north)))), 0.05)
    by = MARGIN_M / _DEGREE_M
    grown = shapely.transform(
        shapely.buffer(shapely.transform(shape, lambda xy: xy * (narrow, 1.0)), by, quad_segs=2),
        lambda xy: xy / (narrow, 1.0),
    )
    return split_antimeridian(shapely.intersection(grown, shapely.box(-360, -90, 360, 90)))


def refuse_memory(cube: CubeRecipe, box: GeoBox) -> None:
    """Refuses a block of a composite whose ground does not fit into ``cube.memory_mb``.

    Raises:
        ConfigError: It does not.
    """
    rows, cols = with_margin(box).shape
    need = math.ceil(rows * cols * _PIXEL_BYTES / 2**20) + _PART_MB
    if need > cube.memory_mb:
        raise ConfigError(
            f"a block of {box.shape[0]} x {box.shape[1]} pixels with the ground around it that its radar needs takes {need} MB, "
            f"and cube.memory_mb is {cube.memory_mb}: raise it, or lower cube.block_px"
        )


def reaching(boxes: Sequence[GeoBox], scenes: tuple[Scene, ...]) -> tuple[Scene, ...]:
    """Scenes that may tell heights of some windows or of the ground around that counts, in their order."""
    if not scenes or not boxes:
        return ()
    return under_boxes(Footprints(scenes, boxes[0].crs), scenes, boxes)


def under_boxes(footprints: Footprints, scenes: tuple[Scene, ...], boxes: Sequence[GeoBox]) -> tuple[Scene, ...]:
    """``reaching``, where the footprints of the scenes are at hand."""
    near = {id(s) for box in boxes for s in footprints.reaching(with_margin(box))}
    return tuple(s for s in scenes if id(s) in near)


def edge_px(scenes: Sequence[Scene], band: Band, box: GeoBox) -> int:
    """Pixels of a window that half a pixel of the height model covers: as its items say, else as the sensor does."""
    headers = [header for scene in scenes if (header := scene.said(band.name).header) and len(header.transform) == 6]
    steps = [max(abs(h.transform[0]), abs(h.transform[4])) * metres_per_unit(h.crs) for h in headers if h.crs]
    return math.ceil(max([band.gsd_m, *steps]) / 2 / (float(box.resolution) * metres_per_unit(box.crs)))


def terrain_correction(
    project: Project, sensor: Sensor, under: tuple[Scene, ...], boxes: Sequence[GeoBox]
) -> TerrainCorrection | None:
    """What a task needs to place a sensor's pixels; None where they lie on a map.

    Args:
        project: The recipes.
        sensor: Whose pixels are placed.
        under: Scenes of the height model.
        boxes: Windows of the task.

    Raises:
        ConfigError: PROJ lacks the geoid's grid, and the project does not say how high it is.
    """
    entry = height_sensor(project, sensor)
    if entry is None:
        return None
    geoid, ard = _geoid([with_margin(box) for box in boxes], project.ard.geoid_m), project.ard
    return TerrainCorrection(under, entry, project.catalog_of(entry.sensor), geoid, ard.flatten, ard.denoise)


def _geoid(boxes: Sequence[GeoBox], geoid_m: float | None) -> Geoid:
    """The geoid under some windows; as high everywhere as the project says, where it does."""
    crs = boxes[0].crs
    step = _GEOID_STEP_M / metres_per_unit(crs)
    bounds = np.array([box.bounds for box in boxes])
    west, south = (int(v) for v in np.floor(bounds[:, :2].min(axis=0) / step))
    east, north = (int(v) for v in np.floor(bounds[:, 2:].max(axis=0) / step) + 1)
    x, y = np.meshgrid(np.arange(west, east + 1) * step, np.arange(south, north + 1) * step)
    if geoid_m is None:
        lon, lat = transformer(crs, "EPSG:4326").transform(x, y)
        metres = undulation(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
    else:
        metres = np.full(x.shape, float(geoid_m))
    return Geoid((west, south), step, tuple(tuple(map(float, row)) for row in metres))
