"""What is the same for all backends: tries, waits between them, time limits, how many tasks are out, and the end.

A backend's own retries stay off. It sends a task, says what came back, and ends one that is over its time: an ``Adapter``.
"""

import bisect
import heapq
import math
import random
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from geo_assets.compute._call import Adapter, Call, PayloadError
from geo_assets.compute._guard import Guarded
from geo_assets.errors import ComputeError
from geo_assets.model.compute import NOT_YET, Capabilities, ComputeRecipe
from geo_assets.model.cost import FREE, Price
from geo_assets.model.task import TaskResult

_BACKOFF_S = 0.5
_AHEAD = 4
_UNLUCKY = 3  # times that a task may be lost before it starts and not be blamed for it
_LACKING = ("ImportError", "ModuleNotFoundError")
_SLOTS_S = 1.0  # between two looks at how many tasks run at a time
_IDLE_S = 0.25  # between two looks at what is over its time
_STALLED_S, _GRACE_S = (
    600.0,
    60.0,
)  # nothing ended for so long, and so much longer than a try may take: nobody works on it
_FAR_LONGER, _LEAST_S, _KNOWN = (
    3.0,
    10.0,
    5,
)  # a straggler: so many times the median of so many tasks, and so many seconds


@dataclass(frozen=True)
class _Try:
    call: Call
    sent: float
    backup: bool = False


class Engine:
    """Runs tasks through an adapter; see ``model.compute.Engine``.

    Args:
        adapter: Of the backend, ready.
        recipe: Its settings.
        price: Of a try, by cloud region. An adapter's result says in ``billed_s`` how long its try kept the worker, where
            that is more than its ``run_s``.
        dashboard: Address of the backend's own page on what runs, or "".
    """

    def __init__(
        self, adapter: Adapter, recipe: ComputeRecipe, *, price: Callable[[str], Price] | None = None, dashboard: str = ""
    ) -> None:  # fmt: skip
        self._adapter, self._recipe, self._price = Guarded(adapter), recipe, price or (lambda _: FREE)
        self.dashboard = dashboard
        self._busy = False
        self._known: set[Any] = set()  # functions that a worker elsewhere has run: of others one task goes ahead

    @property
    def capabilities(self) -> Capabilities:
        """What may be expected of it."""
        return self._adapter.capabilities

    def map(
        self, fn: Callable[[Any], Any], tasks: Iterable[Any], *, retries: int | None = None, timeout_s: float | None = None,
        skip_done: Callable[[Any], bool] | None = None, on_event: Callable[[TaskResult], None] | None = None,
        max_failures: int | None = None, ordered: bool = False, window: int | None = None,
    ) -> Iterator[TaskResult]:  # fmt: skip
        """Run a function on every task and yield results as they finish; see ``model.compute.Engine``."""
        recipe = self._recipe
        order: list[int] | None = None
        if isinstance(tasks, Sequence) and self.capabilities.remote and not ordered:
            # Neighbours read the same files: side by side they would meet the same limits of the same object store
            order = list(range(len(tasks)))
            random.Random(len(order)).shuffle(order)
            tasks = [tasks[i] for i in order]
        run = _Run(
            self._adapter, fn, iter(tasks), order, retries=recipe.retries if retries is None else retries,
            timeout_s=timeout_s or recipe.timeout_s, skip_done=skip_done, window=window,
            region_of=recipe.region_of, price=self._price, known=self._known, backups=recipe.backups,
        )  # fmt: skip
        tell = on_event or (lambda _: None)
        return self._alone(_until(run.in_order(tell) if ordered else run.results(tell), max_failures))

    def _alone(self, results: Iterator[TaskResult]) -> Iterator[TaskResult]:
        """Results, unless another map is under way, whose answers would be mixed up with these."""
        if self._busy:
            raise ComputeError("this engine runs other tasks: take all of their results first, or connect another one")
        self._busy = True
        try:
            yield from results
        finally:
            self._busy = False
            results.close()  # type: ignore[attr-defined]


