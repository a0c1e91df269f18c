"""Looks at everything that a run needs, and says what to do about what is wrong."""

import os
import shutil
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import shapely

from geo_assets.assets.partitions import MAX_KEYS
from geo_assets.doors.doctor_machine import dagster_findings, existing, version_findings
from geo_assets.doors.finding import Finding
from geo_assets.doors.plugins import list_plugins
from geo_assets.doors.secrets import find_secrets, shown_uri, without_secrets
from geo_assets.eo.aoi import Aoi, read_aoi
from geo_assets.errors import ConfigError, GeoAssetsError
from geo_assets.model import path
from geo_assets.model.geometry import Region
from geo_assets.model.scene import SceneQuery
from geo_assets.project import DEFAULT_FILE, LoadedProject, load_project
from geo_assets.registry import available, load
from geo_assets.tasks import areas, cells
from geo_assets.tasks.partition import check_layout, layout_attrs

_WAIT_S = 40.0  # for any one check; a bucket or catalog that takes longer is as good as none
_MANY_REGIONS = 30  # the blocks of so many regions are counted, those of further ones estimated
_BYTES_SHARE = 0.75  # of a made pixel's bytes that compressed shards take (Sentinel-2, zstd)


@dataclass(frozen=True)
class _Area:
    """What the areas come to: the regions, and the pixels that their cells ask for in one period."""

    table: cells.CellTable
    pixels: int


Check = Callable[[LoadedProject], Iterator[Finding]]


