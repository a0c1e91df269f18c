"""The outermost frame of a worker: an error becomes a result, never an exception."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from geo_assets.errors import GeoAssetsError
from geo_assets.model.task import TaskResult

_CAUSE = 2000


def attempt(fn: Callable[[Any], Any], task: Any, index: int, number: int) -> TaskResult:
    """Run a task once."""
    began, cpu = time.perf_counter(), time.thread_time()
    try:
        result = TaskResult(index, "ok", value=fn(task), attempts=number)
    except BaseException as e:  # the worker's outermost frame: the driver decides what an error means
        if isinstance(e, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise
        retryable = e.retryable if isinstance(e, GeoAssetsError) else isinstance(e, OSError | MemoryError)
        result = TaskResult(
            index, "error", cause=_line(e), error=type(e).__name__, attempts=number, retryable=retryable
        )
    return replace(result, run_s=time.perf_counter() - began, cpu_s=time.thread_time() - cpu)


def _line(error: BaseException) -> str:
    """First line of an error's text, or its class where it has none that can be had."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # noqa: BLE001 - an error may be unable to describe itself
        lines = []
    return lines[0][:_CAUSE] if lines else type(error).__name__
