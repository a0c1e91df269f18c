"""Cells from a table: a vector file with polygons, or CSV or parquet with the centres of 1/18 degree tiles."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np

from geo_assets.eo.tile_table import TILE_DEG, Piece, pieces, table_columns
from geo_assets.eo.vector import read_table
from geo_assets.errors import ConfigError
from geo_assets.model.cell import cell_table, cells_from_table, utm_crs
from geo_assets.model.recipe import GridRecipe
from geo_assets.model.tiling import Area, Floats, lonlat_boxes, overlapping


class TilesGrid:
    """Cells of the table ``path``, named by ``id_column``."""

    def cells(self, aoi: Area, spec: GridRecipe) -> gpd.GeoDataFrame:
        """The table's rows that overlap the area.

        A table of centres has the columns X and Y in degrees and is named by ``id_column``, or ``1035X727Y`` by X_tile
        and Y_tile. A vector file needs ``id_column`` unless one of its columns is cell_id, grid_id, tile_id or id.
        """
        if spec.path is None:
            raise ConfigError(
                "the grid tiles needs path: a vector file with cells, or CSV or parquet with columns X and Y"
            )
        path = Path(spec.path)
        if _is_of_centres(path):
            return _from_centres(path, aoi, spec)
        table = read_table(path, layer=spec.layer)
        return cells_from_table(table, aoi, id_column=spec.id_column, where=path.name, must_name=True)


def _is_of_centres(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        return False
    names = table_columns(path)
    if {"X", "Y"} <= set(names):
        return True
    if suffix == ".parquet":
        return False
    listed = ", ".join(names)[:200]
    raise ConfigError(f"{path.name} has no columns X and Y with the centres in degrees; it has {listed}")


def _from_centres(path: Path, aoi: Area, spec: GridRecipe) -> gpd.GeoDataFrame:
    names = table_columns(path)
    if spec.id_column is not None and spec.id_column not in names:
        raise ConfigError(f"{path.name} has no column {spec.id_column!r}; it has {', '.join(names)[:200]}")
    if spec.id_column in ("X", "Y"):
        raise ConfigError(f"{path.name}: X and Y are positions and no names: set id_column to another column")
    if spec.id_column is None and not {"X_tile", "Y_tile"} <= set(names):
        raise ConfigError(f"{path.name} does not name its cells: set id_column, or add the columns X_tile and Y_tile")
    ids, x, y = _near(path, aoi, spec.id_column)
    half = TILE_DEG / 2
    boxes = lonlat_boxes((x - half, y - half, x + half, y + half))
    hit = overlapping(aoi, boxes)
    return cell_table(ids[hit], boxes[hit], utm_crs(x[hit], y[hit]), x=x[hit], y=y[hit])


def _near(path: Path, aoi: Area, id_column: str | None) -> tuple[Any, Floats, Floats]:
    """Ids and centres of the tiles that touch the area's bounding box."""
    half = TILE_DEG / 2
    west, south, east, north = aoi.bounds
    ids: list[str] = []
    xs: list[Floats] = [np.empty(0)]
    ys: list[Floats] = [np.empty(0)]
    numbers, texts = (("X_tile", "Y_tile"), ()) if id_column is None else ((), (id_column,))
    for piece in pieces(path, numbers=numbers, texts=texts):
        x, y = piece.x, piece.y
        near = np.flatnonzero((x > west - half) & (x < east + half) & (y > south - half) & (y < north + half))
        ids.extend(_ids(piece, near, id_column))
        xs.append(x[near])
        ys.append(y[near])
    return np.array(ids, dtype=object), np.concatenate(xs), np.concatenate(ys)


def _ids(piece: Piece, rows: Any, id_column: str | None) -> Iterator[str]:
    if id_column is not None:
        return ("" if v is None else str(v) for v in piece.columns[id_column].take(rows).to_pylist())
    pairs = zip(piece.columns["X_tile"][rows].tolist(), piece.columns["Y_tile"][rows].tolist(), strict=True)
    return (f"{x}X{y}Y" for x, y in pairs)


PLUGIN = TilesGrid()
