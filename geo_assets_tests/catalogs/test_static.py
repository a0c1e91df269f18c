"""A static catalog: links are followed once, stay in the folder, and addresses come out absolute."""

import json
import os
import time

import fsspec
import pytest
import shapely

from geo_assets.catalogs.static import PLUGIN
from geo_assets.errors import CatalogError, ConfigError, SourceError
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.testing.conformance_catalog import COLLECTION, make_item, query, sample_items, write_static
from geo_assets.testing.file_server import Fault, serve_files
from geo_assets_tests.realdata import real_data

STYRIA = shapely.box(15, 47, 16, 48)


def recipe(path):
    return CatalogRecipe(kind="static", path=str(path))


def ids(found):
    return [item["id"] for item in found]


def write(path, **document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def catalog(path, *hrefs, rel="child"):
    return write(
        path,
        type="Catalog",
        id="c",
        stac_version="1.0.0",
        description="",
        links=[{"rel": rel, "href": h} for h in hrefs],
    )


def test_search_when_assets_are_relative_then_absolute_beside_their_item(tmp_path):
    item = make_item("a", "2024-02-01T10:00:00Z", STYRIA)
    item["assets"] = {
        "red": {"href": "./red.tif"},
        "scl": {"href": "../scl.tif"},
        "far": {"href": "s3://bucket/far.tif"},
    }
    path = write_static(tmp_path, [item])
    assets = PLUGIN.search(recipe(path), query())[0]["assets"]
    assert {k: v["href"] for k, v in assets.items()} == {
        "red": f"{tmp_path}/a/red.tif",
        "scl": f"{tmp_path}/scl.tif",
        "far": "s3://bucket/far.tif",
    }
    access = PLUGIN.access(recipe(path))
    assert access.check(assets["red"]["href"]) == f"{tmp_path.resolve()}/a/red.tif"


@pytest.mark.parametrize("href", ["../../secret.tif", "/etc/passwd", "file:///etc/passwd"])
def test_access_when_an_asset_leaves_the_folder_then_refused(tmp_path, href):
    item = make_item("a", "2024-02-01T10:00:00Z", STYRIA)
    item["assets"] = {"red": {"href": href}}
    path = write_static(tmp_path / "catalog", [item])
    found = PLUGIN.search(recipe(path), query())[0]["assets"]["red"]["href"]
    with pytest.raises(SourceError):
        PLUGIN.access(recipe(path)).check(found)


@pytest.mark.parametrize("rel", ["child", "item"])
@pytest.mark.parametrize(
    "href", ["../outside.json", "/etc/passwd", "file:///etc/passwd", "https://example.org/catalog.json"]
)
def test_search_when_a_link_leaves_the_folder_then_refused(tmp_path, href, rel):
    write(tmp_path / "outside.json", type="Catalog", id="outside", stac_version="1.0.0", links=[])
    path = catalog(tmp_path / "inside" / "catalog.json", href, rel=rel)
    with pytest.raises(CatalogError, match="outside of the catalog's folder") as error:
        PLUGIN.search(recipe(path), query())
    assert not error.value.retryable


def test_search_when_a_symbolic_link_leaves_the_folder_then_refused(tmp_path):
    write(tmp_path / "outside.json", **make_item("a", "2024-02-01T10:00:00Z", STYRIA))
    path = catalog(tmp_path / "inside" / "catalog.json", "./a.json", rel="item")
    (tmp_path / "inside" / "a.json").symlink_to(tmp_path / "outside.json")
    with pytest.raises(CatalogError, match="outside"):
        PLUGIN.search(recipe(path), query())


def test_search_when_links_go_in_circles_then_every_file_once(tmp_path):
    catalog(tmp_path / "catalog.json", "./a/catalog.json", "./catalog.json", "a/../a/catalog.json")
    catalog(tmp_path / "a" / "catalog.json", "../catalog.json", "./b.json")
    catalog(tmp_path / "a" / "b.json", "./catalog.json", "../catalog.json")
    assert PLUGIN.search(recipe(tmp_path / "catalog.json"), query()) == []


def test_search_when_it_is_an_item_collection_then_its_items(tmp_path):
    path = write(tmp_path / "items.json", type="FeatureCollection", features=sample_items())
    lines = tmp_path / "items.ndjson"
    lines.write_text("\n".join(json.dumps(i) for i in sample_items()))
    assert (
        ids(PLUGIN.search(recipe(path), query()))
        == ids(PLUGIN.search(recipe(lines), query()))
        == ["fiji-0", "styria-0", "styria-1"]
    )


def test_search_when_the_path_is_a_folder_then_its_catalog(tmp_path):
    write_static(tmp_path, sample_items())
    assert len(PLUGIN.search(recipe(tmp_path), query())) == 3


def test_search_when_an_item_names_no_collection_then_that_of_its_parent(tmp_path):
    item = make_item("a", "2024-02-01T10:00:00Z", STYRIA)
    del item["collection"]
    found = PLUGIN.search(recipe(write_static(tmp_path, [item])), query())
    assert [i["collection"] for i in found] == [COLLECTION]


def test_search_when_an_item_has_no_date_or_footprint_then_it_is_listed(tmp_path):
    odd = make_item("odd", "2024-02-01T10:00:00Z", STYRIA)
    odd["geometry"], odd["bbox"], odd["properties"]["datetime"] = None, None, None
    assert ids(PLUGIN.search(recipe(write_static(tmp_path, [odd])), query())) == ["odd"]


def test_search_when_a_file_changed_then_read_again(tmp_path):
    path = write_static(tmp_path, [make_item("a", "2024-02-01T10:00:00Z", STYRIA)])
    assert len(PLUGIN.search(recipe(path), query())) == 1
    write(tmp_path / "a" / "item.json", **make_item("a", "2024-05-01T10:00:00.5Z", STYRIA))
    assert PLUGIN.search(recipe(path), query()) == []


def test_search_when_no_collection_fits_then_says_which_there_are(tmp_path):
    path = write_static(tmp_path, sample_items())
    with pytest.raises(ConfigError, match=f"has no collection landsat, but {COLLECTION}"):
        PLUGIN.search(recipe(path), query(collections=["landsat"]))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[1]", "not STAC"),
        ('{"type": "Topology"}', "not STAC"),
        ('{"type": "Feature"}', "without id"),
        ("[" * 100_000, "not valid JSON"),
        ("\x00", "not valid JSON"),
    ],
)
def test_search_when_a_file_is_malformed_then_typed_error(tmp_path, text, words):
    path = catalog(tmp_path / "catalog.json", "./a.json", rel="item")
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(CatalogError, match=words):
        PLUGIN.search(recipe(path), query())


