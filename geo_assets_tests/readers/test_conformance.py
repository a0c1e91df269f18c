"""Every reader plugin that the registry finds does what a reader has to."""

import pytest

from geo_assets import registry
from geo_assets.testing.conformance_reader import ReaderConformance, make_place

__all__ = ["make_place"]


@pytest.fixture(params=sorted(registry.available("readers")))
def plugin(request):
    return registry.load("readers", request.param)


class TestReaders(ReaderConformance):
    pass
