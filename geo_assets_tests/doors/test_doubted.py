"""Yearly tiles without a day, and those that their pages call faulty or doubtful: what ``run`` and ``status`` say of them."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from geo_assets.doors import cli
from geo_assets.doors.doubted import doubted_lines
from geo_assets.model.receipt import reasons_counted
from geo_assets.testing.world import SampleWorld
from geo_assets_tests.assets.test_prediction_tiles import NORTH, S1, SOUTH
from geo_assets_tests.assets.tiny import Tiny

S2 = "sentinel-2-l2a"
WORLD = SampleWorld(
    months=("2024-06",), days=3, size_px=(640, 256), overlap_px=64, internal_px=128, sensors=(S2, S1), with_broken=False,
    bands=("red", "green", "blue", "nir", "rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22"), with_duplicate=False,
)  # fmt: skip
NONE = {"days": {"min_centre_coverage": 1.0, "centre_px": 3000}}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "world"
    WORLD.write(folder)
    return folder


@pytest.fixture
def tiny(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    (tmp_path / "table.csv").write_text(
        f"X,Y,Y_tile,X_tile\n15.152,{47.262 + 1 / 36},1001,3000\n15.152,{47.232 - 1 / 36},1000,3000\n"
    )
    document = {
        "name": "trees", "storage": "./data", "products": ["ard"], "grid": {"kind": "tiles", "path": "table.csv", "clip": True},
        "months": {"start": "2024-01", "end": "2024-12", "step": 12}, "catalog": {"kind": "static", "path": str(world / "catalog.json")},
        "aois": {"north": {"bbox": [15.148, 47.262, 15.156, 47.267]}, "south": {"bbox": [15.148, 47.227, 15.156, 47.232]}},
        "sensors": [S2, S1], "ard": {"layout": "tiles", "format": "npz", "rules": NONE},
    }  # fmt: skip
    (tmp_path / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return Tiny(tmp_path)


def call(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: Any, *arguments: str) -> tuple[int, str, str]:
    command, *options = arguments
    monkeypatch.setattr(sys, "argv", ["geo-assets", command, str(tiny.file), *options])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, " ".join(said.err.split())


def test_run_when_every_day_is_dropped_then_it_says_why_and_lists_the_tiles_with_their_pages(tiny, monkeypatch, capsys):
    code, out, err = call(tiny, monkeypatch, capsys, "run", "--json")
    document = json.loads(out)
    assert code == 0
    (empty,) = document["empty"]
    assert "candidate days of 2 tiles is used: all is nodata; most often" in empty["reason"]
    assert "of its centre is observed, less than 100 %" in empty["reason"]
    assert "no pixel is clear" not in empty["reason"]
    tiles = {(t["product"], t["tile"]): t for t in document["doubted"]}
    assert {f"ard/{S2}"} == {product for (product, _), t in tiles.items() if t["faults"]}
    for tile in (NORTH, SOUTH):
        found = tiles[f"ard/{S2}", tile]
        assert found["faults"] == ["no day became a step: the tile has no Sentinel-2 pixel"]
        assert Path(found["page"]).name == f"{tile}.html"
        assert Path(found["page"]).is_file()
        assert Path(tiles[f"ard/{S1}", tile]["page"]).name == f"s1_{tile}.html"
    for name in ("report.html", "report.txt", "summary.json"):
        text = " ".join((Path(document["report"]) / name).read_text().split())
        assert NORTH in text, name
        assert "no day became a step" in text, name

    code, _, err = call(tiny, monkeypatch, capsys, "run")  # of what is there already, too
    assert code == 0
    assert "warning: yearly tiles: 2 faulty, 2 doubtful by their pages" in err
    assert f"reports/{NORTH}.html" in err

    _, out, _ = call(tiny, monkeypatch, capsys, "status", "--json")
    shown = json.loads(out)
    assert [e["reason"] for e in shown["empty"]] == [empty["reason"]]
    assert {t["tile"] for t in shown["doubted"]} == {NORTH, SOUTH}


def test_doubted_lines_when_there_are_many_then_the_faulty_come_first_and_the_rest_is_counted():
    tiles = [
        {"product": "ard/s", "month": "2024-01", "tile": f"{n}X1Y", "faults": ["broken"] if n > 7 else [], "doubts": ["odd", "few"], "page": f"p/{n}.html"}
        for n in range(9)
    ]  # fmt: skip
    lines = doubted_lines(tiles)
    assert lines[0] == "yearly tiles: 1 faulty, 8 doubtful by their pages"
    assert lines[1] == "ard/s 2024-01 8X1Y: broken, and 2 more; see p/8.html"
    assert lines[-1] == "... and 4 more tiles; --json lists them all"
    assert doubted_lines([]) == []


def test_reasons_when_they_differ_in_figures_then_they_are_one_and_the_commonest_comes_first():
    found = reasons_counted([("it is late", 1), ("16 % of it, less than 50 %", 1), ("3.5 % of it, less than 50 %", 2)])
    assert list(found.items()) == [("16 % of it, less than 50 %", 3), ("it is late", 1)]
