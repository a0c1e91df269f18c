import itertools
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import geo_assets
from geo_assets.assets.context import Workspace
from geo_assets.assets.plain import PlainStore
from geo_assets.catalogs.static import StaticCatalog
from geo_assets.doors import cli, run
from geo_assets.doors.instance import Outcome
from geo_assets.doors.run import run_project
from geo_assets.doors.run_options import RunOptions
from geo_assets.doors.status import status
from geo_assets.errors import CatalogError, ConfigError
from geo_assets.project import load_project
from geo_assets_tests.assets.tiny import MONTHS, SCENES, WORLD, Tiny


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    os.environ.pop("DAGSTER_HOME", None)
    folder = tmp_path_factory.mktemp("run")
    WORLD.write(folder / "world")
    tiny = Tiny.create(folder / "project", folder / "world", months={"start": MONTHS[0], "end": MONTHS[0]})
    assert run_project(load_project(tiny.file), RunOptions()).complete
    return tiny


@pytest.fixture
def tiny(made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    copied = made.copy(tmp_path / "p")
    monkeypatch.chdir(copied.folder)
    return copied


def states(tiny: Tiny) -> set[tuple[str, str]]:
    loaded = load_project(tiny.file)
    workspace = Workspace.of(loaded, storage=PlainStore(loaded.project.storage))
    return {(s.state, s.reason) for s in status(workspace, loaded.periods()) if s.product == "composite"}


def test_status_when_the_cube_is_gone_then_its_partitions_are_missing_and_made_again(tiny):
    assert states(tiny) == {("fresh", "")}
    shutil.rmtree(tiny.folder / "data" / "cube")
    assert states(tiny) == {("missing", "the cube that held it is gone")}
    summary = run_project(load_project(tiny.file), RunOptions())
    assert summary.partitions == {"total": 2, "ok": 2, "partial": 0, "failed": 0, "skipped": 0}
    assert states(tiny) == {("fresh", "")}


def test_run_when_storage_holds_another_store_then_it_is_refused_before_work(tiny):
    before = sorted(p.name for p in (tiny.folder / "data" / "cube").iterdir())
    tiny.change(cube={"store": "zarr"})
    with pytest.raises(ConfigError, match=r"holds a cube of store icechunk, and cube\.store is zarr"):
        run_project(load_project(tiny.file), RunOptions())
    assert sorted(p.name for p in (tiny.folder / "data" / "cube").iterdir()) == before


def test_run_when_a_file_stands_in_the_cubes_place_then_it_is_refused_before_work(tiny):
    shutil.rmtree(tiny.folder / "data" / "cube")
    (tiny.folder / "data" / "cube").write_text("mine")
    with pytest.raises(ConfigError, match="is a file where the cube's folder should be"):
        run_project(load_project(tiny.file), RunOptions())
    assert (tiny.folder / "data" / "cube").read_text() == "mine"


def test_run_when_an_earlier_one_was_killed_while_writing_then_its_unfinished_file_goes(tiny):
    old, new = (tiny.folder / "data" / "cells" / f"a.parquet.{n * 32}.part" for n in "01")
    for file in (old, new):
        file.touch()
    os.utime(old, (time.time() - 2 * 86_400,) * 2)
    assert run_project(load_project(tiny.file), RunOptions()).complete
    assert (old.exists(), new.exists()) == (False, True)


def test_run_when_users_own_module_is_called_resources_then_it_is_not_executed(tiny):
    (tiny.folder / "resources.py").write_text("raise RuntimeError('executed')")
    result = CliRunner().invoke(cli.app, ["status", str(tiny.file)])
    assert result.exit_code == 0, result.output


def test_run_when_interrupted_then_nothing_further_starts_and_the_exit_code_says_so(tiny, monkeypatch):
    started = []

    def interrupted(self, assets, first, last, **options):
        started.append(first)
        return Outcome("r", False, True, {})

    monkeypatch.setattr(run.Runner, "run", interrupted)
    result = CliRunner().invoke(cli.app, ["run", str(tiny.file)])
    assert (result.exit_code, len(started)) == (130, 1)
    assert "what is committed stays" in result.output


def test_run_when_it_was_started_in_the_background_then_it_can_still_be_ended(tiny):
    """A shell without job control starts what is in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run_project(load_project(tiny.file), RunOptions()).complete
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGINT, before)


def test_run_when_a_step_fails_as_a_whole_then_its_partitions_count_as_failed(tiny, monkeypatch):
    real = run.Runner.run

    def failing(self, assets, first, last, **options):
        if assets == ("cells",):
            return Outcome("r", False, False, {("cells", first): "no room"})
        return real(self, assets, first, last, **options)

    monkeypatch.setattr(run.Runner, "run", failing)
    summary = run_project(load_project(tiny.file), RunOptions())
    assert (summary.partitions["failed"], summary.complete) == (1, False)
    assert [f["cause"] for f in summary.failures] == ["no room"]


def test_run_when_a_step_fails_as_a_whole_then_partitions_of_earlier_runs_are_not_counted_as_fresh(tiny, monkeypatch):
    def failing(self, assets, first, last, **options):
        return Outcome("r", False, False, {(assets[-1], ""): "no room"})

    monkeypatch.setattr(run.Runner, "run", failing)
    summary = run_project(load_project(tiny.file), RunOptions(products=["cells"]))
    assert summary.partitions == {"total": 2, "ok": 0, "partial": 0, "failed": 2, "skipped": 0}
    assert {f["cause"] for f in summary.failures} == {"no room"}


def test_run_when_a_region_is_asked_for_twice_then_it_counts_once(tiny):
    (region, _), *_ = tiny.receipts()
    summary = run_project(load_project(tiny.file), RunOptions(regions=[region, region]))
    assert summary.partitions == {"total": 1, "ok": 0, "partial": 0, "failed": 0, "skipped": 1}


def failing_search(*args, **kwargs):
    raise CatalogError("the catalog answers 502")


def test_retry_when_a_search_failed_so_that_nothing_was_made_then_it_is_among_those_that_failed(tiny, monkeypatch):
    (region, _), *_ = tiny.receipts()
    tiny.change(storage="./other")
    with monkeypatch.context() as patch:
        patch.setattr(StaticCatalog, "search", failing_search)
        failed = run_project(load_project(tiny.file), RunOptions(regions=[region]))
    assert failed.partitions["failed"] == 1
    assert [(f["product"], f["cause"]) for f in failed.failures][-1][0] == SCENES
    again = run_project(load_project(tiny.file), RunOptions(retry_failed=True))
    assert again.partitions == {"total": 1, "ok": 1, "partial": 0, "failed": 0, "skipped": 0}
    assert run_project(load_project(tiny.file), RunOptions(retry_failed=True)).partitions["total"] == 0


def test_retry_when_a_search_failed_and_an_older_table_is_there_then_it_is_asked_again(tiny, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(StaticCatalog, "search", failing_search)
        run_project(load_project(tiny.file), RunOptions())
    again = run_project(load_project(tiny.file), RunOptions(retry_failed=True))
    assert again.partitions == {"total": 2, "ok": 0, "partial": 0, "failed": 0, "skipped": 2}


def test_initialize_when_what_lies_there_is_no_cube_then_it_is_left_alone(tiny):
    tiny.change(storage="./other")
    mine = tiny.folder / "other" / "cube" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(ConfigError, match="no cube of geo_assets"):
        run_project(load_project(tiny.file), RunOptions(initialize=True))
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("damage", ["killed", "damaged"])
def test_initialize_when_a_cube_of_ours_is_damaged_or_half_deleted_then_it_is_made_anew(tiny, damage):
    cube = tiny.folder / "data" / "cube"
    if damage == "killed":
        for folder in cube.iterdir():
            shutil.rmtree(
                folder
            ) if folder.is_dir() and folder.name != "chunks" else folder.is_file() and folder.unlink()
    else:
        for file in (f for f in cube.rglob("*") if f.is_file() and f.parent.name != "chunks"):
            file.write_bytes(b"damaged")
    summary = run_project(load_project(tiny.file), RunOptions(initialize=True))
    assert summary.partitions == {"total": 2, "ok": 2, "partial": 0, "failed": 0, "skipped": 0}


def test_cube_when_opened_then_variables_stand_in_the_projects_order(tiny):
    assert list(geo_assets.open(str(tiny.folder / "data")).cube()) == ["red", "green", "blue", "nir", "n_clear"]


def test_export_when_months_are_a_span_then_it_is_understood_as_by_run(tiny, tmp_path):
    arguments = [
        "export",
        "cog",
        str(tiny.file),
        "--out",
        str(tmp_path / "out"),
        "--months",
        f"{MONTHS[0]}:{MONTHS[0]}",
    ]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    assert len(list((tmp_path / "out").glob(f"*_{MONTHS[0]}.tif"))) == 2


def test_export_when_it_is_repeated_then_it_says_what_was_kept(tiny, tmp_path):
    arguments = ["export", "cog", str(tiny.file), "--out", str(tmp_path / "out")]
    first, again = (CliRunner().invoke(cli.app, arguments) for _ in range(2))
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert "kept" not in first.output
    assert "4 of 4 files were there already and are kept; --overwrite writes them anew" in again.output
    overwritten = CliRunner().invoke(cli.app, [*arguments, "--overwrite", "--json"])
    assert json.loads(overwritten.stdout)["kept"] == []


def test_receipts_when_there_is_no_such_product_then_those_there_are_are_named(tiny):
    data = geo_assets.open(str(tiny.folder / "data"))
    for ask, name in itertools.product((data.receipts, data.partitions), ("nope", "pyramid")):
        with pytest.raises(
            ConfigError,
            match=rf"no receipt of a product '{name}' in .*; there are some of cells, composite, scenes/sen",
        ):
            ask(name)
    assert len(data.receipts(SCENES)) == 2
