"""What is made again, and why: nothing without a reason, and then exactly what the reason touches."""

from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.loader import LoadingContextForTest

from geo_assets.assets.context import Workspace
from geo_assets.assets.plain import PlainStore
from geo_assets.doors.areas import add_area
from geo_assets.doors.status import PartitionState, status
from geo_assets.errors import ConfigError
from geo_assets.tasks import composite
from geo_assets_tests.assets.tiny import (
    EAST,
    MIDDLE,
    MONTHS,
    SCENES,
    WEST,
    Tiny,
    key,
    leave_out,
    materializations,
    put_back,
    write_area,
)


def states(tiny: Tiny, product: str = "composite") -> dict[tuple[str, str | None], PartitionState]:
    """What ``geo-assets status`` says."""
    loaded = tiny.loaded
    workspace = Workspace.of(loaded, storage=PlainStore(loaded.project.storage))
    return {(s.region, s.month): s for s in status(workspace, loaded.periods()) if s.product == product}


def stale(tiny: Tiny, product: str = "composite") -> dict[tuple[str, str | None], str]:
    return {k: s.reason for k, s in states(tiny, product).items() if s.state == "stale"}


def changed(tiny: Tiny, before: dict[Any, Any]) -> set[Any]:
    return {k for k, r in tiny.receipts().items() if k not in before or r.run_id != before[k].run_id}


def dagster_stale(tiny: Tiny, asset: str) -> set[str]:
    """Keys that Dagster's own staleness does not call fresh."""
    runner = tiny.runner()
    keys = [key(r, m) for r in (WEST, MIDDLE) for m in MONTHS]
    with partition_loading_context(dynamic_partitions_store=runner.instance):
        graph = runner._defs.resolve_asset_graph()
        resolver = CachingStaleStatusResolver(runner.instance, graph, LoadingContextForTest(runner.instance))
        return {k for k in keys if resolver.get_status(dg.AssetKey(asset.split("/")), k).name != "FRESH"}


def test_a_rerun_makes_nothing_and_reads_no_pixel(project: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composite, "run", lambda _: pytest.fail("a task was started"))
    before, commits = project.receipts(), project.commits()
    summary = project.run()
    assert summary.partitions == {"total": 6, "ok": 0, "partial": 0, "failed": 0, "skipped": 6}
    assert (summary.bytes_read, summary.requests, summary.tasks["ok"]) == (0, 0, 0)
    assert project.receipts() == before
    assert project.commits() == commits
    with project.instance() as instance:
        newest = materializations(instance, "composite")[:6]
    assert {str(m.metadata["status"].value) for m in newest} == {"skipped: same scenes, recipe and code"}
    assert {m.metadata["bytes_read"].value for m in newest} == {0}
    assert {str(m.partition): (m.tags or {})["dagster/data_version"] for m in newest} == {
        key(r, str(m)): receipt.data_version for (r, m), receipt in before.items()
    }


def test_overwrite_makes_everything_again(project: Tiny) -> None:
    before, cube = project.receipts(), project.cube()
    summary = project.run(overwrite=True)
    assert summary.partitions["ok"] == 6
    assert changed(project, before) == set(before)
    assert project.cube().identical(cube)


def test_a_new_area_makes_its_missing_chunks_and_its_new_regions_only(project: Tiny, tmp_path: Path) -> None:
    before, cube = project.receipts(), project.cube()
    corner, beyond = (512_050, 5_233_650, 512_250, 5_233_850), (513_400, 5_233_000, 513_500, 5_233_100)
    added = add_area(project.loaded, "later", str(write_area(tmp_path / "later.gpkg", corner, beyond)), None)
    assert (added["cells"], added["regions"], added["new_regions"]) == (2, [MIDDLE, EAST], [EAST])
    assert stale(project, "cells") == {(MIDDLE, None): "areas, grid or code changed"}
    assert {k for k, s in states(project).items() if s.state == "missing"} == {(EAST, m) for m in MONTHS}

    summary = project.run()
    assert summary.complete
    after = project.receipts()
    assert changed(project, before) == {(r, m) for r in (MIDDLE, EAST) for m in MONTHS}
    (block,) = [b for b in after[MIDDLE, "2024-03"].blocks if len(b.chunks) == 3]
    (old,) = [b for b in before[MIDDLE, "2024-03"].blocks if (b.row, b.col) == (block.row, block.col)]
    assert [c for c in block.chunks if c not in old.chunks] == [[0, 0]]
    figures = after[MIDDLE, "2024-03"].figures
    assert (figures["blocks_made"], figures["blocks_kept"]) == (1, len(after[MIDDLE, "2024-03"].blocks) - 1)
    assert figures["bytes_read"] < before[MIDDLE, "2024-03"].figures["bytes_read"]
    wider = project.cube()
    np.testing.assert_array_equal(
        wider.red.sel(x=cube.x, y=cube.y).where(cube.n_clear > 0), cube.red.where(cube.n_clear > 0)
    )
    assert (wider.n_clear > 0).sum() > (cube.n_clear > 0).sum()


def test_new_cells_are_the_reason_that_status_gives(project: Tiny, tmp_path: Path) -> None:
    corner = (512_050, 5_233_650, 512_250, 5_233_850)
    add_area(project.loaded, "later", str(write_area(tmp_path / "later.gpkg", corner)), None)
    project.run(products=["cells"])
    assert stale(project) == {(MIDDLE, m): "new cells" for m in MONTHS}


