"""Tables of a report: months, scenes used and dropped, partitions, failures."""

import contextlib
from collections.abc import Sequence

import pandas as pd

from geo_assets.doors.reader import Store
from geo_assets.doors.report.facts import DroppedScene, Facts, Figures, UsedScene
from geo_assets.eo.scenes import read_scenes
from geo_assets.errors import SourceError
from geo_assets.report.markup import Markup, capped, data_size, duration, el, join, listed, percent, table

ROWS = 200
_LOOK_UPS = 40  # scene tables that are read for what a receipt does not say of a dropped scene
_CELLS = 8
_MARKS = {"ok": "●", "partial": "◐", "failed": "○"}


def status(name: str) -> Markup:
    """A status by sign, word and colour."""
    mark = el("span", _MARKS.get(name, "○"), aria_hidden="true")
    return el("span", mark, f" {name}", class_=f"status {name if name in _MARKS else 'failed'}")


def _first(caption: str, heads: Sequence[str], rows: Sequence[Sequence[object]], kinds: str, *, total: int, what: str) -> Markup:  # fmt: skip
    """The first rows as a table, and the line that says how many there are."""
    shown = rows[:ROWS]
    return join([table(caption, heads, shown, kinds=kinds), capped(len(shown), total, what)])


def month_table(by_month: dict[str, Figures]) -> Markup:
    """Figures of each month."""
    heads = ("Month", "Complete", "Partial", "Failed", "Observed", "Mean clear days", "Scenes used", "Scenes dropped", "Read", "Work")  # fmt: skip
    rows = [
        (m, f.ok, f.partial, f.failed, percent(f.observed_share), f"{f.clear_days:.2f}", f"{f.used:,}", f"{f.dropped:,}", data_size(f.bytes_read), duration(f.seconds))
        for m, f in by_month.items()
    ]  # fmt: skip
    return _first("Months", heads, rows, ".nnnnnnnnn", total=len(rows), what="months")


def dropped_table(store: Store, facts: Facts) -> Markup:
    """Scenes that were left out, with the reason."""
    scenes = facts.dropped
    if not scenes:
        return el("p", "No scene was dropped.")
    shown = scenes[:ROWS]
    _look_up(store, shown)
    heads = ("Scene", "Acquired (UTC)", "Solar day", "Baseline", "Why it was dropped", "Duplicate of")
    rows = [
        (s.id, _time(s.time), s.solar_day or "–", s.baseline or "–", s.reason, s.duplicate_of or "–") for s in shown
    ]
    return _first("Scenes dropped, and why", heads, rows, "c...tc", total=len(scenes), what="dropped scenes")


def used_table(facts: Facts) -> Markup:
    """Scenes that the composites are made of."""
    scenes = facts.used
    if not scenes:
        return el("p", "No scene was used.")
    heads = ("Scene", "Acquired (UTC)", "Solar day", "Baseline", "Offset applied (DN)", "Used in")
    rows = [
        (s.id, _time(s.time), s.solar_day, s.baseline or "–", "none" if not s.offset else f"{s.offset:+,}".replace("-", "−"), _places(s))
        for s in scenes[:ROWS]
    ]  # fmt: skip
    return _first("Scenes used", heads, rows, "c...nt", total=len(scenes), what="scenes used, by time")


def partition_table(facts: Facts) -> Markup:
    """Versions of each partition."""
    heads = (
        "Month",
        "Region",
        "Status",
        "Snapshot",
        "Data version",
        "Recipe",
        "Code",
        "Observed",
        "Scenes",
        "Made (UTC)",
    )
    rows = [
        (
            p.month, p.region, status(p.status), p.snapshot or "–", p.data_version, p.recipe_hash, p.code_version,
            percent(p.observed / p.pixels) if p.pixels else "–", len(p.used), f"{p.made_at:%Y-%m-%d %H:%M}",
        )
        for p in facts.partitions[:ROWS]
    ]  # fmt: skip
    return _first("Partitions of the composite", heads, rows, ".c.ccccnn.", total=len(facts.partitions), what="partitions, by month")  # fmt: skip


def failure_table(facts: Facts) -> Markup:
    """Blocks that failed, with the cause."""
    heads = ("Month", "Region", "Block", "Cause", "Cells")
    rows = [(f.month, f.region, f.block, f.cause, listed(f.cells, _CELLS)) for f in facts.failures[:ROWS]]
    return _first("Blocks that failed", heads, rows, ".cctt", total=len(facts.failures), what="failed blocks")


def product_table(facts: Facts) -> Markup:
    """What is stored."""
    rows = [(name, n) for name, n in sorted(facts.products.items())]
    return _first("Products stored", ("Product", "Partitions"), rows, "cn", total=len(rows), what="products")


def _places(scene: UsedScene) -> str:
    months: dict[str, list[str]] = {}
    for month, region in scene.used_in:
        months.setdefault(month, []).append(region)
    text = "; ".join(f"{month}: {', '.join(regions)}" for month, regions in months.items())
    more = scene.uses - len(scene.used_in)
    return text + (f" and {more:,} more" if more else "")


def _time(text: str) -> str:
    return text[:19].replace("T", " ") or "–"


def _look_up(store: Store, scenes: Sequence[DroppedScene]) -> None:
    """Fill in when dropped scenes were acquired: their receipts name only id and reason."""
    wanted = list(dict.fromkeys(s.seen_in for s in scenes))[:_LOOK_UPS]
    names: dict[tuple[str, str], list[str]] = {}
    for name in store.storage.names("scenes"):
        *_, region, file = name.split("/")
        names.setdefault((region, file.removesuffix(".parquet")), []).append(name)
    for place in wanted:
        for name in names.get(place, []):
            content = store.storage.read(name)
            with contextlib.suppress(SourceError):  # a damaged table; the next run makes it again
                _fill(read_scenes(content or b""), {(s.id, s.reason): s for s in scenes if s.seen_in == place})


def _fill(rows: pd.DataFrame, scenes: dict[tuple[str, str], DroppedScene]) -> None:
    for row in rows[~rows["kept"].astype(bool)].itertuples():
        scene = scenes.get((str(row.id), str(row.reason or "")))
        if scene:
            scene.time, scene.solar_day, scene.baseline = (
                str(v or "") for v in (row.time, row.solar_day, row.baseline)
            )
