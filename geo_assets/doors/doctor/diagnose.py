"""Looks at everything that a run needs, and says what to do about what is wrong."""

import os
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from geo_assets.doors.doctor.finding import Finding
from geo_assets.doors.doctor.inputs import area_findings, catalog_findings, cell_findings
from geo_assets.doors.doctor.machine import compute_findings, dagster_findings, version_findings
from geo_assets.doors.doctor.outputs import cube_findings, storage_findings
from geo_assets.doors.plugins import list_plugins
from geo_assets.doors.secrets import find_secrets, without_secrets
from geo_assets.errors import GeoAssetsError
from geo_assets.model.unused import unused
from geo_assets.project import DEFAULT_FILE, LoadedProject, load_project

_WAIT_S = 40.0  # for any one check; a bucket or catalog that takes longer is as good as none

Check = Callable[[LoadedProject], Iterator[Finding]]


def diagnose(
    loaded_or_path: LoadedProject | str | os.PathLike[str],
    *,
    instance: Any = None,
    deploy: Callable[[LoadedProject], LoadedProject] | None = None,
) -> list[Finding]:
    """Findings about a project, what it depends on, and this machine. Never raises for one.

    Args:
        loaded_or_path: The project, or its file or folder, which may be faulty.
        instance: The Dagster instance that is used; left out, the folder is looked at where the command line keeps it.
        deploy: The project as its deployment runs it; left out, it is run as it is.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what areas and files warn of is among the findings
        file = loaded_or_path.file if isinstance(loaded_or_path, LoadedProject) else Path(loaded_or_path).absolute()
        file = file / DEFAULT_FILE if file.is_dir() else file
        text = _text(file)
        found = _diagnose(loaded_or_path, file, instance, deploy)
        return [replace(f, message=without_secrets(f.message, text)) for f in found]


def _diagnose(
    loaded_or_path: LoadedProject | str | os.PathLike[str],
    file: Path,
    instance: Any,
    deploy: Callable[[LoadedProject], LoadedProject] | None,
) -> list[Finding]:
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
    advice = "take it out, or change what keeps it from counting"
    findings[:0] = [
        Finding("project", "ok", f"{loaded.project.name} in {file}"),
        *(Finding("project", "warning", line, advice) for line in unused(loaded.project)),
    ]
    checks: tuple[tuple[str, Check], ...] = (
        ("plugins", _plugins), ("areas", area_findings), ("cells", cell_findings), ("catalog", catalog_findings),
        ("storage", storage_findings), ("cube", cube_findings), ("compute", compute_findings),
    )  # fmt: skip
    try:
        loaded = deploy(loaded) if deploy else loaded
    except GeoAssetsError as e:
        advice = "set what the deployment needs; checks of the storage and of what lies in it wait for that"
        findings.append(Finding("deployment", "error", str(e), advice))
        checks = (("plugins", _plugins), ("compute", compute_findings))
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
