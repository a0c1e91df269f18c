"""Which Sentinel-1 days a tile's year is made of: one orbit direction, a few days a quarter."""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import shapely

from geo_assets.eo.tile_clouds import ROUNDING, check_shares, in_percent
from geo_assets.eo.tile_steps import day_of_year
from geo_assets.errors import ConfigError
from geo_assets.model.scene import Scene

QUARTERS = (1, 2, 3, 4)
QUARTER_DATES = (45, 135, 225, 315)  # days of the year that stand for the quarters
ORBITS = ("ascending", "descending")
# Months and days, both inclusive
_CALENDAR = (((1, 1), (3, 31)), ((4, 1), (6, 30)), ((7, 1), (9, 30)), ((10, 1), (12, 31)))
_CENTRED = (((1, 15), (3, 15)), ((4, 15), (6, 15)), ((7, 15), (9, 15)), ((10, 15), (12, 15)))


@dataclass(frozen=True)
class RadarRule:
    """How days are chosen.

    Attributes:
        orbit: ``auto`` takes the direction with more days that cover the tile; or one of them, or ``both``.
        windows: ``calendar`` quarters see every day of the year: January to March, April to June, July to September and
            October to December. ``centred`` ones, the old way, see 247 of 365 days: from the 15th of the first month to the 15th
            of the third.
        min_coverage: Days on which the footprints together cover less of the tile are not used, but for the best of a quarter.
        days: Days of a quarter that are used.
    """

    orbit: Literal["auto", "ascending", "descending", "both"] = "auto"
    windows: Literal["calendar", "centred"] = "calendar"
    min_coverage: float = 0.95
    days: int = 3

    def __post_init__(self) -> None:
        check_shares({"min_coverage": self.min_coverage})
        if self.days < 1:
            raise ConfigError(f"days is {self.days}; it must be at least 1")
        if self.orbit not in ("auto", "both", *ORBITS):
            raise ConfigError(f"orbit is {self.orbit!r}; it must be auto, ascending, descending or both")
        if self.windows not in ("calendar", "centred"):
            raise ConfigError(f"windows is {self.windows!r}; it must be calendar or centred")


RADAR_RULE = RadarRule()


@dataclass(frozen=True)
class RadarPass:
    """One item.

    Attributes:
        item_id: Its id.
        solar_day: Its solar day.
        orbit: ``ascending`` or ``descending`` as its ``sat:orbit_state`` says, or "".
        footprint: Valid area in EPSG:4326 as WKB.
    """

    item_id: str
    solar_day: dt.date
    orbit: str
    footprint: bytes

    @classmethod
    def of(cls, scene: Scene, orbit: object) -> "RadarPass":
        """The pass of a scene and of what its item says in ``sat:orbit_state``; anything but a direction is none."""
        direction = str(orbit or "").strip().lower()
        day = dt.date.fromisoformat(scene.solar_day)
        return cls(scene.item_id, day, direction if direction in ORBITS else "", scene.footprint)


@dataclass(frozen=True)
class RadarDay:
    """One solar day of a quarter.

    Attributes:
        day: The day.
        items: Ids of its items, in order.
        coverage: Share of the tile in their footprints together.
        kept: Whether it is used.
        reason: Why, in words.
    """

    day: dt.date
    items: tuple[str, ...]
    coverage: float
    kept: bool
    reason: str


@dataclass(frozen=True)
class QuarterPlan:
    """What a quarter is made of.

    Attributes:
        number: 1 to 4.
        first: First day of its window.
        last: Last day, inclusive.
        days: All days with items in it, by day.
    """

    number: int
    first: dt.date
    last: dt.date
    days: tuple[RadarDay, ...] = ()

    @property
    def kept(self) -> tuple[RadarDay, ...]:
        """Days that are used."""
        return tuple(d for d in self.days if d.kept)


@dataclass(frozen=True)
class PassDropped:
    """An item that belongs to no day of a quarter, and why."""

    item_id: str
    reason: str


@dataclass(frozen=True)
class RadarPlan:
    """What a year is made of.

    Attributes:
        orbit: Direction that is used, or ``both``.
        qualifying: Days that cover the tile, by direction: all of them, at most so many a quarter as are used.
        quarters: The four quarters, whatever they hold.
        dropped: Items that belong to no day of a quarter, by id.
    """

    orbit: str
    qualifying: tuple[tuple[str, int], ...]
    quarters: tuple[QuarterPlan, ...]
    dropped: tuple[PassDropped, ...]


def quarter_windows(year: int, windows: Literal["calendar", "centred"] = "calendar") -> tuple[QuarterPlan, ...]:
    """The quarters of a year, without days."""
    bounds = _CALENDAR if windows == "calendar" else _CENTRED
    return tuple(
        QuarterPlan(n, dt.date(year, *first), dt.date(year, *last))
        for n, (first, last) in zip(QUARTERS, bounds, strict=True)
    )


