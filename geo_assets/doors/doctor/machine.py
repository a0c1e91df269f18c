"""The doctor's look at this machine: the Dagster instance, and the libraries with their data."""

import os
import platform
import socket
import urllib.parse
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pyproj
import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError

from geo_assets.doors.doctor.finding import Finding, Level
from geo_assets.doors.home import check_settings, open_instance
from geo_assets.model.compute import Compute, ComputeRecipe
from geo_assets.project import LoadedProject
from geo_assets.registry import load
from geo_assets.tasks.memory import most_scenes

_SCENES_A_MONTH = 26  # of Sentinel-2 over a block: every fifth day, four tiles that overlap
_PROCESS_MB = 300  # of the libraries that are loaded
_ANSWER_S = 5.0  # for the scheduler of a cluster
_MEMORY_SHARE = 0.8  # of the machine; the rest is for the system and for Dagster


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
    backend: Compute = load("compute", recipe.backend)
    can = backend.capabilities(recipe)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = f"{recipe.backend}, {recipe.workers} workers"
    if recipe.address or recipe.cluster:
        text = f"{recipe.backend} at {recipe.address or recipe.cluster}"
    if recipe.backend == "local" and recipe.workers > 2 * cores:
        yield Finding(
            "compute",
            "warning",
            f"{text} on {cores} cores",
            f"set compute.workers to {cores} to {2 * cores}: more only takes memory",
        )
    else:
        yield Finding("compute", "ok", f"{text}; {cores} cores here")
    if recipe.address:
        yield from _unreached(recipe.address)
    if can.remote and "://" not in loaded.storage.root:
        there = f"workers of {recipe.backend} may be other machines, and storage {loaded.storage.root} is a path on this one"
        yield Finding("compute", "warning", there, "use a bucket, or a folder that all of them share")
    if can.paid:
        yield from _prices(backend, recipe)
    yield from _memory(loaded)


def _unreached(address: str) -> Iterator[Finding]:
    """Whether nobody listens at the address of a cluster; those that name no host, such as ``auto``, are left to their library."""
    try:
        place = urllib.parse.urlsplit(address if "://" in address else f"//{address}")
        host, port = place.hostname, place.port
    except ValueError as e:
        yield Finding("compute", "error", f"compute.address {address}: {e}", "write it as host:port")
        return
    if host is None or port is None:
        return
    try:
        socket.create_connection((host, port), timeout=_ANSWER_S).close()
    except OSError as e:
        yield Finding(
            "compute",
            "error",
            f"nobody answers at compute.address {address}: {e}",
            "start the cluster, or mend the address",
        )


def _prices(backend: Compute, recipe: ComputeRecipe) -> Iterator[Finding]:
    """What an hour of a worker costs in each cloud region."""
    for region in sorted({recipe.region or "", *recipe.regions.values()}):
        usd = backend.price(recipe, region).usd_per_s * 3600
        limit = f", compute.max_usd {recipe.max_usd:g}" if recipe.max_usd is not None else ""
        advice = "" if limit else "set compute.max_usd, above which no run starts"
        yield Finding(
            "compute", "ok", f"a worker costs ${usd:.4f} an hour{' in ' + region if region else ''}{limit}", advice
        )


def _memory(loaded: LoadedProject) -> Iterator[Finding]:
    """Whether a block fits into ``cube.memory_mb``, and the blocks of all workers into this machine."""
    cube, compute = loaded.project.cube, loaded.project.compute
    side = cube.any_grid().block_px
    scenes = most_scenes(cube, side)
    text = f"a block of {side} x {side} pixels may have up to {scenes} scenes within cube.memory_mb {cube.memory_mb}"
    usual = _SCENES_A_MONTH * loaded.project.months.step
    advice = f"raise cube.memory_mb or lower cube.block_px: {usual} scenes are usual where tiles overlap, and a block with more is refused"
    level: Level = "ok" if scenes >= usual else "warning" if scenes else "error"
    yield Finding("memory", level, text, "" if level == "ok" else advice)
    apart = compute.backend != "local" or compute.isolation == "process"
    processes = compute.workers if apart else 1
    need, there = compute.workers * cube.memory_mb + processes * _PROCESS_MB, _machine_mb()
    if _is_here(compute) and there and need > _MEMORY_SHARE * there:
        asked = f"{compute.workers} workers with cube.memory_mb {cube.memory_mb} may take {need:,} MB, and this machine has {there:,} MB"
        yield Finding("memory", "warning", asked, "lower compute.workers or cube.memory_mb")
    least = cube.memory_mb + _PROCESS_MB
    if apart and compute.memory_mb and compute.memory_mb < least:
        text = f"a worker may hold compute.memory_mb {compute.memory_mb}, and a block takes up to {cube.memory_mb} MB beside {_PROCESS_MB} MB of libraries"
        yield Finding("memory", "warning", text, f"raise compute.memory_mb to {least} or lower cube.memory_mb")


def _is_here(compute: ComputeRecipe) -> bool:
    """Whether all workers run on this machine."""
    backend: Compute = load("compute", compute.backend)
    return not (compute.address or compute.cluster or backend.capabilities(compute).remote)


def _machine_mb() -> int:
    """Memory that this process may use, or 0 where the system does not say."""
    try:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
    group = Path("/sys/fs/cgroup/memory.max")  # of a container; "max" where it has no limit of its own
    limit = group.read_text(encoding="ascii").strip() if group.is_file() else ""
    return min(there, int(limit) if limit.isdigit() else there) // 2**20
