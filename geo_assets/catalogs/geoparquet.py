"""A stac-geoparquet file: a catalog in one table, local or behind fsspec."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq
import shapely
import shapely.geometry

from geo_assets.catalogs._files import Folder
from geo_assets.eo.items import distinct, footprint, item_days, meets
from geo_assets.errors import CatalogError, ConfigError
from geo_assets.model.href import Access
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.model.scene import SceneQuery

_REQUIRED = ("id", "geometry", "assets")
_FIRST = ("items.parquet",), "a stac-geoparquet file"
_TOP = ("type", "stac_version", "stac_extensions", "id", "collection", "links", "assets")


class GeoParquet:
    """Items of a table, read without a network and without pystac."""

    def search(self, recipe: CatalogRecipe, query: SceneQuery) -> list[dict[str, Any]]:
        """Items of the table that meet the query, with absolute asset addresses.

        Raises:
            ConfigError: There is no such file, or it has none of the collections.
            CatalogError: The file cannot be read or is no stac-geoparquet.
        """
        folder = Folder.find(recipe.path or recipe.url, *_FIRST)
        try:
            with folder.fs.open(folder.start, "rb") as file:
                source = pq.ParquetFile(file)
                missing = [name for name in _REQUIRED if name not in source.schema_arrow.names]
                if missing:
                    raise ConfigError(f"{folder.shown} is no stac-geoparquet: it lacks {', '.join(missing)}")
                fragment = pa.dataset.ParquetFileFormat().make_fragment(file)
                table = fragment.to_table(filter=_filter(source.schema_arrow, query))
                if not table.num_rows:
                    _require_collections(source, folder, query)
        except (pa.ArrowException, OSError) as e:
            raise CatalogError(f"{folder.shown} cannot be read as stac-geoparquet: {e}: write it again") from e
        items = [_item(row, folder) for row in table.to_pylist()]
        return distinct(item for item in items if meets(query, item_days(item), footprint(item)))

    def access(self, recipe: CatalogRecipe) -> Access:
        """The folder of the file, and hosts as the recipe says."""
        return Folder.known(recipe.path or recipe.url, *_FIRST).access(tuple(recipe.hosts))

    def sign(self, href: str) -> str:
        """The address as it is."""
        return href


def _filter(schema: pa.Schema, query: SceneQuery) -> pc.Expression | None:
    """What the file's statistics can rule out; nothing that could meet the query."""
    clauses = []
    if query.collections and "collection" in schema.names:
        clauses.append(pc.field("collection").is_null() | pc.field("collection").isin(list(query.collections)))
    if "datetime" in schema.names and pa.types.is_timestamp(schema.field("datetime").type):
        kind = schema.field("datetime").type
        first, last = (
            dt.datetime.combine(day, dt.time(), dt.UTC) for day in (query.start, query.end + dt.timedelta(days=1))
        )
        if kind.tz is None:
            first, last = first.replace(tzinfo=None), last.replace(tzinfo=None)
        time = pc.field("datetime")
        at = time.is_null() | ((time >= pa.scalar(first, kind)) & (time < pa.scalar(last, kind)))
        # An item of several days may name any moment; its range counts
        clauses.append(at | pc.field("end_datetime").is_valid() if "end_datetime" in schema.names else at)
    if "bbox" in schema.names and pa.types.is_struct(schema.field("bbox").type):
        west, south, east, north = query.area.bounds
        x0, y0, x1, y1 = (pc.field("bbox", k) for k in ("xmin", "ymin", "xmax", "ymax"))
        across = (
            (x0 > x1) | (x1 - x0 > 180) | (x1 > 180) | (x0 < -180)
        )  # the antimeridian: such boxes are written in several ways
        inside = (y0 <= north) & (y1 >= south) & (across | ((x0 <= east) & (x1 >= west)))
        clauses.append(y0.is_null() | inside)
    result = None
    for clause in clauses:
        result = clause if result is None else result & clause
    return result


def _require_collections(source: pq.ParquetFile, folder: Folder, query: SceneQuery) -> None:
    if not query.collections or "collection" not in source.schema_arrow.names:
        return
    there = set(source.read(["collection"]).column("collection").unique().to_pylist()) - {None}
    if there and not there & set(query.collections):
        raise ConfigError(
            f"{folder.shown} has no collection {' or '.join(query.collections)}, but {', '.join(sorted(there)[:10])}: "
            "name those to use in sensors: [{sensor: ..., collections: [...]}]"
        )


def _item(row: Mapping[str, Any], folder: Folder) -> dict[str, Any]:
    if not isinstance(row["id"], str) or not isinstance(row["assets"], dict):
        raise CatalogError(f"{folder.shown} has a row without id or assets: write it again")
    item: dict[str, Any] = {"type": "Feature", **{k: _plain(row[k]) for k in _TOP if row.get(k) is not None}}
    item["geometry"] = _geometry(row["geometry"])
    bbox = row.get("bbox")
    if isinstance(bbox, dict) and all(isinstance(bbox.get(k), float) for k in ("xmin", "ymin", "xmax", "ymax")):
        item["bbox"] = [bbox[k] for k in ("xmin", "ymin", "xmax", "ymax")]
    rest = {k: v for k, v in row.items() if k not in (*_TOP, "geometry", "bbox", "proj:geometry")}
    item["properties"] = {k: _plain(v) for k, v in rest.items() if v is not None}
    for asset in item["assets"].values():
        if isinstance(asset, dict) and isinstance(asset.get("href"), str):
            asset["href"] = folder.resolve(asset["href"], folder.start)
    return item


def _geometry(wkb: Any) -> dict[str, Any] | None:
    try:
        shape = shapely.from_wkb(wkb)
    except (shapely.errors.ShapelyError, TypeError):
        return None
    return None if shape is None else dict(shapely.geometry.mapping(shape))


def _plain(value: Any) -> Any:
    """As JSON has it: times as text, no empty fields, which a table adds where another row has them."""
    if isinstance(value, dt.datetime):
        aware = value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
        return aware.isoformat().replace("+00:00", "Z")
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if v is not None}
    return [_plain(v) for v in value] if isinstance(value, list) else value


PLUGIN = GeoParquet()
