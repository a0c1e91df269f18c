"""Drawings of a yearly tile: its days on the line of the year, and the values of its bands."""

import datetime as dt
from collections.abc import Mapping, Sequence

from geo_assets.eo.tile_quality import DayRow, QuarterRow, TileQuality, ValueRange
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
        lanes.append(("Radar", radar_bars(quality.year, quality.quarters)))
    label = f"{quality.year}: {plural(len(quality.steps), 'step')} of {plural(len(quality.days), 'candidate day')}"
    return lanes_of(quality.year, lanes, label)


Bar = tuple[dt.date, dt.date, str, str]  # first day, last day, colour, tip


def lanes_of(year: int, lanes: Sequence[tuple[str, Sequence[Bar]]], label: str) -> Drawing:
    """Bars on the line of a year, in lanes with a name each."""
    floor = _LANE * len(lanes) + 4
    marks = _year_grid(year, floor)
    for i, (name, bars) in enumerate(lanes):
        y = 4 + _LANE * i
        marks.append(Text(_LEFT - 8, y + _BAR - 4, name, "end"))
        for first, last, kind, tip in bars:
            x = _x(year, first)
            width = max(_DAY_PX, _x(year, last + dt.timedelta(days=1)) - x)
            marks.append(Rect(x, y, width, _BAR, kind, tip[:_TIP]))
    return Drawing(_WIDTH, floor + _BOTTOM, label, tuple(marks))


def _steps(quality: TileQuality) -> list[Bar]:
    found = []
    for row in quality.steps:
        day = row.solar_day or row.day
        found.append((day, day, "kept", f"{day}: {clouds(row)}"))
    return found


def _dropped(quality: TileQuality) -> list[Bar]:
    return [(d.day, d.day, "dropped", f"{d.day}: {d.reason}") for d in quality.days if not d.used]


def radar_bars(year: int, quarters: Sequence[QuarterRow]) -> list[Bar]:
    """Days that the quarters of a radar year are made of, and whole quarters that hold nothing."""
    found = []
    for n, row in enumerate(quarters):
        if row.state.status == "ok":
            found += [(d, d, "kept", f"{d}: quarter {row.state.number}") for d in row.days]
        else:
            first = dt.date(year, 3 * n + 1, 1)
            last = dt.date(year + (n == 3), (3 * n + 3) % 12 + 1, 1) - dt.timedelta(days=1)
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
    bars = {n: (v.p01, v.p50, v.p99) if v.observed_share else None for n, v in values.items()}
    return range_bars(label, bars, [n / _TICKS for n in range(_TICKS + 1)], digits=4, width=width)


def range_bars(
    label: str, bars: Mapping[str, tuple[float, float, float] | None], ticks: Sequence[float], *, digits: int, unit: str = "", width: float = _WIDTH
) -> Drawing:  # fmt: skip
    """A bar from a low to a high value by name, with a mark at the one between them.

    Args:
        label: What it shows.
        bars: Low, middle and high; None where nothing is observed.
        ticks: Of the axis, which ends at the first and at the last.
        digits: Behind the point, in tips.
        unit: Of the values.
        width: Of the drawing.
    """
    floor, least = _BAND * len(bars) + 4, ticks[0]
    scale = (width - _LEFT - _RIGHT) / (ticks[-1] - least)

    def place(value: float) -> float:
        return _LEFT + scale * (min(max(value, least), ticks[-1]) - least)

    marks: list[Mark] = []
    for tick in ticks:
        marks += [Line(place(tick), 0, place(tick), floor, "grid"), Text(place(tick), floor + 15, f"{tick:g}", "middle")]  # fmt: skip
    marks.append(Line(_LEFT, floor, width - _RIGHT, floor, "axis"))
    for i, (name, found) in enumerate(bars.items()):
        y = 4 + _BAND * i
        marks.append(Text(_LEFT - 8, y + 11, shortened(name, 22), "end", tip=name[:_TIP]))
        if found is None:
            marks.append(Text(_LEFT + 6, y + 11, "nothing is observed"))
            continue
        low, middle, high = found
        tip = f"{name[:_TIP]}: {low:.{digits}f} to {high:.{digits}f}{unit}, median {middle:.{digits}f}{unit}"
        marks.append(Rect(place(low), y, max(1.5, place(high) - place(low)), _BAND - 8, "kept", tip))
        marks.append(Rect(place(middle) - 1, y - 2, 2, _BAND - 4, "dropped", tip))
    return Drawing(width, floor + _BOTTOM, label, tuple(marks))
