"""What a yearly tile of radar is made of and whether it is plausible: quarters, days and their reasons, gaps, values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from geo_assets.eo.quality import Verdict
from geo_assets.eo.radar_select import PassDropped, QuarterPlan, RadarPlan
from geo_assets.eo.radar_steps import POLARISATIONS, STEPS_A_QUARTER, RadarYear
from geo_assets.eo.tile_clouds import in_percent
from geo_assets.eo.tile_gaps import Gap, longest_gap
from geo_assets.eo.tile_quality import (
    TILE_LIMITS,
    QuarterRow,
    TileLimits,
    TileQuality,
    ValueRange,
    judge_radar,
    quarter_rows,
    value_range,
)
from geo_assets.eo.tile_scale import NODATA
from geo_assets.model.receipt import reasons_counted


@dataclass(frozen=True)
class RadarQuality:
    """What a radar tile is made of.

    Attributes:
        tile: Its name.
        year: Its year.
        orbit: Orbit direction that is used, or ``both``.
        qualifying: Days that cover the tile, by direction.
        quarters: What each quarter holds.
        plans: The days of each quarter, used and dropped, with their reasons.
        observed: Share of the pixels of each quarter that have both polarisations.
        dropped: Items that belong to no day of a quarter.
        gap: Longest run of days of the year without a day that is used.
        views: Share of pixels that are observed in so many quarters, from none to all four.
        values: Values by polarisation, linear gamma0.
        verdict: What is wrong or doubtful.
    """

    tile: str
    year: int
    orbit: str
    qualifying: tuple[tuple[str, int], ...]
    quarters: tuple[QuarterRow, ...]
    plans: tuple[QuarterPlan, ...]
    observed: tuple[float, ...]
    dropped: tuple[PassDropped, ...]
    gap: Gap
    views: tuple[float, ...]
    values: Mapping[str, ValueRange]
    verdict: Verdict

    def document(self) -> dict[str, Any]:
        """All of it for JSON: dates as ``2024-02-29``."""
        quarters = [
            {
                "number": q.state.number, "status": q.state.status, "cause": q.state.cause, "first": str(plan.first), "last": str(plan.last),
                "coverage": q.coverage, "observed_share": observed,
            }
            for q, plan, observed in zip(self.quarters, self.plans, self.observed, strict=True)
        ]  # fmt: skip
        days = [
            {"day": str(d.day), "quarter": plan.number, "kept": d.kept, "reason": d.reason, "items": list(d.items), "coverage": d.coverage}
            for plan in self.plans
            for d in plan.days
        ]  # fmt: skip
        return {
            "tile": self.tile, "year": self.year, "orbit": self.orbit, "qualifying": dict(self.qualifying), "quarters": quarters, "days": days,
            "dropped": {d.item_id: d.reason for d in self.dropped},
            "gap": {"first": str(self.gap.first), "last": str(self.gap.last), "days": self.gap.days},
            "views": list(self.views), "values": {name: asdict(v) for name, v in self.values.items()},
            "verdict": {"faults": list(self.verdict.faults), "doubts": list(self.verdict.doubts)},
        }  # fmt: skip


Quality = TileQuality | RadarQuality


def days_dropped(quality: Quality) -> dict[str, int]:
    """Of a tile of which no day is used, the candidates by their reason, the commonest first; else nothing."""
    if isinstance(quality, TileQuality):
        used, reasons = bool(quality.steps), [d.reason for d in quality.days]
    else:
        days = [d for plan in quality.plans for d in plan.days]
        used, reasons = any(d.kept for d in days), [d.reason for d in days] + [d.reason for d in quality.dropped]
    if used:
        return {}
    return reasons_counted((r, 1) for r in reasons)


def radar_quality(
    tile: str, year: int, plan: RadarPlan, made: RadarYear, *, limits: TileLimits = TILE_LIMITS
) -> RadarQuality:
    """Figures of a radar tile, and what is to be said of it.

    Args:
        tile: Name of the tile.
        year: Its year.
        plan: Which days its quarters are made of.
        made: Their pixels.
        limits: From where on a tile is doubted.
    """
    quarters = quarter_rows(plan, made)
    seen = (made.pixels[::STEPS_A_QUARTER] != NODATA).all(axis=-1)
    views = np.bincount(seen.sum(axis=0).ravel(), minlength=len(quarters) + 1) / max(1, seen[0].size)
    values = {name: value_range(made.pixels[..., n]) for n, name in enumerate(POLARISATIONS)}
    faults, doubts = judge_radar(quarters, values, limits)
    if 0 < views[0] < 1 and views[0] > limits.never:
        doubts.append(f"{in_percent(float(views[0]))} of its pixels are observed in no quarter")
    used = [day for q, row in zip(plan.quarters, quarters, strict=True) if row.state.status == "ok" for day in q.kept]
    return RadarQuality(
        tile=tile, year=year, orbit=plan.orbit, qualifying=plan.qualifying, quarters=quarters, plans=plan.quarters,
        observed=tuple(float(layer.mean()) for layer in seen), dropped=plan.dropped, gap=longest_gap([d.day for d in used], year),
        views=tuple(float(v) for v in views), values=values, verdict=Verdict(tuple(faults), tuple(doubts)),
    )  # fmt: skip
