"""Lithops on this machine and on AWS Lambda, as a loopback plays it."""

import pytest

from geo_assets.model.compute import ComputeRecipe
from geo_assets.registry import load
from geo_assets.testing.conformance_compute import ComputeConformance


def connected(**settings):
    return load("compute", "lithops").connect(ComputeRecipe(**{"workers": 2, "backend": "lithops", **settings}))


class TestLithopsLocalhost(ComputeConformance):
    @pytest.fixture(scope="class")
    def engine(self):
        pytest.importorskip("lithops", reason="the extra lithops is not installed")
        with connected() as engine:
            yield engine
