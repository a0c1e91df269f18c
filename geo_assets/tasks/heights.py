"""Heights of the ground under scenes that are placed by them: which scenes of the height model, and how far around."""

import math
from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import shapely

from geo_assets.eo.geoid import undulation
from geo_assets.model.ard import Heights
from geo_assets.model.cell import CellBox
from geo_assets.model.collection import SensorRecipe, mask_for
from geo_assets.model.crs import metres_per_unit, transformer
from geo_assets.model.geometry import GeoBox
from geo_assets.model.lonlat import split_antimeridian
from geo_assets.model.project import Project
from geo_assets.model.scene import Scene
from geo_assets.model.sensor import Sensor
from geo_assets.registry import heights_of, sensor_of
from geo_assets.tasks.composite import Footprints
from geo_assets.tasks.search import used_scenes

CODE_VERSION = "1"  # of gamma0: raise it when the same scenes, heights and recipe give another
# Ground that stands further away casts neither shadow nor layover: enough for 1,700 m of relief within it at the steepest
# view of the wide swath, 30 degrees
MARGIN_M = 3000.0
_DEGREE_M = 110_574.0  # of latitude at the equator, where it is shortest


def height_sensor(project: Project, sensor: Sensor) -> SensorRecipe | None:
    """The project's sensor whose heights place a sensor's pixels; None where they lie on a map.

    The project was refused if there is none.
    """
    return None if sensor.geocoded else heights_of(project.sensors)


def gives_heights(project: Project, sensor: Sensor, others: Sequence[str]) -> bool:
    """Whether a sensor's heights place pixels of any of some sensors."""
    entries = [height_sensor(project, sensor_of(project.sensor(name))) for name in others]
    return any(entry is not None and entry.sensor == sensor.name for entry in entries)


def height_scenes(project: Project, entry: SensorRecipe, table: gpd.GeoDataFrame) -> tuple[Scene, ...]:
    """Scenes of a scene table that tell heights, in the order in which they fill a window.

    Raises:
        ConfigError: None of them has an asset for heights.
    """
    facts = sensor_of(entry)
    return used_scenes(table, facts, [facts.heights], mask_for(project.mask, facts))


def margin_px(box: GeoBox) -> int:
    """Pixels around a window whose ground counts for it."""
    return math.ceil(MARGIN_M / (float(box.resolution) * metres_per_unit(box.crs)))


def with_margin(box: GeoBox) -> GeoBox:
    """A window with the ground around that counts for it."""
    by = margin_px(box)
    return box.window(-by, -by, box.shape[0] + 2 * by, box.shape[1] + 2 * by)


def wide_cells(cells: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Cells (EPSG:4326) with the ground around that counts for them."""
    wide = [_wide(shape) for shape in cells.geometry]
    return cells.set_geometry(gpd.GeoSeries(wide, index=cells.index, crs=cells.crs))


def _wide(shape: shapely.Geometry) -> shapely.Geometry:
    _, south, _, north = shape.bounds
    # At the poles any width would do; heights end there anyway
    narrow = max(math.cos(math.radians(max(abs(south), abs(north)))), 0.05)
    by = MARGIN_M / _DEGREE_M
    grown = shapely.transform(
        shapely.buffer(shapely.transform(shape, lambda xy: xy * (narrow, 1.0)), by, quad_segs=2),
        lambda xy: xy / (narrow, 1.0),
    )
    return split_antimeridian(shapely.intersection(grown, shapely.box(-360, -90, 360, 90)))


def reaching(cells: Sequence[CellBox], scenes: tuple[Scene, ...]) -> tuple[Scene, ...]:
    """Scenes that may tell heights of some cells or of the ground around that counts, in their order."""
    if not scenes or not cells:
        return ()
    footprints = Footprints(scenes, cells[0].box.crs)
    near = {id(s) for cell in cells for s in footprints.reaching(with_margin(cell.box))}
    return tuple(s for s in scenes if id(s) in near)


def heights_for(project: Project, entry: SensorRecipe, scenes: tuple[Scene, ...], cells: Sequence[CellBox]) -> Heights:
    """What a task needs to know of heights.

    Args:
        project: The recipes.
        entry: Of the height model's sensor.
        scenes: Of the height model.
        cells: Of the task.

    Raises:
        ConfigError: PROJ lacks the geoid's grid, and the project does not say how high it is.
    """
    corners = _corners(cells, project.ard.geoid_m)
    return Heights(scenes, entry, project.catalog_of(entry.sensor), corners)


def _corners(cells: Sequence[CellBox], geoid_m: float | None) -> tuple[tuple[float, float, float, float], ...]:
    """The geoid's height at the corners of cells: within one it is bilinear to a few centimetres."""
    if geoid_m is not None:
        return ((geoid_m, geoid_m, geoid_m, geoid_m),) * len(cells)
    if not cells:
        return ()
    bounds = np.array([cell.box.bounds for cell in cells])
    x, y = bounds[:, [0, 2, 0, 2]], bounds[:, [3, 3, 1, 1]]
    lon, lat = transformer(cells[0].box.crs, "EPSG:4326").transform(x, y)
    found = undulation(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in found)
