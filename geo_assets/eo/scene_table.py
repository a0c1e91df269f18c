"""The scene table as a GeoDataFrame and as GeoParquet bytes, with the columns of the stac-geoparquet specification.

Written here and not by the library of that name, since items of one search may lack fields, hold them in other types or have
no geometry, and a search without an item has a table, too.
"""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import shapely

from geo_assets.eo.items import parse_time
from geo_assets.errors import SourceError

_TIMES = ("datetime", "start_datetime", "end_datetime", "created", "updated", "expires", "published", "unpublished")
_TIME = pa.timestamp("us", tz="UTC")
_LINK = pa.struct([("href", pa.string()), ("rel", pa.string()), ("type", pa.string()), ("title", pa.string())])
_CORE = {
    "type": pa.string(),
    "stac_version": pa.string(),
    "stac_extensions": pa.list_(pa.string()),
    "id": pa.string(),
    "collection": pa.string(),
    "bbox": pa.struct([(name, pa.float64()) for name in ("xmin", "ymin", "xmax", "ymax")]),
    "links": pa.list_(_LINK),
    "datetime": _TIME,
}
_OURS = {
    "sensor": pa.string(),
    "time": pa.string(),
    "solar_day": pa.string(),
    "kept": pa.bool_(),
    "duplicate_of": pa.string(),
    "offset": pa.int32(),
    "offset_reason": pa.string(),
    "baseline": pa.string(),
    "reason": pa.string(),
}
_NESTED = ("assets", "hrefs", "geometry")


def build(
    items: Sequence[dict[str, Any]],
    shapes: Sequence[shapely.Geometry | None],
    decisions: Sequence[dict[str, Any]],
    bands: Sequence[str],
) -> gpd.GeoDataFrame:
    """The scene table of tidied items, their footprints and what was decided about them; EPSG:4326, in the given order."""
    columns = {
        name: pa.array([_core(name, i, s) for i, s in zip(items, shapes, strict=True)], kind)
        for name, kind in _CORE.items()
    }
    columns["assets"] = _assets([i["assets"] for i in items], bands)
    for name in sorted({str(k) for i in items for k in i["properties"]} - {"datetime"}):
        # Ours and the core's come first; the item's own field of that name stays under another
        free = f"item:{name}" if name in _CORE or name in _OURS or name in _NESTED else name
        columns[free] = _column(name, [i["properties"].get(name) for i in items])
    for name, kind in _OURS.items():
        columns[name] = pa.array([d[name] for d in decisions], kind)
    columns["hrefs"] = pa.array([d["hrefs"] for d in decisions], pa.struct([(band, pa.string()) for band in bands]))
    return _frame(pa.table(columns), list(shapes))


def _core(name: str, item: Mapping[str, Any], shape: shapely.Geometry | None) -> Any:
    if name == "datetime":
        return parse_time(item["properties"].get("datetime"))
    if name == "bbox":
        return None if shape is None else dict(zip(("xmin", "ymin", "xmax", "ymax"), shape.bounds, strict=True))
    if name == "links":
        return [{k: _text(link.get(k)) for k in ("href", "rel", "type", "title")} for link in item["links"]]
    if name == "stac_extensions":
        listed = item.get(name)
        return [_text(v) for v in listed] if isinstance(listed, list) else []
    return _text(item.get(name))


def _text(value: Any) -> str | None:
    return None if value is None else str(value).encode("utf-8", "replace").decode()


def _assets(assets: Sequence[Mapping[str, Any]], bands: Sequence[str]) -> pa.Array:
    if not any(assets):  # Parquet has no struct without fields
        return pa.array([{} for _ in assets], pa.struct([(band, pa.struct([("href", pa.string())])) for band in bands]))
    try:
        return pa.array([_prune(a) for a in assets])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        plain = [
            {_text(k): {f: _text(v.get(f)) for f in ("href", "type", "title")} for k, v in a.items()} for a in assets
        ]
        return pa.array(plain)


