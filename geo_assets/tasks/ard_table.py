"""The table of a partition's analysis-ready layers: one row a scene and cell, and where its files lie."""

import io
import json
from collections.abc import Sequence
from typing import Any

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import shapely

from geo_assets.errors import SourceError
from geo_assets.model import path
from geo_assets.model.receipt import BlockReceipt
from geo_assets.storage import Storage

_FORMATS = ("cog", "zarr")
_NESTED = ("bands", "arrays", "report")  # columns that are kept as JSON
_COLUMNS = (
    "cell_id", "layer", "item_ids", "time", "solar_day", "observed_share", "crs", "transform", "shape", "offset", "baseline", "bands",
    *_FORMATS, "arrays", "report",
)  # fmt: skip


def read_layers(storage: Storage, sensor: str, region: str, month: str | None) -> gpd.GeoDataFrame:
    """The table of a partition, EPSG:4326; empty where there is none.

    Returns:
        ``cell_id``, ``layer``, ``item_ids``, ``time`` (UTC), ``solar_day``, ``observed_share`` (of the cell's pixels, with
        every band), ``crs``, ``transform`` (a to f), ``shape`` (rows, columns), ``offset`` (DN), ``baseline``, ``bands``
        (statistics by band, in values), ``cog`` and ``zarr`` (names below the storage root, or None), the footprint; and of yearly
        tiles ``arrays`` (names by product) and ``report`` (what was kept and dropped, and why).

    Raises:
        SourceError: It is damaged.
    """
    name = path.ard(sensor, region, month)
    content = storage.read(name)
    if content is None:
        return _frame([])
    try:
        table = gpd.read_parquet(io.BytesIO(content))
        for name in _NESTED:
            table[name] = [json.loads(text) for text in table[name]]
    except (pa.ArrowException, shapely.errors.ShapelyError, OSError, ValueError, KeyError) as e:
        line = " ".join(str(e).split())[:200]
        raise SourceError(f"{storage.uri(name)}: no table of layers: {line}; run the partition with --overwrite") from e
    return table


def write_layers(
    storage: Storage, sensor: str, region: str, month: str | None, blocks: Sequence[BlockReceipt], rows: list[dict[str, Any]], before: gpd.GeoDataFrame
) -> tuple[gpd.GeoDataFrame, list[str]]:  # fmt: skip
    """Write the table anew: rows that were made now, and those of earlier runs that the layers' receipts still name.

    Returns:
        The table, and objects of files that no row of it names any more.
    """
    made = _frame(rows)
    cells = {b.name: set(b.cells) for b in blocks}
    now = {(str(r["layer"]), str(r["cell_id"])) for r in rows}
    kept = [
        (layer, cell) not in now and cell in cells.get(layer, ())
        for layer, cell in zip(before["layer"], before["cell_id"], strict=True)
    ]
    held = before[kept] if len(before) else before
    table = made if held.empty else held if made.empty else pd.concat([held, made], ignore_index=True)
    table = gpd.GeoDataFrame(table, geometry="geometry", crs="EPSG:4326").sort_values(
        ["layer", "cell_id"], ignore_index=True
    )
    storage.write(path.ard(sensor, region, month), _bytes(table))
    gone = _hrefs(before) - _hrefs(table)
    return table, [name for href in sorted(gone) for name in _objects(storage, href)]


def _hrefs(table: gpd.GeoDataFrame) -> set[str]:
    """Files that a table names."""
    images = {str(href) for kind in _FORMATS for href in table[kind].dropna()}
    return images | {str(href) for arrays in table["arrays"] for href in arrays.values()}


def _objects(storage: Storage, href: str) -> list[str]:
    return storage.names(href) if href.endswith(".zarr") else [href]


def _frame(rows: list[dict[str, Any]]) -> gpd.GeoDataFrame:
    plain = [
        {**{k: v for k, v in r.items() if k not in ("hrefs", "footprint")}, **{f: r["hrefs"].get(f) for f in _FORMATS}}
        for r in rows
    ]
    data = {name: [r.get(name) for r in plain] for name in _COLUMNS}
    frame = pd.DataFrame(data)
    frame["time"] = pd.to_datetime(frame["time"], utc=True, format="ISO8601")
    shapes = [shapely.from_wkb(r["footprint"]) for r in rows]
    return gpd.GeoDataFrame(frame, geometry=gpd.GeoSeries(shapes, index=frame.index, crs="EPSG:4326"))


def _bytes(table: gpd.GeoDataFrame) -> bytes:
    plain = table.copy()
    for name in _NESTED:
        plain[name] = [json.dumps(v, sort_keys=True) for v in plain[name]]
    buffer = io.BytesIO()
    plain.to_parquet(buffer, index=False)
    return buffer.getvalue()
