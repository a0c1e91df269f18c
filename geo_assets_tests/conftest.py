import os
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Doors point this process at a project: its environment and path are put back."""
    before, path = dict(os.environ), list(sys.path)
    for name in ("DAGSTER_HOME", "GEO_ASSETS_PROJECT", "GEO_ASSETS_DEPLOYMENT", "GEO_ASSETS_STORAGE"):
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(before)
    sys.path[:] = path
