"""What a failure costs: the block, month or search that failed, and nothing beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from geo_assets.assets import strip
from geo_assets.catalogs._http import RefusedError
from geo_assets.catalogs.static import StaticCatalog
from geo_assets.errors import CatalogError
from geo_assets.model.scene import SceneQuery
from geo_assets_tests.assets.tiny import MIDDLE, MONTHS, SCENES, WEST, Tiny, key, truncate


def failed_keys(tiny: Tiny, asset: str) -> set[str]:
    """Keys that Dagster shows as failed."""
    runner = tiny.runner()
    found = runner._defs.resolve_assets_def(asset_key := dg.AssetKey(asset.split("/"))).partitions_def
    value = get_and_update_asset_status_cache_value(runner.instance, asset_key, found)
    assert value is not None
    assert found is not None
    with partition_loading_context(dynamic_partitions_store=runner.instance):
        return {str(k) for k in value.deserialize_failed_partition_subsets(found).get_partition_keys()}


def western_item(tiny: Tiny, month: str) -> str:
    return tiny.receipts()[WEST, month].scenes[0].id


@pytest.fixture
def broken(world: Path, tmp_path: Path, made: Tiny) -> Tiny:
    """A project with one image cut off: of the first month, of the western tile."""
    truncate(world, western_item(made, "2024-03"), "red")
    return Tiny.create(tmp_path / "broken", world)


def test_a_broken_image_fails_its_partitions_only(broken: Tiny, made: Tiny) -> None:
    summary = broken.run()
    bad = {key(WEST, "2024-03"), key(MIDDLE, "2024-03")}
    good = {key(r, m) for r in (WEST, MIDDLE) for m in MONTHS} - bad
    with broken.instance() as instance:
        assert instance.get_materialized_partitions(dg.AssetKey("composite")) == good
        statuses = {r.run_id: r.status.value for r in instance.get_runs()}
    assert failed_keys(broken, "composite") == bad
    assert failed_keys(broken, SCENES) == set()
    assert sorted(statuses.values()) == ["FAILURE", "FAILURE", "SUCCESS"]  # two regions; cells
    assert not summary.complete
    assert (summary.partitions["ok"], summary.partitions["failed"] + summary.partitions["partial"]) == (4, 2)
    causes = {(f["region"], f["month"]) for f in summary.failures}
    assert causes == {(WEST, "2024-03"), (MIDDLE, "2024-03")}
    assert all("red" in f["cause"] and f["block"] and f["cells"] for f in summary.failures)
    np.testing.assert_array_equal(broken.cube().red.sel(time="2024-04"), made.cube().red.sel(time="2024-04"))


@pytest.mark.heavy
def test_retry_failed_runs_the_failed_partitions_only(
    broken: Tiny, made: Tiny, shared_world: Path, world: Path
) -> None:
    broken.run()
    before = broken.receipts()
    item = western_item(made, "2024-03")
    whole = next(shared_world.glob(f"*/{item}/red.tif"))
    next(world.glob(f"*/{item}/red.tif")).write_bytes(whole.read_bytes())
    summary = broken.run(retry_failed=True)
    assert summary.complete
    assert summary.partitions["total"] == 2
    changed = {k for k, r in broken.receipts().items() if r.run_id != before[k].run_id}
    assert changed == {(WEST, "2024-03"), (MIDDLE, "2024-03")}
    assert failed_keys(broken, "composite") == set()
    assert broken.cube().drop_attrs().equals(made.cube().drop_attrs())


def _failing(when: Callable[[SceneQuery], bool], calls: list[SceneQuery]) -> Any:
    real = StaticCatalog.search

    def search(self: StaticCatalog, recipe: Any, query: SceneQuery) -> list[dict[str, Any]]:
        calls.append(query)
        if when(query):
            raise CatalogError("the catalog answers 502 for these days")
        return real(self, recipe, query)

    return search


def test_months_go_on_when_the_search_of_one_fails(
    tmp_path: Path, shared_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def april(query: SceneQuery) -> bool:
        return query.start.isoformat() < "2024-04-15" < query.end.isoformat()

    monkeypatch.setattr(StaticCatalog, "search", _failing(april, []))
    tiny = Tiny.create(tmp_path / "project", shared_world)
    summary = tiny.run(regions=[WEST])
    assert set(tiny.receipts()) == {(WEST, "2024-03"), (WEST, "2024-05")}
    assert failed_keys(tiny, SCENES) == failed_keys(tiny, "composite") == {key(WEST, "2024-04")}
    assert summary.partitions == {"total": 3, "ok": 2, "partial": 0, "failed": 1, "skipped": 0}
    assert any("502" in f["cause"] and f["month"] == "2024-04" for f in summary.failures)
    monkeypatch.undo()
    again = tiny.run(regions=[WEST])
    assert again.partitions == {"total": 3, "ok": 1, "partial": 0, "failed": 0, "skipped": 2}


def test_a_catalog_that_is_down_is_not_asked_for_every_month(
    tmp_path: Path, shared_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[SceneQuery] = []
    monkeypatch.setattr(StaticCatalog, "search", _failing(lambda _: True, calls))
    tiny = Tiny.create(tmp_path / "project", shared_world, months={"start": "2024-03", "end": "2024-08"})
    summary = tiny.run(regions=[WEST])
    assert len(calls) == 3  # all months at once, then two alone
    assert summary.partitions["failed"] == 6
    assert tiny.receipts() == {}


def test_a_search_that_is_refused_for_good_is_not_retried(
    tmp_path: Path, shared_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise RefusedError("the catalog gives no access")

    monkeypatch.setattr(StaticCatalog, "search", refuse)
    failures = []
    real = strip._failure
    monkeypatch.setattr(strip, "_failure", lambda *a: failures.append(real(*a)) or failures[-1])
    tiny = Tiny.create(tmp_path / "project", shared_world)
    runner = tiny.runner()
    runner.instance.add_dynamic_partitions("region", [WEST])
    for months in (MONTHS, MONTHS[:1]):
        outcome = runner.run([SCENES], key(WEST, months[0]), key(WEST, months[-1]))
        assert outcome.causes == {(SCENES, key(WEST, m)): "the catalog gives no access" for m in months}
    assert [f.allow_retries for f in failures] == [False, False]


def test_a_failed_search_keeps_the_scene_table_that_is_there(project: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StaticCatalog, "search", _failing(lambda _: True, []))
    before = project.receipts(SCENES)
    summary = project.run(regions=[WEST])
    assert not summary.complete
    assert project.receipts(SCENES) == before
    assert project.cube() is not None


def test_cells_that_are_missing_are_named(tmp_path: Path, shared_world: Path) -> None:
    tiny = Tiny.create(tmp_path / "project", shared_world)
    runner = tiny.runner()
    runner.instance.add_dynamic_partitions("region", [WEST])
    outcome = runner.run([SCENES, "composite"], key(WEST, "2024-03"), key(WEST, "2024-03"))
    assert not outcome.success
    cause = outcome.causes["composite", key(WEST, "2024-03")]
    assert cause == f"no cells of region {WEST} in {tiny.folder / 'data'}: materialize asset cells for it first"
