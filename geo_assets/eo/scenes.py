"""Decides about the scenes of a search: which are kept, which are the same picture twice, what is taken off their numbers."""

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import geopandas as gpd
import shapely

from geo_assets.eo import items as stac
from geo_assets.eo.scene_table import build, read_scenes, write_scenes
from geo_assets.model.scene import Header, Scene
from geo_assets.model.sensor import Acquisition, Sensor

__all__ = ["decide", "read_scenes", "scenes_of", "write_scenes"]

_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)


@dataclass
class _Row:
    """What is decided about one item."""

    item: dict[str, Any]
    time: dt.datetime | None
    shape: shapely.Geometry | None
    hrefs: dict[str, str]
    acquisition: Acquisition | None = None
    reason: str | None = None
    columns: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return str(self.item["id"])


def decide(
    items: Iterable[dict[str, Any]], sensor: Sensor, *, max_cloud_cover: float = 100, exclude: Collection[str] = ()
) -> gpd.GeoDataFrame:
    """The scene table of a search: one row an item, in the order of (time, collection, id), whatever the order of ``items``.

    Items that a catalog sent twice have one row; different items of one collection and id have a row each.

    Args:
        items: STAC items.
        sensor: What took them.
        max_cloud_cover: Scenes with more cloud, in percent by the item, are not kept.
        exclude: Ids of items that are not kept; an older processing of the same acquisition may be.

    Returns:
        stac-geoparquet columns and our decisions: ``sensor``, ``time``, ``solar_day``, ``kept``, ``duplicate_of`` (id of the
        item that won, which is its own where the catalog has several items of one id), ``offset`` (DN), ``offset_reason``, ``baseline``, ``reason`` (why not kept) and ``hrefs`` by band.
    """
    rows = [_judge(_tidy(item), sensor) for item in stac.distinct(items)]
    for row in rows:
        if row.id in exclude:
            row.reason = "left out by the project: exclude names it"
    _drop_outdated(rows)
    rows.sort(key=lambda r: (r.time is None, r.time or _NEVER, str(r.item.get("collection")), r.id))
    _drop_duplicates(rows)
    for row in rows:
        cover = row.item["properties"].get(sensor.cloud_cover_field) if sensor.cloud_cover_field else None
        if row.reason is None and isinstance(cover, int | float) and cover > max_cloud_cover:
            row.reason = f"cloud cover {cover:.4g} % is over max_cloud_cover {max_cloud_cover:g} %"
        row.columns |= {"kept": row.reason is None, "reason": row.reason}
    return build([r.item for r in rows], [r.shape for r in rows], [r.columns for r in rows], list(sensor.bands))


def _tidy(item: dict[str, Any]) -> dict[str, Any]:
    """A copy whose properties and assets are mappings and whose addresses carry no signature."""
    properties, assets = item.get("properties"), item.get("assets")
    clean = {k: stac.unsign(v) for k, v in assets.items() if isinstance(v, dict)} if isinstance(assets, dict) else {}
    links = [stac.unsign(link) for link in item.get("links") or [] if isinstance(link, dict)]
    return {**item, "properties": properties if isinstance(properties, dict) else {}, "assets": clean, "links": links}


def _judge(item: dict[str, Any], sensor: Sensor) -> _Row:
    shape, fault = stac.outline(item)
    row = _Row(item, stac.item_time(item), shape, _band_hrefs(item, sensor))
    row.columns = {
        "sensor": sensor.name,
        "time": row.time.isoformat().replace("+00:00", "Z") if row.time else None,
        "solar_day": stac.solar_day(row.time, stac.centroid_lon(row.shape))
        if row.time and row.shape is not None
        else None,
        "duplicate_of": None,
        "offset": 0,
        "offset_reason": "",
        "baseline": "",
        "hrefs": row.hrefs,
    }
    if row.time is None:
        row.reason = "the item has no valid datetime"
    elif fault is not None:
        row.reason = fault
    elif not row.hrefs:
        row.reason = f"none of its {len(item['assets'])} assets is a band of {sensor.name}"
    try:
        offset, row.acquisition = sensor.dn_offset(item), sensor.acquisition(item)
    except (
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
    ) as e:  # a field of another type than its extension says
        row.reason = row.reason or f"the item is malformed: {type(e).__name__}: {e}"
        return row
    row.columns |= {"offset": offset.dn, "offset_reason": offset.reason, "baseline": _dotted(row.acquisition.baseline)}
    return row


