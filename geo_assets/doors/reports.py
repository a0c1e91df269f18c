"""The report and the summary of a project as files, and the lines that open what was made."""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

from geo_assets.doors.instance import deployed, effective_storage
from geo_assets.doors.report.page import write_report
from geo_assets.doors.run import Summary
from geo_assets.errors import ConfigError, StoreError
from geo_assets.project import LoadedProject
from geo_assets.tasks.areas import areas

_SUMMARY, _REPORT = "summary.json", "report.html"


def refuse_folder(folder: Path) -> None:
    """Refuses a folder that reports cannot be written to; makes nothing.

    Raises:
        ConfigError: It is a file, lies below one, or may not be written to.
    """
    folder = folder.absolute()
    there = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
    if not there.is_dir():
        raise ConfigError(f"--report-dir {folder}: {there} is no folder: name another one")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"--report-dir {folder}: {there} cannot be written to: name another one")
    for name in (_SUMMARY, _REPORT):
        if (folder / name).is_dir():
            raise ConfigError(f"--report-dir {folder}: {name} there is a folder: move it away, or name another one")


def write_reports(loaded: LoadedProject, summary: Summary, folder: Path) -> None:
    """Write summary and report into a folder.

    Raises:
        StoreError: One of them cannot be written; what the run made stays.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _SUMMARY).write_text(json.dumps(summary.document(), indent=1), encoding="utf-8")
        write_project_report(loaded, folder / _REPORT, title=loaded.project.name)
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
    beside = Path(sys.executable).with_name("geo-assets")
    command = "geo-assets" if shutil.which("geo-assets") or not beside.exists() else str(beside)
    return f"{shlex.quote(command)} ui {shlex.quote(str(loaded.file))}", [
        "import geo_assets",
        f"data = geo_assets.open({json.dumps(root, ensure_ascii=False)})",
        "cube = data.cube()  # xarray.Dataset, lazy",
    ]
