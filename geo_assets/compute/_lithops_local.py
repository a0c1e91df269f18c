"""Lithops on this machine: to try a project with it, before it goes to a cloud.

One executor runs one job after the other, each in a new interpreter that forks for every call. So there is one for each worker,
and a job has as many calls as take about two seconds: few if they are long, so that nobody waits behind them.
"""

import contextlib
import shutil
import sys
import time
import uuid
from collections import deque
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from geo_assets.compute import _worker
from geo_assets.compute._call import Call, PayloadError
from geo_assets.compute._lithops_executor import Ended, Executor, Job
from geo_assets.compute._lithops_runner import MAIN
from geo_assets.errors import ComputeError
from geo_assets.model.compute import Capabilities
from geo_assets.model.task import TaskResult

PAYLOAD_MB = 64.0  # a job holds those of all its calls
_JOB_S = 2.0
_MOST = 64  # calls of a job
_LOOK_S = 0.05
_END_S = 10.0


def blob_of(call: Call) -> bytes:
    """A try as it is sent.

    Raises:
        PayloadError: It is too large, or cannot be sent at all.
    """
    blob = call.blob()
    if len(blob) > PAYLOAD_MB * 2**20:
        raise PayloadError(
            f"the task is {len(blob) / 2**20:.0f} MB large, and Lithops takes {PAYLOAD_MB:.0f} MB at most"
        )
    return blob


class _Lane:
    """An executor, and the one job that it has."""

    def __init__(self, config: dict[str, Any], bucket: str) -> None:
        self.executor = Executor(config, bucket)
        self.executor.knows(None)
        self._jobs: list[str] = []
        self._module = _worker.__name__
        if sys.executable == config["localhost"]["runtime"]:  # else it may be a container, which Lithops starts
            self.executor.handler.env.run_job = self._start

    @property
    def runs(self) -> bool:
        """Whether its process runs; Lithops has a thread that waits for it, and does not notice that one's own death."""
        manager = self.executor.handler.job_manager
        if manager is not None and not manager.is_alive():
            self.executor.handler.job_manager = manager = None
        return manager is not None

    @property
    def free(self) -> bool:
        """Whether it can take a job."""
        return not (self.executor.out or self.runs)

    def _start(self, job_key: str, file: str) -> Any:
        """Start the process of a job, as Lithops does, but with the tasks' module imported before it forks."""
        command = [sys.executable, "-c", MAIN.format(path=sys.path), self._module, "run_job", file]
        return self.executor.handler.env._start_job_process(job_key, command)

    def send(self, jobs: list[Job]) -> None:
        """Start a job."""
        self._module = jobs[0].call.fn.__module__
        keys = self.executor.send(jobs)
        self._jobs.append(f"{self.executor.id}-{keys[0][0]}")

    def look(self) -> tuple[list[Ended], list[Job]]:
        """What has ended, and what was lost with the process."""
        ran = self.runs
        ended = self.executor.look()
        lost = [] if ran else list(self.executor.out.values())
        if not ran:
            self._forget()
        return ended, lost

    def _forget(self) -> None:
        """Delete what Lithops keeps of a job for ever."""
        from lithops.constants import JOBS_DIR

        self.executor.out.clear()
        for name in self._jobs:
            self.executor.handler.env.jobs.pop(name, None)
            Path(JOBS_DIR, f"{name}.done").unlink(missing_ok=True)
        self._jobs.clear()

    def end(self) -> tuple[list[Ended], list[Job]]:
        """End its process with all that it has forked; what had ended by then, and what had not."""
        self.executor.handler.clear(list(self._jobs), exception=ComputeError("ended"))
        until = time.monotonic() + _END_S
        while self.runs:
            if time.monotonic() > until:
                raise ComputeError(
                    "a process of Lithops cannot be ended: look for localhost-runner-v1.py among the processes"
                )
            time.sleep(0.005)
        return self.look()

    def close(self) -> None:
        """End all."""
        self.end()
        self.executor.close()


class Local:
    """The adapter; see ``_call.Adapter``."""

    capabilities = Capabilities(isolated=True, kills=True, payload_mb=PAYLOAD_MB)

    def __init__(self, config: dict[str, Any], workers: int) -> None:
        from lithops.constants import LITHOPS_TEMP_DIR

        bucket = f"geo-assets-{uuid.uuid4().hex[:12]}"
        self._folder = Path(LITHOPS_TEMP_DIR, bucket)
        self._lanes = [_Lane(config, bucket) for _ in range(workers)]
        self._waiting: deque[Job] = deque()
        self._ready: list[Ended] = []
        self._mean_s = _JOB_S

    @property
    def slots(self) -> int:
        """As many as make the start of the interpreters worth it, if they are short."""
        return len(self._lanes) * _MOST // 2

    def submit(self, call: Call) -> Hashable:
        """Queue a try; it starts with the next poll."""
        job = Job(call, blob_of(call))
        self._waiting.append(job)
        return job

    def poll(self, wait_s: float) -> list[tuple[Hashable, TaskResult]]:
        """What has ended."""
        until = time.monotonic() + wait_s
        while True:
            self._send()
            for lane in self._lanes:
                ended, lost = lane.look()
                self._ready += ended
                self._ready += [Ended(job, _loss(job)) for job in lost]
            if self._ready or (left := until - time.monotonic()) <= 0:
                ready, self._ready = self._ready, []
                for one in ready:
                    self._mean_s = 0.8 * self._mean_s + 0.2 * one.result.run_s
                return [(one.job, one.result) for one in ready]
            time.sleep(min(_LOOK_S, left))

    def _send(self) -> None:
        free = [lane for lane in self._lanes if lane.free] if self._waiting else []
        for number, lane in enumerate(free):
            share = -(-len(self._waiting) // (len(free) - number))
            count = max(1, min(_MOST, int(_JOB_S / max(self._mean_s, 1e-3)), share)) if self._waiting else 0
            if count:
                lane.send([self._waiting.popleft() for _ in range(min(count, len(self._waiting)))])

    def started(self, handle: Hashable) -> float | None:
        """When its mark was seen in storage."""
        assert isinstance(handle, Job)
        return handle.began

    def kill(self, handle: Hashable) -> str:
        """End the process that runs it; other calls of its job start anew, which is no try of theirs."""
        self.drop([handle], 0.0)
        return "its process was ended"

    def drop(self, handles: list[Hashable], timeout_s: float) -> None:
        """End the processes that run them, and forget those that wait."""
        unwanted = {id(h) for h in handles}
        self._waiting = deque(j for j in self._waiting if id(j) not in unwanted)
        for lane in self._lanes:
            if any(id(job) in unwanted for job in lane.executor.out.values()):
                ended, rest = lane.end()
                self._ready += [e for e in ended if id(e.job) not in unwanted]
                for job in reversed([j for j in rest if id(j) not in unwanted]):
                    job.began = None
                    self._waiting.appendleft(job)
        self._ready = [e for e in self._ready if id(e.job) not in unwanted]

    def close(self) -> None:
        """End all processes and delete the folder."""
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            for lane in self._lanes:
                stack.callback(lane.close)


def _loss(job: Job) -> TaskResult:
    """The result of a call that was out when its interpreter ended."""
    run_s = time.monotonic() - job.began if job.began else 0.0
    cause = "its worker was lost: its interpreter ended without an answer; see localhost-runner.log of Lithops"
    return job.call.lost("lost", cause, retryable=True, run_s=run_s)
