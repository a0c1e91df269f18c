"""How long a tile and its pixels go without a clear view."""

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.eo.tile_clouds import BAD_CLASSES, NODATA_CLASS
from geo_assets.eo.tile_steps import Steps, stacked

LONG_DAYS = (30, 60, 90)


@dataclass(frozen=True)
class Gap:
    """Days in a row without a clear view.

    Attributes:
        first: The first of them.
        last: The last of them, inclusive.
        days: How many they are; 0 where every day has a view, and then ``last`` lies before ``first``.
    """

    first: dt.date
    last: dt.date
    days: int


@dataclass(frozen=True)
class Gaps:
    """What is not seen in a year.

    Attributes:
        longest: Longest run of days without any step.
        median_days: Median over the pixels of their longest run without a clear view.
        over: Share of pixels whose longest run has more than so many days, by that number.
        never: Share of pixels without any clear view.
        median_views: Median over the pixels of their number of clear views.
    """

    longest: Gap
    median_days: float
    over: tuple[tuple[int, float], ...]
    never: float
    median_views: float


def longest_gap(days: Sequence[dt.date], year: int) -> Gap:
    """Longest run of days of a year that are none of ``days``; the first one where several are as long.

    Raises:
        ValueError: A day is of another year.
    """
    ordered = [_new_year(year) - _DAY, *_in_order(days, year), _new_year(year + 1)]
    gaps = [Gap(a + _DAY, b - _DAY, (b - a).days - 1) for a, b in itertools.pairwise(ordered)]
    return max(gaps, key=lambda g: g.days)


def pixel_gaps(
    clear: npt.NDArray[np.bool_], days: Sequence[dt.date], year: int
) -> npt.NDArray[np.int16]:  # fmt: skip
    """Longest run of days of a year without a clear view, by pixel.

    Args:
        clear: Whether a pixel is seen clearly, dims (time, y, x).
        days: Solar day of each step, each once, in order.
        year: The year.

    Returns:
        Days, dims (y, x), int16: 365 or 366 where there is no clear view.

    Raises:
        ValueError: There are more or fewer days than steps, they are not in order, or one is of another year.
    """
    if clear.ndim != 3 or clear.dtype != np.bool_ or len(clear) != len(days) or list(days) != _in_order(days, year):
        raise ValueError(
            f"{clear.dtype} {clear.shape} for {len(days)} days: it must be bool (time, y, x) with a day a step, in order"
        )
    seen = np.zeros(clear.shape[1:], np.int16)  # last day of the year with a clear view
    longest = np.zeros_like(seen)
    for layer, day in zip(clear, days, strict=True):
        number = np.int16((day - _new_year(year)).days + 1)
        np.maximum(longest, number - seen - 1, out=longest, where=layer)
        seen[layer] = number
    total = np.int16((_new_year(year + 1) - _new_year(year)).days)
    runs: npt.NDArray[np.int16] = np.maximum(longest, total - seen)
    return runs


def gaps(
    clear: npt.NDArray[np.bool_], days: Sequence[dt.date], year: int, over: Sequence[int] = LONG_DAYS
) -> Gaps:  # fmt: skip
    """What a tile and its pixels do not show.

    Args:
        clear: Whether a pixel is seen clearly, dims (time, y, x); see ``clear_steps``.
        days: Solar day of each step, each once, in order.
        year: The year.
        over: Numbers of days of which the share of pixels is told.

    Raises:
        ValueError: There are no pixels, or they do not fit the days.
    """
    runs = pixel_gaps(clear, days, year)
    if not runs.size:
        raise ValueError("a tile without pixels has no gaps")
    views = clear.sum(axis=0)
    shares = tuple((n, float((runs > n).mean())) for n in over)
    return Gaps(longest_gap(days, year), float(np.median(runs)), shares, float((views == 0).mean()), float(np.median(views)))  # fmt: skip


def clear_steps(
    steps: Steps, classes: Mapping[dt.date, npt.NDArray[np.uint8]], bad_classes: Sequence[int] = BAD_CLASSES
) -> npt.NDArray[np.bool_]:
    """Whether each step shows a pixel clearly.

    Args:
        steps: The steps, at least one.
        classes: Class codes by solar day, dims (y, x), uint8, nodata 0.
        bad_classes: Codes that are not clear; 0 never is.

    Returns:
        Dims (time, y, x).

    Raises:
        ConfigError: There is no step.
        SourceError: A step has no class codes.
    """
    table = np.ones(256, bool)
    table[[NODATA_CLASS, *bad_classes]] = False
    codes: npt.NDArray[Any] = stacked(steps, classes)
    clear: npt.NDArray[np.bool_] = table[codes]
    return clear


_DAY = dt.timedelta(days=1)


def _new_year(year: int) -> dt.date:
    return dt.date(year, 1, 1)


def _in_order(days: Sequence[dt.date], year: int) -> list[dt.date]:
    other = [d for d in days if d.year != year]
    if other:
        raise ValueError(f"{other[0]} is no day of {year}")
    return sorted(set(days))
