"""The report of a run as plain text for a log, 80 columns wide."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from geo_assets.model.text import printable
from geo_assets.report.jobs import Job
from geo_assets.report.markup import data_size, dollars, duration, memory, plural
from geo_assets.report.summary import Group, Spread, by, causes, run_times, waits
from geo_assets.report.timeline import LOCAL, when
from geo_assets.report.verdict import kinds, verdict

_WIDTH = 80
_LABEL = 12
_CAUSES = 10
_PLACES = 20
_TILES = 20
_LONGEST = 400  # characters of a cause


def run_text(
    title: str, run_id: str, jobs: Sequence[Job], advice: tuple[str, list[str]], document: Mapping[str, Any]
) -> str:
    """The report.

    Args:
        title: Name of the project.
        run_id: Of the run.
        jobs: Of the run.
        advice: What to do next: a sentence, and commands, which are never broken.
        document: What ``run --json`` prints: its partitions and outputs are told.
    """
    lines = [*_wrapped(f"{title}: run report"), "=" * _WIDTH]
    lines += _row("Run", run_id) + _row("Status", verdict(jobs))
    if time := when(jobs):
        lines += _row("When", time)
    partitions = document.get("partitions") or {}
    if partitions.get("total"):
        lines += _row("Partitions", f"{partitions['total']:,}: {kinds(partitions)}")
    if jobs:
        lines += _figures(jobs)
        lines += _places(jobs)
    if any(j.status != "ok" for j in jobs):
        lines += ["", "Failures by cause", "-" * _WIDTH, *_causes(jobs)]
    lines += _doubted(document.get("doubted") or ())
    outputs = document.get("outputs") or {}
    if outputs:
        lines += ["", "What is there", "-" * _WIDTH, *(f"  {name:<{_LABEL}}{uri}" for name, uri in outputs.items())]
    text, commands = advice
    lines += ["", "What to do next", "-" * _WIDTH, *_wrapped(text), *(f"  {c}" for c in commands)]
    return printable("\n".join(lines) + "\n")


def _row(label: str, text: str) -> list[str]:
    return _wrapped(text, label.ljust(_LABEL), " " * _LABEL)


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    flat = " ".join(text.split())
    return textwrap.wrap(flat, _WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False) or [
        first.rstrip()
    ]


def _figures(jobs: Sequence[Job]) -> list[str]:
    f, run, queued = Group.of(jobs), Spread.of(run_times(jobs)), Spread.of(waits(jobs))
    lines = _row("Work", f"{duration(run.total)}; a job: median {duration(run.median)}, 95 % within {duration(run.p95)}, longest {duration(run.most)}")  # fmt: skip
    if waits(jobs):
        lines += _row("Waiting", f"median {duration(queued.median)}, 95 % within {duration(queued.p95)}, longest {duration(queued.most)}")  # fmt: skip
    lines += _row("Cost", f"{dollars(f.usd)} ({dollars(f.usd_predicted)} predicted), {duration(f.billed_s)} billed")
    lines += _row("Read", f"{data_size(f.bytes_read)} in {plural(f.requests, 'request')}")
    if f.peak_mb is not None:
        lines += _row("Memory", f"{memory(f.peak_mb)} at most in one process")
    return lines


def _places(jobs: Sequence[Job]) -> list[str]:
    groups = by((j for j in jobs if j.is_task), lambda j: (j.product, j.place or LOCAL, j.backend))
    if not groups:
        return []
    head = f"{'Product':<20}{'Place':<16}{'Backend':<8}{'Jobs':>7}{'Failed':>8}{'Work':>11}{'Cost':>10}"
    lines = ["", head, "-" * _WIDTH]
    for (product, place, backend), group in list(groups.items())[:_PLACES]:
        f = Group.of(group)
        lines.append(
            f"{_cut(product, 19):<20}{_cut(place, 15):<16}{_cut(backend or '-', 7):<8}{f.jobs:>7,}{f.failed:>8,}{duration(f.run_s):>11}{dollars(f.usd):>10}"
        )
    return lines + _more(len(groups) - _PLACES, "line")


def _cut(text: str, most: int) -> str:
    """Names are told apart by their ends as often as by how they begin."""
    flat, head = " ".join(text.split()), most // 2
    return flat if len(flat) <= most else f"{flat[:head]}~{flat[head + 1 - most :]}"


def _causes(jobs: Iterable[Job]) -> list[str]:
    found, lines = causes(jobs), []
    for cause in found[:_CAUSES]:
        job = cause.first
        count = f"{len(cause.jobs):,} x {job.kind}: "
        text = job.cause if len(job.cause) <= _LONGEST else job.cause[:_LONGEST] + " ..."
        lines += _wrapped(count + text, "", "  ") + _wrapped(f"first: {job.where}", "  ", "  ")
    return lines + _more(len(found) - _CAUSES, "cause")


def _doubted(tiles: Sequence[Mapping[str, Any]]) -> list[str]:
    if not tiles:
        return []
    lines = ["", "Yearly tiles that are faulty or doubtful", "-" * _WIDTH]
    for t in tiles[:_TILES]:
        word = "faulty" if t["faults"] else "doubtful"
        lines += _wrapped(
            f"{t['product']} {t['month'] or ''} {t['tile']}, {word}: {[*t['faults'], *t['doubts']][0]}", "", "  "
        )
        lines += [f"  {t['page']}"] if t["page"] else []
    return lines + _more(len(tiles) - _TILES, "tile")


def _more(n: int, what: str) -> list[str]:
    return [f"and {plural(n, f'more {what}')}"] if n > 0 else []
