"""Geohash cells: 5 characters are 4.9 km a side at the equator, 6 are 1.2 x 0.6 km, 7 are 153 m."""

import geopandas as gpd

from geo_assets.model.cell import cell_table, utm_crs
from geo_assets.model.geohash import geohash_of, geohash_steps
from geo_assets.model.recipe import GridRecipe
from geo_assets.model.tiling import Area, lonlat_boxes, regular_cells


class GeohashGrid:
    """Geohashes of ``precision`` characters."""

    everywhere = True

    def cells(self, aoi: Area, spec: GridRecipe) -> gpd.GeoDataFrame:
        """Cells named by their geohash, with the UTM zone of their centre."""
        dx, dy = geohash_steps(spec.precision)
        row, col = regular_cells(
            aoi, origin=(-180.0, -90.0), step=(dx, dy), what=f"geohashes of {spec.precision} characters"
        )
        bounds = -180 + col * dx, -90 + row * dy, -180 + (col + 1) * dx, -90 + (row + 1) * dy
        crs = utm_crs(bounds[0] + dx / 2, bounds[1] + dy / 2)
        ids = geohash_of(row, col, spec.precision)
        return cell_table(ids, lonlat_boxes(bounds), crs, precision=spec.precision)


PLUGIN = GeohashGrid()
