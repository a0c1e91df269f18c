"""``geo-assets run`` in processes of its own, also when it is killed."""

import os
import signal

import pytest

from geo_assets_tests.assets.tiny import EAST, WEST, Tiny
from geo_assets_tests.e2e.tools import cli, start, wait_for

pytestmark = pytest.mark.slow


@pytest.mark.heavy
def test_a_killed_run_goes_on_where_it_was(project: Tiny, calm: Tiny) -> None:
    """SIGKILL twice, then to the end: what was committed is never made again, and the cube is that of a calm run."""
    for share in (4, 10):
        process = start(project.folder, "run", log=project.folder / "run.log")
        try:
            wait_for(
                lambda share=share: len(list(project.folder.glob("data/receipts/composite/**/*.json"))) >= share,
                "receipts",
                every_s=0.01,
            )
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    committed = project.receipts()
    assert 10 <= len(committed) < 18

    summary = cli(project.folder, "run")
    assert summary["partitions"] == {
        "total": 18,
        "ok": 18 - len(committed),
        "partial": 0,
        "failed": 0,
        "skipped": len(committed),
    }
    after = project.receipts()
    assert {k: (r.run_id, r.snapshot, r.made_at) for k, r in after.items() if k in committed} == {
        k: (r.run_id, r.snapshot, r.made_at) for k, r in committed.items()
    }
    made = [r for k, r in after.items() if k not in committed]
    assert summary["bytes_read"] == sum(r.figures["bytes_read"] for r in made)

    undisturbed = cli(calm.folder, "run")
    assert undisturbed["partitions"]["ok"] == 18
    assert project.cube().drop_attrs().equals(calm.cube().drop_attrs())
    assert {k: r.data_version for k, r in after.items()} == {k: r.data_version for k, r in calm.receipts().items()}
    with project.instance() as instance:
        statuses = sorted(r.status.value for r in instance.get_runs())
    assert statuses.count("FAILURE") == 2
    assert set(statuses) == {"FAILURE", "SUCCESS"}  # no run of a dead process is shown as going on


@pytest.mark.heavy
def test_commands_in_processes_of_their_own_share_one_project(project: Tiny) -> None:
    made = cli(project.folder, "run", "--months", "2024-01:2024-02", "--regions", f"{WEST},{EAST}")
    assert made["partitions"] == {"total": 4, "ok": 4, "partial": 0, "failed": 0, "skipped": 0}
    status = cli(project.folder, "status")["products"]["composite"]
    assert status == {"total": 18, "fresh": 4, "stale": 0, "failed": 0, "missing": 14}
    assert sorted({r for r, _ in project.receipts()}) == [WEST, EAST]
    assert "no-such" in cli(project.folder, "run", "--regions", "no-such", code=2)["error"]["message"]
