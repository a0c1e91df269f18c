"""What a yearly tile is made of and whether it is plausible: days and their reasons, clouds, gaps, values, quarters."""

import dataclasses
import datetime as dt
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.eo.quality import Verdict, judge
from geo_assets.eo.radar_select import QUARTER_DATES, RadarPlan
from geo_assets.eo.radar_steps import POLARISATIONS, QuarterState, RadarYear
from geo_assets.eo.tile_clouds import in_percent
from geo_assets.eo.tile_gaps import LONG_DAYS, Gaps, gaps
from geo_assets.eo.tile_scale import NODATA, TOP
from geo_assets.eo.tile_select import DayChoices
from geo_assets.eo.tile_steps import Step, Steps
from geo_assets.model.band import Band
from geo_assets.model.receipt import BandFigures

# As composites are judged: more than any surface reflects, and signs of a wrong offset; whichever band it is
_REFLECTANCE = Band("reflectance", (), 10, dtype="float32", wavelength_um=0.5, plausible=(0.0, 1.6))
_FAIR_DB = (-35.0, 0.0)  # gamma0 of land and water lies well between


@dataclass(frozen=True)
class TileLimits:
    """From where on a tile is doubted.

    Attributes:
        steps: Fewer steps.
        gap_days: A longer run of days without a step.
        never: A higher share of pixels without a clear view.
        cut: A higher share of a band's pixels that are cut at 1.
        coverage: Less of the tile covered by the best day of a quarter.
    """

    steps: int = 12
    gap_days: int = 90
    never: float = 0.05
    cut: float = 0.05
    coverage: float = 0.95


TILE_LIMITS = TileLimits()


@dataclass(frozen=True)
class DayRow:
    """What became of one candidate day.

    Attributes:
        day: Solar day.
        used: Whether it is a step.
        reason: Why, in words.
        solar_day: Solar day of its pixels where it is a step.
        items: Ids of its items where it is a step.
        bad_share: Cloudy share: of the tile where it is a step, else of the view around it; None where it is not known.
        coverage: Observed share, of the same.
    """

    day: dt.date
    used: bool
    reason: str
    solar_day: dt.date | None
    items: tuple[str, ...]
    bad_share: float | None
    coverage: float


@dataclass(frozen=True)
class ValueRange:
    """Values of one band over all steps, unit 1.

    Attributes:
        observed_share: Share of pixels that are not nodata; the other figures are of these alone, and 0 where there are none.
        least: Lowest value.
        p01: That or less has 1 %.
        p50: That or less has half.
        p99: That or less has 99 %.
        most: Highest value.
        floor_share: Share of pixels at the lowest number, of values of 0 and less.
        cut_share: Share of pixels at the highest number, of values of 1 and more.
    """

    observed_share: float
    least: float = 0.0
    p01: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    most: float = 0.0
    floor_share: float = 0.0
    cut_share: float = 0.0


@dataclass(frozen=True)
class QuarterRow:
    """What a quarter of the radar year holds.

    Attributes:
        state: Whether it holds pixels.
        day_of_year: Date that stands for it.
        days: Days that it is made of.
        coverage: Share of the tile that the best of them covers; 0 where there is none.
    """

    state: QuarterState
    day_of_year: int
    days: tuple[dt.date, ...] = ()
    coverage: float = 0.0


@dataclass(frozen=True)
class TileQuality:
    """What a tile is made of.

    Attributes:
        tile: Its name.
        year: Its year.
        days: Every candidate day of Sentinel-2, by day.
        cloud_share: Mean cloudy share of the steps on the tile; None where there is no step.
        gaps: What is not seen; None where there is no step.
        bands: Values of the Sentinel-2 bands by name.
        orbit: Orbit direction of the radar, or "" where the tile has no radar.
        quarters: The radar year.
        radar: Values by polarisation.
        verdict: What is wrong or doubtful.
    """

    tile: str
    year: int
    days: tuple[DayRow, ...]
    cloud_share: float | None
    gaps: Gaps | None
    bands: Mapping[str, ValueRange]
    orbit: str
    quarters: tuple[QuarterRow, ...]
    radar: Mapping[str, ValueRange]
    verdict: Verdict

    @property
    def steps(self) -> tuple[DayRow, ...]:
        """Days that are steps."""
        return tuple(d for d in self.days if d.used)

    def document(self) -> dict[str, Any]:
        """All of it for JSON: dates as ``2024-02-29``."""
        document: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=str))
        return document


