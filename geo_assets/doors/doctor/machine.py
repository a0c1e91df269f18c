"""The doctor's look at this machine: the Dagster instance, and the libraries with their data."""

import os
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pyproj
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError

from geo_assets.doors.doctor.finding import Finding
from geo_assets.doors.home import check_settings, open_instance
from geo_assets.project import LoadedProject
from geo_assets.registry import load


def existing(folder: Path) -> Path:
    """The folder, or the next one above it that exists."""
    return next(p for p in (folder, *folder.parents) if p.exists())


def dagster_findings(base: Path, instance: Any) -> Iterator[Finding]:
    """Looks at the instance's folder without making one."""
    if instance is not None:
        instance.get_runs_count()
        off = not instance.telemetry_enabled
        yield Finding("dagster", "ok", f"the instance {instance.root_directory} answers")
    else:
        given = os.environ.get("DAGSTER_HOME")
        home = Path(given).expanduser() if given else base / ".dagster"
        fault = _home_fault(home, given=bool(given))
        if fault:
            advice = "set DAGSTER_HOME to a folder that this user may write to, or unset it to use .dagster beside the project file"
            yield Finding("dagster", "error", fault, advice)
            return
        off = not (home / "dagster.yaml").exists()  # the command line writes one that turns it off
        if (home / "history").is_dir():
            with open_instance(home) as there:
                off = not there.telemetry_enabled
        elif not off:
            settings = check_settings(home)
            off = (settings.get("telemetry") or {}).get("enabled") is False
        new = "" if home.exists() else ", which the first run makes"
        yield Finding("dagster", "ok", f"the instance is kept in {home}{new}")
    if not off and not os.environ.get("DAGSTER_DISABLE_TELEMETRY"):
        yield Finding(
            "dagster", "warning", "Dagster's telemetry is on", "write `telemetry: {enabled: false}` into dagster.yaml"
        )


def _home_fault(home: Path, *, given: bool) -> str:
    if given and not home.is_absolute():
        return f"DAGSTER_HOME is {home}, which is not an absolute path"
    if home.exists() and not home.is_dir():
        return f"{home} is a file, and the Dagster instance needs a folder"
    there = existing(home)
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return f"{home} cannot be written to"
    return ""


def version_findings() -> Iterator[Finding]:
    """Versions, and whether PROJ and GDAL find their own data."""
    names = ("geo-assets", "dagster", "numpy", "xarray", "zarr", "icechunk", "rasterio", "pyproj")
    found = [f"{n} {v}" for n in names if (v := _version(n))]
    base = f"Python {platform.python_version()}, GDAL {rasterio.__gdal_version__}, PROJ {pyproj.proj_version_str}"
    yield Finding("versions", "ok", f"{base}, {', '.join(found)}")
    try:
        works = CRS.from_epsg(32633).to_epsg() == 32633 == pyproj.CRS.from_epsg(32633).to_epsg()
    except (RasterioError, CRSError, pyproj.exceptions.ProjError) as e:
        yield _proj_fault(str(e)[:200])
        return
    if not works:
        yield _proj_fault("EPSG:32633 is not recognised")


def _proj_fault(text: str) -> Finding:
    named = [n for n in ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA") if os.environ.get(n)]
    advice = (
        f"unset {' and '.join(named)}: they point to another installation's data"
        if named
        else "install rasterio and pyproj again"
    )
    return Finding("versions", "error", f"GDAL and PROJ do not find their data: {text}", advice)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def compute_findings(loaded: LoadedProject) -> Iterator[Finding]:
    """Whether the backend and its number of workers fit this machine."""
    recipe = loaded.project.compute
    load("compute", recipe.backend)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = f"{recipe.backend}, {recipe.workers} workers"
    if recipe.backend == "local" and recipe.workers > 2 * cores:
        yield Finding(
            "compute",
            "warning",
            f"{text} on {cores} cores",
            f"set compute.workers to {cores} to {2 * cores}: more only takes memory",
        )
    else:
        yield Finding("compute", "ok", f"{text}; {cores} cores here")
