"""Reads what every STAC item says of itself: time, footprint, identity; whatever the catalog, however badly written."""

import datetime as dt
import json
import math
import numbers
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
import shapely.geometry

from geo_assets.errors import ConfigError
from geo_assets.model.lonlat import mended, split_antimeridian
from geo_assets.model.scene import Header, SceneQuery

_SIGNATURE = re.compile(
    r"x-(amz|goog|oss)-.*|awsaccesskeyid|googleaccessid|signature|expires|policy|key-pair-id|sig"
    r"|(access_?)?token|api[_-]?key|subscription[_-]key"
)
# Azure's shared access signatures ("Create a service SAS", Microsoft Learn); too short to be taken for one without a `sig`
_SAS = re.compile(r"s[vterpis]|sip|spr|srt|skoid|sktid|sk[test]|skv|saoid|suoid|scid|ses|rsc[cdelt]")

_AZURE = "abfs"


def unsigned(href: str) -> str:
    """An asset's address without signature, token, user and password; a query that belongs to the address stays."""
    parts = urllib.parse.urlsplit(href)
    user, _, host = parts.netloc.rpartition("@")
    # Azure's addresses name the container where others have a user
    netloc = parts.netloc if parts.scheme.lower() == _AZURE and ":" not in user else host
    query = parts.query
    if query:
        pairs = [(pair.split("=", 1)[0].lower(), pair) for pair in query.split("&") if pair]
        azure = any(name == "sig" for name, _ in pairs)
        query = "&".join(p for name, p in pairs if not (_SIGNATURE.fullmatch(name) or (azure and _SAS.fullmatch(name))))
    if netloc == parts.netloc and query == parts.query:
        return href
    return urllib.parse.urlunsplit(parts._replace(netloc=netloc, query=query))


