"""Cells from a table: a vector file with polygons, or CSV or parquet with the centres of 1/18 degree tiles."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

from geo_assets.eo.vector import MAX_FILE_BYTES, read_table
from geo_assets.errors import ConfigError
from geo_assets.model.cell import cell_table, cells_from_table, utm_crs
from geo_assets.model.recipe import GridRecipe
from geo_assets.model.tiling import Area, lonlat_boxes, overlapping

TILE_DEG = 1 / 18  # side of a tile of a table of centres


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
        centres = _centres(path)
        if centres is None:
            table = read_table(path, layer=spec.layer)
            return cells_from_table(table, aoi, id_column=spec.id_column, where=path.name, must_name=True)
        return _from_centres(centres, aoi, spec, path.name)


def _centres(path: Path) -> pd.DataFrame | None:
    """The table where it is one of centres."""
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet"):
        return None
    if not path.is_file():
        raise ConfigError(f"the file {path} does not exist: give the path of the table of cells")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ConfigError(
            f"{path.name} has {path.stat().st_size / 1e6:,.0f} MB: {MAX_FILE_BYTES / 1e6:,.0f} MB is the most"
        )
    try:
        table = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as e:
        raise ConfigError(f"{path.name} is not a readable {suffix[1:]} table: {str(e)[:200]}") from e
    if {"X", "Y"} <= set(table.columns):
        return table
    if suffix == ".parquet":
        return None
    raise ConfigError(
        f"{path.name} has no columns X and Y with the centres in degrees; it has {', '.join(map(str, table.columns))[:200]}"
    )


def _from_centres(table: pd.DataFrame, aoi: Area, spec: GridRecipe, name: str) -> gpd.GeoDataFrame:
    x, y = (pd.to_numeric(table[c], errors="coerce").to_numpy(float) for c in ("X", "Y"))
    bad = ~((np.abs(x) <= 180) & (np.abs(y) <= 90))
    if bad.any():
        raise ConfigError(
            f"{name}, row {int(np.flatnonzero(bad)[0]) + 1}: X and Y are no longitude and latitude in degrees"
        )
    half = TILE_DEG / 2
    west, south, east, north = aoi.bounds
    near = np.flatnonzero((x > west - half) & (x < east + half) & (y > south - half) & (y < north + half))
    boxes = lonlat_boxes((x[near] - half, y[near] - half, x[near] + half, y[near] + half))
    hit = overlapping(aoi, boxes)
    rows = table.iloc[near[hit]]
    if spec.id_column is not None and spec.id_column not in table:
        raise ConfigError(f"{name} has no column {spec.id_column!r}; it has {', '.join(map(str, table.columns))[:200]}")
    if spec.id_column is None and not {"X_tile", "Y_tile"} <= set(table.columns):
        raise ConfigError(f"{name} does not name its cells: set id_column, or add the columns X_tile and Y_tile")
    ids = (
        rows[spec.id_column].astype(str)
        if spec.id_column
        else rows.X_tile.astype(str) + "X" + rows.Y_tile.astype(str) + "Y"
    )
    return cell_table(ids.to_numpy(), boxes[hit], utm_crs(x[near[hit]], y[near[hit]]), x=x[near[hit]], y=y[near[hit]])


PLUGIN = TilesGrid()
