"""Tables of tiles as they are found: numbers that follow from no formula, on a lattice of 1/18 degree."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv

from geo_assets.eo.tile_table import TileTable, key_of


def table(rows: int, *, seed: int = 1) -> pd.DataFrame:
    """So many tiles of the world in no order; the numbers of the rows jump from one column of the lattice to the next."""
    rng = np.random.default_rng(seed)
    place = rng.choice(6480 * 2700, rows, replace=False)
    col, row = place % 6480, place // 6480
    shift = np.random.default_rng(0).integers(-500, 500, 6480)
    return pd.DataFrame(
        {"X": (col + 0.5) / 18 - 180, "Y": (row + 0.5) / 18 - 60, "Y_tile": row + shift[col], "X_tile": col - 3000}
    )


def write(frame: pd.DataFrame, file: Path) -> Path:
    """As CSV or parquet, by the name."""
    if file.suffix == ".csv":
        pa.csv.write_csv(pa.Table.from_pandas(frame, preserve_index=False), file)
    else:
        frame.to_parquet(file, index=False)
    return file


def known(frame: pd.DataFrame) -> TileTable:
    """The table as the product reads it, without a file."""
    keys = key_of(frame["X_tile"].to_numpy(np.int64), frame["Y_tile"].to_numpy(np.int64))
    return TileTable.of("table", keys, frame["X"].to_numpy(float), frame["Y"].to_numpy(float))


def ids(frame: pd.DataFrame) -> list[str]:
    """Ids of all tiles."""
    return [f"{x}X{y}Y" for x, y in zip(frame["X_tile"], frame["Y_tile"], strict=True)]
