"""Gamma0 of a window of the ground from one Sentinel-1 ground range scene."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geo_assets.eo.sar import Facing, calibrate, facing, flattened, floored, sample, window
from geo_assets.eo.sar_annotation import parse_calibration, parse_noise, parse_product
from geo_assets.eo.sar_place import OrbitGeolocation, View, view
from geo_assets.eo.terrain import HALO_PX, gradient
from geo_assets.errors import SourceError
from geo_assets.model.crs import metres_per_unit
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import without_query
from geo_assets.readers._radar import RadarFiles

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RadarScene:
    """Addresses of one polarisation of a scene, without signature."""

    measurement: str
    product: str
    calibration: str
    noise: str


@dataclass(frozen=True)
class Backscatter:
    """What the ground sends back.

    Attributes:
        gamma0: Linear power without the terrain's effect, dims (y, x), float32, unit 1, nodata NaN.
        floored: Pixels that lay below 0, because more noise was taken off than was in them, and are 0 now.
        hidden: Pixels that are NaN because the ground lies in shadow, folds over, or is seen at too flat an angle.
        seen: The window as the radar sees it.
        facing: How the ground faces the radar.
    """

    gamma0: F32
    floored: int
    hidden: int
    seen: View
    facing: Facing


def backscatter(
    files: RadarFiles, scene: RadarScene, box: GeoBox, height: npt.NDArray[np.floating], *, geoid_m: float
) -> Backscatter | None:
    """Gamma0 of a window, calibrated, without thermal noise and without the terrain's effect on brightness.

    Where a pixel of the window is wider than three samples, the mean of the samples under it is taken.

    Args:
        files: To read from.
        scene: What is read.
        box: The window.
        height: Metres above the geoid on ``terrain.halo(box)``, dims (y, x), float, nodata NaN; sea is 0.
        geoid_m: Height of the geoid above the WGS 84 ellipsoid there. It matters: 50 m are 6 pixels.

    Returns:
        None where the image does not reach the window.

    Raises:
        SourceError: A file is missing or unreadable, its numbers make no sense, or the files do not belong together.
    """
    product = parse_product(files.annotation(scene.product), without_query(scene.product))
    image = files.image(scene.measurement)
    if image.shape != product.shape:
        text = f"it has {image.shape} samples, its annotation says {product.shape}"
        raise SourceError(f"{without_query(scene.measurement)}: {text}")
    inner = height[HALO_PX:-HALO_PX, HALO_PX:-HALO_PX].astype(np.float64) + geoid_m
    seen = view(box, inner, OrbitGeolocation(product))
    looks = _looks(box, product.pixel_m)
    part = window(seen.line, seen.pixel, product.shape, looks=looks)
    if part is None:
        return None
    table = parse_calibration(files.annotation(scene.calibration), without_query(scene.calibration)).gamma
    noise = parse_noise(files.annotation(scene.noise), without_query(scene.noise))
    power = calibrate(image.read(part), part, table, noise)
    found = floored(sample(power, part, seen.line, seen.pixel, looks=looks))
    ground = facing(seen, gradient(height, box))
    gamma0 = flattened(found.power, seen, ground)
    hidden = np.isfinite(found.power) & np.isnan(gamma0)
    return Backscatter(gamma0, found.count, int(hidden.sum()), seen, ground)


def _looks(box: GeoBox, pixel_m: float) -> int:
    """Samples that a pixel of a grid is wide, at least 1, odd; the same for all its windows, whatever their relief."""
    samples = float(box.resolution) * metres_per_unit(box.crs) / pixel_m
    return 2 * max(0, round((samples - 1) / 2)) + 1
