"""The quality of one yearly tile as one HTML file: no network, no script."""

import math
from collections.abc import Mapping, Sequence

from geo_assets.eo.tile_quality import DayRow, TileQuality, ValueRange
from geo_assets.report import frame
from geo_assets.report.frame import section
from geo_assets.report.markup import Markup, capped, el, join, listed, percent, plural, table
from geo_assets.report.tile_parts import SIGNS, findings, head, legend, mark, scrolled
from geo_assets.report.tile_plots import cloud_bars, value_bars, year_line

ROWS = 400  # candidate days: more than a year has
_ITEMS = 3
_CONTENTS = (
    ("verdict", "Verdict"),
    ("year", "The year"),
    ("clouds", "Clouds"),
    ("gaps", "Gaps"),
    ("values", "Values"),
    ("days", "All days"),
)


def tile_page(quality: TileQuality) -> str:
    """The HTML document.

    Args:
        quality: What the tile is made of.
    """
    heading = f"Tile {quality.tile}, {quality.year}"
    body = join(
        [
            _tiles(quality),
            section("verdict", "Verdict", findings(quality.verdict)),
            section("year", "The year", _year(quality)),
            section("clouds", "Clouds on the tile", _clouds(quality)),
            section("gaps", "Gaps", _gaps(quality)),
            section("values", "Values", _values(quality)),
            section("days", "All candidate days", _days(quality.days)),
        ]
    )
    return frame.page(heading, head(heading, quality.verdict, _CONTENTS), body)


def _tiles(quality: TileQuality) -> Markup:
    gaps, made = quality.gaps, [q for q in quality.quarters if q.state.status == "ok"]
    cloudy = "–" if quality.cloud_share is None else percent(quality.cloud_share)
    found = [
        ("Steps", f"{len(quality.steps):,}", f"of {plural(len(quality.days), 'candidate day')}"),
        ("Cloudy", cloudy, "of the tile, mean of the steps"),
    ]
    if gaps is not None:
        span = f"{gaps.longest.first} to {gaps.longest.last}" if gaps.longest.days else "every day has a step"
        found += [
            ("Longest gap", plural(gaps.longest.days, "day"), span),
            ("Clear views", f"{gaps.median_views:g}", f"of a pixel, median; {percent(gaps.never)} of pixels have none"),
        ]
    if quality.quarters:
        found.append(("Radar", f"{len(made)} of {len(quality.quarters)}", f"quarters, orbit {quality.orbit}"))
    return frame.tiles(found)


def _year(quality: TileQuality) -> list[object]:
    used = {"kept", "dropped", "plan"} | ({"bad"} if any(q.state.status == "failed" for q in quality.quarters) else set())  # fmt: skip
    note = el("p", "Hover over a bar to see what it is.", class_="note")
    shown: list[object] = [note, legend(used), scrolled(year_line(quality))]
    if quality.quarters:
        shown.append(_quarters(quality))
    return shown


def _quarters(quality: TileQuality) -> Markup:
    rows = [
        (
            q.state.number, q.day_of_year, mark(q.state.status, *SIGNS[q.state.status]), percent(q.coverage),
            listed([str(d) for d in q.days], _ITEMS) or "–", q.state.cause or "–",
        )
        for q in quality.quarters
    ]  # fmt: skip
    heads = ("Quarter", "Day of the year", "Status", "Covered by its best day", "Days", "Cause")
    return table("Quarters of the radar year", heads, rows, kinds="nn.n.t")


def _clouds(quality: TileQuality) -> list[Markup]:
    if not quality.steps:
        return [el("p", "No day became a step.")]
    words = {"dropped": "cloudy", "plan": "not observed"}
    key = [el("li", el("span", class_=f"swatch {kind}"), f" {word}") for kind, word in words.items()]
    note = el("p", "Share of the tile's pixels by step, at its day of the year.", class_="note")
    return [note, el("ul", key, class_="legend"), scrolled(cloud_bars(quality))]


def _gaps(quality: TileQuality) -> list[Markup]:
    gaps = quality.gaps
    if gaps is None:
        return [el("p", "No day became a step: nothing of the year is seen.")]
    text = "Every day has a step."
    if gaps.longest.days:
        text = f"No step for {plural(gaps.longest.days, 'day')}, from {gaps.longest.first} to {gaps.longest.last}."
    mean = f"Half of the pixels have no clear view for {gaps.median_days:g} days in a row or longer."
    rows = [(f"more than {n} days", percent(share)) for n, share in gaps.over]
    rows.append(("the whole year", percent(gaps.never)))
    heads = ("Longest run without a clear view", "Share of pixels")
    return [el("p", f"{text} {mean}"), table("Pixels by their longest gap", heads, rows, kinds=".n")]


def _values(quality: TileQuality) -> list[Markup]:
    shown: list[Markup] = []
    if quality.bands:
        shown += [el("h3", "Reflectance"), *_ranges("Reflectance by band", quality.bands)]
    if quality.radar:
        shown += [el("h3", "Radar, linear gamma0"), *_ranges("Power by polarisation", quality.radar, decibels=True)]
    return shown or [el("p", "The tile has no pixels.")]


def _ranges(caption: str, values: Mapping[str, ValueRange], *, decibels: bool = False) -> list[Markup]:
    note = el("p", "Bars run from the 1st to the 99th percentile of the observed pixels of all steps; the tick is the median.", class_="note")  # fmt: skip
    heads = ["Band", "Observed", "Lowest", "1 %", "Median", "99 %", "Highest", "At 0 or below", "At 1 or above"]
    rows = [_range(name, v, decibels) for name, v in values.items()]
    heads += ["Median in dB"] if decibels else []
    return [note, scrolled(value_bars(caption, values)), table(caption, heads, rows, kinds="c" + "n" * (len(heads) - 1))]  # fmt: skip


def _range(name: str, v: ValueRange, decibels: bool) -> list[str]:
    if not v.observed_share:
        return [name, percent(0), *["–"] * (8 if decibels else 7)]
    numbers = [f"{n:.4f}" for n in (v.least, v.p01, v.p50, v.p99, v.most)]
    cells = [name, percent(v.observed_share), *numbers, percent(v.floor_share), percent(v.cut_share)]
    return [*cells, f"{10 * math.log10(v.p50):.1f}"] if decibels else cells


def _days(rows: Sequence[DayRow]) -> list[Markup]:
    if not rows:
        return [el("p", "No candidate day was found.")]
    heads = ("Day", "Became", "Cloudy", "Observed", "Why", "Items")
    shown = [
        (
            row.day, _became(row), "–" if row.bad_share is None else percent(row.bad_share), percent(row.coverage), row.reason,
            listed(row.items, _ITEMS) or "–",
        )
        for row in rows[:ROWS]
    ]  # fmt: skip
    note = el("p", "Clouds and coverage of steps are those of the tile, of other days those of the wide view around it.", class_="note")  # fmt: skip
    return [note, join([table("All candidate days", heads, shown, kinds="..nntt"), capped(len(shown), len(rows), "days")])]  # fmt: skip


def _became(row: DayRow) -> Markup:
    if not row.used:
        return mark("dropped", "partial", "○")
    other = f", of {row.solar_day}" if row.solar_day not in (None, row.day) else ""
    return mark(f"step{other}", "ok", "●")
