"""Full and read-only disks: a clear error, the last commit readable, and a retry that works."""

import contextlib
import os
import resource
import subprocess

import numpy as np
import pytest

from geo_assets import registry
from geo_assets.errors import StoreError
from geo_assets.testing.conformance_store import BLOCK, GROUP, VARIABLES, block, made, place, put, stored

PLUGINS = ["icechunk", "zarr"]


@pytest.fixture(params=PLUGINS)
def plugin(request):
    return registry.load("stores", request.param)


@pytest.fixture
def disk(tmp_path):
    """A disk of 4 MB, where the tests may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    asked = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(asked, check=False, capture_output=True).returncode:
        pytest.skip("a small disk needs root and the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def write_noise(plugin, cube):
    """One partition of random pixels, which no codec makes smaller."""
    session = cube.session(GROUP)
    writer = plugin.writer(session.handle())
    random = np.random.default_rng(1)
    for variable in VARIABLES:
        for row in range(4):
            values = random.integers(0, 65535, (BLOCK, BLOCK)).astype(np.uint16)
            writer.write(variable.name, 0, *place(row, 1), values)
    return session.commit([writer.changes()], "noise", {})


def test_full_disk_is_an_error_and_the_last_commit_stays(plugin, disk):
    uri = str(disk / "cube")
    cube = made(plugin, uri)
    put(plugin, cube, at=(0, 0), time=0, value=5)
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(StoreError, match="space"):
        write_noise(plugin, plugin.open(uri))
    with pytest.raises(StoreError):
        plugin.open(uri).probe()
    again = plugin.open(uri)
    assert np.array_equal(stored(again, at=(0, 0), time=0), block(5))
    assert again.describe()
    ballast.unlink()
    write_noise(plugin, plugin.open(uri))
    assert stored(plugin.open(uri), at=(3, 1), time=0).any()


def test_read_only_disk_is_an_error_and_can_be_read(plugin, disk):
    uri = str(disk / "cube")
    put(plugin, made(plugin, uri), at=(0, 0), time=0, value=5)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    cube = plugin.open(uri)
    assert np.array_equal(stored(cube, at=(0, 0), time=0), block(5))
    assert cube.describe()
    with pytest.raises(StoreError):
        put(plugin, cube, at=(1, 0), time=0, value=5)
    with pytest.raises(StoreError):
        made(plugin, uri, 5)
    with pytest.raises(StoreError):
        cube.probe()


@pytest.fixture
def quota():
    """Gives files of this process 4 kB at most from when it is called."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_file_that_cannot_grow_is_an_error_and_the_last_commit_stays(plugin, tmp_path, quota):
    uri = str(tmp_path / "cube")
    cube = made(plugin, uri)
    put(plugin, cube, at=(0, 0), time=0, value=5)
    quota()
    with pytest.raises(StoreError):
        write_noise(plugin, cube)
    assert np.array_equal(stored(plugin.open(uri), at=(0, 0), time=0), block(5))
