"""Spark: on this machine alone, or a master that runs already.

Every try is a job of one task, run from a thread of its own here; Spark's own retries stay off, since the driver tries again.
No more of them are sent than there are workers, so that none waits in Spark. Python runs in processes of its own, one task
each: what dies there takes its own task along. Spark forgets a job that is cancelled, and leaves the process that runs it to
itself: on this machine we end that, elsewhere nobody does.
"""

import contextlib
import functools
import os
import queue
import re
import signal
import time
import uuid
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geo_assets.compute._call import Call, PayloadError
from geo_assets.compute._driver import Engine
from geo_assets.compute._spark_context import check_java, context, library, scratch
from geo_assets.compute._watch import TELL_S, Watched, limits_memory
from geo_assets.errors import ComputeError
from geo_assets.model.compute import Capabilities, ComputeRecipe
from geo_assets.model.cost import Estimate, Load, Price, estimate, hourly
from geo_assets.model.task import TaskResult

_PAYLOAD_MB = 100.0  # spark.rpc.message.maxSize is 128 MiB
_END_S = 10.0
_LOOK_S = 0.02
_UNWANTED = "-unwanted"
_TOO_LARGE = re.compile(r"out of memory: its process held \d+ MB of compute\.memory_mb \d+")
_RAISED = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception): .*", re.MULTILINE)


def _run(blobs: Iterable[bytes], memory_mb: int | None, mark: str | None) -> list[bytes | None]:
    """On a worker: run the one try of a job.

    Args:
        blobs: The try, for ``_worker.answer``.
        memory_mb: What this process may hold.
        mark: A file that says which process it is, while it runs; None where this machine is not the driver's. Another one
            beside it says that nobody wants the try any more: of two that write one and read the other, one sees both.
    """
    if mark is None:
        return [Watched(blob, memory_mb).answer() for blob in blobs]
    Path(mark).write_text(str(os.getpid()))
    try:
        return [] if Path(mark + _UNWANTED).exists() else _run(blobs, memory_mb, None)
    finally:
        Path(mark).unlink()


@dataclass(eq=False)
class _Job:
    """One try; an object of its own, so that it is its own handle."""

    call: Call
    blob: bytes
    name: str = field(default_factory=lambda: f"geo-assets-{uuid.uuid4().hex}")
    future: Future[TaskResult] | None = None
    sent: float | None = None
    began: float | None = None
    asked: float = 0.0
    unwanted: bool = False


