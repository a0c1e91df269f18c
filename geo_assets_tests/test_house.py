"""The house rules that no linter checks."""

import ast
import importlib.util
import inspect
import os
import pickle
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from geo_assets import errors

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "geo_assets").rglob("*.py"))
IMPORT_NAMES = {
    "odc-geo": "odc.geo", "pillow": "PIL", "planetary-computer": "planetary_computer", "pystac-client": "pystac_client",
    "pyyaml": "yaml", "stac-geoparquet": "stac_geoparquet", "dagster-webserver": "dagster_webserver",
}  # fmt: skip
STACK = [
    "dagster",
    "dagster-webserver",
    "pystac-client",
    "stackstac",
    "xarray",
    "zarr",
    "icechunk",
    "geopandas",
    "shapely",
]


def imports(file: Path) -> Iterator[str]:
    """Modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(file.read_text(), str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def tracked() -> list[Path]:
    """Files in version control."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout: which files are tracked is unknown")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_import_rules_hold() -> None:
    if importlib.util.find_spec("importlinter") is None:
        pytest.skip("import-linter is not installed")
    code = "import sys; from importlinter.cli import lint_imports_command as c; c()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize("folder", ["geo_assets", "geo_assets_tests", "resources", "benchmarks", "examples"])
def test_no_module_postpones_its_annotations(folder: str) -> None:
    found = [f for f in (ROOT / folder).rglob("*.py") if "__future__.annotations" in set(imports(f))]
    assert found == []


@pytest.mark.parametrize("package", STACK)
def test_a_declared_package_is_reached_by_product_code(package: str) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert any(re.match(rf"{re.escape(package)}\b(?!-)", line) for line in declared)
    if package == "dagster-webserver":  # started, not imported: `dagster dev` runs its module
        source = (ROOT / "geo_assets/doors/ui.py").read_text()
        assert '"-m", "dagster", "dev"' in source
        assert importlib.util.find_spec("dagster_webserver.__main__") is not None
        return
    name = IMPORT_NAMES.get(package, package)
    product = [f for f in SOURCES if "testing" not in f.parts]
    assert any(m == name or m.startswith(name + ".") for f in product for m in imports(f))


@pytest.mark.parametrize("error", [e for _, e in inspect.getmembers(errors, inspect.isclass)], ids=lambda e: e.__name__)
def test_an_error_survives_pickling(error: type[errors.GeoAssetsError]) -> None:
    before = error("no clear pixel in cell 435U_120L for 2024-02")
    after = pickle.loads(pickle.dumps(before))
    assert (type(after), str(after), after.retryable) == (error, str(before), before.retryable)
    assert issubclass(error, errors.GeoAssetsError)


def test_files_have_a_length_that_a_person_reads() -> None:
    lengths = {str(f.relative_to(ROOT / "geo_assets")): len(f.read_text().splitlines()) for f in SOURCES}
    assert {name: n for name, n in lengths.items() if n > 400} == {}


def test_tracked_files_name_no_package_index_and_no_folder_of_this_machine() -> None:
    index = [
        os.environ.get(name, "")
        for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX")
    ]
    hosts = {m[1] for url in index if (m := re.search(r"://(?:[^@/]*@)?([^/:]+)", url))} - {"pypi.org"}
    words = [re.escape(h) for h in hosts]
    words += [rf"{re.escape(str(folder))}/" for folder in (ROOT, Path(sys.prefix)) if len(folder.parts) > 2]
    words += [
        r"/home/(?!geo\b)\w+/",
        r"/Users/\w+/",
        r"/root/",
        r"--(?:extra-)?index[-]url",
        r"--find-links",
        r"files\.pythonhosted\.org",
    ]
    pattern = re.compile("|".join(words).encode())
    found = [
        f"{f.relative_to(ROOT)}: {m[0]!r}"
        for f in tracked()
        if f != Path(__file__) and (m := pattern.search(f.read_bytes()))
    ]
    assert found == []
