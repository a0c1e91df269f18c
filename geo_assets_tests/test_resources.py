"""Resources of this repository's deployments, and their settings."""

import dagster as dg
import psutil
import pytest

from geo_assets.assets.ports import Compute
from geo_assets.errors import ComputeError, ConfigError
from geo_assets.model.compute import ComputeRecipe
from geo_assets.testing.conformance_compute import double, fail
from resources.compute import ComputeResource
from resources.deployments import deployment

PROCESSES = ComputeRecipe(workers=1, isolation="process")


@pytest.mark.parametrize(
    ("name", "value"),
    [("GEO_ASSETS_WORKERS", "many"), ("GEO_ASSETS_WORKERS", "0"), ("GEO_ASSETS_DEPLOYMENT", "moon")],
)
def test_deployment_when_a_variable_is_wrong_then_it_is_the_one_that_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=rf"^{name}='{value}': Input should be"):
        deployment()


def test_deployment_when_nothing_is_set_then_the_project_file_holds(monkeypatch):
    for name in ("GEO_ASSETS_DEPLOYMENT", "GEO_ASSETS_STORAGE", "GEO_ASSETS_WORKERS", "GEO_ASSETS_STEPS_ON"):
        monkeypatch.delenv(name, raising=False)
    assert deployment().model_dump() == {"name": "local", "storage_root": None, "workers": None, "steps_on": None}


def workers() -> list[psutil.Process]:
    """Worker processes of this one."""
    return [p for p in psutil.Process().children() if "geo_assets.compute._child" in " ".join(p.cmdline())]


def run(resource: ComputeResource, body) -> dg.ExecuteInProcessResult:
    """A run of one asset that does something with the resource."""

    @dg.asset
    def made(compute: dg.ResourceParam[Compute]) -> None:
        body(compute)

    return dg.materialize([made], resources={"compute": resource}, raise_on_error=False)


@pytest.mark.parametrize(("workers", "kept"), [(None, 7), (3, 3)])
def test_compute_resource_when_it_is_made_then_it_has_all_settings_and_the_deployments_workers(workers, kept):
    recipe = ComputeRecipe(workers=7, retries=5, backend="dask", address="tls://h:1", regions={"dem": "eu-central-1"})
    resource = ComputeResource.of(recipe, workers=workers)
    found = ComputeRecipe(**{name: getattr(resource, name) for name in ComputeRecipe.model_fields})
    assert found == recipe.model_copy(update={"workers": kept})


def test_compute_resource_when_no_run_goes_on_then_tasks_are_refused():
    with pytest.raises(ComputeError, match="is not set up: it runs tasks within a Dagster run"):
        ComputeResource.of(PROCESSES).map(double, [1])


def test_compute_resource_when_a_run_ends_then_its_backend_has_ended():
    seen, results = [], []

    def body(compute):
        assert not workers()  # none is started before there are tasks
        results.extend(r.value for r in compute.map(double, [1, 2]))
        seen.extend(workers())

    assert run(ComputeResource.of(PROCESSES), body).success
    assert (sorted(results), len(seen)) == ([2, 4], 1)
    assert not any(p.is_running() for p in seen)


def test_compute_resource_when_its_run_fails_then_its_backend_has_ended():
    seen, kept = [], []

    def body(compute):
        kept.append(compute)
        (result,) = compute.map(fail, ["value"])
        seen.extend(workers())
        raise RuntimeError(result.cause)

    assert not run(ComputeResource.of(PROCESSES), body).success
    assert len(seen) == 1
    assert not any(p.is_running() for p in seen)
    with pytest.raises(ComputeError, match="the run has ended: nothing more can be run"):
        kept[0].map(double, [1])


def test_compute_resource_when_it_is_used_in_a_second_run_then_it_starts_anew():
    resource, results = ComputeResource.of(PROCESSES), []
    for task in (1, 2):
        assert run(resource, lambda compute, t=task: results.extend(r.value for r in compute.map(double, [t]))).success
    assert results == [2, 4]
