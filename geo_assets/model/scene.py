"""A scene: our row for one STAC item."""

import datetime as dt
from dataclasses import dataclass

import shapely


@dataclass(frozen=True)
class SceneQuery:
    """What a catalog is asked for.

    Attributes:
        collections: Collection ids.
        area: Polygons in EPSG:4326, split at the antimeridian.
        start: First day, UTC.
        end: Last day, UTC, inclusive.
    """

    collections: tuple[str, ...]
    area: shapely.Geometry
    start: dt.date
    end: dt.date


@dataclass(frozen=True)
class Header:
    """What an item says of an asset's header (the STAC extension ``projection``); empty is what it leaves out.

    Attributes:
        crs: Such as ``EPSG:32633``.
        transform: a, b, c, d, e, f of column and row to x and y, as STAC writes them.
        shape: Rows and columns.
    """

    crs: str = ""
    transform: tuple[float, ...] = ()
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Said:
    """What an item says of where an asset lies.

    Attributes:
        footprint: Valid area in EPSG:4326 as WKB.
        header: Of the asset, if the item says anything of it.
    """

    footprint: bytes
    header: Header | None = None


@dataclass(frozen=True)
class Scene:
    """What a task needs to know of a scene; small, picklable, without a credential.

    Attributes:
        item_id: Id of the STAC item.
        collection: Its collection.
        sensor: Name of the sensor plugin.
        time: Acquisition, UTC, ISO 8601.
        solar_day: Day of the mean solar time at the footprint's centroid, ``2024-02-29``.
        hrefs: Asset by band name, without signature.
        dn_offset: Added to every observed DN (see ``OffsetDecision``).
        baseline: Processing baseline as the item writes it, or ``""``.
        footprint: Valid area in EPSG:4326 as WKB.
        headers: What the item says of its assets' headers, by band name.
        orbit: ascending or descending, or "" where that means nothing.
    """

    item_id: str
    collection: str
    sensor: str
    time: str
    solar_day: str
    hrefs: tuple[tuple[str, str], ...]
    dn_offset: int
    baseline: str
    footprint: bytes
    headers: tuple[tuple[str, Header], ...] = ()
    orbit: str = ""

    def href(self, band: str) -> str | None:
        """Asset of a band, or None where the item has none."""
        return dict(self.hrefs).get(band)

    def said(self, band: str) -> Said:
        """What the item says of where the asset of a band lies."""
        return Said(self.footprint, dict(self.headers).get(band))

    @property
    def identity(self) -> tuple[object, ...]:
        """What must be equal for two rows to give the same pixels; part of the scene hash."""
        return (self.collection, self.item_id, self.time, self.solar_day, self.hrefs, self.dn_offset, self.baseline)
