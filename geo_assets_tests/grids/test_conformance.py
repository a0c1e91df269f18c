"""Every grid plugin that the registry finds does what a grid has to."""

import pytest

from geo_assets import registry
from geo_assets.testing.conformance_grid import AREAS, GridConformance, offered


@pytest.fixture(params=sorted(registry.available("grids")))
def kind(request):
    return request.param


@pytest.fixture
def plugin(kind):
    return registry.load("grids", kind)


@pytest.fixture(params=sorted(AREAS))
def area(request):
    return AREAS[request.param]


@pytest.fixture
def recipe(kind, tmp_path):
    with offered(kind, tmp_path) as found:
        yield found


class TestGrids(GridConformance):
    pass
