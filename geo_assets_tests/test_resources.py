"""Settings of the deployments."""

import pytest

from geo_assets.errors import ConfigError
from resources.deployments import deployment


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
