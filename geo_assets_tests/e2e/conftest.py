import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from geo_assets_tests.assets.tiny import WORLD, Tiny, write_area
from geo_assets_tests.e2e.tools import children

YEAR = tuple(f"2024-{month:02d}" for month in range(1, 13))
STRIP = (510_800, 5_232_700, 514_400, 5_233_850)  # touches three regions of four blocks


@pytest.fixture(scope="session")
def year_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world of a whole year; read it only."""
    folder = tmp_path_factory.mktemp("year")
    replace(WORLD, months=YEAR).write(folder)
    return folder


def create(folder: Path, world: Path, months: int) -> Tiny:
    """A project of three regions."""
    tiny = Tiny.create(folder, world, months={"start": YEAR[0], "end": YEAR[months - 1]})
    write_area(folder / "area.gpkg", STRIP)
    return tiny


@pytest.fixture
def project(tmp_path: Path, year_world: Path) -> Tiny:
    """Three regions and six months, nothing made yet."""
    return create(tmp_path / "project", year_world, 6)


@pytest.fixture
def calm(tmp_path: Path, year_world: Path) -> Tiny:
    """The same, to be made without disturbance."""
    return create(tmp_path / "calm", year_world, 6)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Every process that a test starts ends with it."""
    before = set(children(os.getpid()))
    yield
    until = time.monotonic() + 30
    while (left := set(children(os.getpid())) - before) and time.monotonic() < until:
        time.sleep(0.2)
    assert not left
