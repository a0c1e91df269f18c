"""Drawings of a yearly tile: its days on the line of the year, and the values of its bands."""

import datetime as dt
from collections.abc import Mapping

from geo_assets.eo.tile_quality import DayRow, TileQuality, ValueRange
from geo_assets.report.drawing import Drawing, Line, Mark, Rect, Text, shortened
from geo_assets.report.markup import percent, plural

_WIDTH = 1080.0
_LEFT, _RIGHT, _BOTTOM = 150.0, 16.0, 22.0
_LANE, _BAR = 26.0, 18.0
_DAY_PX = 2.4  # wider than a day, so that it is seen
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TICKS = 5
_TIP = 200  # characters
_HEIGHT, _SHARES, _STEP_PX = 170.0, 4, 8.0
_BAND = 22.0


def year_line(quality: TileQuality) -> Drawing:
    """Steps, dropped days, the longest gap and the days of the radar, each in a lane of its own."""
    lanes = [("Steps", _steps(quality)), ("Dropped", _dropped(quality))]
    if quality.gaps is not None and quality.gaps.longest.days:
        gap = quality.gaps.longest
        tip = f"{gap.first} to {gap.last}: {plural(gap.days, 'day')} without a step"
        lanes.append(("Longest gap", [(gap.first, gap.last, "plan", tip)]))
    if quality.quarters:
        lanes.append(("Radar", _radar(quality)))
    floor = _LANE * len(lanes) + 4
    marks = _year_grid(quality.year, floor)
    for i, (name, bars) in enumerate(lanes):
        y = 4 + _LANE * i
        marks.append(Text(_LEFT - 8, y + _BAR - 4, name, "end"))
        for first, last, kind, tip in bars:
            x = _x(quality.year, first)
            width = max(_DAY_PX, _x(quality.year, last + dt.timedelta(days=1)) - x)
            marks.append(Rect(x, y, width, _BAR, kind, tip[:_TIP]))
    label = f"{quality.year}: {plural(len(quality.steps), 'step')} of {plural(len(quality.days), 'candidate day')}"
    return Drawing(_WIDTH, floor + _BOTTOM, label, tuple(marks))


Bar = tuple[dt.date, dt.date, str, str]


def _steps(quality: TileQuality) -> list[Bar]:
    found = []
    for row in quality.steps:
        day = row.solar_day or row.day
        found.append((day, day, "kept", f"{day}: {clouds(row)}"))
    return found


def _dropped(quality: TileQuality) -> list[Bar]:
    return [(d.day, d.day, "dropped", f"{d.day}: {d.reason}") for d in quality.days if not d.used]


def _radar(quality: TileQuality) -> list[Bar]:
    found = []
    for n, row in enumerate(quality.quarters):
        if row.state.status == "ok":
            found += [(d, d, "kept", f"{d}: quarter {row.state.number}") for d in row.days]
        else:
            first = dt.date(quality.year, 3 * n + 1, 1)
            last = dt.date(quality.year + (n == 3), (3 * n + 3) % 12 + 1, 1) - dt.timedelta(days=1)
            kind = "bad" if row.state.status == "failed" else "plan"
            found.append((first, last, kind, f"quarter {row.state.number}: {row.state.status}: {row.state.cause}"))
    return found


def cloud_bars(quality: TileQuality) -> Drawing:
    """Cloudy and unobserved share of the tile by step, each at its day of the year."""
    floor, room = _HEIGHT - _BOTTOM, _HEIGHT - _BOTTOM - 8
    marks = _year_grid(quality.year, floor)
    for n in range(_SHARES + 1):
        y = floor - room * n / _SHARES
        marks += [Line(_LEFT, y, _WIDTH - _RIGHT, y, "grid"), Text(_LEFT - 8, y + 4, percent(n / _SHARES), "end")]
    for row in quality.steps:
        day, cloudy = row.solar_day or row.day, (row.bad_share or 0.0) * row.coverage
        x, y = _x(quality.year, day) - _STEP_PX / 2, floor
        for share, kind in ((cloudy, "dropped"), (1 - row.coverage, "plan")):
            if share > 0:
                y -= share * room
                marks.append(Rect(x, y, _STEP_PX, share * room, kind, f"{day}: {clouds(row)}"))
    label = f"Cloudy and unobserved share of the tile in {plural(len(quality.steps), 'step')}"
    return Drawing(_WIDTH, _HEIGHT, label, tuple(marks))


def clouds(row: DayRow) -> str:
    """How cloudy a day is, in words."""
    share = "clouds not known" if row.bad_share is None else f"{percent(row.bad_share)} cloudy"
    return f"{share}, {percent(row.coverage)} observed"


def _x(year: int, day: dt.date) -> float:
    first, end = dt.date(year, 1, 1), dt.date(year + 1, 1, 1)
    place = min(max((day - first).days, 0), (end - first).days)
    return _LEFT + place / (end - first).days * (_WIDTH - _LEFT - _RIGHT)


def _year_grid(year: int, floor: float) -> list[Mark]:
    marks: list[Mark] = []
    for n, name in enumerate(_MONTHS):
        x, end = _x(year, dt.date(year, n + 1, 1)), _x(year, dt.date(year + n // 11, (n + 1) % 12 + 1, 1))
        marks += [Line(x, 0, x, floor, "grid"), Text((x + end) / 2, floor + 15, name, "middle")]
    end = _WIDTH - _RIGHT
    return [*marks, Line(end, 0, end, floor, "grid"), Line(_LEFT, floor, end, floor, "axis")]


def value_bars(label: str, values: Mapping[str, ValueRange], width: float = _WIDTH) -> Drawing:
    """From the first to the last percent of each band's values, with their median; from 0 to 1."""
    floor = _BAND * len(values) + 4
    scale = width - _LEFT - _RIGHT
    marks: list[Mark] = []
    for n in range(_TICKS + 1):
        x = _LEFT + scale * n / _TICKS
        marks += [Line(x, 0, x, floor, "grid"), Text(x, floor + 15, f"{n / _TICKS:g}", "middle")]
    marks.append(Line(_LEFT, floor, _LEFT + scale, floor, "axis"))
    for i, (name, v) in enumerate(values.items()):
        y = 4 + _BAND * i
        marks.append(Text(_LEFT - 8, y + 11, shortened(name, 22), "end", tip=name[:_TIP]))
        if not v.observed_share:
            marks.append(Text(_LEFT + 6, y + 11, "nothing is observed"))
            continue
        x, median = _LEFT + scale * v.p01, _LEFT + scale * v.p50
        tip = f"{name[:_TIP]}: {v.p01:.4f} to {v.p99:.4f}, median {v.p50:.4f}"
        marks.append(Rect(x, y, max(1.5, scale * (v.p99 - v.p01)), _BAND - 8, "kept", tip))
        marks.append(Rect(median - 1, y - 2, 2, _BAND - 4, "dropped", tip))
    return Drawing(width, floor + _BOTTOM, label, tuple(marks))
