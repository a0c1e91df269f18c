"""A driver that is killed while its tasks compute: nothing of what it started is left."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from geo_assets_tests.e2e.tools import children, environment, wait_for

DRIVER = """\
import json, sys
from geo_assets.model.compute import ComputeRecipe
from geo_assets.registry import load
from geo_assets.testing import conformance_compute

if __name__ == "__main__":
    name, task, settings = map(json.loads, sys.argv[1:])
    recipe = ComputeRecipe(workers=2, **settings)
    with load("compute", recipe.backend).connect(recipe) as engine:
        list(engine.map(getattr(conformance_compute, name), [task] * 2))
"""
BACKENDS = {"processes": {"isolation": "process"}, "dask": {"backend": "dask"}}


@pytest.mark.parametrize("name", ["hang_and_mark", "keep_lock"])
@pytest.mark.parametrize("backend", ["processes", pytest.param("dask", marks=pytest.mark.heavy)])
def test_workers_when_their_driver_is_killed_then_they_end(tmp_path: Path, backend: str, name: str) -> None:
    if backend == "dask":
        pytest.importorskip("distributed", reason="the extra dask is not installed")
    marks, script = tmp_path / "marks", tmp_path / "driver.py"
    marks.mkdir()
    script.write_text(DRIVER)  # a file, since Dask's workers read their driver's main module
    task = [str(marks), 120.0] if name == "hang_and_mark" else str(marks)
    arguments = [json.dumps(a) for a in (name, task, BACKENDS[backend])]
    driver = subprocess.Popen([sys.executable, str(script), *arguments], env=environment(), stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(os.listdir(marks)) >= 2 or driver.poll() is not None, "tasks that compute")
        assert driver.poll() is None
        family = [psutil.Process(pid) for pid in children(driver.pid)[1:]]
        assert len(family) >= 2
    finally:
        driver.kill()
        driver.wait()
    _, left = psutil.wait_procs(family, timeout=10)
    for one in left:
        one.kill()
    assert left == []
