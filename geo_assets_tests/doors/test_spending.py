import json
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from geo_assets.doors import cli
from geo_assets.doors.instance import workspace
from geo_assets.doors.plan import plan_project
from geo_assets.doors.run import run_project
from geo_assets.doors.run_options import RunOptions
from geo_assets.errors import ConfigError
from geo_assets.model.cost import Load
from geo_assets.project import load_project
from geo_assets.tasks import forecast
from geo_assets_tests.assets.tiny import MONTHS, WORLD, Tiny

PAID = {"backend": "local", "usd_per_hour": 3600.0}  # a dollar a second


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spending")
    WORLD.write(folder)
    return folder


@pytest.fixture
def tiny(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return Tiny.create(tmp_path / "p", world, months={"start": MONTHS[0], "end": MONTHS[1]}, compute=PAID)


@pytest.fixture
def called(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(command: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["geo-assets", command, str(tiny.file), *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), *capsys.readouterr()

    return call


def test_run_when_it_costs_money_and_nobody_can_be_asked_then_it_is_refused_before_work(tiny, called):
    code, _, said = called("run")
    assert code == 2
    assert "tasks on local should take" in said
    assert "Say --yes to go on" in said
    assert not (tiny.folder / "data" / "cube").exists()
    with pytest.raises(ConfigError, match="Nobody agreed to it: nothing was started"):
        run_project(load_project(tiny.file), RunOptions())


def test_run_when_it_costs_money_then_receipts_summary_and_metadata_tell_expected_and_actual(tiny, called):
    code, out, _ = called("run", "--yes", "--json")
    summary = json.loads(out)
    assert code == 0
    blocks = [b for r in tiny.receipts().values() for b in r.blocks if b.run_id]
    assert blocks
    assert {(b.backend, b.attempts) for b in blocks} == {("local", 1)}
    assert all(b.usd == pytest.approx(b.billed_s, abs=2e-3) and b.usd > 0 and b.usd_predicted > 0 for b in blocks)
    assert summary["usd"]["actual"] == pytest.approx(sum(b.usd for b in blocks), abs=1e-5)
    assert summary["usd"]["predicted"] == pytest.approx(sum(b.usd_predicted for b in blocks), rel=0.01)
    assert len({key[0] for key in tiny.receipts()}) > 1  # what a region teaches changes nothing for the next one
    figures = [r.figures for r in tiny.receipts().values()]
    assert sum(f["usd"] for f in figures) == pytest.approx(summary["usd"]["actual"], abs=1e-5)
    records = tiny.instance().fetch_materializations(dg.AssetKey("composite"), limit=9).records
    shown = [r.asset_materialization.metadata for r in records]
    assert {m["compute"].value for m in shown} == {"local"}
    assert sum(m["usd_actual"].value for m in shown) == pytest.approx(summary["usd"]["actual"], abs=1e-5)
    assert all(m["usd_predicted"].value > 0 for m in shown)
    assert called("run")[0] == 0  # all is fresh: there is nothing to ask about


def test_plan_when_tasks_ran_before_then_their_time_is_what_is_expected(tiny, called):
    assert called("run", "--yes", "--months", MONTHS[0])[0] == 0
    for (
        receipt
    ) in tiny.receipts().values():  # as if each task had kept its worker for ten seconds, two of them for itself
        blocks = [b.model_copy(update={"billed_s": 10.0, "wall_s": 2.0, "bytes_read": 1000}) for b in receipt.blocks]
        tiny.loaded.storage.write_receipt(receipt.model_copy(update={"blocks": blocks}))
    plans = json.loads(called("plan", "--months", MONTHS[1], "--json")[1])["products"]["composite"]
    assert plans["usd"] == pytest.approx(10.0 * plans["blocks"], rel=0.05)


def test_run_when_more_is_expected_than_may_be_spent_then_it_is_refused_before_work(tiny, called):
    tiny.change(compute={"max_usd": 0.0001})
    code, _, said = called("run", "--yes")
    assert code == 2
    assert "which is more than compute.max_usd 0.0001: raise it" in said
    assert not (tiny.folder / "data" / "cube").exists()


def test_run_when_a_run_of_the_ui_would_cost_too_much_then_nothing_is_sent(tiny):
    loaded = load_project(tiny.file)
    assert run_project(loaded, RunOptions(products=["scenes"])).complete
    tiny.change(compute={"max_usd": 0.0001})
    region = next(iter(tiny.receipts("cells")))[0]
    outcome = tiny.runner().run(["composite"], f"{MONTHS[0]}|{region}", f"{MONTHS[0]}|{region}")
    assert not outcome.success
    (cause,) = outcome.causes.values()
    assert "refused: with 4 tasks of this partition, expected at $" in cause
    assert tiny.receipts() == {}


def test_plan_when_nobody_is_billed_then_it_costs_nothing(tiny, called):
    tiny.change(compute={"usd_per_hour": 0})
    loaded = load_project(tiny.file)
    place = workspace(loaded)
    plans = plan_project(place, list(loaded.periods()), place.cut.regions, loaded.wanted())
    assert {p.usd for p in plans} == {0.0}
    assert all(p.seconds > 0 for p in plans)


def test_run_when_it_would_clear_the_cube_and_may_not_be_paid_then_the_cube_stays(tiny, called):
    assert called("run", "--yes", "--months", MONTHS[0])[0] == 0
    before = tiny.receipts()
    tiny.change(compute={"max_usd": 0.0001})
    for more in ([], ["--tiles", "none.csv"]):
        assert called("run", "--initialize", "--yes", *more)[0] == 2
    assert tiny.receipts() == before
    assert tiny.cube()["n_clear"].any()


def test_run_when_several_regions_cost_too_much_together_then_the_later_ones_are_not_begun(tiny, monkeypatch):
    monkeypatch.setattr(forecast.CompositeForecast, "load", lambda *_: Load(1, 1e-6))  # far too little is expected
    tiny.change(compute={"max_usd": 0.05})
    summary = run_project(load_project(tiny.file), RunOptions(), ask=lambda _: None)
    assert summary.usd["actual"] > 0.05
    regions = {f["region"] for f in summary.failures}
    assert regions
    assert all("compute.max_usd" in f["cause"] for f in summary.failures)
    last = sorted(k[0] for k in tiny.receipts("cells"))[-1]
    assert {m for (r, m), _ in tiny.receipts().items() if r == last} == set()


def test_run_when_no_task_is_needed_then_nothing_is_searched_for_its_cost(tiny, called):
    (tiny.folder / "none.json").write_text("no catalog")
    tiny.change(catalog={"path": str(tiny.folder / "none.json")})
    assert called("run", "--products", "cells")[0] == 0
    assert called("run", "--yes")[0] != 0


@pytest.fixture
def of_tiles(tiny: Tiny) -> Path:
    """A table that names one of the two tiles of the project, which lie in one region; layers of both are to be made."""
    head, first, second = "X,Y,Y_tile,X_tile", "15.1252222222,47.25,727,1035", "15.1807777778,47.25,727,1036"
    (tiny.folder / "tiles.csv").write_text(f"{head}\n{first}\n{second}\n")
    (tiny.folder / "named.csv").write_text(f"Year,{head}\n2024,{first}\n")
    document = yaml.safe_load(tiny.file.read_text())
    document |= {"grid": {"kind": "tiles", "path": "tiles.csv", "clip": True}, "products": ["ard"]}
    document |= {"cube": {"region_blocks": 6}, "months": {"start": MONTHS[0], "end": MONTHS[0]}}
    tiny.file.write_text(yaml.safe_dump(document))
    return tiny.folder / "named.csv"


def test_plan_when_a_table_names_cells_then_they_alone_are_counted_as_run_makes_them(of_tiles, called):
    def planned(*arguments: str) -> dict[str, Any]:
        plans = json.loads(called("plan", *arguments, "--json")[1])["products"]
        found: dict[str, Any] = plans["ard/sentinel-2-l2a"]
        return found

    whole, named = planned(), planned("--tiles", str(of_tiles))
    assert (whole["regions"], whole["partitions"], named["partitions"]) == (1, 1, 1)
    assert (whole["cells"], named["cells"]) == (2, 1)
    assert 0 < named["bytes"] < whole["bytes"]
    assert 0 < named["usd"] < whole["usd"]
    code, made, _ = called("run", "--yes", "--tiles", str(of_tiles), "--json")
    assert code == 0
    assert json.loads(made)["usd"]["predicted"] == pytest.approx(named["usd"], rel=0.01)
    assert 0 < planned()["bytes"] < whole["bytes"]  # the other one is left
    assert planned("--tiles", str(of_tiles))["usd"] == 0  # it is fresh


def test_plan_when_the_receipt_is_damaged_then_all_is_counted_as_run_makes_all(tiny, of_tiles, called):
    assert called("run", "--yes", "--json")[0] == 0
    (file,) = (tiny.folder / "data" / "receipts" / "ard").rglob("*.json")
    file.write_text("{")
    plans = [json.loads(called("plan", *more, "--json")[1]) for more in ([], ["--tiles", str(of_tiles)])]
    whole, named = (p["products"]["ard/sentinel-2-l2a"]["bytes"] for p in plans)
    assert named == whole > 0
