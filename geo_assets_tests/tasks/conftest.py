from pathlib import Path

import pytest

from geo_assets_tests.assets.tiny import link_world


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the module's ``WORLD``, which nobody changes."""
    folder: Path = tmp_path_factory.mktemp("world") / "world"
    request.module.WORLD.write(folder)
    return folder


@pytest.fixture
def home(tmp_path: Path, world: Path) -> Path:
    """A folder of the test's own with a copy of the world in ``world``, of which items and links of files may be changed."""
    link_world(world, tmp_path / "world")
    return tmp_path
