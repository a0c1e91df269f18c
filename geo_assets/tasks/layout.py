"""The cube that a project's composites go into: made where it is missing, and refused where it is another one."""

import os
import uuid
from typing import Any

from geo_assets.errors import ConfigError
from geo_assets.model import path
from geo_assets.model.geometry import PixelGrid
from geo_assets.model.levels import levels
from geo_assets.model.period import Periods
from geo_assets.model.plugin import Cube
from geo_assets.model.project import Project
from geo_assets.model.sensor import Sensor
from geo_assets.registry import available, load
from geo_assets.storage import Storage
from geo_assets.tasks import composite


def ensure_layout(cube: Cube, project: Project, sensor: Sensor, grid: PixelGrid, periods: Periods) -> None:
    """Create the group of a pixel grid where it is missing, extend the time axis, and refuse what does not fit.

    Raises:
        ConfigError: The stored cube has another layout, start or step than the project; nothing was changed.
    """
    refuse_other_layout(cube, project, periods)
    wanted = layout_attrs(project, periods)
    cube.prepare(
        {"geo_assets": wanted, "geo_assets_id": uuid.uuid4().hex},
        grid.group,
        grid,
        periods,
        composite.variables(sensor, project.cube),
    )


def ensure_levels(cube: Cube, project: Project, sensor: Sensor, grid: PixelGrid, periods: Periods) -> None:
    """Create the levels below a group that is there, and extend their time axes.

    Raises:
        ConfigError: The geometry of the cube has no levels.
    """
    variables = composite.variables(sensor, project.cube)
    cube.prepare(cube.describe() or {}, grid.group, grid, periods, variables, levels(grid))


def refuse_other_layout(cube: Cube, project: Project, periods: Periods) -> None:
    """Refuses a project that the stored cube, if there is one, does not fit.

    Raises:
        ConfigError: Names the settings and both values.
    """
    stored = cube.describe()
    if stored is not None:
        check_layout(stored, layout_attrs(project, periods))


def refuse_other_store(project: Project, storage: Storage) -> None:
    """Refuses a project whose storage holds a cube of another kind of store.

    Raises:
        ConfigError: Names both.
    """
    wanted, uri = project.cube.store, storage.uri(path.CUBE)
    if "://" not in uri and os.path.exists(uri) and not os.path.isdir(uri):
        raise ConfigError(f"{uri} is a file where the cube's folder should be: move it away, or choose another storage")
    for kind in sorted(set(available("stores")) - {wanted}):
        found = load("stores", kind).open(uri).describe()
        if found is not None and "geo_assets" in found:
            raise ConfigError(
                f"{storage.root} holds a cube of store {kind}, and cube.store is {wanted}: change it back, choose another storage, or run with --initialize"
            )


def cube_id(cube: Cube) -> str | None:
    """What tells this cube from one that was made anew in its place; None where there is none."""
    stored = cube.describe()
    return None if stored is None else str(stored.get("geo_assets_id", ""))


def layout_attrs(project: Project, periods: Periods) -> dict[str, Any]:
    """What is stored once with the cube; a project that disagrees is refused."""
    cube = project.cube
    return {
        "format": 1, "sensor": cube.sensor, "resolution": cube.resolution, "crs": cube.crs, "bands": list(cube.bands), "layout": cube.layout,
        "varname": cube.varname if cube.layout == "stacked" else "", "start": str(periods.start), "step": periods.step,
        "block_px": cube.block_px, "chunk_px": cube.chunk_px, "region_blocks": cube.region_blocks,
    }  # fmt: skip


def check_layout(stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuses a project whose cube settings differ from those that the cube was made with.

    Raises:
        ConfigError: Names the settings and both values.
    """
    had = stored.get("geo_assets")
    if not isinstance(had, dict):
        raise ConfigError("the storage holds a Zarr group that geo_assets did not make: choose another storage")
    differ = [f"{k} {had.get(k)} -> {wanted[k]}" for k in wanted if had.get(k) != wanted[k]]
    if differ:
        raise ConfigError(
            f"the stored cube was made with other settings ({', '.join(differ)}): change them back, choose another storage, or run with --initialize to clear the cube"
        )
