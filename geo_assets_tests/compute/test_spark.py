"""Spark, on this machine alone and on executors of their own."""

import contextlib
import os
import signal
import sys
import tempfile
import threading

import psutil
import pytest

from geo_assets.compute._spark_context import check_java
from geo_assets.compute.spark import PLUGIN
from geo_assets.errors import ComputeError, ConfigError, PluginError
from geo_assets.model.compute import ComputeRecipe
from geo_assets.testing.conformance_compute import ComputeConformance, double, hang


def recipe(**settings):
    return ComputeRecipe(**{"backend": "spark", "workers": 2, **settings})


@pytest.fixture(scope="module")
def spark():
    pytest.importorskip("pyspark", reason="PySpark is not installed: make spark")
    try:
        check_java()
    except ConfigError as e:
        pytest.skip(str(e))


@pytest.mark.heavy
@pytest.mark.usefixtures("spark")
class TestSpark(ComputeConformance):
    memory_mb = 512
    many = 200  # each is a job of Spark

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, spark):
        with PLUGIN.connect(recipe(memory_mb=cls.memory_mb)) as engine:
            yield engine


@pytest.mark.heavy
@pytest.mark.usefixtures("spark")
class TestSparkExecutors(ComputeConformance):
    """A master whose executors are processes of their own, as those of a cluster."""

    memory_mb = 512
    many = 200

    def test_time_counts_from_the_start_and_not_from_the_queue(self, engine):
        """With more room than elsewhere: an executor starts its Python within the time of its first task."""
        results = self.run(engine, hang, [1.5] * 10, timeout_s=6.0)
        assert {r.status for r in results} == {"ok"}

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, spark, tmp_path_factory):
        path = os.pathsep.join(p for p in sys.path if p)
        config = {
            "spark.executorEnv.PYTHONPATH": path,
            "spark.pyspark.python": sys.executable,
            "spark.ui.enabled": False,
        }
        settings = recipe(address="local-cluster[2,1,1024]", config=config, memory_mb=cls.memory_mb)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SPARK_WORKER_DIR", str(tmp_path_factory.mktemp("executors")))  # else beside the library
            with PLUGIN.connect(settings) as engine:
                assert engine.capabilities.remote
                assert not engine.capabilities.kills
                yield engine


def listens_on(processes):
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {c.laddr.ip for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    return found


@pytest.mark.heavy
@pytest.mark.usefixtures("spark")
def test_run_when_it_is_ended_then_nothing_of_spark_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where tests in other processes leave nothing
    me = psutil.Process()
    before, interrupt, environment = me.children(recursive=True), signal.getsignal(signal.SIGINT), dict(os.environ)
    ours = []

    def fail():
        with PLUGIN.connect(recipe()) as engine:
            for _ in engine.map(hang, [0.5, 60.0, 60.0]):
                ours.extend(p for p in me.children(recursive=True) if p not in before)
                assert list(tmp_path.glob("spark-*"))
                assert listens_on([me, *ours]) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
                assert signal.getsignal(signal.SIGINT) == interrupt
                assert dict(os.environ) == environment
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert any("java" in p.name() for p in ours if p.is_running()) is False
    assert len(ours) >= 2
    assert psutil.wait_procs(ours, timeout=10)[1] == []
    assert list(tmp_path.iterdir()) == []
    assert not [t for t in threading.enumerate() if t.name.startswith("geo-assets-spark")]


@pytest.mark.heavy
@pytest.mark.usefixtures("spark")
def test_java_when_it_dies_then_it_is_an_error_and_no_hang_and_the_next_one_starts():
    with PLUGIN.connect(recipe(workers=1)) as engine:
        results = engine.map(hang, [0.1, 60.0, 60.0])
        assert next(results).status == "ok"
        (java,) = (p for p in psutil.Process().children() if p.name() == "java")
        java.kill()
        with pytest.raises(ComputeError, match="Spark's Java process has ended"):
            list(results)
    with PLUGIN.connect(recipe(workers=1)) as engine:
        assert [r.value for r in engine.map(double, [2])] == [4]
        with pytest.raises(ConfigError, match="this process uses Spark already"), PLUGIN.connect(recipe()):
            pass


@pytest.mark.heavy
@pytest.mark.usefixtures("spark")
def test_worker_when_it_cannot_run_tasks_then_it_is_an_error_that_says_so(monkeypatch, tmp_path):
    with PLUGIN.connect(recipe(workers=1)) as engine:
        monkeypatch.setattr(engine._adapter._adapter, "_folder", tmp_path / "no folder")
        (result,) = engine.map(double, [1], retries=0)
    assert (result.kind, result.retryable) == ("error", False)
    assert (result.cause or "").startswith("Spark cannot run it on a worker: FileNotFoundError: ")


@pytest.mark.heavy
@pytest.mark.usefixtures("spark")
def test_master_when_it_is_no_master_then_it_is_an_error_of_the_backend():
    with (
        pytest.raises(ComputeError, match=r"Spark cannot be started on nowhere://x: .*Master must"),
        PLUGIN.connect(recipe(address="nowhere://x")),
    ):
        pass


@pytest.mark.usefixtures("spark")
def test_worker_hour_when_the_settings_say_it_then_it_is_billed():
    assert not PLUGIN.capabilities(recipe()).paid
    assert PLUGIN.capabilities(recipe(usd_per_hour=0.36)).paid


def test_price_when_the_settings_say_none_then_it_is_free():
    assert PLUGIN.price(recipe(), "").usd(100) == 0
    assert PLUGIN.price(recipe(usd_per_hour=0.36), "").usd(100) == pytest.approx(0.01)


@pytest.mark.usefixtures("spark")
def test_setting_when_it_has_a_place_of_its_own_then_it_is_refused():
    with (
        pytest.raises(ConfigError, match=r"leave compute\.config\.spark\.master out: compute\.address"),
        PLUGIN.connect(recipe(config={"spark.master": "yarn"})),
    ):
        pass


def test_library_when_it_is_missing_then_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(PluginError, match=r"needs the extra spark: pip install 'geo-assets\[spark\]'"):
        PLUGIN.capabilities(recipe())


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ('openjdk version "17.0.15" 2025-04-15', None),
        ('openjdk version "25" 2025-09-16', None),
        ('java version "1.8.0_402"', "is Java 8: install one, or set JAVA_HOME"),
        ('openjdk version "11.0.2" 2019-01-15', "is Java 11: install one"),
    ],
)
def test_java_when_it_is_too_old_then_the_error_says_what_is_needed(tmp_path, monkeypatch, said, cause):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    if cause is None:
        check_java()
        return
    with pytest.raises(ConfigError, match=rf"needs Java 17 or newer, and .*{cause}"):
        check_java()


def test_java_when_there_is_none_then_the_error_says_what_is_needed(tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        ConfigError, match="needs Java 17 or newer, and there is no java: install one, or set JAVA_HOME"
    ):
        check_java()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"cannot be run: .*; set JAVA_HOME"):
        check_java()
