"""The only catalog search of a region, sensor and span of months."""

import datetime as dt
import warnings
from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import shapely

from geo_assets.eo.scenes import decide, read_scenes, scenes_of, write_scenes
from geo_assets.errors import ConfigError, SourceError
from geo_assets.model import path
from geo_assets.model.collection import SensorRecipe, mask_band
from geo_assets.model.geometry import PixelGrid, Region
from geo_assets.model.period import Period
from geo_assets.model.project import Project
from geo_assets.model.receipt import Dropped, PartitionReceipt
from geo_assets.model.recipe import CatalogRecipe, MaskRecipe, digest
from geo_assets.model.scene import Scene, SceneQuery
from geo_assets.model.sensor import Sensor
from geo_assets.registry import load, sensor_of
from geo_assets.storage import Storage
from geo_assets.tasks.described import misfits

CODE_VERSION = "1"  # raise it when the same items give other decisions
STATIC_SPAN = dt.date(1970, 1, 1), dt.date(2199, 12, 31)  # a date of what has none says nothing
_SPAN_MONTHS = 12  # of one search; longer spans are asked for in parts, so that no answer gets huge
_DAY = dt.timedelta(days=1)


def search(
    region: Region,
    grid: PixelGrid,
    periods: Sequence[Period],
    *,
    catalog: CatalogRecipe,
    sensor: SensorRecipe,
    mask: MaskRecipe,
    area: shapely.Geometry | None = None,
) -> dict[str, gpd.GeoDataFrame]:
    """Scene tables of a region by period key: what overlaps the region, by solar day; of a static sensor always the same.

    What cannot be used is listed, too: without a footprint on its day in UTC, without a time in every period.

    The search is a day wider on both sides, since the solar day may differ from the day in UTC.

    Args:
        region: Which one.
        grid: Pixel grid of its group.
        periods: What is searched.
        catalog: Where.
        sensor: Of the scenes.
        mask: For the greatest cloud cover.
        area: Where (EPSG:4326); None is the region. ``search_area.search_area`` says what a project needs.

    Raises:
        CatalogError: The search failed.
    """
    if sensor_of(sensor).static:
        table = search_static(region, grid, catalog=catalog, sensor=sensor, mask=mask, area=area)
        return {period.key: table for period in periods}
    tables = {}
    for part in _spans(periods):
        near = _near(_area(region, grid, area), (part[0].start - _DAY, part[-1].end + _DAY), catalog, sensor, mask)
        for period in part:
            listed = [_lists(period, *times) for times in zip(near["solar_day"], near["time"], strict=True)]
            tables[period.key] = near[np.array(listed, bool)].reset_index(drop=True)
            tables[period.key].attrs = dict(near.attrs)
    return tables


def search_static(
    region: Region, grid: PixelGrid, *, catalog: CatalogRecipe, sensor: SensorRecipe, mask: MaskRecipe, area: shapely.Geometry | None = None,
) -> gpd.GeoDataFrame:  # fmt: skip
    """The scene table of a region for a sensor whose scenes have no date.

    Raises:
        CatalogError: The search failed.
    """
    near = _near(_area(region, grid, area), STATIC_SPAN, catalog, sensor, mask)
    table = near.reset_index(drop=True)
    table.attrs = dict(near.attrs)
    return table


def _area(region: Region, grid: PixelGrid, area: shapely.Geometry | None) -> shapely.Geometry:
    return grid.region_geobox(region).lonlat() if area is None else area


def _near(
    area: shapely.Geometry, days: tuple[dt.date, dt.date], catalog: CatalogRecipe, sensor: SensorRecipe, mask: MaskRecipe
) -> gpd.GeoDataFrame:  # fmt: skip
    """What a search of some days finds that overlaps an area, and what has no footprint."""
    plugin, facts = load("catalogs", catalog.kind), sensor_of(sensor)
    collections = tuple(sensor.collections) or facts.collections_in(catalog.kind)
    found = plugin.search(catalog, SceneQuery(collections, area, *days))
    for odd in misfits(sensor, found):
        warnings.warn(f"{odd.message}: {odd.advice}", stacklevel=2)
    table = decide(found, facts, max_cloud_cover=mask.max_cloud_cover, exclude=sensor.exclude)
    near = table[shapely.intersects(table.geometry.to_numpy(), area) | table.geometry.isna().to_numpy()]
    near.attrs = dict(table.attrs)
    return near


def _lists(period: Period, solar_day: object, time: object) -> bool:
    """Whether a scene stands in a period's table."""
    days = [d for d in (solar_day, time) if isinstance(d, str) and d]
    return not days or period.holds(dt.date.fromisoformat(days[0][:10]))


def _spans(periods: Sequence[Period]) -> list[list[Period]]:
    """Neighbouring periods, at most a year of them together."""
    spans: list[list[Period]] = []
    for period in sorted(periods):
        last = spans[-1] if spans else []
        if last and last[-1].first.plus(last[-1].months) == period.first and len(last) * period.months < _SPAN_MONTHS:
            last.append(period)
        else:
            spans.append([period])
    return spans


