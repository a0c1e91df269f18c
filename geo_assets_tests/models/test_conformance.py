"""Every runtime of models that the registry finds does what a runtime has to."""

import pytest

from geo_assets import registry
from geo_assets.testing.conformance_model import ModelConformance
from geo_assets.testing.model_files import MAKERS


@pytest.fixture(params=sorted(registry.available("models")), scope="module")
def name(request):
    return request.param


@pytest.fixture(scope="module")
def made(name):
    make, packages = MAKERS[name]
    for package in packages:
        pytest.importorskip(package, reason=f"{package} is not installed: models of {name} are not run")
    return make()


class TestRuntimes(ModelConformance):
    pass
