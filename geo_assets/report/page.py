"""The report of a run as one HTML file: no network, no script."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from geo_assets.report import frame, tables
from geo_assets.report.costs import costs
from geo_assets.report.drawing import Drawing, to_svg
from geo_assets.report.frame import section
from geo_assets.report.histogram import histogram
from geo_assets.report.jobs import Job
from geo_assets.report.markup import Markup, data_size, dollars, duration, el, join, memory, plural
from geo_assets.report.summary import Group, Spread, causes, run_status, run_times, span, waits
from geo_assets.report.timeline import COLOURS, timeline, tracks, when
from geo_assets.report.verdict import counts, kinds, verdict

_TRACKS = 12
_CONTENTS = (
    ("time", "Time line"),
    ("spread", "Run times"),
    ("failures", "Failures"),
    ("doubted", "Doubted tiles"),
    ("cost", "Cost"),
    ("jobs", "Slowest jobs"),
)
_UNIT = re.compile(r"(?<=\d) (?=(?:s|min|h|MB|GB|MiB)\b|%)")
_LEGEND = {"ok": "made", "error": "failed by its own fault", "lost": "lost with worker, memory, time or backend"}


def run_page(
    title: str, run_id: str, jobs: Sequence[Job], advice: tuple[str, list[str]], partitions: Mapping[str, int], *, beside: str = "",
    doubted: Sequence[Mapping[str, Any]] = (),
) -> str:  # fmt: skip
    """The HTML document.

    Args:
        title: Name of the project.
        run_id: Of the run.
        jobs: Of the run.
        advice: What to do next: a sentence, and commands.
        partitions: How many there were in all, and by what they came to.
        beside: Name of the project's own report in the same folder, if it is there.
        doubted: Yearly tiles that are faulty or doubtful, as ``run --json`` lists them.
    """
    heading = f"{title}: run report"
    body = join(
        [
            _tiles(jobs),
            section("time", "Time line", _time(jobs)),
            section("spread", "Run times and waiting", _spread(jobs)),
            section("failures", "Failures", _failures(jobs, advice)),
            *(
                [section("doubted", "Tiles that are faulty or doubtful", tables.doubted_table(doubted))]
                if doubted
                else []
            ),
            section("cost", "Cost", _cost(jobs)),
            section("jobs", "Slowest jobs", tables.slowest_table(jobs) if run_times(jobs) else el("p", "No task ran.")),
        ]
    )
    return frame.page(heading, _head(heading, run_id, jobs, partitions, beside, doubted), body)


def _head(heading: str, run_id: str, jobs: Sequence[Job], partitions: Mapping[str, int], beside: str, doubted: Sequence[Mapping[str, Any]]) -> Markup:  # fmt: skip
    where = [el("p", "Run ", el("code", run_id), class_="where")]
    if time := when(jobs):
        where.append(el("p", _tight(time), class_="where"))
    if total := partitions.get("total"):
        where.append(el("p", f"{plural(total, 'partition')}: {kinds(partitions)}", class_="where"))
    if beside:
        where.append(el("p", el("a", "What the project holds now, in pictures", href=beside), class_="where"))
    good = run_status(jobs) == "success"
    links = () if good else (" (", el("a", "why", href="#failures"), ")")
    text = el("p", _capital(verdict(jobs)), *links, ".", class_="verdict" if good else "verdict warn")
    there = [c for c in _CONTENTS if doubted or c[0] != "doubted"]
    return el("header", el("h1", heading), *where, text, frame.contents(there))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _tight(text: str) -> str:
    """Text whose numbers stay with their units."""
    return _UNIT.sub("\N{NO-BREAK SPACE}", text)


def _tiles(jobs: Sequence[Job]) -> Markup:
    f, run, queued = Group.of(jobs), Spread.of(run_times(jobs)), Spread.of(waits(jobs))
    first, last = span(jobs)
    wall = last - first
    share = f", {run.total / wall:,.1f} at a time on average" if wall > 0 else ""
    waited = f"{duration(queued.median)} waiting" if waits(jobs) else "waiting is not known"
    median = duration(run.median) if run.total else "–"
    found = [
        ("Jobs", f"{f.jobs:,}", f"{f.ok:,} made, {counts(f)}"),
        ("Time", duration(wall) if last else "–", f"{duration(run.total)} of work{share}"),
        ("Run time of a job", median, f"median; 95 % within {duration(run.p95)}; {waited}"),
        ("Cost", dollars(f.usd), f"{dollars(f.usd_predicted)} predicted; {duration(f.billed_s)} billed"),
        ("Read", data_size(f.bytes_read), plural(f.requests, "request")),
        ("Peak memory", memory(f.peak_mb), "most of any one process" if f.peak_mb is not None else "not known"),
    ]
    return frame.tiles([(name, _tight(value), _tight(note)) for name, value, note in found])


def _legend() -> Markup:
    return el("ul", [el("li", el("span", class_=f"swatch {COLOURS[s]}"), f" {text}") for s, text in _LEGEND.items()], class_="legend")  # type: ignore[index]  # fmt: skip


def _time(jobs: Sequence[Job]) -> list[object]:
    found, between = tracks(jobs), span(jobs)
    shown = [
        [el("h3", f"{track.title}: {plural(len(track.jobs), 'job')}"), _scrolled(timeline(track, between))]
        for track in sorted(found, key=lambda t: -len(t.jobs))[:_TRACKS]
    ]
    if not shown:
        return [el("p", "No time is known of any job." if jobs else "No task ran."), *_untimed(jobs)]
    start = el("p", f"Time since {tables.clock(between[0])} UTC. Hover over a bar to see what it is.", class_="note")
    more = len(found) - len(shown)
    rest = el("p", f"{plural(more, 'more place')} with fewer jobs not drawn.", class_="capped") if more else None
    return [start, _legend(), shown, rest, *_untimed(jobs), tables.place_table(jobs)]


def _untimed(jobs: Sequence[Job]) -> list[Markup]:
    """What is not drawn."""
    unknown, whole = sum(j.is_task and not j.ended_at for j in jobs), sum(not j.is_task for j in jobs)
    lines = []
    if unknown:
        lines.append(f"{plural(unknown, 'job')} without a time, as in receipts of older versions.")
    if whole:
        lines.append(f"{plural(whole, 'partition')} failed as a whole, before or after all tasks; see Failures.")
    return [el("p", line, class_="note") for line in lines]


def _scrolled(drawing: Drawing) -> Markup:
    return el("div", to_svg(drawing, "chart"), class_="lanes", tabindex="0", role="group", aria_label=drawing.label)


def _spread(jobs: Sequence[Job]) -> list[Markup]:
    ran = [j for j in jobs if j.is_task and j.run_s]
    if not ran:
        return [el("p", "No task ran.")]
    waited = [j for j in jobs if j.is_task and j.ended_at] if waits(jobs) else []
    drawn = [
        _spread_of("Run time of the last try", ran, lambda j: j.run_s),
        _spread_of("Waiting for a worker, and on the way", waited, lambda j: j.queued_s),
    ]
    return [_legend(), el("div", drawn, class_="charts")]


def _spread_of(name: str, jobs: Sequence[Job], value: Callable[[Job], float]) -> Markup:
    if not jobs:
        return el("figure", el("figcaption", name), el("p", "Not known.", class_="note"))
    s = Spread.of([value(j) for j in jobs])
    text = f"Median {duration(s.median)}, 95 % within {duration(s.p95)}, longest {duration(s.most)}."
    return el("figure", el("figcaption", name), to_svg(histogram(name, jobs, value), "chart"), el("p", _tight(text), class_="note"))  # fmt: skip


def _failures(jobs: Sequence[Job], advice: tuple[str, list[str]]) -> list[Markup]:
    found = causes(jobs)
    if not found:
        return [el("p", "No job failed.")]
    text, lines = advice
    return [
        tables.cause_table(found),
        el("p", text),
        el("pre", el("code", "\n".join(lines)), tabindex="0"),
        el("h3", "Jobs that failed"),
        tables.failed_table(jobs),
    ]


def _cost(jobs: Sequence[Job]) -> list[Markup]:
    f = Group.of(jobs)
    if not any(j.is_task for j in jobs):
        return [el("p", "No task ran.")]
    if not (f.usd or f.usd_predicted):
        free = el("p", "Nothing was predicted or billed: the backend has no price.", class_="note")
        return [free, tables.cost_table(jobs)]
    key = [
        el("li", el("span", class_=f"swatch {kind}"), f" {word}")
        for kind, word in (("plan", "predicted"), ("kept", "actual"))
    ]
    return [el("ul", key, class_="legend"), _scrolled(costs(jobs)), tables.cost_table(jobs)]
