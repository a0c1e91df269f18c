"""The quality of one yearly tile of radar as one HTML file: no network, no script; and the page of a tile of any sensor."""

import math
from collections.abc import Mapping

from geo_assets.eo.radar_quality import Quality, RadarQuality
from geo_assets.eo.tile_quality import ValueRange
from geo_assets.report import frame
from geo_assets.report.drawing import Drawing
from geo_assets.report.frame import section
from geo_assets.report.markup import Markup, capped, el, join, listed, percent, plural, table
from geo_assets.report.tile import ROWS, tile_page
from geo_assets.report.tile_parts import SIGNS, findings, head, legend, mark, scrolled
from geo_assets.report.tile_plots import Bar, lanes_of, radar_bars, range_bars

_ITEMS = 3
_TICKS_DB = [-50.0, -40.0, -30.0, -20.0, -10.0, 0.0]  # stored power lies between -48.2 and 0 dB
_CONTENTS = (
    ("verdict", "Verdict"),
    ("year", "The year"),
    ("gaps", "Gaps"),
    ("values", "Values"),
    ("days", "All days"),
)


def quality_page(quality: Quality) -> str:
    """The HTML document of a tile, whichever sensor it is of."""
    return radar_page(quality) if isinstance(quality, RadarQuality) else tile_page(quality)


def radar_page(quality: RadarQuality) -> str:
    """The HTML document of a radar tile.

    Args:
        quality: What the tile is made of.
    """
    heading = f"Tile {quality.tile}, radar, {quality.year}"
    body = join(
        [
            _figures(quality),
            section("verdict", "Verdict", findings(quality.verdict)),
            section("year", "The year", _year(quality)),
            section("gaps", "Gaps", _gaps(quality)),
            section("values", "Values", _values(quality.values)),
            section("days", "All days", _days(quality)),
        ]
    )
    return frame.page(heading, head(heading, quality.verdict, _CONTENTS), body)


def _figures(quality: RadarQuality) -> Markup:
    made = [q for q in quality.quarters if q.state.status == "ok"]
    used, days = sum(len(q.days) for q in made), [d for plan in quality.plans for d in plan.days]
    others = ", ".join(f"{n} {orbit}" for orbit, n in quality.qualifying)
    found = [
        ("Quarters", f"{len(made)} of {len(quality.quarters)}", "hold pixels; each is there three times"),
        ("Orbit", quality.orbit, f"days that cover the tile: {others}"),
        ("Days used", f"{used:,}", f"of {plural(len(days), 'day')} of that orbit"),
        ("Longest gap", plural(quality.gap.days, "day"), f"{quality.gap.first} to {quality.gap.last}"),
        ("Never seen", percent(quality.views[0]), "of the pixels"),
    ]
    seen = {name.upper(): f"{_db(v.p50):.1f}" for name, v in quality.values.items() if v.observed_share}
    if seen:
        found.append(("Median", f"{', '.join(seen.values())} dB", f"of {', '.join(seen)}"))
    return frame.tiles(found)


def _year(quality: RadarQuality) -> list[object]:
    failed = any(q.state.status == "failed" for q in quality.quarters)
    used = {"kept", "dropped", "plan"} | ({"bad"} if failed else set())
    note = el("p", "Hover over a bar to see what it is.", class_="note")
    return [note, legend(used), scrolled(_line(quality)), _quarters(quality)]


def _line(quality: RadarQuality) -> Drawing:
    """Days that are used, those that are dropped, and the longest gap."""
    dropped: list[Bar] = [
        (d.day, d.day, "dropped", f"{d.day}: {d.reason}") for plan in quality.plans for d in plan.days if not d.kept
    ]
    lanes = [("Quarters", radar_bars(quality.year, quality.quarters)), ("Dropped", dropped)]
    gap = quality.gap
    if gap.days:
        tip = f"{gap.first} to {gap.last}: {plural(gap.days, 'day')} without one that is used"
        lanes.append(("Longest gap", [(gap.first, gap.last, "plan", tip)]))
    days = sum(len(plan.days) for plan in quality.plans)
    kept = sum(len(q.days) for q in quality.quarters)
    return lanes_of(quality.year, lanes, f"{quality.year}: {kept} of {plural(days, 'day')} used")


def _quarters(quality: RadarQuality) -> Markup:
    rows = [
        (
            q.state.number, f"{plan.first} to {plan.last}", mark(q.state.status, *SIGNS[q.state.status]), q.state.cause or "–", percent(observed),
            percent(q.coverage), listed([str(d) for d in q.days], _ITEMS) or "–", q.day_of_year,
        )
        for q, plan, observed in zip(quality.quarters, quality.plans, quality.observed, strict=True)
    ]  # fmt: skip
    heads = ("Quarter", "Window", "Status", "Cause", "Observed", "Covered by its best day", "Days", "Day of the year")
    return table("Quarters of the year", heads, rows, kinds="n..tnn.n")


def _gaps(quality: RadarQuality) -> list[Markup]:
    gap = quality.gap
    text = f"No day is used for {plural(gap.days, 'day')}, from {gap.first} to {gap.last}."
    rows = [(plural(n, "quarter"), percent(share)) for n, share in enumerate(quality.views)]
    return [el("p", text), table("Pixels by the quarters that show them", ("Observed in", "Share of pixels"), rows, kinds=".n")]  # fmt: skip


def _db(power: float) -> float:
    return 10 * math.log10(power)


def _values(values: Mapping[str, ValueRange]) -> list[Markup]:
    note = el("p", "Gamma0 in decibels. Bars run from the 1st to the 99th percentile of the observed pixels of all quarters; the tick is the median.", class_="note")  # fmt: skip
    bars = {n: (_db(v.p01), _db(v.p50), _db(v.p99)) if v.observed_share else None for n, v in values.items()}
    drawn = range_bars("Backscatter in dB", bars, _TICKS_DB, digits=1, unit=" dB")
    rows = []
    for name, v in values.items():
        numbers = [f"{_db(n):.1f}" for n in (v.least, v.p01, v.p50, v.p99, v.most)] if v.observed_share else ["–"] * 5
        ends = [f"{v.p50:.4f}", percent(v.floor_share), percent(v.cut_share)] if v.observed_share else ["–"] * 3
        rows.append([name, percent(v.observed_share), *numbers, *ends])
    heads = ("Polarisation", "Observed", "Lowest", "1 %", "Median", "99 %", "Highest", "Median, linear", "At the lowest number", "At 0 dB or above")  # fmt: skip
    return [note, scrolled(drawn), table("Backscatter in dB", heads, rows, kinds="c" + "n" * (len(heads) - 1))]


def _days(quality: RadarQuality) -> list[Markup]:
    rows = [
        (
            d.day, plan.number, mark("used", "ok", "●") if d.kept else mark("dropped", "partial", "○"), percent(d.coverage), d.reason,
            listed(d.items, _ITEMS) or "–",
        )
        for plan in quality.plans
        for d in plan.days
    ]  # fmt: skip
    heads = ("Day", "Quarter", "Became", "Covered", "Why", "Items")
    shown = [el("p", "No day was found.")]
    if rows:
        shown = [join([table("All days of the quarters", heads, rows[:ROWS], kinds=".n.ntt"), capped(min(len(rows), ROWS), len(rows), "days")])]  # fmt: skip
    if quality.dropped:
        others = [(d.item_id, d.reason) for d in quality.dropped]
        told = table("Items of no day", ("Item", "Why"), others[:ROWS], kinds="ct")
        shown.append(join([told, capped(min(len(others), ROWS), len(others), "items")]))
    return shown