def parse_time(text: Any) -> dt.datetime | None:
    """A STAC timestamp as an aware UTC datetime; None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        time = dt.datetime.fromisoformat(text)
        return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def item_time(item: Mapping[str, Any]) -> dt.datetime | None:
    """Acquisition of an item, UTC: its ``datetime``, or its ``start_datetime`` where that is null."""
    p = item["properties"]
    return parse_time(p.get("datetime")) or parse_time(p.get("start_datetime"))


def item_days(item: Mapping[str, Any]) -> tuple[dt.date, dt.date] | None:
    """First and last UTC day of an item."""
    p = item["properties"]
    first, last = parse_time(p.get("start_datetime")), parse_time(p.get("end_datetime"))
    if first and last:
        return first.date(), last.date()
    time = item_time(item)
    return (time.date(), time.date()) if time else None


def meets(query: SceneQuery, days: tuple[dt.date, dt.date] | None, shape: shapely.Geometry | None) -> bool:
    """Whether an item of these days and this footprint is asked for; one without either is, and the scene table says why not."""
    if days is not None and (days[1] < query.start or days[0] > query.end):
        return False
    return shape is None or bool(shapely.intersects(query.area, shape))


def footprint(item: Mapping[str, Any]) -> shapely.Geometry | None:
    """Polygons of an item in EPSG:4326, split at the antimeridian; None if it has none that can be used.

    Its ``geometry``, repaired where it is invalid; its ``bbox`` where it has no geometry.
    """
    return outline(item)[0]


def outline(item: Mapping[str, Any]) -> tuple[shapely.Geometry | None, str | None]:
    """The ``footprint`` of an item, or None and why there is none.

    A geometry that crosses itself so often that its repair would take minutes is not used, and neither is the item's box
    in its place: one broken item fails no search, and the scene table lists it with this reason.
    """
    shape = _shape(item.get("geometry"))
    if shape is None:
        shape = _box(item.get("bbox"))
    if shape is None:
        return None, "the item has no footprint: neither geometry nor bbox is a polygon on the globe"
    west, _, east, _ = shape.bounds
    try:
        # A wider one may cross the antimeridian, and is repaired once it is split
        if east - west <= 180 and not shape.is_valid:
            shape = _polygons(mended(shape))
        split = split_antimeridian(shape)
        shape = _polygons(split if split.is_valid else mended(split))
    except ConfigError as e:
        return None, f"the item's footprint cannot be used: {e}"
    return (None, "the item's footprint has no area") if shape.is_empty else (shape, None)


def _polygons(shape: shapely.Geometry) -> shapely.Geometry:
    """The parts that have an area, as one polygon or several."""
    parts = [p for p in shapely.get_parts(shape) if p.geom_type in ("Polygon", "MultiPolygon") and p.area > 0]
    return parts[0] if len(parts) == 1 else shapely.union_all(parts)


def _shape(geometry: Any) -> shapely.Geometry | None:
    if not isinstance(geometry, Mapping):
        return None
    try:
        shape = shapely.force_2d(shapely.geometry.shape(geometry))
    except (shapely.errors.ShapelyError, TypeError, ValueError, KeyError, AttributeError, IndexError):
        return None
    if shape.geom_type not in ("Polygon", "MultiPolygon") or shape.is_empty:
        return None
    coordinates = shapely.get_coordinates(shape)
    inside = (
        np.isfinite(coordinates).all()
        and np.abs(coordinates[:, 0]).max() <= 360
        and np.abs(coordinates[:, 1]).max() <= 90
    )
    return shape if inside else None


def _box(bbox: Any) -> shapely.Geometry | None:
    if (
        not isinstance(bbox, list)
        or len(bbox) not in (4, 6)
        or not all(isinstance(v, int | float) and math.isfinite(v) for v in bbox)
    ):
        return None
    half = len(bbox) // 2
    west, south, east, north = bbox[0], bbox[1], bbox[half], bbox[half + 1]
    if west > east:  # RFC 7946, 5.2: such a box crosses the antimeridian
        east += 360
    return (
        shapely.box(west, south, east, north)
        if east > west and north > south and south >= -90 and north <= 90
        else None
    )


def centroid_lon(shape: shapely.Geometry) -> float:
    """Longitude of the centroid of polygons that are split at the antimeridian, -180 to 180."""
    west, _, east, _ = shape.bounds
    if east - west > 180:
        shape = shapely.transform(shape, _unwrap)
    return (float(shape.centroid.x) + 180) % 360 - 180


def _unwrap(xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.column_stack([np.where(xy[:, 0] < 0, xy[:, 0] + 360, xy[:, 0]), xy[:, 1]])


def solar_day(time: dt.datetime, lon: float) -> str:
    """Day of the mean solar time at a longitude, ``2024-02-29``; at an end of the calendar the day in UTC."""
    try:
        return (time + dt.timedelta(hours=lon / 15)).date().isoformat()
    except OverflowError:
        return time.date().isoformat()


def distinct(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items without those that a catalog sent twice, by collection and id, whatever the order of arrival.

    Items that share collection and id but not their content all stay, the one updated last first: ``decide`` keeps that one
    and lists the others.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for item in items:
        groups.setdefault(identity(item), []).append(item)
    found = []
    for key in sorted(groups):
        group = groups[key]
        # What tells them apart is costly to find out, and hardly ever asked for
        found += group if len(group) == 1 else _newest_first({_content(item): item for item in group})
    return found


def identity(item: Mapping[str, Any]) -> tuple[str, str]:
    """Collection and id, which only one item of a catalog should have."""
    return str(item.get("collection") or ""), str(item["id"])


def updated(item: Mapping[str, Any]) -> dt.datetime | None:
    """When an item was last changed, as far as it says so."""
    p = item["properties"]
    return parse_time(p.get("updated")) or parse_time(p.get("created"))


def _newest_first(by_content: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    never = dt.datetime.min.replace(tzinfo=dt.UTC)
    order = sorted(by_content, key=lambda text: (updated(by_content[text]) or never, text), reverse=True)
    return [by_content[text] for text in order]


def _content(item: Mapping[str, Any]) -> str:
    """What an item says, without its links and signatures, which may differ from page to page."""
    return json.dumps(unsign({k: v for k, v in item.items() if k != "links"}), sort_keys=True, default=str)


def unsign(value: Any) -> Any:
    """Part of an item whose addresses carry no signature or token."""
    if isinstance(value, dict):
        # Planetary Computer and adlfs put the token of a container into such options
        kept = {k: v for k, v in value.items() if not str(k).endswith(("storage_options", "open_kwargs", "credential"))}
        return {k: unsigned(v) if k == "href" and isinstance(v, str) else unsign(v) for k, v in kept.items()}
    return [unsign(v) for v in value] if isinstance(value, list) else value


def header(asset: Mapping[str, Any], properties: Mapping[str, Any]) -> Header | None:
    """What an item says of an asset's header, if anything: the extension ``projection``, version 1 or 2.

    Args:
        asset: The asset.
        properties: Of the item; what stands there counts for assets that do not say it themselves.
    """
    crs = _crs_code(asset) or _crs_code(properties)
    own = _numbers(asset, "proj:transform", (6, 9)), _numbers(asset, "proj:shape", (2,))
    whole = _numbers(properties, "proj:transform", (6, 9)), _numbers(properties, "proj:shape", (2,))
    transform, shape = own if any(own) else whole
    found = Header(crs, transform[:6], tuple(int(n) for n in shape))
    return found if found != Header() else None


def _crs_code(said: Mapping[str, Any]) -> str:
    code, epsg = said.get("proj:code"), said.get("proj:epsg")
    if isinstance(code, str):
        return code.upper()
    return f"EPSG:{int(float(epsg))}" if isinstance(epsg, numbers.Real) and math.isfinite(epsg) else ""


def _numbers(said: Mapping[str, Any], name: str, lengths: tuple[int, ...]) -> tuple[float, ...]:
    """A list of numbers, or nothing where it is anything else."""
    values = said.get(name)
    if not isinstance(values, list | tuple) or len(values) not in lengths:
        return ()
    fits = all(isinstance(v, numbers.Real) and math.isfinite(v) for v in values)
    return tuple(float(v) for v in values) if fits else ()
