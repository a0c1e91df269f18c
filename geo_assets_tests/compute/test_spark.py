"""Spark, on this machine alone and on executors of their own."""

import pytest

from geo_assets.compute.spark import PLUGIN
from geo_assets.model.compute import ComputeRecipe
from geo_assets.testing.conformance_compute import ComputeConformance


def recipe(**settings):
    return ComputeRecipe(**{"backend": "spark", "workers": 2, **settings})


@pytest.mark.heavy
class TestSpark(ComputeConformance):
    memory_mb = 512

    @pytest.fixture(scope="class")
    def engine(self):
        with PLUGIN.connect(recipe(memory_mb=self.memory_mb)) as engine:
            yield engine
