"""One HTML file about everything below a storage root: no network, no script, images inside."""

import os
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geo_assets.doors.reader import Store
from geo_assets.doors.report import pictures, tables
from geo_assets.doors.report.facts import Facts, Figures, Partition, collect
from geo_assets.doors.report.map import area_map
from geo_assets.doors.report.pictures import Area
from geo_assets.model.href import without_query
from geo_assets.report import charts, frame
from geo_assets.report.charts import Series, bars
from geo_assets.report.frame import section
from geo_assets.report.markup import Markup, capped, data_size, duration, el, join, listed, percent, plural

_CONTENTS = (
    ("composites", "Composites"),
    ("open", "Open the data"),
    ("coverage", "Coverage and clouds"),
    ("map", "Cells and regions"),
    ("failures", "Failures"),
    ("provenance", "Provenance"),
)
_HOLES = el(
    "p",
    "Pictures are cut to what is observed in any month. ",
    el("span", class_="swatch hole"),
    " Not observed in this month: no clear day, or not made.",
    class_="note",
)


def write_report(root: str, out: Path, *, title: str, how_to_open: list[str], commands: Sequence[str] = (), areas: Mapping[str, Any] | None = None) -> Path:  # fmt: skip
    """Write the report of a storage root.

    Args:
        root: Path or URI of the storage.
        out: The HTML file, replaced in one piece.
        title: Heading of the page.
        how_to_open: Lines of Python that open the data, as they are.
        commands: Commands that open the UI.
        areas: Outlines of areas of interest by name, EPSG:4326, besides those that the storage holds.

    Returns:
        ``out``.

    Raises:
        StoreError: Nothing made by geo_assets lies at ``root``.
    """
    store = Store.open(root)
    facts = collect(store)
    body = join(_sections(store, facts, _opening(commands, how_to_open), areas or {}))
    page = frame.page(title, _head(store, facts, title), body)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_text(page, encoding="utf-8")
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return out


def _head(store: Store, facts: Facts, title: str) -> Markup:
    made = max((p.made_at for p in facts.partitions), default=None)
    newest = f", newest partition made {made:%Y-%m-%d %H:%M} UTC" if made else ""
    where = el("p", el("code", without_query(store.storage.root)), newest, class_="where")
    return el("header", el("h1", title), where, _verdict(facts), frame.contents(_CONTENTS))


def _verdict(facts: Facts) -> Markup:
    f = Figures.of(facts.partitions)
    total = len(facts.partitions)
    if not total:
        return el("p", "No composite has been made yet.", class_="verdict warn")
    if f.ok == total:
        return el("p", tables.status("ok"), f": {plural(total, 'partition')} made, all complete.", class_="verdict")
    words = [f"{n} {word}" for n, word in ((f.failed, "failed"), (f.partial, "partial")) if n]
    link = el("a", "why", href="#failures")
    return el("p", f"{f.ok:,} of {plural(total, 'partition')} complete, {' and '.join(words)} (", link, ").", class_="verdict warn")  # fmt: skip


def _opening(commands: Sequence[str], python: Sequence[str]) -> list[Markup]:
    """What is typed into a terminal, and what into Python: each can be copied as a whole."""
    return [frame.commands(t, lines) for t, lines in (("In a terminal", commands), ("In Python", python)) if lines]


def _sections(store: Store, facts: Facts, opening: Sequence[Markup], areas: Mapping[str, Any]) -> list[Markup]:
    cubes = pictures.open_groups(store, facts.regions[: pictures.REGIONS])
    failed = frozenset(c for f in facts.failures for c in f.cells)
    by_month = _by_month(facts.partitions)
    return [
        _summary(facts),
        section("composites", "Composites", _gallery(facts, pictures.areas(store, facts, cubes))),
        section("open", "Open the data", *opening),
        section("coverage", "Coverage and clouds", _charts(by_month), tables.month_table(by_month)),
        section("map", "Cells and regions", area_map(store, facts.regions, cubes, areas=areas, failed=failed)),
        _failures(facts),
        section(
            "provenance", "Provenance",
            el("h3", "Scenes dropped"), tables.dropped_table(store, facts),
            el("h3", "Scenes used"), tables.used_table(facts),
            el("h3", "Partitions"), tables.partition_table(facts),
            el("h3", "Products"), tables.product_table(facts),
        ),
    ]  # fmt: skip


def _by_month(partitions: Sequence[Partition]) -> dict[str, Figures]:
    groups: dict[str, list[Partition]] = {}
    for partition in partitions:
        groups.setdefault(partition.month, []).append(partition)
    return {month: Figures.of(group) for month, group in groups.items()}


