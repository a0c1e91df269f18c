"""Every catalog plugin that the registry finds does what a catalog has to."""

import pytest

from geo_assets import registry
from geo_assets.testing.conformance_catalog import CatalogConformance, offered, query, sample_items


@pytest.fixture(params=sorted(registry.available("catalogs")))
def kind(request):
    return request.param


@pytest.fixture
def plugin(kind):
    return registry.load("catalogs", kind)


@pytest.fixture
def recipe(kind, tmp_path):
    with offered(kind, tmp_path, sample_items()) as found:
        yield found


class TestCatalogs(CatalogConformance):
    pass


def test_search_when_one_id_has_several_items_then_all_come_once(kind, plugin, tmp_path):
    older, newer, other = sample_items()[:3]
    older, newer = (
        {**i, "id": "one", "properties": {**i["properties"], "updated": f"2024-03-0{n}T00:00:00Z"}}
        for n, i in ((1, older), (2, newer))
    )
    with offered(kind, tmp_path, [older, newer, older, other]) as recipe:
        found = plugin.search(recipe, query(end="2024-02-03"))
    assert [(i["id"], i["properties"].get("updated", "")[:10]) for i in found] == [
        ("one", "2024-03-02"), ("one", "2024-03-01"), (other["id"], ""),
    ]  # fmt: skip
