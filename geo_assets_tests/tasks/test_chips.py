"""Chips of scenes: every pixel against rasterio, numpy and pyproj alone, and what each file is read for."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
import zarr

from geo_assets.errors import SourceError
from geo_assets.model.ard import ArdTask
from geo_assets.model.chip import chips_of
from geo_assets.model.chip_table import COLUMNS, checked
from geo_assets.model.collection import mask_for
from geo_assets.model.geometry import Region
from geo_assets.model.recipe import MaskRecipe
from geo_assets.project import LoadedProject, load_project
from geo_assets.registry import sensor_of
from geo_assets.tasks import areas, cells
from geo_assets.tasks.ard_layers import layers_of
from geo_assets.tasks.ard_partition import ard_boxes
from geo_assets.tasks.chip_group import read_chips
from geo_assets.tasks.chips import ChipResult, ChipTask, run
from geo_assets.tasks.search import read_bands, search, used_scenes
from geo_assets.testing.world import SampleWorld
from geo_assets_tests.assets.tiny import truncate
from geo_assets_tests.tasks import oracle

S2, S1 = "sentinel-2-l2a", "sentinel-1-rtc"
BANDS = ("red", "green", "blue", "nir")
SIZE = 64
WORLD = SampleWorld(
    months=("2024-03",), days=3, size_px=(192, 384), overlap_px=64, internal_px=64, sensors=(S2, S1), with_broken=False, with_duplicate=False,
)  # fmt: skip


def project(folder: Path, **settings: Any) -> LoadedProject:
    document = {
        "name": "chips", "storage": "./data", "products": ["ard"], "grid": {"kind": "square", "size_m": 10 * SIZE, "crs": WORLD.crs},
        "months": {"start": "2024-03", "end": "2024-03"}, "catalog": {"kind": "static", "path": "world/catalog.json"},
        "aois": {"a": {"bbox": list(WORLD.aoi.bounds)}}, "ard": {"resampling": "nearest"}, "sensors": [S2, S1], **settings,
    }  # fmt: skip
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(folder / "geo_assets.yaml")


def tasks(
    loaded: LoadedProject, sensor: str = S2, bands: tuple[str, ...] = BANDS, size_px: int = SIZE
) -> list[ChipTask]:
    """One a scene and region."""
    made, entry = [], loaded.project.sensor(sensor)
    facts, mask = sensor_of(entry), mask_for(loaded.project.mask, sensor_of(entry))
    cut = cells.cut(areas.areas(loaded), loaded.project.grid, loaded.project.cube)
    for region in cut.regions:
        grid = cells.region_grid(region, loaded.project.cube)
        found = search(
            Region.parse(region), grid, list(loaded.periods()), catalog=loaded.project.catalog_of(sensor), sensor=entry, mask=loaded.project.mask
        )  # fmt: skip
        scenes = used_scenes(found["2024-03"], facts, read_bands(facts, list(bands), mask), mask)
        boxes = ard_boxes(cut.of_region(region), region, loaded.project)
        chips = [chip for cell in boxes for chip in chips_of(cell, size_px)]
        for name, group, reached in layers_of(loaded.project.ard, facts, scenes, chips):
            layer = ArdTask(
                name=name, region=region, month="2024-03", cells=reached, scenes=group, sensor=entry, bands=bands, ard=loaded.project.ard,
                mask=MaskRecipe(kind="none"), catalog=loaded.project.catalog_of(sensor), root=loaded.storage.root,
            )  # fmt: skip
            made.append(ChipTask(layer, mask, f"chips/{sensor}/{region}/{name}"))
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, world: Path) -> tuple[LoadedProject, list[ChipResult]]:
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(world, folder / "world")
    loaded = project(folder)
    return loaded, [run(task) for task in tasks(loaded)]


def rows_of(results: list[ChipResult]) -> list[dict[str, Any]]:
    return [row for result in results for row in result.rows]


def centres(row: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    a, _, c, _, e, f = row["transform"]
    return c + a * (np.arange(SIZE) + 0.5), f + e * (np.arange(SIZE) + 0.5)


def test_chips_when_made_then_every_pixel_is_that_of_the_plain_computation(made):
    loaded, results = made
    items = {i["id"]: i for i in oracle.read_items(loaded.file.parent / "world" / S2)}
    compared = cloudy = 0
    for row in rows_of(results):
        item = items[row["scene_ids"][0]]
        stored = read_chips(loaded.storage.uri(row["href"]), [row["index"]], [*BANDS, "scl", "clear"])
        x, y = centres(row)
        scl = oracle.nearest(item["assets"]["scl"]["href"], x, y, row["crs"])
        np.testing.assert_array_equal(stored["scl"][0], scl)
        valid = np.ones((SIZE, SIZE), bool)
        for band in BANDS:
            dn = oracle.nearest(item["assets"][band]["href"], x, y, row["crs"]).astype(int)
            wanted = np.where(dn > 0, np.maximum(dn + oracle.offset(item), 1), 0)  # clouds are kept as they are
            np.testing.assert_array_equal(stored[band][0], wanted)
            valid &= dn > 0
            compared += np.count_nonzero(dn)
        clear = valid & np.isin(scl, oracle.KEEP)
        np.testing.assert_array_equal(stored["clear"][0], clear)
        cloudy += np.count_nonzero(valid & ~clear)
        assert row["valid_fraction"] == valid.mean()
        assert row["clear_fraction"] == clear.mean()
        seen = np.count_nonzero(scl)
        for name, classes in (
            ("cloud", (8, 9, 10)),
            ("shadow", (3,)),
            ("snow", (11,)),
            ("water", (6,)),
            ("saturated", (1,)),
        ):
            assert row[f"{name}_fraction"] == pytest.approx(np.isin(scl, classes).sum() / seen)
    assert len(items) == 6
    assert compared > 900_000
    assert cloudy > 10_000


def test_chips_when_made_then_each_place_and_time_is_there_once_and_the_table_takes_them(made):
    _, results = made
    rows = rows_of(results)
    assert len({(r["chip_id"], r["datetime"]) for r in rows}) == len(rows)
    table = pa.Table.from_pylist(rows)
    assert checked(table).column_names[: len(COLUMNS)] == COLUMNS.names
    partly = [r for r in rows if r["valid_fraction"] < 1]
    assert partly
    assert not any(r["within_footprint"] for r in partly)


def test_chips_when_a_scene_has_many_then_its_files_are_read_once(made):
    loaded, results = made
    world = loaded.file.parent / "world" / S2
    unique = sum(f.stat().st_size for f in world.rglob("*.tif"))
    regions = len({r["region"] for r in rows_of(results)})
    assert sum(r.bytes_read for r in results) < 1.05 * regions * unique
    assert sum(len(r.rows) for r in results) > 60


def test_group_when_written_then_a_chip_is_one_chunk_and_a_shard_has_many(made):
    loaded, results = made
    row = next(r.rows[-1] for r in results if len(r.rows) > 6)
    group = zarr.open_group(loaded.storage.uri(row["href"]), mode="r")
    red = group["red"]
    assert red.chunks == (1, SIZE, SIZE)
    assert red.shards[0] >= red.shape[0]
    assert red.shape[0] == row["index"] + 1
    assert group.attrs["scene"] == row["scene_ids"][0]
    assert red.attrs["scale_factor"] == 0.0001


def test_chips_when_cells_are_larger_then_their_chips_hold_the_same_pixels(made, tmp_path, world):
    shutil.copytree(world, tmp_path / "world")
    loaded = project(tmp_path, grid={"kind": "square", "size_m": 20 * SIZE, "crs": WORLD.crs})
    other, results = made
    by_place = {(tuple(r["transform"]), r["datetime"]): r for r in rows_of(results)}
    same = 0
    for row in rows_of([run(task) for task in tasks(loaded)]):
        twin = by_place.get((tuple(row["transform"]), row["datetime"]))
        if twin is None:
            continue
        mine = read_chips(loaded.storage.uri(row["href"]), [row["index"]], ["nir"])["nir"]
        np.testing.assert_array_equal(
            mine, read_chips(other.storage.uri(twin["href"]), [twin["index"]], ["nir"])["nir"]
        )
        same += 1
    assert same > 40


def test_chips_of_radar_when_nothing_masks_them_then_clear_is_what_is_observed(made):
    loaded, _ = made
    results = [run(task) for task in tasks(loaded, S1, ("vv", "vh"))]
    rows = rows_of(results)
    assert rows
    for row in rows:
        stored = read_chips(loaded.storage.uri(row["href"]), [row["index"]], ["vv", "vh", "clear"])
        np.testing.assert_array_equal(stored["clear"] > 0, np.isfinite(stored["vv"]) & np.isfinite(stored["vh"]))
        assert row["clear_fraction"] == row["valid_fraction"]


def test_chips_when_a_file_is_damaged_then_the_scene_fails_and_says_which(home):
    loaded = project(home)
    task = next(t for t in tasks(loaded) if len(t.layer.cells) > 6)
    truncate(home / "world", task.name, "nir")
    with pytest.raises(SourceError, match=r"nir\.tif"):
        run(task)


def test_chips_when_a_task_is_tried_twice_then_neither_writes_over_the_other(made):
    loaded, _ = made
    task = next(t for t in tasks(loaded) if len(t.layer.cells) > 6)
    one, two = run(task), run(task)
    assert one.href != two.href
    for result in (one, two):
        assert {r["href"] for r in result.rows} == {result.href}
    places = [r["index"] for r in one.rows]
    first = read_chips(loaded.storage.uri(one.href), places, ["red", "clear"])
    second = read_chips(loaded.storage.uri(two.href), places, ["red", "clear"])
    assert all((first[name] == second[name]).all() for name in first)
