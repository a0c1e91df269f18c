"""A picture a compute region: its time line, and how run times and waiting are spread."""

import re
from collections.abc import Sequence

from geo_assets.report.drawing import Drawing, Mark, Rect, Text, stacked, text_width, to_png
from geo_assets.report.histogram import histogram
from geo_assets.report.jobs import Job
from geo_assets.report.markup import duration, plural
from geo_assets.report.summary import Group, Spread, by, run_times, span, waits
from geo_assets.report.timeline import COLOURS, LOCAL, timeline, tracks, when

_PLACES = 50
_TRACKS = 6
_WIDTH, _MARGIN = 1120.0, 24.0
_GAP = 33.0  # a coloured square and blanks
_INNER = _WIDTH - 2 * _MARGIN
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_WORDS = {"ok": "made", "error": "failed by its own fault", "lost": "lost"}


def plots(jobs: Sequence[Job]) -> dict[str, bytes]:
    """Pictures by file name, those of most jobs first; ``local.png`` is of jobs of no cloud region."""
    groups = by((j for j in jobs if j.is_task), lambda j: (j.place or LOCAL,))
    found: dict[str, bytes] = {}
    for (place,), group in sorted(groups.items(), key=lambda g: -len(g[1]))[:_PLACES]:
        found[_file(place, set(found))] = to_png(plot(place, group, span(jobs)), colours=64)
    return found


def _file(place: str, taken: set[str]) -> str:
    """A name that every file system takes; places of the same one are numbered."""
    stem = _ODD.sub("_", place).strip("._")[:80] or "place"
    names = (f"{stem}{'' if n == 1 else f'-{n}'}.png" for n in range(1, len(taken) + 2))
    lower = {t.lower() for t in taken}
    return next(n for n in names if n.lower() not in lower)


def plot(place: str, jobs: Sequence[Job], between: tuple[float, float]) -> Drawing:
    """The picture of one compute region.

    Args:
        place: Its name.
        jobs: Of the place.
        between: First and last second since 1970 of the whole run.
    """
    f = Group.of(jobs)
    text = f"{plural(f.jobs, 'job')}, {f.ok:,} made, {f.failed:,} failed" + (f" · {t}" if (t := when(jobs)) else "")
    head = Drawing(_INNER, 56, place, (Text(0, 18, place[:80], kind="title"), Text(0, 38, text), *_legend(_INNER, 18)))
    parts: list[tuple[float, float, Drawing]] = [(_MARGIN, _MARGIN, head)]
    y = _MARGIN + 60
    for track in sorted(tracks(jobs), key=lambda t: -len(t.jobs))[:_TRACKS]:
        title = f"{track.backend or 'Jobs'}: {plural(len(track.jobs), 'job')}, time since the run's first start"
        drawing = timeline(track, between, _INNER)
        parts += [(_MARGIN, y, _title(title)), (_MARGIN, y + 24, drawing)]
        y += 24 + drawing.height + 18
    spread = _spread(jobs)
    for i, (title, note, drawing) in enumerate(spread):
        x = _MARGIN + i * (_INNER / 2 + 12)
        parts += [(x, y, _title(title)), (x, y + 24, drawing), (x, y + 24 + drawing.height, _note(note))]
    y += 24 + spread[0][2].height + 18 if spread else 0
    return stacked(_WIDTH, f"Jobs in {place}", parts, height=y + _MARGIN)


def _spread(jobs: Sequence[Job]) -> list[tuple[str, str, Drawing]]:
    width = _INNER / 2 - 12
    ran = [j for j in jobs if j.run_s]
    waited = [j for j in jobs if j.ended_at] if waits(jobs) else []
    found = []
    if ran:
        found.append(("Run time of the last try", _figures(run_times(ran)), histogram("Run time", ran, lambda j: j.run_s, width)))  # fmt: skip
    if waited:
        found.append(("Waiting for a worker, and on the way", _figures(waits(waited)), histogram("Waiting", waited, lambda j: j.queued_s, width)))  # fmt: skip
    return found


def _figures(values: Sequence[float]) -> str:
    s = Spread.of(values)
    return f"median {duration(s.median)}, 95 % within {duration(s.p95)}, longest {duration(s.most)}"


def _title(text: str) -> Drawing:
    return Drawing(_INNER, 20, text, (Text(0, 14, text, kind="head"),))


def _note(text: str) -> Drawing:
    return Drawing(_INNER, 16, text, (Text(44, 12, text),))


def _legend(right: float, y: float) -> list[Mark]:
    marks: list[Mark] = []
    x = right - sum(text_width(w) + _GAP for w in _WORDS.values()) + _GAP - 15
    for status, colour in COLOURS.items():
        marks += [Rect(x, y - 9, 10, 10, colour), Text(x + 15, y, _WORDS[status])]
        x += text_width(_WORDS[status]) + _GAP
    return marks


def small_timeline(jobs: Sequence[Job], width: float = 640.0) -> bytes | None:
    """A small picture of when jobs ran, all places below each other; None where no job has a time."""
    between, y = span(jobs), 0.0
    parts: list[tuple[float, float, Drawing]] = []
    for track in sorted(tracks(jobs), key=lambda t: -len(t.jobs))[:_TRACKS]:
        drawing = timeline(track, between, width)
        parts += [(8, y, _title(f"{track.title}: {plural(len(track.jobs), 'job')}")), (0, y + 22, drawing)]
        y += 22 + drawing.height + 8
    return to_png(stacked(width, "When jobs ran", parts, height=y), scale=1, colours=16) if parts else None
