"""What a search lists: every scene that the catalog names, also those that cannot be used."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geo_assets.eo.scenes import read_scenes, write_scenes
from geo_assets.errors import ConfigError
from geo_assets.model import path
from geo_assets.model.collection import SensorRecipe
from geo_assets.model.geometry import PixelGrid, Region
from geo_assets.model.period import Month, Period
from geo_assets.model.project import Project
from geo_assets.model.recipe import CatalogRecipe, MaskRecipe
from geo_assets.model.scene import SceneQuery
from geo_assets.project import load_project
from geo_assets.registry import load
from geo_assets.tasks import search as task

BOX = [15.0, 0.5, 15.2, 0.7]
PERIODS = [Period(Month(2024, 6)), Period(Month(2024, 7))]


def item(name: str, **changes: Any) -> dict[str, Any]:
    west, south, east, north = BOX
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    plain: dict[str, Any] = {
        "type": "Feature", "id": name, "collection": "sentinel-2-l2a", "bbox": BOX, "links": [],
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"datetime": "2024-06-10T09:00:00Z"},
        "assets": {"red": {"href": f"https://example.org/{name}.tif"}},
    }  # fmt: skip
    return {**plain, **changes}


class Shelf:
    """A catalog that answers with the same items, whatever is asked."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self.items = items

    def search(self, recipe: CatalogRecipe, query: SceneQuery) -> list[dict[str, Any]]:
        return self.items


def tables(monkeypatch: pytest.MonkeyPatch, items: list[dict[str, Any]]) -> dict[str, Any]:
    monkeypatch.setattr(task, "load", lambda kind, name: Shelf(items) if kind == "catalogs" else load(kind, name))
    grid = PixelGrid.build("EPSG:4326", Fraction(1, 3600))
    rows, cols = grid.locate(np.array([15.1]), np.array([0.6]), size=grid.region_size)
    region = Region(grid.group, int(rows[0]), int(cols[0]))
    return task.search(
        region, grid, PERIODS, catalog=CatalogRecipe(kind="earth-search"),
        sensor=SensorRecipe(sensor="sentinel-2-l2a"), mask=MaskRecipe(),
    )  # fmt: skip


def left_out(table: Any) -> dict[str, str]:
    return {d.id: d.reason for d in task.dropped(table)}


