"""Whole steps on a Dask cluster that runs already: what ours does, and beside it why the released executor is not offered.

A test of what is wrong with the released one fails once it is mended there: then ours may no longer be needed.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil
import pytest
import yaml

from geo_assets.assets.dask_executor import dask_executor
from geo_assets.assets.dask_step import run_step
from geo_assets.errors import ComputeError, ConfigError
from geo_assets.model.compute import ComputeRecipe
from geo_assets_tests.compute.dask_cluster import clients, plain
from geo_assets_tests.e2e.tools import environment, wait_for

pytest.importorskip("dagster_dask", reason="the extra dask is not installed")
heavy, nightly = pytest.mark.heavy, pytest.mark.nightly
JOBS = "geo_assets_tests.assets.dask_jobs"
RUN = f"import sys; from {JOBS} import run; print(run(*sys.argv[1:3], partition=sys.argv[3], assets=sys.argv[4:]).status.value)"


@dataclass(frozen=True)
class Place:
    """A cluster, an instance and a folder of marks."""

    folder: Path
    address: str

    def environment(self) -> dict[str, str]:
        """Of the processes that run jobs."""
        return environment(
            SCHEDULER=self.address, MARKS=str(self.folder / "marks"), DAGSTER_HOME=str(self.folder / "home")
        )

    def start(self, kind: str, job: str, *, partition: str = "a", assets: list[str] | None = None) -> "Started":
        """Start a run in a process of its own."""
        arguments = [sys.executable, "-c", RUN, kind, job, partition, *(assets or [])]
        with (self.folder / "runs.log").open("ab") as log:
            process = subprocess.Popen(arguments, env=self.environment(), stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        assert run_id, (self.folder / "runs.log").read_text()[-3000:]
        return Started(self, process, run_id)

    def run(self, kind: str, job: str, *, partition: str = "a", assets: list[str] | None = None) -> "Started":
        """A run that has ended."""
        started = self.start(kind, job, partition=partition, assets=assets)
        started.process.communicate(timeout=180)
        return started

    def instance(self) -> dg.DagsterInstance:
        """Where runs are kept."""
        return dg.DagsterInstance.from_config(str(self.folder / "home"))


@dataclass(frozen=True)
class Started:
    """A run in a process of its own."""

    place: Place
    process: "subprocess.Popen[str]"
    run_id: str

    def files(self) -> list[Path]:
        """Marks of its ops."""
        return sorted((self.place.folder / "marks").glob(f"{self.run_id} *"))

    def marks(self) -> dict[str, int]:
        """How often each op was started."""
        return dict(Counter(f.name.split()[1] for f in self.files()))

    @property
    def status(self) -> str:
        """How it ended."""
        with self.place.instance() as instance:
            run = instance.get_run_by_id(self.run_id)
        assert run is not None
        return run.status.value

    def events(self, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
        """Its events of a kind."""
        with self.place.instance() as instance:
            found = [e.get_dagster_event() for e in instance.all_logs(self.run_id, of_type=kind)]
        return found

    def causes(self) -> str:
        """Why its steps failed."""
        return " ".join(str(e.step_failure_data.error) for e in self.events(dg.DagsterEventType.STEP_FAILURE))

    def is_alive(self) -> bool:
        """Whether its long op writes into its mark."""
        before = [f.stat().st_mtime_ns for f in self.files()]
        time.sleep(0.6)
        return before != [f.stat().st_mtime_ns for f in self.files()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """One cluster for all runs of a module, as it is where it is somebody else's."""
    folder = tmp_path_factory.mktemp("dask")
    for name in ("marks", "home"):
        (folder / name).mkdir()
    settings = {"telemetry": {"enabled": False}, "concurrency": {"pools": {"granularity": "op", "default_limit": 1}}}
    (folder / "home" / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with plain(folder, MARKS=str(folder / "marks")) as address:
        yield Place(folder, address)


@pytest.mark.parametrize(
    "other", ["tcp://cluster:8786", "cluster:8786", "tls://cluster", "CLUSTER:8786/"], ids=lambda a: a
)
def test_executor_when_tasks_run_on_the_same_cluster_then_it_is_refused(other):
    with pytest.raises(ConfigError, match="steps and their tasks cannot share the Dask cluster"):
        dask_executor("tls://cluster:8786", ComputeRecipe(backend="dask", address=other))


@pytest.mark.parametrize(
    "compute", [{}, {"backend": "dask"}, {"backend": "dask", "address": "tcp://cluster:8787"}], ids=str
)
def test_executor_when_tasks_run_elsewhere_then_it_is_offered(compute):
    assert dask_executor("tls://cluster:8786", ComputeRecipe(**compute)).name == "dask"


@pytest.mark.parametrize("address", ["", "tcp://", "tcp://h:port", "tcp://h:99999"])
def test_executor_when_the_address_is_none_then_it_says_how_one_looks(address):
    with pytest.raises(ConfigError, match="is no address of a Dask scheduler: write tcp://host:8786"):
        dask_executor(address, ComputeRecipe())


def busy_worker(place: Place) -> psutil.Process:
    """The worker process that runs a step."""
    from distributed import Client

    with Client(place.address, set_as_default=False) as client:
        wait_for(lambda: any(client.processing().values()), "a busy worker")
        busy = {where for where, keys in client.processing().items() if keys}
        pids = {where: pid for where, pid in client.run(os.getpid).items() if where in busy}
    assert len(pids) == 1
    return psutil.Process(*pids.values())


@heavy
@pytest.mark.parametrize(
    ("kind", "marks"), [("ours", {"first": 1, "second": 1}), pytest.param("released", {}, marks=nightly)]
)
def test_second_partition_when_the_first_still_runs_then_only_ours_computes_it(place, kind, marks):
    """Tasks of the released executor have the same keys in every run, and a scheduler gives the result that it has."""
    go = place.folder / "marks" / "go"
    go.unlink(missing_ok=True)
    a, b = (place.start(kind, "chain", partition=p) for p in "ab")
    wait_for(lambda: clients(place.address) == 2 and a.files(), "both runs to be on the cluster")
    time.sleep(3)
    go.touch()
    for one in (a, b):
        one.process.communicate(timeout=120)
    assert (a.status, b.status) == ("SUCCESS", "SUCCESS")
    computed = sorted((a.marks(), b.marks()), key=len)
    assert computed == [marks, {"first": 1, "second": 1}]


@heavy
@pytest.mark.parametrize(
    ("kind", "marks"), [("ours", {"wrong": 1}), pytest.param("released", {"wrong": 1, "second": 1}, marks=nightly)]
)
def test_step_when_its_parent_failed_then_only_ours_leaves_it_out(place, kind, marks):
    run = place.run(kind, "failing")
    assert run.status == "FAILURE"
    assert run.marks() == marks


@heavy
@pytest.mark.parametrize(
    ("kind", "status", "tries"), [("ours", "SUCCESS", 2), pytest.param("released", "FAILURE", 1, marks=nightly)]
)
def test_step_when_it_has_a_retry_policy_then_only_ours_tries_again(place, kind, status, tries):
    run = place.run(kind, "retried")
    assert (run.status, run.marks()) == (status, {"shaky": tries})


@heavy
@pytest.mark.parametrize(("kind", "left"), [("ours", False), pytest.param("released", True, marks=nightly)])
def test_run_when_it_is_terminated_then_only_ours_ends_its_steps(place, kind, left):
    run = place.start(kind, "endless")
    wait_for(run.files, "the step")
    run.process.send_signal(signal.SIGTERM)
    run.process.communicate(timeout=120)
    assert run.status in ("FAILURE", "CANCELED")
    assert run.is_alive() is left
    for file in run.files():
        file.unlink()


@heavy
def test_run_when_its_process_is_killed_then_its_steps_end(place):
    run = place.start("ours", "endless")
    wait_for(run.files, "the step")
    run.process.kill()
    run.process.communicate()
    wait_for(lambda: not run.is_alive(), "the step to end")


@heavy
@pytest.mark.parametrize(
    ("kind", "status", "starts"), [("ours", "FAILURE", 1), pytest.param("released", "STARTED", 2, marks=nightly)]
)
def test_step_when_its_worker_is_lost_then_only_ours_does_not_run_it_again_by_itself(place, kind, status, starts):
    """Dask gives the task of a lost worker to another one, three times, whatever the step's own policy says."""
    run = place.start(kind, "endless")
    wait_for(run.files, "the step")
    busy_worker(place).kill()
    wait_for(lambda: len(run.files()) == starts and run.status == status, "what becomes of it")
    if kind == "released":
        worker = busy_worker(place)  # asked now: once the run is gone, the scheduler forgets it, and the step goes on
        run.process.kill()
        worker.kill()
    run.process.communicate(timeout=60)
    if kind == "ours":
        assert "its worker was lost" in run.causes()
        assert not run.is_alive()


@heavy
def test_step_when_its_worker_is_lost_then_its_retry_policy_holds(place):
    run = place.start("ours", "lost_once")
    wait_for(run.files, "the step")
    busy_worker(place).kill()
    run.process.communicate(timeout=120)
    assert (run.status, run.marks()) == ("SUCCESS", {"long_at_first": 2})


@heavy
@pytest.mark.parametrize(
    ("kind", "made"), [("ours", {"wanted": 1}), pytest.param("released", {"wanted": 1, "unwanted": 1}, marks=nightly)]
)
def test_selection_when_an_asset_is_left_out_then_only_ours_leaves_it_out(place, kind, made):
    run = place.run(kind, "two_job", assets=["wanted"])
    assert (run.status, run.marks()) == ("SUCCESS", made)


@heavy
def test_steps_when_they_share_a_pool_then_they_run_one_by_one(place):
    run = place.run("ours", "pooled")
    (_, a), (b, _) = sorted(tuple(map(float, f.read_text().split())) for f in run.files())
    assert (run.status, a < b) == ("SUCCESS", True)


@nightly
def test_steps_when_they_share_a_pool_then_the_released_executor_cannot_send_them(place):
    run = place.run("released", "pooled")
    assert (run.status, run.marks()) == ("FAILURE", {})


@heavy
def test_step_when_its_process_ends_without_a_word_then_what_it_said_is_the_cause(place):
    run = place.run("ours", "dying")
    assert (run.status, run.marks()) == ("FAILURE", {"broken_off": 1})
    assert "its process ended with code 9: no more memory" in run.causes()


@heavy
def test_step_when_it_cannot_be_loaded_on_its_worker_then_the_last_line_is_the_cause(place):
    from distributed import Client

    with Client(place.address, set_as_default=False) as client:
        future = client.submit(run_step, "no arguments", {}, pure=False)
        with pytest.raises(ComputeError, match=r"its process ended with code 1: .*JSON"):
            future.result(timeout=120)


@heavy
def test_run_when_the_scheduler_dies_then_it_fails_and_no_step_is_left(tmp_path):
    for name in ("marks", "home"):
        (tmp_path / name).mkdir()
    with plain(tmp_path, MARKS=str(tmp_path / "marks")) as address:
        (scheduler,) = (p for p in psutil.Process().children() if str(tmp_path / "scheduler.json") in p.cmdline())
        run = Place(tmp_path, address).start("ours", "endless")
        wait_for(run.files, "the step")
        scheduler.kill()
        run.process.communicate(timeout=180)
        assert run.status == "FAILURE"
        assert "the connection to the Dask scheduler" in run.causes()
        wait_for(lambda: not run.is_alive(), "the step to end")