class _Spark:
    """The adapter; see ``_call.Adapter``."""

    def __init__(self, spark: Any, recipe: ComputeRecipe, capabilities: Capabilities, folder: Path | None) -> None:
        self.slots, self.capabilities = recipe.workers, capabilities
        self._spark, self._memory_mb, self._folder = spark, recipe.memory_mb, folder
        self._threads = ThreadPoolExecutor(recipe.workers, thread_name_prefix="geo-assets-spark")
        self._done: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._out: set[_Job] = set()

    def submit(self, call: Call) -> Hashable:
        """Queue a try for a thread that runs it as a job."""
        blob = call.blob()
        if len(blob) > _PAYLOAD_MB * 2**20:
            raise PayloadError(
                f"the task is {len(blob) / 2**20:.0f} MB large, and Spark takes {_PAYLOAD_MB:.0f} MB at most"
            )
        self._see_that_it_runs()
        job = _Job(call, blob)
        self._out.add(job)
        job.future = self._threads.submit(self._job, job)
        job.future.add_done_callback(lambda _: self._done.put(job))
        return job

    def _runs(self) -> bool:
        gateway = self._spark._gateway
        return gateway is not None and gateway.proc.poll() is None

    def _see_that_it_runs(self) -> None:
        if not self._runs():
            raise ComputeError("Spark's Java process has ended: run again")

    def _job(self, job: _Job) -> TaskResult:
        """In a thread: run a try and wait for it."""
        from py4j.protocol import Py4JError

        job.sent = time.monotonic()
        mark = str(self._folder / job.name) if self._folder else None
        try:
            self._spark.setJobGroup(job.name, job.name, interruptOnCancel=True)
            rdd = self._spark.parallelize([job.blob], 1)
            work = functools.partial(_run, memory_mb=self._memory_mb, mark=mark)
            (answer,) = [] if job.unwanted else rdd.mapPartitions(work).collect()
        except (Py4JError, OSError, ValueError) as e:  # OSError: the connection to Java; ValueError: unwanted
            return self._loss(job, str(e))
        return job.call.read(answer)

    def _loss(self, job: _Job, said: str) -> TaskResult:
        run_s = time.monotonic() - (job.began or job.sent or time.monotonic())
        if large := _TOO_LARGE.search(said):
            return job.call.lost("memory", large[0], retryable=False, run_s=run_s)
        if "PythonException" in said and (raised := _RAISED.findall(said.partition("Traceback")[2])):
            return job.call.lost("error", f"Spark cannot run it on a worker: {raised[0]}", retryable=False)
        failure = said.partition("most recent failure: ")[2] or said.partition("\n: ")[2] or said
        cause = next(iter(failure.strip().splitlines()), "no cause was given")
        return job.call.lost("lost", f"its worker was lost: {cause}", retryable=True, run_s=run_s)

    def poll(self, wait_s: float) -> list[tuple[Hashable, TaskResult]]:
        """What has ended."""
        ended = []
        with contextlib.suppress(queue.Empty):
            ended.append(self._done.get(timeout=wait_s))
            while True:
                ended.append(self._done.get_nowait())
        known = [job for job in ended if job in self._out]
        if known:
            self._see_that_it_runs()
        self._out.difference_update(known)
        return [(job, job.future.result()) for job in known if job.future]

    def started(self, handle: Hashable) -> float | None:
        """When Spark gave it to a worker, if that is more than a moment ago."""
        assert isinstance(handle, _Job)
        now = time.monotonic()
        if handle.began is None and handle.sent and now - max(handle.sent, handle.asked) > TELL_S:
            handle.asked = now
            if self._active_tasks(handle):
                handle.began = now - TELL_S
        return handle.began

    def _active_tasks(self, job: _Job) -> int:
        tracker = self._spark.statusTracker()
        infos = [tracker.getJobInfo(i) for i in tracker.getJobIdsForGroup(job.name)]
        stages = [tracker.getStageInfo(stage) for info in infos if info for stage in info.stageIds]
        return sum(stage.numActiveTasks for stage in stages if stage)

    def kill(self, handle: Hashable) -> str:
        """Cancel its job; on this machine its process is ended as well, which Spark does not do."""
        self.drop([handle], 0.0)
        if self._folder:
            return "its worker was ended"
        return "its job was cancelled, but it goes on for itself on its worker, and what it returns is thrown away"

    def drop(self, handles: list[Hashable], timeout_s: float) -> None:
        """Forget those that wait, and cancel the jobs of the others."""
        jobs = [h for h in handles if isinstance(h, _Job) and h in self._out]
        self._out.difference_update(jobs)
        for job in jobs:
            job.unwanted = True
        left = [job for job in jobs if job.future and not job.future.cancel()]
        until = time.monotonic() + _END_S
        while left and time.monotonic() < until and self._runs():
            for job in left:
                self._end(job)
            time.sleep(_LOOK_S)
            left = [job for job in left if job.future and not job.future.done()]

    def _end(self, job: _Job) -> None:
        if self._folder:
            mark = self._folder / job.name
            Path(f"{mark}{_UNWANTED}").touch()
            with contextlib.suppress(OSError, ValueError):  # it has not begun, or has just ended
                os.kill(int(mark.read_text()), signal.SIGKILL)
                mark.unlink()
        self._spark.cancelJobGroup(job.name)

    def close(self) -> None:
        """Cancel what is left and end the threads."""
        self.drop(list(self._out), 0.0)
        self._threads.shutdown(cancel_futures=True)


class Spark:
    """See ``model.compute.Compute``."""

    def capabilities(self, recipe: ComputeRecipe) -> Capabilities:
        """Those of this machine, or of a master that is given.

        Raises:
            PluginError: The library is not installed.
            ConfigError: There is no Java for it.
        """
        library()
        check_java()
        return Capabilities(
            isolated=True, kills=not recipe.address, limits_memory=limits_memory(), remote=bool(recipe.address), paid=bool(recipe.usd_per_hour),
            payload_mb=_PAYLOAD_MB,
        )  # fmt: skip

    def price(self, recipe: ComputeRecipe, region: str) -> Price:
        """A worker's hour as the settings say: Spark does not know."""
        return hourly(recipe.usd_per_hour)

    def estimate(self, recipe: ComputeRecipe, loads: Sequence[Load]) -> Estimate:
        """Time and money of some loads on so many workers as the settings say."""
        return estimate(loads, workers=recipe.workers, price=lambda _: self.price(recipe, ""))

    @contextlib.contextmanager
    def connect(self, recipe: ComputeRecipe) -> Iterator[Engine]:
        """Start Spark's driver; it ends with the context."""
        capabilities = self.capabilities(recipe)
        with scratch() as folder, context(library(), recipe, folder) as spark:
            adapter = _Spark(spark, recipe, capabilities, None if recipe.address else folder)
            with contextlib.closing(adapter):
                yield Engine(adapter, recipe, price=lambda region: self.price(recipe, region))


PLUGIN = Spark()