def test_a_scene_without_a_time_is_listed_in_every_period(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tables(monkeypatch, [item("good"), item("no-time", properties={"datetime": "yesterday"})])
    assert left_out(found["2024-06"]) == {"no-time": "the item has no valid datetime"}
    assert left_out(found["2024-07"]) == {"no-time": "the item has no valid datetime"}
    assert list(found["2024-06"]["id"]) == ["good", "no-time"]


def test_a_scene_without_a_footprint_is_listed_on_its_day_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tables(monkeypatch, [item("good"), item("nowhere", geometry=None, bbox=None)])
    assert list(left_out(found["2024-06"])) == ["nowhere"]
    assert left_out(found["2024-07"]) == {}


@pytest.mark.parametrize("time", ["9999-12-31T23:59:00Z", "0001-01-01T00:00:00Z"])
def test_a_time_at_the_end_of_the_calendar_is_no_traceback(monkeypatch: pytest.MonkeyPatch, time: str) -> None:
    ring = [[x, y] for x, y in ((-16, 0), (16, 0), (16, 1), (-16, 1), (-16, 0))]
    east = item("odd", properties={"datetime": time}, geometry={"type": "Polygon", "coordinates": [ring]})
    shifted = item("odd2", properties={"datetime": time})
    found = tables(monkeypatch, [east, shifted, item("good")])
    assert "good" in list(found["2024-06"]["id"])


def test_the_data_version_tells_what_was_left_out_whatever_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [item("good"), item("no-time", properties={}), item("nowhere", geometry=None, bbox=None)]
    sensor = load("sensors", "sentinel-2-l2a")
    versions = [
        task.scenes_version(tables(monkeypatch, some)["2024-06"], sensor) for some in (items, items[::-1], items[:1])
    ]
    assert versions[0] == versions[1] != versions[2]


def test_a_footprint_that_a_catalog_corrects_gets_into_the_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It decides which blocks a scene may reach."""
    (tmp_path / "geo_assets.yaml").write_text("months: {start: 2024-06, end: 2024-06}")
    loaded = load_project(tmp_path)
    rings = [[[x, y] for x, y in ((15, 0), (e, 0), (e, 1), (15, 1), (15, 0))] for e in (15.5, 16)]
    changes = []
    for ring in (rings[0], rings[0], rings[1]):
        table = tables(monkeypatch, [item("good", geometry={"type": "Polygon", "coordinates": [ring]})])["2024-06"]
        _, changed = task.store_scenes(
            loaded.storage, loaded.project, loaded.sensor, "epsg4326_r1_c1", "2024-06", table, run_id="r"
        )
        changes.append(changed)
    stored = read_scenes(loaded.storage.read(path.scenes(loaded.sensor.name, "epsg4326_r1_c1", "2024-06")))
    assert changes == [True, False, True]
    assert stored.geometry[0].bounds[2] == 16


def test_tables_with_unusable_scenes_can_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    table = tables(monkeypatch, [item("no-time", properties={}), item("nowhere", geometry=None, bbox=None)])["2024-06"]
    again = read_scenes(write_scenes(table))
    assert left_out(again) == left_out(table)
    assert len(again) == 2


def test_settings_when_the_greatest_cloud_cover_changes_then_it_counts_for_cloudy_sensors_alone() -> None:
    described = {"name": "relief", "collections": ["r"], "bands": {"z": {"asset": "z"}}, "cloud_cover": None}
    sensors = ["sentinel-2-l2a", "sentinel-1-rtc", "dem", described]
    facts = {"aois": {"a": {"bbox": BOX}}, "months": {"start": "2024-06"}, "catalog": {"kind": "earth-search"}}
    base, strict = (
        Project.model_validate({**facts, "sensors": sensors, "mask": mask}) for mask in ({}, {"max_cloud_cover": 50})
    )
    changed = {s.sensor: task.search_hash(strict, s.sensor) != task.search_hash(base, s.sensor) for s in base.sensors}
    assert changed == {"sentinel-2-l2a": True, "sentinel-1-rtc": False, "dem": False, "relief": False}
    assert {task.search_hash(base, s.sensor) for s in base.sensors[:3]} == {"b113349acdd558ec"}  # as receipts hold it


def test_scenes_when_none_has_a_band_then_it_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tables(monkeypatch, [item("a"), item("b")])["2024-06"]
    sensor = load("sensors", "sentinel-2-l2a")
    with pytest.raises(
        ConfigError,
        match=r"none of 2 scenes, such as a, has an asset for swir16 \(.*\), scl \(scl or SCL or SCL_20m\): leave it out",
    ):
        task.used_scenes(found, sensor, ["red", "swir16"], MaskRecipe())


def test_scenes_when_only_some_have_a_band_then_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    more = {name: {"href": f"https://example.org/{name}.tif"} for name in ("red", "swir16")}
    found = tables(monkeypatch, [item("a"), item("b", assets=more)])["2024-06"]
    scenes = task.used_scenes(found, load("sensors", "sentinel-2-l2a"), ["red", "swir16"], MaskRecipe(kind="none"))
    assert [s.item_id for s in scenes] == ["a", "b"]
    assert task.lacking(scenes, ["red", "swir16"]) == {"swir16": ["a"]}


def test_scenes_when_there_are_none_then_no_band_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = tables(monkeypatch, [])["2024-06"]
    assert task.used_scenes(found, load("sensors", "sentinel-2-l2a"), ["red"], MaskRecipe()) == ()
