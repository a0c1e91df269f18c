"""What a task takes on a backend, learned from the receipts of those that ran there before.

A task's time is a fixed part, which the backend and the store take, and a part for each unit of its work. What a worker takes to
start is apart: there are as many starts as workers, however many tasks.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from geo_assets.model.compute import Capabilities, ComputeRecipe
from geo_assets.model.cost import Load
from geo_assets.model.receipt import BlockReceipt

_SPREAD = 1.5  # a time for each byte can only be told where the largest tasks read so many times what the smallest do
_ODD, _LEAST_FIXED_S = 10.0, 0.1
_FIRST = "local"  # backend of receipts that do not name one yet
MOST = 200  # receipts, and blocks, that are learned from: every further one would change nothing


@dataclass(frozen=True)
class Host:
    """A backend that is to run tasks.

    Attributes:
        backend: Its name.
        workers: Tasks at a time.
        overhead_s: What a task takes there beside its own time, until receipts tell.
    """

    backend: str = _FIRST
    workers: int = 1
    overhead_s: float = 0.0


def host(recipe: ComputeRecipe, can: Capabilities) -> Host:
    """The backend of some settings."""
    return Host(recipe.backend, recipe.workers, can.overhead_s)


@dataclass(frozen=True)
class Pace:
    """What a task takes.

    Attributes:
        fixed_s: Seconds that it takes whatever it does.
        unit_s: Seconds for each unit of its work.
        start_s: Seconds that are paid for besides, of the first task of each worker.
    """

    fixed_s: float
    unit_s: float
    start_s: float = 0.0

    def seconds(self, work: float) -> float:
        """Time of one task, on a worker that has started."""
        return self.fixed_s + work * self.unit_s

    def load(self, work: float, source: str = "") -> Load:
        """One task, which reads a sensor."""
        return Load(1, self.seconds(work), source, self.start_s)


def learn(done: Iterable[tuple[float, float, float]], default: Pace) -> Pace:
    """Pace of tasks like some that were run.

    Args:
        done: Of each task its work, the seconds that it kept its worker, and those of them that it ran for itself.
        default: Where there are none.

    Returns:
        A line through them, whose slope is robust against some that were odd (Theil 1950, Sen 1968), and meets no work at no
        less than what tasks took beside their own time; where all did about the same work, what they took for themselves goes
        by their work, as far as that is no slower than the default.
    """
    tasks = sorted(t for t in done if t[0] > 0 and t[1] > 0)
    if not tasks:
        return default
    tasks = tasks[:: max(1, len(tasks) // MOST)]
    if len(tasks) >= 4 and tasks[-1][0] >= _SPREAD * tasks[0][0]:
        slope = min(max(0.0, statistics.median(_slopes(tasks))), _steepest(tasks))
        return Pace(_mean([kept - slope * work for work, kept, _ in tasks]), slope)
    slope = min(default.unit_s, statistics.median(min(own, kept) / work for work, kept, own in tasks))
    return Pace(_mean([kept - slope * work for work, kept, _ in tasks]), slope)


def _mean(fixed_s: Sequence[float]) -> float:
    """Mean of what tasks took beside their work: the few that start a worker count, the odd ones only as far as ten medians."""
    most = _ODD * max(statistics.median(fixed_s), _LEAST_FIXED_S)
    return max(0.0, statistics.fmean(min(s, most) for s in fixed_s))


def _steepest(tasks: Sequence[tuple[float, float, float]]) -> float:
    """The slope that leaves for the fixed part what tasks took beside their own time: with a steeper one, none would take less."""
    beside = statistics.median(max(0.0, kept - own) for _, kept, own in tasks)
    return statistics.median(max(0.0, kept - beside) / work for work, kept, _ in tasks)


def _slopes(tasks: Sequence[tuple[float, float, float]]) -> list[float]:
    """Slopes between tasks that differ enough in work, of all pairs."""
    return [
        (b[1] - a[1]) / (b[0] - a[0]) for i, a in enumerate(tasks) for b in tasks[i + 1 :] if b[0] > a[0]
    ]  # fmt: skip


def kept_s(block: BlockReceipt) -> float:
    """Seconds that one try of a block's task kept a worker that had started: as billed, where somebody was, else as it ran."""
    return (block.billed_s - block.start_s) / max(1, block.attempts) or block.run_s or block.wall_s


def pace(
    blocks: Iterable[BlockReceipt], work: Callable[[BlockReceipt], float], where: Host, *, unit_s: float, fixed_s: float = 0.0
) -> Pace:  # fmt: skip
    """Pace of tasks like some that were run.

    Args:
        blocks: What they made, on any backend.
        work: Of one of them.
        where: The backend; only its own tasks are learned from.
        unit_s: Where it ran none: seconds for each unit of work.
        fixed_s: Likewise those that a task takes beside its work and beside what the backend adds.
    """
    there = [b for b in blocks if (b.backend or _FIRST) == where.backend]
    learned = learn(((work(b), kept_s(b), b.wall_s) for b in there), Pace(where.overhead_s + fixed_s, unit_s))
    return replace(learned, start_s=_start_s(there, where.workers))


def _start_s(blocks: Sequence[BlockReceipt], workers: int) -> float:
    """Seconds that a worker takes to start: the median, times the share of workers that did not run already."""
    starts = [b.start_s for b in blocks if b.start_s]
    if not starts:
        return 0.0
    tasks: dict[tuple[str, str], int] = defaultdict(int)
    for b in blocks:
        tasks[(b.run_id, b.place)] += 1
    return statistics.median(starts) * min(1.0, len(starts) / sum(min(n, workers) for n in tasks.values()))
