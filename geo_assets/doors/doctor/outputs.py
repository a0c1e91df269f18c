"""Where products go: the storage and the cube in it."""

import contextlib
import fcntl
import uuid
from collections.abc import Iterator
from pathlib import Path

from geo_assets.doors.doctor.finding import Finding
from geo_assets.doors.secrets import shown_uri
from geo_assets.errors import GeoAssetsError
from geo_assets.model import path
from geo_assets.model.levels import levels
from geo_assets.project import LoadedProject
from geo_assets.registry import available, load
from geo_assets.tasks.layout import check_layout, layout_attrs


def storage_findings(loaded: LoadedProject) -> Iterator[Finding]:
    """Writes, reads and deletes small objects, sees that concurrent commits are kept apart, and leaves nothing behind."""
    local = None if "://" in loaded.storage.root else Path(loaded.storage.root)
    new = local is not None and not local.exists()
    try:
        yield from _round_trip(loaded)
        yield from _commits(loaded)
    finally:
        if local is not None and new:
            remove_lock(Path(f"{loaded.storage.uri(path.CUBE)}.lock"))
        for folder in (local / "doctor", *([local] if new else [])) if local else ():
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def remove_lock(file: Path) -> None:
    """Take the file of a lock away, unless somebody holds it: a first run may have begun meanwhile."""
    with contextlib.suppress(FileNotFoundError, BlockingIOError), file.open("r+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.unlink()


def _round_trip(loaded: LoadedProject) -> Iterator[Finding]:
    storage, content, name = loaded.storage, uuid.uuid4().bytes, f"doctor/{uuid.uuid4().hex}"
    shown = shown_uri(storage.root)
    try:
        storage.write(name, content)
        back = storage.read(name)
        storage.delete(name)
    except GeoAssetsError as e:
        advice = (
            "give this user the right to write there (credentials come from the environment), or choose another storage"
        )
        yield Finding("storage", "error", str(e), advice)
        return
    if back == content:
        yield Finding("storage", "ok", f"{shown}: writing, reading and deleting work")
    else:
        advice = "use another storage: a cube cannot be kept there"
        yield Finding("storage", "error", f"{shown} gives back something else than was written", advice)


def _commits(loaded: LoadedProject) -> Iterator[Finding]:
    try:
        said = loaded.cube.probe()
    except GeoAssetsError as e:
        advice = "use a storage with conditional writes: on this one concurrent runs would lose commits"
        yield Finding("storage", "error", str(e), advice)
    else:
        yield Finding("storage", "ok", f"concurrent runs: {said}")


def cube_findings(loaded: LoadedProject) -> Iterator[Finding]:
    """Whether the cube that is there fits the project."""
    kind, uri = loaded.project.cube.store, loaded.storage.uri(path.CUBE)
    others = [k for k in sorted(available("stores")) if k != kind and _is_ours(k, uri)]
    stored = loaded.cube.describe()
    if stored is not None:
        check_layout(stored, layout_attrs(loaded.project, loaded.periods()))
        yield Finding("cube", "ok", f"the {kind} cube there fits the project")
    elif others:
        advice = f"set cube.store: {others[0]}, or choose another storage"
        yield Finding(
            "cube", "error", f"{shown_uri(uri)} holds a cube of store {others[0]}, and cube.store is {kind}", advice
        )
    else:
        yield Finding("cube", "ok", "none yet; the first run makes it")
    if "pyramid" in loaded.project.products:
        made = levels(loaded.project.cube.any_grid())
        coarsest = float(made[-1].resolution)
        yield Finding("cube", "ok", f"its pyramid has {len(made)} levels, the last in pixels of {coarsest:g} CRS units")


def _is_ours(kind: str, uri: str) -> bool:
    try:
        described = load("stores", kind).open(uri).describe()
    except GeoAssetsError:
        return False  # a store that cannot be there at all
    return described is not None and "geo_assets" in described
