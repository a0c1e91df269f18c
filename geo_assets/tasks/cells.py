"""Cells of the areas, the regions that they touch, and the chunks that they ask for."""

import datetime as dt
import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import shapely

from geo_assets.eo.aoi import Aoi
from geo_assets.errors import ConfigError, SourceError
from geo_assets.model import path
from geo_assets.model.cell import EVERYWHERE_LAT, CellBox, Grid, cells_of
from geo_assets.model.crs import crs_of_group, reproject
from geo_assets.model.geometry import Block, PixelGrid, Region
from geo_assets.model.lonlat import densify
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.model.recipe import CubeRecipe, GridRecipe, digest
from geo_assets.model.zones import utm_zone_at, utm_zones_of, zone_polygon
from geo_assets.registry import load
from geo_assets.storage import Storage

CODE_VERSION = "1"  # raise it when the same areas and recipe give other cells
MOST_PX = 8192  # side of a cell: a worker holds all bands of one
_COLUMNS = ("cell_id", "region", "regions", "crs", "geometry")


@dataclass(frozen=True)
class BlockPlan:
    """What is wanted of a block.

    Attributes:
        block: Which block.
        chunks: Chunks that a cell touches, as (row, column) from the block's upper left.
        cells: Cells that touch it.
    """

    block: Block
    chunks: tuple[tuple[int, int], ...]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class CellTable:
    """All cells of the areas.

    Attributes:
        cells: EPSG:4326, columns as in the grid plugin, and ``region`` (key of the owner) and ``regions`` (all it touches).
    """

    cells: gpd.GeoDataFrame

    @functools.cached_property
    def regions(self) -> list[str]:
        """Keys of all regions that a cell touches, sorted by group, row and column."""
        keys = set(self.cells["regions"].explode())
        return sorted(keys, key=lambda k: (Region.parse(k).group, Region.parse(k).row, Region.parse(k).col))

    def of_region(self, key: str) -> gpd.GeoDataFrame:
        """Cells that touch a region, sorted by id."""
        members = self._members.get(key)
        picked = self.cells.iloc[[]] if members is None else self.cells.loc[members]
        return picked.sort_values("cell_id", ignore_index=True)

    @functools.cached_property
    def _members(self) -> dict[str, npt.NDArray[np.int64]]:
        pairs = self.cells["regions"].explode()
        return {str(k): np.asarray(v) for k, v in pairs.groupby(pairs).groups.items()}


def cut(areas: Sequence[Aoi], grid: GridRecipe, cube: CubeRecipe) -> CellTable:
    """Cells of all areas together, with the regions that they touch.

    Raises:
        ConfigError: The grid does not fit the areas, or an area does not fit the cube's CRS.
    """
    whole = shapely.union_all([a.geometry for a in areas])
    spec = grid
    if grid.kind == "square" and grid.crs is None:
        spec = grid.model_copy(update={"crs": "EPSG:3857" if cube.crs == "utm" else cube.crs})
    plugin: Grid = load("grids", grid.kind)
    if getattr(plugin, "everywhere", False):
        _refuse_beyond(whole, cube)
    cells = cells_of(plugin, whole, spec).reset_index(drop=True)
    owner, touched = _regions(cells, cube)
    return CellTable(cells.assign(region=owner, regions=touched))


def _refuse_beyond(area: shapely.Geometry, cube: CubeRecipe) -> None:
    """Refuses an area whose cells the cube's CRS could not show, before millions of them are made."""
    with_cells = shapely.intersection(area, shapely.box(-180, -EVERYWHERE_LAT, 180, EVERYWHERE_LAT))
    if with_cells.is_empty:
        return  # the grid says what it has there
    if cube.crs == "utm":
        utm_zones_of(shapely.box(*with_cells.bounds))
    else:
        _inside(cube.pixel_grid(cube.crs), np.array([reproject(densify(with_cells), "EPSG:4326", cube.crs)]))


def _regions(cells: gpd.GeoDataFrame, cube: CubeRecipe) -> tuple[list[str], list[list[str]]]:
    shapes = cells.geometry.to_numpy()
    found = []
    for crs, index, parts in _by_crs(shapes, cube):
        grid = cube.pixel_grid(crs)
        part, rows, cols = grid.touched(parts, size=grid.region_size)
        found.append(pd.DataFrame({"cell": index[part], "group": grid.group, "row": rows, "col": cols}))
    pairs = pd.concat([*found, _owners(shapes, cube)], ignore_index=True).drop_duplicates(
        ["cell", "group", "row", "col"], keep="last"
    )
    pairs["key"] = pairs["group"] + "_r" + pairs["row"].astype(str) + "_c" + pairs["col"].astype(str)
    pairs = pairs.sort_values(["cell", "key"])
    owned = pairs[pairs["owner"].eq(True)].set_index("cell")["key"]
    lists = pairs.groupby("cell")["key"].agg(list)
    order = range(len(cells))
    return [str(owned[i]) for i in order], [list(lists[i]) for i in order]


