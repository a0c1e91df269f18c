"""Worker processes: how their memory is found, and what a backend that cannot be started costs."""

import time
from pathlib import Path

import pytest

from geo_assets.assets.plain import PlainCompute
from geo_assets.compute import _processes
from geo_assets.compute.local import PLUGIN
from geo_assets.errors import ComputeError
from geo_assets.model.compute import ComputeRecipe
from geo_assets.testing.conformance_compute import double, hold


def test_memory_is_found_without_proc_as_well(monkeypatch):
    monkeypatch.setattr(_processes, "_STATM", Path("/no/such/file"))
    recipe = ComputeRecipe(workers=1, isolation="process", memory_mb=300)
    with PLUGIN.connect(recipe) as engine:
        results = list(engine.map(hold, [600, 1], retries=0))
    assert [(r.status, r.kind) for r in results] == [("error", "memory"), ("ok", "")]
    assert "of compute.memory_mb 300" in (results[0].cause or "")


def test_workers_are_kept_from_map_to_map():
    with PLUGIN.connect(ComputeRecipe(workers=1, isolation="process")) as engine:
        workers = {r.worker for _ in range(3) for r in engine.map(double, range(5))}
    assert len(workers) == 1


def test_backend_that_cannot_be_reached_is_tried_once(monkeypatch):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    monkeypatch.setattr("geo_assets.compute.dask._START_S", 0.5)
    made = PlainCompute(ComputeRecipe(backend="dask", address="tcp://127.0.0.1:9"))
    with pytest.raises(ComputeError, match=r"the Dask cluster tcp://127\.0\.0\.1:9 cannot be used"):
        made.map(double, [1])
    began = time.monotonic()
    with pytest.raises(ComputeError, match="cannot be used"):
        made.map(double, [1])
    assert time.monotonic() - began < 0.1
    made.close()
