"""``geo-assets aoi``: areas are registered in the storage, and their regions with the instance."""

from typing import Any

import pyproj
from pydantic import TypeAdapter, ValidationError

from geo_assets.assets.partitions import register_regions
from geo_assets.doors.home import open_instance
from geo_assets.doors.instance import deployed, enter
from geo_assets.eo.aoi import Aoi, read_aoi
from geo_assets.errors import ConfigError
from geo_assets.model.recipe import AoiRecipe, SafeName
from geo_assets.project import LoadedProject
from geo_assets.tasks import areas, cells


def add_area(loaded: LoadedProject, name: str, file: str, layer: str | None) -> dict[str, Any]:
    """Register an area and its regions; says how many cells and regions it has.

    Raises:
        ConfigError: The name, the file or its geometry cannot be used; nothing is registered.
    """
    aoi = read_aoi(checked_name(name), AoiRecipe(path=file, layer=layer), ".")
    table = cells.cut([aoi], loaded.project.grid, loaded.project.cube)
    with open_instance(enter(loaded)) as instance:
        areas.register(deployed(loaded), aoi)
        new = register_regions(instance, table.regions)
    return {
        "name": name,
        "cells": len(table.cells),
        "regions": table.regions,
        "new_regions": new,
        "notes": list(aoi.notes),
    }


def checked_name(name: str) -> str:
    """The name, if it may become part of a file name.

    Raises:
        ConfigError: It may not.
    """
    try:
        return str(TypeAdapter(SafeName).validate_python(name))
    except ValidationError as e:
        raise ConfigError(e.errors()[0]["msg"].removeprefix("Value error, ")) from None


def list_areas(loaded: LoadedProject) -> list[dict[str, Any]]:
    """Name, size and origin of every area."""
    return [
        {
            "name": a.name,
            "area_km2": round(_km2(a), 1),
            "source": "project file" if a.name in loaded.project.aois else "aoi add",
            "notes": list(a.notes),
        }
        for a in areas.areas(deployed(loaded))
    ]


def remove_area(loaded: LoadedProject, name: str) -> None:
    """Take a registered area away.

    Raises:
        ConfigError: There is no such area, or it stands in the project file.
    """
    areas.unregister(deployed(loaded), name)


def _km2(aoi: Aoi) -> float:
    return abs(float(pyproj.Geod(ellps="WGS84").geometry_area_perimeter(aoi.geometry)[0])) / 1e6
