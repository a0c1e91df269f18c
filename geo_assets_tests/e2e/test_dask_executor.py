"""The sample world made with whole steps on a Dask cluster that runs already: the same as in the process of the run."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from geo_assets_tests.assets.tiny import MIDDLE, SCENES, WEST, WORLD, Tiny
from geo_assets_tests.compute.dask_cluster import clients, plain
from geo_assets_tests.e2e.tools import MAIN, ROOT, environment, stop, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.heavy]
MONTH = "2024-03"


def run(tiny: Tiny, **variables: str) -> dict[str, object]:
    """``geo-assets run`` in the repository's deployment."""
    arguments = [sys.executable, "-c", MAIN, "run", str(tiny.file), "--months", MONTH, "--json"]
    done = subprocess.run(
        arguments, cwd=ROOT, env=environment(**variables), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)


def workers_of(tiny: Tiny, run_ids: list[str]) -> set[str]:
    """Steps that had a process of their own."""
    with tiny.instance() as instance:
        logs = [e for r in run_ids for e in instance.all_logs(r, of_type=dg.DagsterEventType.STEP_WORKER_STARTED)]
    return {str(entry.step_key) for entry in logs}


def test_two_partitions_when_their_steps_run_on_a_cluster_then_they_are_the_same_as_in_process(tmp_path: Path) -> None:
    pytest.importorskip("dagster_dask", reason="the extra dask is not installed")
    WORLD.write(tmp_path / "world")
    here, there = (Tiny.create(tmp_path / name, tmp_path / "world") for name in ("here", "there"))
    (tmp_path / "dask").mkdir()
    with plain(tmp_path / "dask") as address:
        made = [run(here), run(there, GEO_ASSETS_STEPS_ON=address)]
    assert made[0]["partitions"] == made[1]["partitions"]
    assert made[1]["partitions"]["ok"] == 2
    assert workers_of(here, made[0]["run_ids"]) == set()
    assert workers_of(there, made[1]["run_ids"]) == {"cells", SCENES.replace("/", "__").replace("-", "_"), "composite"}
    for key in ((WEST, MONTH), (MIDDLE, MONTH)):
        assert here.receipts()[key].data_version == there.receipts()[key].data_version
    assert (here.cube().n_clear > 0).any()
    assert here.cube().drop_attrs().equals(there.cube().drop_attrs())


def test_run_when_it_is_stopped_before_its_first_step_begins_then_it_goes_no_further(tmp_path: Path) -> None:
    pytest.importorskip("dagster_dask", reason="the extra dask is not installed")
    WORLD.write(tmp_path / "world")
    tiny = Tiny.create(tmp_path / "project", tmp_path / "world")
    (tmp_path / "dask").mkdir()
    arguments = [sys.executable, "-c", MAIN, "run", str(tiny.file), "--json"]
    with plain(tmp_path / "dask") as address, (tmp_path / "log").open("wb") as log:
        given = environment(GEO_ASSETS_STEPS_ON=address)
        process = subprocess.Popen(arguments, cwd=ROOT, env=given, stdout=log, stderr=log)
        try:
            wait_for(lambda: clients(address) == 1, "the first run", every_s=0.1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 130, (tmp_path / "log").read_text()
        finally:
            stop(process)
    with tiny.instance() as instance:
        assert len(instance.get_runs()) == 1
