"""Analysis-ready layers: every pixel against rasterio, numpy and pyproj alone; what is made again, and what is not."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml

from geo_assets.model.geometry import Region
from geo_assets.project import LoadedProject, load_project
from geo_assets.registry import load
from geo_assets.tasks.ard_partition import plan_ard
from geo_assets.tasks.cells import region_grid
from geo_assets.tasks.search import search
from geo_assets.testing.plain_ard import ArdRun, run_ard
from geo_assets.testing.world import SampleWorld
from geo_assets_tests.assets.tiny import leave_out, put_back, truncate
from geo_assets_tests.realdata import real_data
from geo_assets_tests.tasks import oracle

S2 = "sentinel-2-l2a"
MONTHS = ("2024-03", "2024-04")
WORLD = SampleWorld(
    months=MONTHS, days=2, size_px=(128, 256), overlap_px=64, internal_px=64, with_broken=False, with_duplicate=False
)


def project(folder: Path, **settings: Any) -> LoadedProject:
    document = {
        "name": "ready", "storage": "./data", "products": ["ard"], "grid": {"kind": "square", "size_m": 640, "crs": "EPSG:32633"},
        "months": {"start": MONTHS[0], "end": MONTHS[1]}, "catalog": {"kind": "static", "path": "world/catalog.json"},
        "aois": {"a": {"bbox": list(WORLD.aoi.bounds)}}, **settings,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(folder / "geo_assets.yaml")


def layers(run: ArdRun) -> list[dict[str, Any]]:
    return [row for table in run.tables.values() for row in table.to_dict("records")]


def pixels(loaded: LoadedProject, row: dict[str, Any]) -> tuple[np.ndarray, Any]:
    with rasterio.open(loaded.storage.uri(row["cog"])) as file:
        return file.read(), file.profile | {"descriptions": file.descriptions, "scales": file.scales}


def centres(row: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    a, _, c, _, e, f = row["transform"]
    rows, cols = row["shape"]
    return c + a * (np.arange(cols) + 0.5), f + e * (np.arange(rows) + 0.5)


@pytest.mark.realdata
@pytest.mark.parametrize("resolution", [120, 100, 60])
def test_ard_when_nearest_then_every_pixel_is_that_of_the_plain_computation(tmp_path, resolution):
    loaded = project(
        tmp_path, aois={"a": {"bbox": [14.98, 45.98, 15.1, 46.08]}}, months={"start": "2023-08", "end": "2023-08"},
        catalog={"kind": "static", "path": str(real_data("stac", "catalog.json"))}, sensors=[{"sensor": S2, "collections": ["s2-l2a-33t"]}],
        grid={"kind": "square", "size_m": 6000, "crs": "EPSG:32633"}, cube={"resolution": resolution}, ard={"resampling": "nearest"},
    )  # fmt: skip
    items = {i["id"]: i for i in oracle.read_items(real_data("stac", "s2-l2a-33t"))}
    run = run_ard(loaded)
    seen = 0
    for row in layers(run):
        item = items[row["layer"]]
        x, y = centres(row)
        clear = np.isin(oracle.nearest(item["assets"]["scl"]["href"], x, y, row["crs"]), oracle.KEEP)
        stored, facts = pixels(loaded, row)
        assert facts["descriptions"] == ("red", "green", "blue", "nir")
        for band, values in zip(facts["descriptions"], stored, strict=True):
            dn = oracle.nearest(item["assets"][band]["href"], x, y, row["crs"])
            np.testing.assert_array_equal(values, np.where(clear, dn, 0))
            seen += np.count_nonzero(values)
    assert {r.status for r in run.receipts.values()} == {"ok"}
    assert seen > 100_000 / (resolution / 60) ** 2
    made = {(r["layer"], r["cell_id"]) for r in layers(run)}
    assert len({layer for layer, _ in made}) == len(items)  # every scene is there


NEW_YORK = {
    "name": "landsat-c1", "collections": ["landsat-c1-l1-ny18"], "mask": {"asset": "bqa", "bits": [0, 4, 6, 8]},
    "bands": {"red": {"asset": "red", "scale": 2e-5, "offset": -0.1}, "nir": {"asset": "nir08", "scale": 2e-5, "offset": -0.1}},
}  # fmt: skip


@pytest.mark.realdata
def test_ard_when_the_project_describes_the_collection_then_bits_mask_it_as_described(tmp_path):
    loaded = project(
        tmp_path, aois={"a": {"bbox": [-74.6, 40.4, -73.4, 41.6]}}, months={"start": "2018-04", "end": "2018-06", "step": 3},
        catalog={"kind": "static", "path": str(real_data("stac", "catalog.json"))}, sensors=[NEW_YORK],
        grid={"kind": "square", "size_m": 60_000, "crs": "EPSG:32618"}, cube={"sensor": "landsat-c1", "bands": ["red"], "resolution": 3000},
        ard={"resampling": "nearest"},
    )  # fmt: skip
    items = {i["id"]: i for i in oracle.read_items(real_data("stac", "landsat-c1-l1-ny18"))}
    refused = sum(1 << bit for bit in (0, 4, 6, 8))
    rows = layers(run_ard(loaded))
    cloudy = 0
    for row in rows:
        assets, (x, y) = items[row["layer"]]["assets"], centres(row)
        bqa = oracle.nearest(assets["bqa"]["href"], x, y, row["crs"])
        cloudy += np.count_nonzero(bqa & refused)
        stored, facts = pixels(loaded, row)
        assert facts["scales"] == (2e-5, 2e-5)
        for name, values in zip(facts["descriptions"], stored, strict=True):
            dn = oracle.nearest(assets[name.replace("nir", "nir08")]["href"], x, y, row["crs"])
            np.testing.assert_array_equal(values, np.where(bqa & refused, 0, dn))
        red = rows[0]["bands"]["red"]
        assert 0 < red["p50"] < 0.5  # top of atmosphere reflectance, not a stored number
    assert len(rows) > 4
    assert cloudy > 100


def test_ard_when_made_then_files_tables_and_receipts_agree(home):
    loaded = project(home, ard={"format": "both"})
    run = run_ard(loaded)
    rows = layers(run)
    assert rows
    for row in rows:
        stored, facts = pixels(loaded, row)
        with xr.open_zarr(loaded.storage.uri(row["zarr"]), consolidated=False) as cube:
            for name, values in zip(facts["descriptions"], stored, strict=True):
                np.testing.assert_allclose(np.nan_to_num(cube[name].to_numpy()), values * 1e-4, rtol=1e-6)
                assert row["bands"][name]["count"] == np.count_nonzero(values)
                assert row["bands"][name]["max"] == pytest.approx(values.max() * 1e-4)
            assert float(cube.x[1] - cube.x[0]) == 10
        assert row["observed_share"] == pytest.approx((stored > 0).all(axis=0).mean(), abs=1e-6)
        assert row["geometry"].area > 0
        assert facts["nodata"] == 0
    for receipt in run.receipts.values():
        assert receipt.figures["layers"] == len(receipt.blocks) == len(receipt.scenes)


def test_ard_when_nothing_changed_then_nothing_is_made_again(home):
    loaded = project(home)
    before = run_ard(loaded)
    assert all(plan.todo for plan in before.plans.values())
    again = run_ard(loaded)
    assert not any(plan.todo for plan in again.plans.values())
    assert again.receipts == before.receipts


def test_ard_when_a_scene_comes_and_goes_then_its_layer_alone_does(home):
    loaded = project(home)
    gone = next(g.item_id for g in WORLD.granules if g.month == MONTHS[0])
    leave_out(home / "world", gone)
    assert gone not in {r["layer"] for r in layers(run_ard(loaded))}
    put_back(home / "world", gone)
    run = run_ard(loaded)
    assert {t.name for p in run.plans.values() for t in p.todo} == {gone}
    rows = [r for r in layers(run) if r["layer"] == gone]
    assert rows
    leave_out(home / "world", gone)
    run = run_ard(loaded)
    assert not any(p.todo for p in run.plans.values())
    assert gone not in {r["layer"] for r in layers(run)}
    assert not any(Path(loaded.storage.uri(r["cog"])).exists() for r in rows)


def test_ard_when_cells_are_added_then_only_they_are_made(home):
    west, south, east, north = WORLD.aoi.bounds
    small = project(home, aois={"a": {"bbox": [west, south, (west + east) / 2, north]}})
    first = {r["cell_id"] for r in layers(run_ard(small))}
    whole = project(home)
    run = run_ard(whole)
    made = {c.id for p in run.plans.values() for t in p.todo for c in t.cells}
    assert made
    assert not made & first
    assert {r["cell_id"] for r in layers(run)} >= first | made


def test_ard_when_cells_are_named_then_the_others_stay_to_be_made(home):
    loaded = project(home)
    cells = sorted({c.id for p in run_plans(loaded) for t in p.todo for c in t.cells})
    run = run_ard(loaded, only=cells[:1])
    assert {r["cell_id"] for r in layers(run)} == {cells[0]}
    run = run_ard(loaded)
    assert {c.id for p in run.plans.values() for t in p.todo for c in t.cells} == {*cells[1:]}


def test_plan_when_the_receipt_is_damaged_then_naming_cells_does_not_lose_the_others(home):
    loaded = project(home)
    (sensor, region, month), plan = next((k, p) for k, p in run_ard(loaded).plans.items() if p.todo)
    cells = [c for t in plan.todo for c in t.cells]
    distinct = list({c.id: c for c in cells}.values())
    again = plan_ard(
        loaded.project, loaded.sensor, region=region, month=month, cells=distinct, table=_scenes(loaded, sensor, region, month), previous=None,
        only=frozenset([distinct[0].id]), fault="it is none",
    )  # fmt: skip
    assert {c.id for t in again.todo for c in t.cells} == {c.id for c in distinct}


def _scenes(loaded: LoadedProject, sensor: str, region: str, month: str | None) -> Any:
    found = search(
        Region.parse(region), region_grid(region, loaded.project.cube), list(loaded.periods()), catalog=loaded.project.catalog,
        sensor=loaded.project.sensor(sensor), mask=loaded.project.mask,
    )  # fmt: skip
    return found[str(month)]


def run_plans(loaded: LoadedProject) -> list[Any]:
    """Plans of a fresh copy, of which nothing is kept."""
    folder = loaded.file.parent / "copy"
    copied = load_project(shutil.copy(loaded.file, folder.with_suffix(".yaml")))
    plans = [*run_ard(copied).plans.values()]
    shutil.rmtree(loaded.file.parent / "data")
    return plans


def test_ard_when_the_recipe_changes_then_everything_is_made_again(home):
    before = run_ard(project(home))
    run = run_ard(project(home, mask={"keep": [4, 5]}))
    assert all(
        {t.reason for t in p.todo} == {"recipe changed: mask.keep [2, 4, 5, 6, 7, 11] -> [4, 5]"}
        for p in run.plans.values()
    )
    assert {r.data_version for r in run.receipts.values()}.isdisjoint(r.data_version for r in before.receipts.values())


def test_reason_when_a_receipt_is_older_than_its_settings_then_it_says_both(home):
    loaded = project(home)
    for receipt in run_ard(loaded).receipts.values():
        kept = {k: v for k, v in receipt.figures.items() if k != "recipe"}
        loaded.storage.write_receipt(receipt.model_copy(update={"figures": kept}))
    assert not any(p.todo for p in run_ard(loaded).plans.values())
    run = run_ard(project(home, ard={"resampling": "nearest"}))
    assert {t.reason for p in run.plans.values() for t in p.todo} == {"scenes or recipe changed"}


def test_reason_when_an_option_came_later_then_it_is_none_that_changed(home):
    loaded = project(home)
    for receipt in run_ard(loaded).receipts.values():
        said = {k: v for k, v in receipt.figures["recipe"].items() if k != "ard.format"}
        loaded.storage.write_receipt(receipt.model_copy(update={"figures": receipt.figures | {"recipe": said}}))
    run = run_ard(project(home, ard={"resampling": "nearest"}))
    assert {t.reason for p in run.plans.values() for t in p.todo} == {
        "recipe changed: ard.resampling bilinear -> nearest"
    }


def test_ard_when_a_file_is_damaged_then_that_layer_alone_fails_and_is_made_once_it_is_whole(home):
    loaded = project(home)
    bad = next(g.item_id for g in WORLD.granules if g.month == MONTHS[0])
    truncate(home / "world", bad, "green")
    run = run_ard(loaded)
    failed = [b for r in run.receipts.values() for b in r.failures]
    assert {b.name for b in failed} == {bad}
    assert all("green" in str(b.cause) and b.missing for b in failed)
    assert bad not in {r["layer"] for r in layers(run)}
    others = {g.item_id for g in WORLD.granules} - {bad}
    assert {r["layer"] for r in layers(run)} == others
    shutil.rmtree(home / "world")
    WORLD.write(home / "world")
    run = run_ard(loaded)
    assert {t.name for p in run.plans.values() for t in p.todo} == {bad}
    assert {r["layer"] for r in layers(run)} == others | {bad}
    assert {r.status for r in run.receipts.values()} == {"ok"}


def test_ard_when_a_layer_fails_that_was_there_then_its_files_stay_and_it_is_tried_again(home):
    loaded = project(home)
    before = layers(run_ard(loaded))
    bad = next(g.item_id for g in WORLD.granules if g.month == MONTHS[0])
    truncate(home / "world", bad, "green")
    run = run_ard(loaded, overwrite=True)
    assert {b.name for r in run.receipts.values() for b in r.failures} == {bad}
    assert {r["layer"] for r in layers(run)} == {r["layer"] for r in before}  # what it was is there still
    run = run_ard(loaded)
    assert {t.name for p in run.plans.values() for t in p.todo} == {bad}
    shutil.rmtree(home / "world")
    WORLD.write(home / "world")
    run = run_ard(loaded)
    assert {r.status for r in run.receipts.values()} == {"ok"}
    assert not any(p.todo for p in run_ard(loaded).plans.values())


def test_ard_when_cells_share_tiles_then_no_byte_is_read_much_more_than_once(tmp_path):
    """Files of several tiles, and cells of which many lie over each tile."""
    large = SampleWorld(
        months=MONTHS[:1], days=1, size_px=(512, 1024), internal_px=256, with_broken=False, with_duplicate=False
    )
    large.write(tmp_path / "world")
    loaded = project(
        tmp_path, aois={"a": {"bbox": list(large.aoi.bounds)}}, months={"start": MONTHS[0], "end": MONTHS[0]}
    )
    run = run_ard(loaded)
    size = sum(p.stat().st_size for p in (tmp_path / "world").rglob("*.tif"))
    read = sum(int(r.figures["bytes_read"]) for r in run.receipts.values())
    assert len({r["cell_id"] for r in layers(run)}) > 30
    assert 0.3 * size < read < 1.3 * size


def test_ard_when_an_id_cannot_be_a_file_then_its_layer_has_another_name(home):
    catalog = next((home / "world").rglob(f"{WORLD.granules[0].item_id}.json"))
    item = json.loads(catalog.read_text())
    item["id"] = "../../etc/passwd"
    catalog.unlink()  # it is a link to the shared world
    catalog.write_text(json.dumps(item))
    rows = [r for r in layers(run_ard(project(home))) if r["item_ids"][0] == item["id"]]
    assert rows
    assert all(r["layer"].startswith("scene-") and ".." not in r["cog"] for r in rows)


def test_formats_when_the_same_image_is_encoded_twice_then_the_bytes_are_the_same(home):
    loaded = project(home, ard={"format": "both"})
    first = {p: p.read_bytes() for p in (home / "data" / "ard").rglob("*") if p.is_file()} if run_ard(loaded) else {}
    run_ard(loaded, overwrite=True)
    again = {p: p.read_bytes() for p in first}
    assert load("formats", "cog").ending == ".tif"
    assert first == again
