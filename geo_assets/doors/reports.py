"""The report and the summary of a project as files, and the lines that open what was made."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

from geo_assets.doors.instance import deployed, effective_storage
from geo_assets.doors.report.page import write_report
from geo_assets.doors.tally import Summary
from geo_assets.errors import ConfigError, StoreError
from geo_assets.project import LoadedProject
from geo_assets.report.jobs import jobs_of
from geo_assets.report.write import FAILED, JOBS, PAGE, SUMMARY, TEXT, write_run_report
from geo_assets.tasks.areas import areas

_PROJECT = "project.html"


def refuse_folder(name: str, *, cube: str) -> Path:
    """The folder of this name; one that reports cannot be written to is refused, and nothing is made.

    Args:
        name: As it was asked for.
        cube: Path or URI of the cube, which is no place for files of others.

    Raises:
        ConfigError: It is a file, lies below one or within the cube, or may not be written to.
    """
    if not name.strip():
        raise ConfigError("--report-dir is empty: name a folder")
    folder = Path(name).absolute()
    if "://" not in cube and folder.resolve().is_relative_to(Path(cube).resolve()):
        raise ConfigError(f"--report-dir {folder}: it lies within the cube, which holds nothing else: name another one")
    there = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
    if not there.is_dir():
        raise ConfigError(f"--report-dir {folder}: {there} is no folder: name another one")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"--report-dir {folder}: {there} cannot be written to: name another one")
    for name in (SUMMARY, PAGE, JOBS, FAILED, TEXT, _PROJECT):
        if (folder / name).is_dir():
            raise ConfigError(f"--report-dir {folder}: {name} there is a folder: move it away, or name another one")
    return folder


def write_reports(loaded: LoadedProject, summary: Summary, folder: Path | None = None) -> str:
    """Write the report of a run: below the storage root, or into a folder, which then has the project's report too.

    Returns:
        Path or URI of the report's folder.

    Raises:
        StoreError: A file cannot be written; what the run made stays.
    """
    place = deployed(loaded).storage
    command = shlex.join([*_command(), "run", str(loaded.file)])
    jobs = jobs_of(place, summary.run_ids, partitions=summary.keys)
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_project_report(loaded, folder / _PROJECT, title=loaded.project.name)
        return write_run_report(
            folder if folder is not None else place, summary.id, jobs, summary.document(), title=loaded.project.name, command=command,
            beside=_PROJECT if folder is not None else "", cells=place,
        )  # fmt: skip
    except OSError as e:
        raise StoreError(f"{folder}: the report cannot be written: {e}; what the run made stays") from e


def write_project_report(loaded: LoadedProject, file: Path, *, title: str) -> Path:
    """The HTML report of a project, as its deployment runs it."""
    outlines = {aoi.name: aoi.geometry for aoi in areas(deployed(loaded))}
    shell, python = how_to_open(loaded)
    return write_report(
        effective_storage(loaded), file, title=title, commands=[shell], how_to_open=python, areas=outlines
    )


def how_to_open(loaded: LoadedProject) -> tuple[str, list[str]]:
    """The command that opens the UI, and the lines of Python that open the data."""
    root = effective_storage(loaded)
    return shlex.join([*_command(), "ui", str(loaded.file)]), [
        "import geo_assets",
        f"data = geo_assets.open({json.dumps(root, ensure_ascii=False)})",
        "cube = data.cube()  # xarray.Dataset, lazy",
    ]


def _command() -> list[str]:
    beside = Path(sys.executable).with_name("geo-assets")
    return ["geo-assets" if shutil.which("geo-assets") or not beside.exists() else str(beside)]
