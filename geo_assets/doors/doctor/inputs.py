"""What goes into a run: areas, cells, months and the catalog."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geo_assets.assets.partitions import MAX_KEYS
from geo_assets.doors.catalog import ask, in_files
from geo_assets.doors.doctor.finding import Finding
from geo_assets.doors.doctor.machine import existing
from geo_assets.doors.secrets import shown_uri
from geo_assets.eo.aoi import Aoi, read_aoi
from geo_assets.eo.scenes import decide, scenes_of
from geo_assets.errors import ConfigError, GeoAssetsError
from geo_assets.model import path
from geo_assets.model.collection import SensorRecipe, mask_for
from geo_assets.model.geometry import Region
from geo_assets.model.project import NEEDS, Project
from geo_assets.project import LoadedProject
from geo_assets.registry import sensor_of
from geo_assets.tasks import areas, cells
from geo_assets.tasks.ard_partition import ard_sensors, band_advice, source_bands
from geo_assets.tasks.ard_partition import product as layers_product
from geo_assets.tasks.chip_recipe import ADVICE, chip_bands, chip_sensors
from geo_assets.tasks.chip_recipe import PRODUCT as CHIPS
from geo_assets.tasks.described import misfits
from geo_assets.tasks.search import lacking, read_bands

_MANY_REGIONS = 30  # the blocks of so many regions are counted, those of further ones estimated
_BYTES_SHARE = 0.75  # of a made pixel's bytes that compressed shards take (Sentinel-2, zstd)


@dataclass(frozen=True)
class _Area:
    """What the areas come to: the regions, and the pixels that their cells ask for in one period."""

    table: cells.CellTable
    pixels: int


def area_findings(loaded: LoadedProject) -> Iterator[Finding]:
    """Which areas there are, and what had to be assumed about them."""
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


def cell_findings(loaded: LoadedProject) -> Iterator[Finding]:
    """How many cells, regions and partitions the areas make, and the room they need."""
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
    levels = 4 / 3 if "pyramid" in loaded.project.products else 1  # 1 + 1/4 + 1/16 + ...
    need = pixels * left * 2 * (len(loaded.project.cube.bands) + 1) * _BYTES_SHARE * levels
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


def catalog_findings(loaded: LoadedProject) -> Iterator[Finding]:
    """One search: the whole area and time of a catalog in files, or a small part of what an API has."""
    for entry in loaded.project.sensors:
        recipe, whole = loaded.project.catalog_of(entry.sensor), in_files(loaded, entry)
        name = f"{recipe.kind}, {entry.sensor}"
        try:
            found = ask(loaded, entry)
        except ConfigError as e:
            yield Finding("catalog", "error", f"{name}: {e}", "correct catalog or sensors in the project file")
        except GeoAssetsError as e:
            advice = "check the network and proxy, or try again later" if e.retryable else "mend or change the catalog"
            yield Finding("catalog", "error", f"{name}: {e}", advice)
        else:
            yield _answered(name, len(found), whole=whole)
            for reads in _reads(loaded.project, entry) if found else ():
                yield from _bands(loaded.project, entry, found, reads)
            for odd in misfits(entry, found):
                yield Finding("bands", "warning", odd.message, odd.advice)


@dataclass(frozen=True)
class _Reads:
    """The bands that a product reads of a sensor, and what to do about one that scenes lack."""

    bands: list[str]
    advice: str
    of: str = ""


def _reads(project: Project, entry: SensorRecipe) -> Iterator[_Reads]:
    """What the products of the project read of a sensor; the cube counts where none of them says otherwise."""
    sensor = sensor_of(entry)
    of_layers = "ard" in project.products and entry.sensor in ard_sensors(project)
    of_chips = CHIPS in project.products and entry.sensor in chip_sensors(project)
    of_cube = any("composite" in (p, *NEEDS.get(p, ())) for p in project.products)
    if entry.sensor == project.cube.sensor and (of_cube or not (of_layers or of_chips)):
        yield _Reads(read_bands(sensor, project.cube.bands, project.mask), "leave the band out of cube.bands")
    if of_layers:
        bands = read_bands(sensor, source_bands(project, sensor), mask_for(project.mask, sensor))
        yield _Reads(bands, band_advice(project, sensor), f"{layers_product(entry.sensor)}: ")
    if of_chips:
        yield _Reads(
            read_bands(sensor, list(chip_bands(project, sensor)), mask_for(project.mask, sensor)), ADVICE, f"{CHIPS}: "
        )


def _bands(project: Project, entry: SensorRecipe, items: list[dict[str, Any]], reads: _Reads) -> Iterator[Finding]:
    """Scenes without an asset that is read."""
    table = decide(items, sensor_of(entry), max_cloud_cover=project.mask.max_cloud_cover, exclude=entry.exclude)
    scenes = scenes_of(table, reads.bands)
    for band, ids in lacking(scenes, reads.bands).items():
        text = f"{reads.of}{len(ids)} of {len(scenes)} scenes, such as {min(ids)}, have no asset for {band}"
        advice = f"{reads.advice}, or name those items in sensors.exclude: what they reach would fail"
        yield Finding("bands", "error" if len(ids) == len(scenes) else "warning", text, advice)


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
