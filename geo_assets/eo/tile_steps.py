"""Which items the chosen days of a tile are made of, and which of these days are clear on the tile itself.

Pixels and class codes are grouped by solar day, and a day may have several items, or an item of the next day: everything is
looked up by its solar day and never by the place of an item in a list.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geo_assets.eo.tile_clouds import BAD_CLASSES, ROUNDING, Clouds, check_classes, check_shares, in_percent
from geo_assets.errors import ConfigError, SourceError
from geo_assets.model.scene import Scene


@dataclass(frozen=True)
class StepRule:
    """How the steps of a tile are found.

    Attributes:
        min_item_coverage: An item that covers at least this share of the tile is enough by itself.
        near_days: Days before and after a day whose items may stand in for one that covers too little.
        max_days_apart: A day without any item within so many days is dropped.
        whole_day: Put the other items of the same solar day beneath one that covers too little.
        bad_classes: Codes that count as cloudy; 0 only where ``nodata_is_bad``.
        max_bad_share: Days with a higher share of cloudy pixels on the tile are dropped.
        min_coverage: Days on which less of the tile is observed are dropped; those on which nothing is always are.
        nodata_is_bad: The old way: class 0 counts as cloudy.
    """

    min_item_coverage: float = 0.95
    near_days: int = 1
    max_days_apart: int = 2
    whole_day: bool = True
    bad_classes: tuple[int, ...] = BAD_CLASSES
    max_bad_share: float = 0.20
    min_coverage: float = 0.0
    nodata_is_bad: bool = False

    def __post_init__(self) -> None:
        check_classes(self.bad_classes)
        names = ("min_item_coverage", "max_bad_share", "min_coverage")
        check_shares({name: getattr(self, name) for name in names})
        if not 0 <= self.near_days <= self.max_days_apart:
            raise ConfigError(
                f"near_days is {self.near_days} and max_days_apart {self.max_days_apart}; they must be 0 <= near_days <= max_days_apart"
            )


STEP_RULE = StepRule()


@dataclass(frozen=True)
class DayDropped:
    """A chosen day that became no step.

    Attributes:
        day: The day that was chosen.
        reason: Why, in words.
    """

    day: dt.date
    reason: str


@dataclass(frozen=True)
class Pick:
    """Items of one step.

    Attributes:
        asked: The day that was chosen.
        solar_day: Solar day of the items, which may be a neighbour of it.
        items: Ids, the one that counts most first.
        coverage: Share of the tile in their footprints together.
    """

    asked: dt.date
    solar_day: dt.date
    items: tuple[str, ...]
    coverage: float


@dataclass(frozen=True)
class Picks:
    """Steps before their clouds are known, by solar day, none of which comes twice; and days without one."""

    picks: tuple[Pick, ...]
    dropped: tuple[DayDropped, ...]


@dataclass(frozen=True)
class Step:
    """One step of a tile.

    Attributes:
        asked: The day that was chosen.
        solar_day: Solar day of its pixels.
        day_of_year: 1 to 366.
        items: Ids, the one that counts most first.
        coverage: Share of the tile that is observed.
        bad_share: Share of the observed pixels that are cloudy.
    """

    asked: dt.date
    solar_day: dt.date
    day_of_year: int
    items: tuple[str, ...]
    coverage: float
    bad_share: float


@dataclass(frozen=True)
class Steps:
    """Steps of a tile by solar day, and all days that were chosen and became none."""

    steps: tuple[Step, ...]
    dropped: tuple[DayDropped, ...]

    @property
    def days_of_year(self) -> npt.NDArray[np.int64]:
        """Dates of the steps as they are stored: days of the year, dims (time), int64."""
        return np.array([s.day_of_year for s in self.steps], np.int64)


@dataclass(frozen=True)
class _Part:
    """What one item shows of the tile."""

    id: str
    time: str
    day: dt.date
    shape: shapely.Geometry
    coverage: float


def day_of_year(day: dt.date) -> int:
    """1 for the first of January; the first of March is 61 in leap years and 60 in others."""
    return day.timetuple().tm_yday


def pick_items(
    days: Iterable[dt.date], scenes: Sequence[Scene], area: shapely.Geometry, rule: StepRule = STEP_RULE
) -> Picks:
    """The items of each chosen day; the order of ``days`` and ``scenes`` does not matter.

    A day takes the item that covers most of the tile. Where that is too little it takes the best item of the days around it
    that covers enough, else the best one of the nearest day. Of equal ones the nearer counts, then the earlier, then the id.
    An item stands in only for days of its own calendar year, so that dates stay within the year.

    Args:
        days: Chosen solar days.
        scenes: What was found for the tile.
        area: The tile in EPSG:4326, split at the antimeridian.
        rule: How items are found.

    Raises:
        ConfigError: The tile has no area.
    """
    if not area.area > 0:
        raise ConfigError("the tile has no area: name a polygon in degrees")
    parts = [p for p in (_part(s, area) for s in scenes) if p.coverage > 0]
    best = {day: _best(day, parts, rule) for day in sorted(set(days))}
    none = f"no item of the tile lies within {rule.max_days_apart} days of it"
    dropped = [DayDropped(day, none) for day, part in best.items() if part is None]
    found = [(abs((part.day - day).days), day, part) for day, part in best.items() if part is not None]
    picks: dict[dt.date, Pick] = {}
    # A day's own items go to that day, whoever else asks for them
    for _, day, part in sorted(found, key=lambda f: f[:2]):
        if part.day in picks:
            text = f"its best item, {part.id}, is of {part.day}, which is a step already"
            dropped.append(DayDropped(day, text))
        else:
            picks[part.day] = _pick(day, part, parts, area, rule)
    return Picks(tuple(picks[d] for d in sorted(picks)), tuple(sorted(dropped, key=lambda d: d.day)))


def _part(scene: Scene, area: shapely.Geometry) -> _Part:
    shape = shapely.intersection(shapely.from_wkb(scene.footprint), area)
    day = dt.date.fromisoformat(scene.solar_day)
    return _Part(scene.item_id, scene.time, day, shape, float(shape.area / area.area))


def _best(day: dt.date, parts: Sequence[_Part], rule: StepRule) -> _Part | None:
    """The item of a day, or None where none is near enough."""
    apart = {p: abs((p.day - day).days) for p in parts if p.day.year == day.year}
    near = [p for p, n in apart.items() if n <= rule.max_days_apart]
    if not near:
        return None
    nearest = min(apart[p] for p in near)

    def order(part: _Part) -> tuple[float, int, str, str]:
        return -round(part.coverage, 9), apart[part], part.time, part.id

    best = min((p for p in near if apart[p] == nearest), key=order)
    if best.coverage >= rule.min_item_coverage - ROUNDING:
        return best
    around = [p for p in near if apart[p] <= rule.near_days and p.coverage >= rule.min_item_coverage - ROUNDING]
    return min(around, key=order) if around else best


def _pick(day: dt.date, part: _Part, parts: Sequence[_Part], area: shapely.Geometry, rule: StepRule) -> Pick:
    """A step of an item, and of those of its solar day that show more of the tile."""
    items, shape = [part.id], part.shape
    if rule.whole_day and part.coverage < rule.min_item_coverage - ROUNDING:
        others = [p for p in parts if p.day == part.day and p is not part]
        for other in sorted(others, key=lambda p: (-round(p.coverage, 9), p.time, p.id)):
            grown = shapely.union(shape, other.shape)
            if grown.area > shape.area + ROUNDING * area.area:
                items, shape = [*items, other.id], grown
    return Pick(day, part.day, tuple(items), float(shape.area / area.area))


def judge_steps(picks: Picks, classes: Mapping[dt.date, npt.NDArray[np.uint8]], rule: StepRule = STEP_RULE) -> Steps:
    """Steps whose tile is clear enough.

    Args:
        picks: From ``pick_items``.
        classes: Class codes of the tile at 160 m by solar day, dims (y, x), uint8, nodata 0; see ``by_solar_day``.
        rule: Which classes are cloudy, and how many are too many.

    Raises:
        SourceError: A solar day has no class codes.
    """
    steps, dropped = [], list(picks.dropped)
    for pick in picks.picks:
        clouds = Clouds.of(_of_day(classes, pick.solar_day, "class codes"), rule.bad_classes)
        share = clouds.share(nodata_is_bad=rule.nodata_is_bad)
        reason = _fault(clouds, share, rule)
        if share is None or reason:
            dropped.append(DayDropped(pick.asked, reason))
            continue
        doy = day_of_year(pick.solar_day)
        steps.append(Step(pick.asked, pick.solar_day, doy, pick.items, clouds.coverage, share))
    return Steps(tuple(steps), tuple(sorted(dropped, key=lambda d: d.day)))


def _fault(clouds: Clouds, share: float | None, rule: StepRule) -> str:
    """Why a day is no step, or ""."""
    if share is None:
        return "no pixel of the tile is observed"
    if clouds.coverage < rule.min_coverage - ROUNDING:
        return f"{in_percent(clouds.coverage)} of the tile is observed, less than {in_percent(rule.min_coverage)}"
    if share > rule.max_bad_share + ROUNDING:
        return f"{in_percent(share)} of the tile is cloudy, more than {in_percent(rule.max_bad_share)}"
    return ""


def by_solar_day(days: Sequence[dt.date], stack: npt.NDArray[Any]) -> dict[dt.date, npt.NDArray[Any]]:
    """Layers of a stack by their solar day.

    Args:
        days: Solar day of each layer.
        stack: Dims (time, ...).

    Raises:
        ConfigError: There are more or fewer days than layers, or a day comes twice: such a stack is by item.
    """
    if len(days) != len(stack) or len(set(days)) != len(days):
        raise ConfigError(
            f"{len(stack)} layers for {len(set(days))} solar days in {len(days)} dates: mosaic the items of a solar day into one layer"
        )
    return dict(zip(days, stack, strict=True))


def stacked(steps: Steps, layers: Mapping[dt.date, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Layers of the steps in their order, looked up by solar day.

    Args:
        steps: The steps.
        layers: Layers by solar day, of one shape; days without a step are left out.

    Returns:
        Dims (time, ...).

    Raises:
        ConfigError: There is no step.
        SourceError: A step has no layer.
    """
    if not steps.steps:
        raise ConfigError("no day became a step: there is nothing to stack")
    return np.stack([_of_day(layers, s.solar_day, "pixels") for s in steps.steps])


def _of_day(layers: Mapping[dt.date, npt.NDArray[Any]], day: dt.date, what: str) -> npt.NDArray[Any]:
    if day not in layers:
        raise SourceError(f"solar day {day} has no {what}: read its items, and look them up by solar day")
    return layers[day]
