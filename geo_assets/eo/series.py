"""A year as 24 even steps, whatever days were clear, and as 12 smooth months.

Importing this takes a third of a second (numba): import it where pixels are worked on, not at the top of a module. The
functions hold no interpreter lock and use one thread each; ``rows`` lets several threads share arrays.
"""

import calendar
import functools
from collections.abc import Iterable
from datetime import date

import numpy as np
import numpy.typing as npt

from geo_assets.eo import _series
from geo_assets.eo._checks import Array, Rows, as_nodata, same, target
from geo_assets.errors import ConfigError

STEPS = 24
MONTHS = 12
WINDOW_DAYS = 100.0
SMOOTHING = 100.0

Floats = npt.NDArray[np.float64]
Series = npt.NDArray[np.float32]
Days = npt.NDArray[np.int64]


def days_of_year(days: Iterable[date], year: int) -> Days:
    """Days counted from a year's first, which is 1: 2024-03-01 is 61, 2024-12-31 is 366.

    Args:
        days: Solar days.
        year: The year that is counted in; days of the years beside it are below 1 or beyond its last.

    Returns:
        Dims (time), int64, unit day.
    """
    before = date(year, 1, 1).toordinal() - 1
    return np.array([day.toordinal() - before for day in days], np.int64)


def step_days(year: int) -> Floats:
    """Middles of the 24 equal parts of a year, as ``days_of_year`` counts.

    Two parts are a twelfth of the year, whose ends lie at most two days from those of the calendar month.

    Returns:
        Dims (step), float64, unit day; 15.2 days apart, in leap years 15.25.
    """
    length = 366 if calendar.isleap(year) else 365
    return np.asarray(0.5 + (np.arange(STEPS) + 0.5) * (length / STEPS), np.float64)


def composites(
    stack: Array,
    clear: npt.NDArray[np.bool_],
    days: npt.ArrayLike,
    steps: npt.ArrayLike,
    *,
    window_days: float = WINDOW_DAYS,
    nodata: float = np.nan,
    out: Series | None = None,
    rows: Rows | None = None,
) -> Series:
    """Per pixel and step the mean of the clear observations that are nearest in time, the nearer the more they count.

    An observation is a day on which the pixel is clear and its number in the band is finite and not nodata. For a step these
    count: the last two before it and the first two on or after it, of both only those at most ``window_days`` from it. The
    weight of each is 1 / max(1, days between it and the step), divided by the sum of these weights. Nothing else fills a gap: a
    step without an observation within ``window_days`` is NaN.

    So the tree-cover pipeline of the World Resources Institute fills its steps (github.com/wri/sentinel-tree-cover,
    ``calculate_and_save_best_images``), but it does so by image, counts a day within five of a step twice, lets the nearest day
    count however far it is, and lets a December stand for its own year's January. Days of the neighbouring years may be given
    here. Its steps are ``range(0, 360, 15)``.

    Args:
        stack: Numbers, dims (time, band, y, x), one of ``reduce.DTYPES``.
        clear: Which pixels are clear, dims (time, y, x).
        days: Day of each layer as ``days_of_year`` counts, dims (time); all different, in any order.
        steps: Days to make, dims (step), rising; ``step_days`` gives those of a year.
        window_days: Greatest distance of an observation from a step in days.
        nodata: Number that means "not observed".
        out: Where to put the result, dims (step, band, y, x), float32.
        rows: First row and end of the rows to make, for which ``out`` is needed; the others are left alone.

    Returns:
        ``out`` or a new array, dims (step, band, y, x), float32, unit of the stack, nodata NaN.

    Raises:
        ConfigError: Unknown dtype or nodata, two layers of one day, steps that do not rise, or a window that is no length.
    """
    empty = as_nodata(stack, nodata)
    times, count, height, width = _four("stack", stack)
    same("clear", clear, (times, height, width), np.dtype(bool))
    when, wanted = np.asarray(days, np.float64), np.asarray(steps, np.float64)
    if when.shape != (times,) or not np.isfinite(when).all():
        raise ValueError(f"{when.shape} days of {times} layers; each layer needs one")
    order = np.argsort(when, kind="stable")
    if (np.diff(when[order]) == 0).any():
        raise ConfigError("two layers of one day: merge the scenes of a day first")
    if wanted.ndim != 1 or not np.isfinite(wanted).all() or (np.diff(wanted) <= 0).any():
        raise ConfigError("the steps must be days that rise")
    if not 0 <= window_days < np.inf:
        raise ConfigError(f"a window of {window_days} days; it must be 0 or more")
    out, first, end = target((len(wanted), count, height, width), np.dtype(np.float32), out, rows)
    if out.size:
        stack, clear = np.ascontiguousarray(stack), np.ascontiguousarray(clear)
        _series.composites(stack, clear, order, when[order], wanted, float(window_days), empty, out, first, end)
    return out