class _Run:
    """One map: what is out, and what is to be tried again."""

    def __init__(
        self, adapter: Adapter, fn: Callable[[Any], Any], tasks: Iterator[Any], order: list[int] | None, *, retries: int, timeout_s: float,
        skip_done: Callable[[Any], bool] | None, window: int | None, region_of: Callable[[str], str], price: Callable[[str], Price],
        known: set[Any], backups: bool,
    ) -> None:  # fmt: skip
        self._adapter, self._fn, self._tasks, self._order = adapter, fn, tasks, order
        self._region_of, self._price, self._known, self._backups = region_of, price, known, backups
        self._retries, self._timeout_s, self._skip_done, self._asked = retries, timeout_s, skip_done, window
        self._slots, self._looked = adapter.slots, time.monotonic()
        self._live: dict[Hashable, _Try] = {}
        self._later: list[tuple[float, int, Call]] = []  # by time
        self._given, self._all_given, self._dry = 0, False, False
        self._most_given = math.inf
        self._at_once: list[TaskResult] = []
        self._times: list[float] = []  # of tries that were good, sorted
        self._moved = time.monotonic()

    @property
    def _window(self) -> int:
        """The most tries that are out: a cluster may grow while it runs."""
        if self._asked:
            return self._asked
        if time.monotonic() - self._looked > _SLOTS_S:
            self._slots, self._looked = self._adapter.slots, time.monotonic()
        return 2 * self._slots

    def in_order(self, on_event: Callable[[TaskResult], None]) -> Iterator[TaskResult]:
        """Results in the order of the tasks; no more of them wait for an earlier one than a few windows hold."""
        waiting: dict[int, TaskResult] = {}
        due = 0
        self._most_given = _AHEAD * self._window
        results = self.results(on_event)
        try:
            for result in results:
                waiting[result.index] = result
                while due in waiting:
                    yield waiting.pop(due)
                    due += 1
                self._most_given = due + _AHEAD * self._window
        finally:
            results.close()  # type: ignore[attr-defined]

    def results(self, on_event: Callable[[TaskResult], None]) -> Iterator[TaskResult]:
        """Results as they finish."""
        try:
            while True:
                self._send()
                ended, self._at_once = self._at_once, []
                if not (ended or self._live or self._later):
                    return
                for result in [*ended, *self._ended(wait=not ended)]:
                    on_event(result)
                    if result.status != "retry":
                        yield result
        finally:
            self._bill_rest(on_event)
            self._adapter.drop(list(self._live), self._timeout_s)

    def _bill_rest(self, on_event: Callable[[TaskResult], None]) -> None:
        """Tell what those cost that nobody waits for any more."""
        for handle, one in self._live.items():
            began = self._adapter.started(handle) if self._price(one.call.region) != FREE else None
            if began is not None:
                run_s = time.monotonic() - began
                on_event(
                    replace(
                        self._billed(one.call, one.call.lost("error", "ended", retryable=False, run_s=run_s)),
                        status="retry",
                    )
                )

    def _send(self) -> None:
        now = time.monotonic()
        while self._later and self._later[0][0] <= now and len(self._live) < self._window:
            self._submit(heapq.heappop(self._later)[2])
        while self._may_give():
            try:
                task = next(self._tasks)
            except StopIteration:
                self._all_given = True
                break
            self._dry = task is NOT_YET
            if self._dry:
                break
            index, self._given = self._given if self._order is None else self._order[self._given], self._given + 1
            if self._skip_done and self._skip_done(task):
                self._at_once.append(TaskResult(index, "skipped", attempts=0))
            else:
                self._submit(Call(self._fn, task, index, 1, region=self._region_of(getattr(task, "source", ""))))
        if self._backups and (self._all_given or self._dry):
            self._back_up()

    def _back_up(self) -> None:
        """Send tries that take far longer than others did a second time, where there is room and that does no harm."""
        if len(self._times) < _KNOWN:
            return
        most_s = max(_LEAST_S, _FAR_LONGER * self._times[len(self._times) // 2])
        for handle, one in list(self._live.items()):
            began = self._adapter.started(handle)
            slow = began is not None and time.monotonic() - began > most_s
            harmless = getattr(one.call.task, "repeatable", False) and not one.backup
            if slow and harmless and self._other(one) is None and len(self._live) < self._adapter.slots:
                self._submit(one.call, backup=True)

    def _other(self, one: _Try) -> Hashable | None:
        """Handle of another try of the same task that is out; ``one`` may be out or not."""
        return next((h for h, t in self._live.items() if t is not one and t.call.index == one.call.index), None)

    def _may_give(self) -> bool:
        most = self._window if not self._adapter.capabilities.remote or self._fn in self._known else 1
        room = len(self._live) + len(self._later) < most and self._given < self._most_given
        return room and not (self._all_given or self._at_once)

    def _submit(self, call: Call, *, backup: bool = False) -> None:
        try:
            self._live[self._adapter.submit(call)] = _Try(call, time.monotonic(), backup)
        except PayloadError as e:
            self._at_once.append(replace(call.lost("payload", str(e), retryable=False), attempts=0))

    def _ended(self, *, wait: bool) -> list[TaskResult]:
        """What ended, or is over its time; nothing if neither within a moment, or at once."""
        if self._live:
            answers = [(h, r) for h, r in self._adapter.poll(self._patience() if wait else 0.0) if h in self._live]
            answers += self._late({h for h, _ in answers})
            self._refuse_stalled(bool(answers))
            return [self._judged(self._live.pop(h), result) for h, result in answers if h in self._live]
        if wait:
            time.sleep(max(0.0, min(_IDLE_S, self._later[0][0] - time.monotonic())))
        return []

    def _refuse_stalled(self, moved: bool) -> None:
        """Ends a run on which nobody works.

        Raises:
            ComputeError: Nothing has ended for longer than any try may take.
        """
        now, most_s = time.monotonic(), max(_STALLED_S, self._timeout_s + _GRACE_S) + self._adapter.capabilities.queue_s
        if moved:
            self._moved = now
        starts = [self._adapter.started(handle) or one.sent for handle, one in self._live.items()]
        if now - max(self._moved, *starts) > most_s:
            raise ComputeError(
                f"no worker took any of {len(self._live)} tasks for {most_s:.0f} s: see that the backend has workers, and that these are not busy with other work"
            )

    def _patience(self) -> float:
        now = time.monotonic()
        starts = [s for h in self._live if (s := self._adapter.started(h)) is not None]
        times = [s + self._timeout_s for s in starts] + ([self._later[0][0]] if self._later else [])
        known = (
            _IDLE_S
            if len(starts) < len(self._live) or not times or (self._backups and (self._all_given or self._dry))
            else 3600.0
        )
        return max(0.001, min([known, *(t - now for t in times)]))

    def _late(self, answered: set[Hashable]) -> list[tuple[Hashable, TaskResult]]:
        now, late = time.monotonic(), []
        for handle, one in self._live.items():
            began = None if handle in answered else self._adapter.started(handle)
            if began is not None and now - began >= self._timeout_s:
                cause = f"timeout: not finished after {self._timeout_s:g} s; {self._adapter.kill(handle)}"
                late.append((handle, one.call.lost("timeout", cause, retryable=False, run_s=now - began)))
        return late

    def _judged(self, one: _Try, result: TaskResult) -> TaskResult:
        """The result as it counts: one that is tried again is put aside."""
        call, now, clock = one.call, time.monotonic(), time.time()
        # The worker's clock, where it is not wrong: here it may have waited for whoever takes the results
        late_s = min(max(0.0, clock - result.ended_at), now - one.sent) if result.ended_at else 0.0
        queued_s = max(0.0, round(now - late_s - one.sent - result.run_s, 6))
        result = replace(self._billed(call, result), queued_s=queued_s, ended_at=clock - late_s)
        call = replace(call, billed_s=result.billed_s, usd=result.usd)
        self._know(result)
        if result.status == "ok":
            bisect.insort(self._times, result.run_s)
        if (other := self._other(one)) is not None:
            return self._first_of_two(other, result)
        if result.kind == "lost" and not result.run_s and call.unlucky < _UNLUCKY:
            heapq.heappush(self._later, (now, call.index, replace(call, unlucky=call.unlucky + 1)))
            return replace(result, status="retry")
        if result.status == "ok" or not result.retryable or call.number > self._retries:
            return result
        wait = _BACKOFF_S * 2 ** (call.number - 1) * random.uniform(0.5, 1.0)
        heapq.heappush(self._later, (now + wait, call.index, replace(call, number=call.number + 1)))
        return replace(result, status="retry")

    def _know(self, result: TaskResult) -> None:
        """Note that workers can run the function, or that they cannot.

        Raises:
            ComputeError: The first task of it shows that they lack a module.
        """
        if self._fn in self._known or not self._adapter.capabilities.remote:
            return
        if result.error in _LACKING:
            raise ComputeError(
                f"workers lack what tasks need: {result.cause}; they need geo_assets with the extras of the project, in the versions of this machine"
            )
        self._known.add(self._fn)

    def _first_of_two(self, other: Hashable, result: TaskResult) -> TaskResult:
        """A try of which a second one is out: a good answer ends that one, else that one's answer counts."""
        twin = self._live.pop(other)
        if result.status == "ok":
            began = self._adapter.started(other)
            run_s = time.monotonic() - began if began is not None else 0.0
            self._adapter.kill(other)
            paid = self._billed(twin.call, twin.call.lost("error", "", retryable=False, run_s=run_s))
            more_s, more_usd = paid.billed_s - twin.call.billed_s, paid.usd - twin.call.usd
            return replace(result, billed_s=result.billed_s + more_s, usd=result.usd + more_usd)
        self._live[other] = replace(
            twin, backup=True, call=replace(twin.call, billed_s=result.billed_s, usd=result.usd)
        )
        return replace(result, status="retry")

    def _billed(self, call: Call, result: TaskResult) -> TaskResult:
        """With what this try and those before it cost."""
        price = self._price(call.region)
        billed = price.billed_s(max(result.billed_s, result.run_s))
        return replace(
            result, region=call.region, billed_s=call.billed_s + billed, usd=call.usd + price.usd(billed)
        )  # fmt: skip


def _until(results: Iterator[TaskResult], max_failures: int | None) -> Iterator[TaskResult]:
    """Results until too many are errors; closing it closes what it is made from."""
    failures = 0
    try:
        for result in results:
            yield result
            failures += result.status == "error"
            if max_failures is not None and failures > max_failures:
                raise ComputeError(f"more than {max_failures} tasks failed, the last one so: {result.cause}")
    finally:
        results.close()  # type: ignore[attr-defined]
