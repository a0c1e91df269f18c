"""A step on a worker of a Dask cluster, in a process of its own.

Dagster is not safe in threads, of which a worker may have several, and a thread cannot be ended. The process is asked to
end when its task is taken back: by a run that is stopped, or by the scheduler when the run's process is gone.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from typing import IO, Any

from geo_assets.compute._life import end_with
from geo_assets.errors import ComputeError

GRACE_S = 60.0  # that a step has to end by itself, such as until the blocks end that it computes in threads
_LOOK_S = 0.2  # between two looks at whether the step is still wanted
_SAID = 4000
_MAIN = "import sys; sys.path[:] = {path!r}; from geo_assets.assets.dask_step import main; main()"


def run_step(arguments: str, settings: dict[str, str]) -> None:
    """On a worker: run a step to its end, or until it is taken back.

    Args:
        arguments: Of ``dagster api execute_step``.
        settings: The run's ``GEO_ASSETS_`` variables, so that the code location is the same here.

    Raises:
        ComputeError: Its process ended otherwise than a step does; how the step itself ended is in Dagster's event log.
    """
    from distributed import get_worker

    worker = get_worker()
    key = str(worker.get_current_task())
    with tempfile.TemporaryFile() as said:
        process = _start(settings, said)
        try:
            _send(process, arguments)
            while process.poll() is None:
                if not _is_wanted(worker, key):
                    _end(process)
                    return
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_S)
        finally:
            _kill(process)
        if process.returncode != 0:
            raise ComputeError(f"its process ended with code {process.returncode}: {_last_line(said)}")


def _start(settings: dict[str, str], said: IO[bytes]) -> "subprocess.Popen[bytes]":
    others = {k: v for k, v in os.environ.items() if not k.startswith("GEO_ASSETS_")}
    return subprocess.Popen(
        [sys.executable, "-c", _MAIN.format(path=sys.path)], env=others | settings, stdin=subprocess.PIPE, stdout=said, stderr=said,
        start_new_session=True,
    )  # fmt: skip


def _send(process: "subprocess.Popen[bytes]", arguments: str) -> None:
    """Send the arguments; the pipe stays open, since the step's process ends with it."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended already, and its code tells
        process.stdin.write(arguments.encode() + b"\n")
        process.stdin.flush()


def _is_wanted(worker: Any, key: str) -> bool:
    """Whether the scheduler still wants the task that runs here."""
    task = worker.state.tasks.get(key)
    return task is not None and task.state == "executing"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask it to end, as Dagster does, and wait for that."""
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End it and what it started, if anything is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


def _last_line(said: IO[bytes]) -> str:
    said.seek(max(0, said.seek(0, os.SEEK_END) - _SAID))
    lines = said.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def running(prefix: str, dask_worker: Any) -> int:
    """How many tasks whose key begins so have not ended on this worker, wanted or not."""
    tasks = dict(dask_worker.state.tasks)
    return sum(task.state in ("executing", "cancelled") for key, task in tasks.items() if key.startswith(prefix))


def main() -> None:
    """In the step's process: run it."""
    arguments = sys.stdin.readline().strip()
    life = os.dup(0)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    end_with(life)
    from dagster._cli.api import execute_step_command

    execute_step_command.main([arguments], standalone_mode=False)
