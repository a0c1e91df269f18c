"""A Dask scheduler that somebody else runs, and that goes away."""

import threading

import psutil
import pytest

from geo_assets.errors import ComputeError
from geo_assets.model.compute import ComputeRecipe
from geo_assets.registry import load
from geo_assets.testing.conformance_compute import hang
from geo_assets_tests.compute.dask_cluster import running


@pytest.mark.heavy
def test_map_when_the_scheduler_dies_then_it_is_an_error_and_no_hang(tmp_path):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    with running(tmp_path) as settings:
        (scheduler,) = (p for p in psutil.Process().children() if "distributed.cli.dask_scheduler" in p.cmdline())
        recipe = ComputeRecipe(backend="dask", **settings)
        with load("compute", "dask").connect(recipe) as engine:
            results = engine.map(hang, [0.5] * 40, retries=1)
            assert next(results).status == "ok"
            threading.Timer(0.5, scheduler.kill).start()
            with pytest.raises(ComputeError, match="the connection to the Dask scheduler is lost"):
                list(results)
