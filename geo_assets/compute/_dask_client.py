"""What the backends on Dask share: an adapter for one cluster or more, each reached through a client of ``distributed``.

Every try is a future of its own; Dask's own retries stay off, since the driver tries again. Workers say when they start a
try, so that time limits do not count the queue. A try that runs cannot be taken back from Dask: where the workers are ours,
the one that has it is started anew, elsewhere it goes on for itself and what it returns is thrown away.
"""

import contextlib
import queue
import time
import uuid
from asyncio import CancelledError
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from geo_assets.compute import _worker
from geo_assets.compute._call import Call, PayloadError
from geo_assets.errors import ComputeError
from geo_assets.model.compute import Capabilities
from geo_assets.model.task import TaskResult
from geo_assets.model.text import told

PAYLOAD_MB = 64.0  # the scheduler holds every task that is out
SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,  # a task that ends its worker is tried by us
    # Python 3.11 can deadlock where all threads are looked at while others start (gh-106883), and the workers' profiler does so
    "distributed.worker.profile.enabled": False,
}
_ANSWER_S = 60.0
_TOPIC = "geo-assets-started"


def run(blob: bytes, name: str) -> bytes:
    """On a worker: say that a try starts, and run it.

    Args:
        blob: The try, for ``_worker.answer``.
        name: Its name, after that of its adapter and a slash.

    Returns:
        Its result, pickled.
    """
    from distributed import get_worker

    get_worker().log_event(f"{_TOPIC}-{name.partition('/')[0]}", name)
    return _worker.answer(blob)


class Cluster:
    """A cluster as an adapter uses it.

    Args:
        client: Of ``distributed``, connected.
        own: Whether its workers are ours, so that one may be started anew.
        submit: Sends ``run`` with its arguments; None is the client itself.
    """

    def __init__(self, client: Any, *, own: bool, submit: Callable[..., Any] | None = None) -> None:
        self.client, self.own = client, own
        self.submit = submit or (lambda *args, **settings: client.submit(run, *args, **settings))

    @property
    def works(self) -> bool:
        """Whether its scheduler can be reached."""
        return bool(self.client.status == "running")

    @property
    def threads(self) -> int:
        """Of all workers that there are now."""
        return sum(map(int, self.client.nthreads().values()))

    def where(self, job: "_Job") -> list[str]:
        """The worker that has a try."""
        return [address for address, keys in self.client.processing().items() if job.future.key in keys]

    def start_anew(self, workers: list[str]) -> None:
        """End some workers and start others in their place."""
        self.client.restart_workers(workers, timeout=_ANSWER_S, raise_for_error=False)


@dataclass(eq=False)
class _Job:
    """One try; an object of its own, so that it is its own handle."""

    call: Call
    name: str
    cluster: Cluster
    future: Any = None
    began: float | None = None


class DaskAdapter:
    """See ``_call.Adapter``.

    Args:
        capabilities: What may be expected of it.
        cluster_in: The cluster of a cloud region.
        slots: Tasks that run at a time, as of now.
    """

    def __init__(
        self, capabilities: Capabilities, *, cluster_in: Callable[[str], Cluster], slots: Callable[[], int]
    ) -> None:
        self.capabilities = capabilities
        self._cluster_in, self._slots = cluster_in, slots
        self._id = uuid.uuid4().hex
        self._listens_to: set[Cluster] = set()
        self._jobs: dict[str, _Job] = {}
        self._done: queue.SimpleQueue[_Job] = queue.SimpleQueue()

    @property
    def slots(self) -> int:
        """Tasks that run at a time."""
        return max(1, self._slots())

    def _starts(self, event: tuple[float, Any]) -> None:
        """A worker began a try; called by a thread of the client."""
        if job := self._jobs.get(str(event[1])):
            job.began = time.monotonic()

    def submit(self, call: Call) -> Hashable:
        """Send a try to the scheduler of its region."""
        blob = call.blob()
        if len(blob) > PAYLOAD_MB * 2**20:
            raise PayloadError(
                f"the task is {len(blob) / 2**20:.0f} MB large, and Dask takes {PAYLOAD_MB:.0f} MB at most"
            )
        cluster = self._cluster_in(call.region)
        if not cluster.works:
            raise ComputeError("the connection to the Dask scheduler is lost: see that it runs, and run again")
        if cluster not in self._listens_to:
            cluster.client.subscribe_topic(f"{_TOPIC}-{self._id}", self._starts)
            self._listens_to.add(cluster)
        job = _Job(call, f"{self._id}/{uuid.uuid4().hex}", cluster)
        self._jobs[job.name] = job
        job.future = cluster.submit(blob, job.name, key=f"geo-assets-{job.name}", pure=False, retries=0)
        job.future.add_done_callback(lambda _: self._done.put(job))
        return job

    def poll(self, wait_s: float) -> list[tuple[Hashable, TaskResult]]:
        """What has ended."""
        ended = []
        with contextlib.suppress(queue.Empty):
            ended.append(self._done.get(timeout=wait_s))
            while True:
                ended.append(self._done.get_nowait())
        return [(job, self._result(job)) for job in ended if self._jobs.pop(job.name, None)]

    def _result(self, job: _Job) -> TaskResult:
        try:
            blob = job.future.result(timeout=_ANSWER_S)
        except (Exception, CancelledError) as e:  # noqa: BLE001 - tasks raise nothing: whatever comes means that the result is gone
            run_s = time.monotonic() - job.began if job.began else 0.0
            said = told(e)
            return job.call.lost("lost", f"its worker or the scheduler was lost: {said}", retryable=True, run_s=run_s)
        return job.call.read(blob)

    def started(self, handle: Hashable) -> float | None:
        """When its worker said that it starts."""
        assert isinstance(handle, _Job)
        return handle.began

    def kill(self, handle: Hashable) -> str:
        """Take it back; where the workers are ours, its own is started anew."""
        assert isinstance(handle, _Job)
        cluster = handle.cluster
        on = cluster.where(handle) if cluster.own else []
        self._forget([handle])
        if not on:
            return "it goes on for itself on its worker, and what it returns is thrown away"
        cluster.start_anew(on)
        return "its worker was started anew"

    def _forget(self, jobs: list[_Job]) -> None:
        for cluster in {job.cluster for job in jobs}:
            here = [job for job in jobs if job.cluster is cluster]
            for job in here:
                self._jobs.pop(job.name, None)
            if cluster.works:
                cluster.client.cancel([job.future for job in here], force=True)

    def drop(self, handles: list[Hashable], timeout_s: float) -> None:
        """Take back all of them; what runs on workers of ours ends with its worker."""
        jobs = [h for h in handles if isinstance(h, _Job)]
        on: dict[Cluster, set[str]] = {}
        for job in jobs:
            if job.cluster.own and job.cluster.works:
                on.setdefault(job.cluster, set()).update(job.cluster.where(job))
        self._forget(jobs)
        for cluster, workers in on.items():
            if workers:
                cluster.start_anew(sorted(workers))
