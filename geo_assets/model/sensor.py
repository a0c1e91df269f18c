"""A sensor: the facts about one kind of scene."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from geo_assets.model.band import Band

Item = Mapping[str, Any]


@dataclass(frozen=True)
class OffsetDecision:
    """What is added to every observed DN of a scene so that ``reflectance = DN * scale``, and why."""

    dn: int
    reason: str


@dataclass(frozen=True)
class Acquisition:
    """Identity of what was seen: two items of one acquisition are the same picture, processed twice.

    Attributes:
        key: Equal for items of the same acquisition and tile.
        baseline: Processing baseline as a sortable tuple; the newest wins.
        processed: When the item was processed, ISO 8601; breaks ties.
        edition: Of a map that is made anew from time to time, when it is of, ISO 8601; the newest wins, before its baseline.
    """

    key: str
    baseline: tuple[int, ...]
    processed: str
    edition: str = ""


@dataclass(frozen=True)
class Orbit:
    """From where a scene was seen.

    Attributes:
        direction: ascending or descending, or "" where the item does not say.
        relative: Number of the relative orbit, or None.
    """

    direction: str
    relative: int | None


def no_offset(item: Item) -> OffsetDecision:
    """The decision of sensors whose scenes need none."""
    return OffsetDecision(0, "")


def item_itself(item: Item) -> Acquisition:
    """The identity of scenes that are never delivered twice under different ids."""
    return Acquisition(str(item["id"]), (), str(item["properties"].get("updated") or ""))


@dataclass(frozen=True)
class Sensor:
    """Facts about one kind of scene; no behaviour beyond reading an item's own fields.

    Attributes:
        name: Name of the plugin, such as ``sentinel-2-l2a``.
        title: Name for people.
        collections: Collection ids by catalog kind; ``*`` holds those to try in any other catalog.
        bands: Bands by name.
        default_bands: Bands of a composite if none are asked for.
        mask_band: Band with the classes of a ``mask.kind``, by that kind.
        dn_offset: Decides a scene's DN offset from its STAC item.
        acquisition: Identity of the scene of a STAC item.
        cloud_cover_field: Item property with the cloud cover in percent, if there is one.
        mask_keep: Classes that count as clear, where that is a fact of the collection and no choice.
        mask_bits: Bits of the QA band of which none may be set in a clear pixel.
        conditions: What else its mask band tells of a pixel, such as ``snow``: the classes that mean it, or the bits of which
            one is set.
        static: Whether it shows what has no date, such as terrain: every period has the same scenes.
        orbit: Orbit of the scene of a STAC item, for sensors whose view depends on it.
        derived: Bands of analysis-ready layers that are made from another band and not read.
        heights: The band that they are made from: metres above a datum.
        geocoded: Whether its pixels lie on a map. Those that lie in the sensor's own geometry are placed by heights of the
            ground; then ``bands`` are what is made of them.
    """

    name: str
    title: str
    collections: Mapping[str, tuple[str, ...]]
    bands: Mapping[str, Band]
    default_bands: tuple[str, ...]
    dn_offset: Callable[[Item], OffsetDecision] = no_offset
    acquisition: Callable[[Item], Acquisition] = item_itself
    mask_band: Mapping[str, str] = field(default_factory=dict)
    cloud_cover_field: str | None = "eo:cloud_cover"
    mask_keep: tuple[int, ...] = ()
    mask_bits: tuple[int, ...] = ()
    conditions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    static: bool = False
    orbit: Callable[[Item], Orbit] | None = None
    derived: Mapping[str, Band] = field(default_factory=dict)
    heights: str = ""
    geocoded: bool = True

    @property
    def own_mask(self) -> str:
        """The ``mask.kind`` that fits it."""
        return next(iter(self.mask_band), "none")

    def collections_in(self, catalog: str) -> tuple[str, ...]:
        """Collection ids to ask a catalog of this kind for."""
        return tuple(self.collections.get(catalog) or self.collections.get("*", ()))
