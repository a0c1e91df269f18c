"""One try of a task, and what a backend does with it for the driver: an ``Adapter``."""

import pickle
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

from geo_assets.errors import ComputeError
from geo_assets.model.compute import Capabilities
from geo_assets.model.task import Kind, TaskResult
from geo_assets.model.text import told


@dataclass(frozen=True)
class Call:
    """One try of a task.

    Attributes:
        fn: The function.
        task: What it is called with.
        index: Place of the task.
        number: 1 is the first try.
        region: Cloud region that it is to run in, or "".
        unlucky: How often it was lost before it started, with the worker that it waited on.
        billed_s: Seconds that earlier tries were billed for.
        usd: What they cost.
    """

    fn: Callable[[Any], Any]
    task: Any
    index: int
    number: int
    region: str = ""
    unlucky: int = 0
    billed_s: float = 0.0
    usd: float = 0.0

    def blob(self) -> bytes:
        """As bytes for ``_worker.answer``; in two layers, so that a module that cannot be imported there is this task's error.

        Raises:
            PayloadError: It has none.
        """
        try:
            return pickle.dumps((self.index, self.number, pickle.dumps((self.fn, self.task))))
        except Exception as e:
            raise PayloadError(f"the task cannot be sent to another process: {told(e)}") from e

    def read(self, blob: bytes) -> TaskResult:
        """The result that a worker sent; one that cannot be read here is an error of its task."""
        try:
            result: TaskResult = pickle.loads(blob)  # noqa: S301 - from our own worker
        except Exception as e:  # noqa: BLE001 - unpickling runs code of the value's classes
            return self.lost("error", f"its result cannot be read here: {told(e)}", retryable=False)
        return result

    def lost(self, kind: Kind, cause: str, *, retryable: bool, run_s: float = 0.0) -> TaskResult:
        """The result of a try that gave none."""
        return TaskResult(
            self.index, "error", cause=cause, error=ComputeError.__name__, kind=kind, retryable=retryable, attempts=self.number, run_s=run_s
        )  # fmt: skip


class Adapter(Protocol):
    """What a backend does for the driver. Called by one thread; a handle is used once.

    Attributes:
        capabilities: What may be expected of it.
    """

    capabilities: Capabilities

    @property
    def slots(self) -> int:
        """Tasks that run at a time."""
        ...

    def submit(self, call: Call) -> Hashable:
        """Send a try; returns its handle.

        Raises:
            PayloadError: It cannot be sent.
        """
        ...

    def poll(self, wait_s: float) -> list[tuple[Hashable, TaskResult]]:
        """What has ended since the last call; waits for it at most so long."""
        ...

    def started(self, handle: Hashable) -> float | None:
        """When a try started on its worker, by the monotonic clock here; None if it has not, or nobody knows."""
        ...

    def kill(self, handle: Hashable) -> str:
        """End a try that is over its time, or abandon it; returns what became of it, for messages."""
        ...

    def drop(self, handles: list[Hashable], timeout_s: float) -> None:
        """Take back tries that nobody waits for any more; those that cannot be ended are waited for, at most so long."""
        ...


class PayloadError(Exception):
    """A task that cannot be sent to a worker: its text says why."""
