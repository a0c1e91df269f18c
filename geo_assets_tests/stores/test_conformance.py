"""Every store plugin of cubes that the registry finds does what a store has to."""

import pytest

from geo_assets import registry
from geo_assets.testing.conformance_levels import LevelsConformance
from geo_assets.testing.conformance_store import LocalStoreConformance

CUBES = [k for k in sorted(registry.available("stores")) if hasattr(registry.load("stores", k), "writer")]


@pytest.fixture
def plugin(kind):
    return registry.load("stores", kind)


@pytest.fixture
def uri(tmp_path):
    return str(tmp_path / "data" / "cube")


class TestTransactional(LocalStoreConformance):
    @pytest.fixture(params=[k for k in CUBES if k != "zarr"])
    def kind(self, request):
        return request.param


class TestPlain(LocalStoreConformance):
    transactional = False

    @pytest.fixture
    def kind(self):
        return "zarr"


class TestLevels(LevelsConformance):
    @pytest.fixture(params=[k for k in CUBES if k != "zarr"])
    def kind(self, request):
        return request.param


class TestPlainLevels(LevelsConformance):
    transactional = False

    @pytest.fixture
    def kind(self):
        return "zarr"
