"""Finds a plugin by kind and name, and imports it only when it is asked for.

A folder is a registry: ``geo_assets/<kind>/<stem>.py`` with a module-level ``PLUGIN`` is the plugin ``<stem>`` with ``-`` for
``_``. Other packages add theirs by an entry point in the group ``geo_assets.<kind>`` that points to the plugin object or
to a module with ``PLUGIN``.
"""

import difflib
import functools
import importlib
import importlib.metadata
import pkgutil
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from geo_assets.errors import PluginError
from geo_assets.model.collection import SensorRecipe, describe
from geo_assets.model.sensor import Sensor

KINDS = ("sensors", "grids", "catalogs", "stores", "formats", "readers", "compute", "models", "tables")


def available(kind: str) -> dict[str, str]:
    """Names of the plugins of a kind and where each comes from (a module or an entry point). Imports none of them.

    Raises:
        PluginError: Unknown kind, or a name that is defined twice.
    """
    if kind not in KINDS:
        raise PluginError(f"no plugin kind {kind!r}; the kinds are {', '.join(KINDS)}")
    package = importlib.import_module(f"geo_assets.{kind}")
    found = {
        m.name.replace("_", "-"): f"{package.__name__}.{m.name}"
        for m in pkgutil.iter_modules(package.__path__)
        if not m.name.startswith("_")
    }
    for entry in importlib.metadata.entry_points(group=f"geo_assets.{kind}"):
        if entry.name in found:
            raise PluginError(
                f"{kind} plugin {entry.name!r} is defined twice: by {found[entry.name]} and by {entry.value}; rename or uninstall one"
            )
        found[entry.name] = entry.value
    return found


def load(kind: str, name: str) -> Any:
    """The plugin of that kind and name.

    Raises:
        PluginError: There is none, it cannot be imported here, or it binds no ``PLUGIN``.
    """
    plugins = _index(kind, tuple(sys.path))
    if name not in plugins:
        plugins = available(kind)  # it may have been installed since
    if name not in plugins:
        near = difflib.get_close_matches(name, plugins, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise PluginError(f"no {kind} plugin {name!r}; {hint}there are {', '.join(sorted(plugins))}")
    return _resolve(kind, name, plugins[name])


def sensor_of(entry: SensorRecipe) -> Sensor:
    """The facts of a project's sensor: a plugin's, or those that stand in the project file.

    Raises:
        PluginError: There is no such plugin.
    """
    if entry.described:
        return describe(entry)
    plugin: Sensor = load("sensors", entry.sensor)
    return plugin


def heights_of(entries: Iterable[SensorRecipe]) -> SensorRecipe | None:
    """The first of some sensors whose scenes tell heights of the ground, or None."""
    return next((entry for entry in entries if sensor_of(entry).heights), None)


@functools.cache
def _index(kind: str, path: tuple[str, ...]) -> dict[str, str]:
    return available(kind)  # kept for as long as the path is the same: it reads the metadata of every installed package


@functools.cache
def _resolve(kind: str, name: str, target: str) -> Any:
    module_name, _, attribute = target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
    except Exception as e:  # a foreign module may raise anything when it is imported
        raise PluginError(f"{kind} plugin {name!r} ({target}) cannot be loaded: {e}") from e
    if isinstance(found, ModuleType):
        if not hasattr(found, "PLUGIN"):
            raise PluginError(f"{kind} plugin {name!r}: {target} binds no PLUGIN")
        found = found.PLUGIN
    return found
