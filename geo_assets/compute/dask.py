"""Dask: a cluster of this machine's processes, one that runs already, or any that a function of the user's makes.

Every try is a future of its own; Dask's own retries stay off, since the driver tries again. Workers say when they start a
try, so that time limits do not count the queue. A try that runs cannot be taken back from Dask: on a cluster of our own its
worker is started anew, on another one it goes on for itself and what it returns is thrown away.
"""

import contextlib
import importlib
import logging
import queue
import time
import uuid
from asyncio import CancelledError
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from geo_assets.compute import _life, _worker
from geo_assets.compute._driver import Call, Engine, PayloadError
from geo_assets.errors import ComputeError, ConfigError, GeoAssetsError, PluginError
from geo_assets.model.compute import Capabilities, ComputeRecipe
from geo_assets.model.cost import Estimate, Load, Price, estimate, hourly
from geo_assets.model.task import TaskResult

_PAYLOAD_MB = 64.0  # the scheduler holds every task that is out
_START_S = 60.0
_TOPIC = "geo-assets-started"
_OWN_CLUSTER = {
    **{
        f"distributed.worker.memory.{k}": False for k in ("target", "spill", "pause")
    },  # the limit ends a worker, and no less
    "distributed.scheduler.allowed-failures": 0,  # a task that ends its worker is tried by us
    # Python 3.11 can deadlock where all threads are looked at while others start (gh-106883), and the workers' profiler does so
    "distributed.worker.profile.enabled": False,
}


def _run(blob: bytes, name: str) -> bytes:
    """On a worker: say that a try starts, and run it."""
    from distributed import get_worker

    get_worker().log_event(f"{_TOPIC}-{name.partition('/')[0]}", name)
    return _worker.answer(blob)


@dataclass(eq=False)
class _Job:
    """One try; an object of its own, so that it is its own handle."""

    call: Call
    name: str
    future: Any = None
    began: float | None = None
    worker: str = ""


class _Dask:
    """The adapter; see ``_driver.Adapter``."""

    def __init__(self, client: Any, capabilities: Capabilities, *, own: bool) -> None:
        self._client, self._own, self._id = client, own, uuid.uuid4().hex
        self.capabilities = capabilities
        self._jobs: dict[str, _Job] = {}
        self._done: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        client.subscribe_topic(f"{_TOPIC}-{self._id}", self._starts)

    @property
    def slots(self) -> int:
        """Threads of all workers that there are now."""
        return max(1, sum(map(int, self._client.nthreads().values())))

    def _starts(self, event: tuple[float, Any]) -> None:
        """A worker began a try; called by a thread of the client."""
        if job := self._jobs.get(str(event[1])):
            job.began = time.monotonic()

    def submit(self, call: Call) -> Hashable:
        """Send a try to the scheduler."""
        blob = call.blob()
        if len(blob) > _PAYLOAD_MB * 2**20:
            raise PayloadError(
                f"the task is {len(blob) / 2**20:.0f} MB large, and Dask takes {_PAYLOAD_MB:.0f} MB at most"
            )
        job = _Job(call, f"{self._id}/{uuid.uuid4().hex}")
        self._jobs[job.name] = job
        if self._client.status != "running":
            raise ComputeError("the connection to the Dask scheduler is lost: see that it runs, and run again")
        job.future = self._client.submit(_run, blob, job.name, key=f"geo-assets-{job.name}", pure=False, retries=0)
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
            blob = job.future.result(timeout=_START_S)
        except (Exception, CancelledError) as e:  # noqa: BLE001 - tasks raise nothing: whatever comes means that the result is gone
            run_s = time.monotonic() - job.began if job.began else 0.0
            said = f"{type(e).__name__}: {e}".splitlines()[0]
            return job.call.lost("lost", f"its worker or the scheduler was lost: {said}", retryable=True, run_s=run_s)
        return job.call.read(blob)

    def started(self, handle: Hashable) -> float | None:
        """When its worker said that it starts."""
        assert isinstance(handle, _Job)
        return handle.began

    def kill(self, handle: Hashable) -> str:
        """Take it back; on a cluster of our own its worker is started anew."""
        assert isinstance(handle, _Job)
        on = self._where(handle) if self._own else []
        self._forget([handle])
        if not on:
            return "it goes on for itself on its worker, and what it returns is thrown away"
        self._client.restart_workers(on, timeout=_START_S, raise_for_error=False)
        return "its worker was started anew"

    def _where(self, job: _Job) -> list[str]:
        """The worker that runs it."""
        return [address for address, keys in self._client.processing().items() if job.future.key in keys]

    def _forget(self, jobs: list[_Job]) -> None:
        for job in jobs:
            self._jobs.pop(job.name, None)
        if self._client.status == "running":
            self._client.cancel([job.future for job in jobs], force=True)

    def drop(self, handles: list[Hashable], timeout_s: float) -> None:
        """Take back all of them; what runs on a cluster of our own ends with its worker."""
        jobs = [h for h in handles if isinstance(h, _Job)]
        if not jobs:
            return
        here = self._own and self._client.status == "running"
        on = {address for job in jobs for address in self._where(job)} if here else set()
        self._forget(jobs)
        if on:
            self._client.restart_workers(sorted(on), timeout=_START_S, raise_for_error=False)


