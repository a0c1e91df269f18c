"""On a worker: a try that is watched while it runs, so that its start can be told and its memory be limited."""

import os
import queue
import threading
import time
from pathlib import Path

from geo_assets.compute import _worker

TELL_S = 0.25  # a try that is over by then tells no start: that would cost more than it
_LOOK_S = 0.2
_STATM = Path("/proc/self/statm")


class TooLargeError(Exception):
    """A task's process holds more than it may: its text says how much."""


def limits_memory() -> bool:
    """Whether a process can be asked here for what it holds."""
    return _STATM.exists()


class Watched:
    """A try in a thread of its own, which ends with the process.

    Args:
        blob: The try, for ``_worker.answer``.
        memory_mb: What this process may hold; None is any.
    """

    def __init__(self, blob: bytes, memory_mb: int | None) -> None:
        self._memory_mb = memory_mb if limits_memory() else None
        self._answers: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(
            target=lambda: self._answers.put(_worker.answer(blob)), name="geo-assets task", daemon=True
        ).start()

    def answer(self, timeout_s: float | None = None) -> bytes | None:
        """Its result, pickled; None if it is not there in time.

        Raises:
            TooLargeError: The process holds too much. The try goes on: end the process.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = None if until is None else max(0.0, until - time.monotonic())
            look = min(x for x in (left, _LOOK_S) if x is not None) if self._memory_mb else left
            try:
                return self._answers.get(timeout=look)
            except queue.Empty:
                if self._memory_mb and (held := _held_mb()) > self._memory_mb:
                    raise TooLargeError(
                        f"out of memory: its process held {held:.0f} MB of compute.memory_mb {self._memory_mb}"
                    ) from None
                if until is not None and time.monotonic() >= until:
                    return None


def _held_mb() -> float:
    """What this process holds now, in MiB."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
