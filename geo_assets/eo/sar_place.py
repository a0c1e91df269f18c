"""Where places on the ground lie in a Sentinel-1 ground range image, and from where the radar looks at them.

Image coordinates count samples from 0: a whole number is the middle of a sample.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyproj
from scipy.interpolate import CubicHermiteSpline, RectBivariateSpline

from geo_assets.eo._anchored import Anchored
from geo_assets.eo.sar_annotation import GridPoints, Product
from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox

_HEIGHTS = -500.0, 4250.0, 9000.0  # between which coordinates are a parabola of height, better than 0.05 pixels
_ROUNDS = 12
_CLOSE = 1e-4  # samples, or seconds' worth of them
_TO_EARTH = pyproj.Transformer.from_crs("EPSG:4979", "EPSG:4978", always_xy=True)

F64 = npt.NDArray[np.float64]


class Geolocation(Protocol):
    """What knows where the ground lies in an image, in two steps: the first is smooth, the second cheap."""

    def track(self, lon: F64, lat: F64, height: F64) -> tuple[F64, F64]:
        """Two coordinates of places that change smoothly with them, NaN where the image does not show them.

        Args:
            lon: Degrees east, WGS 84.
            lat: Degrees north, WGS 84.
            height: Metres above the ellipsoid, of the same shape.
        """
        ...

    def samples(self, first: F64, second: F64) -> tuple[F64, F64]:
        """Line and pixel of what ``track`` gave."""
        ...


@dataclass(frozen=True)
class View:
    """A window of the ground as the radar sees it; arrays (y, x), float64, NaN where it does not.

    Attributes:
        line: Line in the image.
        pixel: Pixel in the image.
        incidence: Angle between the ellipsoid's normal and the line of sight, degrees.
        look_east: Part of the horizontal direction of sight, away from the radar, towards true east; unit 1.
        look_north: The same towards true north.
    """

    line: F64
    pixel: F64
    incidence: F64
    look_east: F64
    look_north: F64


class OrbitGeolocation:
    """From a product's orbit, by the range-Doppler equations: right on any relief."""

    def __init__(self, product: Product) -> None:
        orbit = product.orbit
        self._path = CubicHermiteSpline(orbit.seconds, orbit.position, orbit.velocity)
        self._velocity, self._acceleration = self._path.derivative(1), self._path.derivative(2)
        self._span = float(orbit.seconds[0]), float(orbit.seconds[-1])
        self._line_s, self._pixel_m, self._ranges = product.line_s, product.pixel_m, product.ground_range
        self._middle_s = product.shape[0] / 2 * product.line_s

    def track(self, lon: F64, lat: F64, height: F64) -> tuple[F64, F64]:
        """Seconds since the first line at which places are abeam, and their distance then in metres."""
        ground = np.stack(_TO_EARTH.transform(lon, lat, height), -1)
        seconds, to_ground = self._abeam(ground)
        # Right-looking: what lies to the left of the track is at the same distance, and not in the image
        seen = np.einsum("...i,...i", np.cross(self._velocity(seconds), self._path(seconds)), to_ground) > 0
        return np.where(seen, seconds, np.nan), np.where(seen, np.linalg.norm(to_ground, axis=-1), np.nan)

    def samples(self, first: F64, second: F64) -> tuple[F64, F64]:
        """Line and pixel of seconds and distances.

        The polynomial that is nearest in time counts, as for the processor: from one to the next the far end of a line
        jumps by up to ten pixels over relief.
        """
        times = self._ranges.seconds
        number = np.searchsorted((times[1:] + times[:-1]) / 2, first)
        ground_m = np.full(second.shape, np.nan)
        for n in np.unique(number[np.isfinite(first)]):
            at = number == n
            powers = self._ranges.coefficients[n]
            ground_m[at] = np.polynomial.polynomial.polyval(second[at] - self._ranges.origin_m[n], powers)
        return first / self._line_s, ground_m / self._pixel_m

    def sight(self, lon: F64, lat: F64, height: F64) -> tuple[F64, F64, F64]:
        """Components towards east, north and up of the unit vector from the radar to places."""
        ground = np.stack(_TO_EARTH.transform(lon, lat, height), -1)
        _, to_ground = self._abeam(ground)
        x, y, z = np.moveaxis(to_ground / np.linalg.norm(to_ground, axis=-1, keepdims=True), -1, 0)
        lam, phi = np.radians(lon), np.radians(lat)
        along = x * np.cos(lam) + y * np.sin(lam)
        east, north = y * np.cos(lam) - x * np.sin(lam), z * np.cos(phi) - along * np.sin(phi)
        return east, north, along * np.cos(phi) + z * np.sin(phi)

    def _abeam(self, ground: F64) -> tuple[F64, F64]:
        """Seconds at which each place lies at a right angle to the track, and the way there from the satellite."""
        seconds = np.full(ground.shape[:-1], self._middle_s)
        for _ in range(_ROUNDS):
            velocity = self._velocity(seconds)
            to_ground = ground - self._path(seconds)
            off = np.einsum("...i,...i", to_ground, velocity)
            slope = np.einsum("...i,...i", to_ground, self._acceleration(seconds)) - (velocity**2).sum(-1)
            step = np.where(np.isfinite(off), off / slope, 0.0)
            seconds = np.clip(seconds - step, *self._span)
            if not step.size or np.abs(step).max() < _CLOSE * self._line_s:
                break
        to_ground = ground - self._path(seconds)
        away = np.abs(np.einsum("...i,...i", to_ground, self._velocity(seconds)))
        known = away < 1e-3 * np.linalg.norm(to_ground, axis=-1)  # else the orbit's ends were reached
        return np.where(known, seconds, np.nan), to_ground


