"""The report of a run: where it lies, what it holds, and that its table of failures is taken back."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from geo_assets.doors import cli
from geo_assets.tasks.cells import read_cells
from geo_assets_tests.assets.tiny import MONTHS, WORLD, Tiny, truncate

FILES = {"summary.json", "jobs.csv", "failed.csv", "report.txt", "report.html", "plots/local.png"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    WORLD.write(folder)
    return folder


@pytest.fixture
def tiny(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return Tiny.create(tmp_path / "p", world, months={"start": MONTHS[0], "end": MONTHS[1]})


@pytest.fixture
def called(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, dict[str, Any], str]:
        monkeypatch.setattr(sys, "argv", ["geo-assets", "run", str(tiny.file), *arguments, "--json"])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), json.loads(said.out), said.err

    return call


def files(folder: Path) -> set[str]:
    return {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_run_when_it_ends_then_its_report_lies_below_the_storage_root(tiny, called):
    code, summary, _ = called()
    assert code == 0
    folder = Path(summary["report"])
    assert folder.parent == tiny.folder / "data" / "runs"
    assert files(folder) == FILES
    jobs = rows(folder, "jobs.csv")
    assert len(jobs) == summary["tasks"]["ok"] == sum(len(r.blocks) for r in tiny.receipts().values())
    assert {(j["status"], j["backend"], j["attempts"]) for j in jobs} == {("ok", "local", "1")}
    assert all(float(j["run_s"]) > 0 and float(j["ended_at"]) > 1.7e9 for j in jobs)
    assert rows(folder, "failed.csv") == []
    told = json.loads((folder / "summary.json").read_text())
    assert (told["jobs"]["status"], told["run_ids"], told["report"]) == ("success", summary["run_ids"], str(folder))
    observed = tiny.instance().fetch_observations(dg.AssetKey("composite"), limit=9).records
    assert {r.asset_observation.metadata["run_status"].value for r in observed} == {"success"}
    assert list((tiny.folder / "data" / "runs").iterdir()) == [folder]  # one of the command, none of each Dagster run


def test_run_when_a_folder_is_given_then_the_report_lies_there_with_the_projects(tiny, called, tmp_path):
    code, summary, _ = called("--report-dir", str(tmp_path / "r"))
    assert (code, summary["report"]) == (0, str(tmp_path / "r"))
    assert files(tmp_path / "r") == FILES | {"project.html"}
    assert 'href="project.html"' in (tmp_path / "r" / "report.html").read_text()
    assert not (tiny.folder / "data" / "runs").exists()


@pytest.mark.heavy
def test_run_when_blocks_failed_then_its_table_of_failures_is_what_the_next_one_makes(tiny, called, tmp_path):
    WORLD.write(tmp_path / "world")
    tiny.change(catalog={"path": str(tmp_path / "world" / "catalog.json")})
    broken = next(f for f in sorted((tmp_path / "world").rglob("*.tif")) if "red" in f.name.lower() or "B04" in f.name)
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    code, summary, _ = called()
    assert code == 1
    folder = Path(summary["report"])
    failed = rows(folder, "failed.csv")
    assert failed
    assert {(f["region"], f["month"]) for f in failed} == {(f["region"], f["month"]) for f in summary["failures"]}
    assert all(f["cause"] and f["kind"] == "error" for f in failed)
    assert "--tiles" in (folder / "report.txt").read_text()
    broken.write_bytes(whole)
    code, again, _ = called("--tiles", str(folder / "failed.csv"))
    assert code == 0
    assert again["partitions"]["total"] == again["partitions"]["ok"] == len({(f["region"], f["month"]) for f in failed})
    assert {(j["region"], j["month"]) for j in rows(Path(again["report"]), "jobs.csv")} == {
        (f["region"], f["month"]) for f in failed
    }


def test_run_when_a_layer_fails_then_the_terminal_and_the_report_call_it_one(tiny, tmp_path, monkeypatch, capsys):
    WORLD.write(tmp_path / "world")
    months = {"start": MONTHS[0], "end": MONTHS[0]}
    tiny.change(catalog={"path": str(tmp_path / "world" / "catalog.json")}, products=["ard"], months=months)
    item = next(g.item_id for g in WORLD.granules if g.month == MONTHS[0])
    truncate(tmp_path / "world", item, "green")
    monkeypatch.setattr(sys, "argv", ["geo-assets", "run", str(tiny.file), "--report-dir", str(tmp_path / "r")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"{MONTHS[0]} layer {item}: " in said
    report = " ".join((tmp_path / "r" / "report.txt").read_text().split())
    assert f"{MONTHS[0]} layer {item}" in report
    page = (tmp_path / "r" / "report.html").read_text()
    assert "Layer</th>" in page
    for text in (said, report, page):
        assert " block " not in text.lower()


def test_run_when_it_is_started_from_elsewhere_then_it_writes_a_report_of_its_own(tiny, called):
    assert called("--products", "scenes")[0] == 0
    region = next(iter(tiny.receipts("cells")))[0]
    outcome = tiny.runner().run(["composite"], f"{MONTHS[0]}|{region}", f"{MONTHS[0]}|{region}")
    assert outcome.success
    folder = tiny.folder / "data" / "runs" / outcome.run_id
    assert files(folder) == FILES
    (record,) = tiny.instance().fetch_observations(dg.AssetKey("composite"), limit=9).records
    assert record.asset_observation.metadata["report"].value == f"{folder}/report.html"


def test_run_when_the_report_cannot_be_written_then_what_was_made_counts(tiny, called):
    (tiny.folder / "data").mkdir()
    (tiny.folder / "data" / "runs").write_text("mine")
    code, summary, said = called()
    assert (code, summary["partitions"]["failed"]) == (1, 0)
    assert "runs" in said
    assert summary["partitions"]["ok"] == summary["partitions"]["total"] > 0


# A project of tiles: two of them, whose common edge runs through the area, cut at its border

TILES = "X,Y,Y_tile,X_tile\n15.1252222222,47.25,727,-1035\n15.1807777778,47.25,727,1036\n"
COLUMNS = ["Year", "X", "Y", "Y_tile", "X_tile"]


@pytest.fixture
def of_tiles(tiny: Tiny) -> Tiny:
    (tiny.folder / "tiles.csv").write_text(TILES)
    document = yaml.safe_load(tiny.file.read_text())
    tiny.file.write_text(yaml.safe_dump(document | {"grid": {"kind": "tiles", "path": "tiles.csv", "clip": True}}))
    return tiny


@pytest.mark.heavy
def test_run_when_blocks_of_tiles_failed_then_its_table_of_failures_is_one_of_tiles(of_tiles, called, tmp_path):
    WORLD.write(tmp_path / "world")
    of_tiles.change(catalog={"path": str(tmp_path / "world" / "catalog.json")})
    broken = next(f for f in sorted((tmp_path / "world").rglob("*.tif")) if "red" in f.name.lower())
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    code, summary, _ = called("--report-dir", str(tmp_path / "r"))
    assert code == 1
    failed = rows(tmp_path / "r", "failed.csv")
    assert list(failed[0])[:5] == COLUMNS
    named = {
        (f["product"], f["region"], f["month"], f["block"], cell) for f in summary["failures"] for cell in f["cells"]
    }
    assert {(f["product"], f["region"], f["month"], f["block"], f["cells"].strip()) for f in failed} == named
    assert all(f["cells"].strip() == f"{f['X_tile']}X{f['Y_tile']}Y" and f["Year"] == f["month"][:4] for f in failed)
    assert {(f["X_tile"], f["X"], f["Y"]) for f in failed} <= {("-1035", "15.1252222222", "47.25"), ("1036", "15.1807777778", "47.25")}  # fmt: skip
    broken.write_bytes(whole)
    code, again, _ = called("--tiles", str(tmp_path / "r" / "failed.csv"))
    assert code == 0
    assert again["partitions"]["total"] == again["partitions"]["ok"] == len({(f["region"], f["month"]) for f in failed})
    below = Path(again["report"]) / "failed.csv"
    assert below.read_text().startswith("Year,X,Y,Y_tile,X_tile,product,region,month")
    assert below.read_text().count("\n") == 1


def test_run_when_partitions_of_tiles_failed_whole_then_all_their_cells_are_named(of_tiles, called, tmp_path):
    assert called("--products", "cells")[0] == 0
    WORLD.write(tmp_path / "world")
    of_tiles.change(catalog={"path": str(tmp_path / "world" / "catalog.json")})
    for file in (tmp_path / "world").glob("*/*/*.json"):
        file.write_text("{")
    code, summary, _ = called("--products", "scenes")
    assert code in (1, 2)
    failed = rows(Path(summary["report"]), "failed.csv")
    cells = {r: set(of_tiles_cells(of_tiles, r)) for r in {f["region"] for f in summary["failures"]}}
    wanted = {(f["region"], f["month"], c) for f in summary["failures"] if f["month"] for c in cells[f["region"]]}
    assert {(f["region"], f["month"], f["cells"].strip()) for f in failed} == wanted
    assert failed
    assert all(f["X"] and f["Year"] for f in failed)


def of_tiles_cells(tiny: Tiny, region: str) -> list[str]:
    content = tiny.loaded.storage.read(f"cells/{region}.parquet")
    assert content is not None
    return [str(c) for c in read_cells(content)["cell_id"]]


def test_run_when_a_request_is_its_table_then_what_was_asked_for_is_made(
    of_tiles, called, tmp_path, monkeypatch, capsys
):
    (tmp_path / "r.json").write_text(json.dumps({"p": {MONTHS[0][:4]: {"missing_tiles": ["1036X727Y"]}}}))
    arguments = ["request", "r.json", "--tiles", str(of_tiles.folder / "tiles.csv"), "--csv", "asked.csv"]
    monkeypatch.setattr(sys, "argv", ["geo-assets", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 0
    capsys.readouterr()
    code, summary, _ = called("--tiles", "asked.csv", "--products", "scenes")
    assert (code, summary["partitions"]["total"]) == (0, 2)
