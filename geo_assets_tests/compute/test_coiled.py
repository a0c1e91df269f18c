"""Coiled's own functions on workers of this machine: what is asked for, what it costs, and that no cluster outlives its run."""

import sys

import pytest

from geo_assets.compute.coiled import PLUGIN, USD_PER_HOUR
from geo_assets.errors import ComputeError, ConfigError, PluginError
from geo_assets.model.compute import ComputeRecipe
from geo_assets.model.cost import Load
from geo_assets.testing.conformance_compute import ComputeConformance, double, hang

dask = pytest.importorskip("dask", reason="the extra coiled is not installed")
coiled = pytest.importorskip("coiled", reason="the extra coiled is not installed")

from geo_assets_tests.compute.coiled_cluster import Machines, coiled_here  # noqa: E402 - needs Coiled


def recipe(**settings):
    return ComputeRecipe(**{"backend": "coiled", "workers": 2, "region": "us-west-2", **settings})


@pytest.mark.heavy
class TestCoiled(ComputeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls):
        with coiled_here(), PLUGIN.connect(recipe()) as engine:
            yield engine


@pytest.fixture
def machines():
    with coiled_here() as machines:
        yield machines


# Something that says which sensor it reads, as tasks do
DEM, OPTICAL = Load(1, 1.0, source="dem"), Load(1, 1.0, source="sentinel-2-l2a")


def test_cluster_when_it_is_made_then_it_has_what_the_settings_say(machines):
    settings = recipe(workers=3, memory_mb=8000, config={"spot_policy": "on-demand", "tags": {"project": "cube"}})
    with PLUGIN.connect(settings) as engine:
        assert machines.made == []  # nothing is paid before the first task
        assert [r.value for r in engine.map(double, [1])] == [2]
        (made,) = machines.made
    asked = made.asked
    assert made.function.startswith("geo-assets-")
    assert (asked["region"], asked["n_workers"], asked["worker_options"]) == ("us-west-2", [1, 3], {"nthreads": 1})
    assert (asked["worker_memory"], asked["worker_cpu"], asked["spot_policy"]) == ("8000 MiB", None, "on-demand")
    assert (asked["tags"]["project"], asked["idle_timeout"], made.keepalive) == ("cube", "20 minutes", 30)
    assert asked["shutdown_on_close"]
    assert made.spans == []  # each would be a request to the service


def test_machine_when_nothing_is_said_then_it_is_the_one_of_the_price(machines):
    with PLUGIN.connect(recipe(workers=1)) as engine:
        list(engine.map(double, [1]))
    assert machines.made[0].asked["worker_cpu"] == 4
    assert pytest.approx(0.392) == USD_PER_HOUR
    with PLUGIN.connect(recipe(workers=1, config={"vm_type": "c7i.xlarge"})) as engine:
        list(engine.map(double, [1]))
    assert (machines.made[1].asked["worker_vm_types"], machines.made[1].asked["worker_cpu"]) == ("c7i.xlarge", None)


def test_tasks_when_their_sensor_has_a_region_then_they_run_there(machines):
    with PLUGIN.connect(recipe(workers=1, regions={"dem": "eu-central-1"})) as engine:
        results = list(engine.map(repr, [OPTICAL, DEM] * 4, ordered=True))
    assert [r.value for r in results] == [repr(OPTICAL), repr(DEM)] * 4
    assert [r.region for r in results] == ["us-west-2", "eu-central-1"] * 4
    assert sorted(c.asked["region"] for c in machines.made) == ["eu-central-1", "us-west-2"]
    assert len({r.worker for r in results if r.region == "us-west-2"}) == 1
    assert not {r.worker for r in results[::2]} & {r.worker for r in results[1::2]}
    assert [c.ends for c in machines.made] == [1, 1]


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), *(pytest.param(e, marks=pytest.mark.heavy) for e in (ZeroDivisionError(), SystemExit(1)))],
)
def test_run_when_it_is_ended_then_its_clusters_are_shut_down(machines, error):
    def fail():
        with PLUGIN.connect(recipe(workers=1)) as engine:
            for _ in engine.map(hang, iter([0.01, 60.0])):  # in this order
                raise error

    with pytest.raises(type(error)):
        fail()
    assert [c.ends for c in machines.made] == [1]
    assert not any(name.startswith("geo-assets-") for name in coiled.function.__globals__["_clusters"])


def test_cluster_when_its_client_fails_then_it_is_shut_down(machines, monkeypatch):
    def refuse(*_args, **_more):
        raise OSError("no route")

    monkeypatch.setattr(dask.distributed, "Client", refuse)
    with (
        PLUGIN.connect(recipe(workers=1)) as engine,
        pytest.raises(ComputeError, match="cannot start a cluster in us-west-2: OSError: no route"),
    ):
        next(engine.map(double, [1]))
    assert [c.ends for c in machines.made] == [1]


def test_one_region_when_it_cannot_start_then_it_is_tried_once_and_the_other_is_shut_down(machines):
    machines.fails_with["eu-central-1"] = RuntimeError("no capacity")
    with PLUGIN.connect(recipe(workers=1, regions={"dem": "eu-central-1"})) as engine:
        for _ in range(2):
            with pytest.raises(ComputeError, match="cannot start a cluster in eu-central-1: RuntimeError: no capacity"):
                list(engine.map(repr, iter([OPTICAL, DEM])))  # in this order
            machines.fails_with.clear()
    assert [(c.asked["region"], c.ends) for c in machines.made] == [("us-west-2", 1)]


def test_start_when_the_run_is_ended_meanwhile_then_the_half_made_cluster_is_deleted(machines):
    machines.fails_with["us-west-2"] = SystemExit(1)
    with PLUGIN.connect(recipe(workers=1)) as engine, pytest.raises(SystemExit):
        next(engine.map(double, [1]))
    assert [name.endswith("-us-west-2") for name in Machines.deleted] == [True]


def test_price_when_the_settings_say_one_then_it_counts():
    hour = [Load(tasks=10, run_s=360.0)]
    assert PLUGIN.capabilities(recipe()).paid
    assert PLUGIN.estimate(recipe(), hour).usd == pytest.approx(0.392)
    assert PLUGIN.estimate(recipe(usd_per_hour=0.1), hour).usd == pytest.approx(0.1)
    assert PLUGIN.capabilities(recipe(usd_per_hour=0)).paid


@pytest.mark.parametrize("name", ["region", "n_workers", "threads_per_worker", "local", "shutdown_on_close"])
def test_argument_when_it_has_a_setting_of_its_own_then_it_is_refused(machines, name):
    with pytest.raises(ConfigError, match=f"leave compute.config.{name} out"), PLUGIN.connect(recipe(config={name: 1})):
        pass


def test_nobody_logged_in_when_connecting_then_the_error_says_how():
    with (
        dask.config.set({"coiled.token": None}),
        pytest.raises(ConfigError, match="nobody is logged in to Coiled: run coiled login"),
        PLUGIN.connect(recipe()),
    ):
        pass


def test_library_when_it_is_missing_then_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "coiled", None)
    with pytest.raises(PluginError, match=r"needs the extra coiled: pip install 'geo-assets\[coiled\]'"):
        PLUGIN.capabilities(recipe())
