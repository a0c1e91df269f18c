"""The Dagster instance of a new project, made by several processes at once."""

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dagster import DagsterRun, DagsterRunStatus
from typer.testing import CliRunner

import geo_assets
from geo_assets.doors import cli, ui
from geo_assets.doors.home import open_instance
from geo_assets.doors.instance import _HOST_TAG, _PID_TAG, Runner, write_workspace
from geo_assets.doors.reports import how_to_open
from geo_assets.project import load_project
from geo_assets_tests.e2e.tools import environment

OPEN = """\
import sys, time
from pathlib import Path
from geo_assets.doors.home import open_instance
print("ready", flush=True)
sys.stdin.readline()
with open_instance(Path(sys.argv[1])) as instance:
    instance.add_dynamic_partitions("region", [sys.argv[2]])
"""


@pytest.mark.heavy
def test_instance_when_processes_make_it_at_the_same_instant_then_each_gets_it(tmp_path: Path) -> None:
    home, names = tmp_path / "home", ["a", "b", "c", "d"]
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(home), name], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for name in names
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ends = [process.communicate(timeout=120) for process in processes]
    assert [p.returncode for p in processes] == [0] * len(names), [err for _, err in ends]
    with open_instance(home) as instance:
        assert sorted(instance.get_dynamic_partitions("region")) == names


def test_ui_when_dagster_is_started_then_it_does_not_advertise_another_command(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text("load_from: []")
    home = tmp_path / "no-such-folder"  # with which it ends at once
    command = [sys.executable, "-m", "dagster", "dev", "-w", "w.yaml"]
    loud, quiet = (
        subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
        for env in ({**os.environ, "DAGSTER_HOME": str(home)}, ui.environment(home))
    )
    assert "SupersessionWarning" in loud.stderr
    assert "SupersessionWarning" not in quiet.stderr
    assert quiet.returncode == loud.returncode != 0


def test_workspace_when_the_folder_has_odd_signs_then_dagster_reads_it(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / 'a "b" \\n {c}: #'
    folder.mkdir()
    (folder / "geo_assets.yaml").write_text("months: {start: 2024-01, end: 2024-01}")
    monkeypatch.chdir(folder)
    file = write_workspace(load_project(folder), tmp_path)
    (entry,) = yaml.safe_load(file.read_text())["load_from"]
    module = {"module_name": "geo_assets.definitions", "working_directory": str(folder), "location_name": "geo_assets"}
    assert entry == {"python_module": module}


def test_orphans_when_a_run_was_stopped_and_its_process_killed_then_it_does_not_hang_for_ever(
    tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "geo_assets.yaml").write_text("months: {start: 2024-01, end: 2024-01}")
    runner = Runner(load_project(tmp_path))
    tags = {_HOST_TAG: socket.gethostname(), _PID_TAG: "999999999"}
    states = (DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING, DagsterRunStatus.SUCCESS)
    runs = [runner.instance.add_run(DagsterRun("cells_job", status=status, tags=tags)) for status in states]
    assert sorted(runner.fail_orphans()) == sorted(r.run_id for r in runs[:2])


def test_how_to_open_when_the_folder_has_odd_signs_then_its_lines_can_be_run(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / 'it\'s "a" \\n folder'
    folder.mkdir()
    (folder / "geo_assets.yaml").write_text("months: {start: 2024-01, end: 2024-01}")
    monkeypatch.chdir(tmp_path)
    shell, python = how_to_open(load_project(folder))
    assert shlex.split(shell)[1:] == ["ui", str(folder / "geo_assets.yaml")]
    given = []
    monkeypatch.setattr(geo_assets, "open", given.append)
    exec("\n".join(python[:2]))
    assert given == [str(folder / "data")]


def test_init_when_the_folder_has_odd_signs_then_its_commands_can_be_run(tmp_path: Path) -> None:
    file = tmp_path / "a 'b'" / "geo_assets.yaml"
    file.parent.mkdir()
    result = CliRunner().invoke(
        cli.app, ["init", str(file), "--bbox", "15", "46", "15.3", "46.2", "--months", "2023-06:2023-08"]
    )
    assert result.exit_code == 0, result.output
    assert shlex.split(result.stdout.splitlines()[1])[3].removesuffix(",") == str(file)