def _prune(value: Any) -> Any:
    """Without empty mappings and without geometries, which the columns of a table cannot hold."""
    if isinstance(value, Mapping):
        pruned = {k: _prune(v) for k, v in value.items() if k != "proj:geometry"}
        return {k: v for k, v in pruned.items() if v is not None} or None
    return [_prune(v) for v in value] if isinstance(value, list) else value


def _column(name: str, values: list[Any]) -> pa.Array:
    if name in _TIMES:
        return pa.array([parse_time(v) for v in values], _TIME)
    try:
        column = pa.array([_prune(v) for v in values] if name != "proj:geometry" else [_wkb(v) for v in values])
    except (pa.ArrowException, TypeError, ValueError, OverflowError):  # values of several types: as JSON text
        column = pa.array([None if v is None else json.dumps(v, sort_keys=True) for v in values])
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column


def _wkb(geometry: Any) -> bytes | None:
    return None if geometry is None else bytes(shapely.to_wkb(shapely.geometry.shape(geometry), flavor="iso"))


def _frame(table: pa.Table, shapes: Any) -> gpd.GeoDataFrame:
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        # Plain mappings and lists, not arrays in mappings: they can be written again, and compared
        columns[name] = column.to_pylist() if pa.types.is_nested(column.type) else column.to_pandas()
    columns["assets"] = [{k: v for k, v in (row or {}).items() if v is not None} for row in columns["assets"]]
    columns["hrefs"] = [{k: v for k, v in (row or {}).items() if v is not None} for row in columns["hrefs"]]
    frame = pd.DataFrame(columns, index=pd.RangeIndex(table.num_rows))
    result = gpd.GeoDataFrame(frame, geometry=gpd.GeoSeries(shapes, index=frame.index, crs="EPSG:4326"))
    result.attrs["bands"] = [field.name for field in table.schema.field("hrefs").type]
    return result


def write_scenes(table: gpd.GeoDataFrame) -> bytes:
    """A scene table as GeoParquet; the same bytes for the same table."""
    bands = sorted({*table.attrs.get("bands", ()), *(band for row in table["hrefs"] for band in row)})
    columns = {}
    for name in table.columns:
        if name == "geometry":
            wkb = [None if g is None else bytes(shapely.to_wkb(g, flavor="iso")) for g in table.geometry]
            columns[name] = pa.array(wkb, pa.binary())
        elif name == "assets":
            columns[name] = _assets(list(table[name]), bands)
        elif name == "hrefs":
            columns[name] = pa.array(list(table[name]), pa.struct([(band, pa.string()) for band in bands]))
        else:
            columns[name] = _stored(name, table[name])
    sink = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata(_metadata()), sink, compression="zstd")
    return sink.getvalue()


def _stored(name: str, values: "pd.Series[Any]") -> pa.Array:
    kind = _OURS.get(name) or _CORE.get(name)
    nested = kind is not None and pa.types.is_nested(kind)
    column = pa.array(values.tolist() if nested else values, kind, from_pandas=True)
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column


def _metadata() -> dict[bytes, bytes]:
    bbox = {name: ["bbox", name] for name in ("xmin", "ymin", "xmax", "ymax")}
    column = {
        "encoding": "WKB",
        "geometry_types": [],
        "crs": pyproj.CRS.from_epsg(4326).to_json_dict(),
        "covering": {"bbox": bbox},
    }
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
    return {b"geo": json.dumps(geo).encode(), b"stac-geoparquet": b'{"version": "1.0.0"}'}


def read_scenes(data: bytes) -> gpd.GeoDataFrame:
    """The scene table that ``write_scenes`` wrote.

    Raises:
        SourceError: Not a scene table.
    """
    try:
        table = pq.read_table(io.BytesIO(data))
        missing = sorted({*_OURS, *_NESTED, "id", "collection"} - set(table.column_names))
        if missing:
            raise SourceError(
                f"not a scene table: it lacks {', '.join(missing)}; make the scenes of this partition again"
            )
        shapes = shapely.from_wkb(table.column("geometry").to_numpy())
    except (pa.ArrowException, shapely.errors.ShapelyError, OSError) as e:
        raise SourceError(f"not a scene table: {e}; make the scenes of this partition again") from e
    return _frame(table.drop_columns(["geometry"]), shapes)
