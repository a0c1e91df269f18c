"""What ``status`` and ``run`` say of partitions whose last try brought nothing, and of those that hold nothing."""

import json
from pathlib import Path

import pytest

from geo_assets.assets import composite, cube
from geo_assets.assets.context import Workspace
from geo_assets.assets.plain import PlainStore
from geo_assets.catalogs.static import StaticCatalog
from geo_assets.doors.doctor.diagnose import diagnose
from geo_assets.doors.plan import plan_project
from geo_assets.doors.run import run_project
from geo_assets.doors.run_options import RunOptions
from geo_assets.doors.status import document, status
from geo_assets.errors import CatalogError, ConfigError, ConflictError, GeoAssetsError
from geo_assets.model import path
from geo_assets.model.geometry import Region
from geo_assets.project import load_project
from geo_assets_tests.assets.conftest import made, project, shared_world, world  # noqa: F401 - fixtures
from geo_assets_tests.assets.tiny import AREA, MIDDLE, MONTHS, SCENES, WEST, Tiny, write_area


@pytest.fixture
def new(tmp_path, shared_world):  # noqa: F811 - the fixture
    return Tiny.create(tmp_path / "new", shared_world)


def states(tiny: Tiny) -> dict[tuple[str, str, str | None], tuple[str, str]]:
    loaded = load_project(tiny.file)
    workspace = Workspace.of(loaded, storage=PlainStore(loaded.project.storage))
    return {(s.product, s.region, s.month): (s.state, s.reason) for s in status(workspace, loaded.periods())}


def go(tiny: Tiny, **options):
    return run_project(load_project(tiny.file), RunOptions(**options))


def region_lon(tiny: Tiny, region: str) -> float:
    """Western edge of a region in degrees."""
    grid = Workspace.of(tiny.loaded, storage=PlainStore(tiny.loaded.project.storage)).grid(region)
    return float(grid.region_geobox(Region.parse(region)).lonlat().bounds[0])


def failing(error):
    def search(*args, **kwargs):
        raise error

    return search


