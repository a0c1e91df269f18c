"""Backscatter from the amplitudes of Sentinel-1 ground range images, and the terrain's effect on it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from geo_assets.eo.sar_annotation import Noise, Table
from geo_assets.eo.sar_place import View
from geo_assets.eo.terrain import Gradient

MIN_COS = 0.2  # below, a slope is seen at so flat an angle that dividing by its cosine makes noise of it
_MARGIN = 2  # samples around a window that bilinear sampling may touch

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Window:
    """A part of an image: first line and pixel, and how many of each."""

    line: int
    pixel: int
    lines: int
    pixels: int


@dataclass(frozen=True)
class Floored:
    """Backscatter that is nowhere below 0.

    Attributes:
        power: Linear power, float32, nodata NaN.
        count: Pixels that lay below 0, because more noise was taken off than was in them, and are 0 now.
    """

    power: F32
    count: int


@dataclass(frozen=True)
class Facing:
    """How the ground faces the radar; arrays (y, x).

    Attributes:
        cos_local: Cosine of the angle between the ground's normal and the line of sight; float64, NaN without height.
        shadow: True where the ground faces away from the radar, so that it sees nothing of it.
        layover: True where the ground is steeper than the line of sight, so that its top appears nearer than its foot.
        usable: True where there is neither, and the cosine is not below ``MIN_COS``.
    """

    cos_local: F64
    shadow: Mask
    layover: Mask
    usable: Mask


def window(line: F64, pixel: F64, shape: tuple[int, int], *, looks: int = 1) -> Window | None:
    """The part of an image that places touch, or None where they all lie outside.

    Args:
        line: Lines, NaN where the image shows nothing.
        pixel: Pixels, likewise.
        shape: Lines and pixels of the image.
        looks: Side of the square whose mean is taken; odd.
    """
    inside = (line >= -0.5) & (line < shape[0] - 0.5) & (pixel >= -0.5) & (pixel < shape[1] - 0.5)
    if not inside.any():
        return None
    reach = _MARGIN + looks // 2
    first = [max(0, int(at[inside].min()) - reach) for at in (line, pixel)]
    end = [min(n, int(at[inside].max()) + reach + 1) for at, n in zip((line, pixel), shape, strict=True)]
    return Window(first[0], first[1], end[0] - first[0], end[1] - first[1])


def calibrate(dn: npt.NDArray[np.uint16], part: Window, table: Table, noise: Noise | None) -> F32:
    """Backscatter of a window: (DN^2 - noise) / LUT^2.

    Args:
        dn: Amplitudes, dims (line, pixel), uint16, nodata 0.
        part: Where they lie in the image.
        table: ``Calibration.gamma`` for gamma0, ``.sigma`` for sigma0, ``.beta`` for beta0.
        noise: What is taken off, or None.

    Returns:
        Linear power, dims (line, pixel), float32, nodata NaN. It is below 0 where noise is stronger than what was measured:
        a mean is only right over such values, so ``floored`` comes last.
    """
    if dn.shape != (part.lines, part.pixels):
        raise ValueError(f"amplitudes have shape {dn.shape}, their window {part.lines, part.pixels}")
    lines = part.line + np.arange(part.lines, dtype=np.float64)
    pixels = part.pixel + np.arange(part.pixels, dtype=np.float64)
    power = dn.astype(np.float64) ** 2
    if noise is not None:
        power -= noise.at(lines, pixels)
    power /= table.at(lines, pixels) ** 2
    return np.where(dn == 0, np.nan, power).astype(np.float32)


def floored(power: F32) -> Floored:
    """Backscatter with 0 for what lies below, and how many pixels that are."""
    below = power < 0
    return Floored(np.where(below, np.float32(0), power), int(below.sum()))


def sample(image: F32, part: Window, line: F64, pixel: F64, *, looks: int = 1) -> F32:
    """Values of an image at places: bilinear, of the mean of ``looks`` x ``looks`` samples around each.

    Args:
        image: A window of the image, dims (line, pixel), float32, nodata NaN.
        part: Where the window lies in the image.
        line: Lines of the places.
        pixel: Pixels of the places, of the same shape.
        looks: Odd; 1 takes the samples as they are.

    Returns:
        Float32, nodata NaN: where the sample that holds the place has no value, or lies outside. Other samples without a
        value are left out of a mean.
    """
    if looks % 2 != 1:
        raise ValueError(f"looks {looks} must be odd")
    from geo_assets.eo import _radar  # takes a third of a second, which only workers have to spend

    known = np.isfinite(image)
    value, weight = np.where(known, image, np.float32(0)), known.astype(np.float32)
    if looks > 1:
        value, weight = (ndimage.uniform_filter(of, looks, mode="constant") for of in (value, weight))
    found: F32 = _radar.interpolated(value, weight, known, line, pixel, part.line, part.pixel)
    return found


def facing(seen: View, slope: Gradient) -> Facing:
    """How a window of the ground faces the radar.

    Shadow and layover are those of the ground itself; ``sar_cast.with_cast`` adds what it casts on other ground.

    Args:
        seen: The window as the radar sees it.
        slope: Of the same window, in true metres.
    """
    theta = np.radians(seen.incidence)
    # Rise per metre away from the radar: the normal is (-east, -north, 1), the way to the radar (-sin, -sin, cos)
    away = slope.east * seen.look_east + slope.north * seen.look_north
    steep = np.sqrt(1 + slope.east**2 + slope.north**2)
    cos_local = (np.cos(theta) + np.sin(theta) * away) / steep
    shadow, layover = cos_local <= 0, away >= np.tan(theta)
    return Facing(cos_local, shadow, layover, (cos_local >= MIN_COS) & ~layover)


def flattened(gamma0: F32, seen: View, ground: Facing) -> F32:
    """Backscatter without the terrain's effect: gamma0 * cos(incidence) / cos(local incidence).

    Args:
        gamma0: On the ellipsoid, linear power, dims (y, x), float32, nodata NaN.
        seen: The window as the radar sees it.
        ground: How it faces the radar.

    Returns:
        Linear power, dims (y, x), float32, nodata NaN: also where ``ground.usable`` is False.
    """
    factor = np.cos(np.radians(seen.incidence)) / np.where(ground.usable, ground.cos_local, np.nan)
    return (gamma0 * factor).astype(np.float32)