def select_radar(
    passes: Sequence[RadarPass], area: shapely.Geometry, year: int, rule: RadarRule = RADAR_RULE
) -> RadarPlan:
    """Choose a year's days; the order of ``passes`` does not matter.

    Directions with as many days that can be used are told apart by all their days that cover the tile, then by their items;
    then it is the ascending one. Of days that cover as much the one nearest to the quarter's date is better, then the earlier.

    Args:
        passes: What was found for the tile.
        area: The tile in EPSG:4326, split at the antimeridian.
        year: The year.
        rule: How days are chosen.

    Returns:
        Four quarters, and the items of none; each item of ``passes`` is in one place, also if it was given twice.

    Raises:
        ConfigError: The tile has no area.
    """
    if not area.area > 0:
        raise ConfigError("the tile has no area: name a polygon in degrees")
    quarters = quarter_windows(year, rule.windows)
    dropped, inside = _inside(set(passes), area, quarters)
    ranks = {o: _rank([p for p in inside if p.orbit == o], area, quarters, rule) for o in ORBITS}
    orbit = max(ORBITS, key=lambda o: (ranks[o], o == ORBITS[0])) if rule.orbit == "auto" else rule.orbit
    for p in inside:
        if orbit != "both" and p.orbit != orbit:
            dropped[p] = f"its orbit is {p.orbit}, and {orbit} is used" if p.orbit else "it does not say its orbit"
    used = [p for p in inside if p not in dropped]
    planned = tuple(_plan(q, used, area, rule) for q in quarters)
    lost = sorted((PassDropped(p.item_id, why) for p, why in dropped.items()), key=lambda d: (d.item_id, d.reason))
    return RadarPlan(orbit, tuple((o, ranks[o][0]) for o in ORBITS), planned, tuple(lost))


def _inside(
    passes: Iterable[RadarPass], area: shapely.Geometry, quarters: Sequence[QuarterPlan]
) -> tuple[dict[RadarPass, str], list[RadarPass]]:
    """Items that no quarter can use, with the reason; and the others."""
    dropped, inside = {}, []
    for p in passes:
        if not any(q.first <= p.solar_day <= q.last for q in quarters):
            dropped[p] = f"its solar day, {p.solar_day}, lies in no quarter"
        elif not shapely.intersection(shapely.from_wkb(p.footprint), area).area > 0:
            dropped[p] = "it lies beside the tile"
        else:
            inside.append(p)
    return dropped, inside


def _rank(
    passes: Sequence[RadarPass], area: shapely.Geometry, quarters: Sequence[QuarterPlan], rule: RadarRule
) -> tuple[int, int, int]:
    """Days of a direction that cover the tile and can be used, all days that cover it, and its items."""
    covering = [
        sum(d.coverage >= rule.min_coverage - ROUNDING for d in _days(q, passes, area)) for q in quarters
    ]  # fmt: skip
    return sum(min(n, rule.days) for n in covering), sum(covering), len(passes)


def _days(quarter: QuarterPlan, passes: Iterable[RadarPass], area: shapely.Geometry) -> list[RadarDay]:
    """Days of a quarter, none of them kept yet."""
    groups: Mapping[dt.date, list[RadarPass]] = defaultdict(list)
    for p in passes:
        if quarter.first <= p.solar_day <= quarter.last:
            groups[p.solar_day].append(p)
    found = []
    for day, group in sorted(groups.items()):
        ordered = sorted(group, key=lambda p: p.item_id)
        seen = shapely.union_all([shapely.intersection(shapely.from_wkb(p.footprint), area) for p in ordered])
        found.append(RadarDay(day, tuple(p.item_id for p in ordered), float(seen.area / area.area), False, ""))
    return found


def _plan(quarter: QuarterPlan, passes: Sequence[RadarPass], area: shapely.Geometry, rule: RadarRule) -> QuarterPlan:
    """A quarter with what was decided about its days."""
    date = QUARTER_DATES[quarter.number - 1]

    def order(day: RadarDay) -> tuple[float, int, dt.date]:
        return -round(day.coverage, 9), abs(day_of_year(day.day) - date), day.day

    decided = []
    for place, day in enumerate(sorted(_days(quarter, passes, area), key=order)):
        enough = day.coverage >= rule.min_coverage - ROUNDING
        seen, least = in_percent(day.coverage), in_percent(rule.min_coverage)
        if place == 0 and not enough:
            decided.append(
                replace(day, kept=True, reason=f"the best of its quarter, though it covers {seen} of the tile")
            )
        elif not enough:
            decided.append(replace(day, reason=f"it covers {seen} of the tile, less than {least}"))
        elif place < rule.days:
            decided.append(replace(day, kept=True, reason=f"among the best {rule.days} of its quarter"))
        else:
            decided.append(
                replace(day, reason=f"{rule.days} days of its quarter cover more, or lie nearer to its middle")
            )
    return replace(quarter, days=tuple(sorted(decided, key=lambda d: d.day)))
