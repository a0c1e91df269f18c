import os
import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("plain", deadline=None)  # how long an example takes on a loaded machine says nothing
settings.load_profile("plain")


@pytest.fixture(autouse=True)
def _own_environment() -> Iterator[None]:
    """Doors point this process at a project: its environment and path are put back, and so is what runs do to SIGTERM."""
    before, path, sigterm = dict(os.environ), list(sys.path), signal.getsignal(signal.SIGTERM)
    for name in ("DAGSTER_HOME", "GEO_ASSETS_PROJECT", "GEO_ASSETS_DEPLOYMENT", "GEO_ASSETS_STORAGE"):
        os.environ.pop(name, None)
    yield
    # Only what differs: a library's own thread that reads the environment while it is written may end the process
    for name in set(os.environ) - set(before):
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    sys.path[:] = path
    signal.signal(signal.SIGTERM, sigterm)
