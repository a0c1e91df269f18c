"""The wheel by itself, away from the repository."""

import json
import os
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from geo_assets_tests.e2e.tools import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Built from a copy, so that nothing is left in the repository."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("geo_assets", "resources", "geo_assets_tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    if not (source / "README.md").exists():
        (source / "README.md").write_text("geo_assets\n")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-q",
        "-w",
        str(tmp_path / "dist"),
        str(source),
    ]
    done = subprocess.run(build, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return next((tmp_path / "dist").glob("*.whl"))


@pytest.mark.heavy
def test_an_installed_wheel_makes_the_demo(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "env"
    venv.create(home, with_pip=False, symlinks=True)
    installed = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (installed / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(home / "bin" / "python"),
        "install",
        "--no-deps",
        "--no-index",
        "-q",
        str(wheel),
    ]
    subprocess.run(install, check=True, cwd=tmp_path)
    assert {p.name for p in installed.iterdir() if not p.name.endswith((".dist-info", ".pth"))} == {"geo_assets"}

    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GEO_ASSETS_", "DAGSTER_", "PYTHON"))}
    done = subprocess.run(
        [home / "bin" / "geo-assets", "demo", "--json"], cwd=tmp_path, env=kept, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["partitions"]["ok"] == document["partitions"]["total"] == 12
    assert document["failures"] == []
    report = Path(document["report"])
    assert report.is_relative_to(tmp_path / "demo")
    assert "<html" in report.read_text()[:2000].lower()
    where = "import geo_assets, importlib.util as u; print(geo_assets.__file__, u.find_spec('resources'))"
    found = subprocess.run(
        [home / "bin" / "python", "-c", where], cwd=tmp_path, env=kept, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == [str(installed / "geo_assets" / "__init__.py"), "None"]