def _dotted(baseline: tuple[int, ...]) -> str:
    return ".".join(f"{part:02d}" for part in baseline)


def _band_hrefs(item: Mapping[str, Any], sensor: Sensor) -> dict[str, str]:
    found = {}
    for band in sensor.bands.values():
        hrefs = (item["assets"].get(name, {}).get("href") for name in band.assets)
        href = next((h for h in hrefs if isinstance(h, str) and h), None)
        if href is not None:
            found[band.name] = href
    return found


def _drop_outdated(rows: Sequence[_Row]) -> None:
    """Of several usable items with one id, the newest first, that one is kept; the others say so."""
    newest: dict[tuple[str, str], _Row] = {}
    for row in rows:
        if row.reason is None:
            winner = newest.setdefault(stac.identity(row.item), row)
            if row is not winner:
                row.reason = _outdated(stac.updated(row.item), stac.updated(winner.item), row.id)
                row.columns["duplicate_of"] = winner.id


def _outdated(time: dt.datetime | None, newest: dt.datetime | None, name: str) -> str:
    if time == newest:
        return f"the catalog has several items {name} that differ, and does not say which is newer: another one is used"
    had = f"updated {time.isoformat()}" if time else "without a date of update"
    now = newest.isoformat() if newest else ""
    return f"the catalog has several items {name}: the one updated {now} replaces this one, {had}".replace(
        "+00:00", "Z"
    )


def _drop_duplicates(rows: Sequence[_Row]) -> None:
    """Of several processings of one acquisition the newest is kept; the others name it."""
    same = defaultdict(list)
    for row in rows:
        if row.reason is None and row.acquisition is not None:
            same[row.acquisition.key].append((_rank(row, row.acquisition), row))
    for group in same.values():
        _, winner = max(group, key=lambda pair: pair[0])
        for _, row in group:
            if row is winner:
                continue
            row.columns["duplicate_of"] = winner.id
            if edition := _older_edition(row, winner):
                row.reason = f"same ground as {winner.id}: {edition}"
                continue
            ours, theirs = row.columns["baseline"] or "unknown", winner.columns["baseline"] or "unknown"
            why = f"baseline {theirs} replaces {ours}" if ours != theirs else "processed later, or later by its id"
            row.reason = f"same acquisition as {winner.id}: {why}"


def _older_edition(row: _Row, winner: _Row) -> str:
    """Of a map that was made anew, which edition replaces which, or ""."""
    ours, theirs = (a.edition if (a := r.acquisition) else "" for r in (row, winner))
    return f"the edition of {theirs[:10]} replaces that of {ours[:10]}" if ours != theirs else ""


def _rank(row: _Row, acquisition: Acquisition) -> tuple[Any, ...]:
    processed, edition = stac.parse_time(acquisition.processed), stac.parse_time(acquisition.edition)
    return (
        edition.timestamp() if edition else -math.inf,
        acquisition.baseline,
        processed.timestamp() if processed else -math.inf,
        row.id,
        str(row.item.get("collection")),
    )


def scenes_of(table: gpd.GeoDataFrame, bands: Sequence[str]) -> list[Scene]:
    """The kept scenes of a table, in its order, with the addresses of the given bands."""
    kept = table[table["kept"].astype(bool)]
    footprints = shapely.to_wkb(kept.geometry.to_numpy())
    return [
        Scene(
            item_id=str(row["id"]),
            collection=str(row["collection"] or ""),
            sensor=str(row["sensor"]),
            time=str(row["time"]),
            solar_day=str(row["solar_day"]),
            hrefs=tuple((band, str(row["hrefs"][band])) for band in bands if row["hrefs"].get(band)),
            dn_offset=int(row["offset"]),
            baseline=str(row["baseline"]),
            footprint=bytes(footprint),
            headers=tuple((band, said) for band in bands if (said := _header(row, row["hrefs"].get(band)))),
            orbit=_orbit(row.get("sat:orbit_state")),
        )
        for (_, row), footprint in zip(kept.iterrows(), footprints, strict=True)
    ]


def _orbit(said: object) -> str:
    """A direction of the STAC extension ``sat``; anything else is none."""
    direction = said.strip().lower() if isinstance(said, str) else ""
    return direction if direction in ("ascending", "descending") else ""


def _header(row: Any, href: str | None) -> Header | None:
    """What an item says of the header of the asset with an address."""
    asset = next((a for a in row["assets"].values() if href and a.get("href") == href), None)
    return stac.header(asset, row) if asset else None
