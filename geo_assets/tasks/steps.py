"""Work that needs tasks to be run in between, written as one function, and run alone or side by side with others.

A body is a generator: it yields a batch of tasks, and gets their results. So a partition's planning, tasks and commit stand
in one place one after the other, while the tasks of many partitions keep all workers busy: those of the next partition are
sent as soon as there is room, not once the last task of this one has ended.
"""

import itertools
import random
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from geo_assets.errors import ComputeError, GeoAssetsError
from geo_assets.model.compute import NOT_YET
from geo_assets.model.task import TaskResult

T = TypeVar("T")
Mapper = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[TaskResult]]


@dataclass(frozen=True)
class Batch:
    """Tasks of one function; their results come back in their order."""

    fn: Callable[[Any], Any]
    tasks: Sequence[Any]


Steps = Generator[Batch, list[TaskResult], T]


def alone(steps: Steps[T], mapper: Mapper) -> T:
    """Run a body by itself; returns what it returns."""
    try:
        batch = next(steps)
        while True:
            results = list(mapper(batch.fn, batch.tasks)) if batch.tasks else []
            batch = steps.send(sorted(results, key=lambda r: r.index))
    except StopIteration as end:
        value: T = end.value
        return value


@dataclass(frozen=True)
class Ended(Generic[T]):
    """How a body ended.

    Attributes:
        key: Which one.
        value: What it returned; None if it failed.
        error: Why it failed, or None.
        usd: What its tasks cost.
    """

    key: str
    value: T | None
    error: GeoAssetsError | None
    usd: float


@dataclass(eq=False)
class _Body(Generic[T]):
    key: str
    steps: Steps[T]
    usd: float = 0.0
    expected: int = 0
    results: list[TaskResult] = field(default_factory=list)


class Together(Generic[T]):
    """Bodies side by side.

    Args:
        bodies: By key; each is begun as there is room for its tasks.
        fn: The function of all their tasks.
        ended: Told how each body ended, as soon as it has.
        mixed: Send the tasks of a batch in a mixed order.
    """

    def __init__(
        self, bodies: Iterable[tuple[str, Steps[T]]], fn: Callable[[Any], Any], ended: Callable[[Ended[T]], None], *, mixed: bool = False
    ) -> None:  # fmt: skip
        self._bodies, self._fn, self._ended, self._mixed = iter(bodies), fn, ended, mixed
        self._open: list[_Body[T]] = []
        self._queue: deque[tuple[_Body[T], int, Any]] = deque()
        self._out: dict[int, tuple[_Body[T], int]] = {}  # by the engine's number of the task
        self._given = 0

    def run(self, mapper: Mapper) -> None:
        """Run them all; an error of the backend is the end of those that need it, and of none that does not."""
        try:
            feed = self._feed()
            first = list(itertools.islice(feed, 1))
            if first:  # else a backend would be started for nothing
                for result in mapper(self._fn, itertools.chain(first, feed)):
                    self._take(result)
        except GeoAssetsError as e:
            self._give_up(e)
        finally:
            for body in self._open:
                body.steps.close()
        if self._open:
            raise ComputeError(f"{self._open[0].key}: {self._open[0].expected} tasks gave no answer")

    def _feed(self) -> Iterator[Any]:
        """Tasks, as there is room for them."""
        while True:
            while self._queue:
                body, local, task = self._queue.popleft()
                self._out[self._given] = body, local
                self._given += 1
                yield task
            if (more := next(self._bodies, None)) is not None:
                self._begin(*more)
            elif self._open:
                yield NOT_YET
            else:
                return

    def _begin(self, key: str, steps: Steps[T]) -> None:
        body = _Body(key, steps)
        self._open.append(body)
        self._go_on(body, lambda: next(steps))

    def _take(self, result: TaskResult) -> None:
        body, local = self._out.pop(result.index)
        body.usd += result.usd
        body.results.append(replace(result, index=local))
        if len(body.results) == body.expected:
            results = sorted(body.results, key=lambda r: r.index)
            self._go_on(body, lambda: body.steps.send(results))

    def _go_on(self, body: _Body[T], step: Callable[[], Batch]) -> None:
        """Take a body to its next batch, or to its end."""
        try:
            batch = step()
            while not batch.tasks:
                batch = body.steps.send([])
        except StopIteration as end:
            self._close(body, end.value, None)
        except GeoAssetsError as e:
            self._close(body, None, e)
        else:
            if batch.fn is not self._fn:
                raise TypeError(f"{body.key}: its tasks are of {batch.fn}, and those of this run of {self._fn}")
            body.expected, body.results = len(batch.tasks), []
            tasks = list(enumerate(batch.tasks))
            if self._mixed:
                random.Random(len(tasks)).shuffle(tasks)
            self._queue.extend((body, local, task) for local, task in tasks)

    def _close(self, body: _Body[T], value: T | None, error: GeoAssetsError | None) -> None:
        self._open.remove(body)
        body.results = []
        self._ended(Ended(body.key, value, error, body.usd))

    def _give_up(self, error: GeoAssetsError) -> None:
        """The backend is of no use any more: tell every body that needs it."""
        self._queue.clear()
        for body in list(self._open):
            self._throw(body, error)
        for key, steps in self._bodies:
            self._begin(key, steps)
            for body in list(self._open):
                self._throw(body, error)
            self._queue.clear()

    def _throw(self, body: _Body[T], error: GeoAssetsError) -> None:
        try:
            body.steps.throw(error)
        except StopIteration as end:
            self._close(body, end.value, None)
        except GeoAssetsError as e:
            self._close(body, None, e)
        else:
            self._close(body, None, error)