def tile_quality(
    tile: str,
    year: int,
    choices: DayChoices,
    steps: Steps,
    *,
    clear: npt.NDArray[np.bool_] | None,
    bands: Mapping[str, npt.NDArray[np.uint16]],
    plan: RadarPlan | None = None,
    radar: RadarYear | None = None,
    limits: TileLimits = TILE_LIMITS,
) -> TileQuality:
    """Figures of a tile, and what is to be said of it.

    Args:
        tile: Name of the tile.
        year: Its year.
        choices: What was decided about the candidate days.
        steps: What became of the chosen ones.
        clear: Whether a step shows a pixel clearly, dims (time, y, x), as ``clear_steps`` has it; None where there is no step.
        bands: Stored pixels by band, dims (time, y, x), uint16, nodata 0.
        plan: Days of the radar year; None where the tile has no radar.
        radar: Its pixels; None where the tile has no radar.
        limits: From where on a tile is doubted.

    Raises:
        ValueError: A chosen day is neither a step nor dropped, or another day is; arrays do not fit the steps; or only one of
            ``plan`` and ``radar`` is given.
    """
    if (clear is None) != (not steps.steps):
        raise ValueError(f"{len(steps.steps)} steps {'without' if clear is None else 'with'} pixels that are clear")
    if (plan is None) != (radar is None):
        raise ValueError("radar has a plan and pixels: give both or none")
    odd = [name for name, pixels in bands.items() if len(pixels) != len(steps.steps)]
    if odd:
        raise ValueError(f"band {odd[0]} has {len(bands[odd[0]])} layers for {len(steps.steps)} steps")
    days = [s.solar_day for s in steps.steps]
    found = TileQuality(
        tile=tile,
        year=year,
        days=_rows(choices, steps),
        cloud_share=sum(s.bad_share for s in steps.steps) / len(days) if days else None,
        gaps=None if clear is None else gaps(clear, days, year, LONG_DAYS),
        bands={name: value_range(pixels) for name, pixels in bands.items()},
        orbit="" if plan is None else plan.orbit,
        quarters=() if plan is None or radar is None else quarter_rows(plan, radar),
        radar={} if radar is None else {p: value_range(radar.pixels[..., n]) for n, p in enumerate(POLARISATIONS)},
        verdict=Verdict((), ()),
    )
    return dataclasses.replace(found, verdict=judge_tile(found, limits))


def _rows(choices: DayChoices, steps: Steps) -> tuple[DayRow, ...]:
    made: dict[dt.date, Step] = {s.asked: s for s in steps.steps}
    lost = {d.day: d.reason for d in steps.dropped}
    strange = (made.keys() | lost.keys()) - {c.day for c in choices.kept}
    if strange:
        raise ValueError(f"{min(strange)} is a step or was dropped as one, and was never chosen")
    rows = []
    for c in choices.days:
        step = made.get(c.day)
        if c.kept and step is None and c.day not in lost:
            raise ValueError(f"{c.day} was chosen, and is neither a step nor dropped")
        if step is None:
            reason = lost[c.day] if c.kept else c.reason
            rows.append(DayRow(c.day, False, reason, None, (), c.share, c.coverage))
        else:
            rows.append(DayRow(c.day, True, c.reason, step.solar_day, step.items, step.bad_share, step.coverage))
    return tuple(rows)


def quarter_rows(plan: RadarPlan, radar: RadarYear) -> tuple[QuarterRow, ...]:
    """What each quarter of a radar year holds, and of which days."""
    rows = []
    for state, quarter, date in zip(radar.quarters, plan.quarters, QUARTER_DATES, strict=True):
        best = max((d.coverage for d in quarter.kept), default=0.0)
        rows.append(QuarterRow(state, date, tuple(d.day for d in quarter.kept), best))
    return tuple(rows)


