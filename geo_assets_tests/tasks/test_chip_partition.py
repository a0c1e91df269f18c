"""Partitions of chips: what is made again and what is not, tables, and what is left of failures."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

import geo_assets
from geo_assets.errors import ConfigError
from geo_assets.model.chip_table import COLUMNS, KEY
from geo_assets.project import LoadedProject, load_project
from geo_assets.tasks.chip_publish import open_table
from geo_assets.testing.plain_chips import ChipRun, run_chips
from geo_assets.testing.world import SampleWorld
from geo_assets_tests.assets.tiny import leave_out, put_back, truncate

S2, S1 = "sentinel-2-l2a", "sentinel-1-rtc"
MONTHS = ("2024-03", "2024-04")
SIZE = 64
WORLD = SampleWorld(
    months=MONTHS, days=2, size_px=(128, 256), overlap_px=64, internal_px=64, sensors=(S2, S1, "dem"), with_broken=False, with_duplicate=False,
)  # fmt: skip


def project(folder: Path, **settings: Any) -> LoadedProject:
    document = {
        "name": "chips", "storage": "./data", "products": ["chips"], "grid": {"kind": "square", "size_m": 10 * SIZE, "crs": WORLD.crs},
        "months": {"start": MONTHS[0], "end": MONTHS[1]}, "catalog": {"kind": "static", "path": "world/catalog.json"},
        "aois": {"a": {"bbox": list(WORLD.aoi.bounds)}}, "sensors": [S2], "chips": {"size_px": SIZE, "resampling": "nearest"}, **settings,
    }  # fmt: skip
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(folder / "geo_assets.yaml")


def rows(run: ChipRun) -> pa.Table:
    return pa.concat_tables(run.tables.values(), promote_options="permissive")


def keys(table: pa.Table) -> list[tuple[Any, ...]]:
    return sorted(tuple(row.values()) for row in table.select(list(KEY)).to_pylist())


def groups(loaded: LoadedProject) -> set[str]:
    return {n.partition(".zarr/")[0] + ".zarr" for n in loaded.storage.names("chips") if ".zarr/" in n}


def scene_of(home: Path, month: str) -> str:
    """A scene of Sentinel-2 in a month."""
    return sorted(f.name for f in (home / "world" / S2).iterdir() if f"_{month.replace('-', '')}" in f.name)[0]


def test_chips_when_made_then_table_receipt_and_files_agree(home):
    loaded = project(home)
    run = run_chips(loaded)
    table = rows(run)
    assert table.num_rows > 30
    assert len(set(keys(table))) == table.num_rows
    assert set(table["href"].to_pylist()) == groups(loaded)
    for (region, month), receipt in run.receipts.items():
        own = run.tables[region, month]
        assert receipt.status == "ok"
        assert receipt.figures["chips"] == own.num_rows
        assert {b.scene_ids[0] for b in receipt.blocks if b.observed} >= {
            s for ids in own["scene_ids"].to_pylist() for s in ids
        }
        assert set(own["month"].to_pylist()) <= {month}
        assert receipt.figures["bytes_read"] > 0
    assert min(table["valid_fraction"].to_pylist()) >= 0.5


def test_chips_when_nothing_changed_then_nothing_is_made(home):
    loaded = project(home)
    first = run_chips(loaded)
    again = run_chips(loaded)
    assert again.todo == []
    assert again.receipts == first.receipts


def test_chips_when_a_scene_comes_later_then_its_chips_alone_are_cut(home):
    loaded = project(home)
    scene = scene_of(home, MONTHS[1])
    leave_out(home / "world", scene)
    before = keys(rows(run_chips(loaded)))
    put_back(home / "world", scene)
    run = run_chips(loaded)
    assert {name for name, _ in run.todo} == {f"{S2} {scene}"}
    assert {why for _, why in run.todo} == {"new scenes"}
    assert set(before) < set(keys(rows(run)))


def test_chips_when_a_scene_is_withdrawn_then_its_rows_and_pixels_go(home):
    loaded = project(home)
    run_chips(loaded)
    scene = scene_of(home, MONTHS[0])
    leave_out(home / "world", scene)
    run = run_chips(loaded)
    assert run.todo == []
    assert "scenes withdrawn" in {p.reason for p in run.plans.values()}
    table = rows(run)
    assert scene not in {s for ids in table["scene_ids"].to_pylist() for s in ids}
    assert set(table["href"].to_pylist()) == groups(loaded)


@pytest.mark.parametrize(
    ("chips", "said"), [({"size_px": 32}, "chips.size_px 64 -> 32"), ({"min_valid": 0.9}, "chips.min_valid 0.5 -> 0.9"), ({"bands": ["red"]}, "chips.bands.sentinel-2-l2a")]
)  # fmt: skip
def test_chips_when_the_recipe_changes_then_all_are_cut_anew_and_the_reason_is_said(home, chips, said):
    run_chips(project(home), months=MONTHS[:1])
    loaded = project(home, chips={"size_px": SIZE, "resampling": "nearest", **chips})
    run = run_chips(loaded, months=MONTHS[:1])
    assert run.todo
    assert all(said in why for _, why in run.todo)
    assert set(rows(run)["href"].to_pylist()) == groups(loaded)  # the older ones are gone


def test_chips_when_another_sensor_is_added_then_only_its_scenes(home):
    before = run_chips(project(home))
    run = run_chips(project(home, sensors=[S2, S1]))
    assert {name.split()[0] for name, _ in run.todo} == {S1}
    table = rows(run)
    assert set(table["sensor"].to_pylist()) == {S2, S1}
    assert set(keys(rows(before))) < set(keys(table))


def test_chips_when_a_file_is_damaged_then_its_scene_fails_and_the_next_run_makes_that_alone(home):
    loaded = project(home)
    scene = scene_of(home, MONTHS[0])
    whole = next((home / "world").glob(f"*/{scene}/nir.tif")).read_bytes()
    file = truncate(home / "world", scene, "nir")
    run = run_chips(loaded, months=MONTHS[:1])
    failed = [b for r in run.receipts.values() for b in r.failures]
    assert {b.name for b in failed} == {f"{S2} {scene}"}
    assert all("nir.tif" in str(b.cause) for b in failed)
    assert {r.status for r in run.receipts.values()} <= {"partial", "failed", "ok"}
    assert scene not in {s for ids in rows(run)["scene_ids"].to_pylist() for s in ids}
    file.write_bytes(whole)
    again = run_chips(loaded, months=MONTHS[:1])
    assert {name for name, _ in again.todo} == {f"{S2} {scene}"}
    assert all(why.startswith("failed: ") for _, why in again.todo)
    assert {r.status for r in again.receipts.values()} == {"ok"}


def test_chips_when_made_anew_and_one_fails_then_its_older_chips_stay(home):
    loaded = project(home)
    before = rows(run_chips(loaded, months=MONTHS[:1]))
    store = geo_assets.open(loaded.storage.root)
    pixels = store.chip_pixels(store.chips())
    scene = scene_of(home, MONTHS[0])
    truncate(home / "world", scene, "nir")
    run = run_chips(loaded, months=MONTHS[:1], overwrite=True)
    assert any(r.failures for r in run.receipts.values())
    assert keys(rows(run)) == keys(before)
    assert set(rows(run)["href"].to_pylist()) == groups(loaded)
    assert pixels.equals(store.chip_pixels(store.chips()))


def test_chips_when_the_table_is_damaged_then_overwrite_mends_it(home):
    loaded = project(home)
    run = run_chips(loaded, months=MONTHS[:1])
    for region, month in run.tables:
        (home / "data" / "chips" / region / f"{month}.parquet").write_bytes(b"no table")
    again = run_chips(loaded, months=MONTHS[:1], overwrite=True)
    assert keys(rows(again)) == keys(rows(run))


def test_table_when_it_is_iceberg_then_it_has_what_the_partitions_have(home):
    pytest.importorskip("pyiceberg", reason="the extra iceberg is not installed")
    loaded = project(home, tables={"kind": "iceberg"})
    run = run_chips(loaded)
    table = open_table(loaded.project, loaded.storage.root, "chips")
    assert keys(table.read()) == keys(rows(run))
    states = len(table.versions())
    run_chips(loaded)
    assert len(table.versions()) == states
    scene = scene_of(home, MONTHS[0])
    leave_out(home / "world", scene)
    assert keys(table.read()) == keys(rows(run))
    withdrawn = rows(run_chips(loaded))
    assert keys(table.read()) == keys(withdrawn)
    assert withdrawn.num_rows < rows(run).num_rows


def test_table_when_the_project_takes_iceberg_later_then_rows_are_published_and_no_pixel_is_read(home):
    pytest.importorskip("pyiceberg", reason="the extra iceberg is not installed")
    run = run_chips(project(home))
    loaded = project(home, tables={"kind": "iceberg"})
    later = run_chips(loaded)
    assert later.todo == []
    assert {p.reason for p in later.plans.values()} == {"another table"}
    assert keys(open_table(loaded.project, loaded.storage.root, "chips").read()) == keys(rows(run))
    assert {p.reason for p in run_chips(loaded).plans.values()} == {""}


def test_reader_when_chips_are_made_then_it_gives_rows_and_pixels_in_their_order(home):
    loaded = project(home, sensors=[S2, S1])
    run_chips(loaded)
    store = geo_assets.open(loaded.storage.root)
    table = store.chips()
    assert set(COLUMNS.names) - {"geometry"} <= set(table.columns)
    assert table.crs == "EPSG:4326"
    assert set(store.chips(sensor=S1)["sensor"]) == {S1}
    assert set(store.chips(month=MONTHS[0])["month"]) == {MONTHS[0]}
    cell = table["cell_id"].iloc[0]
    assert set(store.chips(cell=cell)["cell_id"]) == {cell}
    optical = store.chips(sensor=S2).sample(frac=1, random_state=7)
    pixels = store.chip_pixels(optical)
    assert list(pixels.data_vars) == ["red", "green", "blue", "nir", "clear", "scl"]
    assert pixels["red"].shape == (len(optical), SIZE, SIZE)
    np.testing.assert_allclose(pixels["clear"].mean(("y", "x")), optical["clear_fraction"])
    with pytest.raises(ConfigError, match="have no band 'ndvi'; they have red, green"):
        store.chip_pixels(optical, ["ndvi"])
    with pytest.raises(ConfigError, match="read those of one sensor at a time"):
        store.chip_pixels(table)
    with pytest.raises(ConfigError, match="merged chips are not made yet"):
        store.chips(merged=True)


@pytest.mark.parametrize(
    ("settings", "said"), [
        ({"chips": {"format": "cog"}}, "chips.format cog is not made yet"),
        ({"sensors": [S2, S1], "chips": {"bands": ["red"]}}, "chips.bands is one list for sentinel-2-l2a, sentinel-1-rtc"),
        ({"chips": {"bands": ["rot"]}}, "chips.bands: sentinel-2-l2a has no band 'rot'; it has"),
        ({"chips": {"bands": ["scl"]}}, "has no band 'scl'"),
        ({"chips": {"bands": ["red", "red"]}}, "a band of sentinel-2-l2a is named twice"),
        ({"sensors": [S2, "dem"], "chips": {"sensors": ["dem"]}}, "scenes of dem have no date"),
        ({"sensors": ["dem"]}, "no sensor of the project has such"),
        ({"chips": {"sensors": ["landsat-c2-l2"]}}, "chips.sensors names 'landsat-c2-l2', but sensors lists only"),
    ]
)  # fmt: skip
def test_project_when_chips_cannot_be_cut_so_then_it_is_refused(home, settings, said):
    with pytest.raises(ConfigError, match=said):
        project(home, **settings)


def test_chips_when_two_copies_of_the_world_lie_elsewhere_then_the_same_bits(home, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(home / "world", other / "world")
    one, two = project(home), project(other)
    mine, theirs = rows(run_chips(one, months=MONTHS[:1])), rows(run_chips(two, months=MONTHS[:1]))
    plain = [n for n in mine.column_names if n != "href"]
    assert mine.select(plain).equals(theirs.select(plain))


def test_chips_when_two_scenes_have_one_time_then_the_fuller_is_shown_and_the_other_comes_back_without_it(home):
    pytest.importorskip("pyiceberg", reason="the extra iceberg is not installed")
    for file in (home / "world" / S2).glob("*/*.json"):  # as Planetary Computer has it: the time of the overpass
        item = json.loads(file.read_text())
        item["properties"]["datetime"] = item["properties"]["datetime"][:11] + "10:00:00Z"
        file.write_text(json.dumps(item))
    loaded = project(home, tables={"kind": "iceberg"})
    run = run_chips(loaded, months=MONTHS[:1])
    every = rows(run).to_pylist()
    shown = geo_assets.open(loaded.storage.root).chips()
    assert len(shown) < len(every)
    assert not shown.duplicated(list(KEY)).any()
    assert len(shown) == open_table(loaded.project, loaded.storage.root, "chips").read().num_rows
    fullest = {}
    for row in every:
        key = tuple(row[k] for k in KEY)
        fullest[key] = max(fullest.get(key, 0.0), row["valid_fraction"])
    assert sorted(fullest.values()) == pytest.approx(sorted(shown["valid_fraction"]))
    scene = scene_of(home, MONTHS[0])
    leave_out(home / "world", scene)
    again = run_chips(loaded, months=MONTHS[:1])
    assert again.todo == []
    left = geo_assets.open(loaded.storage.root).chips()
    assert {tuple(row[k] for k in KEY) for row in every if scene not in row["scene_ids"]} == {
        (c, s, t.to_pydatetime()) for c, s, t in zip(left["chip_id"], left["sensor"], left["datetime"], strict=True)
    }


def test_chips_when_a_function_judges_a_band_that_they_have_then_it_is_stored_once_and_no_class_is_counted(
    home, monkeypatch
):
    (home / "judge.py").write_text("def bright(numbers):\n    return numbers > 1500\n")
    monkeypatch.syspath_prepend(home)
    loaded = project(home, mask={"kind": "judge:bright", "band": "red"})
    table = rows(run_chips(loaded, months=MONTHS[:1]))
    assert table["cloud_fraction"].null_count == table.num_rows
    store = geo_assets.open(loaded.storage.root)
    pixels = store.chip_pixels(store.chips())
    assert list(pixels.data_vars) == ["red", "green", "blue", "nir", "clear"]
    assert 0 < float(pixels["clear"].mean()) < 1
