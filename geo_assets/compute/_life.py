"""The end of a process whose starter is gone, whatever it computes meanwhile."""

import ctypes
import fcntl
import multiprocessing
import os
import signal
import sys
import threading
from typing import Any

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with(life: int) -> None:
    """End this process, at once, when the other end of a pipe is closed.

    A thread alone would not do: it waits for ever where a long computation keeps Python's lock. Linux can be asked for a
    signal; elsewhere such a computation is ended when it gives the lock away.

    Args:
        life: Descriptor of a pipe whose other end the starter holds and never writes to.
    """
    os.set_inheritable(life, False)  # else what a task starts would keep it open after this process's end
    threading.Thread(target=_wait_for_end, args=(life,), daemon=True).start()
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(life, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)


def _wait_for_end(life: int) -> None:
    """Also tells of an end before the signal was asked for."""
    os.read(life, 1)
    os._exit(1)


def dask_setup(worker: Any) -> None:
    """In a worker process of a Dask cluster of our own, by Dask's preload: end with the process that started it.

    Dask has only a thread for that. Here the pipe is Dask's, so Linux is asked for a signal at the end of the parent; it comes
    at that of the parent's thread, too, and Dask's thread that starts a worker is there as long as the worker.
    """
    parent = multiprocessing.parent_process()
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent.pid:  # it was gone before
        os._exit(1)
