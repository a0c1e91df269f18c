"""The areas of interest of a project: those in its file and those registered later."""

import json

import shapely
from shapely import MultiPolygon

from geo_assets.eo.aoi import Aoi, clean_geometry, read_aoi
from geo_assets.errors import ConfigError
from geo_assets.model import path
from geo_assets.project import LoadedProject


def areas(loaded: LoadedProject) -> list[Aoi]:
    """All areas, by name.

    Raises:
        ConfigError: There is none, or one cannot be used.
    """
    found = {name: read_aoi(name, recipe, loaded.base) for name, recipe in loaded.project.aois.items()}
    for name in registered(loaded):
        found.setdefault(name, _stored(loaded, name))
    if not found:
        raise ConfigError(
            f"{loaded.file} has no area of interest: add one under aois, or with `geo-assets aoi add NAME FILE`"
        )
    return [found[name] for name in sorted(found)]


def registered(loaded: LoadedProject) -> list[str]:
    """Names of the areas that were added after the project file was written."""
    names = loaded.storage.names(path.AOIS)
    return [n.rsplit("/", 1)[-1].removesuffix(".geojson") for n in names if n.endswith(".geojson")]


def register(loaded: LoadedProject, aoi: Aoi) -> None:
    """Add an area, or replace the one of that name.

    Raises:
        ConfigError: The project file has an area of that name.
    """
    if aoi.name in loaded.project.aois:
        raise ConfigError(f"AOI {aoi.name!r} stands in {loaded.file}: change it there, or choose another name")
    feature = {
        "type": "Feature",
        "properties": {"name": aoi.name, "notes": list(aoi.notes)},
        "geometry": json.loads(shapely.to_geojson(aoi.geometry)),
    }
    document = {"type": "FeatureCollection", "features": [feature]}
    loaded.storage.write(path.aoi(aoi.name), json.dumps(document).encode())


def unregister(loaded: LoadedProject, name: str) -> None:
    """Remove an area that was added; what was made for it stays.

    Raises:
        ConfigError: There is no such area, or it stands in the project file.
    """
    if name in loaded.project.aois:
        raise ConfigError(f"AOI {name!r} stands in {loaded.file}: remove it there")
    if name not in registered(loaded):
        raise ConfigError(f"no AOI {name!r}; registered are {', '.join(registered(loaded)) or 'none'}")
    loaded.storage.delete(path.aoi(name))


def _stored(loaded: LoadedProject, name: str) -> Aoi:
    content = loaded.storage.read(path.aoi(name))
    try:
        feature = json.loads(content or b"{}")["features"][0]
        geometry, _ = clean_geometry(shapely.from_geojson(json.dumps(feature["geometry"])), "EPSG:4326")
        return Aoi(name, MultiPolygon(geometry), tuple(feature["properties"].get("notes", ())))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, shapely.errors.ShapelyError) as e:
        raise ConfigError(
            f"{loaded.storage.uri(path.aoi(name))}: is no registered area: {' '.join(str(e).split())[:200]}; remove it with "
            f"`geo-assets aoi remove {name}`, then add it again"
        ) from e