def scenes_version(table: gpd.GeoDataFrame, sensor: Sensor) -> str:
    """Data version of a scene table: changes with any decision about any scene, and with where it lies."""
    used = [[*map(str, s.identity), s.footprint.hex()] for s in scenes_of(table, list(sensor.bands))]
    left_out = [[d.id, d.reason, d.duplicate_of or ""] for d in dropped(table)]
    return digest([CODE_VERSION, sorted(used), sorted(left_out)])


def dropped(table: gpd.GeoDataFrame) -> list[Dropped]:
    """Scenes of a table that are not used, and why."""
    rows = zip(table["kept"], table["id"], table["reason"], table["duplicate_of"], strict=True)
    return [Dropped(id=str(i), reason=str(why or ""), duplicate_of=twin) for kept, i, why, twin in rows if not kept]


def used_scenes(
    table: gpd.GeoDataFrame, sensor: Sensor, bands: Sequence[str], mask: MaskRecipe, *, advice: str = "leave it out of cube.bands"
) -> tuple[Scene, ...]:  # fmt: skip
    """Kept scenes with the assets that a product reads, in the order of datetime, then item id.

    Args:
        table: Scene table of a partition.
        sensor: Of the scenes.
        bands: That are read.
        mask: Of the sensor; its band is read, too.
        advice: What to do about a band that no scene has.

    Raises:
        ConfigError: None of them has an asset for a band; where only some lack it, their blocks fail when they are made.
    """
    wanted = read_bands(sensor, bands, mask)
    scenes = tuple(sorted(scenes_of(table, wanted), key=lambda s: (s.time, s.item_id)))
    nowhere = [band for band, without in lacking(scenes, wanted).items() if len(without) == len(scenes)]
    if nowhere:
        named = ", ".join(f"{band} ({' or '.join(sensor.bands[band].assets)})" for band in nowhere)
        raise ConfigError(
            f"none of {len(scenes)} scenes, such as {scenes[0].item_id}, has an asset for {named}: {advice}, "
            "or of the mask by mask.kind none, or name a collection that has it under sensors"
        )
    return scenes


def read_bands(sensor: Sensor, bands: Sequence[str], mask: MaskRecipe) -> list[str]:
    """Bands that a composite reads: its own, and that of the mask."""
    judged = mask_band(sensor, mask)
    return list(dict.fromkeys([*bands, *([judged.name] if judged else [])]))


def lacking(scenes: Sequence[Scene], bands: Sequence[str]) -> dict[str, list[str]]:
    """Ids of the scenes that have no asset for a band, by that band."""
    found = {band: [s.item_id for s in scenes if s.href(band) is None] for band in bands}
    return {band: ids for band, ids in found.items() if ids}


def product(sensor: str) -> str:
    """Name of a sensor's scene tables as a product: in receipts, on the command line and in Dagster."""
    return f"scenes/{sensor}"


def search_hash(project: Project, sensor: str) -> str:
    """Fingerprint of the settings that a scene table depends on."""
    entry = project.sensor(sensor)
    catalog = project.catalog_of(sensor)
    where = [catalog.kind, catalog.url, list(entry.collections)]
    left_out = [sorted(entry.exclude)] if entry.exclude else []  # as it was before there was a choice
    cloudy = sensor_of(entry).cloud_cover_field is not None
    most = project.mask.max_cloud_cover if cloudy else MaskRecipe().max_cloud_cover  # as it was at the default
    return digest([where, most, *left_out, *([entry.facts] if entry.described else [])])


def _readable(content: bytes | None) -> bool:
    """Whether a scene table is stored; a damaged one is none."""
    if content is None:
        return False
    try:
        read_scenes(content)
    except SourceError:
        return False
    return True


def store_scenes(
    storage: Storage,
    project: Project,
    sensor: Sensor,
    region: str,
    month: str | None,
    table: gpd.GeoDataFrame,
    *,
    run_id: str,
) -> tuple[PartitionReceipt, bool]:
    """Write a partition's scene table, if a decision in it changed, and its receipt; ``month`` is None of a static sensor.

    Returns:
        The receipt, and whether the table was written.
    """
    name, version = path.scenes(sensor.name, region, month), scenes_version(table, sensor)
    previous = storage.sound_receipt(product(sensor.name), region, month)
    changed = previous is None or previous.data_version != version or not _readable(storage.read(name))
    if changed:
        storage.write(name, write_scenes(table))
    left_out, kept = dropped(table), table["kept"].astype(bool)
    days = int(table.loc[kept, "solar_day"].nunique())
    receipt = PartitionReceipt(
        product=product(sensor.name), region=region, month=month, status="ok", data_version=version, code_version=CODE_VERSION, run_id=run_id,
        recipe_hash=search_hash(project, sensor.name), made_at=dt.datetime.now(dt.UTC), dropped=left_out,
        figures={"scenes": int(kept.sum()), "dropped": len(left_out), "solar_days": days},
    )  # fmt: skip
    storage.write_receipt(receipt)
    return receipt, changed
