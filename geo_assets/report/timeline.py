"""When jobs ran, by compute region and backend: a lane a worker, or how many at a time where they are too many."""

import datetime as dt
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo_assets.report.axes import Axis, count_axis, time_axis
from geo_assets.report.drawing import Drawing, Line, Mark, Rect, Text, shortened
from geo_assets.report.jobs import Job, Status
from geo_assets.report.markup import duration, plural
from geo_assets.report.summary import by, span

LOCAL = "local"  # how jobs of no cloud region are called
COLOURS: dict[Status, str] = {"ok": "kept", "error": "bad", "lost": "dropped"}
WORDS: dict[Status, str] = {"ok": "made", "error": "failed", "lost": "lost"}
_JOBS = 300  # bars of their own
_LANES = 40
_LANE_PX = 15.0
_LEFT, _RIGHT, _BOTTOM = 150.0, 16.0, 22.0
_PLOT = 150.0  # height, where jobs are counted
_BINS = 180
_LABEL = 22  # characters of a worker's name
_NUMBER = re.compile(r"[0-9]+")
_TOUCH_S = 0.002  # clocks of two processes agree no better

Lane = tuple[str, list[Job]]


@dataclass(frozen=True)
class Track:
    """Jobs of one compute region and backend.

    Attributes:
        place: Cloud region, or local.
        backend: Compute backend, or "".
        jobs: Those with a time, by their start.
    """

    place: str
    backend: str
    jobs: tuple[Job, ...]

    @property
    def title(self) -> str:
        """Its heading."""
        return ", ".join(p for p in dict.fromkeys((self.place, self.backend)) if p)


def tracks(jobs: Iterable[Job]) -> list[Track]:
    """Jobs with a time by compute region and backend."""
    timed = sorted((j for j in jobs if j.ended_at and j.is_task), key=lambda j: j.started_at)
    groups = by(timed, lambda j: (j.place or LOCAL, j.backend))
    return [Track(place, backend, tuple(group)) for (place, backend), group in groups.items()]


def timeline(track: Track, between: tuple[float, float], width: float = 1080.0) -> Drawing:
    """The time line of a track.

    Args:
        track: The jobs.
        between: First and last second since 1970 of the axis, which all tracks of a run share.
        width: Of the drawing.
    """
    axis = time_axis(between[1] - between[0], max(2, int((width - _LEFT) / 110)))
    lanes = _lanes(track.jobs) if len(track.jobs) <= _JOBS else []
    if lanes and len(lanes) <= _LANES:
        return _with_lanes(track, lanes, between[0], axis, width)
    return _counted(track, between, axis, width)


def _lanes(jobs: Sequence[Job]) -> list[Lane]:
    """Jobs by worker, and of each worker those that ran at the same time apart; by name and start."""
    found: list[Lane] = []
    for worker, group in sorted(((w, g) for (w,), g in by(jobs, lambda j: (j.worker,)).items()), key=_natural):
        own: list[list[Job]] = []
        for job in group:
            lane = next((k for k in own if k[-1].ended_at <= job.started_at + _TOUCH_S), None)
            if lane is None:
                own.append([job])
            else:
                lane.append(job)
        found += [(worker, lane) for lane in own]
    return found


def _natural(lane: Lane) -> str:
    """The 2nd worker before the 10th."""
    return _NUMBER.sub(lambda n: n[0].zfill(12), lane[0])


