"""Duplicates and editions in collections that the project file describes."""

from typing import Any

import pytest
import shapely

from geo_assets.eo.scenes import decide, write_scenes
from geo_assets.model.collection import SensorRecipe
from geo_assets.registry import sensor_of
from geo_assets.testing.conformance_catalog import make_item

STYRIA, TIME = shapely.box(15, 47, 16, 48), "2024-02-01T10:00:00Z"


def described(**facts: Any) -> Any:
    recipe = {"name": "mine", "collections": ["sentinel-2-l2a"], "bands": {"red": {"asset": "red"}}, **facts}
    return sensor_of(SensorRecipe.model_validate(recipe))


def reasons(items: list[dict[str, Any]], **facts: Any) -> dict[str, str | None]:
    table = decide(items, described(**facts))
    write_scenes(table)
    return dict(zip(table["id"], table["reason"], strict=True))


def test_described_when_a_scene_comes_twice_then_the_one_changed_last_is_kept_and_the_other_names_it():
    old = make_item("scene_T1", TIME, STYRIA, created="2024-02-02T00:00:00Z")
    new = make_item("scene_RT", "2024-02-01T10:00:00.250000Z", STYRIA, updated="2024-02-20T00:00:00Z")
    for items in ([old, new], [new, old]):
        found = reasons(items)
        assert found == {
            "scene_T1": "same acquisition as scene_RT: processed later, or later by its id", "scene_RT": None
        }  # fmt: skip
    table = decide([old, new], described())
    assert dict(zip(table["id"], table["duplicate_of"], strict=True))["scene_T1"] == "scene_RT"


def test_described_when_nothing_says_which_is_newer_then_the_greater_id():
    items = [make_item(f"scene_{n}", TIME, STYRIA) for n in (0, 1)]
    assert [k for k, why in reasons(items).items() if why is None] == ["scene_1"]


def test_described_when_the_ring_begins_at_another_corner_then_it_is_the_same_footprint():
    a, b = make_item("a", TIME, STYRIA), make_item("b", TIME, STYRIA)
    ring = b["geometry"]["coordinates"][0][:-1]
    b["geometry"]["coordinates"] = [[*ring[2:], *ring[:2], ring[2]]]
    assert [k for k, why in reasons([a, b]).items() if why is None] == ["b"]


@pytest.mark.parametrize("other", ["second", "ground", "grid", "assets", "platform", "collection", "no geometry"])
def test_described_when_anything_differs_then_both_are_kept(other):
    a, b = make_item("a", TIME, STYRIA), make_item("b", TIME, STYRIA)
    if other == "second":
        b["properties"]["datetime"] = "2024-02-01T10:00:01Z"
    elif other == "ground":
        b = make_item("b", TIME, shapely.box(15, 47, 16, 48.001))
    elif other == "grid":
        b["assets"]["red"]["proj:transform"] = [30, 0, 0, 0, -30, 0]
    elif other == "assets":
        b["assets"] = {"green": b["assets"]["red"], "red": b["assets"]["red"]}
        a["assets"] = {"green": a["assets"]["red"]}
    elif other == "platform":
        b["properties"]["platform"] = "another"
    elif other == "collection":
        b["collection"] = "another"
    else:
        a["geometry"] = b["geometry"] = None
    bands = {"red": {"asset": "red"}, "green": {"asset": "green"}} if other == "assets" else {"red": {"asset": "red"}}
    assert list(reasons([a, b], bands=bands).values()) == [None, None]


def test_described_when_a_static_map_has_editions_then_the_newest_is_used_and_the_others_say_so():
    items = [
        make_item(f"map_{y}", f"{y}-01-01T00:00:00Z", STYRIA, updated="2023-01-01T00:00:00Z") for y in (2021, 2020)
    ]
    found = reasons(items, static=True)
    assert found == {"map_2020": "same ground as map_2021: the edition of 2021-01-01 replaces that of 2020-01-01", "map_2021": None}  # fmt: skip
    assert list(reasons(items).values()) == [None, None]  # of what has dates they are two scenes
    again = make_item("map_2021_v2", "2021-01-01T00:00:00Z", STYRIA, updated="2023-06-01T00:00:00Z")
    assert [k for k, why in reasons([*items, again], static=True).items() if why is None] == ["map_2021_v2"]
    beside = make_item("east", "2020-01-01T00:00:00Z", shapely.box(16, 47, 17, 48))
    assert reasons([*items, beside], static=True)["east"] is None
