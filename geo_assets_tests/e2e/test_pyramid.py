"""The pyramid from the command line, in processes of its own: planned, made, told, exported."""

import subprocess
import sys
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import rasterio

import geo_assets
from geo_assets.eo.pyramid import halve
from geo_assets_tests.assets.tiny import MIDDLE, MONTHS, SCENES, WEST, WORLD, Tiny, key
from geo_assets_tests.e2e.tools import cli, environment, serving

pytestmark = pytest.mark.slow


@pytest.mark.heavy
def test_pyramid_from_plan_to_export(tmp_path: Path) -> None:
    WORLD.write(tmp_path / "world")
    tiny = Tiny.create(tmp_path / "project", tmp_path / "world", products=["composite", "pyramid"])
    planned = cli(tiny.folder, "plan")["products"]
    assert list(planned) == ["cells", "scenes/sentinel-2-l2a", "composite", "pyramid"]
    assert planned["pyramid"]["blocks"] == planned["composite"]["blocks"] == 6
    assert planned["pyramid"]["bytes"] == int(
        6 * 2 * 32**2 * 3 * 5 * 2 * 0.6
    )  # two chunks a block, three months, five arrays
    assert planned["pyramid"]["seconds"] > 0

    made = cli(tiny.folder, "run", "--report-dir", "report")
    assert made["partitions"] == {"total": 6, "ok": 6, "partial": 0, "failed": 0, "skipped": 0}
    assert made["tasks"]["ok"] == 6 * 3 * 2
    assert made["outputs"]["pyramid"] == str(tiny.folder / "data" / "cube")
    assert "pyramid" in (tiny.folder / "report" / "report.html").read_text()
    assert cli(tiny.folder, "plan")["products"]["pyramid"]["bytes"] == 0
    counts = cli(tiny.folder, "status")["products"]
    assert counts["pyramid"] == {"total": 6, "fresh": 6, "stale": 0, "failed": 0, "missing": 0}

    again = cli(tiny.folder, "run", "--products", "pyramid")
    assert again["partitions"] == {"total": 6, "ok": 0, "partial": 0, "failed": 0, "skipped": 6}
    assert (again["tasks"]["ok"], again["bytes_read"]) == (0, 0)
    once = cli(
        tiny.folder, "run", "--products", "pyramid", "--overwrite", "--regions", WEST, "--months", "2024-03:2024-03"
    )
    assert once["partitions"]["ok"] == 1

    files = cli(tiny.folder, "export", "cog", "--out", "tiffs", "--months", "2024-03:2024-03")["files"]
    level = geo_assets.open(tiny.folder / "data").cube(level=1).sel(time="2024-03-01")
    with rasterio.open(tiny.folder / files[0]) as file:  # too small for overviews, but halved it is the level
        west, south, east, north = file.bounds
        full = file.read(1)
    part = level.red.sel(x=slice(west, east), y=slice(north, south))
    np.testing.assert_array_equal(halve(full, 0), np.nan_to_num(part * 1e4).round())
    assert full.any()


@pytest.mark.heavy
def test_a_backfill_of_the_ui_makes_composite_and_pyramid(tmp_path: Path) -> None:
    WORLD.write(tmp_path / "world")
    tiny = Tiny.create(tmp_path / "project", tmp_path / "world", products=["composite", "pyramid"])
    cli(tiny.folder, "run", "--products", "cells")
    keys = [key(r, m) for r in (WEST, MIDDLE) for m in MONTHS]
    with serving(tiny.folder) as ui:
        state = ui.wait_backfill(ui.backfill([SCENES, "composite", "pyramid"], keys))
    assert state["status"] == "COMPLETED_SUCCESS"
    assert len(state["runs"]) == 2  # one a region
    for status in state["assetBackfillData"]["assetBackfillStatuses"]:
        assert (status["numPartitionsTargeted"], status["numPartitionsMaterialized"]) == (6, 6)
    with tiny.instance() as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("pyramid")) == set(keys)
    assert {r.run_id for r in tiny.receipts("pyramid").values()} == {r.run_id for r in tiny.receipts().values()}
    assert cli(tiny.folder, "run")["partitions"]["skipped"] == 6


@pytest.mark.heavy
def test_a_cube_that_has_no_levels_is_refused_before_any_work(tmp_path: Path) -> None:
    WORLD.write(tmp_path / "world")
    cube = {"block_px": 33, "chunk_px": 33, "region_blocks": 1}
    tiny = Tiny.create(tmp_path / "project", tmp_path / "world", products=["pyramid"], cube=cube)
    for command in ("plan", "run"):
        said = cli(tiny.folder, command, code=2)["error"]["message"]
        assert "odd number" in said
        assert "cube.block_px" in said
    assert not (tiny.folder / "data").exists()
    refused = cli(tiny.folder, "run", "--products", "merged", code=2)["error"]["message"]
    assert "'merged' is not made by this version" in refused
    assert "composite, pyramid, chips" in refused


def test_levels_are_read_without_dagster(tmp_path: Path) -> None:
    WORLD.write(tmp_path / "world")
    tiny = Tiny.create(tmp_path / "project", tmp_path / "world", products=["pyramid"])
    assert tiny.run(regions=[MIDDLE], last_month=MONTHS[0]).complete
    code = (
        "import sys; sys.modules['dagster'] = None; import geo_assets; "
        f"print(dict(geo_assets.open({str(tiny.folder / 'data')!r}).cube(level=2).load().sizes))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "{'time': 3, 'y': 32, 'x': 32}", done.stderr