class GridGeolocation:
    """From ground control points alone: right at the heights that they have, which no relief has between them.

    A place that is higher by h appears nearer to the radar by about h / tan(incidence angle); it is put right to first
    order where the points tell the angle.
    """

    def __init__(self, points: GridPoints, *, pixel_m: float | None = None) -> None:
        self._lines, self._pixels, self._pixel_m = points.lines, points.pixels, pixel_m
        xyz = np.stack(_TO_EARTH.transform(points.lon, points.lat, np.zeros_like(points.lat)), -1)
        cot = np.zeros((1, 1))
        if points.incidence.size and pixel_m is not None:
            cot = 1 / np.tan(np.radians(points.incidence))
            # What lies on the ellipsoid in the same sample is nearer to the radar, and without the relief's jumps
            away = np.gradient(xyz, points.pixels, axis=1)
            away /= np.linalg.norm(away, axis=-1, keepdims=True)
            xyz = xyz - (points.height * cot)[..., None] * away
        order = {"kx": min(3, len(points.lines) - 1), "ky": min(3, len(points.pixels) - 1), "s": 0}
        self._place = [
            RectBivariateSpline(points.lines, points.pixels, axis, **order) for axis in np.moveaxis(xyz, -1, 0)
        ]
        flat = np.broadcast_to(cot, points.lon.shape)
        self._cot = RectBivariateSpline(points.lines, points.pixels, flat, kx=1, ky=1, s=0)

    def track(self, lon: F64, lat: F64, height: F64) -> tuple[F64, F64]:
        """Line and pixel of places; see ``Geolocation``."""
        ground = np.stack(_TO_EARTH.transform(lon, lat, np.zeros_like(lat)), -1)
        line = np.full(lon.shape, (self._lines[0] + self._lines[-1]) / 2)
        pixel = np.full(lon.shape, (self._pixels[0] + self._pixels[-1]) / 2)
        by_line, by_pixel = np.zeros_like(line), np.zeros_like(pixel)
        for _ in range(_ROUNDS):
            # Splines end at the outer points; from there it is a straight line
            line = np.clip(line - by_line, self._lines[0], self._lines[-1])
            pixel = np.clip(pixel - by_pixel, self._pixels[0], self._pixels[-1])
            by_line, by_pixel = self._step(line, pixel, ground)
        line, pixel = line - by_line, pixel - by_pixel
        if self._pixel_m is not None:
            pixel = pixel - height * self._cot.ev(line, pixel) / self._pixel_m
        inside = (line > self._lines[0] - 1) & (line < self._lines[-1] + 1)
        inside &= (pixel > self._pixels[0] - 1) & (pixel < self._pixels[-1] + 1)
        return np.where(inside, line, np.nan), np.where(inside, pixel, np.nan)

    def samples(self, first: F64, second: F64) -> tuple[F64, F64]:
        """Line and pixel as ``track`` gave them."""
        return first, second

    def _step(self, line: F64, pixel: F64, ground: F64) -> tuple[F64, F64]:
        """How far a place is off in lines and pixels (Gauss and Newton)."""
        off = np.stack([of.ev(line, pixel) for of in self._place], -1) - ground
        down, along = (np.stack([of.ev(line, pixel, dx=1 - n, dy=n) for of in self._place], -1) for n in (0, 1))
        a, b, d = (down**2).sum(-1), (down * along).sum(-1), (along**2).sum(-1)
        p, q = (down * off).sum(-1), (along * off).sum(-1)
        return (d * p - b * q) / (a * d - b * b), (a * q - b * p) / (a * d - b * b)