def diagnose(loaded_or_path: LoadedProject | str | os.PathLike[str], *, instance: Any = None) -> list[Finding]:
    """Findings about a project, what it depends on, and this machine. Never raises for one.

    Args:
        loaded_or_path: The project, or its file or folder, which may be faulty.
        instance: The Dagster instance that is used; left out, the folder is looked at where the command line keeps it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what areas and files warn of is among the findings
        file = loaded_or_path.file if isinstance(loaded_or_path, LoadedProject) else Path(loaded_or_path).absolute()
        file = file / DEFAULT_FILE if file.is_dir() else file
        text = _text(file)
        found = _diagnose(loaded_or_path, file, instance)
        return [replace(f, message=without_secrets(f.message, text)) for f in found]


def _diagnose(loaded_or_path: LoadedProject | str | os.PathLike[str], file: Path, instance: Any) -> list[Finding]:
    findings = _guarded("secrets", partial(_secrets, file))
    try:
        loaded = loaded_or_path if isinstance(loaded_or_path, LoadedProject) else load_project(file)
    except GeoAssetsError as e:
        findings.insert(0, Finding("project", "error", str(e), "mend the project file; the other checks need it"))
        return [
            *findings,
            *_guarded("dagster", partial(dagster_findings, file.parent, instance)),
            *_guarded("versions", version_findings),
        ]
    findings.insert(0, Finding("project", "ok", f"{loaded.project.name} in {file}"))
    checks: tuple[tuple[str, Check], ...] = (
        ("plugins", _plugins), ("areas", _areas), ("cells", _cells), ("catalog", _catalog), ("storage", _storage), ("cube", _cube), ("compute", _compute),
    )  # fmt: skip
    for name, check in checks:
        findings += _guarded(name, partial(check, loaded))
    findings += _guarded("dagster", partial(dagster_findings, loaded.base, instance))
    return findings + _guarded("versions", version_findings)


def _guarded(name: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """What a check finds within its time; an error of any kind is a finding too."""
    found: list[Finding] = []

    def run() -> None:
        try:
            found.extend(check())
        except GeoAssetsError as e:
            found.append(Finding(name, "error", str(e)))
        except Exception as e:  # noqa: BLE001 - a door: whatever a check meets is what it found
            found.append(
                Finding(name, "error", f"{type(e).__name__}: {str(e)[:300]}", "run with --verbose, or report it")
            )

    thread = threading.Thread(target=run, daemon=True)  # not a pool: its threads would hold up the exit
    thread.start()
    thread.join(_WAIT_S)
    if thread.is_alive():
        return [
            *found,
            Finding(
                name, "error", f"no answer within {_WAIT_S:g} s", "check the network, the address and the credentials"
            ),
        ]
    return found


# ---- the project file ------------------------------------------------------------------------------------------------


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")[:1_000_000]
    except OSError:
        return ""


def _secrets(file: Path) -> Iterator[Finding]:
    found = find_secrets(_text(file))
    for line, kind in sorted({(line, kind) for line, kind, _ in found}):
        advice = "take it out, renew it, and set it in the environment (AWS_ACCESS_KEY_ID and the like)"
        yield Finding("secrets", "error", f"{file.name}, line {line}: this looks like {kind}", advice)
    if not found:
        yield Finding("secrets", "ok", "none in the project file")


def _plugins(loaded: LoadedProject) -> Iterator[Finding]:
    used = {("sensors", s.sensor) for s in loaded.project.sensors}
    project = loaded.project
    used |= {("catalogs", project.catalog.kind), ("grids", project.grid.kind), ("stores", project.cube.store)}
    used |= {("readers", project.cube.reader), ("compute", project.compute.backend)}
    rows = {(p["kind"], p["name"]): p for p in list_plugins()}
    bad = False
    for key in sorted(used):
        row = rows.get(key)
        if row and not row["usable"]:
            bad = True
            yield Finding("plugins", "error", f"{key[0]} {key[1]} cannot be used: {row['missing']}", row["install"])
    for row in rows.values():
        foreign = row["origin"] and not row["origin"].startswith("geo_assets.")
        if not row["usable"] and (row["kind"], row["name"]) not in used and (foreign or not row["name"]):
            yield Finding(
                "plugins",
                "warning",
                f"{row['kind']} {row['name']}: {row['missing']}",
                "mend or uninstall the package that brings it",
            )
    if not bad:
        yield Finding("plugins", "ok", ", ".join(f"{kind} {name}" for kind, name in sorted(used)))


# ---- area and time ---------------------------------------------------------------------------------------------------


def _areas(loaded: LoadedProject) -> Iterator[Finding]:
    found = []
    for name, recipe in loaded.project.aois.items():
        try:
            found.append(read_aoi(name, recipe, loaded.base))
        except ConfigError as e:
            yield Finding("areas", "error", str(e), f"mend aois.{name} in {loaded.file.name}, or its file")
    found += _registered(loaded)
    for area in found:
        west, south, east, north = area.geometry.bounds
        text = f"{area.name}: {west:.3f} {south:.3f} {east:.3f} {north:.3f} (west south east north)"
        yield Finding("areas", "ok", text)
        for note in area.notes:
            yield Finding("areas", "warning", f"{area.name}: {note}", "look whether that is meant")
    if not found and not loaded.project.aois:
        advice = "add one under aois in the project file, or with `geo-assets aoi add NAME FILE`"
        yield Finding("areas", "error", "the project has no area of interest", advice)


def _registered(loaded: LoadedProject) -> list[Aoi]:
    if not areas.registered(loaded):
        return []
    without = loaded.project.model_copy(update={"aois": {}})
    return areas.areas(replace(loaded, project=without))


def _area(loaded: LoadedProject) -> _Area:
    table = cells.cut(areas.areas(loaded), loaded.project.grid, loaded.project.cube)
    counted = table.regions[:: max(1, len(table.regions) // _MANY_REGIONS)]
    pixels = 0
    for key in counted:
        grid = cells.region_grid(key, loaded.project.cube)
        plans = cells.plan_blocks(table.of_region(key), Region.parse(key), grid)
        pixels += sum(len(p.chunks) for p in plans) * grid.chunk_px**2
    return _Area(table, pixels * len(table.regions) // max(1, len(counted)))


def _cells(loaded: LoadedProject) -> Iterator[Finding]:
    periods = loaded.periods()
    span = f"{len(periods)} periods, {periods.keys[0]} to {periods.keys[-1]}"
    yield Finding("months", "ok", f"{span}, {periods.step} month(s) each")
    try:
        area = _area(loaded)
    except ConfigError as e:
        yield Finding("cells", "error", str(e))
        return
    regions = len(area.table.regions)
    yield Finding(
        "cells", "ok", f"{len(area.table.cells):,} cells of grid {loaded.project.grid.kind} in {regions:,} regions"
    )
    keys = regions * len(periods)
    text = f"{keys:,} partitions an asset ({regions:,} regions x {len(periods):,} periods)"
    if keys > MAX_KEYS:
        advice = "raise months.step or cube.region_blocks, shorten the months, or split the area into several projects"
        yield Finding("partitions", "warning", f"{text}; Dagster gets slow above {MAX_KEYS:,}", advice)
    else:
        yield Finding("partitions", "ok", text)
    yield from _disk(loaded, area.pixels * len(periods), keys)


def _disk(loaded: LoadedProject, pixels: int, keys: int) -> Iterator[Finding]:
    """Compares what is still to be stored with the room there is."""
    made = len(loaded.storage.names(path.receipts("composite")))
    left = max(0.0, 1 - made / keys) if keys else 0.0
    need = pixels * left * 2 * (len(loaded.project.cube.bands) + 1) * _BYTES_SHARE
    text = f"about {need / 1e9:,.1f} GB still to be stored"
    root = loaded.storage.root
    if "://" in root:
        yield Finding("disk", "ok", f"{text} in {shown_uri(root)}")
        return
    free = shutil.disk_usage(existing(Path(root))).free
    if need > 0.9 * free:
        yield Finding(
            "disk",
            "warning",
            f"{text}, and {free / 1e9:,.1f} GB are free at {root}",
            "make room, choose another storage, or a smaller area",
        )
    else:
        yield Finding("disk", "ok", f"{text}; {free / 1e9:,.0f} GB are free at {root}")


# ---- where scenes come from and products go --------------------------------------------------------------------------


def _catalog(loaded: LoadedProject) -> Iterator[Finding]:
    """One search: the whole area and time of a catalog in files, or a small part of what an API has."""
    recipe, periods = loaded.project.catalog, loaded.periods()
    whole = recipe.path is not None
    area = shapely.union_all([a.geometry for a in areas.areas(loaded)])
    start, end = periods.at(0).start, periods.at(len(periods) - 1).end
    if not whole:
        area, end = area.representative_point().buffer(0.001), start
        recipe = recipe.model_copy(
            update={"retries": 0, "timeout_s": min(recipe.timeout_s, 10.0), "deadline_s": min(recipe.deadline_s, 25.0)}
        )
    for entry in loaded.project.sensors:
        collections = tuple(entry.collections) or load("sensors", entry.sensor).collections_in(recipe.kind)
        name = f"{recipe.kind}, {entry.sensor}"
        try:
            found = len(loaded.catalog.search(recipe, SceneQuery(collections, area, start, end)))
        except ConfigError as e:
            yield Finding("catalog", "error", f"{name}: {e}", "correct catalog or sensors in the project file")
        except GeoAssetsError as e:
            advice = "check the network and proxy, or try again later" if e.retryable else "mend or change the catalog"
            yield Finding("catalog", "error", f"{name}: {e}", advice)
        else:
            yield _answered(name, found, whole=whole)


def _answered(name: str, found: int, *, whole: bool) -> Finding:
    if not whole:
        return Finding("catalog", "ok", f"{name}: answers a search")
    if not found:
        return Finding(
            "catalog",
            "warning",
            f"{name}: no item over the areas in these months",
            "every composite would be empty: check area, months and catalog",
        )
    return Finding("catalog", "ok", f"{name}: {found} items over the areas in these months")


def _storage(loaded: LoadedProject) -> Iterator[Finding]:
    """Writes, reads and deletes a small object, and leaves nothing behind."""
    storage, content = loaded.storage, uuid.uuid4().bytes
    shown, name = shown_uri(storage.root), f"doctor/{uuid.uuid4().hex}"
    local = None if "://" in storage.root else Path(storage.root)
    new = local is not None and not local.exists()
    try:
        storage.write(name, content)
        back = storage.read(name)
        storage.delete(name)
    except Exception as e:  # noqa: BLE001 - a door: clouds' libraries have errors of their own, as for missing credentials
        yield Finding(
            "storage",
            "error",
            str(e) if isinstance(e, GeoAssetsError) else f"{shown}: {type(e).__name__}: {str(e)[:300]}",
            "give this user the right to write there (credentials come from the environment), or choose another storage",
        )
        return
    finally:
        for folder in (local / "doctor", *([local] if new else [])) if local else ():
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
    if back != content:
        yield Finding(
            "storage",
            "error",
            f"{shown} gives back something else than was written",
            "use another storage: a cube cannot be kept there",
        )
        return
    yield Finding("storage", "ok", f"{shown}: writing, reading and deleting work")


def _cube(loaded: LoadedProject) -> Iterator[Finding]:
    kind, uri = loaded.project.cube.store, loaded.storage.uri(path.CUBE)
    others = [k for k in sorted(available("stores")) if k != kind and _is_ours(k, uri)]
    stored = loaded.cube.describe()
    if stored is not None:
        check_layout(stored, layout_attrs(loaded.project, loaded.periods()))
        yield Finding("cube", "ok", f"the {kind} cube there fits the project")
    elif others:
        yield Finding(
            "cube",
            "error",
            f"{shown_uri(uri)} holds a cube of store {others[0]}, and cube.store is {kind}",
            f"set cube.store: {others[0]}, or choose another storage",
        )
        return
    else:
        yield Finding("cube", "ok", "none yet; the first run makes it")
    probe = getattr(loaded.cube, "probe", None)
    if probe is None:
        return
    try:
        said = probe()
    except (GeoAssetsError, OSError) as e:
        yield Finding(
            "cube",
            "error",
            f"{shown_uri(uri)}: {e}",
            "concurrent runs would lose commits: use a storage with conditional writes",
        )
        return
    yield Finding(
        "cube", "ok", f"conditional writes: {said}" if isinstance(said, str) and said else "conditional writes work"
    )


def _is_ours(kind: str, uri: str) -> bool:
    try:
        described = load("stores", kind).open(uri).describe()
    except GeoAssetsError:
        return False  # a store that cannot be there at all
    return described is not None and "geo_assets" in described


# ---- this machine ----------------------------------------------------------------------------------------------------


def _compute(loaded: LoadedProject) -> Iterator[Finding]:
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
