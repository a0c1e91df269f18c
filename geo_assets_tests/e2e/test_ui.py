"""Backfills through the real webserver, daemon and code server, one of them with a killed worker."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from geo_assets_tests.assets.tiny import EAST, MIDDLE, SCENES, WEST, Tiny, key
from geo_assets_tests.e2e.conftest import YEAR, create
from geo_assets_tests.e2e.tools import Ui, children, cli, environment, free_port, serving, start, wait_for

pytestmark = pytest.mark.slow
REGIONS = [WEST, MIDDLE, EAST]
STRIP = [SCENES, "composite"]


def keys(months: tuple[str, ...]) -> list[str]:
    return [key(r, m) for r in REGIONS for m in months]


def job_backfill(tiny: Tiny, chosen: list[str]) -> str:
    """``dagster job backfill`` as a person types it; returns its output."""
    home = tiny.folder / ".dagster"
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "job", "backfill", "-w", str(home / "workspace.yaml"), "-j", "cube_job", "--partitions", ",".join(chosen), "--noprompt"],
        cwd=tiny.folder, capture_output=True, text=True, check=False, env=environment(DAGSTER_HOME=str(home), GEO_ASSETS_PROJECT=str(tiny.file)),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def launched(tiny: Tiny, chosen: list[str]) -> dict[str, str]:
    """Runs of a job backfill by id, with their partitions: one a key."""
    output = job_backfill(tiny, chosen)
    with tiny.instance() as instance:
        runs = instance.get_runs(dg.RunsFilter(job_name="cube_job"))
    found = {r.run_id: r.tags["dagster/partition"] for r in runs}
    assert sorted(found.values()) == sorted(chosen), output
    return found


def ended_runs(tiny: Tiny, run_ids: set[str]) -> bool:
    """Whether all of these runs succeeded.

    Raises:
        AssertionError: One failed.
    """
    with tiny.instance() as instance:
        statuses = {r.status.value for r in instance.get_runs(dg.RunsFilter(run_ids=list(run_ids)))}
    assert "FAILURE" not in statuses
    return statuses == {"SUCCESS"}


def run_status(tiny: Tiny, run_id: str) -> str:
    with tiny.instance() as instance:
        run = instance.get_run_by_id(run_id)
    assert run is not None
    return str(run.status.value)


def worker(instance: dg.DagsterInstance, run_id: str) -> int:
    """The process that executes a run, or 0 if it has not begun."""
    found = [e.get_dagster_event() for e in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)]
    pids = [e.engine_event_data.metadata["pid"].value for e in found if (e.message or "").startswith("Executing steps")]
    return int(str(pids[0])) if pids else 0


def kill_half_way(ui: Ui, tiny: Tiny, backfill: str) -> tuple[str, dict[Any, Any]]:
    """SIGKILL a worker of a backfill after its second commit; returns its run and the receipts at that time."""

    def attempt() -> tuple[str, dict[Any, Any]] | None:
        running = dg.RunsFilter(tags={"dagster/backfill": backfill}, statuses=[dg.DagsterRunStatus.STARTED])
        for run in instance.get_runs(running):
            pid = worker(instance, run.run_id)
            done = [k for k, r in tiny.receipts().items() if r.run_id == run.run_id]
            if pid in children(ui.process.pid) and 2 <= len(done) < 6:
                os.kill(pid, signal.SIGKILL)
                return run.run_id, {k: r for k, r in tiny.receipts().items() if r.run_id == run.run_id}
        return None

    with tiny.instance() as instance:
        found: tuple[str, dict[Any, Any]] = wait_for(attempt, "a worker that is half way", every_s=0.05)
    return found


def reexecute(ui: Ui, run_id: str) -> str:
    """Press "Re-execute from failure" on a run; returns the new run."""
    query = """mutation($p: ReexecutionParams!){launchRunReexecution(reexecutionParams:$p){__typename
        ... on LaunchRunSuccess{run{runId}} ... on PythonError{message}}}"""
    answer = ui.ask(query, p={"parentRunId": run_id, "strategy": "FROM_FAILURE"})["launchRunReexecution"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    return str(answer["run"]["runId"])


@pytest.mark.heavy
def test_backfills_job_backfills_and_a_killed_worker(tmp_path: Path, year_world: Path) -> None:
    """One backfill calmly, one with a SIGKILL and a second try of its run, and a partition a run by the job."""
    tiny, calm = create(tmp_path / "project", year_world, 12), create(tmp_path / "calm", year_world, 12)
    cli(tiny.folder, "run", "--products", "cells", "--regions", WEST)
    with serving(tiny.folder) as ui:
        with tiny.instance() as instance:
            assert set(instance.get_dynamic_partitions("region")) == set(REGIONS)  # the UI offers them all
        cli(tiny.folder, "run", "--products", "cells")
        first, second = ui.backfill(STRIP, keys(YEAR[:6])), ui.backfill(STRIP, keys(YEAR[6:]))
        cli(calm.folder, "run")  # while the daemon waits for its next round
        killed, committed = kill_half_way(ui, tiny, second)
        wait_for(lambda: run_status(tiny, killed) == "FAILURE", "the failure of the killed run")
        again = reexecute(ui, killed)
        jobs = launched(tiny, [key(WEST, YEAR[0]), key(EAST, YEAR[1])])
        wait_for(lambda: ended_runs(tiny, {again, *jobs}), "the second try and the runs of the job")

        state = ui.wait_backfill(first)
        assert state["status"] == "COMPLETED_SUCCESS"
        assert len(state["runs"]) == 3  # Dagster makes a run a region, or a run a month if these are fewer
        for status in state["assetBackfillData"]["assetBackfillStatuses"]:
            assert (status["numPartitionsTargeted"], status["numPartitionsMaterialized"]) == (18, 18)
    receipts = tiny.receipts()
    assert {(r.run_id, r.snapshot) for k, r in receipts.items() if k in committed} == {
        (r.run_id, r.snapshot) for r in committed.values()
    }
    made_again = [r for r in receipts.values() if r.run_id == again]
    assert len(made_again) == 6 - len(committed)
    assert tiny.cube().drop_attrs().equals(calm.cube().drop_attrs())
    assert {k: r.data_version for k, r in receipts.items()} == {k: r.data_version for k, r in calm.receipts().items()}
    with tiny.instance() as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("composite")) == set(keys(YEAR))


@pytest.mark.heavy
def test_ui_when_a_script_started_it_in_the_background_then_one_sigint_ends_all_of_it(tmp_path, project):
    process = start(project.folder, "ui", "--port", str(free_port()), log=tmp_path / "log", background=True)
    wait_for(lambda: len(children(process.pid)) > 4, "webserver, daemon and code server")
    family = [psutil.Process(pid) for pid in children(process.pid)]
    process.send_signal(signal.SIGINT)
    _, left = psutil.wait_procs(family, timeout=25)  # after thirty seconds they are killed
    # One whose parent did not ask how it ended is a name in the table of processes, and runs no more
    left = [one for one in left if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    for one in left:
        one.kill()
    assert process.wait(5) == 0
    assert not left
