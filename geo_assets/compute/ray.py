"""Ray: a cluster of this machine's processes that nobody else can reach, or one that runs already.

Every try is a Ray task of its own with one CPU; Ray's own retries stay off, since the driver tries again. No more of them are
sent than there are workers, so that none is billed, or ended, for having waited. A try is a stream of at most two
messages: one that runs longer than a moment says first that it has started, which costs the short ones nothing.
"""

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from geo_assets.compute._call import Call
from geo_assets.compute._driver import Engine
from geo_assets.compute._ray_cluster import check, first_line, given, library, own
from geo_assets.compute._watch import TELL_S, TooLargeError, Watched, limits_memory
from geo_assets.errors import ComputeError
from geo_assets.model.compute import Capabilities, ComputeRecipe
from geo_assets.model.cost import Estimate, Load, Price, estimate, hourly
from geo_assets.model.task import TaskResult

_END_S = 10.0
_LOOK_S = 2.0  # between two looks at whether Ray lives: it says nothing of that itself


def _try(blob: bytes, memory_mb: int | None) -> Iterator[bytes | str | None]:
    """On a worker: None once it has run for a moment, then the result, or why the process has to end."""
    watched = Watched(blob, memory_mb)
    try:
        answer = watched.answer(TELL_S)
        if answer is None:
            yield None
            answer = watched.answer()
        yield answer
    except TooLargeError as e:
        yield str(e)
        time.sleep(_END_S)  # the driver ends this process as soon as it has read that
        os._exit(1)


@dataclass(eq=False)
class _Job:
    """One try; an object of its own, so that it is its own handle."""

    call: Call
    blob: bytes
    stream: Any = None
    sent: float = 0.0
    began: float | None = None


class _Ray:
    """The adapter; see ``_call.Adapter``."""

    def __init__(self, ray: Any, recipe: ComputeRecipe, capabilities: Capabilities, lives: Callable[[], bool]) -> None:
        self._lives = lives
        self.slots, self.capabilities = recipe.workers, capabilities
        self._ray, self._memory_mb = ray, recipe.memory_mb
        self._remote = ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(_try)
        self._waiting: deque[_Job] = deque()
        self._running: dict[Any, _Job] = {}

    def submit(self, call: Call) -> Hashable:
        """Send a try to Ray, or queue it here."""
        if not self._ray.is_initialized():  # else asking Ray for anything would start it
            raise ComputeError("Ray has ended: connect again")
        self._see_that_it_lives()
        job = _Job(call, call.blob())
        self._waiting.append(job)
        self._fill()
        return job

    def _see_that_it_lives(self) -> None:
        if not self._lives():
            raise ComputeError("a process of the Ray cluster of this machine has ended: run again")

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self.slots:
            job = self._waiting.popleft()
            job.stream, job.sent = self._remote.remote(job.blob, self._memory_mb), time.monotonic()
            self._running[job.stream] = job

    def poll(self, wait_s: float) -> list[tuple[Hashable, TaskResult]]:
        """What has ended."""
        self._see_that_it_lives()
        streams, wait_s = list(self._running), min(wait_s, _LOOK_S)
        ready, others = self._ray.wait(streams, num_returns=1, timeout=wait_s) if streams else ([], [])
        if ready and others:
            ready += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        jobs = [self._running[stream] for stream in ready]
        found = [(job, result) for job in jobs if (result := self._heard(job)) is not None]
        for job, _ in found:
            del self._running[job.stream]
        self._fill()
        return list(found)

    def _heard(self, job: _Job) -> TaskResult | None:
        """What a try says next: its result, or None if it has just started."""
        errors = self._ray.exceptions
        try:
            said = self._ray.get(next(job.stream))
        except errors.RayTaskError as e:  # tasks raise nothing, so it is what Ray does around them
            cause = f"Ray cannot run it on a worker: {type(e.cause).__name__}: {e.cause}".splitlines()[0]
            return job.call.lost("error", cause, retryable=False)
        except errors.OutOfMemoryError as e:
            cause = f"out of memory: Ray ended its worker: {first_line(e)}"
            return job.call.lost("memory", cause, retryable=True, run_s=self._ran(job))
        except (errors.RayError, StopIteration) as e:
            cause = f"its worker was lost: {type(e).__name__}: {first_line(e)}"
            return job.call.lost("lost", cause, retryable=True, run_s=self._ran(job))
        if said is None:
            job.began = time.monotonic() - TELL_S
            return None
        if isinstance(said, str):
            self._ray.cancel(job.stream, force=True)
            return job.call.lost("memory", said, retryable=False, run_s=self._ran(job))
        return job.call.read(said)

    def _ran(self, job: _Job) -> float:
        """Seconds that a try ran which said no result; one that did not say that it started ran a moment at most."""
        now = time.monotonic()
        return now - job.began if job.began is not None else min(now - job.sent, TELL_S)

    def started(self, handle: Hashable) -> float | None:
        """When its worker began it, if that is more than a moment ago."""
        assert isinstance(handle, _Job)
        return handle.began

    def kill(self, handle: Hashable) -> str:
        """End the process that runs it."""
        self.drop([handle], 0.0)
        return "its worker was ended"

    def drop(self, handles: list[Hashable], timeout_s: float) -> None:
        """Forget those that wait, and end the processes of the others."""
        if not (self._ray.is_initialized() and self._lives()):
            return
        jobs = [h for h in handles if isinstance(h, _Job)]
        unwanted = {id(job) for job in jobs}
        self._waiting = deque(job for job in self._waiting if id(job) not in unwanted)
        ended = [job for job in jobs if self._running.pop(job.stream, None)]
        for job in ended:
            self._ray.cancel(job.stream, force=True)
        until = time.monotonic() + _END_S
        for job in ended:
            self._wait_for_end(job, until)
        self._fill()

    def _wait_for_end(self, job: _Job, until: float) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError, StopIteration):  # either is its end
            while self._ray.wait([job.stream], timeout=max(0.0, until - time.monotonic()))[0]:
                self._ray.get(next(job.stream))


class Ray:
    """See ``model.compute.Compute``."""

    def capabilities(self, recipe: ComputeRecipe) -> Capabilities:
        """Those of a cluster of our own, or of one that is given.

        Raises:
            PluginError: The library is not installed.
        """
        library()
        return Capabilities(
            isolated=True, kills=True, limits_memory=limits_memory(), remote=bool(recipe.address), paid=bool(recipe.usd_per_hour)
        )  # fmt: skip

    def price(self, recipe: ComputeRecipe, region: str) -> Price:
        """A worker's hour as the settings say: Ray does not know."""
        return hourly(recipe.usd_per_hour)

    def estimate(self, recipe: ComputeRecipe, loads: Sequence[Load]) -> Estimate:
        """Time and money of some loads on so many workers as the settings say."""
        return estimate(loads, workers=recipe.workers, price=lambda _: self.price(recipe, ""))

    @contextlib.contextmanager
    def connect(self, recipe: ComputeRecipe) -> Iterator[Engine]:
        """Connect to a cluster, or start one; what was started ends with the context."""
        ray = library()
        check(ray, recipe)
        with given(ray, recipe) if recipe.address else own(ray, recipe) as lives:
            adapter = _Ray(ray, recipe, self.capabilities(recipe), lives)
            yield Engine(adapter, recipe, price=lambda region: self.price(recipe, region))


PLUGIN = Ray()
