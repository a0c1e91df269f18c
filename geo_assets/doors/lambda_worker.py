"""What a function of AWS Lambda calls: ``geo_assets.doors.lambda_worker.handler``, around the one of Lithops.

Lithops forks a process for every task. What is imported here is imported once for all tasks of a sandbox, while it starts. And
the time of the handler is what AWS bills, so it is told to the tasks, whose answers carry it.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.session
from lithops.serverless.backends.aws_lambda.entry_point import lambda_handler

from geo_assets.compute import _lithops_worker
from geo_assets.errors import PluginError
from geo_assets.registry import available, load

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
_CACHE = "NUMBA_CACHE_DIR"


def _move_loops() -> None:
    """Copy the compiled loops of the image to where files can be written: numba takes them from nowhere else."""
    kept = os.environ.get(_CACHE, "")
    if kept and Path(kept).is_dir():
        here = Path(tempfile.gettempdir(), "numba")
        shutil.copytree(kept, here, dirs_exist_ok=True)
        os.environ[_CACHE] = str(here)


def _preload() -> None:
    """Import what tasks are made of and what they load by name; a plugin whose library is not in the image is no loss."""
    from geo_assets.eo._jit import load_kept
    from geo_assets.tasks import composite, pyramid  # noqa: F401 - tasks name them

    for kind in ("sensors", "readers", "stores"):
        for name in available(kind):
            try:
                load(kind, name)
            except PluginError:
                continue
    load_kept()


def _keep_service_models() -> None:
    """Let the clients of a sandbox share what they read: Lithops makes two a task, each of which else spends 90 of 100 ms on it."""
    loader = botocore.loaders.create_loader()
    botocore.session.create_loader = lambda *_: loader


def _age_s() -> float:
    """Seconds since this process started (proc(5), stat: field 22 is in ticks since boot)."""
    with open("/proc/self/stat") as stat, open("/proc/uptime") as uptime:
        started = int(stat.read().rpartition(")")[2].split()[19]) / _CLOCK_TICKS
        return max(0.0, float(uptime.read().split()[0]) - started)


_move_loops()
_keep_service_models()
_preload()
_START_S = [_age_s()]


def handler(event: dict[str, Any], context: Any) -> Any:
    """Run what the function was called for: a task of Lithops, or its question which versions these are."""
    os.environ[_lithops_worker.BEGAN] = repr(time.time())
    os.environ[_lithops_worker.START_S] = repr(_START_S.pop() if _START_S else 0.0)
    return lambda_handler(event, context)
