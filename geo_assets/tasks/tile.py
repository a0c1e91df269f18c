"""One yearly tile of one sensor: its steps are chosen by what they show, and are arrays of a fixed form.

A Sentinel-2 tile has up to 24 clear days; a Sentinel-1 tile twelve steps, four quarters three times each; a terrain tile
the slope. Values are stored as uint16 from 0 to 1 with 0 for what was not observed, as ``eo.tile_scale`` has it.
"""

import datetime as dt
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geo_assets.eo import terrain
from geo_assets.eo.height_tiles import join_margin_px, joined
from geo_assets.eo.radar_quality import Quality, radar_quality
from geo_assets.eo.radar_select import QuarterPlan, RadarPass, select_radar
from geo_assets.eo.radar_steps import POLARISATIONS, QuarterPixels, quarter_median, year_steps
from geo_assets.eo.scale import filled, unobserved
from geo_assets.eo.tile_gaps import clear_steps
from geo_assets.eo.tile_keys import cloud_bounds
from geo_assets.eo.tile_months import BANDS_10, BANDS_20, Form
from geo_assets.eo.tile_quality import tile_quality
from geo_assets.eo.tile_rules import TileRules, tile_rules
from geo_assets.eo.tile_scale import NODATA, from_dn
from geo_assets.eo.tile_select import select_days, view_day
from geo_assets.eo.tile_steps import Steps, judge_steps, pick_items, stacked
from geo_assets.errors import ConfigError, SourceError
from geo_assets.model.ard import ArdTask
from geo_assets.model.band import Band
from geo_assets.model.cell import CellBox
from geo_assets.model.crs import reproject
from geo_assets.model.geometry import GeoBox, PixelGrid
from geo_assets.model.lonlat import densify
from geo_assets.model.plugin import Layer, ReadSession
from geo_assets.model.scene import Scene
from geo_assets.model.sensor import Sensor
from geo_assets.registry import sensor_of
from geo_assets.tasks.heights import edge_px
from geo_assets.tasks.tile_files import TileArray

WIDE_M, COARSE_M, FINE_M, MIDDLE_M = (
    640,
    160,
    10,
    20,
)  # pixels: of the view around a tile, of its clouds, and of its bands
MIN_SLOPE_DEG = 0.02
STEPS_OF_MONTHS = 12

Pixels = npt.NDArray[Any]
Read = tuple[Scene, Band, GeoBox, str]  # and the kernel


@dataclass(frozen=True, eq=False)
class TileResult:
    """What became of a tile.

    Attributes:
        arrays: By the product's name (``eo.tile_keys.PRODUCTS``).
        items: Ids of the scenes that its pixels are made of.
        report: What was kept and dropped and why, for JSON.
        quality: Of a tile whose days were chosen.
        observed_share: Of the pixels of the first array.
    """

    arrays: dict[str, TileArray]
    items: tuple[str, ...]
    report: dict[str, Any] = field(default_factory=dict)
    quality: Quality | None = None
    observed_share: float = 0.0


def make_tile(task: ArdTask, session: ReadSession) -> TileResult:
    """The arrays of a task's only cell.

    Raises:
        SourceError: An asset that the tile needs is missing, unreadable or refused.
        ConfigError: The sensor has no form of yearly tiles.
    """
    sensor = sensor_of(task.sensor)
    reader = _Reader(session, sensor)
    cell, year, rules = task.cells[0], int(str(task.month)[:4]), tile_rules(task.ard)
    form = tile_form(sensor)
    if form == "terrain":
        return _terrain(cell, task.scenes, sensor, reader)
    if form == "radar":
        return _radar(cell, task.scenes, year, sensor, reader, rules)
    if form == "optical":
        return _optical(cell, task.scenes, year, sensor, reader, rules)
    raise ConfigError(
        f"{sensor.name} has no form of yearly tiles: leave it out of ard.sensors, or use ard.layout scenes"
    )


def tile_form(sensor: Sensor) -> Form | None:
    """The kind of yearly tiles that a sensor has, or None."""
    if sensor.heights:
        return "terrain"
    if {*POLARISATIONS} <= sensor.bands.keys() and sensor.orbit is not None:
        return "radar"
    optical = {*BANDS_10, *BANDS_20} <= sensor.bands.keys() and "scl" in sensor.mask_band
    return "optical" if optical else None


def tile_box(cell: CellBox) -> GeoBox:
    """The 10 m pixels of a cell's yearly tile, with edges at multiples of 20 m."""
    return _inside(_box(cell, MIDDLE_M), FINE_M)


def tile_bands(sensor: Sensor) -> tuple[str, ...]:
    """Bands that a tile of a sensor is made of, without those of its mask."""
    if sensor.heights:
        return (sensor.heights,)
    return POLARISATIONS if {*POLARISATIONS} <= sensor.bands.keys() else (*BANDS_10, *BANDS_20)


def rules_read(sensor: Sensor) -> tuple[str, ...]:
    """Those of ``ard.rules`` by which the days of a sensor's tiles are chosen."""
    if sensor.heights:
        return ()
    return ("radar",) if {*POLARISATIONS} <= sensor.bands.keys() else ("days", "steps")


