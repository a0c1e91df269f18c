"""Cells from the user's own function ``package.module:function``.

The function gets the area as a GeoDataFrame (EPSG:4326) and the grid's recipe, and returns a GeoDataFrame in any CRS or
rows with ``geometry`` in EPSG:4326. It should return the same cells for the same place whatever the area.
"""

import geopandas as gpd

from geo_assets.errors import ConfigError
from geo_assets.model.cell import cells_from_table, table_of_answer
from geo_assets.model.function import load_function
from geo_assets.model.recipe import GridRecipe
from geo_assets.model.tiling import Area


class CustomGrid:
    """What ``callable`` returns, reprojected to EPSG:4326."""

    def cells(self, aoi: Area, spec: GridRecipe) -> gpd.GeoDataFrame:
        """The function's cells that overlap the area, named by ``id_column`` or its column grid_id.

        Without such a column a cell is named by the geohash of its centroid, with a warning.
        """
        function = load_function(spec.callable, "grid.callable")
        area = gpd.GeoDataFrame(geometry=[aoi], crs="EPSG:4326")
        try:
            given = function(area, spec)
        except Exception as e:  # the user's own code: whatever it raises is said in one line
            raise ConfigError(f"the grid {spec.callable} failed: {type(e).__name__}: {e}") from e
        answer = table_of_answer(given, where=f"the grid {spec.callable}")
        return cells_from_table(answer, aoi, id_column=spec.id_column, where=f"the grid {spec.callable}")


PLUGIN = CustomGrid()