@functools.lru_cache(maxsize=8)
def smoothing_matrix(smoothing: float = SMOOTHING) -> Floats:
    """What each of 24 steps has to do with each of 12 months: the mean of a month's two rows of the smoother's inverse.

    The smoother of E. T. Whittaker (1923, "On a new method of graduation", Proceedings of the Edinburgh Mathematical Society 41)
    with second differences, as P. H. C. Eilers (2003, "A perfect smoother", Analytical Chemistry 75) writes it: the series z that
    makes sum (y - z)^2 + smoothing * sum (second differences of z)^2 least, z = (I + smoothing D'D)^-1 y.

    Args:
        smoothing: Lambda, 0.001 to 1000000; the greater, the nearer to a straight line. Beyond, short series lose their digits.

    Returns:
        Dims (month, step), float64, rows that add up to 1; it cannot be written to.

    Raises:
        ConfigError: ``smoothing`` is no such number.
    """
    if not 1e-3 <= smoothing <= 1e6:
        raise ConfigError(f"smoothing is {smoothing}; it must lie between 0.001 and 1000000")
    differences = np.diff(np.eye(STEPS), n=2, axis=0)
    inverse = np.linalg.inv(np.eye(STEPS) + smoothing * differences.T @ differences)
    table: Floats = inverse.reshape(MONTHS, STEPS // MONTHS, STEPS).mean(axis=1)
    table.setflags(write=False)
    return table


def monthly(
    steps: Series, *, smoothing: float = SMOOTHING, out: Series | None = None, rows: Rows | None = None
) -> Series:
    """Whittaker-smoothed months of a year's steps.

    A series with gaps is smoothed with weight 1 where it is observed and 0 elsewhere, z = (W + smoothing D'D)^-1 W y: gaps inside
    are bridged, and before the first and after the last observed step the curve goes on as a straight line. That line is a guess
    the further it reaches: it need not stay in the range of what was observed. With one step observed every month is that number,
    and with none NaN.

    Args:
        steps: Dims (step, band, y, x), 24 even steps, float32, nodata NaN; an infinite number is a gap as well.
        smoothing: Lambda of ``smoothing_matrix``.
        out: Where to put the result, dims (month, band, y, x), float32.
        rows: First row and end of the rows to make, for which ``out`` is needed; the others are left alone.

    Returns:
        ``out`` or a new array, dims (month, band, y, x), float32, unit of the steps, NaN where no step is observed.

    Raises:
        ConfigError: ``smoothing`` is out of range.
    """
    _, count, height, width = _four("steps", steps)
    same("steps", steps, (STEPS, count, height, width), np.dtype(np.float32))
    table = smoothing_matrix(smoothing).astype(np.float32)
    out, first, end = target((MONTHS, count, height, width), np.dtype(np.float32), out, rows)
    if out.size:
        _series.months(np.ascontiguousarray(steps), table, float(smoothing), out, first, end)
    return out


def _four(name: str, array: Array) -> tuple[int, int, int, int]:
    if array.ndim != 4:
        raise ValueError(f"{name} with dims (time, band, y, x), not {array.shape}")
    times, count, height, width = array.shape
    return times, count, height, width