def _summary(facts: Facts) -> Markup:
    f = Figures.of(facts.partitions)
    months = facts.months
    span = f"{months[0]} to {months[-1]}" if len(months) > 1 else "".join(months)
    tiles = [
        ("Regions", f"{len(facts.regions):,}", ""),
        ("Months", f"{len(months):,}", span),
        ("Partitions", f"{len(facts.partitions):,}", f"{f.ok:,} ok, {f.partial:,} partial, {f.failed:,} failed"),
        ("Scenes", f"{f.used:,}", f"used; {f.dropped:,} dropped"),
        ("Observed", percent(f.observed_share), f"of the pixels made; {f.clear_days:.1f} clear days on average"),
        ("Read", data_size(f.bytes_read), f"in {duration(f.seconds)} of work"),
    ]
    return frame.tiles(tiles)


def _gallery(facts: Facts, areas: Sequence[Area]) -> Markup:
    months = facts.months[-pictures.MONTHS :]
    if not areas:
        return el("p", "No composite has been made yet.")
    by_place = {(p.region, p.month): p for p in facts.partitions}
    rows = []
    for area in areas:
        shots = [_shot(area, m, [by_place[r, m] for r in area.regions if (r, m) in by_place]) for m in months]
        kind = "strip" if len(areas) > 2 else "wrap"
        rows.append(el("h3", listed(area.regions, 4)))
        scrolls = {"tabindex": "0", "role": "group", "aria_label": "Months"} if kind == "strip" else {}
        rows.append(el("div", shots, class_=f"shots {kind}{'' if area.sharp else ' coarse'}", **scrolls))
        rows.append(el("p", area.source, class_="note"))
    shown = sum(len(a.regions) for a in areas)
    last = None if len(months) == len(facts.months) else el("p", f"Last {len(months)} of {len(facts.months):,} months.", class_="capped")  # fmt: skip
    return join([_HOLES, *rows, last, capped(shown, len(facts.regions), "regions")])  # fmt: skip


def _shot(area: Area, month: str, partitions: Sequence[Partition]) -> Markup:
    f = Figures.of(partitions)
    text = f"{percent(f.observed_share)} observed, {f.clear_days:.1f} clear days, {plural(f.used, 'scene')}"
    bad = [p.region for p in partitions if p.status != "ok"]
    trouble = el("span", f"not complete: {listed(bad, 3)}", class_="trouble") if bad else None
    sizes = [(p.width, p.height) for p in area.pictures.values()]
    width, height = max(sizes, default=(400, 240))
    if month in area.pictures:
        p = area.pictures[month]
        picture = el("img", src=p.uri, width=p.width, height=p.height, alt=f"Composite of {month}: {text}", loading="lazy", decoding="async")  # fmt: skip
    else:
        why = "not made" if not partitions else "failed" if f.failed == len(partitions) else "nothing observed"
        picture = el("div", el("span", why), class_="empty", style=f"aspect-ratio: {width} / {height}")
    return el("figure", picture, el("figcaption", el("strong", month), el("span", text if f.used else ""), trouble))


def _charts(by_month: Mapping[str, Figures]) -> Markup:
    months = list(by_month)[-charts.MONTHS :]
    chosen = [by_month[m] for m in months]
    if not months:
        return el("p", "No composite has been made yet.")
    shares, days = [f.observed_share for f in chosen], [f.clear_days for f in chosen]
    kept = Series("used", "kept", [f.used for f in chosen])
    dropped = Series("dropped", "dropped", [f.dropped for f in chosen])
    drawn = [
        ("Observed share of the pixels made", bars(f"Observed share by month, {percent(min(shares))} to {percent(max(shares))}", months, [Series("observed", "kept", shares)], show=percent, top=1.0)),
        ("Clear days of a pixel, on average", bars(f"Mean clear days by month, {min(days):.1f} to {max(days):.1f}", months, [Series("clear days", "kept", days)], show=_decimal)),
        (["Scenes ", el("span", class_="swatch kept"), " used and ", el("span", class_="swatch dropped"), " dropped"], bars("Scenes used and dropped by month", months, [kept, dropped], show=lambda v: f"{v:,.0f}")),
    ]  # fmt: skip
    figures = [el("figure", el("figcaption", text), el("div", chart, class_="wide")) for text, chart in drawn]
    last = None if len(months) == len(by_month) else el("p", f"Last {len(months)} of {len(by_month):,} months.", class_="capped")  # fmt: skip
    return join([el("div", figures, class_="charts" + ("" if charts.narrow(months) else " long")), last])


def _decimal(value: float) -> str:
    return f"{value:.1f}"


def _failures(facts: Facts) -> Markup:
    if facts.failures:
        note = "A block that failed keeps what the cube held before; run the project again with --retry-failed."
        return section("failures", "Failures", el("p", note), tables.failure_table(facts))
    return section("failures", "Failures", el("p", "No block failed."))
