"""Sentinel-1 over the sample world: terrain-corrected gamma0 with speckle, from both orbit directions."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from geo_assets.model.crs import reproject
from geo_assets.model.geometry import GeoBox
from geo_assets.model.period import Month
from geo_assets.testing.world_land import F32, Ground, Landscape, Mask, inner
from geo_assets.testing.world_stac import MEDIA, extensions, stac_item, write_cog, write_item

COLLECTION = "sentinel-1-rtc"
LOOKS = 4.4  # sar:looks_equivalent_number of the real items
NODATA = -32768.0
_POLARIZATIONS = {  # gamma0 of pure ground, linear power
    "vv": Ground(0.075, 0.13, 0.14, 0.55, 0.008),
    "vh": Ground(0.012, 0.030, 0.042, 0.09, 0.0015),
}
POLARIZATIONS = tuple(_POLARIZATIONS)
_SLICE_S = 25
_SWATH_SLOPE = 0.2
_ANCHOR = dt.date(2024, 4, 19), 53498  # a day of Sentinel-1A and its absolute orbit, whose relative one is 51
_CYCLE_DAYS, _CYCLE_ORBITS = 12, 175


@dataclass(frozen=True)
class Orbit:
    """A track from which the world is seen again and again.

    Attributes:
        number: Relative orbit.
        state: ``ascending`` or ``descending``.
        phase: Day of the cycle.
        period_days: Days between passes.
        time: Time of day of the passes, UTC.
        slices: Scenes a pass, one north of the other.
        edge: Part of the world's columns after which the swath ends in the middle row; None if it covers the world.
    """

    number: int
    state: str
    phase: int
    period_days: int
    time: dt.time
    slices: int = 1
    edge: float | None = None

    def days(self, month: str) -> list[dt.date]:
        """The days of a month on which it passes."""
        first = Month.parse(month).first_day
        days = (first + dt.timedelta(days=n) for n in range(31))
        return [d for d in days if d.month == first.month and (d.toordinal() - self.phase) % self.period_days == 0]


# 175 orbits of 12 days: from orbit 22 it is 3 days and a half to orbit 73 and 8 and a half to orbit 146
ORBITS = (
    Orbit(22, "descending", 9, _CYCLE_DAYS, dt.time(5, 10, 24, tzinfo=dt.UTC), slices=2),
    Orbit(146, "ascending", 5, _CYCLE_DAYS, dt.time(16, 50, 41, tzinfo=dt.UTC)),
    Orbit(73, "ascending", 12, 2 * _CYCLE_DAYS, dt.time(16, 42, 33, tzinfo=dt.UTC), edge=0.62),
)


@dataclass(frozen=True)
class RadarScene:
    """One scene: a slice of a pass.

    Attributes:
        item_id: Id of the STAC item.
        orbit: The track.
        absolute_orbit: Number of the pass.
        sensed: Start of the slice, UTC.
        box: Its 10 m pixels.
        row: First row on the world's grid.
        edge: Column of the world's grid where the swath ends in row 0; it keeps what lies west of it.
    """

    item_id: str
    orbit: Orbit
    absolute_orbit: int
    sensed: dt.datetime
    box: GeoBox
    row: int
    edge: float | None

    @property
    def month(self) -> str:
        """Month of the pass, UTC."""
        return f"{self.sensed:%Y-%m}"

    def valid(self) -> Mask:
        """Pixels of the scene that the swath covers, dims (y, x)."""
        rows, cols = self.box.shape
        if self.edge is None:
            return np.ones((rows, cols), bool)
        # An ascending track leads north by west, and so does the edge of its swath
        ends = self.edge + _SWATH_SLOPE * (self.row + np.arange(rows)[:, None] + 0.5)
        return np.asarray(np.arange(cols)[None, :] + 0.5 < ends)

    def footprint(self) -> shapely.Polygon:
        """The covered part of the scene in EPSG:4326."""
        west, south, east, north = self.box.bounds
        outline = shapely.box(west, south, east, north)
        if self.edge is not None:
            res = float(self.box.resolution)
            top, bottom = (self.edge + _SWATH_SLOPE * (self.row + r) for r in (0, self.box.shape[0]))
            corners = [(west, north), (west + top * res, north), (west + bottom * res, south), (west, south)]
            outline = outline & shapely.Polygon(corners)
        footprint: shapely.Polygon = reproject(outline, self.box.crs, "EPSG:4326")
        return footprint


@dataclass(frozen=True)
class RadarObservation:
    """What a scene stores; arrays (y, x) on the scene's 10 m pixels.

    Attributes:
        scene: The scene.
        valid: True inside the swath.
        gamma0: Polarization (``vv``, ``vh``) to gamma0 with speckle, linear power, float32, ``NODATA`` outside the swath.
    """

    scene: RadarScene
    valid: Mask
    gamma0: dict[str, F32]


def _absolute(orbit: int, day: dt.date) -> int:
    """Number of the pass of a relative orbit that is nearest to a day."""
    first, number = _ANCHOR
    about = number + (day - first).days * _CYCLE_ORBITS // _CYCLE_DAYS
    # Relative orbit of Sentinel-1A: (absolute - 73) mod 175 + 1
    ahead = (orbit - 1 - (about - 73)) % _CYCLE_ORBITS
    return about + ahead - (_CYCLE_ORBITS if ahead > _CYCLE_ORBITS // 2 else 0)


def radar_scenes(months: Sequence[str], box: GeoBox) -> tuple[RadarScene, ...]:
    """All scenes of a world's months in the order of time: 5 to 8 passes a month.

    Args:
        months: Such as ``2024-03``.
        box: The world's 10 m pixels.
    """
    found = (s for m in months for orbit in ORBITS for day in orbit.days(m) for s in _slices(orbit, day, box))
    return tuple(sorted(found, key=lambda s: s.sensed))


def _slices(orbit: Orbit, day: dt.date, box: GeoBox) -> Iterator[RadarScene]:
    rows, cols = box.shape
    number = _absolute(orbit.number, day)
    cuts = [rows * n // orbit.slices for n in range(orbit.slices + 1)]
    for nth in range(orbit.slices):
        start = dt.datetime.combine(day, orbit.time) + dt.timedelta(seconds=_SLICE_S * nth)
        stop = start + dt.timedelta(seconds=_SLICE_S)
        name = (
            f"S1A_IW_GRDH_1SDV_{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}_{number:06d}_{number * 8 % 0xFFFFFF:06X}_rtc"
        )
        part = box.window(cuts[nth], 0, cuts[nth + 1] - cuts[nth], cols)
        edge = None if orbit.edge is None else orbit.edge * cols - _SWATH_SLOPE * rows / 2
        yield RadarScene(name, orbit, number, start, part, cuts[nth], edge)


def backscatter(land: Landscape, month: int, polarization: str) -> F32:
    """True gamma0 of a month (1 to 12), dims (y, x) of the world, linear power, no nodata."""
    return inner(land.mixed(month, _POLARIZATIONS[polarization]))


def observe(scene: RadarScene, land: Landscape, seed: int) -> RadarObservation:
    """What a scene shows: the truth times speckle, whose mean is 1 and whose variance is 1 / ``LOOKS``."""
    rows, _ = scene.box.shape
    rng = np.random.default_rng([seed, 7, scene.sensed.toordinal(), scene.orbit.number, scene.row])
    valid = scene.valid()
    gamma0 = {}
    for polarization in POLARIZATIONS:
        truth = backscatter(land, scene.sensed.month, polarization)[scene.row : scene.row + rows]
        speckle = rng.standard_gamma(LOOKS, truth.shape, dtype=np.float32) / np.float32(LOOKS)
        gamma0[polarization] = np.where(valid, truth * speckle, np.float32(NODATA))
    return RadarObservation(scene, valid, gamma0)


def _asset(polarization: str) -> dict[str, Any]:
    words = {"v": "vertical", "h": "horizontal"}
    sent, received = (words[letter] for letter in polarization)
    return {
        "href": f"./iw-{polarization}.rtc.tiff", "type": MEDIA, "roles": ["data"],
        "title": f"{polarization.upper()}: {sent} transmit, {received} receive",
        "description": f"Terrain-corrected gamma naught values of signal transmitted with {sent} polarization and "
        f"received with {received} polarization with radiometric terrain correction applied.",
        "raster:bands": [{"nodata": int(NODATA), "data_type": "float32", "spatial_resolution": 10.0}],
    }  # fmt: skip


def _properties(scene: RadarScene) -> dict[str, Any]:
    stop, rows_cols = scene.sensed + dt.timedelta(seconds=_SLICE_S), list(scene.box.shape)
    middle = scene.sensed + (stop - scene.sensed) / 2
    return {
        "datetime": f"{middle:%Y-%m-%dT%H:%M:%S.%f}Z",
        "start_datetime": f"{scene.sensed:%Y-%m-%d %H:%M:%S}+00:00", "end_datetime": f"{stop:%Y-%m-%d %H:%M:%S}+00:00",
        "platform": "SENTINEL-1A", "constellation": "Sentinel-1",
        "proj:epsg": int(scene.box.crs.split(":")[1]), "proj:bbox": list(scene.box.bounds), "proj:shape": rows_cols,
        "proj:transform": [*scene.box.transform],
        "s1:datatake_id": str(scene.absolute_orbit * 8), "s1:instrument_configuration_ID": "7",
        "s1:orbit_source": "RESORB", "s1:processing_level": "1", "s1:product_timeliness": "Fast-24h",
        "s1:resolution": "high", "s1:shape": rows_cols[::-1], "s1:slice_number": "1" if scene.row == 0 else "2",
        "s1:total_slices": str(scene.orbit.slices),
        "sar:center_frequency": 5.405, "sar:frequency_band": "C", "sar:instrument_mode": "IW", "sar:looks_azimuth": 1,
        "sar:looks_equivalent_number": LOOKS, "sar:looks_range": 5, "sar:observation_direction": "right",
        "sar:pixel_spacing_azimuth": 10, "sar:pixel_spacing_range": 10, "sar:polarizations": ["VV", "VH"],
        "sar:product_type": "GRD", "sar:resolution_azimuth": 22, "sar:resolution_range": 20,
        "sat:absolute_orbit": scene.absolute_orbit, "sat:orbit_state": scene.orbit.state,
        "sat:platform_international_designator": "2014-016A", "sat:relative_orbit": scene.orbit.number,
    }  # fmt: skip


def write_scene(seen: RadarObservation, folder: Path, size: int) -> dict[str, Any]:
    """Writes a scene's COGs and item into the folder of its collection, and returns the item.

    Args:
        seen: What it stores.
        folder: Of the collection.
        size: Side of a COG's internal tiles.
    """
    scene = seen.scene
    assets = {p: _asset(p) for p in POLARIZATIONS}
    home = folder / scene.item_id
    home.mkdir(parents=True, exist_ok=True)
    for name, values in seen.gamma0.items():
        path = home / assets[name]["href"]
        write_cog(path, values, crs=scene.box.crs, transform=scene.box.transform, nodata=NODATA, size=size)
    names = ("sar/v1.0.0", "sat/v1.0.0", "projection/v1.1.0", "raster/v1.1.0")
    item = stac_item(
        scene.item_id, COLLECTION, footprint=scene.footprint(), properties=_properties(scene), assets=assets,
        schemas=extensions(*names),
    )  # fmt: skip
    write_item(item, folder)
    return item
