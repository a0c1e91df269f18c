"""Gamma0 of windows of the ground from Sentinel-1 ground range scenes."""

import functools
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo_assets.eo.sar import Facing, Floored, Window, calibrate, facing, flattened, floored, sample, window
from geo_assets.eo.sar_annotation import Noise, Product, Table, parse_calibration, parse_noise, parse_product
from geo_assets.eo.sar_area import flattened_by_area, illuminated_area, level_area
from geo_assets.eo.sar_cast import with_cast
from geo_assets.eo.sar_place import OrbitGeolocation, View, view
from geo_assets.eo.terrain import HALO_PX, gradient
from geo_assets.errors import SourceError
from geo_assets.model.crs import metres_per_unit
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import without_query
from geo_assets.model.radar import annotations
from geo_assets.readers._radar import RadarFiles

FLATTEN = ("angle", "area")

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RadarScene:
    """Addresses of one polarisation of a scene, without signature."""

    measurement: str
    product: str
    calibration: str
    noise: str

    @classmethod
    def of(cls, measurement: str) -> "RadarScene":
        """The files of a measurement, with the annotations that lie beside it.

        Raises:
            SourceError: It does not lie where a product has it.
        """
        beside = annotations(measurement)
        return cls(measurement, beside.product, beside.calibration, beside.noise)


@dataclass(frozen=True)
class Backscatter:
    """What the ground sends back.

    Attributes:
        gamma0: Linear power without the terrain's effect, dims (y, x), float32, unit 1, nodata NaN.
        floored: Pixels that lay below 0, because more noise was taken off than was in them, and are 0 now.
        hidden: Pixels that are NaN because of the terrain: the ground lies in shadow, is seen at too flat an angle, or, unless
            flattened by area, folds over.
        seen: The window as the radar sees it.
        facing: How the ground faces the radar.
    """

    gamma0: F32
    floored: int
    hidden: int
    seen: View
    facing: Facing


def around(box: GeoBox, margin_px: int = HALO_PX) -> GeoBox:
    """The window whose heights ``backscatter`` needs for ``box``."""
    rows, cols = box.shape
    return box.window(-margin_px, -margin_px, rows + 2 * margin_px, cols + 2 * margin_px)


class Ground:
    """A window of the ground as the radar sees it: worked out once for all polarisations that share their geometry.

    Args:
        product: Geometry of the image.
        box: The window.
        height: Metres above the geoid on ``around(box, margin_px)``, dims (y, x), float, nodata NaN; sea is 0.
        geoid_m: Height of the geoid above the WGS 84 ellipsoid; 0 where ``height`` counts from the ellipsoid.
        margin_px: Pixels around the window that ``height`` has.
    """

    def __init__(
        self, product: Product, box: GeoBox, height: npt.NDArray[np.floating], *, geoid_m: float, margin_px: int = HALO_PX
    ) -> None:  # fmt: skip
        if margin_px < HALO_PX or height.shape != around(box, margin_px).shape:
            raise ValueError(
                f"heights have shape {height.shape}; {box.shape} with a margin of {margin_px} px are needed"
            )
        self.box, self._height, self._geoid_m, self._margin_px = box, height, geoid_m, margin_px
        self._geolocation = OrbitGeolocation(product)

    @functools.cached_property
    def seen(self) -> View:
        """Where each pixel lies in the image, and from where it is seen."""
        own = self._height[_inner(self._margin_px, self._height.shape)]
        return view(self.box, own.astype(np.float64) + self._geoid_m, self._geolocation)

    @functools.cached_property
    def facing(self) -> Facing:
        """How each pixel faces the radar, with the shadow and layover that other ground casts on it."""
        near = self._height[_inner(self._margin_px - HALO_PX, self._height.shape)]
        own = facing(self.seen, gradient(near, self.box))
        return with_cast(own, self.box, self.seen, self._height, margin_px=self._margin_px)

    def flattened(self, power: F32, part: Window, *, flatten: str, looks: int) -> F32:
        """Backscatter of the window without the terrain's effect; see ``backscatter``.

        Args:
            power: Gamma0 on the ellipsoid, dims (y, x), float32, linear power, nodata NaN.
            part: Window of the image that it was sampled from.
            flatten: ``angle`` or ``area``.
            looks: With which it was sampled.
        """
        if flatten == "angle":
            return flattened(power, self.seen, self.facing)
        wide, height = around(self.box, self._margin_px - HALO_PX), self._height
        metres = height[_inner(HALO_PX, height.shape)].astype(np.float64) + self._geoid_m
        lit = illuminated_area(wide, view(wide, metres, self._geolocation), gradient(height, wide), part)
        area = sample(lit.astype(np.float32), part, self.seen.line, self.seen.pixel, looks=looks)
        level = level_area(self.box, self.seen, self._geolocation)
        return flattened_by_area(np.where(self.facing.shadow, np.float32(np.nan), power), area, level)