def test_search_when_a_linked_file_is_missing_then_typed_error(tmp_path):
    with pytest.raises(CatalogError, match="missing"):
        PLUGIN.search(recipe(catalog(tmp_path / "catalog.json", "./a.json")), query())


@pytest.mark.parametrize("path", [None, "/nowhere/catalog.json", "nope://a/catalog.json"])
def test_search_when_there_is_no_catalog_then_config_error(path):
    with pytest.raises(ConfigError, match=r"give the path|cannot be opened"):
        PLUGIN.search(CatalogRecipe(kind="static", path=path), query())


def test_search_when_behind_fsspec_then_the_same_items(tmp_path):
    write_static(tmp_path, sample_items())
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path) + "/", "/cat/", recursive=True)
    found = PLUGIN.search(recipe("memory://cat/catalog.json"), query())
    assert ids(found) == ["fiji-0", "styria-0", "styria-1"]


def test_search_when_there_are_5000_items_then_quick(tmp_path):
    items = [make_item(f"i{n:04}", f"2024-02-{1 + n % 28:02}T10:00:00Z", STYRIA) for n in range(5000)]
    path = write_static(tmp_path, items)
    began = time.process_time()
    PLUGIN.search(recipe(path), query())
    first = time.process_time() - began
    began = time.process_time()
    assert len(PLUGIN.search(recipe(path), query())) == 358
    assert first < 5
    assert time.process_time() - began < 1.5


