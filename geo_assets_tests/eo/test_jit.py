"""What is kept of compiled loops from one process to the next."""

import shutil
import subprocess
import sys
from pathlib import Path

from geo_assets.eo import _jit

CALLER = """
from kept._jit import kernel
from kept._other import other

@kernel
def loop(x):
    return other(x) + 1
"""
OTHER = """
from kept._jit import kernel

@kernel
def other(x):
    return x * {factor}
"""


def test_kernel_when_a_loop_of_another_file_changes_then_its_callers_are_compiled_again(tmp_path):
    """numba looks at the caller's own file alone."""
    package = tmp_path / "kept"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(Path(_jit.__file__), package / "_jit.py")
    (package / "_caller.py").write_text(CALLER)
    found = []
    for factor in (2, 5):
        (package / "_other.py").write_text(OTHER.format(factor=factor))
        command = [sys.executable, "-B", "-c", "from kept._caller import loop; print(loop(10))"]
        found.append(int(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout))
    assert found == [21, 51]
    assert list(package.glob("__pycache__/_caller.loop_*.nbi"))


def test_loops_that_are_kept_when_they_are_loaded_then_a_call_loads_nothing_more(tmp_path):
    package = tmp_path / "kept"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copy(Path(_jit.__file__), package / "_jit.py")
    (package / "_caller.py").write_text(CALLER)
    (package / "_other.py").write_text(OTHER.format(factor=2))
    code = (
        "from kept._caller import loop; from kept._jit import load_kept; print(load_kept(), len(loop.signatures), loop(10), "
        "sum(loop.stats.cache_hits.values()), sum(loop.stats.cache_misses.values()))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-B", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert said == [["0", "0", "21", "0", "1"], ["2", "1", "21", "1", "0"]]
