"""The code location as Dagster loads it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = """\
aois: {box: {bbox: [15.1, 47.2, 15.2, 47.3]}}
months: {start: 2024-03, end: 2024-05}
storage: ./data
"""
SHOW = """\
import json, sys
import geo_assets.definitions as d
graph = d.defs.resolve_asset_graph()
keys = {k.to_user_string(): graph.get(k) for k in graph.get_all_asset_keys()}
print(json.dumps({
    "assets": {name: {"parents": sorted(p.to_user_string() for p in node.parent_keys), "group": node.group_name,
                      "partitions": type(node.partitions_def).__name__} for name, node in keys.items()},
    "jobs": sorted(j.name for j in d.defs.resolve_all_job_defs() if not j.name.startswith("__")),
    "heavy": sorted(m for m in ("torch", "stackstac", "distributed", "dagster_dask", "dask.array", "ray", "coiled", "lithops", "pyiceberg", "odc.stac")
                    if m in sys.modules),
    "executor": d.defs.executor.name,
    "resources": type(d.resources.get("storage")).__module__,
    "root": d.storage_root,
}))
"""


def show(folder: Path, code: str = SHOW, **environment: str) -> dict[str, object]:
    """What a new process finds that loads the definitions as the daemon does."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GEO_ASSETS_", "DAGSTER_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**kept, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return document


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "geo_assets.yaml").write_text(PROJECT)
    return tmp_path


def test_the_assets_form_the_graph_of_the_contract(folder: Path) -> None:
    found = show(folder)
    assert found["assets"] == {
        "cells": {"parents": [], "group": "area", "partitions": "DynamicPartitionsDefinition"},
        "scenes/sentinel-2-l2a": {"parents": [], "group": "catalog", "partitions": "MultiPartitionsDefinition"},
        "ard/sentinel-2-l2a": {
            "parents": ["cells", "scenes/sentinel-2-l2a"],
            "group": "ard",
            "partitions": "MultiPartitionsDefinition",
        },
        "composite": {
            "parents": ["cells", "scenes/sentinel-2-l2a"],
            "group": "cube",
            "partitions": "MultiPartitionsDefinition",
        },
        "pyramid": {"parents": ["composite"], "group": "cube", "partitions": "MultiPartitionsDefinition"},
        "chips": {
            "parents": ["cells", "scenes/sentinel-2-l2a"],
            "group": "chips",
            "partitions": "MultiPartitionsDefinition",
        },
    }
    assert found["jobs"] == ["cells_job", "cube_job"]


def test_loading_imports_nothing_heavy(folder: Path) -> None:
    assert show(folder)["heavy"] == []


def test_the_project_is_found_by_the_environment(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    found = show(elsewhere, GEO_ASSETS_PROJECT=str(folder / "geo_assets.yaml"))
    assert found["root"] == str(folder / "data")


def test_the_deployment_names_another_storage(folder: Path, tmp_path: Path) -> None:
    found = show(folder, GEO_ASSETS_STORAGE=str(tmp_path / "other"))
    assert found["resources"] == "resources.storage"
    assert found["root"] == str(tmp_path / "other")


@pytest.mark.heavy
def test_executor_when_the_deployment_names_a_scheduler_then_it_is_dask_and_nothing_heavy_is_imported(
    folder: Path,
) -> None:
    found = show(folder, GEO_ASSETS_STEPS_ON="tcp://scheduler:8786")
    assert (found["executor"], found["heavy"]) == ("dask", [])
    assert show(folder)["executor"] == "in_process"


@pytest.mark.heavy
def test_executor_when_tasks_run_on_its_cluster_then_the_location_does_not_load(folder: Path) -> None:
    (folder / "geo_assets.yaml").write_text(PROJECT + "compute: {backend: dask, address: 'tcp://scheduler:8786'}\n")
    with pytest.raises(
        AssertionError, match="ConfigError: GEO_ASSETS_STEPS_ON: steps and their tasks cannot share the Dask cluster"
    ):
        show(folder, GEO_ASSETS_STEPS_ON="tcp://scheduler:8786")


def test_a_foreign_resources_package_is_left_alone(folder: Path) -> None:
    (folder / "resources.py").write_text("raise_if_used = True\n")
    found = show(folder, "import sys; sys.path.insert(0, '.')\n" + SHOW)
    assert found["resources"] == "builtins"  # none: the definitions bind the project file's own
    assert found["root"] == str(folder / "data")


def test_a_wrong_project_is_one_line(folder: Path) -> None:
    (folder / "geo_assets.yaml").write_text(PROJECT + "cub: {}\n")
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].endswith("unknown key 'cub', did you mean 'cube'?")
