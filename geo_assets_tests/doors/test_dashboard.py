import io
from pathlib import Path

import dagster as dg
import pytest
from rich.console import Console

from geo_assets.doors.progress import progress
from geo_assets.doors.run import run_project
from geo_assets.doors.run_options import RunOptions
from geo_assets.project import load_project
from geo_assets_tests.assets.tiny import MONTHS, WORLD, Tiny


def test_run_when_the_backend_has_a_dashboard_then_it_stands_in_the_terminal_the_run_and_the_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    pytest.importorskip("bokeh", reason="Dask's dashboard needs bokeh")
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    WORLD.write(tmp_path / "world")
    months = {"start": MONTHS[0], "end": MONTHS[0]}
    tiny = Tiny.create(tmp_path / "p", tmp_path / "world", months=months, compute={"backend": "dask", "workers": 1})
    said = io.StringIO()
    with progress(Console(file=said, width=200)) as told:
        summary = run_project(load_project(tiny.file), RunOptions(limit=1), progress=told)
    assert summary.complete
    (line,) = {line for line in said.getvalue().splitlines() if line.startswith("dashboard ")}
    address = line.split()[1]
    assert address.startswith("http://127.0.0.1:")
    instance = tiny.instance()
    assert address in {run.tags.get("geo_assets/dashboard") for run in instance.get_runs()}
    (record,) = instance.fetch_materializations(dg.AssetKey("composite"), limit=1).records
    assert record.asset_materialization.metadata["dashboard"].value == address
    assert record.asset_materialization.metadata["compute"].value == "dask"
