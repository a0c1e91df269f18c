"""Damaged receipts, tables and chunks: named in one line, made again, and nothing else is touched."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import geo_assets
from geo_assets.assets.context import Workspace
from geo_assets.assets.plain import PlainStore
from geo_assets.doors import cli
from geo_assets.doors.run import run_project
from geo_assets.doors.run_options import RunOptions
from geo_assets.doors.status import status
from geo_assets.errors import SourceError
from geo_assets.model import path
from geo_assets.project import load_project
from geo_assets.tasks.cells import region_grid
from geo_assets.tasks.previous import read_previous
from geo_assets.tasks.quicklook import update_closeup
from geo_assets_tests.assets.tiny import MONTHS, SCENES, WORLD, Tiny

REGIONS = ["utm33n_r4088_c399", "utm33n_r4088_c400"]
Receipt = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    os.environ.pop("DAGSTER_HOME", None)
    folder = tmp_path_factory.mktemp("damage")
    WORLD.write(folder / "world")
    tiny = Tiny.create(folder / "project", folder / "world", months={"start": MONTHS[0], "end": MONTHS[0]})
    assert run_project(load_project(tiny.file), RunOptions()).complete
    return tiny


@pytest.fixture
def tiny(made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    copied = made.copy(tmp_path / "p")
    monkeypatch.chdir(copied.folder)
    return copied


@pytest.fixture
def ga(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["geo-assets", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return int(end.value.code or 0), said.out, said.err

    return call


def states(tiny: Tiny) -> dict[tuple[str, str], tuple[str, str]]:
    loaded = load_project(tiny.file)
    workspace = Workspace.of(loaded, storage=PlainStore(loaded.project.storage))
    return {(s.product, s.region): (s.state, s.reason) for s in status(workspace, loaded.periods())}


def receipt_file(tiny: Tiny, region: str = REGIONS[0], product: str = "composite") -> Path:
    return tiny.folder / "data" / path.receipt(product, region, None if product == "cells" else MONTHS[0])


def change(file: Path, edit: Callable[[Receipt], Any]) -> None:
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "empty": lambda f: f.write_bytes(b""),
    "cut off": lambda f: f.write_bytes(f.read_bytes()[:50]),
    "no JSON": lambda f: f.write_bytes(b"\xff\xfe garbage"),
    "another document": lambda f: f.write_text("[]"),
    "of another partition": lambda f: change(f, lambda d: d.update(month="2024-09")),
    "chunk outside": lambda f: change(f, lambda d: d["blocks"][0]["chunks"].append([0, 999])),
    "chunk below": lambda f: change(f, lambda d: d["blocks"][0]["chunks"].append([-1, 0])),
    "chunk of three": lambda f: change(f, lambda d: d["blocks"][0]["chunks"].append([0, 0, 0])),
    "chunk twice": lambda f: change(f, lambda d: d["blocks"][0]["chunks"].append(d["blocks"][0]["chunks"][0])),
    "block elsewhere": lambda f: change(f, lambda d: d["blocks"][0].update(row=7)),
    "block twice": lambda f: change(f, lambda d: d["blocks"].append(d["blocks"][0])),
    "figure is text": lambda f: change(f, lambda d: d["figures"].update(observed_share="much")),
    "recipe is text": lambda f: change(f, lambda d: d["figures"].update(recipe="none")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_receipt_when_it_says_what_cannot_be_then_it_counts_as_none(tiny, damage):
    loaded, grid = tiny.loaded, region_grid(REGIONS[0], tiny.loaded.project.cube)
    assert read_previous(loaded.storage, "composite", REGIONS[0], MONTHS[0], grid).receipt is not None
    DAMAGE[damage](receipt_file(tiny))
    known = read_previous(loaded.storage, "composite", REGIONS[0], MONTHS[0], grid)
    assert known.receipt is None
    assert "receipt" in known.fault


@pytest.mark.parametrize("damage", ["cut off", "chunk outside"])
def test_receipt_when_it_is_damaged_then_its_partition_alone_is_made_again(tiny, ga, damage):
    before, pixels, file = tiny.receipts(), tiny.cube(), receipt_file(tiny)
    DAMAGE[damage](file)
    code, out, err = ga("status", "--json")
    (listed,) = json.loads(out)["partitions"]
    assert (code, listed["state"], listed["region"]) == (0, "missing", REGIONS[0])
    assert "receipt" in listed["reason"]
    assert ga("plan")[0] == 0

    code, out, err = ga("run", "--json")
    assert (code, json.loads(out)["partitions"]) == (0, {"total": 2, "ok": 1, "partial": 0, "failed": 0, "skipped": 1})
    assert len([line for line in err.splitlines() if "receipt" in line and REGIONS[0] in line]) == 1
    after = tiny.receipts()
    assert {k: r.data_version for k, r in after.items()} == {k: r.data_version for k, r in before.items()}
    other = REGIONS[1], MONTHS[0]
    assert after[other] == before[other]
    assert {s for s, _ in states(tiny).values()} == {"fresh"}
    assert tiny.cube().equals(pixels)


def test_receipt_when_it_is_damaged_and_its_scenes_are_gone_then_no_pixel_of_theirs_stays(tiny, ga):
    assert (tiny.cube()["n_clear"] > 0).any()
    tiny.change(mask={"max_cloud_cover": 0})
    receipt_file(tiny).write_text("{")
    receipt_file(tiny, REGIONS[1]).write_text("{")
    assert ga("run", "--json")[0] == 0
    receipts = tiny.receipts().values()
    assert {len(r.scenes) for r in receipts} == {0}
    assert not (tiny.cube()["n_clear"] > 0).any()


def test_retry_when_a_receipt_is_damaged_then_its_partition_is_among_those_that_failed(tiny, ga):
    receipt_file(tiny).write_text("{")
    code, out, _ = ga("run", "--retry-failed", "--json")
    assert (code, json.loads(out)["partitions"]["ok"]) == (0, 1)


@pytest.mark.parametrize("product", ["cells", SCENES])
def test_receipt_of_a_table_when_it_is_damaged_then_it_is_made_again(tiny, ga, product):
    receipt_file(tiny, product=product).write_text("{")
    assert states(tiny)[product, REGIONS[0]][0] == "missing"
    assert ga("run")[0] == 0
    assert {s for s, _ in states(tiny).values()} == {"fresh"}


@pytest.mark.heavy
@pytest.mark.parametrize("product", ["cells", SCENES])
@pytest.mark.parametrize("content", [b"", b"garbage" * 50, b"PAR1garbagePAR1"], ids=["empty", "garbage", "marks"])
def test_table_when_it_is_damaged_then_it_is_told_and_made_again(tiny, ga, product, content):
    name = path.cells(REGIONS[0]) if product == "cells" else path.scenes(product.split("/")[1], REGIONS[0], MONTHS[0])
    file = tiny.folder / "data" / name
    whole = file.read_bytes()
    file.write_bytes(content)
    code, out, _ = ga("status", "--json")
    listed = {p["product"]: p for p in json.loads(out)["partitions"] if p["region"] == REGIONS[0]}
    assert (code, listed[product]["state"]) == (0, "missing")
    assert name in listed[product]["reason"]
    # The areas tell which cells there are; which scenes there are nobody knows now
    assert ("composite" in listed) == (product == SCENES)
    store = geo_assets.open(str(tiny.folder / "data"))
    with pytest.raises(SourceError, match="table"):
        store.cells() if product == "cells" else store.scenes()
    assert ga("run")[0] == 0
    assert file.read_bytes() == whole
    assert {s for s, _ in states(tiny).values()} == {"fresh"}


def test_reader_when_a_receipt_is_damaged_then_it_warns_and_shows_the_others(tiny):
    receipt_file(tiny).write_text("{")
    with pytest.warns(UserWarning, match="is no receipt"):
        table = geo_assets.open(str(tiny.folder / "data")).receipts()
    assert list(table["region"]) == [REGIONS[1]]


@pytest.mark.parametrize("damage", ["chunk outside", "block elsewhere"])
def test_report_and_export_when_a_receipt_is_absurd_then_no_traceback(tiny, ga, damage):
    DAMAGE[damage](receipt_file(tiny))
    code, _, err = ga("export", "cog", "--out", "tiffs")
    assert code == 1
    assert "receipt is damaged" in err
    assert ga("run", "--regions", REGIONS[1], "--report-dir", "r")[0] == 0
    assert (tiny.folder / "r" / "report.html").exists()


def truncate_chunks(tiny: Tiny) -> None:
    for file in (tiny.folder / "data" / "cube" / "chunks").iterdir():
        file.write_bytes(file.read_bytes()[:20])


def test_export_when_a_chunk_is_cut_off_then_one_line_names_variable_region_and_what_to_do(tiny, ga):
    truncate_chunks(tiny)
    code, out, err = ga("export", "cog", "--out", "tiffs")
    lines = err.splitlines()
    assert (code, out, len(lines)) == (1, "", 1)
    for text in (
        REGIONS[0],
        MONTHS[0],
        "utm33n/red",
        "damaged at rows",
        f"--regions {REGIONS[0]} --months {MONTHS[0]} --overwrite",
    ):
        assert text in lines[0]
    assert list((tiny.folder / "tiffs").iterdir()) == []


def test_closeup_when_a_chunk_is_cut_off_then_there_is_none_and_nothing_is_raised(tiny, caplog):
    """It shows the whole partition, also blocks that a run did not make; what that run committed must get its receipt."""
    loaded, region = tiny.loaded, REGIONS[0]
    name = path.closeup("composite", region, MONTHS[0])
    assert loaded.storage.read(name) is not None
    receipt = loaded.storage.read_receipt("composite", region, MONTHS[0])
    truncate_chunks(tiny)
    grid = region_grid(region, loaded.project.cube)
    update_closeup(loaded.storage, receipt, grid, loaded.cube, loaded.project.cube, loaded.sensor, 0)
    assert loaded.storage.read(name) is None
    assert "no close-up: variable utm33n/red of the cube is damaged" in caplog.text


def test_run_when_the_report_cannot_be_written_then_there_is_one_document_still(tiny, ga):
    """A table of a region that the run has nothing to do with is damaged."""
    code, out, err = ga("run", "--regions", REGIONS[1], "--json")
    (tiny.folder / "data" / path.cells(REGIONS[0])).write_bytes(b"damaged")
    code, out, err = ga("run", "--regions", REGIONS[1], "--report-dir", "r", "--json")
    assert code == 1
    assert json.loads(out)["partitions"]["failed"] == 0
    assert path.cells(REGIONS[0]) in err


def test_reader_when_a_receipt_is_a_copy_of_another_then_it_is_not_counted(tiny):
    copy = receipt_file(tiny).with_name("2024-09.json")
    copy.write_bytes(receipt_file(tiny).read_bytes())
    with pytest.warns(UserWarning, match=r"2024-09\.json: is no receipt: it is that of"):
        assert len(geo_assets.open(str(tiny.folder / "data")).receipts()) == 2
