"""Reads a project file: YAML to recipes, paths resolved, plugins and bands checked."""

import datetime as dt
import os
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from geo_assets.eo.geoid import undulation
from geo_assets.eo.tile_rules import tile_rules
from geo_assets.errors import ConfigError
from geo_assets.model import chip_settings
from geo_assets.model.address import check_address
from geo_assets.model.collection import SensorRecipe, mask_band, mask_for
from geo_assets.model.levels import levels
from geo_assets.model.period import Periods
from geo_assets.model.plugin import Catalog, Cube, Store
from geo_assets.model.project import MADE, Product, Project, parse_project
from geo_assets.model.recipe import MaskRecipe
from geo_assets.model.sensor import Sensor
from geo_assets.model.unused import unused
from geo_assets.registry import available, heights_of, load, sensor_of
from geo_assets.storage import Storage, check_root

DEFAULT_FILE = "geo_assets.yaml"
ENVIRONMENT = "GEO_ASSETS_PROJECT"
_MAX_BYTES = 1_000_000
_MAX_DEPTH = 30
_MAX_DIGITS = 300  # Python refuses to write numbers with over 4,300


class _Loader(yaml.SafeLoader):
    """YAML without what can make a small file large or mean two things: anchors, deep nesting, a key given twice."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not allowed", problem_mark=event.start_mark)
        if self._depth > _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="it is nested too deeply", problem_mark=event.start_mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.ScalarNode):
            self._refuse_odd(node)
        return node

    def _refuse_odd(self, node: yaml.ScalarNode) -> None:
        if "\0" in node.value or any("\ud800" <= c <= "\udfff" for c in node.value):
            raise yaml.MarkedYAMLError(problem="a NUL or half a character", problem_mark=node.start_mark)
        if node.tag == "tag:yaml.org,2002:int" and len(node.value) > _MAX_DIGITS:
            raise yaml.MarkedYAMLError(problem="a number with too many digits", problem_mark=node.start_mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, OverflowError, AttributeError, RecursionError) as e:
            problem = f"not a value: {str(e)[:100]}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from e

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in [k for k, _ in node.value if isinstance(k, yaml.ScalarNode)]:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"{key.value[:80]!r} is given twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


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
        return sensor_of(self.project.sensor(self.project.cube.sensor))

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
            ConfigError: One is not made by this version, or cannot be made of this cube.
        """
        names = asked or list(self.project.products)
        for name in names:
            if name not in MADE:
                raise ConfigError(f"product {name!r} is not made by this version; it makes {', '.join(MADE)}")
        needed: set[Product] = set()
        for name in MADE:
            if name in names:
                needed |= {name, *self.project.needs(name)}
        if "pyramid" in needed:
            levels(self.project.cube.any_grid())
        return [name for name in MADE if name in needed]


def load_project(path: str | os.PathLike[str]) -> LoadedProject:
    """The project of a file.

    Raises:
        ConfigError: Missing, unreadable or wrong; the text says which key and what to do.
    """
    file = Path(path).absolute()
    try:
        if file.is_dir():
            file = file / DEFAULT_FILE
        if not stat.S_ISREG(file.stat().st_mode):
            raise ConfigError(f"{file}: no regular file; give the path of a project file")
        with file.open("rb") as handle:
            content = handle.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"{file}: over 1 MB is no project file")
        text = content.decode()
    except ConfigError:
        raise
    except FileNotFoundError:
        raise ConfigError(f"no project file at {file}; write one with `geo-assets init`") from None
    except (OSError, ValueError) as e:
        raise ConfigError(f"{os.fspath(path)!r}: cannot be read: {e}") from e
    return parse_loaded(parse_yaml(text, str(file)), file)


def parse_yaml(text: str, source: str) -> Any:
    """What a YAML document says, without anchors, keys given twice, and what else a project file must not have.

    Raises:
        ConfigError: It is not such a document.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as e:
        raise ConfigError(f"{source}: not YAML as project files have it: {' '.join(str(e).split())}") from e


def parse_loaded(data: Any, file: Path) -> LoadedProject:
    """The project of a parsed document that stands, or would stand, in ``file``.

    Raises:
        ConfigError: It is wrong; the text says which key and what to do.
    """
    project = parse_project(data, str(file))
    for line in unused(project):
        warnings.warn(f"{file}: {line}", stacklevel=2)
    _check_addresses(project, str(file))
    for entry in project.sensors:
        _check_sensor(entry, file)
    loaded = LoadedProject(_settled(_absolute(project, file.parent)), file)
    _check(loaded)
    masked = mask_for(loaded.project.mask, loaded.sensor)
    return LoadedProject(loaded.project.model_copy(update={"mask": masked}), file)


def _settled(project: Project) -> Project:
    """The project with what its cube leaves out: the usual bands of the sensor, and the statistic that fits them."""
    cube, given = project.cube, project.cube.model_fields_set
    sensor = sensor_of(project.sensor(cube.sensor))
    bands = cube.bands if "bands" in given else list(sensor.default_bands)
    changed: dict[str, Any] = {"bands": bands}
    known = [sensor.bands[name] for name in bands if name in sensor.bands]
    if "statistic" not in given and known and all(band.categorical for band in known):
        changed["statistic"] = "mode"
    return project.model_copy(update={"cube": cube.model_copy(update=changed)})


def _check_addresses(project: Project, source: str) -> None:
    """Refuses addresses that hold a secret, cannot be read, or lead to a machine's own metadata; their text is not shown."""
    check_root(project.storage, f"{source}: storage")
    check_address(project.catalog, f"{source}: catalog")
    for entry in project.sensors:
        if entry.catalog is not None:
            check_address(entry.catalog, f"{source}: sensors: {entry.sensor}: catalog")