class RadarBand:
    """One polarisation of a scene; its image stays open and its annotations are read once, for all windows.

    Args:
        files: To read from.
        scene: What is read.
        denoise: Whether thermal noise is taken off. Products of 2014 and 2015 whose noise is not in DN^2 are only made without.

    Raises:
        SourceError: A file is missing or unreadable, its numbers make no sense, or the files do not belong together.
    """

    def __init__(self, files: RadarFiles, scene: RadarScene, *, denoise: bool = True) -> None:
        self.product = parse_product(files.annotation(scene.product), without_query(scene.product))
        self._image = files.image(scene.measurement)
        if self._image.shape != self.product.shape:
            text = f"it has {self._image.shape} samples, its annotation says {self.product.shape}"
            raise SourceError(f"{without_query(scene.measurement)}: {text}")
        self._files, self._scene, self._denoise = files, scene, denoise

    @functools.cached_property
    def geometry(self) -> Hashable:
        """What is equal for polarisations that see the ground alike, to the last bit."""
        of = self.product
        tables = (
            of.orbit.seconds,
            of.orbit.position,
            of.orbit.velocity,
            of.ground_range.seconds,
            of.ground_range.origin_m,
        )
        powers = tuple(c.tobytes() for c in of.ground_range.coefficients)
        return of.shape, of.line_s, of.pixel_m, tuple(t.tobytes() for t in tables), powers

    @functools.cached_property
    def _tables(self) -> tuple[Table, Noise | None]:
        """Calibration and noise, read once an image is known to reach a window."""
        files, scene = self._files, self._scene
        table = parse_calibration(files.annotation(scene.calibration), without_query(scene.calibration)).gamma
        if not self._denoise:
            return table, None
        return table, parse_noise(files.annotation(scene.noise), without_query(scene.noise))

    def backscatter(self, ground: Ground, *, flatten: str = "angle") -> Backscatter | None:
        """Gamma0 of a window; see the function ``backscatter``.

        Raises:
            SourceError: A file is unreadable.
        """
        if flatten not in FLATTEN:
            raise ValueError(f"flatten {flatten!r}: use one of {', '.join(FLATTEN)}")
        seen, looks = ground.seen, _looks(ground.box, self.product.pixel_m)
        part = window(seen.line, seen.pixel, self.product.shape, looks=looks)
        if part is None:
            return None
        power = calibrate(self._image.read(part), part, *self._tables)
        found: Floored = floored(sample(power, part, seen.line, seen.pixel, looks=looks))
        gamma0 = ground.flattened(found.power, part, flatten=flatten, looks=looks)
        hidden = np.isfinite(found.power) & np.isnan(gamma0)
        return Backscatter(gamma0, found.count, int(hidden.sum()), seen, ground.facing)


def backscatter(
    files: RadarFiles, scene: RadarScene, box: GeoBox, height: npt.NDArray[np.floating], *,
    geoid_m: float, margin_px: int = HALO_PX, flatten: str = "angle", denoise: bool = True,
) -> Backscatter | None:  # fmt: skip
    """Gamma0 of a window, calibrated, without thermal noise and without the terrain's effect on brightness.

    Where a pixel of the window is wider than three samples, the mean of the samples under it is taken.

    Args:
        files: To read from.
        scene: What is read.
        box: The window.
        height: Metres above the geoid on ``around(box, margin_px)``, dims (y, x), float, nodata NaN; sea is 0.
        geoid_m: Height of the geoid above the WGS 84 ellipsoid there. It matters: 50 m are 6 pixels.
        margin_px: Pixels around the window that ``height`` has. What lies beyond casts neither shadow nor layover on it, and
            by ``area`` it is missing in the samples near the edge: ``sar_area.reach_px`` says how many the relief needs.
        flatten: ``angle`` divides by the cosine of the local angle of incidence; ``area`` by the area that the radar sees,
            which is right where slopes face it, and takes twice as long.
        denoise: Whether thermal noise is taken off. Products of 2014 and 2015 whose noise is not in DN^2 are only made without.

    Returns:
        None where the image does not reach the window.

    Raises:
        SourceError: A file is missing or unreadable, its numbers make no sense, or the files do not belong together.
    """
    if flatten not in FLATTEN:
        raise ValueError(f"flatten {flatten!r}: use one of {', '.join(FLATTEN)}")
    band = RadarBand(files, scene, denoise=denoise)
    ground = Ground(band.product, box, height, geoid_m=geoid_m, margin_px=margin_px)
    return band.backscatter(ground, flatten=flatten)


def _inner(margin_px: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """All but a margin."""
    return slice(margin_px, shape[0] - margin_px), slice(margin_px, shape[1] - margin_px)


def _looks(box: GeoBox, pixel_m: float) -> int:
    """Samples that a pixel of a grid is wide, at least 1, odd; the same for all its windows, whatever their relief."""
    samples = float(box.resolution) * metres_per_unit(box.crs) / pixel_m
    return 2 * max(0, round((samples - 1) / 2)) + 1
