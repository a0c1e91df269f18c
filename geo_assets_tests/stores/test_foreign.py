"""What geo_assets did not make is neither read as a cube nor written into."""

import icechunk
import pytest
import zarr

from geo_assets import registry
from geo_assets.errors import StoreError
from geo_assets.testing.conformance_store import ATTRS, GROUP, VARIABLES, grid, made, periods


def zarr_group(place):
    zarr.create_group(place, zarr_format=3, attributes={"title": "someone else's"})


def zarr_group_without_attributes(place):
    zarr.create_group(place, zarr_format=3).create_group("theirs")


def zarr_array(place):
    zarr.create_array(place, shape=(2,), dtype="i4", zarr_format=3)


def zarr_2_group(place):
    zarr.create_group(place, zarr_format=2)


def zarr_2_array(place):
    zarr.create_array(place, shape=(2,), dtype="i4", zarr_format=2)


def repository(place):
    repo = icechunk.Repository.create(icechunk.local_filesystem_storage(place))
    session = repo.writable_session("main")
    zarr.create_group(session.store, attributes={"title": "someone else's"})
    session.commit("theirs")


PLAIN = [zarr_group, zarr_group_without_attributes, zarr_array, zarr_2_group, zarr_2_array]


@pytest.mark.parametrize(("kind", "make"), [*(("zarr", make) for make in PLAIN), ("icechunk", repository)])
def test_cube_when_something_foreign_lies_there_then_it_is_refused_and_left_alone(tmp_path, kind, make):
    place = str(tmp_path / "cube")
    make(place)
    before = {p: p.read_bytes() for p in (tmp_path / "cube").rglob("*") if p.is_file()}
    cube = registry.load("stores", kind).open(place)
    with pytest.raises(StoreError, match="that geo_assets did not make: choose another storage, or move it away"):
        cube.describe()
    with pytest.raises(StoreError, match="that geo_assets did not make"):
        cube.prepare(ATTRS, GROUP, grid(), periods(), VARIABLES)
    assert {p: p.read_bytes() for p in (tmp_path / "cube").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"zarr_format": 9}', '{"zarr_format": 3, "node_type": "group", "attributes": 7}']
)
def test_cube_when_its_root_is_damaged_then_it_says_so(tmp_path, text):
    (tmp_path / "cube").mkdir()
    (tmp_path / "cube" / "zarr.json").write_text(text)
    with pytest.raises(StoreError, match=r"zarr\.json is damaged"):
        registry.load("stores", "zarr").open(str(tmp_path / "cube")).describe()


def test_cube_when_whoever_made_it_was_stopped_at_once_then_it_is_made(tmp_path):
    place = str(tmp_path / "cube")
    zarr.create_group(place, zarr_format=3)
    plugin = registry.load("stores", "zarr")
    assert plugin.open(place).describe() is None
    assert made(plugin, place).describe() == ATTRS


@pytest.mark.parametrize(("kind", "other"), [("zarr", "icechunk"), ("icechunk", "zarr")])
def test_cube_when_asked_of_the_other_store_then_there_is_none(tmp_path, kind, other):
    place = str(tmp_path / "cube")
    made(registry.load("stores", kind), place)
    assert registry.load("stores", other).open(place).describe() is None
