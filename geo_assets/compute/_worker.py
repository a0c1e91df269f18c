"""The outermost frame of a worker: an error becomes a result, never an exception."""

import time
from collections.abc import Callable
from typing import Any

from geo_assets.errors import GeoAssetsError
from geo_assets.model.task import TaskResult


def attempt(fn: Callable[[Any], Any], task: Any, index: int, number: int) -> TaskResult:
    """Run a task once."""
    began = time.perf_counter()
    try:
        value = fn(task)
    except Exception as e:  # noqa: BLE001 - the worker's outermost frame: the driver decides what an error means
        lines = str(e).splitlines() or [""]
        return TaskResult(
            index, "error", cause=f"{lines[0][:2000]}" or type(e).__name__, error=type(e).__name__, attempts=number,
            retryable=e.retryable if isinstance(e, GeoAssetsError) else isinstance(e, OSError | MemoryError), run_s=time.perf_counter() - began,
        )  # fmt: skip
    return TaskResult(index, "ok", value=value, attempts=number, run_s=time.perf_counter() - began)