def locate(geolocation: Geolocation, lon: F64, lat: F64, height: F64) -> tuple[F64, F64]:
    """Line and pixel of places one by one; arguments as for ``Geolocation.track``."""
    return geolocation.samples(*geolocation.track(lon, lat, height))


def view(box: GeoBox, height: npt.NDArray[np.floating], geolocation: OrbitGeolocation) -> View:
    """A window of the ground as the radar sees it.

    Args:
        box: The window.
        height: Metres above the WGS 84 ellipsoid (not the geoid) at its pixels, dims (y, x), float, nodata NaN.
        geolocation: Of the image.

    Returns:
        Image coordinates and direction of sight of each pixel; of a pixel they depend on nothing but itself.
    """
    lattice = Anchored.under(box)
    lon, lat = _degrees(lattice, box.crs)
    line, pixel = place(box, height, geolocation)
    east, north, up = geolocation.sight(lon, lat, np.zeros_like(lat))
    # A kilometre of height changes the angle of sight by less than 0.05 degrees
    flat = np.hypot(east, north)
    incidence = lattice.spread(np.degrees(np.arccos(np.clip(-up, -1, 1))))
    return View(line, pixel, incidence, lattice.spread(east / flat), lattice.spread(north / flat))


def place(box: GeoBox, height: npt.NDArray[np.floating], geolocation: Geolocation) -> tuple[F64, F64]:
    """Line and pixel of a window's pixel centres, dims (y, x), NaN where the image does not show them.

    Args:
        box: The window.
        height: Metres above the WGS 84 ellipsoid (not the geoid) at its pixels, dims (y, x), float, nodata NaN.
        geolocation: Of the image.
    """
    lattice = Anchored.under(box)
    lon, lat = _degrees(lattice, box.crs)
    low, middle, high = (geolocation.track(lon, lat, np.full_like(lat, h)) for h in _HEIGHTS)
    share = (height.astype(np.float64) - _HEIGHTS[0]) / (_HEIGHTS[2] - _HEIGHTS[0])
    found = []
    for a, b, c in zip(low, middle, high, strict=True):
        bend = 2 * (a + c - 2 * b)
        found.append(lattice.spread(a) + share * (lattice.spread(c - a - bend) + share * lattice.spread(bend)))
    return geolocation.samples(found[0], found[1])


def _degrees(lattice: Anchored, crs: str) -> tuple[F64, F64]:
    x, y = np.meshgrid(lattice.x, lattice.y)
    if crs == "EPSG:4326":
        return x, y
    lon, lat = transformer(crs, "EPSG:4326").transform(x, y)
    return np.asarray(lon, np.float64), np.asarray(lat, np.float64)
