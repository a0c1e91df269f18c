"""What is declared is used: each package where it is imported, and only there."""

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKER_EXTRAS = (
    "aws",
    "dask",
    "iceberg",
    "lithops",
)  # of which the image `worker` has what is not Dagster's; see the Makefile
NOT_ON_WORKERS = {"boto3"}  # looked for, and done without: a container has no profile of a person
ABOVE_TASKS = ("assets", "doors", "testing", "definitions.py")
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
        for name in modules(file):
            top = name.split(".")[0]
            found |= {plain(d) for d in offers.get(top, [top])}
    return found


def modules(file: Path) -> Iterator[str]:
    """Modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("package", sorted({plain(r) for r in DECLARED["dependencies"]} - NOT_IMPORTED))
def test_a_package_of_the_base_install_is_imported_by_the_product(package):
    assert package in imported(ROOT / "geo_assets")


@pytest.mark.parametrize("package", ["mgrs", "rioxarray", "stac-geoparquet"])
def test_a_package_that_only_tests_need_is_in_the_extra_for_them(package):
    assert package not in imported(ROOT / "geo_assets")
    assert package in {plain(r) for r in DECLARED["optional-dependencies"]["dev"]}


def locked(name: str) -> set[str]:
    """Distributions of a lock file."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return {plain(line) for line in lines if re.match(r"[A-Za-z0-9]", line)}


def extras(*names: str) -> set[str]:
    return {plain(r) for name in names for r in DECLARED["optional-dependencies"][name]}


def worker_imports() -> set[frozenset[str]]:
    """For each package that anything below the assets imports, also inside functions: the distributions that offer it."""
    offers, found = packages_distributions(), set()
    for entry in (ROOT / "geo_assets").iterdir():
        if entry.name not in ABOVE_TASKS:
            files = entry.rglob("*.py") if entry.is_dir() else [entry]
            tops = {n.split(".")[0] for f in files if f.suffix == ".py" for n in modules(f)}
            found |= {
                frozenset(map(plain, offers.get(top, [top])))
                for top in tops - set(sys.stdlib_module_names) - {"geo_assets"}
            }
    return found


def test_worker_lock_when_it_is_read_then_it_has_no_dagster():
    assert len(locked("worker.txt")) > 50
    assert [d for d in locked("worker.txt") if d.startswith("dagster")] == []
    assert "dagster" in locked("platform.txt")


def test_worker_lock_when_a_package_is_imported_below_the_assets_then_it_has_it():
    others = extras(*(e for e in DECLARED["optional-dependencies"] if e not in (*WORKER_EXTRAS, "dev")))
    needed = [found for found in worker_imports() if not found & (others | NOT_ON_WORKERS)]
    assert {frozenset({"zarr"}), frozenset({"distributed"}), frozenset({"rasterio"})} <= set(needed)
    assert [sorted(found) for found in needed if not found & locked("worker.txt")] == []


def test_worker_extras_are_those_of_the_makefile():
    (line,) = re.findall(r"for e in \((.*?)\) for n in p\[", (ROOT / "Makefile").read_text())
    assert tuple(re.findall(r'"(.*?)"', line)) == WORKER_EXTRAS