def view_area(outline: shapely.Geometry) -> shapely.Geometry:
    """Where clouds are looked for around a tile, EPSG:4326."""
    centre = shapely.centroid(outline)
    return shapely.box(*cloud_bounds(centre.x, centre.y))


class _Reader:
    """Reads windows of scenes, many at a time."""

    def __init__(self, session: ReadSession, sensor: Sensor) -> None:
        self._session, self._sensor = session, sensor

    def each(self, reads: Iterable[Read]) -> Iterator[Pixels]:
        """Pixels of each, ``fill`` where nothing is observed."""
        wanted = list(reads)
        layers = [self._layer(*one) for one in wanted]
        for (_, band, box, _), pixels in zip(wanted, self._session.windows(layers), strict=True):
            yield np.full(box.shape, band.fill, band.dtype) if pixels is None else filled(pixels, band)

    def _layer(self, scene: Scene, band: Band, box: GeoBox, resampling: str) -> Layer:
        href = scene.href(band.name)
        if href is None:
            raise SourceError(
                f"scene {scene.item_id} has no asset for band {band.name}; name the item in sensors.exclude"
            )
        return Layer(href, band, box, resampling, scene.said(band.name))

    def days(
        self, groups: Mapping[dt.date, Sequence[Scene]], band: Band, box: GeoBox, resampling: str,
        made: Callable[[Scene, Pixels], Pixels] = lambda _, pixels: pixels,
    ) -> dict[dt.date, Pixels]:  # fmt: skip
        """A layer of each solar day: per pixel the first scene that observes it, after ``made``."""
        pairs = [(day, scene) for day, scenes in groups.items() for scene in scenes]
        found: dict[dt.date, Pixels] = {}
        for (day, scene), pixels in zip(pairs, self.each((s, band, box, resampling) for _, s in pairs), strict=True):
            layer = made(scene, pixels)
            if day in found:
                empty = unobserved(found[day], band.fill)
                found[day][empty] = layer[empty]
            else:
                found[day] = layer.copy()
        return found


def _box(cell: CellBox, pixel_m: int, bounds: tuple[float, float, float, float] | None = None) -> GeoBox:
    """Pixels around a cell, with edges at multiples of their size."""
    return PixelGrid(cell.box.crs, Fraction(pixel_m), 1, 1, 1).box_around(bounds or cell.box.bounds)


def _inside(box: GeoBox, pixel_m: int) -> GeoBox:
    """The same ground in smaller pixels."""
    times = int(box.resolution) // pixel_m
    return GeoBox(box.crs, Fraction(pixel_m), box.left, box.top, (box.shape[0] * times, box.shape[1] * times))


def _by_day(scenes: Iterable[Scene]) -> dict[dt.date, list[Scene]]:
    groups: dict[dt.date, list[Scene]] = {}
    for scene in sorted(scenes, key=lambda s: (s.time, s.item_id)):
        groups.setdefault(dt.date.fromisoformat(scene.solar_day), []).append(scene)
    return groups


# ---- Sentinel-2


def _optical(
    cell: CellBox, scenes: Sequence[Scene], year: int, sensor: Sensor, reader: _Reader, rules: TileRules
) -> TileResult:
    area, scl = shapely.from_wkb(cell.outline), sensor.bands[sensor.mask_band["scl"]]
    around = shapely.bounds(reproject(densify(view_area(area)), "EPSG:4326", cell.box.crs)).tolist()
    wide = _box(cell, WIDE_M, tuple(around))
    views = reader.days(_by_day(scenes), scl, wide, "nearest")
    choices = select_days([view_day(day, classes, rules.days) for day, classes in views.items()], rules.days)
    picks = pick_items([d.day for d in choices.kept], scenes, area, rules.steps)
    by_id = {s.item_id: s for s in scenes}
    groups = {p.solar_day: [by_id[i] for i in p.items] for p in picks.picks}
    coarse = _box(cell, COARSE_M)
    classes = reader.days(groups, scl, coarse, "nearest")
    steps = judge_steps(picks, classes, rules.steps)
    middle = _box(cell, MIDDLE_M)
    fine = tile_box(cell)
    groups = {s.solar_day: [by_id[i] for i in s.items] for s in steps.steps}
    arrays = {
        "s2_10": _steps(groups, steps, BANDS_10, fine, sensor, reader), "s2_20": _steps(groups, steps, BANDS_20, middle, sensor, reader),
        "s2_dates": TileArray(steps.days_of_year, ("time",), attrs={"units": "day of the year"}),
        "clouds": _clouds(steps, classes, coarse),
    }  # fmt: skip
    layers = {
        name: arrays[p].values[..., n]
        for p, names in (("s2_10", BANDS_10), ("s2_20", BANDS_20))
        for n, name in enumerate(names)
    }
    clear = clear_steps(steps, classes) if steps.steps else None
    quality = tile_quality(cell.id, year, choices, steps, clear=clear, bands=layers)
    seen = arrays["s2_10"].values
    share = float((seen != NODATA).all(axis=-1).mean()) if seen.size else 0.0
    items = tuple(dict.fromkeys(i for s in steps.steps for i in s.items))
    return TileResult(arrays, items, quality.document(), quality, share)


