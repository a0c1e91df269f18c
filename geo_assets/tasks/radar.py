"""Gamma0 of a window of the ground from one Sentinel-1 ground range scene."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo_assets.eo.sar import Facing, calibrate, facing, flattened, floored, sample, window
from geo_assets.eo.sar_annotation import parse_calibration, parse_noise, parse_product
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
    if margin_px < HALO_PX or height.shape != around(box, margin_px).shape:
        raise ValueError(f"heights have shape {height.shape}; {box.shape} with a margin of {margin_px} px are needed")
    product = parse_product(files.annotation(scene.product), without_query(scene.product))
    image = files.image(scene.measurement)
    if image.shape != product.shape:
        text = f"it has {image.shape} samples, its annotation says {product.shape}"
        raise SourceError(f"{without_query(scene.measurement)}: {text}")
    geolocation = OrbitGeolocation(product)
    near = height[_inner(margin_px - HALO_PX, height.shape)]
    seen = view(box, near[_inner(HALO_PX, near.shape)].astype(np.float64) + geoid_m, geolocation)
    looks = _looks(box, product.pixel_m)
    part = window(seen.line, seen.pixel, product.shape, looks=looks)
    if part is None:
        return None
    table = parse_calibration(files.annotation(scene.calibration), without_query(scene.calibration)).gamma
    noise = parse_noise(files.annotation(scene.noise), without_query(scene.noise)) if denoise else None
    power = calibrate(image.read(part), part, table, noise)
    found = floored(sample(power, part, seen.line, seen.pixel, looks=looks))
    ground = facing(seen, gradient(near, box))
    ground = with_cast(ground, box, seen, height, margin_px=margin_px)
    if flatten == "angle":
        gamma0 = flattened(found.power, seen, ground)
    else:
        wide = around(box, margin_px - HALO_PX)
        sight = view(wide, height[_inner(HALO_PX, height.shape)].astype(np.float64) + geoid_m, geolocation)
        lit = illuminated_area(wide, sight, gradient(height, wide), part).astype(np.float32)
        area = sample(lit, part, seen.line, seen.pixel, looks=looks)
        level = level_area(box, seen, geolocation)
        gamma0 = flattened_by_area(np.where(ground.shadow, np.float32(np.nan), found.power), area, level)
    hidden = np.isfinite(found.power) & np.isnan(gamma0)
    return Backscatter(gamma0, found.count, int(hidden.sum()), seen, ground)


def _inner(margin_px: int, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """All but a margin."""
    return slice(margin_px, shape[0] - margin_px), slice(margin_px, shape[1] - margin_px)


def _looks(box: GeoBox, pixel_m: float) -> int:
    """Samples that a pixel of a grid is wide, at least 1, odd; the same for all its windows, whatever their relief."""
    samples = float(box.resolution) * metres_per_unit(box.crs) / pixel_m
    return 2 * max(0, round((samples - 1) / 2)) + 1
