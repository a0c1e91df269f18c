"""Ray, a cluster of our own and one that runs already."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from geo_assets.compute.ray import PLUGIN
from geo_assets.errors import ComputeError, ConfigError, PluginError
from geo_assets.model.compute import ComputeRecipe
from geo_assets.testing.conformance_compute import ComputeConformance, double, hang
from geo_assets_tests.e2e.tools import stop


@pytest.fixture(scope="module", autouse=True)
def _installed():
    pytest.importorskip("ray", reason="the extra ray is not installed")


def recipe(**settings):
    return ComputeRecipe(**{"backend": "ray", "workers": 2, **settings})


@pytest.mark.heavy
class TestRay(ComputeConformance):
    memory_mb = 512

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls):
        with PLUGIN.connect(recipe(memory_mb=cls.memory_mb)) as engine:
            yield engine


def listens_on(processes):
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
    return found


@pytest.fixture
def folder(monkeypatch):
    """Temporary files go here, and not where those of tests in other processes are."""
    with tempfile.TemporaryDirectory(prefix="t") as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name)


@pytest.mark.heavy
def test_own_cluster_when_it_ends_then_nothing_of_it_is_left(tmp_path, monkeypatch, folder):
    home, me = tmp_path / "home", psutil.Process()
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    before, sigterm, environment = me.children(recursive=True), signal.getsignal(signal.SIGTERM), dict(os.environ)
    with PLUGIN.connect(recipe()) as engine:
        results = engine.map(hang, [0.5, 60.0, 60.0])
        assert next(results).status == "ok"
        assert list(folder.glob("ray-*"))
        ours = [p for p in me.children(recursive=True) if p not in before]
        assert {"raylet", "gcs_server"} <= {p.name() for p in ours}
        assert listens_on([me, *ours]) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
        assert signal.getsignal(signal.SIGTERM) == sigterm
        assert dict(os.environ) == environment
    assert psutil.wait_procs(ours, timeout=10)[1] == []
    assert list(home.iterdir()) == []
    assert list(folder.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == sigterm
    assert dict(os.environ) == environment
    results.close()
    assert me.children(recursive=True) == before  # asking Ray for anything would start it again
    with pytest.raises(ComputeError, match="Ray has ended"):
        next(engine.map(double, [1]))


@pytest.mark.heavy
def test_own_cluster_when_the_run_fails_then_nothing_of_it_is_left():
    me = psutil.Process()
    before = me.children(recursive=True)

    def fail():
        with PLUGIN.connect(recipe()) as engine:
            for _ in engine.map(hang, [0.1, 60.0]):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    psutil.wait_procs([p for p in me.children(recursive=True) if p not in before], timeout=10)
    assert me.children(recursive=True) == before


@pytest.mark.heavy
def test_own_cluster_when_a_process_of_it_dies_then_it_is_an_error_and_no_hang():
    with PLUGIN.connect(recipe(workers=1)) as engine:
        results = engine.map(hang, [0.1, 60.0, 60.0])
        assert next(results).status == "ok"
        (raylet,) = (p for p in psutil.Process().children() if p.name() == "raylet")
        raylet.kill()
        with pytest.raises(ComputeError, match="a process of the Ray cluster of this machine has ended"):
            list(results)


@pytest.mark.heavy
def test_start_of_a_long_task_is_known_and_that_of_a_short_one_costs_nothing():
    with PLUGIN.connect(recipe(workers=1)) as engine:
        (long,) = engine.map(hang, [1.5], timeout_s=1.0)
        short = list(engine.map(double, range(20)))
    assert long.kind == "timeout"
    assert 1.0 <= long.run_s < 1.5
    assert {r.status for r in short} == {"ok"}


def test_worker_hour_when_the_settings_say_it_then_it_is_billed():
    free, paid = recipe(), recipe(usd_per_hour=0.36)
    assert not PLUGIN.capabilities(free).paid
    assert PLUGIN.price(free, "").usd(100) == 0
    assert PLUGIN.capabilities(paid).paid
    assert PLUGIN.price(paid, "").usd(100) == pytest.approx(0.01)


def test_library_when_it_is_missing_then_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PluginError, match=r"needs the extra ray: pip install 'geo-assets\[ray\]'"):
        PLUGIN.capabilities(recipe())


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"config": {"num_cpus": 4}}, "compute.config.num_cpus has a setting of its own: compute.workers"),
        ({"address": "ray://head:10001"}, "nobody learns when a task starts"),
    ],
)
def test_setting_when_it_would_mislead_then_it_is_refused(settings, cause):
    with pytest.raises(ConfigError, match=cause), PLUGIN.connect(recipe(**settings)):
        pass


@pytest.mark.heavy
def test_init_when_it_is_given_what_ray_does_not_know_then_it_is_an_error_of_the_backend():
    with (
        pytest.raises(ComputeError, match="a Ray cluster of this machine cannot be used: RuntimeError"),
        PLUGIN.connect(recipe(config={"no_such_setting": 1})),
    ):
        pass
    with PLUGIN.connect(recipe()) as engine:  # and the next one starts
        assert [r.value for r in engine.map(double, [4])] == [8]
        with pytest.raises(ConfigError, match=r"call ray\.shutdown\(\) first"), PLUGIN.connect(recipe()):
            pass


@contextlib.contextmanager
def running(folder: Path) -> Iterator[str]:
    """A cluster as somebody else runs one, behind a token; its address, which is Ray's way to say that it is not this machine's."""
    with socket.create_server(("127.0.0.2", 0)) as free:
        port = free.getsockname()[1]
    where = ["--node-ip-address=127.0.0.2", f"--port={port}", "--num-cpus=2", "--include-dashboard=false"]
    command = [
        "import sys; from ray.scripts.scripts import main; sys.exit(main())",
        "start",
        "--head",
        "--block",
        *where,
    ]
    with (folder / "ray.log").open("wb") as log, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as short:
        process = subprocess.Popen(
            [sys.executable, "-c", *command, "--disable-usage-stats", f"--temp-dir={short}"], stdout=log, stderr=log,
        )  # fmt: skip
        try:
            until = time.monotonic() + 60
            while b"Ray runtime started" not in (folder / "ray.log").read_bytes():
                assert time.monotonic() < until, (folder / "ray.log").read_text()
                time.sleep(0.2)
            yield f"127.0.0.2:{port}"
        finally:
            stop(process)


@pytest.mark.heavy
class TestRayCluster(ComputeConformance):
    memory_mb = 512

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tmp_path_factory):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_AUTH_MODE", "token")
            patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
            with (
                running(tmp_path_factory.mktemp("ray")) as address,
                PLUGIN.connect(recipe(address=address, memory_mb=cls.memory_mb)) as engine,
            ):
                assert engine.capabilities.remote
                yield engine