def _absolute(project: Project, base: Path) -> Project:
    def place(path: str | None) -> str | None:
        local = None if path is None else path.removeprefix("file://")
        return local if local is None or "://" in local else str(base / os.path.expanduser(local))

    aois = {name: aoi.model_copy(update={"path": place(aoi.path)}) for name, aoi in project.aois.items()}
    changed: dict[str, Any] = {
        "aois": aois,
        "catalog": project.catalog.model_copy(update={"path": place(project.catalog.path)}),
        "sensors": [_absolute_catalog(entry, place) for entry in project.sensors],
        "grid": project.grid.model_copy(update={"path": place(project.grid.path)}),
        "storage": place(project.storage),
        "prediction": project.prediction.model_copy(update={"model": place(project.prediction.model)})
        if project.prediction
        else None,
        "compute": project.compute.model_copy(
            update={name: place(getattr(project.compute, name)) for name in ("tls_ca", "tls_cert", "tls_key")}
        ),
    }
    return project.model_copy(update=changed)


def _absolute_catalog(entry: SensorRecipe, place: Callable[[str | None], str | None]) -> SensorRecipe:
    if entry.catalog is None:
        return entry
    return entry.model_copy(update={"catalog": entry.catalog.model_copy(update={"path": place(entry.catalog.path)})})


def _check(loaded: LoadedProject) -> None:
    project, where = loaded.project, loaded.file
    for entry in project.sensors:
        recipe = project.catalog_of(entry.sensor)
        plugin: Catalog = load("catalogs", recipe.kind)
        plugin.access(recipe)
    for kind, name in (
        ("grids", project.grid.kind),
        ("stores", project.cube.store),
        ("readers", project.cube.reader),
    ):
        load(kind, name)
    load("compute", project.compute.backend).capabilities(project.compute)
    _check_cube(project, loaded.sensor, where)
    _check_ard(project, where)
    _check_chips(project, where)
    mask = project.mask
    _check_mask(mask, loaded.sensor, where)
    if (
        mask.kind != "none"
        and not mask.is_function
        and mask.kind not in loaded.sensor.mask_band
        and "kind" in mask.model_fields_set
    ):
        raise ConfigError(
            f"{where}: mask.kind {mask.kind!r} does not fit {loaded.sensor.name}; use {', '.join([*loaded.sensor.mask_band, 'none'])}"
        )
    if project.cube.crs != "utm":
        project.cube.pixel_grid(project.cube.crs)
    loaded.periods()


def _check_mask(mask: MaskRecipe, sensor: Sensor, where: Path) -> None:
    """Refuses a band for the user's function that the cube's sensor does not have; the function itself is looked for later."""
    if mask.band is not None and not mask.is_function:
        raise ConfigError(f"{where}: mask.band is for a function of yours, mask.kind package.module:function")
    if not mask.is_function:
        return
    if mask_band(sensor, mask) is None:
        said = f"no band {mask.band!r}" if mask.band else "no mask of its own"
        raise ConfigError(
            f"{where}: mask.band: {sensor.name} has {said}; name one of {', '.join(sensor.bands)} for {mask.kind} to judge"
        )


def _check_sensor(entry: SensorRecipe, where: Path) -> None:
    """Refuses a plugin that is not there, and a description under the name of one that is."""
    if entry.described and entry.sensor in available("sensors"):
        raise ConfigError(
            f"{where}: sensors: {entry.sensor!r} is the name of a sensor plugin: give the collection that is described another one"
        )
    sensor_of(entry)