def _owners(shapes: npt.NDArray[np.object_], cube: CubeRecipe) -> pd.DataFrame:
    """The region that holds each cell's centroid."""
    centre = shapely.get_coordinates(centroids(shapes))
    codes = utm_zone_at(centre[:, 0], centre[:, 1]) if cube.crs == "utm" else np.zeros(len(shapes), np.int64)
    parts = []
    for code in np.unique(codes):
        index = np.flatnonzero(codes == code)
        grid = cube.pixel_grid(f"EPSG:{code}" if cube.crs == "utm" else cube.crs)
        points = shapely.get_coordinates(reproject(shapely.points(centre[index]), "EPSG:4326", grid.crs))
        rows, cols = grid.locate(points[:, 0], points[:, 1], size=grid.region_size)
        parts.append(pd.DataFrame({"cell": index, "group": grid.group, "row": rows, "col": cols, "owner": True}))
    return pd.concat(parts, ignore_index=True)


def centroids(shapes: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Centroids of outlines (EPSG:4326); those of outlines that are split at the antimeridian lie near it, not at 0."""
    bounds = shapely.bounds(shapes)
    split = (bounds[:, 0] <= -180) & (bounds[:, 2] >= 180) & (shapely.get_num_geometries(shapes) > 1)
    whole = shapes.copy()
    whole[split] = shapely.transform(shapes[split], lambda xy: np.column_stack([xy[:, 0] % 360, xy[:, 1]]))
    points = shapely.centroid(whole)
    points[split] = shapely.transform(
        points[split], lambda xy: np.column_stack([(xy[:, 0] + 180) % 360 - 180, xy[:, 1]])
    )
    found: npt.NDArray[np.object_] = points
    return found


def _by_crs(
    shapes: npt.NDArray[np.object_], cube: CubeRecipe
) -> list[tuple[str, npt.NDArray[np.int64], npt.NDArray[np.object_]]]:
    """For each CRS of the cube the cells that it makes: their places in the table and their parts, in that CRS."""
    if cube.crs != "utm":
        whole = reproject(densify(shapes), "EPSG:4326", cube.crs)
        _inside(cube.pixel_grid(cube.crs), whole)
        return [(cube.crs, np.arange(len(shapes)), whole)]
    result = []
    for crs in utm_zones_of(shapely.box(*shapely.total_bounds(shapes))):
        number = int(crs.removeprefix("EPSG:"))
        zone = zone_polygon(number % 100, north=number < 32700)
        shapely.prepare(zone)
        index = np.flatnonzero(shapely.intersects(zone, shapes))
        parts = shapes[index].copy()
        border = ~shapely.covers(zone, parts)
        parts[border] = shapely.intersection(parts[border], zone)
        real = shapely.area(parts) > 0
        if real.any():
            result.append((crs, index[real], reproject(densify(parts[real]), "EPSG:4326", crs)))
    return result


def _inside(grid: PixelGrid, shapes: npt.NDArray[np.object_]) -> None:
    west, south, east, north = shapely.total_bounds(shapes)
    left, bottom, right, top = grid.array_geobox().bounds
    if not (west >= left and south >= bottom and east <= right and north <= top):
        raise ConfigError(f"the area lies outside the area of use of {grid.crs}: choose another cube.crs, or utm")


def plan_blocks(cells: gpd.GeoDataFrame, region: Region, grid: PixelGrid) -> list[BlockPlan]:
    """Blocks of a region that its cells ask for, row by row, with the chunks that they touch.

    A block that a zone's part of a cell touches is made whole: with all chunks that its cells touch, also those that
    lie beyond the zone's border.
    """
    if not len(cells):
        return []
    shapes = reproject(densify(cells.geometry.to_numpy()), "EPSG:4326", grid.crs)
    cell, rows, cols = grid.touched(shapes, size=grid.chunk_px * grid.resolution)
    n = grid.block_px // grid.chunk_px
    table = pd.DataFrame({"cell": cell, "block_row": rows // n, "block_col": cols // n})
    table["row"] = rows - table["block_row"] * n if grid.geographic else n - 1 - (rows - table["block_row"] * n)
    table["col"] = cols - table["block_col"] * n
    inside = (table["block_row"] // grid.region_blocks == region.row) & (
        table["block_col"] // grid.region_blocks == region.col
    )
    ids = cells["cell_id"].to_numpy()
    plans = []
    for _, group in table[inside].groupby(["block_row", "block_col"]):
        row, col = group["block_row"].iloc[0], group["block_col"].iloc[0]
        chunks = sorted(set(zip(group["row"].tolist(), group["col"].tolist(), strict=True)))
        plans.append(
            BlockPlan(Block(int(row), int(col)), tuple(chunks), tuple(sorted(set(ids[group["cell"].unique()]))))
        )
    return plans


def region_grid(key: str, cube: CubeRecipe) -> PixelGrid:
    """Pixel grid of a region's group.

    Raises:
        ConfigError: The region belongs to another CRS than the cube's.
    """
    crs = crs_of_group(Region.parse(key).group)
    if cube.crs not in ("utm", crs):
        raise ConfigError(f"region {key} belongs to {crs}, and cube.crs is {cube.crs}")
    return cube.pixel_grid(crs)


def write_cells(table: gpd.GeoDataFrame) -> bytes:
    """The table as GeoParquet."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def read_cells(content: bytes) -> gpd.GeoDataFrame:
    """The table of ``write_cells``.

    Raises:
        SourceError: Not a cell table.
    """
    try:
        table = gpd.read_parquet(io.BytesIO(content))
    except (pa.ArrowException, shapely.errors.ShapelyError, OSError, ValueError, KeyError) as e:
        line = " ".join(str(e).split())[:200]
        raise SourceError(f"not a cell table: {line}; make the cells of this region again") from e
    missing = sorted({*_COLUMNS} - set(table.columns))
    if missing:
        raise SourceError(f"not a cell table: it lacks {', '.join(missing)}; make the cells of this region again")
    return table


def cells_version(table: gpd.GeoDataFrame) -> str:
    """Data version of a region's cells."""
    shapes = [g.hex() for g in shapely.to_wkb(table.geometry.to_numpy())]
    return digest([CODE_VERSION, sorted(zip(table["cell_id"], shapes, strict=True))])


def _holds(content: bytes | None, version: str) -> bool:
    """Whether what is stored is the table of a version; a damaged one is not."""
    if content is None:
        return False
    try:
        return cells_version(read_cells(content)) == version
    except SourceError:
        return False


def store_cells(
    storage: Storage, grid: GridRecipe, region: str, table: gpd.GeoDataFrame, *, run_id: str
) -> tuple[PartitionReceipt, bool]:
    """Write a region's cells and their receipt, unless they are as they should be.

    Returns:
        The receipt, and whether anything was written.
    """
    version = cells_version(table)
    previous = storage.sound_receipt("cells", region)
    if previous and previous.data_version == version and _holds(storage.read(path.cells(region)), version):
        return previous, False
    storage.write(path.cells(region), write_cells(table))
    receipt = PartitionReceipt(
        product="cells", region=region, status="ok", data_version=version, code_version=CODE_VERSION, run_id=run_id,
        recipe_hash=grid.hash, made_at=dt.datetime.now(dt.UTC), figures={"cells": len(table), "grid": grid.kind},
    )  # fmt: skip
    storage.write_receipt(receipt)
    return receipt, True


def owns_cells(table: gpd.GeoDataFrame, region: str) -> bool:
    """Whether a region owns a cell, and is not only reached by those of its neighbours.

    Args:
        table: Cells that touch the region.
        region: Its key.
    """
    return bool((table["region"] == region).any())


def cell_boxes(
    table: gpd.GeoDataFrame, region: str, grid: PixelGrid, setting: str = "cube.resolution"
) -> list[CellBox]:
    """The cells that a region owns as arrays of pixels in the CRS of its group, sorted by id.

    Args:
        table: Cells of the region.
        region: Its key.
        grid: On which pixels lie: edges at origin + k * resolution, out to the cell's bounds.
        setting: That says how large a pixel is, for messages.

    Raises:
        ConfigError: A cell is larger than a worker can hold.
    """
    own = table[table["region"] == region].sort_values("cell_id")
    outlines = shapely.to_wkb(own.geometry.to_numpy())
    bounds = shapely.bounds(reproject(densify(own.geometry.to_numpy()), "EPSG:4326", grid.crs))
    found = [
        CellBox(str(i), grid.box_around((w, s, e, n)), bytes(outline))
        for i, outline, (w, s, e, n) in zip(own["cell_id"], outlines, bounds.tolist(), strict=True)
    ]
    for cell in found:
        if max(cell.box.shape) > MOST_PX:
            raise ConfigError(
                f"cell {cell.id} has {cell.box.shape[0]} x {cell.box.shape[1]} pixels, and {MOST_PX} a side is the most: "
                f"choose smaller cells, or a coarser {setting}"
            )
    return found
