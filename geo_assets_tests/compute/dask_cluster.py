"""A Dask cluster as somebody else runs one: a scheduler and two workers in processes of their own, behind TLS if wanted."""

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
    own, authority = str(folder / "server.pem"), str(folder / "authority.pem")
    tls = ["--tls-ca-file", authority, "--tls-cert", own, "--tls-key", own]
    with _cluster(folder, "tls://127.0.0.1", tls, {}) as address:
        yield {"address": address, "tls_ca": authority, "tls_cert": own, "tls_key": own}


@contextlib.contextmanager
def plain(folder: Path, **variables: str) -> Iterator[str]:
    """The scheduler's address, without TLS; its workers have these variables."""
    with _cluster(folder, "tcp://127.0.0.1", [], variables) as address:
        yield address


def clients(address: str) -> int:
    """Processes that are connected to a scheduler without TLS, beside this one."""
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        names = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.clients))
    return len([n for n in names if n != "fire-and-forget"]) - 1


@contextlib.contextmanager
def _cluster(folder: Path, host: str, more: list[str], variables: dict[str, str]) -> Iterator[str]:
    file = folder / "scheduler.json"
    with contextlib.ExitStack() as stack:
        where = ["--host", host, "--port", "0", "--no-dashboard", "--no-show"]
        _start(stack, folder, "dask_scheduler", *where, "--scheduler-file", str(file), *more)
        until = time.monotonic() + 60
        while not (file.exists() and file.read_text()):
            assert time.monotonic() < until, (folder / "dask_scheduler.log").read_text()
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        workers = [address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard", *more]
        _start(stack, folder, "dask_worker", *workers, SCHEDULER=address, **variables)
        yield address


def _start(stack: contextlib.ExitStack, folder: Path, module: str, *arguments: str, **variables: str) -> None:
    log = stack.enter_context((folder / f"{module}.log").open("wb"))
    process = subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", *arguments], cwd=folder, env=environment(**variables), stdout=log, stderr=log
    )  # fmt: skip
    stack.callback(stop, process)
