"""What every catalog plugin has to do: a test class that any package can run on its own plugin, offline."""
# ruff: noqa: D102 - the name of a test says what it checks

import contextlib
import datetime as dt
import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import shapely
import shapely.geometry

from geo_assets.model.href import Access
from geo_assets.model.plugin import Catalog
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.model.scene import SceneQuery
from geo_assets.testing.stac_server import serve

COLLECTION = "sentinel-2-l2a"
WORLD = shapely.box(-180, -90, 180, 90)


def make_item(name: str, time: str, area: shapely.Geometry, **properties: Any) -> dict[str, Any]:
    """A small STAC item of ``COLLECTION`` with the assets ``red`` and ``scl``."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": name,
        "collection": COLLECTION,
        "geometry": json.loads(json.dumps(shapely.geometry.mapping(area))),
        "bbox": list(area.bounds),
        "properties": {"datetime": time, **properties},
        "links": [],
        "assets": {
            band: {"href": f"https://example.org/{name}/{band}.tif", "type": "image/tiff"} for band in ("red", "scl")
        },
    }


def sample_items() -> list[dict[str, Any]]:
    """Items at both ends of two days, in two places, one of them across the antimeridian."""
    styria, fiji = (
        shapely.box(15, 47, 16, 48),
        shapely.MultiPolygon([shapely.box(179.5, -17, 180, -16), shapely.box(-180, -17, -179.5, -16)]),
    )
    return [
        make_item("styria-0", "2024-02-01T00:00:00Z", styria, **{"eo:cloud_cover": 10}),
        make_item(
            "styria-1",
            "2024-02-02T23:59:59.500000Z",
            styria,
            **{"eo:cloud_cover": 12.5, "s2:processing_baseline": "05.10"},
        ),
        make_item("styria-2", "2024-02-03T00:00:01Z", styria),
        make_item("fiji-0", "2024-02-01T22:20:00Z", fiji, **{"proj:epsg": 32701}),
    ]


def query(
    area: shapely.Geometry = WORLD,
    start: str = "2024-02-01",
    end: str = "2024-02-02",
    collections: Sequence[str] = (COLLECTION,),
) -> SceneQuery:
    """A query for some days."""
    return SceneQuery(tuple(collections), area, dt.date.fromisoformat(start), dt.date.fromisoformat(end))


def write_static(folder: Path, items: Sequence[dict[str, Any]]) -> str:
    """A static catalog of one collection with relative links; the path of its catalog.json."""
    links = []
    for item in items:
        place = next(p for p in (item["id"], *(f"{item['id']}-{n}" for n in range(1, 99))) if not (folder / p).exists())
        (folder / place).mkdir(parents=True)
        (folder / place / "item.json").write_text(json.dumps(item))
        links.append({"rel": "item", "href": f"./{place}/item.json"})
    about = {"stac_version": "1.0.0", "description": "test"}
    collection = {"type": "Collection", "id": COLLECTION, "license": "other", "extent": {}, "links": links, **about}
    (folder / "collection.json").write_text(json.dumps(collection))
    catalog = {"type": "Catalog", "id": "test", "links": [{"rel": "child", "href": "./collection.json"}], **about}
    (folder / "catalog.json").write_text(json.dumps(catalog))
    return str(folder / "catalog.json")


def write_table(path: Path, items: Sequence[dict[str, Any]]) -> str:
    """A stac-geoparquet file as the library of that name writes it."""
    import stac_geoparquet.arrow as sga  # imported late: it is slow to load

    sga.parse_stac_items_to_parquet(items, output_path=path)
    return str(path)


@contextlib.contextmanager
def offered(kind: str, folder: Path, items: Sequence[dict[str, Any]]) -> Iterator[CatalogRecipe]:
    """The recipe under which a catalog plugin finds the items: in files, or at an API on loopback."""
    if kind == "static":
        yield CatalogRecipe(kind=kind, path=write_static(folder, items))
    elif kind == "geoparquet":
        yield CatalogRecipe(kind=kind, path=write_table(folder / "items.parquet", items))
    else:
        with serve(items) as server:
            yield CatalogRecipe(kind=kind, url=server.url, page_size=2, retries=0, backoff_s=0)


class CatalogConformance:
    """Subclass it and give the fixtures ``plugin`` and ``recipe``, under which the plugin finds ``sample_items()``."""

    def _ids(self, plugin: Catalog, recipe: CatalogRecipe, asked: SceneQuery) -> list[str]:
        return [item["id"] for item in plugin.search(recipe, asked)]

    def test_search_when_days_given_then_both_ends_are_included(self, plugin: Catalog, recipe: CatalogRecipe) -> None:
        assert self._ids(plugin, recipe, query()) == ["fiji-0", "styria-0", "styria-1"]

    def test_search_when_area_given_then_only_items_there(self, plugin: Catalog, recipe: CatalogRecipe) -> None:
        assert self._ids(plugin, recipe, query(shapely.box(15.5, 47.5, 20, 50))) == ["styria-0", "styria-1"]

    def test_search_when_area_is_split_at_the_antimeridian_then_found_once(
        self, plugin: Catalog, recipe: CatalogRecipe
    ) -> None:
        area = shapely.MultiPolygon([shapely.box(179.8, -18, 180, -15), shapely.box(-180, -18, -179.8, -15)])
        assert self._ids(plugin, recipe, query(area)) == ["fiji-0"]

    def test_search_when_nothing_is_there_then_empty(self, plugin: Catalog, recipe: CatalogRecipe) -> None:
        assert self._ids(plugin, recipe, query(start="2019-01-01", end="2019-01-31")) == []

    def test_search_when_done_twice_then_equal(self, plugin: Catalog, recipe: CatalogRecipe) -> None:
        assert plugin.search(recipe, query()) == plugin.search(recipe, query())

    def test_search_when_items_come_then_they_are_plain_json(self, plugin: Catalog, recipe: CatalogRecipe) -> None:
        for item in plugin.search(recipe, query()):
            json.dumps(item)
            assert item["collection"] == COLLECTION
            assert set(item["assets"]) == {"red", "scl"}
            assert item["assets"]["red"]["href"] == f"https://example.org/{item['id']}/red.tif"
            assert item["properties"]["datetime"].startswith("2024-02-0")

    def test_access_when_asked_then_small_and_picklable(self, plugin: Catalog, recipe: CatalogRecipe) -> None:
        access = plugin.access(recipe)
        assert isinstance(access, Access)
        assert pickle.loads(pickle.dumps(access)) == access  # noqa: S301 - our own bytes

    def test_access_when_hosts_given_then_they_count(self, plugin: Catalog, recipe: CatalogRecipe) -> None:
        access = plugin.access(recipe.model_copy(update={"hosts": ["example.org"]}))
        assert access.check("https://example.org/a.tif") == "https://example.org/a.tif"

    def test_sign_when_the_address_is_not_its_own_then_unchanged(self, plugin: Catalog, recipe: CatalogRecipe) -> None:
        for href in ("https://example.org/a.tif?version=2", "/data/a.tif", "s3://bucket/a.tif"):
            assert plugin.sign(href) == href
