"""Worker processes: how their memory is found, and what a backend that cannot be started costs."""

import socket
import time
from pathlib import Path

import pytest

from geo_assets.assets.plain import PlainCompute
from geo_assets.compute import _processes
from geo_assets.compute.local import PLUGIN
from geo_assets.errors import ComputeError, ConfigError
from geo_assets.model.compute import ComputeRecipe
from geo_assets.registry import load
from geo_assets.testing.conformance_compute import double, hang, hold, leave_behind, one_way


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


def test_backend_that_cannot_be_reached_is_tried_once():
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    made = PlainCompute(ComputeRecipe(backend="dask", address="tcp://127.0.0.1:9"))
    with pytest.raises(ComputeError, match=r"nobody answers at compute\.address tcp://127\.0\.0\.1:9: "):
        made.map(double, [1])
    began = time.monotonic()
    with pytest.raises(ComputeError, match="nobody answers"):
        made.map(double, [1])
    assert time.monotonic() - began < 0.1
    made.close()


class Unpicklable:
    def __reduce__(self):
        raise ValueError("not to be sent")


@pytest.fixture
def engine():
    with PLUGIN.connect(ComputeRecipe(workers=1, isolation="process")) as engine:
        yield engine


def test_what_pickling_raises_is_an_error_of_that_task_alone(engine):
    results = list(engine.map(double, [1, Unpicklable(), 3], ordered=True))
    assert [(r.status, r.kind) for r in results] == [("ok", ""), ("error", "payload"), ("ok", "")]
    results = list(engine.map(one_way, [1], ordered=True))
    assert [(r.status, r.kind) for r in results] == [("error", "error")]
    assert "its result cannot be read here: ValueError" in (results[0].cause or "")


def test_a_worker_that_died_without_a_task_costs_nobody_a_try(engine):
    assert next(iter(engine.map(leave_behind, [1]))).status == "ok"
    time.sleep(0.6)
    assert [(r.status, r.attempts) for r in engine.map(double, [1, 2], retries=0)] == [("ok", 1), ("ok", 1)]


def test_a_worker_that_keeps_too_much_does_not_take_the_next_task_along(monkeypatch):
    with PLUGIN.connect(ComputeRecipe(workers=1, isolation="process", memory_mb=300)) as engine:
        list(engine.map(double, [1]))
        held = iter([1000.0])  # once, of a worker that has just answered
        monkeypatch.setattr(
            _processes._Worker, "memory_mb", lambda worker: next(held, 10.0) if worker.job is None else 10.0
        )
        results = list(engine.map(hang, [0.01] * 3, retries=0))
    assert [r.status for r in results] == ["ok"] * 3


def test_a_process_that_cannot_be_started_is_an_error_of_the_backend(monkeypatch, engine):
    def refuse(*_args, **_more):
        raise OSError("no more processes")

    with monkeypatch.context() as patch:
        patch.setattr(_processes.subprocess, "Popen", refuse)
        with pytest.raises(ComputeError, match="a worker process cannot be started: no more processes"):
            list(engine.map(double, [1]))
    assert [r.value for r in engine.map(double, [2])] == [4]


def test_a_process_that_takes_long_to_start_costs_its_task_no_time(monkeypatch):
    monkeypatch.setattr(_processes, "_MAIN", "import time; time.sleep(1.5); " + _processes._MAIN)
    with PLUGIN.connect(ComputeRecipe(workers=1, isolation="process")) as engine:
        (result,) = engine.map(hang, [0.01], timeout_s=1.0)
    assert result.status == "ok"
    assert result.queued_s > 1.4


def test_two_maps_at_a_time_are_refused(engine):
    first = engine.map(double, range(5))
    next(first)
    with pytest.raises(ComputeError, match="take all of their results first"):
        next(engine.map(double, range(5)))
    first.close()
    assert [r.value for r in engine.map(double, [2])] == [4]


def test_nothing_is_started_after_the_end_of_the_run():
    made = PlainCompute(ComputeRecipe())
    assert [r.value for r in made.map(double, [2])] == [4]
    made.close()
    with pytest.raises(ComputeError, match="the run has ended"):
        made.map(double, [1])


CLUSTERS = """
def boom():
    raise RuntimeError("password=hunter2 at https://u:p@host/x?sig=SECRET\\nsecond line")
def ends():
    raise SystemExit(3)
def none():
    return None
value = 1
"""


@pytest.mark.parametrize(
    ("target", "error", "cause"),
    [
        ("oops", ConfigError, "write package.module:function"),
        ("..x:y", ConfigError, "write package.module:function"),
        ("no.such:f", ConfigError, "cannot be imported: ModuleNotFoundError"),
        ("syntax:f", ConfigError, "cannot be imported: SyntaxError"),
        ("makers:nothing", ConfigError, "cannot be imported: AttributeError"),
        ("makers:none", ConfigError, "returned NoneType: it has to return a cluster of Dask"),
        ("makers:value", ComputeError, "failed: TypeError: 'int' object is not callable"),
        ("makers:ends", ComputeError, r"'makers:ends' failed: SystemExit: 3$"),
        ("makers:boom", ComputeError, r"'makers:boom' failed: RuntimeError: password=\*\*\* at https://host/x$"),
    ],
)
def test_a_wrong_cluster_is_an_error_that_says_so(tmp_path, monkeypatch, target, error, cause):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    (tmp_path / "makers.py").write_text(CLUSTERS)
    (tmp_path / "syntax.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    recipe = ComputeRecipe(backend="dask", cluster=target)
    with pytest.raises(error, match=cause):
        PlainCompute(recipe).map(double, [1])


@pytest.mark.parametrize("address", ["bogus://x", "not an address", "127.0.0.1", "tcp://127.0.0.1:port", "tcp://:8786"])
def test_an_address_that_is_none_is_an_error_before_anything_is_asked(address):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    with pytest.raises(ConfigError, match=r"write it as tcp://host:8786"):
        load("compute", "dask").capabilities(ComputeRecipe(backend="dask", address=address))


def test_a_scheduler_that_is_not_there_is_an_error_at_once():
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(ComputeError, match=f"nobody answers at compute.address {address}: "):
        PlainCompute(ComputeRecipe(backend="dask", address=address)).map(double, [1])
