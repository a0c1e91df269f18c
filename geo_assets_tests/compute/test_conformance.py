"""Every backend that can run here does what a backend has to."""

import pytest

from geo_assets.model.compute import ComputeRecipe
from geo_assets.registry import load
from geo_assets.testing.conformance_compute import ComputeConformance
from geo_assets_tests.compute.dask_cluster import running


def connected(**settings):
    recipe = ComputeRecipe(**{"workers": 2, **settings})
    return load("compute", recipe.backend).connect(recipe)


class TestThreads(ComputeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls):
        with connected() as engine:
            yield engine


class TestProcesses(ComputeConformance):
    memory_mb = 512

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls):
        with connected(isolation="process", memory_mb=cls.memory_mb) as engine:
            yield engine


@pytest.mark.heavy
class TestDask(ComputeConformance):
    memory_mb = 768

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls):
        pytest.importorskip("distributed", reason="the extra dask is not installed")
        with connected(backend="dask", memory_mb=cls.memory_mb) as engine:
            yield engine


@pytest.mark.heavy
class TestDaskScheduler(ComputeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tmp_path_factory):
        pytest.importorskip("distributed", reason="the extra dask is not installed")
        with running(tmp_path_factory.mktemp("dask")) as settings, connected(backend="dask", **settings) as engine:
            yield engine
