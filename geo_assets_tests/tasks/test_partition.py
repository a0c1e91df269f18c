"""What a partition still needs and why, and that it matters to no pixel in which pieces it was made."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import yaml

from geo_assets.eo.aoi import Aoi
from geo_assets.errors import ComputeError, ConfigError, StoreError
from geo_assets.model.crs import reproject
from geo_assets.project import LoadedProject, load_project
from geo_assets.registry import load
from geo_assets.tasks import areas, block, composite
from geo_assets.tasks.layout import check_layout, layout_attrs
from geo_assets.tasks.memory import Strips
from geo_assets.tasks.partition import PRODUCT, make_partition, plan_partition
from geo_assets.tasks.steps import alone
from geo_assets.testing.plain_run import PlainRun, run_plain, stored_pixels
from geo_assets.testing.world import SampleWorld

WORLD = SampleWorld(
    months=("2024-06",), size_px=(128, 256), overlap_px=64, days=4, internal_px=128, with_broken=False, with_duplicate=False
)  # fmt: skip
MONTH, KEY = WORLD.months[0], ("utm33n_r681_c66", WORLD.months[0])
BOUNDS = WORLD.box.bounds
WEST, EAST = (511_063, 5_232_345, 511_949, 5_232_931), (511_823, 5_232_417, 512_871, 5_232_993)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("world")
    WORLD.write(path)
    return path


def lonlat(bounds: tuple[float, ...]) -> shapely.Polygon:
    return reproject(shapely.box(*bounds), WORLD.crs, "EPSG:4326")


def project(
    home: Path, world: Path, *areas_: tuple[float, ...], mask: dict[str, Any] | None = None, **cube: Any
) -> LoadedProject:
    document = {
        "name": "parts", "aois": {f"a{i}": {"bbox": list(lonlat(a).bounds)} for i, a in enumerate(areas_)}, "months": {"start": MONTH, "end": MONTH},
        "catalog": {"kind": "static", "path": str(world / "catalog.json")}, "grid": {"kind": "square", "size_m": 80, "crs": "EPSG:32633"},
        "cube": {"crs": "EPSG:32633", "block_px": 64, "chunk_px": 16, "region_blocks": 12, "bands": ["red", "nir"], **cube}, "mask": mask or {},
    }  # fmt: skip
    home.mkdir(parents=True, exist_ok=True)
    (home / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(home / "geo_assets.yaml")


def pixels(run: PlainRun) -> np.ndarray:
    assert {r.status for r in run.receipts.values()} == {"ok"}
    return np.stack([*stored_pixels(run.loaded, "utm33n", MONTH, BOUNDS).values.values()])


def chunks(run: PlainRun) -> set[tuple[int, int, int, int]]:
    return {(b.row, b.col, r, c) for receipt in run.receipts.values() for b in receipt.blocks for r, c in b.chunks}


@pytest.mark.heavy
@pytest.mark.parametrize(
    "options",
    [
        {"resampling": "nearest", "resolution": 15},
        {"resampling": "nearest", "resolution": 10, "mask": {"keep": [4, 5, 6], "close_px": 2, "open_px": 1}},
        {"resampling": "nearest", "resolution": 25, "statistic": "medoid"},
        {"resampling": "bilinear", "resolution": 10},
    ],
    ids=["15 m", "with clean-up", "medoid", "aligned bilinear"],
)
def test_composite_when_blocks_and_chunks_have_other_sizes_then_the_pixels_are_the_same(tmp_path, folder, options):
    sizes = [
        {"block_px": 32, "chunk_px": 8, "region_blocks": 50},
        {"block_px": 96, "chunk_px": 48, "region_blocks": 40},
        {"block_px": 2048, "chunk_px": 256},
    ]
    made = [
        pixels(run_plain(project(tmp_path / str(i), folder, BOUNDS, **options, **size))) for i, size in enumerate(sizes)
    ]
    assert (made[0] > 0).any()
    assert np.array_equal(made[0], made[1])
    assert np.array_equal(made[0], made[2])


@pytest.mark.parametrize("resolution", [25, "1/3600"])
def test_composite_when_a_kernel_is_used_then_the_pieces_matter_by_1_dn_at_most(tmp_path, folder, resolution):
    options = {
        "resampling": "bilinear",
        "resolution": resolution,
        "crs": "EPSG:32633" if resolution == 25 else "EPSG:4326",
    }
    sizes = [
        {"block_px": 16, "chunk_px": 8, "region_blocks": 100},
        {"block_px": 512, "chunk_px": 128, "region_blocks": 4},
    ]
    runs = [run_plain(project(tmp_path / str(i), folder, BOUNDS, **options, **size)) for i, size in enumerate(sizes)]
    group, bounds = ("utm33n", BOUNDS) if resolution == 25 else ("epsg4326", lonlat(BOUNDS).bounds)
    one, other = (np.stack([*stored_pixels(r.loaded, group, MONTH, bounds).values.values()]).astype(int) for r in runs)
    off = np.abs(one - other)[:, (one[-1] > 0) & (other[-1] > 0)]
    assert off.shape[1] > 1000
    assert off.max() <= 2  # half to even makes 2 of 1
    assert (off > 0).mean() < 0.01


def test_composite_when_memory_is_short_then_the_pixels_are_the_same(tmp_path, folder, monkeypatch):
    whole = pixels(run_plain(project(tmp_path / "whole", folder, WEST)))
    for spare in (0, 2**30):
        monkeypatch.setattr(block, "strips", lambda *_, spare=spare, **__: Strips(16, spare, 2))
        assert np.array_equal(pixels(run_plain(project(tmp_path / str(spare), folder, WEST))), whole)


def test_composite_when_classes_are_taken_by_mode_then_a_cloud_counts_where_it_covers_most(tmp_path, folder):
    """At 40 m a pixel holds two by two of the 20 m classes."""
    plain, mode = (
        run_plain(project(tmp_path / kernel, folder, WEST, resolution=40, mask={"resampling": kernel}))
        for kernel in ("nearest", "mode")
    )
    assert pixels(plain).shape == pixels(mode).shape
    assert 0 < (pixels(plain)[-1] != pixels(mode)[-1]).mean() < 0.3


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
def test_composite_when_only_some_chunks_are_asked_for_then_they_are_those_of_the_whole(tmp_path, folder, resampling):
    whole, part = (
        run_plain(project(tmp_path / n, folder, a, resampling=resampling))
        for n, a in (("whole", BOUNDS), ("part", WEST))
    )
    assert (len(chunks(whole)), len(chunks(part))) == (177, 24)
    ours, theirs = pixels(part), pixels(whole)
    made = ours != 0
    assert made.any()
    assert np.array_equal(ours[made], theirs[made])


@pytest.mark.heavy
def test_partition_when_cells_are_added_then_only_the_missing_chunks_are_made(tmp_path, folder):
    loaded = project(tmp_path / "two", folder, WEST)
    first = run_plain(loaded)
    before = pixels(first)
    areas.register(loaded, Aoi("later", shapely.MultiPolygon([lonlat(EAST)]), ()))
    second = run_plain(loaded)
    once = run_plain(project(tmp_path / "once", folder, WEST, EAST))
    todo = {(t.plan.block.row, t.plan.block.col, r, c) for t in second.plans[KEY].todo for r, c in t.chunks}
    assert {t.reason for t in second.plans[KEY].todo} == {"new cells"}
    assert todo == chunks(once) - chunks(first)
    assert chunks(second) == chunks(once)
    assert (len(chunks(first)), len(todo)) == (24, 32)
    assert np.array_equal(pixels(second), pixels(once))
    assert np.array_equal(pixels(second)[before > 0], before[before > 0])
    assert second.receipts[KEY].data_version == once.receipts[KEY].data_version
    assert second.receipts[KEY].figures["pixels"] == once.receipts[KEY].figures["pixels"]
    read = [r.receipts[KEY].figures["bytes_read"] for r in (first, second, once)]
    assert read[1] < read[2]


def test_partition_when_nothing_changed_then_nothing_is_made(tmp_path, folder):
    loaded = project(tmp_path, folder, WEST)
    first, second = run_plain(loaded), run_plain(loaded)
    assert second.plans[KEY].todo == ()
    assert second.receipts == first.receipts
    third = run_plain(loaded, overwrite=True)
    assert {t.reason for t in third.plans[KEY].todo} == {"overwrite"}
    assert third.receipts[KEY].data_version == first.receipts[KEY].data_version


def test_partition_when_areas_go_then_what_was_made_stays(tmp_path, folder):
    both = run_plain(project(tmp_path, folder, WEST, EAST))
    fewer = run_plain(project(tmp_path, folder, WEST))
    assert fewer.plans[KEY].todo == ()
    assert fewer.receipts == both.receipts


def test_partition_when_the_recipe_changes_then_all_that_was_made_is_made_again(tmp_path, folder):
    both = run_plain(project(tmp_path, folder, WEST, EAST))
    other = run_plain(project(tmp_path, folder, WEST, mask={"keep": [4, 5]}))
    plan = other.plans[KEY]
    assert {t.reason for t in plan.todo} == {"recipe changed: mask.keep [2, 4, 5, 6, 7, 11] -> [4, 5]"}
    wanted = {(t.plan.block.row, t.plan.block.col) for t in plan.todo}
    again = {(t.plan.block.row, t.plan.block.col, r, c) for t in plan.todo for r, c in t.chunks}
    assert again == {c for c in chunks(both) if c[:2] in wanted}  # also chunks that no cell asks for any more


def plan_again(run: PlainRun, **changed: Any) -> Any:
    plan, loaded = run.plans[KEY], run.loaded
    given = {
        "region": KEY[0], "month": MONTH, "grid": plan.grid, "blocks": [t.plan for t in plan.todo], "table": run.tables[KEY],
        "previous": run.receipts[KEY], **changed,
    }  # fmt: skip
    return plan_partition(loaded.project, loaded.sensor, **given)


def test_plan_when_a_scene_is_new_or_withdrawn_then_the_reason_says_so(tmp_path, folder):
    run = run_plain(project(tmp_path, folder, WEST))
    table = run.tables[KEY]
    assert plan_again(run).todo == ()
    withdrawn = plan_again(run, table=table.iloc[1:].reset_index(drop=True))
    assert "1 withdrawn scene" in withdrawn.reason
    previous = run.receipts[KEY]
    older = previous.model_copy(
        update={
            "scenes": previous.scenes[1:],
            "blocks": [b.model_copy(update={"key": "older"}) for b in previous.blocks],
        }
    )
    assert "1 new scene" in plan_again(run, previous=older).reason


def test_plan_when_the_code_changed_or_a_block_failed_then_the_reason_says_so(tmp_path, folder):
    run = run_plain(project(tmp_path, folder, WEST))
    previous = run.receipts[KEY]
    stale = [b.model_copy(update={"key": "older"}) for b in previous.blocks]
    assert (
        plan_again(run, previous=previous.model_copy(update={"code_version": "0", "blocks": stale})).reason
        == f"code 0 -> {composite.CODE_VERSION}"
    )
    failed = [
        previous.blocks[0].model_copy(update={"status": "failed", "cause": "red.tif: gone"}),
        *previous.blocks[1:],
    ]
    plan = plan_again(run, previous=previous.model_copy(update={"blocks": failed}))
    assert plan.reason == "failed: red.tif: gone"
    assert len(plan.todo) == 1


def test_make_when_a_task_gives_no_answer_then_nothing_is_committed(tmp_path, folder):
    run = run_plain(project(tmp_path, folder, WEST))
    loaded = run.loaded
    plan = dataclasses.replace(run.plans[KEY], previous=run.receipts[KEY])
    before, snapshot = pixels(run), next(iter(loaded.cube.history()))["id"]
    steps = make_partition(
        plan, loaded.project, loaded.sensor, periods=loaded.periods(), cube=loaded.cube, storage=loaded.storage, run_id="lost"
    )  # fmt: skip
    with pytest.raises(ComputeError, match="gave no answer"):
        alone(steps, lambda fn, tasks: iter(()))
    assert next(iter(loaded.cube.history()))["id"] == snapshot
    assert loaded.storage.read_receipt(PRODUCT, *KEY) == run.receipts[KEY]
    assert np.array_equal(pixels(run), before)


def test_make_when_another_run_was_first_then_it_is_said_as_a_person_would(tmp_path, folder):
    run = run_plain(project(tmp_path, folder, WEST))
    loaded = run.loaded
    late = loaded.cube.session("utm33n")  # began before the other run's commit
    run_plain(loaded, overwrite=True)
    writer = load("stores", "icechunk").writer(late.handle())
    block = run.plans[KEY].grid.block_geobox(run.plans[KEY].todo[0].plan.block)
    rows, cols = run.plans[KEY].grid.array_slices(block)
    writer.write("red", 0, rows, cols, np.ones((64, 64), "uint16"))
    with pytest.raises(StoreError, match=r"another run committed the same blocks and month first.*run again") as told:
        late.commit([writer.changes()], "late", {})
    assert "Rebase" not in str(told.value)


def test_partition_when_no_scene_reaches_it_then_it_is_good_and_all_nodata(tmp_path, folder):
    far = (500_000, 5_300_000, 500_500, 5_300_500)
    run = run_plain(project(tmp_path, folder, far))
    assert [r.status for r in run.receipts.values()] == ["ok"]
    (receipt,) = run.receipts.values()
    assert (receipt.scenes, receipt.figures["observed_share"], receipt.figures["n_clear_mean"]) == ([], 0.0, 0.0)
    found = stored_pixels(run.loaded, "utm33n", MONTH, far)
    assert not any(v.any() for v in found.values.values())
    assert found.values["n_clear"].shape == (50, 50)


def test_layout_when_the_project_differs_then_the_settings_are_named(tmp_path, folder):
    loaded = project(tmp_path, folder, WEST)
    wanted = layout_attrs(loaded.project, loaded.periods())
    check_layout({"geo_assets": wanted}, wanted)
    with pytest.raises(ConfigError, match="resolution 20 -> 10"):
        check_layout({"geo_assets": {**wanted, "resolution": "20"}}, wanted)
    with pytest.raises(ConfigError, match="did not make"):
        check_layout({}, wanted)
