"""Which days of a year a tile is made of: Sentinel-2 days by the clouds of a wide and coarse view.

Days are weighed on their class codes at 640 m, some 90 km around the tile. Class 0 is what nobody saw: it counts as
coverage and not as cloud, since a clear day at the edge of a swath would look cloudy otherwise.
"""

import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from geo_assets.eo.tile_clouds import BAD_CLASSES, ROUNDING, Clouds, check_classes, check_shares, in_percent
from geo_assets.errors import ConfigError


@dataclass(frozen=True)
class DayRule:
    """How days are chosen.

    Attributes:
        bad_classes: Codes that count as cloudy; 0 only where ``nodata_is_bad``.
        centre_px: Side of the view's centre in pixels, whose clouds count more.
        max_share: Days with a higher share of cloudy pixels in the whole view are dropped.
        weigh_from: Up to this share it is the score itself; above, the centre is weighed in.
        centre_weight: Weight of the centre's share in the score then.
        max_score: Days with a higher score are dropped.
        month_gap: A day is dropped if one of the same month has a centre that is clearer by more than this.
        rivals: Whether such a day may be ``any`` day of the month, also a dropped one, or must be a ``usable`` one.
        per_month: Best days of a month that are kept.
        most: Days that are kept; the worst go where there are more, the best of the others come where there are fewer.
        min_centre_coverage: Days that show less of the centre are dropped, since few pixels say nothing about clouds.
        nodata_is_bad: The old way: class 0 counts as cloudy, and coverage is not asked for.
    """

    bad_classes: tuple[int, ...] = BAD_CLASSES
    centre_px: int = 30
    max_share: float = 0.50
    weigh_from: float = 0.30
    centre_weight: float = 0.75
    max_score: float = 0.40
    month_gap: float = 0.20
    rivals: Literal["any", "usable"] = "any"
    per_month: int = 2
    most: int = 24
    min_centre_coverage: float = 0.5
    nodata_is_bad: bool = False

    def __post_init__(self) -> None:
        check_classes(self.bad_classes)
        names = ("max_share", "weigh_from", "centre_weight", "max_score", "month_gap", "min_centre_coverage")
        check_shares({name: getattr(self, name) for name in names})
        for name in ("centre_px", "per_month", "most"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.rivals not in ("any", "usable"):
            raise ConfigError(f"rivals is {self.rivals!r}; it must be 'any' or 'usable'")


DAY_RULE = DayRule()


@dataclass(frozen=True)
class DayView:
    """Clouds of one solar day around a tile.

    Attributes:
        day: Solar day.
        wide: In the whole view.
        centre: In its centre.
    """

    day: dt.date
    wide: Clouds
    centre: Clouds


@dataclass(frozen=True)
class DayChoice:
    """What was decided about a day.

    Attributes:
        day: Solar day.
        kept: Whether it is chosen.
        reason: Why, in words.
        score: Lower is better; None where it was not weighed.
        share: Cloudy share of the view; None where nothing is observed.
        centre_share: Cloudy share of its centre.
        coverage: Observed share of the view.
        centre_coverage: Observed share of its centre.
    """

    day: dt.date
    kept: bool
    reason: str
    score: float | None
    share: float | None
    centre_share: float | None
    coverage: float
    centre_coverage: float


@dataclass(frozen=True)
class DayChoices:
    """What was decided about all days, each of them once, by day."""

    days: tuple[DayChoice, ...]

    @property
    def kept(self) -> tuple[DayChoice, ...]:
        """Days that are chosen."""
        return tuple(d for d in self.days if d.kept)

    @property
    def dropped(self) -> tuple[DayChoice, ...]:
        """Days that are not."""
        return tuple(d for d in self.days if not d.kept)


def view_day(day: dt.date, classes: npt.NDArray[np.uint8], rule: DayRule = DAY_RULE) -> DayView:
    """Clouds of one solar day.

    Args:
        day: The day.
        classes: Class codes around the tile at 640 m, dims (y, x), uint8, nodata 0.
        rule: Which classes are cloudy and how large the centre is.

    Raises:
        ValueError: ``classes`` are not two-dimensional uint8, or there are none.
    """
    if classes.ndim != 2:
        raise ValueError(f"classes of {day} have dims {classes.shape}; they must be (y, x)")
    half = rule.centre_px // 2
    rows, cols = (slice(max(0, n // 2 - half), max(0, n // 2 - half) + rule.centre_px) for n in classes.shape)
    return DayView(day, Clouds.of(classes, rule.bad_classes), Clouds.of(classes[rows, cols], rule.bad_classes))


def select_days(views: Sequence[DayView], rule: DayRule = DAY_RULE) -> DayChoices:
    """Choose the days of a year; the order of ``views`` does not matter.

    Of days with equal scores the one with the clearer centre is better, then the one that shows more of the view, then the
    earlier one.

    Args:
        views: The candidates, each solar day once.
        rule: How they are chosen.

    Returns:
        Every candidate with what was decided and why, by day.

    Raises:
        ConfigError: A day comes twice: scenes of a solar day are one view.
    """
    days = sorted(views, key=lambda v: v.day)
    twice = [a.day for a, b in itertools.pairwise(days) if a.day == b.day]
    if twice:
        raise ConfigError(f"solar day {twice[0]} comes twice: put the scenes of a day together before they are viewed")
    weighed = _against_rivals([_weighed(v, rule) for v in days], rule)
    return DayChoices(tuple(_among_the_best(weighed, rule)))


def _weighed(view: DayView, rule: DayRule) -> DayChoice:
    """A day by itself; ``kept`` where nothing speaks against it."""
    share = view.wide.share(nodata_is_bad=rule.nodata_is_bad)
    centre = view.centre.share(nodata_is_bad=rule.nodata_is_bad)
    choice = DayChoice(view.day, False, "", None, share, centre, view.wide.coverage, view.centre.coverage)
    if share is None or centre is None:
        return replace(choice, reason=f"nothing of its {'view' if share is None else 'centre'} is observed")
    if not rule.nodata_is_bad and choice.centre_coverage < rule.min_centre_coverage - ROUNDING:
        seen, least = in_percent(choice.centre_coverage), in_percent(rule.min_centre_coverage)
        return replace(choice, reason=f"{seen} of its centre is observed, less than {least}")
    if share > rule.max_share + ROUNDING:
        return replace(
            choice, reason=f"{in_percent(share)} of its view is cloudy, more than {in_percent(rule.max_share)}"
        )
    weight = rule.centre_weight if share > rule.weigh_from + ROUNDING else 0.0
    score = (1 - weight) * share + weight * centre
    choice = replace(choice, score=score)
    if score > rule.max_score + ROUNDING:
        both = f"{in_percent(share)} of its view and {in_percent(centre)} of its centre are cloudy"
        return replace(choice, reason=f"score {score:.3f} is over {rule.max_score:g}: {both}")
    return replace(choice, kept=True)


def _against_rivals(days: Sequence[DayChoice], rule: DayRule) -> list[DayChoice]:
    """Days without those whose month has one with a much clearer centre."""
    clearest: dict[tuple[int, int], DayChoice] = {}
    for day in days:
        # Of one with too little coverage the share says nothing
        counts = day.kept if rule.rivals == "usable" else _is_known(day, rule)
        best = clearest.get(_month(day))
        if counts and day.centre_share is not None and (best is None or day.centre_share < (best.centre_share or 0.0)):
            clearest[_month(day)] = day
    return [_against(day, clearest.get(_month(day)), rule) for day in days]


def _is_known(day: DayChoice, rule: DayRule) -> bool:
    return rule.nodata_is_bad or day.centre_coverage >= rule.min_centre_coverage - ROUNDING


def _against(day: DayChoice, rival: DayChoice | None, rule: DayRule) -> DayChoice:
    if not day.kept or rival is None or rival.centre_share is None or day.centre_share is None:
        return day
    if day.centre_share - rival.centre_share <= rule.month_gap + ROUNDING:
        return day
    ours, theirs, points = in_percent(day.centre_share), in_percent(rival.centre_share), 100 * rule.month_gap
    text = f"{ours} of its centre is cloudy, and {theirs} on {rival.day} of the same month: over {points:g} points more"
    return replace(day, kept=False, reason=text)


def _among_the_best(days: Sequence[DayChoice], rule: DayRule) -> list[DayChoice]:
    """Days of which the best of each month, and in all at most so many, are kept."""
    ranked = sorted((d for d in days if d.kept), key=_rank)
    months = defaultdict(list)
    for day in ranked:
        months[_month(day)].append(day.day)
    first = {d for best in months.values() for d in best[: rule.per_month]}
    chosen = [d.day for d in ranked if d.day in first][: rule.most]
    others = [d.day for d in ranked if d.day not in first]
    filling = set(others[: max(0, rule.most - len(chosen))])
    reasons = dict.fromkeys(others, f"its month has {rule.per_month} better days, and {rule.most} days are found")
    reasons |= dict.fromkeys(first, f"{rule.most} days are better")
    reasons |= dict.fromkeys(chosen, f"among the best {rule.per_month} of its month")
    reasons |= dict.fromkeys(
        filling, f"its month has {rule.per_month} better days, but fewer than {rule.most} were found"
    )
    return [replace(d, kept=d.day in filling or d.day in chosen, reason=reasons[d.day]) if d.kept else d for d in days]


def _rank(day: DayChoice) -> tuple[float, float, float, dt.date]:
    assert day.score is not None
    assert day.centre_share is not None
    return round(day.score, 9), round(day.centre_share, 9), -round(day.coverage, 9), day.day


def _month(day: DayChoice) -> tuple[int, int]:
    return day.day.year, day.day.month
