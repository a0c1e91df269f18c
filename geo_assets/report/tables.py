"""Tables of a run's report: places, costs, causes, the slowest jobs and those that failed."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from geo_assets.report.jobs import Job, kind_of
from geo_assets.report.markup import Markup, capped, data_size, dollars, duration, el, join, listed, memory, table
from geo_assets.report.summary import Cause, Group, Spread, by, run_times
from geo_assets.report.timeline import LOCAL

ROWS = 200
_SLOWEST = 20
_CAUSES = 50
_CELLS = 8
_PLACES = 50
_FOUND = 4
_MARKS = {"ok": "●", "error": "○", "lost": "◌"}


def status(job: Job) -> Markup:
    """A job's status by sign, word and colour; of a failure its kind."""
    mark = el("span", _MARKS[job.status], aria_hidden="true")
    return el("span", mark, f" {job.kind or job.status}", class_=f"status {job.status}")


def place_table(jobs: Sequence[Job]) -> Markup:
    """Figures by compute region and backend."""
    groups = by((j for j in jobs if j.is_task), lambda j: (j.place or LOCAL, j.backend or "–"))
    heads = ("Place", "Backend", "Workers", "Jobs", "Failed", "Work", "Median", "95 %", "CPU", "Peak memory", "Read", "Cost")  # fmt: skip
    rows = []
    for (place, backend), group in groups.items():
        f, times = Group.of(group), Spread.of(run_times(group))
        rows.append(
            (
                place, backend, f"{f.workers:,}" if f.workers else "–", f"{f.jobs:,}", f"{f.failed:,}", duration(f.run_s), duration(times.median),
                duration(times.p95), duration(f.cpu_s), memory(f.peak_mb), data_size(f.bytes_read), dollars(f.usd),
            )
        )  # fmt: skip
    return join([table("Jobs by place and backend", heads, rows[:_PLACES], kinds="c.nnnnnnnnnn"), capped(min(len(rows), _PLACES), len(rows), "places")])  # fmt: skip


def cost_table(jobs: Sequence[Job]) -> Markup:
    """Predicted against actual cost by product and place."""
    groups = by((j for j in jobs if j.is_task), lambda j: (j.product, j.place or LOCAL))
    heads = ("Product", "Place", "Jobs", "Billed", "Predicted", "Actual", "Actual / predicted")
    rows = [_cost(product, place, Group.of(group)) for (product, place), group in groups.items()]
    shown = rows[:_PLACES]
    if len(groups) > 1:
        shown.append(_cost("All", "", Group.of(j for j in jobs if j.is_task)))
    return table("Cost by product, predicted and actual", heads, shown, kinds=".cnnnnn")


def _cost(product: str, place: str, f: Group) -> tuple[str, ...]:
    ratio = f"{f.usd / f.usd_predicted:.2f}" if f.usd_predicted else "–"
    return product, place, f"{f.jobs:,}", duration(f.billed_s), dollars(f.usd_predicted), dollars(f.usd), ratio


def cause_table(causes: Sequence[Cause]) -> Markup:
    """Failures by what went wrong."""
    heads = ("Jobs", "Kind", "Cause, as the first of them told it", "The first of them")
    rows = [(f"{len(c.jobs):,}", status(c.first), c.first.cause, c.first.where) for c in causes[:_CAUSES]]
    return join([table("Failures by cause", heads, rows, kinds="n.tt"), capped(len(rows), len(causes), "causes")])


def doubted_table(tiles: Sequence[Mapping[str, Any]]) -> Markup:
    """Yearly tiles that are faulty or doubtful, with what was found and where their pages lie."""
    heads = ("Tile", "Product", "Period", "Verdict", "What was found", "Page")
    rows = [
        (
            t["tile"], t["product"], t["month"] or "–", "faulty" if t["faults"] else "doubtful",
            listed([*t["faults"], *t["doubts"]], _FOUND), t["page"] or "–",
        )
        for t in tiles[:ROWS]
    ]  # fmt: skip
    shown = table("Yearly tiles with faults or doubts", heads, rows, kinds="c...tt")
    return join([shown, capped(len(rows), len(tiles), "tiles")])


def slowest_table(jobs: Sequence[Job]) -> Markup:
    """The jobs that took longest."""
    ran = sorted((j for j in jobs if j.is_task and j.run_s), key=lambda j: -j.run_s)
    heads = ("Run", "Waited", "CPU", "Product", "Region", "Month", _made(ran), "Status", "Tries", "Worker", "Place", "Peak memory", "Read", "Scenes")  # fmt: skip
    rows = [
        (
            duration(j.run_s), duration(j.queued_s), duration(j.cpu_s), j.product, j.region, j.month or "–", j.block, status(j), j.attempts, j.worker or "–",
            j.place or LOCAL, memory(j.peak_mb), data_size(j.bytes_read), j.scenes,
        )
        for j in ran[:_SLOWEST]
    ]  # fmt: skip
    return join([table("The slowest jobs", heads, rows, kinds="nnn.c.c.nccnnn"), capped(len(rows), len(ran), "jobs, the slowest first")])  # fmt: skip


def _made(jobs: Sequence[Job]) -> str:
    """What the tasks of some jobs make, as the head of a column."""
    return " or ".join(sorted({kind_of(j.product) for j in jobs if j.is_task} or {"block"})).capitalize()


def failed_table(jobs: Sequence[Job]) -> Markup:
    """The jobs that failed."""
    failed = [j for j in jobs if j.status != "ok"]
    heads = (
        "Product",
        "Region",
        "Month",
        _made(failed),
        "Kind",
        "Cause",
        "Tries",
        "Run",
        "Ended (UTC)",
        "Worker",
        "Cells",
    )
    rows = [
        (
            j.product, j.region, j.month or "–", j.block or "all", status(j), j.cause, j.attempts, duration(j.run_s), clock(j.ended_at), j.worker or "–",
            listed(j.cells, _CELLS) or "–",
        )
        for j in failed[:ROWS]
    ]  # fmt: skip
    return join([table("Jobs that failed", heads, rows, kinds=".c.c.tnn.ct"), capped(len(rows), len(failed), "failed jobs; failed.csv has all")])  # fmt: skip


def clock(seconds: float) -> str:
    """A time of the clock, UTC; a dash where nobody knows."""
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%d %H:%M:%S}" if seconds else "–"
