"""Every reader plugin that the registry finds does what a reader has to."""

import pytest

from geo_assets import registry
from geo_assets.testing.conformance_reader import ReaderConformance, make_place

__all__ = ["make_place"]


OWN = "native"


@pytest.fixture(params=sorted(set(registry.available("readers")) - {OWN}))
def plugin(request):
    return registry.load("readers", request.param)


class TestReaders(ReaderConformance):
    pass


class TestOwnReader(ReaderConformance):
    """Ours: the same to the last bit, whatever the window."""

    most_apart = 0.0

    @pytest.fixture
    def plugin(self):
        return registry.load("readers", OWN)