def _steps(
    groups: Mapping[dt.date, Sequence[Scene]], steps: Steps, names: Sequence[str], box: GeoBox, sensor: Sensor, reader: _Reader
) -> TileArray:  # fmt: skip
    """Bands of all steps, dims (time, y, x, band); the offset is taken off each scene before its numbers are cut."""
    values = np.zeros((len(steps.steps), *box.shape, len(names)), np.uint16)
    for n, name in enumerate(names):
        band = sensor.bands[name]
        layers = reader.days(groups, band, box, "nearest", functools.partial(_reflectance, band.scale))
        if steps.steps:
            values[..., n] = stacked(steps, layers)
    days = tuple(s.day_of_year for s in steps.steps)
    return TileArray(values, ("time", "y", "x", "band"), box, tuple(names), days, NODATA, _SCALED)


def _reflectance(scale: float, scene: Scene, dn: Pixels) -> Pixels:
    return from_dn(dn, dn_offset=scene.dn_offset, scale=scale)


_SCALED: Mapping[str, str | float] = {"scale_factor": 1 / 65_535, "units": "1"}


def _clouds(steps: Steps, classes: Mapping[dt.date, Pixels], box: GeoBox) -> TileArray:
    """Class codes of the steps at 160 m, dims (time, y, x)."""
    codes = stacked(steps, classes) if steps.steps else np.zeros((0, *box.shape), np.uint8)
    days = tuple(s.day_of_year for s in steps.steps)
    return TileArray(codes, ("time", "y", "x"), box, (), days, 0, {"long_name": "scene classification"})


# ---- Sentinel-1


def _radar(
    cell: CellBox, scenes: Sequence[Scene], year: int, sensor: Sensor, reader: _Reader, rules: TileRules
) -> TileResult:
    area, box = shapely.from_wkb(cell.outline), tile_box(cell)
    plan = select_radar([RadarPass.of(s, s.orbit) for s in scenes], area, year, rules.radar)
    by_id = {s.item_id: s for s in scenes}
    quarters = [_quarter(q, by_id, box, sensor, reader) for q in plan.quarters]
    made = year_steps(quarters, box.shape)
    days = tuple(int(d) for d in made.days_of_year)
    arrays = {
        "s1": TileArray(made.pixels, ("time", "y", "x", "band"), box, POLARISATIONS, days, NODATA, _SCALED),
        "s1_dates": TileArray(made.days_of_year, ("time",), attrs={"units": "day of the year"}),
    }
    items = tuple(i for q in plan.quarters for d in q.kept for i in d.items)
    quality = radar_quality(cell.id, year, plan, made)
    share = float((made.pixels != NODATA).all(axis=-1).mean())
    return TileResult(arrays, items, quality.document(), quality, share)


def _quarter(
    quarter: QuarterPlan, scenes: Mapping[str, Scene], box: GeoBox, sensor: Sensor, reader: _Reader
) -> QuarterPixels:
    """The median of a quarter's days. Assets that stay unreadable are one failed quarter, and not a tile without radar.

    Raises:
        SourceError: Another try may help.
    """
    if not quarter.kept:
        return QuarterPixels(quarter.number, cause="no day has an item of the tile")
    groups = {d.day: [scenes[i] for i in d.items] for d in quarter.kept}
    try:
        bands = [reader.days(groups, sensor.bands[name], box, "bilinear") for name in POLARISATIONS]
    except SourceError as e:
        if e.retryable:
            raise
        return QuarterPixels(quarter.number, cause=str(e), failed=True)
    return QuarterPixels(quarter.number, quarter_median([np.stack([b[day] for b in bands], axis=-1) for day in groups]))


# ---- terrain


def _terrain(cell: CellBox, scenes: Sequence[Scene], sensor: Sensor, reader: _Reader) -> TileResult:
    """Slope in degrees, dims (y, x), float32, at least 0.02 where it is known."""
    box, band = tile_box(cell), sensor.bands[sensor.heights]
    edge = edge_px(scenes, band, box)
    margin = join_margin_px(edge)
    wide = terrain.halo(box).window(-margin, -margin, box.shape[0] + 2 * margin + 2, box.shape[1] + 2 * margin + 2)
    parts = list(reader.each((scene, band, wide, "bilinear") for scene in scenes))
    known = joined(parts, edge_px=edge) if parts else np.full(wide.shape, np.nan, np.float32)
    heights = known[margin:-margin, margin:-margin]
    slope = terrain.slope(terrain.gradient(heights, box), min_deg=MIN_SLOPE_DEG)
    array = TileArray(slope, ("y", "x"), box, (), (), float("nan"), {"units": "degree", "long_name": "slope"})
    return TileResult({"dem": array}, tuple(s.item_id for s in scenes), {}, None, float(np.isfinite(slope).mean()))
