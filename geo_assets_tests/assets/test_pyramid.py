"""The pyramid as an asset: one event a key, made again only where the composite changed, and what a failure leaves."""

import itertools
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import rioxarray  # noqa: F401 - registers the accessor
from affine import Affine

import geo_assets
from geo_assets.doors.areas import add_area
from geo_assets.eo.picture import decode_png
from geo_assets.errors import StoreError
from geo_assets.model import path
from geo_assets.tasks import pyramid
from geo_assets_tests.assets.test_changes import changed, dagster_stale, stale, states
from geo_assets_tests.assets.test_failures import failed_keys
from geo_assets_tests.assets.tiny import (
    EAST,
    MIDDLE,
    MONTHS,
    SCENES,
    WEST,
    Tiny,
    counts,
    key,
    leave_out,
    materializations,
    put_back,
    truncate,
    write_area,
)  # fmt: skip

KEYS = sorted(key(r, m) for r in (WEST, MIDDLE) for m in MONTHS)


@pytest.fixture(scope="session")
def base(made: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A project whose pyramid is made; read it only."""
    tiny = made.copy(tmp_path_factory.mktemp("pyramid") / "project")
    tiny.change(products=["composite", "pyramid"])
    tiny.run_aside()
    return tiny


@pytest.fixture
def project(base: Tiny, tmp_path: Path) -> Tiny:
    """A project whose pyramid is made, to go on from."""
    return base.copy(tmp_path / "project")


def pyramids(tiny: Tiny) -> dict[Any, Any]:
    return tiny.receipts("pyramid")


def remade(tiny: Tiny, before: dict[Any, Any]) -> set[Any]:
    return {k for k, r in pyramids(tiny).items() if k not in before or r.run_id != before[k].run_id}


def levels_of(tiny: Tiny) -> list[Any]:
    data = geo_assets.open(tiny.folder / "data")
    return [data.cube(level=n).load() for n in range(3)]


def check(tiny: Tiny) -> None:
    """Every level is the mean of what is observed of the level below."""
    levels = levels_of(tiny)
    for fine, coarse in itertools.pairwise(levels):
        for name in fine.data_vars:
            values = fine[name].to_numpy().astype(float) / (1 if name == "n_clear" else 1e-4)
            values[values == 0] = np.nan
            values = values.round().reshape(len(fine.time), len(coarse.y), 2, len(coarse.x), 2)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of pixels without anything observed
                mean = np.nan_to_num(np.rint(np.nanmean(values, axis=(2, 4))))
            there = np.nan_to_num(coarse[name].to_numpy() / (1 if name == "n_clear" else 1e-4)).round()
            np.testing.assert_array_equal(there, mean)


def test_each_key_has_one_event_with_its_own_version_and_figures(base: Tiny) -> None:
    receipts = {key(r, str(m)): receipt for (r, m), receipt in pyramids(base).items()}
    composites = {key(r, str(m)): receipt.data_version for (r, m), receipt in base.receipts().items()}
    with base.instance() as instance:
        found = {str(m.partition): m for m in materializations(instance, "pyramid")}
        assert instance.get_materialized_partitions(dg.AssetKey("pyramid")) == set(KEYS)
        assert len(materializations(instance, "pyramid")) == len(KEYS)
    for k in KEYS:
        tags, metadata = dict(found[k].tags or {}), found[k].metadata
        assert tags["dagster/data_version"] == receipts[k].data_version
        assert tags["dagster/input_data_version/composite"] == composites[k] == metadata["composite"].value
        assert (metadata["status"].value, metadata["levels"].value) == ("ok", 2)
        assert metadata["shards"].value == receipts[k].figures["shards"]
        shown = "note" if k.startswith("2024-05") else "quicklook"
        assert str(metadata[shown].value).startswith(("no scene in this period", "![quicklook](data:image/png;base64,"))
    assert len({r.data_version for r in receipts.values()}) == len(KEYS)
    assert found[key(WEST, "2024-05")].metadata["note"].value == "no scene in this period: the levels are all nodata"


def test_values_coordinates_and_picture_are_those_of_the_region(base: Tiny) -> None:
    check(base)
    full, half, quarter = levels_of(base)
    assert (dict(half.sizes), dict(quarter.sizes)) == ({"time": 3, "y": 64, "x": 128}, {"time": 3, "y": 32, "x": 64})
    for data, size in ((full, 10), (half, 20), (quarter, 40)):
        assert float(data.x[1] - data.x[0]) == float(data.y[0] - data.y[1]) == size
        assert float(data.x[0]) - size / 2 == float(full.x[0]) - 5
        assert float(data.y[0]) + size / 2 == float(full.y[0]) + 5
        assert data.rio.crs.to_epsg() == 32633
        assert data.rio.transform() == full.rio.transform() @ Affine.scale(size / 10)
        assert not any(name.startswith(("multiscales", "spatial:", "proj:", "zarr_")) for name in data.attrs)
    picture = decode_png(base.loaded.storage.read(path.quicklook("pyramid", WEST, "2024-03")))
    assert picture is not None
    assert picture.shape == (32, 32, 3)


def test_a_rerun_makes_nothing_and_reads_no_pixel(project: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyramid, "run", lambda _: pytest.fail("a task was started"))
    before, commits = pyramids(project), project.commits()
    summary = project.run()
    assert summary.partitions == {"total": 6, "ok": 0, "partial": 0, "failed": 0, "skipped": 6}
    assert summary.outputs["pyramid"] == summary.outputs["composite"] == project.loaded.storage.uri("cube")
    assert (pyramids(project), project.commits()) == (before, commits)
    with project.instance() as instance:
        newest = materializations(instance, "pyramid")[:6]
    assert {str(m.metadata["status"].value) for m in newest} == {"skipped: same composite and code"}
    assert {m.metadata["pixels_read"].value for m in newest} == {0}
    assert dagster_stale(project, "pyramid") == stale(project, "pyramid").keys() == set()


def test_one_commit_a_partition_that_holds_something(base: Tiny) -> None:
    ours = [c for c in base.commits() if c.startswith("pyramid ")]
    assert sorted(ours) == sorted(f"pyramid {r} {m}" for r in (WEST, MIDDLE) for m in MONTHS[:2])
    metadata = next(c["metadata"] for c in base.loaded.cube.history() if c["message"].startswith("pyramid "))
    composite = base.receipts()[metadata["region"], metadata["month"]]
    assert metadata["product"] == "pyramid"
    assert (metadata["recipe_hash"], metadata["scene_hash"]) == (composite.recipe_hash, composite.scene_hash)
    assert metadata["data_version"] == pyramids(base)[metadata["region"], metadata["month"]].data_version


@pytest.mark.heavy
def test_other_cells_make_their_pyramids_stale_and_only_the_shards_over_them_are_written(
    project: Tiny, tmp_path: Path
) -> None:
    before = pyramids(project)
    corner, beyond = (512_050, 5_233_650, 512_250, 5_233_850), (513_400, 5_233_000, 513_500, 5_233_100)
    add_area(project.loaded, "later", str(write_area(tmp_path / "later.gpkg", corner, beyond)), None)
    project.run(products=["composite"])
    assert stale(project, "pyramid") == {(MIDDLE, m): "new cells" for m in MONTHS}
    assert {k for k, s in states(project, "pyramid").items() if s.state == "missing"} == {(EAST, m) for m in MONTHS}
    assert dagster_stale(project, "pyramid") == {key(MIDDLE, m) for m in MONTHS}
    summary = project.run()
    assert summary.complete
    assert remade(project, before) == {(r, m) for r in (MIDDLE, EAST) for m in MONTHS}
    figures = pyramids(project)[MIDDLE, "2024-03"].figures
    assert (figures["blocks_made"], figures["blocks_kept"]) == (1, 1)
    assert figures["shards"] == 5 + 5  # five arrays: level 1 of the block, level 2 of the region
    check(project)
    assert stale(project, "pyramid") == {}


@pytest.mark.heavy
def test_a_new_scene_makes_the_pyramid_that_it_touches_again(made: Tiny, world: Path, tmp_path: Path) -> None:
    eastern = next(s.id for s in made.receipts()[MIDDLE, "2024-04"].scenes if "33TWN" in s.id)
    leave_out(world, eastern)
    tiny = Tiny.create(tmp_path / "project", world, products=["pyramid"])
    assert tiny.run().complete
    before, composites = pyramids(tiny), tiny.receipts()
    put_back(world, eastern)
    tiny.run(products=["composite"])
    assert stale(tiny, "pyramid") == {(MIDDLE, "2024-04"): "composite changed"}
    summary = tiny.run()
    assert summary.partitions == {"total": 6, "ok": 1, "partial": 0, "failed": 0, "skipped": 5}
    assert changed(tiny, composites) == remade(tiny, before) == {(MIDDLE, "2024-04")}
    check(tiny)


def test_overwrite_makes_composite_and_pyramid_again(project: Tiny) -> None:
    before, composites, cube = pyramids(project), project.receipts(), levels_of(project)
    summary = project.run(overwrite=True, regions=[WEST], first_month="2024-03", last_month="2024-03")
    assert summary.partitions["ok"] == 1
    assert summary.tasks == {"ok": 8, "failed": 0, "skipped": 0}
    assert changed(project, composites) == remade(project, before) == {(WEST, "2024-03")}
    assert all(a.identical(b) for a, b in zip(levels_of(project), cube, strict=True))


@pytest.mark.heavy
def test_a_partial_composite_is_counted_as_such_and_its_pyramid_shows_what_the_cube_holds(
    made: Tiny, world: Path, shared_world: Path, tmp_path: Path
) -> None:
    item = made.receipts()[WEST, "2024-03"].scenes[0].id
    truncate(world, item, "red")
    tiny = Tiny.create(tmp_path / "project", world, products=["pyramid"])
    summary = tiny.run()
    bad = {(WEST, "2024-03"), (MIDDLE, "2024-03")}
    assert not summary.complete
    assert (summary.partitions["ok"], summary.partitions["failed"] + summary.partitions["partial"]) == (4, 2)
    assert {(f["product"], f["region"], f["month"]) for f in summary.failures} >= {("composite", *k) for k in bad}
    assert failed_keys(tiny, "composite") == {key(*k) for k in bad}
    assert {k for k, s in states(tiny, "pyramid").items() if s.state == "fresh"} >= {
        (r, m) for r in (WEST, MIDDLE) for m in MONTHS[1:]
    }
    check(tiny)
    file = next(world.glob(f"*/{item}/red.tif"))
    file.write_bytes(next(shared_world.glob(f"*/{item}/red.tif")).read_bytes())
    assert tiny.run(retry_failed=True).complete
    assert {s.state for s in states(tiny, "pyramid").values()} == {"fresh"}
    check(tiny)


@pytest.mark.heavy
def test_a_failed_block_of_the_pyramid_fails_its_partition_only(
    made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = made.copy(tmp_path / "project")
    run, block = pyramid.run, made.receipts()[WEST, "2024-03"].blocks[0]

    def fail(task: Any) -> Any:
        if task.block and (task.block.row, task.block.col, task.month) == (block.row, block.col, "2024-03"):
            raise StoreError("variable red of the cube is damaged")
        return run(task)

    with monkeypatch.context() as patched:
        patched.setattr(pyramid, "run", fail)
        tiny.change(compute={"retries": 0})
        summary = tiny.run(products=["pyramid"])
    assert summary.partitions == {"total": 6, "ok": 5, "partial": 1, "failed": 0, "skipped": 0}
    (failure,) = summary.failures
    assert (failure["product"], failure["region"], failure["month"]) == ("pyramid", WEST, "2024-03")
    assert (failure["block"], failure["cells"]) == (f"{block.row},{block.col}", list(block.cells))
    assert failure["cause"] == "variable red of the cube is damaged"
    assert failed_keys(tiny, "pyramid") == {key(WEST, "2024-03")}
    assert states(tiny, "pyramid")[WEST, "2024-03"].state == "failed"
    again = tiny.run(products=["pyramid"], retry_failed=True)
    assert (again.partitions["total"], again.complete) == (1, True)
    assert failed_keys(tiny, "pyramid") == set()
    check(tiny)


@pytest.mark.heavy
def test_a_key_and_a_range_are_made_as_dagster_launches_them(made: Tiny, tmp_path: Path) -> None:
    tiny = made.copy(tmp_path / "project")
    runner = tiny.runner()
    one = runner.run(["pyramid"], key(WEST, MONTHS[0]), key(WEST, MONTHS[0]))
    assert one.success
    assert set(pyramids(tiny)) == {(WEST, MONTHS[0])}
    three = runner.run(["pyramid"], key(WEST, MONTHS[0]), key(WEST, MONTHS[2]))
    more = counts(runner.instance, three.run_id) - counts(runner.instance, one.run_id)
    assert more == Counter({"ASSET_MATERIALIZATION_PLANNED": 2, "ASSET_MATERIALIZATION": 2})
    several = runner.run(["composite", "pyramid"], key(WEST, MONTHS[0]), key(MIDDLE, MONTHS[1]))
    assert several.success
    assert set(pyramids(tiny)) == {(WEST, m) for m in MONTHS} | {(MIDDLE, m) for m in MONTHS[:2]}


def test_a_pyramid_without_a_composite_says_what_to_materialize(shared_world: Path, tmp_path: Path) -> None:
    tiny = Tiny.create(tmp_path / "project", shared_world)
    tiny.run(products=["scenes"])
    outcome = tiny.runner().run(["pyramid"], key(WEST, "2024-03"), key(WEST, "2024-03"))
    assert not outcome.success
    cause = outcome.causes["pyramid", key(WEST, "2024-03")]
    assert cause == f"no composite of {WEST} 2024-03: not made yet; materialize asset composite for it first"
    assert tiny.commits() == []


def test_the_asset_names_owner_group_code_and_what_it_is_made_from(base: Tiny) -> None:
    definitions = base.runner()._defs
    definition = definitions.resolve_assets_def(dg.AssetKey("pyramid"))
    (spec,) = definition.specs
    assert (spec.group_name, list(spec.owners), spec.code_version) == (
        "cube",
        ["team:geo-assets"],
        pyramid.CODE_VERSION,
    )
    assert [d.asset_key for d in spec.deps] == [dg.AssetKey("composite")]
    assert isinstance(definition.partitions_def, dg.MultiPartitionsDefinition)
    job = definitions.resolve_job_def("cube_job").asset_layer.executable_asset_keys
    assert {k.to_user_string() for k in job} == {SCENES, "composite", "pyramid"}


def test_status_tells_of_the_pyramid_only_where_it_is_wanted_or_made(made: Tiny, base: Tiny) -> None:
    assert states(made, "pyramid") == {}
    assert {s.state for s in states(base, "pyramid").values()} == {"fresh"}
    before = made.receipts("pyramid")
    assert before == {}


@pytest.mark.heavy
def test_initialize_forgets_the_pyramid_too(project: Tiny) -> None:
    summary = project.run(products=["composite"], initialize=True)
    assert summary.partitions["ok"] == 6
    assert pyramids(project) == {}
    assert {(s.state, s.reason) for s in states(project, "pyramid").values()} == {("missing", "not made yet")}
    assert project.run().partitions == {"total": 6, "ok": 6, "partial": 0, "failed": 0, "skipped": 0}
    check(project)


def test_levels_grow_with_the_time_axis(project: Tiny) -> None:
    project.change(months={"end": "2024-06"})
    before = pyramids(project)
    assert project.run().complete
    assert remade(project, before) == {(r, "2024-06") for r in (WEST, MIDDLE)}
    assert [data.sizes["time"] for data in levels_of(project)] == [4, 4, 4]
    check(project)