def _with_lanes(track: Track, lanes: Sequence[Lane], zero: float, axis: Axis, width: float) -> Drawing:
    floor = _LANE_PX * len(lanes) + 4
    scale = (width - _LEFT - _RIGHT) / axis.high
    marks = _grid(axis, scale, floor)
    last = None
    for i, (worker, jobs) in enumerate(lanes):
        y = 4 + _LANE_PX * i
        name = worker or "jobs at a time"
        if name != last:
            marks.append(Text(_LEFT - 8, y + 10, shortened(name, _LABEL), "end", tip=worker))
            last = name
        for job in jobs:
            x = _LEFT + (job.started_at - zero) * scale
            long = max(1.5, job.run_s * scale)
            gap = 0.8 if long > 4 else 0.0  # so that two jobs in a row are two bars
            marks.append(Rect(x, y, long - gap, _LANE_PX - 4, COLOURS[job.status], _tip(job)))
    label = f"{track.title}: {plural(len(track.jobs), 'job')} over time on {plural(len(lanes), 'lane')}"
    return Drawing(width, floor + _BOTTOM, label, tuple(marks))


def _tip(job: Job) -> str:
    end = "" if job.status == "ok" else f", {job.kind}: {job.cause[:200]}"
    return f"{job.where}: {duration(job.run_s)}, waited {duration(job.queued_s)}{end}"


def _grid(axis: Axis, scale: float, floor: float) -> list[Mark]:
    marks: list[Mark] = []
    for tick in axis.ticks:
        x = _LEFT + tick * scale
        marks += [Line(x, 0, x, floor, "grid"), Text(x, floor + 15, axis.show(tick), "middle")]
    end = _LEFT + axis.high * scale
    return [*marks, Line(_LEFT, floor, end, floor, "axis")]


def _counted(track: Track, between: tuple[float, float], axis: Axis, width: float) -> Drawing:
    """How many jobs ran at a time, on average over each of some short spans."""
    marks_at = np.linspace(0.0, axis.high, _BINS + 1)
    counts = {s: _at_a_time(track.jobs, s, between[0], marks_at) for s in COLOURS}
    high = count_axis(float(np.sum(list(counts.values()), axis=0).max()))
    floor, top = _PLOT, 8.0
    room, scale = (floor - top) / high.high, (width - _LEFT - _RIGHT) / axis.high
    marks = _grid(axis, scale, floor)
    for tick in high.ticks:
        y = floor - tick * room
        marks += [Line(_LEFT, y, width - _RIGHT, y, "axis" if tick == 0 else "grid"), Text(_LEFT - 8, y + 4, high.show(tick), "end")]  # fmt: skip
    marks.append(Text(0, floor - (floor - top) / 2, "jobs at a time"))
    bar = scale * axis.high / _BINS
    for i in range(_BINS):
        y = floor
        for status, values in counts.items():
            tall = float(values[i]) * room
            if tall > 0.05:
                y -= tall
                tip = f"{axis.show(round(marks_at[i] / axis.step) * axis.step)}: {values[i]:.1f} {WORDS[status]}"
                marks.append(Rect(_LEFT + i * bar, y, bar, tall, COLOURS[status], tip))
    label = f"{track.title}: {plural(len(track.jobs), 'job')} over time, at most {high.high:,.0f} at a time"
    return Drawing(width, floor + _BOTTOM, label, tuple(marks))


def _at_a_time(jobs: Sequence[Job], status: Status, zero: float, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:  # fmt: skip
    """Mean number of jobs of a status that ran between each two edges."""
    chosen = [j for j in jobs if j.status == status]
    starts = np.array([j.started_at - zero for j in chosen])
    long = np.array([j.run_s for j in chosen])
    done = np.array([np.clip(edge - starts, 0, long).sum() for edge in edges])  # seconds of work until then
    mean: npt.NDArray[np.float64] = np.diff(done) / np.diff(edges)
    return mean


def when(jobs: Iterable[Job]) -> str:
    """Start, end and length of a run, in words; "" where no job has a time."""
    first, last = span(jobs)
    if not last:
        return ""
    a, b = (dt.datetime.fromtimestamp(t, dt.UTC) for t in (first, last))
    end = f"{b:%H:%M:%S}" if a.date() == b.date() else f"{b:%Y-%m-%d %H:%M:%S}"
    return f"{a:%Y-%m-%d %H:%M:%S} to {end} UTC, {duration(last - first)}"
