"""A mask that is a function of the user's own, in a module beside the project file."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geo_assets.errors import ConfigError
from geo_assets.model import path
from geo_assets.model.function import function_hash
from geo_assets_tests.assets.test_changes import stale
from geo_assets_tests.assets.tiny import MIDDLE, MONTHS, WEST, Tiny
from geo_assets_tests.e2e.tools import MAIN, environment

CLEAR = "import numpy as np\n\ndef clear(numbers):\n    return np.isin(numbers, [2, 4, 5, 6, 7, 11])\n"
KEYS = {(r, m) for r in (WEST, MIDDLE) for m in MONTHS}


@pytest.fixture(autouse=True)
def modules() -> Iterator[None]:
    """Modules and folders that a test's projects bring are forgotten."""
    before, folders = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("own_"):
            del sys.modules[name]
    sys.path[:] = folders


def with_function(tiny: Tiny, text: str, *, name: str = "own_mask", **mask: Any) -> Tiny:
    (tiny.folder / f"{name}.py").write_text(text)
    tiny.change(mask={"kind": f"{name}:clear"} | mask)
    return tiny


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_pixels_when_the_function_says_what_the_usual_mask_says_then_they_are_the_same(
    made: Tiny, shared_world: Path, tmp_path: Path, isolation: str
) -> None:
    tiny = Tiny.create(tmp_path / "project", shared_world, compute={"workers": 1, "isolation": isolation})
    assert with_function(tiny, CLEAR).run(products=["composite"]).complete
    wanted, found = made.cube(), tiny.cube()
    assert float(wanted.n_clear.max()) > 1
    for name in wanted.data_vars:
        np.testing.assert_array_equal(found[name], wanted[name])


def test_pixels_when_it_judges_another_band_then_that_is_read_and_never_interpolated(
    shared_world: Path, tmp_path: Path
) -> None:
    dark = "def clear(numbers):\n    return numbers < 1400\n"
    tiny = with_function(Tiny.create(tmp_path / "project", shared_world), dark, name="own_dark", band="red")
    assert tiny.run(products=["composite"], last_month=MONTHS[0]).complete
    cube = tiny.cube().sel(time=MONTHS[0])
    seen = np.isfinite(cube.red.to_numpy())
    assert 0.05 < seen.mean() < 1
    assert np.nanmax(cube.red) < 0.14


@pytest.mark.heavy
def test_staleness_when_the_functions_module_changes_then_all_of_it_is_made_again(
    project: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(project.folder))
    with_function(project, CLEAR, name="own_first")
    assert stale(project).keys() == KEYS
    assert project.run().complete
    assert stale(project) == {}
    first = function_hash("own_first:clear", "here")
    with_function(project, CLEAR + "# another\n", name="own_second")
    assert stale(project).keys() == KEYS
    assert function_hash("own_second:clear", "here") != first


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def clear(numbers):\n    return numbers\n", "gives uint8 .*must give bool"),
        ("def clear(numbers):\n    return numbers[1:] > 0\n", "must give bool"),
        ("def clear(numbers):\n    raise KeyError('no')\n", "failed: KeyError: 'no'"),
        ("def clear(numbers):\n    raise SystemExit(7)\n", "failed: SystemExit: 7"),
        (
            "import numpy as np\n\ndef clear(numbers):\n    return np.ma.masked_array(numbers > 0, mask=True)\n",
            "gives a masked array",
        ),
    ],
)
def test_blocks_when_the_function_gives_something_else_then_they_fail_with_what_it_did(
    text: str, says: str, shared_world: Path, tmp_path: Path
) -> None:
    tiny = with_function(Tiny.create(tmp_path / "project", shared_world), text, name=f"own_bad{len(text)}")
    summary = tiny.run(products=["composite"], regions=[WEST], last_month=MONTHS[0])
    assert summary.partitions["failed"] == 1
    assert summary.failures
    assert all(re.search(f"the mask own_bad.*{says}", f["cause"]) for f in summary.failures)


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        ({"kind": "own_nothing:clear"}, "mask.kind 'own_nothing:clear' cannot be imported"),
        ({"kind": "json:nothing"}, "cannot be imported"),
        ({"kind": "json:"}, "write package.module:function"),
        ({"kind": "..json:loads"}, "write package.module:function"),
        ({"kind": "own_syntax:clear"}, "own_syntax:clear' cannot be imported: SyntaxError"),
        ({"kind": "own_boom:clear"}, "own_boom:clear' cannot be imported: ValueError: boom"),
        ({"kind": "own_exit:clear"}, "own_exit:clear' cannot be imported: SystemExit: 3"),
        ({"kind": "json:loads", "band": "purple"}, "has no band 'purple'; name one of"),
        ({"kind": "scl", "band": "red"}, "mask.band is for a function of yours"),
    ],
)
def test_project_when_the_function_is_not_there_then_it_is_refused_before_work(
    mask: dict[str, Any], says: str, shared_world: Path, tmp_path: Path
) -> None:
    tiny = Tiny.create(tmp_path / "project", shared_world, mask=mask)
    for name, text in (
        ("syntax", "def clear(:"),
        ("boom", "raise ValueError('boom')"),
        ("exit", "import sys; sys.exit(3)"),
    ):
        (tiny.folder / f"own_{name}.py").write_text(text)
    with pytest.raises(ConfigError, match=says):
        tiny.run()
    assert not (tiny.folder / "data" / path.RECEIPTS).exists()


def test_fingerprint_when_the_function_is_an_object_of_a_library_then_the_module_that_names_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "import functools\n\ndef base(numbers, keep):\n    return numbers == keep\n\nclear = functools.partial(base, keep={})\n"
    for name, keep in (("own_four", 4), ("own_six", 6)):
        (tmp_path / f"{name}.py").write_text(text.format(keep))
    assert function_hash("own_four:clear", "here") != function_hash("own_six:clear", "here")
    with pytest.raises(ConfigError, match="has no source that can be read"):
        function_hash("math:floor", "here")


@pytest.mark.heavy
def test_command_when_a_mask_hangs_then_it_ends_all_the_same(shared_world: Path, tmp_path: Path) -> None:
    hang = "import time\n\ndef clear(numbers):\n    time.sleep(600)\n"
    tiny = Tiny.create(tmp_path / "project", shared_world, compute={"workers": 1, "timeout_s": 2, "retries": 0})
    with_function(tiny, hang, name="own_hang")
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "run", str(tiny.file), "--regions", WEST, "--months", f"{MONTHS[0]}:{MONTHS[0]}"],
        capture_output=True, text=True, cwd=tmp_path, env=environment(), timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "abandoned" in done.stderr
