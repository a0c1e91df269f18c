"""Real processes: the command line, the UI with its daemon, and GraphQL."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
MAIN = "from geo_assets.doors.cli import main; main()"
PATIENCE_S = 240  # for what takes seconds on a calm machine; only a hang takes that long


def environment(**changed: str) -> dict[str, str]:
    """The environment of a person who has set nothing of ours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GEO_ASSETS_", "DAGSTER_"))}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **changed}


def cli(folder: Path, *arguments: str, code: int = 0) -> Any:
    """Run ``geo-assets`` to its end; returns its JSON document."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *arguments, "--json"], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


def start(folder: Path, *arguments: str, log: Path, background: bool = False) -> subprocess.Popen[bytes]:
    """Start ``geo-assets`` as the head of its own process group; in the background of a script SIGINT is ignored."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.SIG_IGN if background else before)
    try:
        with log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-c", MAIN, *arguments], cwd=folder, env=environment(), stdout=out, stderr=out, start_new_session=True
            )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for(condition: Callable[[], Any], what: str, *, every_s: float = 0.3) -> Any:
    """The first true value of a condition."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(every_s)
    raise AssertionError(f"waited {PATIENCE_S} s for {what}")


def children(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        return [pid, *(p.pid for p in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@dataclass(frozen=True)
class Ui:
    """A running UI."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, query: str, **variables: Any) -> Any:
        """The data of a GraphQL answer."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            document = json.load(answer)
        assert not document.get("errors"), document["errors"]
        return document["data"]

    def ready(self) -> bool:
        """Whether the code location is loaded."""
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        try:
            found = self.ask(
                "{workspaceOrError{... on Workspace{locationEntries{loadStatus locationOrLoadError{__typename ... on PythonError{message}}}}}}"
            )
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        entries = found["workspaceOrError"]["locationEntries"]
        assert all((e["locationOrLoadError"] or {}).get("__typename") != "PythonError" for e in entries), entries
        return bool(entries) and all(e["loadStatus"] == "LOADED" and e["locationOrLoadError"] for e in entries)

    def backfill(self, assets: list[str], keys: list[str]) -> str:
        """Launch a backfill as the UI does; returns its id."""
        launch = """mutation($p: LaunchBackfillParams!){launchPartitionBackfill(backfillParams:$p){__typename
            ... on LaunchBackfillSuccess{backfillId} ... on PythonError{message} ... on PartitionKeysNotFoundError{message}}}"""
        params = {"assetSelection": [{"path": a.split("/")} for a in assets], "partitionNames": keys}
        answer = self.ask(launch, p=params)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return str(answer["backfillId"])

    def backfill_state(self, backfill_id: str) -> dict[str, Any]:
        """Status of a backfill and its runs."""
        query = """query($b:String!){partitionBackfillOrError(backfillId:$b){... on PartitionBackfill{status numPartitions
            assetBackfillData{assetBackfillStatuses{... on AssetPartitionsStatusCounts{assetKey{path} numPartitionsTargeted numPartitionsMaterialized
            numPartitionsFailed}}} runs(limit:100){id status tags{key value}}}}}"""
        found: dict[str, Any] = self.ask(query, b=backfill_id)["partitionBackfillOrError"]
        return found

    def wait_backfill(self, backfill_id: str) -> dict[str, Any]:
        """The end of a backfill."""

        def ended() -> dict[str, Any] | None:
            state = self.backfill_state(backfill_id)
            return state if state["status"] not in ("REQUESTED", "CANCELING", "FAILING") else None

        found: dict[str, Any] = wait_for(ended, f"backfill {backfill_id}", every_s=1)
        return found


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started, as Ctrl-C does, and whatever of it is left."""
    family = children(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
    process.kill()
    process.wait()
    _, left = psutil.wait_procs([p for pid in family[1:] if (p := _process(pid))], timeout=30)
    for survivor in left:
        survivor.kill()


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Ui]:
    """``geo-assets ui`` on a project, once it answers."""
    port, log = free_port(), folder / "ui.log"
    process = start(folder, "ui", "--port", str(port), log=log)
    try:
        ui = Ui(port, process, log)
        wait_for(ui.ready, f"the UI; its log is {log}")
        yield ui
    finally:
        stop(process)
