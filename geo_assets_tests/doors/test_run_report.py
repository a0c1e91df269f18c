"""The report of a run: where it lies, what it holds, and that its table of failures is taken back."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from geo_assets.doors import cli
from geo_assets_tests.assets.tiny import MONTHS, WORLD, Tiny

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