def test_search_when_the_catalog_is_real_then_its_scenes():
    path = real_data("stac", "catalog.json")
    found = PLUGIN.search(
        recipe(path), query(start="2023-06-01", end="2023-06-30", collections=["s2-l2a-antimeridian"])
    )
    assert len(found) == 3
    access = PLUGIN.access(recipe(path))
    for item in found:
        for asset in item["assets"].values():
            assert access.check(asset["href"])
    east = query(shapely.box(179.5, 60, 180, 70), "2023-06-01", "2023-06-30", ["s2-l2a-antimeridian"])
    assert PLUGIN.search(recipe(path), east)
    assert (
        PLUGIN.search(
            recipe(path), query(shapely.box(0, 60, 10, 70), "2023-06-01", "2023-06-30", ["s2-l2a-antimeridian"])
        )
        == []
    )


def test_search_when_a_link_leads_to_a_pipe_then_it_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    links = [{"rel": "child", "href": "./pipe.json"}]
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "id": "c", "links": links}))
    recipe = CatalogRecipe(kind="static", path=str(tmp_path / "catalog.json"))
    with pytest.raises(CatalogError, match="is no file of at most"):
        PLUGIN.search(recipe, query())


def test_search_when_a_web_server_redirects_then_it_is_not_followed(tmp_path):
    """It could lead to an address that only this machine reaches."""
    write_static(tmp_path, [make_item("a", "2024-02-01T10:00:00Z", STYRIA)])
    files = {f"cat/{p.relative_to(tmp_path)}": p.read_bytes() for p in tmp_path.rglob("*.json")}
    with serve_files(dict(files)) as elsewhere, serve_files(files) as server:
        source = recipe(server.href("cat/catalog.json"))
        assert ids(PLUGIN.search(source, query())) == ["a"]
        (item,) = (name for name in files if "/a/" in name)
        move(server, item, elsewhere.href(item))
        with pytest.raises(CatalogError, match=r"cannot be read: the server redirects \(status 302\)"):
            PLUGIN.search(source, query())
        move(server, "cat/catalog.json", elsewhere.href("cat/catalog.json"))
        with pytest.raises(ConfigError, match=r"catalog.path http.* cannot be opened: the server redirects"):
            PLUGIN.search(source, query())
        assert elsewhere.requests == []


def test_access_when_the_catalog_is_on_a_server_of_this_machine_then_so_may_its_pixels_be(tmp_path):
    write_static(tmp_path, [make_item("a", "2024-02-01T10:00:00Z", STYRIA)])
    files = {f"cat/{p.relative_to(tmp_path)}": p.read_bytes() for p in tmp_path.rglob("*.json")}
    with serve_files(files) as server:
        access = PLUGIN.access(recipe(server.href("cat/catalog.json")))
        assert access.check(server.href("cat/a/red.tif"))
        for elsewhere in ("http://10.0.0.1/a.tif", "http://169.254.169.254/latest"):
            with pytest.raises(SourceError):
                access.check(elsewhere)


def test_access_when_many_tasks_ask_then_the_server_is_asked_once(tmp_path):
    write_static(tmp_path, [make_item("a", "2024-02-01T10:00:00Z", STYRIA)])
    files = {f"cat/{p.relative_to(tmp_path)}": p.read_bytes() for p in tmp_path.rglob("*.json")}
    with serve_files(files) as server:
        first = PLUGIN.access(recipe(server.href("cat/catalog.json")))
        asked = len(server.requests)
        assert asked
        assert {PLUGIN.access(recipe(server.href("cat/catalog.json"))) for _ in range(5)} == {first}
        assert len(server.requests) == asked


def move(server, name, to):
    """Have a server redirect one of its files."""
    answer = server.fault
    server.fault = lambda path, span: Fault(302, to) if path.endswith(name) else answer(path, span)
