"""What a process holds while it makes blocks of real size, as the system counts it: no more than ``cube.memory_mb``."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.heavy
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs the memory marks of Linux")
@pytest.mark.parametrize(
    ("crs", "size", "side", "scenes", "memory_mb", "threads"),
    [
        ("EPSG:32633", 2048, 1, 24, 256, 2),
        ("EPSG:4326", 2048, 1, 24, 384, 2),
        pytest.param("EPSG:32633", 2048, 1, 24, 384, 16, marks=pytest.mark.nightly),
        pytest.param("EPSG:32633", 1024, 4, 12, 192, 4, marks=pytest.mark.nightly),
        pytest.param("EPSG:4326", 1024, 2, 24, 192, 16, marks=pytest.mark.nightly),
        pytest.param("EPSG:4326", 2048, 1, 24, 256, 16, marks=pytest.mark.nightly),
    ],
)
def test_block_when_it_is_of_real_size_then_the_process_stays_within_its_memory(
    tmp_path, crs, size, side, scenes, memory_mb, threads
):
    order = [str(tmp_path), crs, *map(str, (size, side, scenes, memory_mb, threads))]
    command = [sys.executable, "-m", "geo_assets_tests.tasks.memory_run", *order]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    peaks = json.loads(done.stdout)
    assert len(peaks) == side * side
    assert max(peaks) <= memory_mb
