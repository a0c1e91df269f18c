"""The outermost frame of a worker: an error becomes a result, never an exception."""

import os
import pickle
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from geo_assets.errors import GeoAssetsError
from geo_assets.model.task import Kind, TaskResult
from geo_assets.model.text import first_line

STARTED = b""  # what a worker may say before it answers; no answer is
_CAUSE = 2000
_HIGH_WATER = "VmHWM:"


def attempt(fn: Callable[[Any], Any], task: Any, index: int, number: int) -> TaskResult:
    """Run a task once."""
    began, cpu = time.perf_counter(), time.thread_time()
    try:
        result = TaskResult(index, "ok", value=fn(task), attempts=number)
    except BaseException as e:  # the worker's outermost frame: the driver decides what an error means
        if isinstance(e, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise
        retryable = e.retryable if isinstance(e, GeoAssetsError) else isinstance(e, OSError | MemoryError)
        kind: Kind = "memory" if isinstance(e, MemoryError) else "error"
        result = TaskResult(
            index, "error", cause=_line(e), error=type(e).__name__, kind=kind, attempts=number, retryable=retryable
        )
    return replace(result, run_s=time.perf_counter() - began, cpu_s=time.thread_time() - cpu, ended_at=time.time())


def answer(blob: bytes) -> bytes:
    """Run a task that came as bytes, in a process that runs one at a time; what cannot be sent back is an error of it.

    Args:
        blob: Function, task, index and number of the try, pickled.

    Returns:
        A ``TaskResult``, pickled, with the most memory that the process held meanwhile.
    """
    index, number = 0, 1
    try:
        index, number, inner = pickle.loads(blob)  # noqa: S301 - from our own driver
        fn, task = pickle.loads(inner)  # noqa: S301
    except Exception as e:  # noqa: BLE001 - whatever importing the task's module raises is this task's error
        return pickle.dumps(
            TaskResult(index, "error", cause=_line(e), error=type(e).__name__, kind="error", attempts=number)
        )
    counts = _forget_peak()
    result = attempt(fn, task, index, number)
    result = replace(result, peak_mb=_peak_mb() if counts else None, worker=f"{socket.gethostname()}:{os.getpid()}")
    try:
        return pickle.dumps(result)
    except Exception as e:  # noqa: BLE001 - pickling runs code of the value's class
        cause = f"its result cannot be sent back: {_line(e)}"
        return pickle.dumps(
            replace(result, status="error", value=None, cause=cause, error=type(e).__name__, kind="error")
        )


def _forget_peak() -> bool:
    """Reset the high-water mark of this process, which is that of its whole life else; whether that works (proc(5), clear_refs)."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:  # not Linux, or not allowed
        return False
    return True


def _peak_mb() -> float | None:
    """Most memory of this process since the mark was reset, in MiB; None where the system does not say."""
    try:
        with open("/proc/self/status") as file:
            line = next(k for k in file if k.startswith(_HIGH_WATER))
    except (OSError, StopIteration):
        return None
    return round(int(line.split()[1]) / 1024, 1)


def _line(error: BaseException) -> str:
    """First line of an error's text, or its class where it has none."""
    return first_line(error)[:_CAUSE] or type(error).__name__
