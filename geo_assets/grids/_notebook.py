"""The grids for notebooks: an area's cells in two CRSs and the geobox that spans them, in one call."""

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import geopandas as gpd
import odc.geo
from affine import Affine
from odc.geo.geobox import GeoBox

from geo_assets.eo.aoi import read_aoi
from geo_assets.errors import ConfigError
from geo_assets.model.cell import Grid, cells_from_table, cells_of, table_of_answer
from geo_assets.model.crs import parse_resolution, reproject
from geo_assets.model.recipe import AoiRecipe, GridRecipe
from geo_assets.model.tiling import Area

Generator = Callable[[Area], gpd.GeoDataFrame]


@dataclass(frozen=True)
class GridSpec:
    """How a mosaic is tiled.

    Attributes:
        d: Spacing of cells in metres.
        overlap: Whether half-shifted cells are added.
        target_crs: CRS of the mosaic.
        res_m: Side of a pixel in units of ``target_crs``.
        id_column: Name of the column with the cell's id.
    """

    d: float = 512
    overlap: bool = True
    target_crs: str = "EPSG:32610"
    res_m: float = 16
    id_column: str = "grid_id"


def load_geometry_file(path: str | Path, layer: str | None = None) -> Area:
    """Union of a vector file's polygons in EPSG:4326, mended and split at the antimeridian.

    Raises:
        ConfigError: A ValueError too: unreadable, empty, without area, or of several layers and none named.
    """
    return read_aoi(Path(path).name, AoiRecipe(path=str(path), layer=layer), Path.cwd()).geometry


def majortom_generator(d: float = 512, overlap: bool = True) -> Generator:
    """Cells of the package ``majortom_eg``, ``d`` metres apart."""
    return _generator("majortom_eg", GridRecipe(kind="majortom-eg", size_m=d, overlap=overlap))


def square_tiling_generator(cell_size_m: float = 512, work_crs: str = "EPSG:32610") -> Generator:
    """Whole squares of ``work_crs``, counted from its origin."""
    return _generator("square", GridRecipe(kind="square", size_m=cell_size_m, crs=str(work_crs)))


def custom_generator(func: Callable[[Area], gpd.GeoDataFrame | Iterable[Mapping[str, Any]]]) -> Generator:
    """Cells of a function of the area; its GeoDataFrame may have any CRS, rows are in EPSG:4326."""

    def cells(aoi: Area) -> gpd.GeoDataFrame:
        where = f"the grid function {getattr(func, '__name__', 'given')}"
        return _named(cells_from_table(table_of_answer(func(aoi), where=where), aoi, id_column=None, where=where))

    return cells


def load_grid_for_aoi(
    path: str | Path, spec: GridSpec | None = None, layer: str | None = None, generator: Generator | None = None
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame, GeoBox]:
    """Cells of a vector file's area in EPSG:4326 and in ``spec.target_crs``, and the geobox that spans them.

    Args:
        path: Vector file.
        spec: Spacing, CRS and resolution.
        layer: Layer of the file.
        generator: Where cells come from; left out: ``majortom_generator``, or squares where its package is missing.

    Returns:
        The cells twice, each with ``spec.id_column``, and an ``odc.geo`` GeoBox: north-up, its edges at multiples of
        ``spec.res_m``, covering all cells.

    Raises:
        ConfigError: As ``load_geometry_file``, or no cell overlaps the area.
    """
    spec = spec or GridSpec()
    cells = (generator or _default(spec))(load_geometry_file(path, layer))
    if not len(cells):
        raise ConfigError(f"{path}: the grid has no cells there; check the area and the generator")
    cells = cells if spec.id_column in cells.columns else cells.rename(columns={"grid_id": spec.id_column})
    target = str(spec.target_crs)
    moved = cells.set_geometry(gpd.GeoSeries(reproject(cells.geometry.to_numpy(), "EPSG:4326", target), crs=target))
    return cells, moved, _geobox(moved, target, parse_resolution(spec.res_m))


def _geobox(cells: gpd.GeoDataFrame, crs: str, res: Fraction) -> GeoBox:
    # A hair of tolerance: reprojecting to degrees and back must not add a row for a rounding error
    hair = Fraction(1, 10**6)
    west, south, east, north = (Fraction(float(v)) / res for v in cells.total_bounds)
    left, bottom = math.floor(west + hair), math.floor(south + hair)
    right, top = math.ceil(east - hair), math.ceil(north - hair)
    step = float(res)
    affine = Affine(step, 0.0, float(left * res), 0.0, -step, float(top * res))
    return GeoBox((top - bottom, right - left), affine, odc.geo.CRS(crs))


def _default(spec: GridSpec) -> Generator:
    if importlib.util.find_spec("majortom_eg") is not None:
        return majortom_generator(spec.d, spec.overlap)
    return square_tiling_generator(spec.d, spec.target_crs)


def _generator(stem: str, recipe: GridRecipe) -> Generator:
    def cells(aoi: Area) -> gpd.GeoDataFrame:
        # By name, because plugins do not know one another
        grid: Grid = importlib.import_module(f"geo_assets.grids.{stem}").PLUGIN
        return _named(cells_of(grid, aoi, recipe))

    return cells


def _named(cells: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    return cells.drop(columns=["grid_id", "crs"], errors="ignore").rename(columns={"cell_id": "grid_id"})
