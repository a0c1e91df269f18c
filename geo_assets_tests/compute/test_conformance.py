"""The compute plugin of this machine does what a backend has to; others need services and are tested with them."""

import pytest

from geo_assets import registry
from geo_assets.testing.conformance_compute import ComputeConformance

HERE = sorted(set(registry.available("compute")) & {"local"})


@pytest.fixture(params=HERE)
def plugin(request):
    return registry.load("compute", request.param)


class TestCompute(ComputeConformance):
    pass