def value_range(stored: npt.NDArray[np.uint16]) -> ValueRange:
    """Values of stored pixels, of all of them and not of a sample.

    Args:
        stored: Any dims, uint16, value * 65535, nodata 0.
    """
    counts = np.bincount(stored.ravel(), minlength=TOP + 1)
    total = int(counts.sum())
    counts[NODATA] = 0
    below = np.cumsum(counts)
    observed = int(below[-1])
    if not observed:
        return ValueRange(0.0)

    def value(share: float) -> float:
        """Lowest value that so many pixels do not exceed."""
        return int(np.searchsorted(below, max(1, math.ceil(share * observed)))) / TOP

    return ValueRange(
        observed / total, value(0.0), value(0.01), value(0.5), value(0.99), value(1.0), int(counts[1]) / observed,
        int(counts[TOP]) / observed,
    )  # fmt: skip


def judge_tile(quality: TileQuality, limits: TileLimits = TILE_LIMITS) -> Verdict:
    """What is certainly wrong with a tile, and what is rarely right."""
    faults, doubts = _judge_optical(quality, limits)
    if quality.orbit:
        more = judge_radar(quality.quarters, quality.radar, limits)
        faults, doubts = faults + more[0], doubts + more[1]
    return Verdict(tuple(faults), tuple(doubts))


def _judge_optical(quality: TileQuality, limits: TileLimits) -> tuple[list[str], list[str]]:
    steps = quality.steps
    if not steps or quality.gaps is None:
        return ["no day became a step: the tile has no Sentinel-2 pixel"], []
    seen = {name: v for name, v in quality.bands.items() if v.observed_share}
    faults = [f"{name}: no pixel is observed" for name in quality.bands if name not in seen]
    figures = {n: BandFigures(p01=v.p01, p50=v.p50, p99=v.p99, floor_share=v.floor_share) for n, v in seen.items()}
    found = judge(figures, dict.fromkeys(seen, _REFLECTANCE))
    doubts = list(found.doubts)
    if len(steps) < limits.steps:
        doubts.append(f"{len(steps)} steps, fewer than {limits.steps}")
    gap = quality.gaps.longest
    if gap.days > limits.gap_days:
        doubts.append(f"no step for {gap.days} days, from {gap.first} to {gap.last}")
    if quality.gaps.never > limits.never:
        doubts.append(f"{in_percent(quality.gaps.never)} of its pixels have no clear view in the year")
    doubts += _cut(seen, limits)
    return faults + list(found.faults), doubts


def judge_radar(
    quarters: Sequence[QuarterRow], values: Mapping[str, ValueRange], limits: TileLimits = TILE_LIMITS
) -> tuple[list[str], list[str]]:
    """Faults and doubts of a radar year.

    Args:
        quarters: What it holds.
        values: Its values by polarisation.
        limits: From where on it is doubted.
    """
    faults, doubts = [], []
    for row in quarters:
        name = f"radar, quarter {row.state.number}"
        if row.state.status == "failed":
            faults.append(f"{name}: nodata, since it failed: {row.state.cause}")
        elif row.state.status == "empty":
            doubts.append(f"{name}: nodata: {row.state.cause}")
        elif row.coverage < limits.coverage:
            doubts.append(f"{name}: its best day covers {in_percent(row.coverage)} of the tile")
    seen = {name: v for name, v in values.items() if v.observed_share}
    if quarters and all(q.state.status != "ok" for q in quarters):
        return [*faults, "radar: no quarter has a pixel"], doubts
    faults += [f"{name}: no pixel is observed" for name in values if name not in seen]
    for name, v in seen.items():
        db = 10 * math.log10(v.p50)
        if not _FAIR_DB[0] <= db <= _FAIR_DB[1]:
            doubts.append(f"{name}: its median is {db:.1f} dB, outside {_FAIR_DB[0]:g} to {_FAIR_DB[1]:g} dB")
    if {"vv", "vh"} <= set(seen) and seen["vh"].p50 > seen["vv"].p50:
        doubts.append("vh is stronger than vv, which no natural surface does: the two may be exchanged")
    return faults, doubts + _cut(seen, limits)


def _cut(seen: Mapping[str, ValueRange], limits: TileLimits) -> list[str]:
    return [f"{n}: {in_percent(v.cut_share)} of its pixels are cut at 1" for n, v in seen.items() if v.cut_share > limits.cut]  # fmt: skip