def _check_cube(project: Project, sensor: Sensor, where: Path) -> None:
    """Refuses bands that the cube's sensor does not have, or that its statistic is not for."""
    cube, masks = project.cube, set(sensor.mask_band.values())
    composed = any("composite" in (product, *project.needs(product)) for product in project.products)
    if composed and not sensor.geocoded:
        _check_heights(project, sensor, where)
    usable = [name for name in sensor.bands if name not in masks]
    for name in cube.bands:
        if name not in usable:
            raise ConfigError(f"{where}: cube.bands: {sensor.name} has no band {name!r}; it has {', '.join(usable)}")
    bands = [sensor.bands[name] for name in cube.bands]
    for band in bands:
        if band.categorical != (cube.statistic == "mode"):
            fits = "mode is the only statistic for classes" if band.categorical else "mode is a statistic for classes"
            raise ConfigError(f"{where}: cube.statistic {cube.statistic} does not fit band {band.name!r}: {fits}")
    kinds = {(band.dtype, band.nodata) for band in bands}
    if len({str(k) for k in kinds}) > 1 and (cube.layout == "stacked" or cube.statistic in ("medoid", "geomedian")):
        why = "layout stacked" if cube.layout == "stacked" else f"statistic {cube.statistic}"
        listed = ", ".join(f"{b.name} {b.dtype}" for b in bands)
        raise ConfigError(
            f"{where}: cube.{why} needs bands of one type and nodata, and these are {listed}: leave some out"
        )


def _check_chips(project: Project, where: Path) -> None:
    """Refuses what chips cannot be cut of, where they are made."""
    if not any("chips" in (p, *project.needs(p)) for p in project.products):
        return
    sensors = {entry.sensor: sensor_of(entry) for entry in project.sensors}
    chip_settings.check(project.chips, sensors, str(where))
    for name in chip_settings.sensors_of(project.chips, sensors):
        if not sensors[name].geocoded:
            _check_heights(project, sensors[name], where)


def _check_ard(project: Project, where: Path) -> None:
    """Refuses bands that a sensor does not have, or that do not fit into one file; and yearly tiles without a year."""
    if project.ard.layout == "tiles" and any("ard" in (p, *project.needs(p)) for p in project.products):
        _check_tiles(project, where)
        return
    if project.ard.format == "npz":
        raise ConfigError(f"{where}: ard.format npz is for ard.layout tiles: choose cog, zarr or both")
    for entry in project.sensors:
        sensor = sensor_of(entry)
        asked = "ard" in project.products and (not project.ard.sensors or entry.sensor in project.ard.sensors)
        if asked and not sensor.geocoded:
            _check_heights(project, sensor, where)
        masks = set(sensor.mask_band.values())
        usable = [*(name for name in sensor.bands if name not in masks), *sensor.derived]
        for name in project.ard.bands.get(entry.sensor, ()):
            if name not in usable:
                raise ConfigError(f"{where}: ard.bands: {sensor.name} has no band {name!r}; it has {', '.join(usable)}")
        if not asked:
            continue
        known = {**sensor.bands, **sensor.derived}
        bands = [
            known[name] for name in project.ard.bands.get(entry.sensor) or [*sensor.default_bands, *sensor.derived]
        ]
        if project.ard.format != "zarr" and len({(b.dtype, str(b.fill)) for b in bands}) > 1:
            listed = ", ".join(f"{b.name} {b.dtype}" for b in bands)
            raise ConfigError(
                f"{where}: ard.format {project.ard.format}: a GeoTIFF has bands of one type, and those of {sensor.name} are {listed}: "
                "choose some by ard.bands, or format zarr"
            )


def _check_heights(project: Project, sensor: Sensor, where: Path) -> None:
    """Refuses pixels that heights must place, where nothing tells them or how high their datum lies."""
    if heights_of(project.sensors) is None:
        raise ConfigError(
            f"{where}: sensors: {sensor.name} is placed by heights of the ground: add dem to sensors, from whose scenes they come"
        )
    if project.ard.geoid_m is None:
        try:
            undulation(np.zeros(1), np.zeros(1))
        except ConfigError as e:
            raise ConfigError(f"{where}: sensors: {sensor.name}: {e}") from e


def _check_tiles(project: Project, where: Path) -> None:
    """Refuses what yearly tiles cannot be made of."""
    for name in project.ard.sensors or [entry.sensor for entry in project.sensors]:
        if not sensor_of(project.sensor(name)).geocoded:
            raise ConfigError(
                f"{where}: ard.layout tiles: {name} has pixels in the radar's own geometry, of which no yearly tiles are made: "
                "use sentinel-1-rtc"
            )
    tile_rules(project.ard)
    months = project.months
    if project.grid.kind != "tiles":
        raise ConfigError(
            f"{where}: ard.layout tiles needs grid: {{kind: tiles, path: ...}}, the table of their places"
        )
    if months.step != 12 or not months.start.endswith("-01"):
        raise ConfigError(
            f"{where}: ard.layout tiles is made by the year: set months.step to 12 and months.start to a January"
        )
    if project.cube.crs != "utm":
        raise ConfigError(f"{where}: ard.layout tiles has pixels of 10 m: set cube.crs to utm")
    if project.ard.format == "both":
        raise ConfigError(f"{where}: ard.layout tiles has one format: npz, zarr or cog")
