"""One executor of Lithops, without what it does behind our back, and the calls that are out with it.

Lithops' own monitor is not used: it tells nobody of a worker that is lost. Each call leaves objects in storage when it starts and
when it ends; one listing tells of all that are out, and what nobody waits for any more is deleted with the next.
"""

import ast
import atexit
import contextlib
import importlib.metadata
import logging
import pickle
import platform
import queue
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from geo_assets.compute._call import Call
from geo_assets.compute._lithops_worker import Answer, run
from geo_assets.errors import ComputeError
from geo_assets.model.task import TaskResult
from geo_assets.model.text import told

Key = tuple[str, str]  # job and call, as Lithops names them
_PREFIX = "lithops.jobs"
_READERS = 16
_logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Job:
    """One try; an object of its own, so that it is its own handle."""

    call: Call
    blob: bytes
    sent: float = 0.0
    began: float | None = None


@dataclass(frozen=True)
class Ended:
    """A try that is over."""

    job: Job
    result: TaskResult


class _Quiet:
    """In the place of Lithops' monitor: starts no thread."""

    def __init__(self) -> None:
        self.token_bucket_q: queue.Queue[str] = queue.Queue()

    def prepare(self) -> None: ...

    def start(self, *_: Any, **__: Any) -> None: ...

    def stop(self) -> None: ...

    def cleanup(self) -> None: ...


class Executor:
    """Sends calls and finds what has become of them.

    Args:
        config: Lithops' configuration; no file of it is read.
        bucket: Another bucket than the one that the configuration says.

    Attributes:
        out: Calls that are out.
        handler: Lithops' handle of where they run.
    """

    def __init__(self, config: dict[str, Any], bucket: str | None = None) -> None:
        import lithops

        logging.getLogger("lithops").setLevel(logging.ERROR)
        self._fx = lithops.FunctionExecutor(config=config, log_level=None)
        atexit.unregister(self._fx._clean_at_exit)
        self._storage = self._fx.internal_storage
        if bucket:
            self._fx.config[self._storage.backend]["storage_bucket"] = bucket
            self._storage.bucket = self._storage.storage.bucket = bucket
        self._fx.job_monitor = self._fx.invoker.job_monitor = _Quiet()
        self._prefix = f"{_PREFIX}/{self._fx.executor_id}-"
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="geo-assets-lithops")
        self._meta: dict[str, Any] = {}
        # Else it is kept in the user's home, and one that was kept there is believed whatever the account
        self._storage.get_runtime_meta, self._storage.put_runtime_meta = self._meta.get, self._meta.__setitem__
        self.out: dict[Key, Job] = {}
        self.handler = self._fx.compute_handler

    @property
    def id(self) -> str:
        """Name of the executor, which is in every call."""
        return str(self._fx.executor_id)

    @property
    def client(self) -> Any:
        """Client of the storage."""
        return self._storage.get_client()

    def use(self, client: Any) -> None:
        """Another client of the storage, S3's: Lithops' own goes on for minutes without a network."""
        self._storage.storage.storage_handler.s3_client = client

    @property
    def bucket(self) -> str:
        """Bucket of the calls."""
        return str(self._storage.bucket)

    def knows(self, memory_mb: int | None) -> None:
        """Say what Lithops would ask of an interpreter of this machine."""
        info = self.handler.get_runtime_info()
        key = self.handler.get_runtime_key(info["runtime_name"], memory_mb, importlib.metadata.version("lithops"))
        self._meta[key] = {
            "preinstalls": [], "python_version": ".".join(platform.python_version_tuple()[:2]),
            "lithops_version": importlib.metadata.version("lithops"), "runtime_timeout": info["runtime_timeout"],
        }  # fmt: skip

    def deploy(self, memory_mb: int) -> None:
        """Make the function, unless it is there, and ask it who it is."""
        self._fx.invoker.select_runtime("deploy", memory_mb)

    def send(self, jobs: Sequence[Job]) -> list[Key]:
        """Send calls, all in one job of Lithops."""
        with _said("calls cannot be sent"):
            futures = self._fx.map(run, [job.blob for job in jobs], include_modules=None)
        self._fx.futures.clear()
        keys: list[Key] = [(f.job_id, f.call_id) for f in futures]
        for key, job in zip(keys, jobs, strict=True):
            job.sent = time.monotonic()
            self.out[key] = job
        return keys

    def look(self) -> list[Ended]:
        """What has ended; marks what has started, and deletes what is no longer needed."""
        with _said("its storage cannot be listed"):
            objects = self._storage.storage.list_keys(self.bucket, self._prefix)
        now, done, of_job = time.monotonic(), [], dict[str, list[str]]()
        for name in objects:
            job_id, _, rest = name.removeprefix(self._prefix).partition("/")
            call_id, _, what = rest.partition("/")
            if not rest:  # on this machine, the job itself, which its process deletes
                continue
            of_job.setdefault(job_id, []).append(name)
            job = self.out.get((job_id, call_id))
            if job and job.began is None:
                job.began = now
            if job and what == "status.json":
                done.append((job_id, call_id))
        ended = [e for e in self._readers.map(self._read, done) if e is not None]
        for key, _ in ended:
            del self.out[key]
        live = {job_id for job_id, _ in self.out}
        self._delete([name for job_id, names in of_job.items() if job_id not in live for name in names])
        return [e for _, e in ended]

    def _read(self, key: Key) -> tuple[Key, Ended] | None:
        """How a call ended; None if what it says is not there entirely."""
        job = self.out[key]
        with _said("a result cannot be read"):
            try:
                status = self._storage.get_call_status(self.id, *key)
            except ValueError:  # a file that is being written
                return None
            if status is None:
                return None
            if status.get("exception"):
                return key, Ended(job, _failed(job.call, status))
            inline = status.get("result")
            blob = ast.literal_eval(inline) if inline else self._storage.get_call_output(self.id, *key)
            return key, Ended(job, _answered(job.call, status, blob))

    def _delete(self, names: list[str]) -> None:
        if names:
            with _said("what tasks left in its storage cannot be deleted"):
                self._storage.storage.delete_objects(self.bucket, names)

    def close(self) -> None:
        """End what it has: threads, processes here, and all objects."""
        self._fx.__exit__(None, None, None)
        if pool := getattr(self._fx.invoker, "executor", None):
            pool.shutdown()
        self._readers.shutdown()
        try:
            with _said("its storage cannot be listed"):
                names = self._storage.storage.list_keys(self.bucket, f"{_PREFIX}/{self.id}-")
                names += self._storage.storage.list_keys(self.bucket, f"{_PREFIX}/{self.id}/")
            self._delete(names)
        except ComputeError as e:
            _logger.warning("objects under %s/%s* may be left in %s: %s", _PREFIX, self.id, self.bucket, e)


