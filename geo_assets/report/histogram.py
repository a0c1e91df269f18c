"""How times of jobs are spread."""

import bisect
from collections import Counter
from collections.abc import Callable, Sequence

from geo_assets.report.axes import count_axis, edges, time_axis
from geo_assets.report.drawing import Drawing, Line, Mark, Rect, Text
from geo_assets.report.jobs import Job
from geo_assets.report.markup import duration, plural
from geo_assets.report.timeline import COLOURS, WORDS

_BINS = 32
_LEFT, _RIGHT, _TOP, _BOTTOM, _HEIGHT = 44.0, 34.0, 24.0, 24.0, 198.0


def histogram(name: str, jobs: Sequence[Job], value: Callable[[Job], float], width: float = 440.0) -> Drawing:
    """Numbers of jobs by a time, coloured by status.

    Args:
        name: Of the time.
        jobs: Those that have one.
        value: Seconds of a job.
        width: Of the drawing.
    """
    bounds, open_ = edges([value(j) for j in jobs], _BINS)
    bins = len(bounds) - 1 + open_
    counts = Counter((min(bins - 1, max(0, bisect.bisect_right(bounds, value(j)) - 1)), j.status) for j in jobs)
    high = count_axis(max((sum(counts[i, s] for s in COLOURS) for i in range(bins)), default=0))
    floor, slot = _HEIGHT - _BOTTOM, (width - _LEFT - _RIGHT) / bins
    room = (floor - _TOP) / high.high
    marks: list[Mark] = []
    for tick in high.ticks:
        y = floor - tick * room
        marks += [Line(_LEFT, y, width - _RIGHT, y, "axis" if tick == 0 else "grid"), Text(_LEFT - 6, y + 3.5, high.show(tick), "end")]  # fmt: skip
    marks.append(Text(0, 9, "jobs"))
    for i in range(bins):
        y = floor
        longer = open_ and i == bins - 1
        room_name = f"over {duration(bounds[-1])}" if longer else f"{duration(bounds[i])} to {duration(bounds[i + 1])}"
        for status, colour in COLOURS.items():
            n = counts[i, status]
            if n:
                tall = max(1.0, n * room)
                y -= tall
                tip = f"{room_name}: {plural(n, 'job')} {WORDS[status]}"
                marks.append(Rect(_LEFT + i * slot, y, max(1.0, slot - 1.5), tall, colour, tip))
    marks += _labels(bounds, slot, open_=open_, floor=floor)
    return Drawing(width, _HEIGHT, f"{name} of {plural(len(jobs), 'job')}", tuple(marks))


def _labels(bounds: Sequence[float], slot: float, *, open_: bool, floor: float) -> list[Mark]:
    axis = time_axis(bounds[-1], 5)
    scale = slot / (bounds[1] - bounds[0])
    shown = [t for t in axis.ticks if not open_ or t * scale < (len(bounds) - 1) * slot - 30]
    marks: list[Mark] = [Text(_LEFT + t * scale, floor + 15, axis.show(t), "middle") for t in shown]
    if open_:
        marks.append(Text(_LEFT + len(bounds) * slot, floor + 15, "longer", "end"))
    return marks
