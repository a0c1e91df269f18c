"""Chips: windows of 256 pixels, each of some dates and assets."""

from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

from geo_assets.model.geometry import GeoBox

SIZE = 256


@dataclass(frozen=True)
class Chips:
    """A square of chips on the scenes' own pixels.

    Attributes:
        name: For tables.
        side: Chips a side.
        dates: How many scenes, of a day each.
        bands: Which assets.
    """

    name: str = "chips"
    side: int = 6
    dates: int = 3
    bands: tuple[str, ...] = ("red", "green", "blue", "scl")

    @property
    def boxes(self) -> list[GeoBox]:
        """The chips, row by row from the north."""
        left, top = 160 * SIZE * 10, 2043 * SIZE * 10  # on the grid of such chips, within the scenes
        boxes = [
            (top - row * SIZE * 10, left + col * SIZE * 10) for row in range(self.side) for col in range(self.side)
        ]
        return [GeoBox("EPSG:32632", Fraction(10), Fraction(x), Fraction(y), (SIZE, SIZE)) for y, x in boxes]

    @property
    def count(self) -> int:
        """Chips of all places, dates and assets."""
        return self.side**2 * self.dates * len(self.bands)

    def only_part(self) -> "Chips":
        """One place, to warm up."""
        return replace(self, side=1)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, document: dict[str, Any]) -> "Chips":
        return cls(**{**document, "bands": tuple(document["bands"])})
