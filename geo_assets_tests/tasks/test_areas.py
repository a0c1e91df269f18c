"""Areas that were registered: read from the storage as they are, whatever happened to their files."""

import json

import pytest
import shapely

from geo_assets.eo.aoi import Aoi
from geo_assets.errors import ConfigError
from geo_assets.model import path
from geo_assets.project import LoadedProject, load_project
from geo_assets.tasks.areas import areas, register, registered
from geo_assets_tests.eo.test_items import spiral


@pytest.fixture
def loaded(tmp_path) -> LoadedProject:
    (tmp_path / "geo_assets.yaml").write_text("months: {start: 2024-06, end: 2024-06}")
    found = load_project(tmp_path)
    register(found, Aoi("a", shapely.MultiPolygon([shapely.box(15, 47, 15.1, 47.1)]), ("a note",)))
    return found


def test_area_when_it_is_registered_then_it_comes_back(loaded):
    (area,) = areas(loaded)
    assert (area.name, area.geometry.bounds, area.notes) == ("a", (15, 47, 15.1, 47.1), ("a note",))


def document(geometry):
    return json.dumps({"features": [{"geometry": geometry, "properties": {}}]})


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "Expecting property name"),
        ("[" * 100_000, "recursion"),
        ("{}", "'features'"),
        (document(None), "null"),
        (document({"type": "Point", "coordinates": [15, 47]}), "polygon"),
        (document(spiral(5000)), "crosses itself"),
    ],
    ids=["cut off", "nested", "empty", "no geometry", "a point", "tangled"],
)
def test_area_when_its_file_is_damaged_then_the_line_says_which_and_what(loaded, content, said):
    loaded.storage.write(path.aoi("a"), content.encode())
    with pytest.raises(ConfigError) as caught:
        areas(loaded)
    assert str(caught.value).startswith(loaded.storage.uri(path.aoi("a")))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert registered(loaded) == ["a"]
