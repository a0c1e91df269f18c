"""Temporal merge: gaps of a chip filled from other days, with the age and the source of every pixel."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.errors import ConfigError

NO_AGE = -32768  # of a pixel that no day fills
NO_SOURCE = -1

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Ages = npt.NDArray[np.int16]


@dataclass(frozen=True)
class ChipDay:
    """One chip on one solar day.

    Attributes:
        day: The solar day.
        values: Of each band, dims (y, x).
        clear: Where it is observed in every band and clear, dims (y, x), bool.
        source: Of a clear pixel its place in ``scenes``, dims (y, x), int16.
        scenes: Ids.
    """

    day: dt.date
    values: tuple[Pixels, ...]
    clear: Mask
    source: npt.NDArray[np.int16]
    scenes: tuple[str, ...]


@dataclass(frozen=True)
class Merge:
    """A chip whose gaps are filled.

    Attributes:
        values: Of each band, dims (y, x); the band's nodata where no day fills.
        age: Days between the chip's own day and that of a pixel, dims (y, x), int16: 0 its own, negative later ones,
            ``NO_AGE`` where no day fills.
        source: Place of the pixel's scene in ``scenes``, dims (y, x), int16; ``NO_SOURCE`` where no day fills.
        scenes: Ids of the scenes that are in it, in the order of the days that were looked at.
        clear_fraction: Share of pixels that are clear on its own day.
        fill_fraction: Share of pixels that came from another day.
        max_age_days: The largest distance of a pixel's day, before or after; None where there is no pixel.
    """

    values: tuple[Pixels, ...]
    age: Ages
    source: npt.NDArray[np.int16]
    scenes: tuple[str, ...]
    clear_fraction: float
    fill_fraction: float
    max_age_days: int | None


def mosaic(day: dt.date, parts: Sequence[tuple[str, Sequence[Pixels], Mask]], nodata: Sequence[float]) -> ChipDay:
    """The scenes of one day as one: per pixel the first that is clear, all bands from the same.

    Args:
        day: The solar day.
        parts: Of each scene its id, the values of each band and where it is clear, dims (y, x); in the order in which they count.
        nodata: Of each band.

    Raises:
        ConfigError: There is no scene.
    """
    if not parts:
        raise ConfigError(f"{day}: no scene to make a chip of")
    shape = parts[0][2].shape
    made = [np.full(shape, empty, band.dtype) for empty, band in zip(nodata, parts[0][1], strict=True)]
    source = np.full(shape, NO_SOURCE, np.int16)
    for place, (_, values, clear) in enumerate(parts):
        new = clear & (source == NO_SOURCE)
        for target, band in zip(made, values, strict=True):
            target[new] = band[new]
        source[new] = place
    return ChipDay(day, tuple(made), source != NO_SOURCE, source, tuple(name for name, *_ in parts))


def in_reach(day: dt.date, others: Sequence[ChipDay], *, lookback_days: int, fill_after: bool) -> list[ChipDay]:
    """Days that a day may be filled from, in the order in which they count: earlier ones from the nearest on, then later ones.

    Args:
        day: That is filled.
        others: Other days, in any order; its own is left out.
        lookback_days: The largest distance, before and after.
        fill_after: Whether later days count.
    """
    earlier = [o for o in others if 0 < (day - o.day).days <= lookback_days]
    later = [o for o in others if 0 < (o.day - day).days <= lookback_days] if fill_after else []
    return [*sorted(earlier, key=lambda o: o.day, reverse=True), *sorted(later, key=lambda o: o.day)]


def merge_pixels(
    own: ChipDay, others: Sequence[ChipDay], nodata: Sequence[float], *, lookback_days: int, fill_after: bool = False
) -> Merge:
    """Fill each pixel that is not clear from the first day that counts on which it is.

    Args:
        own: The day that is filled.
        others: Other days of the same chip, in any order.
        nodata: Of each band.
        lookback_days: How far another day may lie.
        fill_after: Whether later days fill what earlier ones do not.
    """
    days = [own, *in_reach(own.day, others, lookback_days=lookback_days, fill_after=fill_after)]
    return _merged(own, days, nodata)


def merge_chips(
    own: ChipDay, others: Sequence[ChipDay], nodata: Sequence[float], *, lookback_days: int, fill_after: bool = False, least: float = 1.0
) -> Merge:  # fmt: skip
    """Take the whole chip of the first day that counts on which enough is clear; its own where there is none.

    Args:
        own: The day that is filled.
        others: Other days of the same chip, in any order.
        nodata: Of each band.
        lookback_days: How far another day may lie.
        fill_after: Whether later days count, after earlier ones.
        least: Share of pixels that is enough.
    """
    days = [own, *in_reach(own.day, others, lookback_days=lookback_days, fill_after=fill_after)]
    whole = next((d for d in days if d.clear.mean() >= least), own)
    return _merged(own, [whole], nodata)


def _merged(own: ChipDay, days: Sequence[ChipDay], nodata: Sequence[float]) -> Merge:
    """Per pixel the first day on which it is clear."""
    shape = own.clear.shape
    values = [np.full(shape, empty, band.dtype) for empty, band in zip(nodata, own.values, strict=True)]
    age, source = np.full(shape, NO_AGE, np.int16), np.full(shape, NO_SOURCE, np.int16)
    scenes: list[str] = []
    left = np.ones(shape, bool)
    for one in days:
        new = left & one.clear
        if not new.any():
            continue
        for target, band in zip(values, one.values, strict=True):
            target[new] = band[new]
        age[new] = (own.day - one.day).days
        used = np.unique(one.source[new])
        places = np.full(len(one.scenes), NO_SOURCE, np.int16)
        for place in used:
            places[place] = len(scenes)
            scenes.append(one.scenes[place])
        source[new] = places[one.source[new]]
        left &= ~new
        if not left.any():
            break
    filled = (age != 0) & (age != NO_AGE)
    known = age[age != NO_AGE]
    return Merge(
        tuple(values), age, source, tuple(scenes), float(own.clear.mean()), float(filled.mean()), int(np.abs(known).max()) if known.size else None
    )  # fmt: skip
