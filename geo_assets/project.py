"""Reads a project file: YAML to recipes, paths resolved, plugins and bands checked."""

import datetime as dt
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from geo_assets.errors import ConfigError
from geo_assets.model.period import Periods
from geo_assets.model.plugin import Catalog, Cube, Store
from geo_assets.model.project import MADE, Product, Project, parse_project
from geo_assets.model.sensor import Sensor
from geo_assets.registry import load
from geo_assets.storage import Storage

DEFAULT_FILE = "geo_assets.yaml"
ENVIRONMENT = "GEO_ASSETS_PROJECT"
_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class LoadedProject:
    """A project file that was read and found sound; all its paths are absolute.

    Attributes:
        project: Its recipes.
        file: Where it lies.
    """

    project: Project
    file: Path

    @property
    def base(self) -> Path:
        """Folder that relative paths count from."""
        return self.file.parent

    @property
    def storage(self) -> Storage:
        """Where everything is kept."""
        return Storage(self.project.storage)

    @property
    def catalog(self) -> Catalog:
        """The catalog plugin."""
        plugin: Catalog = load("catalogs", self.project.catalog.kind)
        return plugin

    @property
    def sensor(self) -> Sensor:
        """The sensor of the cube."""
        plugin: Sensor = load("sensors", self.project.cube.sensor)
        return plugin

    @property
    def cube(self) -> Cube:
        """The cube's repository."""
        plugin: Store = load("stores", self.project.cube.store)
        return plugin.open(self.storage.uri("cube"))

    def periods(self, today: dt.date | None = None) -> Periods:
        """The time axis as of today (UTC)."""
        return self.project.months.periods(today or dt.datetime.now(dt.UTC).date())

    def wanted(self, asked: list[str] | None = None) -> list[Product]:
        """Products to make with all that they need, in the order of making.

        Raises:
            ConfigError: One is not made by this version.
        """
        names = asked or list(self.project.products)
        for name in names:
            if name not in MADE:
                raise ConfigError(f"product {name!r} is not made by this version; it makes {', '.join(MADE)}")
        last = max(MADE.index(n) for n in MADE if n in names)
        return list(MADE[: last + 1])


def load_project(path: str | os.PathLike[str]) -> LoadedProject:
    """The project of a file.

    Raises:
        ConfigError: Missing, unreadable or wrong; the text says which key and what to do.
    """
    file = Path(path).absolute()
    if file.is_dir():
        file = file / DEFAULT_FILE
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{file}: over 1 MB is no project file")
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no project file at {file}; write one with `geo-assets init`") from None
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file}: cannot be read: {e}") from e
    except yaml.YAMLError as e:
        raise ConfigError(f"{file}: not YAML: {' '.join(str(e).split())}") from e
    return parse_loaded(data, file)


def parse_loaded(data: Any, file: Path) -> LoadedProject:
    """The project of a parsed document that stands, or would stand, in ``file``.

    Raises:
        ConfigError: It is wrong; the text says which key and what to do.
    """
    loaded = LoadedProject(_absolute(parse_project(data, str(file)), file.parent), file)
    _check(loaded)
    return loaded


def _absolute(project: Project, base: Path) -> Project:
    def place(path: str | None) -> str | None:
        return path if path is None or "://" in path else str(base / path)

    aois = {name: aoi.model_copy(update={"path": place(aoi.path)}) for name, aoi in project.aois.items()}
    changed: dict[str, Any] = {
        "aois": aois,
        "catalog": project.catalog.model_copy(update={"path": place(project.catalog.path)}),
        "grid": project.grid.model_copy(update={"path": place(project.grid.path)}),
        "storage": place(project.storage),
    }
    return project.model_copy(update=changed)


def _check(loaded: LoadedProject) -> None:
    project, where = loaded.project, loaded.file
    for entry in project.sensors:
        load("sensors", entry.sensor)
    for kind, name in (
        ("grids", project.grid.kind),
        ("stores", project.cube.store),
        ("readers", project.cube.reader),
        ("compute", project.compute.backend),
    ):
        load(kind, name)
    sensor, catalog = loaded.sensor, loaded.catalog
    catalog.access(project.catalog)
    usable = [b.name for b in sensor.bands.values() if not b.categorical]
    for band in project.cube.bands:
        if band not in usable:
            raise ConfigError(f"{where}: cube.bands: {sensor.name} has no band {band!r}; it has {', '.join(usable)}")
    if project.mask.kind != "none" and project.mask.kind not in sensor.mask_band:
        raise ConfigError(
            f"{where}: mask.kind {project.mask.kind!r} does not fit {sensor.name}; use {', '.join([*sensor.mask_band, 'none'])}"
        )
    if project.cube.crs != "utm":
        project.cube.pixel_grid(project.cube.crs)
    loaded.periods()
