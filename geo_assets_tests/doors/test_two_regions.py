"""A job of several sensors on Lambda in two regions: each sensor's tasks where its scenes are, and one bill by place."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from geo_assets.doors.reports import write_reports
from geo_assets.doors.run import run_project
from geo_assets.doors.run_options import RunOptions
from geo_assets.project import LoadedProject, load_project
from geo_assets.testing.world import SampleWorld

S2, DEM = "sentinel-2-l2a", "dem"
MONTH = "2024-06"
WORLD = SampleWorld(
    months=(MONTH,), days=2, size_px=(256, 384), overlap_px=64, internal_px=128, sensors=(S2, DEM), with_broken=False, with_duplicate=False
)  # fmt: skip


def project(folder: Path, compute: dict[str, Any]) -> LoadedProject:
    document = {
        "name": "regions", "storage": "./data", "products": ["ard"], "months": {"start": MONTH, "end": MONTH}, "aois": {"a": "../world/aoi.gpkg"},
        "sensors": [S2, DEM], "catalog": {"kind": "static", "path": "../world/catalog.json"}, "compute": compute,
        "grid": {"kind": "square", "size_m": 1280, "crs": "EPSG:32633"}, "cube": {"bands": ["red"]}, "ard": {"bands": {S2: ["red"]}},
    }  # fmt: skip
    folder.mkdir()
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(folder / "geo_assets.yaml")


@pytest.mark.heavy
def test_layers_when_sensors_run_in_two_regions_then_files_are_the_same_and_each_place_has_its_bill(
    tmp_path: Path,
) -> None:
    pytest.importorskip("lithops", reason="the extra lithops is not installed")
    pytest.importorskip("moto", reason="S3 is played by moto, of the extra `dev`")
    from geo_assets_tests.compute.lambda_world import ONE, OTHER, running

    WORLD.write(tmp_path / "world")
    here = project(tmp_path / "here", {"workers": 1})
    assert run_project(here, RunOptions()).complete
    with running(tmp_path / "sandboxes") as aws:
        there = project(tmp_path / "there", aws.settings(memory_mb=2048))
        asked: list[str] = []
        summary = run_project(there, RunOptions(), ask=asked.append)
        report = write_reports(there, summary)
        billed = {place: aws.cloud.billed_s(place) for place in (ONE, OTHER)}
    assert summary.complete, summary.failures
    assert len(asked) == 1
    for product in (f"ard/{S2}", f"ard/{DEM}"):
        mine = {(r.region, r.month): r.data_version for r in there.storage.receipts(product)}
        assert mine == {(r.region, r.month): r.data_version for r in here.storage.receipts(product)}
        images = [n for n in here.storage.names(product) if n.endswith(".tif")]
        assert images == [n for n in there.storage.names(product) if n.endswith(".tif")]
        assert images
        for name in images:
            assert there.storage.read(name) == here.storage.read(name)
    with open(Path(report) / "jobs.csv", encoding="utf-8") as file:
        jobs = list(csv.DictReader(file))
    places = Counter((j["product"], j["place"]) for j in jobs)
    assert {p for p, _ in places} == {f"ard/{S2}", f"ard/{DEM}"}
    assert places.keys() == {(f"ard/{S2}", ONE), (f"ard/{DEM}", OTHER)}
    for place in (ONE, OTHER):
        told = sum(float(j["billed_s"]) for j in jobs if j["place"] == place)
        assert (
            0.8 < told / billed[place] < 1.06
        )  # the look whether workers see the storage is billed too, and is no job
    assert sum(float(j["usd"]) for j in jobs) == pytest.approx(summary.usd["actual"], rel=1e-3)
    assert summary.usd["predicted"] > 0
    page = (Path(report) / "report.html").read_text(encoding="utf-8")
    assert ONE in page
    assert OTHER in page
