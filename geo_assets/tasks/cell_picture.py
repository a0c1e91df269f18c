"""Pictures of partitions that are made cell by cell: small ones, and the one that they are pasted into."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.eo.picture import Picture, blank
from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox

PICTURE_PX = 512


def eight_bits(pixels: npt.NDArray[Any], band: Band) -> tuple[npt.NDArray[Any], Band]:
    """Classes as the few that pictures can tell apart, by the last 8 bits; nodata stays what it is, and so does all else.

    Args:
        pixels: Dims (y, x), stored numbers.
        band: Their facts.
    """
    if not band.categorical or band.dtype == "uint8":
        return pixels, band
    few = np.where(pixels == pixels.dtype.type(band.fill), 255, pixels % 255).astype(np.uint8)
    return few, Band(band.name, (), 0.0, dtype="uint8", nodata=255, unit="class")


@dataclass(frozen=True)
class CellFrame:
    """The pixels around some boxes, every so many of them.

    Attributes:
        left: X of the left edge, in CRS units.
        top: Y of the upper edge.
        side: Of a pixel of the picture, in CRS units.
        shape: Rows and columns of the picture.
    """

    left: Fraction
    top: Fraction
    side: Fraction
    shape: tuple[int, int]

    @classmethod
    def around(cls, boxes: Sequence[GeoBox]) -> "CellFrame":
        """The frame of some boxes of one CRS and resolution, at most ``PICTURE_PX`` long."""
        res = boxes[0].resolution
        left, top = min(b.left for b in boxes), max(b.top for b in boxes)
        height = max(top - b.top + b.shape[0] * b.resolution for b in boxes)
        width = max(b.left - left + b.shape[1] * b.resolution for b in boxes)
        side = res * max(1, ceil(max(height, width) / res / PICTURE_PX))
        return cls(left, top, side, (ceil(height / side), ceil(width / side)))

    def empty(self) -> Picture:
        """A picture in which nothing is seen."""
        return blank(*self.shape)

    def paste(self, picture: Picture, small: Picture, box: GeoBox) -> None:
        """Put a small picture of a box in its place, pixel by nearest pixel."""
        if not small.size:
            return
        where, pick = [], []
        for (first, size), number, length in zip(self._spans(box), self.shape, small.shape[:2], strict=False):
            at = _between(first, first + size, number)
            where.append(at)
            pick.append([min(int((a - first) * length // size), length - 1) for a in at])
        picture[np.ix_(*where)] = small[np.ix_(*pick)]

    def cut(self, picture: Picture, box: GeoBox) -> Picture:
        """What a picture shows of a box, dims (y, x, 3)."""
        rows, cols = (
            _between(first, first + size, number)
            for (first, size), number in zip(self._spans(box), self.shape, strict=True)
        )
        return picture[rows.start : rows.stop, cols.start : cols.stop]

    def _spans(self, box: GeoBox) -> list[tuple[Fraction, Fraction]]:
        """Where a box begins, and how long it is, down and to the right, in pixels of the picture."""
        starts = (self.top - box.top) / self.side, (box.left - self.left) / self.side
        return [(start, n * box.resolution / self.side) for start, n in zip(starts, box.shape, strict=True)]


def _between(first: Fraction, last: Fraction, number: int) -> range:
    """Pixels whose upper left corner lies in a span, of so many that there are."""
    return range(min(max(0, ceil(first)), number), min(max(0, ceil(last)), number))
