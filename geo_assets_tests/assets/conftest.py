from pathlib import Path

import pytest

from geo_assets_tests.assets.tiny import WORLD, Tiny, link_world


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world that no test changes."""
    folder = tmp_path_factory.mktemp("world")
    WORLD.write(folder)
    return folder


@pytest.fixture
def world(shared_world: Path, tmp_path: Path) -> Path:
    """A world that the test may change."""
    return link_world(shared_world, tmp_path / "world")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, shared_world: Path) -> Tiny:
    """A project that is made; read it only."""
    tiny = Tiny.create(tmp_path_factory.mktemp("made") / "project", shared_world)
    tiny.run_aside()
    return tiny


@pytest.fixture
def project(made: Tiny, tmp_path: Path) -> Tiny:
    """A project that is made, to go on from."""
    return made.copy(tmp_path / "project")
