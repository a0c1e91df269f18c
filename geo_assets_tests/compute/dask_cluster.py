"""A Dask cluster as somebody else runs one: a scheduler and two workers in processes of their own, behind TLS."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from geo_assets_tests.e2e.tools import environment, stop
from geo_assets_tests.readers.certificates import make_certificates


@contextlib.contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Its address and files, as settings of ``compute``."""
    make_certificates(folder)
    own, authority, file = str(folder / "server.pem"), str(folder / "authority.pem"), folder / "scheduler.json"
    tls = ["--tls-ca-file", authority, "--tls-cert", own, "--tls-key", own]
    with contextlib.ExitStack() as stack:
        where = ["--host", "tls://127.0.0.1", "--port", "0", "--no-dashboard", "--no-show"]
        _start(stack, folder, "dask_scheduler", *where, "--scheduler-file", str(file), *tls)
        until = time.monotonic() + 60
        while not (file.exists() and file.read_text()):
            assert time.monotonic() < until, (folder / "dask_scheduler.log").read_text()
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        _start(stack, folder, "dask_worker", address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard", *tls)
        yield {"address": address, "tls_ca": authority, "tls_cert": own, "tls_key": own}


def _start(stack: contextlib.ExitStack, folder: Path, module: str, *arguments: str) -> None:
    log = stack.enter_context((folder / f"{module}.log").open("wb"))
    process = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", *arguments], cwd=folder, env=environment(), stdout=log, stderr=log
    )  # fmt: skip
    stack.callback(stop, process)
