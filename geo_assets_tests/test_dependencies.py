"""What is declared is used: each package where it is imported, and only there."""

import ast
import functools
import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_IMPORTED = {"dagster-webserver", "scipy"}  # started by `dagster dev`; for the demo's sample world


def plain(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower().replace("_", "-")


@functools.cache
def imported(folder: Path) -> set[str]:
    """Distributions that the files of a folder import, also inside functions."""
    offers = packages_distributions()
    found = set()
    for file in folder.rglob("*.py"):
        if "testing" in file.parts and folder.name == "geo_assets":
            continue
        for node in ast.walk(ast.parse(file.read_text(), str(file))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                top = name.split(".")[0]
                found |= {plain(d) for d in offers.get(top, [top])}
    return found


@pytest.mark.parametrize("package", sorted({plain(r) for r in DECLARED["dependencies"]} - NOT_IMPORTED))
def test_a_package_of_the_base_install_is_imported_by_the_product(package):
    assert package in imported(ROOT / "geo_assets")


@pytest.mark.parametrize("package", ["mgrs", "rioxarray", "stac-geoparquet"])
def test_a_package_that_only_tests_need_is_in_the_extra_for_them(package):
    assert package not in imported(ROOT / "geo_assets")
    assert package in {plain(r) for r in DECLARED["optional-dependencies"]["dev"]}
