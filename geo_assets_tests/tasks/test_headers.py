"""A file of a scene whose header is wrong: its blocks fail and name it, and no pixel of it is used."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import rasterio
import yaml
from affine import Affine

from geo_assets.model.receipt import PartitionReceipt
from geo_assets.project import load_project
from geo_assets.testing.plain_run import run_plain
from geo_assets.testing.world import COLLECTION, SampleWorld

WORLD = SampleWorld(
    months=("2024-06",), size_px=(128, 256), overlap_px=64, days=2, internal_px=128, with_broken=False, with_duplicate=False
)  # fmt: skip
MONTH = WORLD.months[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("world")
    WORLD.write(path)
    return path


@pytest.fixture
def world(tmp_path: Path, folder: Path) -> Path:
    """A copy of the world in which a header may be changed."""
    shutil.copytree(folder, tmp_path / "world")
    return tmp_path / "world"


def composite(home: Path, world: Path, **mask: Any) -> PartitionReceipt:
    document = {
        "name": "headers", "aois": {"a": str(world / "aoi.gpkg")}, "months": {"start": MONTH, "end": MONTH}, "storage": "./data",
        "catalog": {"kind": "static", "path": str(world / "catalog.json")}, "grid": {"kind": "square", "size_m": 320, "crs": "EPSG:32633"},
        "cube": {"crs": "EPSG:32633", "block_px": 512, "chunk_px": 64, "region_blocks": 8, "bands": ["red", "nir"]}, "mask": mask,
    }  # fmt: skip
    home.mkdir(parents=True, exist_ok=True)
    (home / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    (receipt,) = run_plain(load_project(home / "geo_assets.yaml")).receipts.values()
    return receipt


def rewrite(world: Path, band: str, **changed: Any) -> Path:
    """One band of the first scene as another file: the same pixels, another header."""
    file = world / COLLECTION / WORLD.granules[0].item_id / f"{band}.tif"
    with rasterio.open(file) as source:
        profile, pixels = source.profile, source.read(1)
    profile |= {"driver": "GTiff", **{k: v(profile[k]) for k, v in changed.items()}}
    with rasterio.open(file, "w", **profile) as sink:
        sink.write(pixels.astype(profile["dtype"]), 1)
    return file


def resized(size: float) -> dict[str, Any]:
    return {"transform": lambda t: Affine(size, 0, t.c, 0, -size, t.f)}


WRONG = {
    "no number": ({"transform": lambda t: Affine(t.a, 0, math.nan, 0, t.e, t.f)}, "not finite"),
    "tiny pixels": (resized(1e-9), "m large by its header"),
    "huge pixels": (resized(1e9), "m large by its header"),
    "200 km east": ({"transform": lambda t: Affine.translation(200_000, 0) @ t}, "one of them is wrong"),
    "another data type": ({"dtype": lambda _: "float32"}, "pixels are float32, band"),
    "another zone than its sibling bands": ({"crs": lambda _: "EPSG:32632"}, "one of them is wrong"),
}


@pytest.mark.parametrize("band", ["scl", "nir"])
@pytest.mark.parametrize("wrong", WRONG)
def test_composite_when_a_header_is_wrong_then_the_block_fails_with_file_and_cause(tmp_path, world, wrong, band):
    changed, cause = WRONG[wrong]
    file = rewrite(world, band, **changed)
    receipt = composite(tmp_path / "home", world)
    assert receipt.status in ("failed", "partial")
    assert receipt.failures
    for bad in receipt.failures:
        assert bad.error == "SourceError"
        assert str(file) in str(bad.cause)
        assert cause in str(bad.cause)


def test_composite_when_an_item_has_no_such_band_then_its_blocks_fail_and_name_both(tmp_path, world):
    scene = WORLD.granules[0].item_id
    file = world / COLLECTION / scene / f"{scene}.json"
    item = json.loads(file.read_text())
    del item["assets"]["nir"]
    file.write_text(json.dumps(item))
    receipt = composite(tmp_path / "home", world)
    assert receipt.failures
    assert {f"scene {scene} has no asset for band nir" in str(bad.cause) for bad in receipt.failures} == {True}


def test_composite_when_a_file_lies_a_pixel_beside_what_its_item_says_then_the_receipt_says_so(tmp_path, world):
    file = rewrite(world, "nir", transform=lambda t: t @ Affine.translation(1, 0))
    receipt = composite(tmp_path / "home", world)
    assert receipt.status == "ok"
    (note,) = {n for b in receipt.blocks for n in b.notes}
    assert note.startswith(f"{file}: its transform is 10 0 ")
    assert note.endswith("by its item; its pixels are used where its header says")


def test_composite_when_all_headers_are_right_then_nothing_is_noted(tmp_path, world):
    rewrite(world, "nir")
    receipt = composite(tmp_path / "home", world)
    assert receipt.status == "ok"
    assert not [n for b in receipt.blocks for n in b.notes]
