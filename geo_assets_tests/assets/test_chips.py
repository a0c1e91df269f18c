"""The product ``chips`` through the command line, Dagster and its reports."""

import json
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import geo_assets
from geo_assets.doors import cli
from geo_assets.doors.instance import workspace
from geo_assets.doors.status import status
from geo_assets_tests.assets.tiny import MONTHS, SENSOR, WORLD, Tiny, link_world, truncate

PAID = {"backend": "local", "usd_per_hour": 3600.0}  # a dollar a second
CHIPS = {"size_px": 32, "bands": ["red", "nir"]}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chips")
    WORLD.write(folder)
    return folder


@pytest.fixture
def tiny(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    link_world(world, tmp_path / "world")
    return Tiny.create(
        tmp_path / "p", tmp_path / "world", months={"start": MONTHS[0], "end": MONTHS[1]}, compute=PAID, products=["chips"], chips=CHIPS
    )  # fmt: skip


@pytest.fixture
def called(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(command: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["geo-assets", command, str(tiny.file), *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), *capsys.readouterr()

    return call


def states(tiny: Tiny) -> set[tuple[str, str]]:
    loaded = tiny.loaded
    return {(s.state, s.reason) for s in status(workspace(loaded), loaded.periods()) if s.product == "chips"}


def test_chips_when_run_then_plan_status_cost_and_metadata_tell_of_them(tiny, called):
    plan = json.loads(called("plan", "--json")[1])["products"]["chips"]
    assert (plan["months"], plan["cells"] > 2, plan["scenes"] > 2, plan["bytes"] > 0, plan["usd"] > 0) == (
        2,
        True,
        True,
        True,
        True,
    )
    assert states(tiny) == {("missing", "not made yet")}
    code, out, said = called("run", "--yes", "--json")
    assert code == 0, said
    summary = json.loads(out)
    assert summary["partitions"]["ok"] == plan["partitions"]
    assert summary["tasks"]["ok"] > 4
    assert summary["outputs"]["chips"] == str(tiny.folder / "data" / "chips")
    assert summary["usd"]["actual"] > 0
    assert summary["usd"]["predicted"] > 0
    blocks = [b for r in tiny.receipts("chips").values() for b in r.blocks]
    assert all(b.usd > 0 and b.usd_predicted > 0 and b.name.startswith(f"{SENSOR} ") for b in blocks)
    assert states(tiny) == {("fresh", "")}
    shown = [
        r.asset_materialization.metadata
        for r in tiny.instance().fetch_materializations(dg.AssetKey("chips"), limit=9).records
    ]
    assert sum(m["chips"].value for m in shown) == len(geo_assets.open(tiny.folder / "data").chips())
    assert "clear" in shown[0]["shares"].value
    assert {m["status"].value for m in shown} == {"ok"}
    assert list((tiny.folder / "data" / "runs").glob("*/report.html"))


def test_chips_when_run_again_then_nothing_is_made_and_overwrite_makes_all(tiny, called):
    assert called("run", "--yes")[0] == 0
    again = json.loads(called("run", "--yes", "--json")[1])
    assert again["partitions"]["skipped"] == again["partitions"]["total"]
    assert again["bytes_read"] == 0
    anew = json.loads(called("run", "--yes", "--overwrite", "--json")[1])
    assert anew["partitions"]["ok"] == anew["partitions"]["total"]


def test_chips_when_a_file_is_damaged_then_the_run_says_which_and_retry_makes_that_alone(tiny, called):
    scene = next((tiny.folder.parent / "world").glob(f"{SENSOR}/*_20240[34]*")).name
    file = next((tiny.folder.parent / "world").glob(f"*/{scene}/nir.tif"))
    whole = file.read_bytes()
    truncate(tiny.folder.parent / "world", scene, "nir")
    code, out, _ = called("run", "--yes", "--json")
    summary = json.loads(out)
    assert code == 1
    assert {f["block"] for f in summary["failures"]} == {f"{SENSOR} {scene}"}
    assert all("nir.tif" in f["cause"] for f in summary["failures"])
    assert any(state == "failed" for state, _ in states(tiny))
    file.write_bytes(whole)
    code, out, _ = called("run", "--yes", "--retry-failed", "--json")
    assert code == 0
    assert json.loads(out)["tasks"]["ok"] == len(summary["failures"])
    assert states(tiny) == {("fresh", "")}


def test_chips_when_no_scene_is_there_then_it_is_said(tiny, called):
    tiny.change(months={"start": MONTHS[2], "end": MONTHS[2]})
    code, out, _ = called("run", "--yes", "--json")
    assert code == 0
    assert json.loads(out)["partitions"]["failed"] == 0
    (shown,) = {
        r.asset_materialization.metadata["note"].value
        for r in tiny.instance().fetch_materializations(dg.AssetKey("chips"), limit=9).records
    }
    assert shown == "no scene in this period"


@pytest.mark.parametrize(
    ("tables", "said"), [
        ({"kind": "iceberg", "catalog": "rest", "config": {"uri": "http://127.0.0.1:9/none"}}, "nothing was started"),
        ({"kind": "iceberg", "catalog": "rest"}, "uri"),
    ],
)  # fmt: skip
def test_chips_when_the_table_cannot_be_reached_then_nothing_is_started(tiny, called, tables, said):
    pytest.importorskip("pyiceberg", reason="the extra iceberg is not installed")
    tiny.change(tables=tables)
    code, _, error = called("run", "--yes")
    assert code == 2
    assert said in error.lower()
    assert not (tiny.folder / "data" / "chips").exists()
    assert not tiny.receipts("cells")
