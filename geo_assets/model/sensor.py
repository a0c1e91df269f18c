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
    """

    key: str
    baseline: tuple[int, ...]
    processed: str


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
    """

    name: str
    title: str
    collections: Mapping[str, tuple[str, ...]]
    bands: Mapping[str, Band]
    default_bands: tuple[str, ...]
    dn_offset: Callable[[Item], OffsetDecision]
    acquisition: Callable[[Item], Acquisition]
    mask_band: Mapping[str, str] = field(default_factory=dict)
    cloud_cover_field: str | None = "eo:cloud_cover"

    def collections_in(self, catalog: str) -> tuple[str, ...]:
        """Collection ids to ask a catalog of this kind for."""
        return tuple(self.collections.get(catalog) or self.collections.get("*", ()))
