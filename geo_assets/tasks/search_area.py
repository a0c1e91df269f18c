"""Where scenes of a region are looked for: as far as what is made of them may reach."""

import geopandas as gpd
import numpy as np
import shapely

from geo_assets.model.geometry import PixelGrid, Region
from geo_assets.model.project import Product, Project
from geo_assets.model.sensor import Sensor
from geo_assets.registry import sensor_of
from geo_assets.tasks.ard_partition import ard_sensors
from geo_assets.tasks.chip_recipe import chip_sensors
from geo_assets.tasks.heights import gives_heights, height_sensor, widened
from geo_assets.tasks.search import search_static
from geo_assets.tasks.tile import view_area


def search_area(
    project: Project, sensor: Sensor, region: str, grid: PixelGrid, cells: gpd.GeoDataFrame
) -> shapely.Geometry:
    """The region; where whole cells are made, those that it owns to their ends, which may lie in the next region.

    Yearly tiles of a cloudy sensor are chosen by what lies around them; heights around count where they place pixels.

    Args:
        project: The recipes.
        sensor: Whose scenes are looked for.
        region: Key of the region.
        grid: Pixel grid of its group.
        cells: That reach into the region.

    Returns:
        EPSG:4326, split at the antimeridian.
    """
    area = grid.region_geobox(Region.parse(region)).lonlat()
    heights = gives_heights(project, sensor)
    of_chips = _made(project, "chips") and sensor.name in chip_sensors(project)
    if (
        of_chips
        or (heights and _made(project, "chips"))
        or (_made(project, "ard") and (heights or sensor.name in ard_sensors(project)))
    ):
        own = cells.geometry[cells["region"] == region].to_numpy()
        if project.ard.layout == "tiles" and "scl" in sensor.mask_band:
            own = np.array([view_area(outline) for outline in own], object)
        beyond = own[~shapely.covers(area, own)]
        area = shapely.union_all([area, *beyond]) if len(beyond) else area
    return widened(area) if heights else area


def _made(project: Project, wanted: Product) -> bool:
    """Whether a product is made, for itself or for another one."""
    return any(wanted in (product, *project.needs(product)) for product in project.products)


def search_heights(
    project: Project, sensor: Sensor, region: str, grid: PixelGrid, cells: gpd.GeoDataFrame
) -> gpd.GeoDataFrame | None:
    """The scene table of the sensor whose heights place a sensor's pixels; None where they lie on a map.

    Args:
        project: The recipes.
        sensor: Whose pixels are placed.
        region: Key of the region.
        grid: Pixel grid of its group.
        cells: That reach into the region.

    Raises:
        CatalogError: The search failed.
    """
    entry = height_sensor(project, sensor)
    if entry is None:
        return None
    return search_static(
        Region.parse(region), grid, catalog=project.catalog_of(entry.sensor), sensor=entry, mask=project.mask,
        area=search_area(project, sensor_of(entry), region, grid, cells),
    )  # fmt: skip
