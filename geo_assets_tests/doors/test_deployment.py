"""Commands in a deployment that keeps everything elsewhere than the project file says."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from geo_assets.doors import cli
from geo_assets_tests.assets.tiny import MONTHS, WORLD, Tiny, write_area

EAST = (513_900, 5_233_000, 514_300, 5_233_400)


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    WORLD.write(tmp_path / "world")
    tiny = Tiny.create(tmp_path / "p", tmp_path / "world", months={"start": MONTHS[0], "end": MONTHS[0]})
    monkeypatch.setenv("GEO_ASSETS_STORAGE", str(tmp_path / "elsewhere"))
    monkeypatch.chdir(Path(__file__).parents[2])  # where `resources` is
    return tiny


@pytest.fixture
def ga(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*arguments: str) -> tuple[int, Any, str]:
        monkeypatch.setattr(sys, "argv", ["geo-assets", *arguments, "--json"])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), json.loads(said.out), said.err

    return call


@pytest.mark.heavy
def test_area_when_it_is_added_in_a_deployment_then_its_cells_and_composites_are_made(tiny, ga, tmp_path):
    area = write_area(tmp_path / "east.gpkg", EAST)
    code, added, _ = ga("aoi", "add", str(tiny.file), "east", str(area))
    assert code == 0
    assert ga("run", str(tiny.file), "--report-dir", str(tmp_path / "r"))[0] == 0
    code, listed, _ = ga("status", str(tiny.file))
    assert {p: c["fresh"] for p, c in listed["products"].items()}["cells"] == 2 + len(added["new_regions"])
    assert {c["missing"] for c in listed["products"].values()} == {0}
    assert "east" in (tmp_path / "r" / "project.html").read_text()
    assert [a["name"] for a in ga("aoi", "list", str(tiny.file))[1]["aois"]] == ["east", "strip"]
    assert ga("aoi", "remove", str(tiny.file), "east")[:2] == (0, {"removed": "east"})
    assert not (tiny.folder / "data").exists()


def test_initialize_when_it_asks_then_it_names_the_storage_that_is_cleared(tiny, ga, tmp_path):
    code, said, _ = ga("run", str(tiny.file), "--initialize")
    assert code == 2
    assert str(tmp_path / "elsewhere") in said["error"]["message"]
