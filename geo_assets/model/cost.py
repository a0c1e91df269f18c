"""What computing costs: prices, and how long and how much before it starts."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Price:
    """What is paid for a task.

    Attributes:
        usd_per_s: A second of one worker, its memory included.
        usd_per_try: Each try of a task, however long.
        step_s: The time of a try is rounded up to a multiple of this; 0 does not round.
    """

    usd_per_s: float = 0.0
    usd_per_try: float = 0.0
    step_s: float = 0.0

    def billed_s(self, run_s: float) -> float:
        """Seconds that are paid for one try."""
        if not self.usd_per_s:
            return 0.0
        return math.ceil(round(run_s / self.step_s, 6)) * self.step_s if self.step_s else run_s

    def usd(self, billed_s: float, tries: int = 1) -> float:
        """USD for so many seconds and tries."""
        return billed_s * self.usd_per_s + tries * self.usd_per_try


FREE = Price()


def hourly(usd: float | None) -> Price:
    """A worker that costs so much an hour; None is nothing."""
    return Price(usd_per_s=(usd or 0.0) / 3600)


@dataclass(frozen=True)
class Load:
    """Tasks of one kind.

    Attributes:
        tasks: How many.
        run_s: Seconds that each takes of its worker, with what comes before and after it there.
        source: The sensor that they read, by which ``compute.regions`` says where they run.
        start_s: Seconds that are paid for besides, of the first task of each worker: that it took to start.
    """

    tasks: int
    run_s: float
    source: str = ""
    start_s: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """What some loads take.

    Attributes:
        tasks: How many.
        seconds: Wall time, with all workers busy.
        billed_s: Seconds that are paid for.
        usd: What they cost.
    """

    tasks: int = 0
    seconds: float = 0.0
    billed_s: float = 0.0
    usd: float = 0.0


def estimate(
    loads: Sequence[Load], *, workers: int, price: Callable[[str], Price], place: Callable[[str], str] = lambda _: ""
) -> Estimate:
    """Time and money of some loads, each task tried once, on workers of which none has started yet.

    Args:
        loads: What is to be run.
        workers: Tasks at a time.
        price: Of a task, by the sensor that it reads.
        place: Where a task runs, by the sensor that it reads: each place has workers of its own.
    """
    tasks, seconds, billed, usd = 0, 0.0, 0.0, 0.0
    left: dict[str, int] = {}  # workers that have not started
    for load in loads:
        one, there = price(load.source), place(load.source)
        starts = min(load.tasks, left.setdefault(there, workers))
        left[there] -= starts
        paid = load.tasks * one.billed_s(load.run_s) + starts * one.billed_s(load.start_s)
        tasks, billed = tasks + load.tasks, billed + paid
        seconds += load.tasks * load.run_s + starts * load.start_s
        usd += one.usd(paid, load.tasks)
    return Estimate(tasks, round(seconds / max(1, min(workers, tasks)), 3), round(billed, 3), round(usd, 8))