@contextlib.contextmanager
def _said(what: str) -> Iterator[None]:
    """Whatever Lithops, boto3 or a disk raises is an error of the backend; Lithops raises bare exceptions."""
    try:
        yield
    except ComputeError:
        raise
    except Exception as e:
        raise ComputeError(f"Lithops: {what}: {told(e)}") from e


def _answered(call: Call, status: dict[str, Any], blob: bytes | None) -> TaskResult:
    """The result of a call that ended well, with the time that its handler took."""
    if blob is None:
        return call.lost(
            "lost", "its worker ended, and its result is not in storage", retryable=True, run_s=_took(status)
        )
    answer = pickle.loads(pickle.loads(blob))  # noqa: S301 - from our own worker
    assert isinstance(answer, Answer)
    result = call.read(answer.blob)
    return replace(result, billed_s=_took(status, answer.began) + answer.start_s, start_s=answer.start_s)


def _took(status: dict[str, Any], began: float = 0.0) -> float:
    """Seconds of a call on its worker, from the start of its handler where that is known."""
    return max(0.0, float(status["worker_end_tstamp"]) - (began or float(status["worker_start_tstamp"])))


def _failed(call: Call, status: dict[str, Any]) -> TaskResult:
    """The result of a call whose function gave none: our function turns all errors of a task into results."""
    took = _took(status)
    error, text = _error(status)
    if "HANDLER" not in text:
        return replace(
            call.lost("error", f"the worker cannot run it: {error}: {text}", retryable=False, run_s=took), error=error
        )
    said = text.replace("HANDLER", "").strip(" ('\",)")
    if error == "TimeoutError":
        cause = f"timeout: not finished after {took:.0f} s; its process was ended by its worker"
        return call.lost("timeout", cause, retryable=False, run_s=took)
    if error == "MemoryError":
        said = "signal SIGKILL, as when memory runs out; if it happens again, raise compute.memory_mb"
    return call.lost("lost", f"the process of its worker was lost: {said}", retryable=True, run_s=max(took, 1e-3))


def _error(status: dict[str, Any]) -> tuple[str, str]:
    """Class and text of an exception that Lithops sent."""
    try:
        found = pickle.loads(ast.literal_eval(status["exc_info"]))  # noqa: S301 - from our own worker
    except Exception as e:  # noqa: BLE001 - unpickling imports whatever class the error has
        return "Exception", f"it cannot be read here: {told(e)}"
    if isinstance(found, dict):
        return str(found["exc_type"]), str(found["exc_value"])
    return found[0].__name__, str(found[1])