def test_an_added_scene_makes_the_partitions_that_it_touches_stale(made: Tiny, world: Path, tmp_path: Path) -> None:
    eastern = next(s.id for s in made.receipts()[MIDDLE, "2024-04"].scenes if "33TWN" in s.id)
    leave_out(world, eastern)
    tiny = Tiny.create(tmp_path / "project", world)
    assert tiny.run().complete
    before = tiny.receipts()
    put_back(world, eastern)
    tiny.run(products=["scenes"])
    assert stale(tiny) == {(MIDDLE, "2024-04"): "1 new scene"}
    assert dagster_stale(tiny, "composite") == {key(MIDDLE, "2024-04")}
    summary = tiny.run()
    assert summary.partitions == {"total": 6, "ok": 1, "partial": 0, "failed": 0, "skipped": 5}
    assert changed(tiny, before) == {(MIDDLE, "2024-04")}
    assert dagster_stale(tiny, "composite") == set()
    assert tiny.cube().drop_attrs().equals(made.cube().drop_attrs())


def test_a_withdrawn_scene_is_said(made: Tiny, world: Path, tmp_path: Path) -> None:
    western = next(s.id for s in made.receipts()[WEST, "2024-04"].scenes)
    tiny = Tiny.create(tmp_path / "project", world)
    tiny.run()
    leave_out(world, western)
    tiny.run(products=["scenes"])
    assert stale(tiny) == {(r, "2024-04"): "1 withdrawn scene" for r in (WEST, MIDDLE)}


def test_dagster_calls_everything_fresh_after_a_run(made: Tiny) -> None:
    assert dagster_stale(made, SCENES) == dagster_stale(made, "composite") == set()


def test_another_recipe_is_the_reason(project: Tiny) -> None:
    project.change(mask={"preset": "strict"})
    reasons = set(stale(project).values())
    assert reasons == {
        "recipe changed: mask.close_px 0 -> 5, mask.keep [2, 4, 5, 6, 7, 11] -> [4, 5], mask.open_px 0 -> 5"
    }
    before, cube = project.receipts(), project.cube()
    assert project.run().complete
    assert {r.recipe_hash for r in project.receipts().values()}.isdisjoint(r.recipe_hash for r in before.values())
    assert not project.cube().red.equals(cube.red)
    assert stale(project) == {}


def test_another_limit_of_cloud_cover_searches_again(project: Tiny) -> None:
    project.change(mask={"max_cloud_cover": 40})
    assert set(stale(project, SCENES).values()) == {"catalog, collections, exclude or max_cloud_cover changed"}
    before = project.receipts()
    project.run()
    assert changed(project, before) == {(r, m) for r in (WEST, MIDDLE) for m in MONTHS[:2]}  # May had no scene to lose
    reasons = {d.reason for d in project.receipts(SCENES)[WEST, "2024-03"].dropped}
    assert any("max_cloud_cover" in r for r in reasons)


def test_new_code_is_the_reason(project: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composite, "CODE_VERSION", "next")
    old = project.receipts()[WEST, "2024-03"].code_version
    assert set(stale(project).values()) == {f"code {old} -> next"}


def test_data_version_depends_on_scenes_recipe_code_and_cells_only(project: Tiny, made: Tiny) -> None:
    project.change(storage="./elsewhere", name="other", compute={"workers": 1})
    project.run()
    assert {k: r.data_version for k, r in project.receipts().items()} == {
        k: r.data_version for k, r in made.receipts().items()
    }


def test_the_time_axis_grows_at_its_end(project: Tiny) -> None:
    before, cube = project.receipts(), project.cube()
    project.change(months={"end": "2024-07"})
    summary = project.run()
    assert summary.partitions == {"total": 10, "ok": 4, "partial": 0, "failed": 0, "skipped": 6}
    assert changed(project, before) == {(r, m) for r in (WEST, MIDDLE) for m in ("2024-06", "2024-07")}
    longer = project.cube()
    assert longer.sizes["time"] == 5
    assert longer.isel(time=slice(0, 3)).identical(cube)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"months": {"start": "2024-02"}}, "start 2024-03 -> 2024-02"),
        ({"months": {"step": 2}}, "step 1 -> 2"),
        ({"cube": {"block_px": 128}}, "block_px 64 -> 128"),
        ({"cube": {"layout": "stacked"}}, "layout bands -> stacked"),
        ({"cube": {"bands": ["red"]}}, "bands"),
        ({"cube": {"resolution": 20}}, "resolution 10 -> 20"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_another_layout_is_refused_before_any_work(project: Tiny, change: dict[str, Any], said: str) -> None:
    project.change(**change)
    with project.instance() as instance:
        runs = instance.get_runs_count()
    commits = project.commits()
    with pytest.raises(ConfigError) as caught:
        project.run()
    assert said in str(caught.value)
    assert "--initialize" in str(caught.value)
    with project.instance() as instance:
        assert instance.get_runs_count() == runs
    assert project.commits() == commits


def test_another_layout_is_refused_in_dagster_too(project: Tiny) -> None:
    project.change(months={"start": "2024-02"})
    commits = project.commits()
    outcome = project.runner().run(["composite"], key(WEST, "2024-03"), key(WEST, "2024-03"))
    assert not outcome.success
    assert "start 2024-03 -> 2024-02" in outcome.causes["composite", key(WEST, "2024-03")]
    assert project.commits() == commits


def test_initialize_makes_the_cube_anew(project: Tiny) -> None:
    project.change(months={"start": "2024-02"})
    summary = project.run(initialize=True)
    assert summary.partitions["ok"] == 8
    assert project.cube().sizes["time"] == 4
