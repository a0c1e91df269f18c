"""Every catalog plugin that the registry finds does what a catalog has to."""

import pytest

from geo_assets import registry
from geo_assets.testing.conformance_catalog import CatalogConformance, offered, sample_items


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
