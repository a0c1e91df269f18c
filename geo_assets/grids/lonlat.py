"""Cells of equal steps in longitude and latitude, counted from the south-west corner of the world (-180, -90)."""

import geopandas as gpd
import numpy as np

from geo_assets.errors import ConfigError
from geo_assets.model.cell import cell_table, utm_crs
from geo_assets.model.crs import parse_resolution
from geo_assets.model.recipe import GridRecipe
from geo_assets.model.tiling import Area, lonlat_boxes, regular_cells


class LonLatGrid:
    """Cells ``step`` degrees a side. They are as wide as high at the equator only; the last ones end at 180 and 90."""

    everywhere = True

    def cells(self, aoi: Area, spec: GridRecipe) -> gpd.GeoDataFrame:
        """Cells ``chip_{x}_{y}`` with their ``x``, ``y``, ``step`` and the UTM zone of their centre."""
        step = float(parse_resolution(spec.step))
        if step > 90:
            raise ConfigError(f"grid.step is {spec.step} degrees: choose 90 or less")
        y, x = regular_cells(aoi, origin=(-180.0, -90.0), step=(step, step), what=f"lonlat cells of {step:g} degrees")
        west, south = -180 + x * step, -90 + y * step
        east, north = np.minimum(-180 + (x + 1) * step, 180.0), np.minimum(-90 + (y + 1) * step, 90.0)
        ids = np.char.add(np.char.add("chip_", x.astype(str)), np.char.add("_", y.astype(str)))
        crs = utm_crs((west + east) / 2, (south + north) / 2)
        return cell_table(ids, lonlat_boxes((west, south, east, north)), crs, x=x, y=y, step=step)


PLUGIN = LonLatGrid()
