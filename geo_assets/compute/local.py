"""Threads of this process: numpy, GDAL and the codecs release the interpreter where the time goes.

A thread cannot be killed. A task that runs longer than ``timeout_s`` counts as failed and its thread is abandoned: another
one takes its place, whatever the task still returns is thrown away, and it ends with the process at the latest. What it
writes meanwhile counts only where the store needs a commit (``icechunk``); plain ``zarr`` shows late writes. For tasks that
may hang, use a backend with processes of its own.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from geo_assets.compute._worker import attempt
from geo_assets.errors import ComputeError
from geo_assets.model.recipe import ComputeRecipe
from geo_assets.model.task import TaskResult

_BACKOFF_S = 0.5


class _Pool:
    """Worker threads of one map."""

    def __init__(self, fn: Callable[[Any], Any], recipe: ComputeRecipe) -> None:
        self._fn, self._recipe = fn, recipe
        self._todo: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[TaskResult] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._running: dict[int, tuple[threading.Thread, float]] = {}  # by task: where and since when
        self._threads: set[threading.Thread] = set()
        self._abandoned: set[threading.Thread] = set()

    def submit(self, index: int, task: Any) -> None:
        """Queue a task, and start a thread for it if there may be one more."""
        self._todo.put((index, task))
        if len(self._threads) < self._recipe.workers:
            thread = threading.Thread(target=self._work, name=f"geo-assets-{len(self._threads)}", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _work(self) -> None:
        me = threading.current_thread()
        while (item := self._todo.get()) is not None:
            index, task = item
            with self._lock:
                self._running[index] = me, time.monotonic()
            result = self._with_retries(index, task)
            with self._lock:
                if me in self._abandoned:
                    return
                del self._running[index]
            self._done.put(result)

    def _with_retries(self, index: int, task: Any) -> TaskResult:
        number = 1
        while True:
            result = attempt(self._fn, task, index, number)
            if result.status == "ok" or not result.retryable or number > self._recipe.retries:
                return result
            if self._closing.wait(_BACKOFF_S * 2 ** (number - 1)):
                return result
            number += 1

    def next(self) -> list[TaskResult]:
        """Results that are there, at least one; a task over its time is one too."""
        while True:
            try:
                found = [self._done.get(timeout=self._patience())]
            except queue.Empty:
                found = self._late()
            if found:
                return found

    def _patience(self) -> float:
        with self._lock:
            first = min((since for _, since in self._running.values()), default=time.monotonic())
        return max(0.0, min(first + self._recipe.timeout_s - time.monotonic(), 3600.0)) + 0.01

    def _late(self) -> list[TaskResult]:
        now, limit = time.monotonic(), self._recipe.timeout_s
        with self._lock:
            late = [(i, thread, now - since) for i, (thread, since) in self._running.items() if now - since > limit]
            for index, thread, _ in late:
                del self._running[index]
                self._threads.discard(thread)
                self._abandoned.add(thread)
        cause = f"timeout: not finished after {limit:g} s; its thread cannot be killed and was abandoned"
        return [TaskResult(i, "error", cause=cause, error=ComputeError.__name__, run_s=took) for i, _, took in late]

    def refuse(self, index: int) -> None:
        """Give up a task before it starts."""
        cause = f"not started: {self.hangs()} tasks hang in this process; restart it, and raise compute.timeout_s if they are only slow"
        self._done.put(TaskResult(index, "error", cause=cause, error=ComputeError.__name__, attempts=0))

    def replace(self) -> None:
        """Start threads for those that were abandoned, if tasks wait."""
        while len(self._threads) < self._recipe.workers and not self._todo.empty():
            thread = threading.Thread(target=self._work, name="geo-assets-again", daemon=True)
            self._threads.add(thread)
            thread.start()

    def hangs(self) -> int:
        """Abandoned threads that still run."""
        return sum(t.is_alive() for t in self._abandoned)

    def close(self) -> None:
        """Drop what waits and let the running tasks end, none of them longer than its time."""
        self._closing.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._todo.get_nowait()
        for _ in self._threads:
            self._todo.put(None)
        while any(t.is_alive() for t in self._threads):
            self._late()
            for thread in list(self._threads):
                thread.join(min(0.2, self._recipe.timeout_s))


class _Local:
    def map(
        self,
        fn: Callable[[Any], Any],
        tasks: Sequence[Any],
        *,
        recipe: ComputeRecipe,
        on_event: Callable[[TaskResult], None] | None = None,
    ) -> Iterator[TaskResult]:
        """Run ``fn`` on every task, at most ``recipe.workers`` at a time; see ``Compute``.

        At most twice as many are queued, running or waiting to be taken. Closing the iterator starts no further task or
        retry and waits for those that run. ``recipe.timeout_s`` counts from a task's first start, its retries included.
        """
        pool = _Pool(fn, recipe)
        given = open_ = 0
        try:
            while given < len(tasks) or open_:
                while given < len(tasks) and open_ < 2 * recipe.workers:
                    if pool.hangs() > recipe.workers:  # each may hold as much memory as one that makes progress
                        pool.refuse(given)
                    else:
                        pool.submit(given, tasks[given])
                    given, open_ = given + 1, open_ + 1
                for result in pool.next():
                    open_ -= 1
                    if on_event:
                        on_event(result)
                    yield result
                pool.replace()
        finally:
            pool.close()


PLUGIN = _Local()
