"""Which scenes the chips of an area are cut from: one date a quarter of each sensor, always of one tile, orbit and path.

The least cloudy Sentinel-2 scene of the first quarter fixes the tile, whose footprint is the area from then on. Radar comes as
near to its date as it can, Landsat with as few clouds as it can.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import shapely

from geo_assets.eo import items as stac
from geo_assets.eo.radar_select import quarter_windows
from geo_assets.errors import ConfigError

DATES = 4  # of each sensor: one a quarter
PLACES = {"sentinel-2": "s2:mgrs_tile", "sentinel-1": "sat:relative_orbit", "landsat": "landsat:wrs_path"}
_ROUNDED = 6  # digits of a share of the area


@dataclass(frozen=True)
class ChipRule:
    """How scenes are chosen.

    Attributes:
        year: Its calendar quarters are the dates that are looked for.
        max_nodata_pct: Sentinel-2 scenes must have less that is not observed, by their items.
        max_cloud_pct: Sentinel-2 scenes must have less cloud.
        radar_days: Days before and after the Sentinel-2 scene in which radar is looked for.
        landsat_days: Days before and after it in which Landsat is looked for.
        landsat_platforms: Landsat satellites that are used.
        landsat_max_cloud_pct: Landsat scenes must have less cloud.
        complete: Take the best tile, orbit and path of those that all quarters have, if there is one. The old way takes the best
            tile and orbit of the first quarter, and gives the area up if another quarter lacks it.
    """

    year: int = 2023
    max_nodata_pct: float = 5.0
    max_cloud_pct: float = 30.0
    radar_days: int = 12
    landsat_days: int = 91
    landsat_platforms: tuple[str, ...] = ("landsat-8", "landsat-9")
    landsat_max_cloud_pct: float = 50.0
    complete: bool = False

    def __post_init__(self) -> None:
        for name in ("max_nodata_pct", "max_cloud_pct", "landsat_max_cloud_pct"):
            if not 0 <= getattr(self, name) <= 100:
                raise ConfigError(f"{name} is {getattr(self, name)}; it is in percent and must lie between 0 and 100")
        for name in ("radar_days", "landsat_days"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 0")


CHIP_RULE = ChipRule()


@dataclass(frozen=True)
class ChipScene:
    """What is asked of a scene.

    Attributes:
        item_id: Id of its item.
        time: When it was taken, UTC.
        solar_day: Its solar day.
        place: MGRS tile, relative orbit or WRS path.
        footprint: Valid area in EPSG:4326 as WKB.
        platform: Satellite, in lower case.
        cloud_pct: Cloud cover by its item; None where that says nothing.
        nodata_pct: What is not observed by its item; None where that says nothing.
    """

    item_id: str
    time: dt.datetime
    solar_day: dt.date
    place: str
    footprint: bytes
    platform: str = ""
    cloud_pct: float | None = None
    nodata_pct: float | None = None


@dataclass(frozen=True)
class SceneLeftOut:
    """An item that cannot be used, and why."""

    item_id: str
    reason: str


@dataclass(frozen=True)
class QuarterScenes:
    """What was chosen for a quarter.

    Attributes:
        number: 1 to 4.
        optical: The Sentinel-2 scene, or None.
        radar: Sentinel-1 scenes of one day.
        landsat: Landsat scenes of one day.
    """

    number: int
    optical: ChipScene | None = None
    radar: tuple[ChipScene, ...] = ()
    landsat: tuple[ChipScene, ...] = ()


@dataclass(frozen=True)
class AreaScenes:
    """What was chosen for an area.

    Attributes:
        tile: MGRS tile, or "" where none was found.
        orbit: Relative orbit, or "".
        path: WRS path, or "".
        quarters: The four quarters, whatever they hold.
        faults: Why the area cannot be used; empty where each sensor has its four dates.
    """

    tile: str
    orbit: str
    path: str
    quarters: tuple[QuarterScenes, ...]
    faults: tuple[str, ...]


def chip_scenes(items: Iterable[Mapping[str, Any]], sensor: str) -> tuple[list[ChipScene], list[SceneLeftOut]]:
    """What is asked of STAC items, and which of them cannot be used.

    Args:
        items: STAC items of one sensor.
        sensor: One of ``PLACES``.

    Raises:
        ConfigError: No such sensor.
    """
    if sensor not in PLACES:
        raise ConfigError(f"{sensor!r} has no scenes for chips: one of {', '.join(PLACES)}")
    found, left_out = [], []
    for item in items:
        p, time = item["properties"], stac.item_time(item)
        shape, fault = stac.outline(item)
        place = _place(p, sensor)
        if time is None or shape is None or not place:
            reason = fault or ("it has no valid datetime" if time is None else f"it does not say its {PLACES[sensor]}")
            left_out.append(SceneLeftOut(str(item["id"]), reason))
            continue
        day = dt.date.fromisoformat(stac.solar_day(time, stac.centroid_lon(shape)))
        cloud, nodata = (_number(p.get(f)) for f in ("eo:cloud_cover", "s2:nodata_pixel_percentage"))
        platform = str(p.get("platform") or "").lower()
        wkb = shapely.to_wkb(shape)
        found.append(ChipScene(str(item["id"]), time, day, place, wkb, platform, cloud, nodata))
    return found, left_out


def _place(properties: Mapping[str, Any], sensor: str) -> str:
    """Tile, orbit or path as an item says it, "" where it does not."""
    said = properties.get(PLACES[sensor])
    if said is None and sensor == "sentinel-2":
        said = str(properties.get("grid:code") or "").removeprefix("MGRS-")
    return str(said or "").strip().lstrip("0")  # a path is written 35 or 035, a tile 4QFJ or 04QFJ


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value == value else None


def select_chip_scenes(
    area: shapely.Geometry,
    optical: Collection[ChipScene],
    radar: Collection[ChipScene],
    landsat: Collection[ChipScene],
    *,
    annual: Mapping[str, int] | None = None,
    rule: ChipRule = CHIP_RULE,
) -> AreaScenes:
    """Choose an area's scenes; their order does not matter.

    Of scenes that are as good the earlier is taken, then the one with the lower id.

    Args:
        area: The area in EPSG:4326.
        optical: Sentinel-2 scenes.
        radar: Sentinel-1 scenes that were found for the tile.
        landsat: Landsat scenes that were found for the tile.
        annual: Number of items of each layer that has one state a year, such as elevation and land cover.
        rule: How scenes are chosen.
    """
    fair = [s for s in _touching(optical, area) if _is_fair(s, rule)]
    by_quarter = [_within(fair, quarter.first, quarter.last) for quarter in quarter_windows(rule.year)]
    tile = _first_place(by_quarter[0], by_quarter, _clearest, complete=rule.complete)
    chosen = [min((s for s in found if s.place == tile), key=_clearest, default=None) for found in by_quarter]
    ground = _ground(chosen)
    near = [_around(_touching(radar, ground), s, q, rule.radar_days) for q, s in enumerate(chosen)]
    orbit = _orbit(near, chosen, ground, complete=rule.complete)
    clear = [s for s in _touching(landsat, ground) if _is_clear_landsat(s, rule)]
    seen = [_around(clear, s, q, rule.landsat_days) for q, s in enumerate(chosen)]
    path = _widest(seen, ground, complete=rule.complete)
    quarters = tuple(
        QuarterScenes(n + 1, s, _nearest_day(near[n], s, orbit), _clearest_day(seen[n], path))
        for n, s in enumerate(chosen)
    )
    return AreaScenes(tile, orbit, path, quarters, _faults(quarters, tile, orbit, path, annual or {}))


# ---- each sensor


def _is_fair(scene: ChipScene, rule: ChipRule) -> bool:
    cloud, nodata = scene.cloud_pct, scene.nodata_pct
    return cloud is not None and cloud < rule.max_cloud_pct and nodata is not None and nodata < rule.max_nodata_pct


def _is_clear_landsat(scene: ChipScene, rule: ChipRule) -> bool:
    clear = scene.cloud_pct is not None and scene.cloud_pct < rule.landsat_max_cloud_pct
    return clear and scene.platform in rule.landsat_platforms


def _clearest(scene: ChipScene) -> tuple[float, dt.datetime, str]:
    return scene.cloud_pct if scene.cloud_pct is not None else 100.0, scene.time, scene.item_id


def _first_place(
    first: Sequence[ChipScene],
    quarters: Sequence[Sequence[ChipScene]],
    order: Callable[[ChipScene], Any],
    *,
    complete: bool,
) -> str:
    """Place of the best scene of the first quarter, "" where there is none; with ``complete`` one that all quarters have."""
    ranked = [s.place for s in sorted(first, key=order)]
    whole = [p for p in ranked if complete and all(any(s.place == p for s in found) for found in quarters)]
    return (whole or ranked or [""])[0]


def _orbit(
    near: Sequence[Sequence[ChipScene]],
    chosen: Sequence[ChipScene | None],
    ground: shapely.Geometry | None,
    *,
    complete: bool,
) -> str:
    """Orbit of the first quarter that shows most of the ground, then comes nearest to the Sentinel-2 scene."""
    centre = chosen[0]
    if centre is None or ground is None:
        return ""
    shown = _overlaps(near[0], ground)

    def order(scene: ChipScene) -> tuple[float, dt.timedelta, str]:
        return -shown[scene.place], abs(scene.time - centre.time), scene.place

    return _first_place(near[0], near, order, complete=complete)


def _widest(quarters: Sequence[Sequence[ChipScene]], ground: shapely.Geometry | None, *, complete: bool) -> str:
    """The place whose scenes together show most of the ground, "" where there is none."""
    shown = {} if ground is None else _overlaps([s for found in quarters for s in found], ground)
    whole = [p for p in shown if complete and all(any(s.place == p for s in found) for found in quarters)]
    return min(whole or shown, key=lambda place: (-shown[place], place), default="")


def _nearest_day(scenes: Sequence[ChipScene], centre: ChipScene | None, place: str) -> tuple[ChipScene, ...]:
    """All scenes of a place on the day that is nearest to a scene."""
    if centre is None:
        return ()
    return _day_of([s for s in scenes if s.place == place], lambda s: (abs(s.time - centre.time), s.time, s.item_id))


def _clearest_day(scenes: Sequence[ChipScene], place: str) -> tuple[ChipScene, ...]:
    """All scenes of a place on the day of its clearest one."""
    return _day_of([s for s in scenes if s.place == place], _clearest)


def _day_of(scenes: Sequence[ChipScene], order: Callable[[ChipScene], Any]) -> tuple[ChipScene, ...]:
    if not scenes:
        return ()
    day = min(scenes, key=order).solar_day
    return tuple(sorted((s for s in scenes if s.solar_day == day), key=lambda s: (s.time, s.item_id)))


# ---- time and place


def _within(scenes: Iterable[ChipScene], first: dt.date, last: dt.date) -> list[ChipScene]:
    return [s for s in scenes if first <= s.solar_day <= last]


def _around(scenes: Iterable[ChipScene], centre: ChipScene | None, quarter: int, days: int) -> list[ChipScene]:
    """Scenes at most so many days from one, and in its quarter."""
    if centre is None:
        return []
    window = quarter_windows(centre.solar_day.year)[quarter]
    reach = dt.timedelta(days=days)
    return [s for s in _within(scenes, window.first, window.last) if abs(s.time - centre.time) <= reach]


def _touching(scenes: Iterable[ChipScene], area: shapely.Geometry | None) -> list[ChipScene]:
    if area is None:
        return []
    return [s for s in set(scenes) if shapely.intersection(shapely.from_wkb(s.footprint), area).area > 0]


def _ground(chosen: Sequence[ChipScene | None]) -> shapely.Geometry | None:
    """Footprint of the first Sentinel-2 scene."""
    first = next((s for s in chosen if s is not None), None)
    return None if first is None else shapely.from_wkb(first.footprint)


def _overlaps(scenes: Iterable[ChipScene], ground: shapely.Geometry) -> dict[str, float]:
    """Share of the ground in the footprints of each place together."""
    shapes: dict[str, list[Any]] = {}
    for s in scenes:
        shapes.setdefault(s.place, []).append(shapely.intersection(shapely.from_wkb(s.footprint), ground))
    return {place: round(shapely.union_all(parts).area / ground.area, _ROUNDED) for place, parts in shapes.items()}


# ---- what is missing


def _faults(
    quarters: Sequence[QuarterScenes], tile: str, orbit: str, path: str, annual: Mapping[str, int]
) -> tuple[str, ...]:
    """Why an area cannot be used."""
    layers = tuple(f"{name}: no item" for name, n in annual.items() if not n)
    if not tile:
        return ("Sentinel-2: no scene of the first quarter is clear enough, and without one there is no tile", *layers)
    missing = {
        f"Sentinel-2, tile {tile}": [q.number for q in quarters if q.optical is None],
        # Without a date to come near to none is looked for
        f"Sentinel-1, relative orbit {orbit or 'unknown'}": [q.number for q in quarters if q.optical and not q.radar],
        f"Landsat, path {path or 'unknown'}": [q.number for q in quarters if q.optical and not q.landsat],
    }
    found = [
        f"{name}: no scene in quarter {', '.join(map(str, numbers))}; {DATES} dates are needed"
        for name, numbers in missing.items()
        if numbers
    ]
    return (*found, *layers)
