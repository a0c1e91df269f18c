"""What every grid plugin has to do: a test class that any package can run on its own plugin, offline."""
# ruff: noqa: D102 - the name of a test says what it checks

import contextlib
import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import shapely

from geo_assets.model.cell import Grid, cells_of, check_ids
from geo_assets.model.recipe import GridRecipe

STYRIA = shapely.box(15.1, 46.9, 15.5, 47.2)
FIJI = shapely.MultiPolygon([shapely.box(179.7, -17.2, 180, -16.9), shapely.box(-180, -17.2, -179.8, -16.9)])
SLANTED = shapely.Polygon([(15.0, 47.0), (15.3, 46.8), (15.6, 47.1), (15.2, 47.15)])
PARTS = shapely.MultiPolygon([shapely.box(15.1, 46.9, 15.2, 47.0), shapely.box(16.1, 47.4, 16.2, 47.5)])
HOLE = shapely.Polygon(shapely.box(14, 46, 16, 48).exterior, [shapely.box(14.1, 46.1, 15.9, 47.9).exterior])
AREAS = {"a box": STYRIA, "the antimeridian": FIJI, "slanted": SLANTED, "two parts": PARTS, "a hole": HOLE}


@contextlib.contextmanager
def offered(kind: str, folder: Path) -> Iterator[GridRecipe]:
    """A recipe of a grid of this project, with the files that it needs."""
    settings: dict[str, Any] = {"size_m": 5000}
    if kind == "tiles":
        # Tiles of a quarter degree around all areas
        lon, lat = np.meshgrid(np.r_[-180:-179:0.25, 13:17:0.25, 179:180:0.25], np.r_[-18:-16:0.25, 45:49:0.25])
        boxes = shapely.box(lon.ravel(), lat.ravel(), lon.ravel() + 0.25, lat.ravel() + 0.25)
        table = gpd.GeoDataFrame({"id": [f"t{i}" for i in range(len(boxes))]}, geometry=boxes, crs="EPSG:4326")
        table.to_file(folder / "tiles.gpkg")
        settings = {"path": str(folder / "tiles.gpkg")}
    if kind == "custom":
        settings = {"callable": "geo_assets.testing.conformance_grid:coarse"}
    yield GridRecipe(kind=kind, **settings)


def coarse(area: gpd.GeoDataFrame, spec: GridRecipe) -> gpd.GeoDataFrame:
    """A custom grid: cells of 0.07 degrees around each part of an area."""
    rows = {}
    for west, south, east, north in area.explode().bounds.to_numpy():
        for x in range(math.floor(west / 0.07), math.ceil(east / 0.07)):
            for y in range(math.floor(south / 0.07), math.ceil(north / 0.07)):
                rows[f"x{x}y{y}"] = shapely.box(max(x * 0.07, -180), y * 0.07, min((x + 1) * 0.07, 180), (y + 1) * 0.07)
    return gpd.GeoDataFrame({"grid_id": list(rows)}, geometry=list(rows.values()), crs="EPSG:4326")


class GridConformance:
    """Subclass it with the fixtures ``plugin``, ``recipe`` and ``area`` (one of ``AREAS``)."""

    def test_cells_are_a_table_of_valid_polygons_in_degrees(self, plugin: Grid, recipe: GridRecipe, area: Any) -> None:
        table = plugin.cells(area, recipe)
        assert isinstance(table, gpd.GeoDataFrame)
        assert table.geometry.crs.to_epsg() == 4326
        assert {"cell_id", "geometry", "crs"} <= set(table.columns)
        assert len(table) > 0
        assert set(table.geom_type) <= {"Polygon", "MultiPolygon"}
        assert table.is_valid.all()
        west, south, east, north = table.total_bounds
        assert (west, south) >= (-180, -90)
        assert (east, north) <= (180, 90)

    def test_cells_have_unique_ids_that_could_be_file_names(self, plugin: Grid, recipe: GridRecipe, area: Any) -> None:
        check_ids(plugin.cells(area, recipe)["cell_id"].to_numpy(), where="the grid")

    def test_cells_name_the_projected_crs_of_their_pixels(self, plugin: Grid, recipe: GridRecipe, area: Any) -> None:
        for crs in set(plugin.cells(area, recipe)["crs"]):
            assert pyproj.CRS.from_user_input(crs).is_projected

    def test_cells_cover_the_area_without_gaps(self, plugin: Grid, recipe: GridRecipe, area: Any) -> None:
        missed = shapely.difference(area, plugin.cells(area, recipe).geometry.union_all())
        assert missed.area < 1e-7 * area.area

    def test_cells_all_overlap_the_area_and_none_by_an_edge_only(
        self, plugin: Grid, recipe: GridRecipe, area: Any
    ) -> None:
        shared = shapely.intersection(plugin.cells(area, recipe).geometry.to_numpy(), area)
        assert (shapely.area(shared) > 0).all()

    def test_cells_of_part_of_an_area_are_the_same_cells(self, plugin: Grid, recipe: GridRecipe, area: Any) -> None:
        whole = plugin.cells(area, recipe).set_index("cell_id")
        for part in [*shapely.get_parts(area), shapely.intersection(area, shapely.box(-180, -17.05, 180, 47.05))]:
            cells = plugin.cells(part, recipe).set_index("cell_id")
            assert set(cells.index) <= set(whole.index)
            same = whole.loc[cells.index]
            assert cells.geometry.geom_equals_exact(same.geometry, 1e-9).all()
            known = same.drop(columns="geometry").astype(str)
            assert cells.drop(columns="geometry").astype(str).equals(known)

    def test_cells_are_whole_and_clip_cuts_them_under_the_same_ids(
        self, plugin: Grid, recipe: GridRecipe, area: Any
    ) -> None:
        whole = cells_of(plugin, area, recipe)
        cut = cells_of(plugin, area, recipe.model_copy(update={"clip": True}))
        assert list(cut.cell_id) == list(whole.cell_id)
        assert shapely.area(cut.geometry).sum() < shapely.area(whole.geometry).sum()
        assert shapely.difference(cut.geometry.union_all(), area).area < 1e-9

    def test_cells_asked_twice_come_in_the_same_order(self, plugin: Grid, recipe: GridRecipe, area: Any) -> None:
        first, second = (plugin.cells(area, recipe) for _ in range(2))
        assert list(first.cell_id) == list(second.cell_id)

    def test_plugin_survives_pickling(self, plugin: Grid) -> None:
        assert type(pickle.loads(pickle.dumps(plugin))) is type(plugin)  # noqa: S301 - our own bytes
