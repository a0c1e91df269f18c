"""Which items of a collection that no plugin knows show the same: what is delivered twice, and editions of a map."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import shapely
import shapely.geometry

from geo_assets.model.sensor import Acquisition, Item

_DIGITS = 4  # of degrees, some 10 m: footprints are often rounded
_SECOND = len("2024-02-01T10:00:00")
_GRID = ("proj:code", "proj:epsg", "proj:transform", "proj:shape")


def same_scene(item: Item, assets: Sequence[str], *, static: bool) -> Acquisition:
    """Identity of an item by what every collection says of its items.

    Items of one collection are the same if they have equal platform, footprint, grid and assets, and are of the same second;
    of what has no date the time does not count and is that of the edition. The one changed last wins.

    Args:
        item: STAC item.
        assets: Names of the assets that are read.
        static: Whether it shows what has no date.
    """
    p = item["properties"]
    changed = str(p.get("updated") or p.get("created") or "")
    time, ground = str(p.get("datetime") or p.get("start_datetime") or ""), _ground(item)
    if not time or not ground:
        return Acquisition(str(item["id"]), (), changed)
    there = sorted(a for a in assets if a in item["assets"])
    when = [] if static else [time[:_SECOND], str(p.get("end_datetime") or "")[:_SECOND]]
    grid = [_grid(p), *(_grid(item["assets"][a]) for a in there)]
    key = [item.get("collection"), p.get("platform"), when, there, grid, ground]
    return Acquisition(json.dumps(key, default=str), (), changed, edition=time if static else "")


def _grid(said: Any) -> list[Any]:
    return [said.get(name) for name in _GRID] if isinstance(said, Mapping) else []


def _ground(item: Item) -> str:
    """The footprint, whatever its first corner is; "" where there is none."""
    try:
        shape = shapely.force_2d(shapely.geometry.shape(item["geometry"]))
        return str(shapely.to_wkt(shapely.normalize(shape), rounding_precision=_DIGITS))
    except (shapely.errors.ShapelyError, AttributeError, IndexError, KeyError, TypeError, ValueError):
        return ""