def test_status_when_a_search_failed_then_its_cause_is_told_until_one_succeeds(new, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(StaticCatalog, "search", failing(CatalogError("the catalog answers 502")))
        summary = go(new, regions=[WEST])
    assert (summary.complete, summary.refused) == (False, False)
    assert states(new)[SCENES, WEST, MONTHS[0]] == ("failed", "the catalog answers 502")
    assert states(new)["composite", WEST, MONTHS[0]] == ("missing", "not made yet")
    assert states(new)[SCENES, MIDDLE, MONTHS[0]] == ("missing", "not searched yet")
    assert len(new.loaded.storage.names(path.FAILURES)) == 3
    assert go(new, regions=[WEST]).complete
    assert states(new)[SCENES, WEST, MONTHS[0]] == ("fresh", "")
    assert new.loaded.storage.names(path.FAILURES) == []


def test_status_when_a_later_search_failed_then_the_composite_of_the_older_one_stays_fresh(project, monkeypatch):  # noqa: F811
    monkeypatch.setattr(StaticCatalog, "search", failing(CatalogError("the catalog answers 502")))
    go(project, regions=[WEST])
    assert states(project)[SCENES, WEST, MONTHS[0]] == ("failed", "the catalog answers 502")
    assert states(project)["composite", WEST, MONTHS[0]] == ("fresh", "")


def test_status_when_one_month_could_not_be_searched_then_its_composite_names_that_cause(new, monkeypatch):
    real = StaticCatalog.search

    def search(self, recipe, query):
        if query.start.isoformat() < f"{MONTHS[1]}-15" < query.end.isoformat():
            raise CatalogError("the catalog answers 502")
        return real(self, recipe, query)

    monkeypatch.setattr(StaticCatalog, "search", search)
    go(new, regions=[WEST])
    state, reason = states(new)["composite", WEST, MONTHS[1]]
    assert state == "failed"
    assert reason.endswith("its search failed: the catalog answers 502")
    assert states(new)["composite", WEST, MONTHS[0]] == ("fresh", "")


def test_status_when_a_partition_failed_as_a_whole_then_its_cause_is_told(new):
    new.change(cube={"block_px": 8192, "chunk_px": 512, "memory_mb": 192})
    assert go(new).refused
    told = [reason for (p, *_), (state, reason) in states(new).items() if p == "composite" and state == "failed"]
    assert len(told) == 3
    assert all("cube.memory_mb is 192" in reason for reason in told)


def test_run_when_the_search_says_that_the_project_is_wrong_then_it_is_refused(new, monkeypatch):
    monkeypatch.setattr(StaticCatalog, "search", failing(ConfigError("the catalog has no collection x")))
    summary = go(new)
    assert summary.refused
    assert summary.partitions["failed"] == 6


def test_run_when_only_a_part_is_refused_then_what_was_made_counts(new, monkeypatch):
    real = StaticCatalog.search

    def search(self, recipe, query):
        if query.area.centroid.x > boundary:
            raise ConfigError("the catalog has no collection x")
        return real(self, recipe, query)

    boundary = region_lon(new, MIDDLE)
    monkeypatch.setattr(StaticCatalog, "search", search)
    summary = go(new)
    assert (summary.refused, summary.partitions["failed"], summary.partitions["ok"]) == (False, 3, 3)


def test_run_when_a_month_has_nothing_then_summary_and_status_say_why(new):
    summary = go(new, regions=[WEST])
    why = "no scene in this period: all is nodata"
    assert summary.empty == [{"product": "composite", "region": WEST, "month": MONTHS[2], "reason": why}]
    assert summary.document()["empty"] == summary.empty
    assert states(new)["composite", WEST, MONTHS[2]] == ("fresh", why)
    loaded = load_project(new.file)
    workspace = Workspace.of(loaded, storage=PlainStore(loaded.project.storage))
    shown = document(status(workspace, loaded.periods()))
    assert shown["empty"] == summary.empty


def test_run_when_no_pixel_is_clear_then_it_is_told(new):
    new.change(mask={"keep": [1]})  # saturated or defective: the sample world has none
    summary = go(new, regions=[WEST])
    assert summary.complete
    assert [e["reason"] for e in summary.empty][:1] == ["no pixel is clear in its 2 scenes: all is nodata"]


def test_retry_when_dagster_forgot_what_failed_then_the_notes_still_know(new, world, monkeypatch):  # noqa: F811
    monkeypatch.setattr(StaticCatalog, "search", failing(CatalogError("the catalog answers 502")))
    go(new, regions=[WEST])
    monkeypatch.undo()
    with new.instance() as instance:
        for record in instance.get_runs():
            instance.delete_run(record.run_id)
    assert go(new, retry_failed=True).partitions["total"] == 3


def test_note_when_it_is_damaged_then_it_warns_and_the_state_is_that_of_the_receipts(new):
    new.loaded.storage.write(path.failure(SCENES, WEST, MONTHS[0]), b"{")
    with pytest.warns(UserWarning, match="is no note of a failure"):
        assert states(new)[SCENES, WEST, MONTHS[0]] == ("missing", "not searched yet")


def drop_asset(folder: Path, band: str, *, items: int) -> None:
    """Take a band out of some items of a world."""
    files = sorted(f for f in folder.glob("*/*/*.json") if band in json.loads(f.read_text()).get("assets", {}))
    assert len(files) > items
    for file in files[:items] if items else files:
        document = json.loads(file.read_text())
        del document["assets"][band]
        file.write_text(json.dumps(document))


def test_band_when_no_scene_has_it_then_plan_and_run_refuse_and_doctor_tells(new, world):  # noqa: F811
    drop_asset(world, "nir", items=0)
    new.change(catalog={"path": str(world / "catalog.json")})
    workspace = Workspace.of(new.loaded, storage=PlainStore(new.loaded.project.storage))
    with pytest.raises(ConfigError, match=r"has an asset for nir \(nir or B08 or B08_10m\): leave it out"):
        plan_project(workspace, list(new.loaded.periods()), [WEST], ["composite"])
    assert [f.level for f in diagnose(new.file) if f.name == "bands" and "nir" in f.message] == ["error"]
    summary = go(new, regions=[WEST], last_month=MONTHS[1])
    assert summary.refused
    assert all("has an asset for nir" in f["cause"] for f in summary.failures)


def test_band_when_some_scenes_lack_it_then_plan_and_doctor_warn(new, world):  # noqa: F811
    drop_asset(world, "nir", items=1)
    new.change(catalog={"path": str(world / "catalog.json")})
    workspace = Workspace.of(new.loaded, storage=PlainStore(new.loaded.project.storage))
    with pytest.warns(UserWarning, match=r"1 of \d scenes, such as .*, have no asset for nir: blocks that they reach"):
        plan_project(workspace, list(new.loaded.periods()), workspace.cut.regions, ["composite"])
    assert [f.level for f in diagnose(new.file) if f.name == "bands"] == ["warning"]


def test_status_when_areas_grew_then_the_composite_is_stale_before_cells_are_made(project):  # noqa: F811
    write_area(project.folder / "area.gpkg", AREA, (510_800, 5_233_500, 511_200, 5_233_900))
    found = states(project)
    assert found["cells", WEST, None] == ("stale", "areas, grid or code changed")
    assert found["composite", WEST, MONTHS[0]] == ("stale", "new cells")


def test_item_when_the_project_excludes_it_then_it_is_listed_and_not_used(project):  # noqa: F811
    item = project.receipts()[WEST, MONTHS[0]].scenes[0].id
    project.change(sensors=[{"sensor": "sentinel-2-l2a", "exclude": [item]}])
    assert states(project)[SCENES, WEST, MONTHS[0]][0] == "stale"
    assert go(project, regions=[WEST]).complete
    receipt = project.receipts()[WEST, MONTHS[0]]
    assert item not in {s.id for s in receipt.scenes}
    assert {d.id: d.reason for d in receipt.dropped}[item] == "left out by the project: exclude names it"


FAULTY = {
    "no scene has the band": ({"cube": {"bands": ["red", "swir16"]}}, "has an asset for swir16"),
    "a block does not fit": ({"cube": {"block_px": 8192, "chunk_px": 512, "memory_mb": 192}}, "cube.memory_mb is 192"),
    "no such collection": ({"sensors": [{"sensor": "sentinel-2-l2a", "collections": ["x"]}]}, "no collection x"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_initialize_when_nothing_could_be_made_anew_then_nothing_is_deleted(project, fault):  # noqa: F811
    changes, said = FAULTY[fault]
    before = sorted((project.folder / "data").rglob("*"))
    project.change(**changes)
    with pytest.raises(GeoAssetsError, match=said):
        go(project, initialize=True)
    assert sorted((project.folder / "data").rglob("*")) == before


@pytest.mark.parametrize(
    "options", [{"initialize": True, "retry_failed": True}, {"overwrite": True, "retry_failed": True}, {"initialize": True, "products": ["cells"]}]
)  # fmt: skip
def test_run_when_options_contradict_each_other_then_it_is_refused_and_nothing_is_deleted(project, options):  # noqa: F811
    with pytest.raises(ConfigError, match="leave one out"):
        go(project, **options)
    assert set(project.receipts()) == {(r, m) for r in (WEST, MIDDLE) for m in MONTHS}


def test_run_when_nothing_was_made_then_it_names_no_output(new, monkeypatch):
    monkeypatch.setattr(StaticCatalog, "search", failing(CatalogError("the catalog answers 502")))
    assert set(go(new).outputs) == {"cells"}


def test_run_when_another_one_committed_first_then_what_that_made_is_found(new, monkeypatch):
    real = composite._partition

    def late(run, plan):
        yield from real(run, plan)  # the other run
        raise ConflictError("another run committed the same blocks and month first")

    monkeypatch.setattr(composite, "_partition", late)
    summary = go(new, regions=[WEST])
    assert summary.complete, summary.failures
    assert set(new.receipts()) == {(WEST, m) for m in MONTHS}


def test_run_when_another_one_committed_something_else_then_its_partition_fails(new, monkeypatch):
    def never(run, plan):
        raise ConflictError("another run committed the same blocks and month first")

    monkeypatch.setattr(composite, "_partition", never)
    monkeypatch.setattr(cube, "_LOOK_S", 0.0)
    summary = go(new, regions=[WEST])
    assert (summary.partitions["failed"], summary.refused) == (3, False)
    assert "another run committed" in summary.failures[0]["cause"]
