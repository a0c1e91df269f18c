"""Yearly tiles that were never made: days and pixels as a year might have them."""

import dataclasses
import datetime as dt

import numpy as np
import shapely

from geo_assets.eo.radar_select import RadarPass, select_radar
from geo_assets.eo.radar_steps import QuarterPixels, year_steps
from geo_assets.eo.tile_clouds import Clouds
from geo_assets.eo.tile_gaps import clear_steps
from geo_assets.eo.tile_quality import tile_quality
from geo_assets.eo.tile_select import DayView, select_days
from geo_assets.eo.tile_steps import judge_steps, pick_items
from geo_assets.model.scene import Scene

YEAR = 2023
AREA = shapely.box(15.0, 47.0, 15.05, 47.05)
BANDS = {"blue": 0.04, "green": 0.07, "red": 0.06, "nir": 0.32, "rededge1": 0.12, "swir16": 0.21}
SIDE = 40


def day(number):
    return dt.date(YEAR, 1, 1) + dt.timedelta(days=number)


def optical(seed=1, every=5):
    """Choices, steps and class codes of a year with a view every so many days."""
    chance = np.random.default_rng(seed)
    days = [day(n) for n in range(2, 365, every)]
    views = []
    for d in days:
        share, seen = min(1.0, chance.gamma(1.1, 0.35 if 4 <= d.month <= 9 else 0.7)), 10_000
        views.append(DayView(d, Clouds(10_000, seen, int(share * seen)), Clouds(900, 900, int(min(1, share) * 900))))
    choices = select_days(views)
    scenes = [
        Scene(f"S2B_33TWN_{d:%Y%m%d}_0_L2A", "c", "s", f"{d}T10:00:00Z", str(d), (), 0, "", shapely.to_wkb(AREA.buffer(1)))
        for d in days
    ]  # fmt: skip
    picks = pick_items([c.day for c in choices.kept], scenes, AREA)
    classes = {}
    for pick in picks.picks:
        codes = np.full((SIDE, SIDE), 4, np.uint8)
        rows, wide = int(chance.integers(0, SIDE // 3)), int(chance.integers(0, SIDE))
        codes[:rows, :wide] = 9
        codes[:, : int(chance.integers(0, 3))] = 0
        classes[pick.solar_day] = codes
    return choices, judge_steps(picks, classes), classes


def bands(steps, seed=2):
    """Stored pixels of each band by step."""
    chance = np.random.default_rng(seed)
    shape = (len(steps.steps), SIDE, SIDE)
    return {
        name: np.clip(chance.gamma(6, v / 6, shape) * 65_535, 1, 65_535).astype(np.uint16) for name, v in BANDS.items()
    }


def radar(failed=(3,), seed=3):
    """Days and pixels of a radar year of which some quarters failed."""
    chance = np.random.default_rng(seed)
    wide, half = (shapely.to_wkb(a) for a in (AREA.buffer(1), shapely.box(15.0, 47.0, 15.02, 48.0)))
    passes = [RadarPass(f"S1A_{n}", day(n), "ascending", wide if n < 280 else half) for n in range(4, 365, 12)]
    passes += [RadarPass(f"S1A_d{n}", day(n), "descending", wide) for n in range(9, 100, 12)]
    plan = select_radar(passes, AREA, YEAR)
    quarters = []
    for n in (1, 2, 3, 4):
        power = np.stack([chance.gamma(4, p / 4, (SIDE, SIDE)) for p in (0.15, 0.03)], axis=-1)
        stored = np.clip(power * 65_535, 1, 65_535).astype(np.uint16)
        quarters.append(QuarterPixels(n, failed=True, cause="HTTP 503 of S1A_200, three tries") if n in failed else QuarterPixels(n, stored))  # fmt: skip
    return plan, year_steps(quarters, (SIDE, SIDE))


def quality(tile="1035X727Y", *, with_radar=True, failed=(3,), **values):
    """Quality of a tile that has all of this."""
    choices, steps, classes = optical(**values)
    plan, year = radar(failed) if with_radar else (None, None)
    return tile_quality(tile, YEAR, choices, steps, clear=clear_steps(steps, classes), bands=bands(steps), plan=plan, radar=year)  # fmt: skip


def with_text(found, text):
    """The same with a text wherever somebody else's may be."""
    rows = tuple(dataclasses.replace(d, reason=text, items=(text,) * 5) for d in found.days)
    quarters = tuple(dataclasses.replace(q, state=dataclasses.replace(q.state, cause=text)) for q in found.quarters)
    verdict = dataclasses.replace(found.verdict, faults=(text,), doubts=(text,))
    ranges = {f"{text}{n}": v for n, v in enumerate(found.bands.values())}
    return dataclasses.replace(
        found, tile=text, orbit=text, days=rows, quarters=quarters, verdict=verdict, bands=ranges
    )


def empty():
    """Quality of a tile without any step."""
    choices = select_days([DayView(day(n), Clouds(100, 100, 100), Clouds(9, 9, 9)) for n in range(0, 300, 10)])
    steps = judge_steps(pick_items([], [], AREA), {})
    return tile_quality("1X2Y", YEAR, choices, steps, clear=None, bands={})


def many(found, count):
    """The same with so many candidate days."""
    row = found.days[0]
    return dataclasses.replace(found, days=tuple(dataclasses.replace(row, reason=f"reason {n}") for n in range(count)))
