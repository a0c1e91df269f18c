"""Processes of this machine, kept from task to task: one that dies takes its own task along and no other one.

They are started anew and not forked: libraries that read pixels have threads, which a fork would not take along.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Hashable
from multiprocessing.connection import Connection, wait
from pathlib import Path

from geo_assets.compute._call import Call
from geo_assets.compute._worker import STARTED
from geo_assets.errors import ComputeError
from geo_assets.model.compute import Capabilities
from geo_assets.model.task import TaskResult

_LOOK_S = 0.2  # between two looks at how much memory the workers hold
_STATM = Path("/proc/self/statm")
_END_S = 5.0  # that an idle worker may take to end
_MAIN = "import sys; sys.path[:] = {path!r}; from geo_assets.compute._child import main; main({tasks}, {life})"


class _Worker:
    """One process, and the try that it runs."""

    def __init__(self) -> None:
        try:
            ours, theirs = socket.socketpair()
            try:
                end, self._life = os.pipe()
            except OSError:
                ours.close()
                theirs.close()
                raise
        except OSError as e:
            raise ComputeError(f"a worker process cannot be started: {e}") from e
        code = _MAIN.format(path=sys.path, tasks=theirs.fileno(), life=end)
        # In a session of its own, so that Ctrl-C reaches the driver alone, which then ends it
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code], pass_fds=(theirs.fileno(), end), stdin=subprocess.DEVNULL, stdout=2, start_new_session=True
            )  # fmt: skip
        except OSError as e:
            ours.close()
            os.close(self._life)
            raise ComputeError(f"a worker process cannot be started: {e}") from e
        finally:
            theirs.close()
            os.close(end)
        self.connection = Connection(ours.detach())
        self.job: _Job | None = None
        self.too_large_mb = 0.0

    def run(self, job: "_Job") -> None:
        """Send it a try."""
        self.job, job.worker = job, self
        with contextlib.suppress(OSError):  # it died meanwhile: then its end of the socket is closed, which poll sees
            self.connection.send_bytes(job.blob)

    def memory_mb(self) -> float:
        """What it holds now, in MiB; 0 once it is gone."""
        try:
            if _STATM.exists():
                pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
                return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
            asked = ["ps", "-o", "rss=", "-p", str(self._process.pid)]  # macOS has no /proc
            return int(subprocess.run(asked, capture_output=True, check=True).stdout) / 1024
        except (OSError, IndexError, ValueError, subprocess.CalledProcessError):
            return 0.0

    def fate(self) -> str:
        """How it ended."""
        code = self._process.wait()
        if code >= 0:
            return f"exit code {code}"
        return f"signal {signal.Signals(-code).name if -code in set(signal.Signals) else -code}"

    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it and what its task started, at once; its session has their group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self, *, at_once: bool) -> None:
        """End it, and wait for that."""
        if at_once:
            self.kill()
        self.connection.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        os.close(self._life)


class _Job:
    """One try; an object of its own, so that it is its own handle."""

    def __init__(self, call: Call, blob: bytes) -> None:
        self.call, self.blob = call, blob
        self.began: float | None = None
        self.worker: _Worker | None = None


class Processes:
    """The adapter; see ``_call.Adapter``."""

    def __init__(self, workers: int, memory_mb: int | None) -> None:
        self.slots, self._memory_mb = workers, memory_mb
        self._workers: list[_Worker] = []
        self._waiting: deque[_Job] = deque()

    capabilities = Capabilities(isolated=True, kills=True, limits_memory=True)

    def submit(self, call: Call) -> Hashable:
        """Give a try to a worker that is free, or queue it."""
        job = _Job(call, call.blob())
        self._waiting.append(job)
        try:
            self._fill()
        except ComputeError:
            self._waiting.remove(job)
            raise
        return job

    def _fill(self) -> None:
        while self._waiting:
            for dead in [w for w in self._workers if w.job is None and not w.alive()]:
                self._remove(dead)
            free = next((w for w in self._workers if w.job is None), None)
            if free is None:
                if len(self._workers) == self.slots:
                    return
                free = _Worker()
                self._workers.append(free)
            free.run(self._waiting.popleft())

    def poll(self, wait_s: float) -> list[tuple[Hashable, TaskResult]]:
        """What has ended, also with its process."""
        until = time.monotonic() + wait_s
        while True:
            left = max(0.0, until - time.monotonic())
            busy = {w.connection: w for w in self._workers if w.job is not None}
            ready = wait(list(busy), min(left, _LOOK_S) if self._memory_mb else left)
            found = [r for c in ready if isinstance(c, Connection) for r in self._answer(busy[c])]
            self._fill()
            if self._memory_mb:
                self._end_the_largest()
            if found or time.monotonic() >= until:
                return found

    def _answer(self, worker: _Worker) -> list[tuple[Hashable, TaskResult]]:
        """A try's result; none if it has only just started."""
        job = worker.job
        assert job is not None
        try:
            blob = worker.connection.recv_bytes()
        except (EOFError, OSError):
            self._remove(worker)
            return [(job, self._loss(job.call, worker, worker.fate()))]
        if blob == STARTED:
            job.began = time.monotonic()
            return []
        worker.job = None
        if self._memory_mb and (worker.too_large_mb or worker.memory_mb() > self._memory_mb):
            self._remove(worker)  # it has kept too much, or was ended for it just now: no matter for the next task
        return [(job, job.call.read(blob))]

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.end(at_once=True)

    def _loss(self, call: Call, worker: _Worker, fate: str) -> TaskResult:
        began = worker.job.began if worker.job else None
        run_s = time.monotonic() - began if began is not None else 0.0
        if worker.too_large_mb:
            cause = (
                f"out of memory: its process held {worker.too_large_mb:.0f} MB of compute.memory_mb {self._memory_mb}"
            )
            return call.lost("memory", cause, retryable=False, run_s=run_s)
        cause = f"its process was lost: {fate}"
        return call.lost("lost", cause, retryable=True, run_s=run_s)

    def _end_the_largest(self) -> None:
        for worker in self._workers:
            if worker.job is not None and (held := worker.memory_mb()) > (self._memory_mb or 0):
                worker.too_large_mb = held
                worker.kill()

    def started(self, handle: Hashable) -> float | None:
        """When its worker said that it starts."""
        assert isinstance(handle, _Job)
        return handle.began

    def kill(self, handle: Hashable) -> str:
        """End the process that runs it."""
        assert isinstance(handle, _Job)
        self.drop([handle], 0.0)
        return "its process was ended"

    def drop(self, handles: list[Hashable], timeout_s: float) -> None:
        """End the processes that run them, and forget those that wait."""
        jobs = [h for h in handles if isinstance(h, _Job)]
        unwanted = {id(j) for j in jobs}
        self._waiting = deque(j for j in self._waiting if id(j) not in unwanted)
        for worker in [w for w in self._workers if w.job is not None and id(w.job) in unwanted]:
            self._remove(worker)
        self._fill()

    def close(self) -> None:
        """End all of them."""
        for worker in self._workers:
            worker.end(at_once=worker.job is not None)
        self._workers.clear()
        self._waiting.clear()
