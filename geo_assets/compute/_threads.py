"""Threads of this process: numpy, GDAL and the codecs release the interpreter where the time goes.

A thread cannot be killed. A task over its time counts as failed and its thread is abandoned: another one takes its place,
whatever the task still returns is thrown away, and it ends with the process at the latest. What it writes meanwhile counts
only where the store needs a commit (``icechunk``); plain ``zarr`` shows late writes. For tasks that may hang, use processes.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Hashable
from dataclasses import replace

from geo_assets.compute._call import Call
from geo_assets.compute._worker import attempt
from geo_assets.model.compute import Capabilities
from geo_assets.model.task import TaskResult
from geo_assets.threads import abandon

_END_S = 5.0


class _Job:
    """One try; an object of its own, so that it is its own handle."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.began: float | None = None
        self.thread: threading.Thread | None = None
        self.unwanted = False


class Threads:
    """The adapter; see ``_call.Adapter``."""

    capabilities = Capabilities()

    def __init__(self, workers: int) -> None:
        self.slots = workers
        self._todo: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Hashable, TaskResult]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._abandoned: set[threading.Thread] = set()

    def submit(self, call: Call) -> Hashable:
        """Queue a try, and start a thread for it if there may be one more."""
        job = _Job(call)
        if (hangs := self._hangs()) > self.slots:  # each may hold as much memory as one that makes progress
            cause = f"not started: {hangs} tasks hang in this process; restart it, and raise compute.timeout_s if they are only slow"
            self._done.put((job, replace(call.lost("timeout", cause, retryable=False), attempts=0)))
            return job
        self._todo.put(job)
        self._fill()
        return job

    def _fill(self) -> None:
        while len(self._threads) < self.slots and not self._todo.empty():
            thread = threading.Thread(target=self._work, name=f"geo-assets-{len(self._threads)}", daemon=True)
            thread.start()
            self._threads.add(thread)

    def _work(self) -> None:
        me = threading.current_thread()
        while (job := self._todo.get()) is not None:
            with self._lock:
                if job.unwanted:
                    continue
                job.began, job.thread = time.monotonic(), me
            result = attempt(job.call.fn, job.call.task, job.call.index, job.call.number)
            with self._lock:
                job.thread = None
                if me in self._abandoned:
                    return
            self._done.put((job, result))

    def poll(self, wait_s: float) -> list[tuple[Hashable, TaskResult]]:
        """What has ended."""
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._done.get(timeout=wait_s))
            while True:
                found.append(self._done.get_nowait())
        return found

    def started(self, handle: Hashable) -> float | None:
        """When its thread took it."""
        assert isinstance(handle, _Job)
        return handle.began

    def kill(self, handle: Hashable) -> str:
        """Leave a thread to itself and put another one in its place."""
        assert isinstance(handle, _Job)
        with self._lock:
            handle.unwanted = True
            if handle.thread is not None:
                self._threads.discard(handle.thread)
                self._abandoned.add(handle.thread)
                abandon(handle.thread)
        self._fill()
        return "its thread cannot be killed and was abandoned"

    def drop(self, handles: list[Hashable], timeout_s: float) -> None:
        """Let those that run end, none of them longer than its time."""
        jobs = [h for h in handles if isinstance(h, _Job)]
        with self._lock:
            for job in jobs:
                job.unwanted = True
            running = [j for j in jobs if j.thread is not None]
        while any(j.thread is not None for j in running):
            now = time.monotonic()
            for job in running:
                if job.thread is not None and now - (job.began or now) > timeout_s:
                    self.kill(job)
                    running.remove(job)
                    break
            time.sleep(0.005)

    def _hangs(self) -> int:
        """Abandoned threads that still run."""
        return sum(t.is_alive() for t in self._abandoned)

    def close(self) -> None:
        """End all threads that do not hang."""
        for _ in self._threads:
            self._todo.put(None)
        for thread in self._threads:  # all of them idle, unless waiting for what they run was interrupted
            thread.join(_END_S)