class Dask:
    """See ``model.compute.Compute``."""

    def capabilities(self, recipe: ComputeRecipe) -> Capabilities:
        """Those of a cluster of our own, or of one that is given.

        Raises:
            PluginError: The library is not installed.
        """
        _distributed()
        own = not (recipe.address or recipe.cluster)
        return Capabilities(
            isolated=True, kills=own, limits_memory=own, remote=not own, paid=bool(recipe.usd_per_hour), payload_mb=_PAYLOAD_MB
        )  # fmt: skip

    def price(self, recipe: ComputeRecipe, region: str) -> Price:
        """A worker's hour as the settings say: a scheduler does not know."""
        return hourly(recipe.usd_per_hour)

    def estimate(self, recipe: ComputeRecipe, loads: Sequence[Load]) -> Estimate:
        """Time and money of some loads on so many workers as the settings say."""
        return estimate(loads, workers=recipe.workers, price=lambda _: self.price(recipe, ""))

    @contextlib.contextmanager
    def connect(self, recipe: ComputeRecipe) -> Iterator[Engine]:
        """Connect to the scheduler, or start a cluster first; both end with the context."""
        distributed = _distributed()
        logging.getLogger("distributed").setLevel(logging.ERROR)  # each lost worker is our result
        with contextlib.ExitStack() as stack:
            try:
                where = stack.enter_context(_cluster(recipe)) if not recipe.address else recipe.address
                client = stack.enter_context(
                    distributed.Client(where, security=_security(recipe), timeout=_START_S, set_as_default=False)
                )
                client.wait_for_workers(1, timeout=_START_S)
            except GeoAssetsError:
                raise
            except Exception as e:
                raise ComputeError(
                    f"the Dask cluster {recipe.address or recipe.cluster or 'of this machine'} cannot be used: {type(e).__name__}: {e}"
                ) from e
            adapter = _Dask(client, self.capabilities(recipe), own=not (recipe.address or recipe.cluster))
            yield Engine(
                adapter, recipe, price=lambda region: self.price(recipe, region), dashboard=client.dashboard_link or ""
            )


def _distributed() -> Any:
    """The library.

    Raises:
        PluginError: It is not installed.
    """
    try:
        import distributed
    except ImportError as e:
        raise PluginError(f"the backend dask needs the extra dask: pip install 'geo-assets[dask]' ({e})") from e
    return distributed


def _security(recipe: ComputeRecipe) -> Any:
    """TLS as the recipe says."""
    if not recipe.tls_ca:
        return None
    from distributed import Security

    return Security(
        require_encryption=True, tls_ca_file=recipe.tls_ca, tls_client_cert=recipe.tls_cert, tls_client_key=recipe.tls_key
    )  # fmt: skip


@contextlib.contextmanager
def _cluster(recipe: ComputeRecipe) -> Iterator[Any]:
    """A cluster of the user's making, or one of this machine's processes with one thread each."""
    if recipe.cluster:
        with _made(recipe.cluster) as cluster:
            yield cluster
        return
    import dask
    from distributed import LocalCluster

    memory = f"{recipe.memory_mb}MiB" if recipe.memory_mb else 0
    with (
        dask.config.set(_OWN_CLUSTER),
        LocalCluster(
            n_workers=recipe.workers, threads_per_worker=1, processes=True, memory_limit=memory, dashboard_address=_dashboard(), silence_logs=logging.ERROR,
            preload=[_life.__name__],
        ) as cluster,
    ):  # fmt: skip
        yield cluster


def _dashboard() -> str | None:
    """Where the dashboard listens: a free port of the loopback, if bokeh is here."""
    return "127.0.0.1:0" if importlib.util.find_spec("bokeh") else None


def _made(target: str) -> Any:
    module, _, name = target.partition(":")
    if not module or not name:
        raise ConfigError(f"compute.cluster is {target!r}: write package.module:function")
    try:
        make = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as e:
        raise ConfigError(
            f"compute.cluster {target!r} cannot be imported: {e}; install its package or set PYTHONPATH"
        ) from e
    return make()


PLUGIN = Dask()
