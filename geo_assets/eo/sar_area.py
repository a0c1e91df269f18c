"""Terrain flattening by illuminated area, after Small (2011), Flattening gamma, IEEE TGRS 49(8), doi 10.1109/TGRS.2011.2120616.

Every piece of ground adds the area that the radar sees of it to the sample where it appears. What a sample holds is divided
by the sum, so ground that folds over counts as what it is: much ground in few samples. The division by a cosine alone
leaves slopes that face the radar too bright.
"""

import math

import numpy as np
import numpy.typing as npt

from geo_assets.eo.sar import Window
from geo_assets.eo.sar_place import Geolocation, View, place
from geo_assets.eo.terrain import Gradient, metres
from geo_assets.model.geometry import GeoBox

_PIECES = 4  # along each side of a pixel, so that sums over a sample do not depend on how pixels fall into it
_LEAST = 0.05  # of a level sample's area: less means that hardly any ground, or none, is seen there

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def reach_px(low_m: float, high_m: float, incidence_deg: float, pixel_m: float) -> int:
    """Pixels around a window whose ground may appear in the same samples, where heights lie between two.

    Args:
        low_m: Least height.
        high_m: Greatest height.
        incidence_deg: The least angle of incidence, where ground is moved furthest.
        pixel_m: Size of a pixel on the ground.
    """
    return math.ceil((high_m - low_m) / math.tan(math.radians(incidence_deg)) / pixel_m) + 3


def level_area(box: GeoBox, seen: View, geolocation: Geolocation) -> F64:
    """Area of a sample on level ground as the radar sees it (across its line of sight), dims (y, x), m^2.

    Args:
        box: The window.
        seen: The window as the radar sees it.
        geolocation: Of the image.
    """
    line, pixel = place(box, np.zeros(box.shape, np.float32), geolocation)
    down, along = np.gradient(line), np.gradient(pixel)
    samples = np.abs(down[0] * along[1] - down[1] * along[0])
    area: F64 = _pixel_area(box) / samples * np.cos(np.radians(seen.incidence))
    return area


def illuminated_area(box: GeoBox, seen: View, slope: Gradient, part: Window) -> F64:
    """Area that the radar sees in each sample of a part of the image, dims (line, pixel), m^2; 0 where it sees no ground.

    Args:
        box: The window, with all ground around it that appears in the same samples (``reach_px``).
        seen: The window as the radar sees it.
        slope: Of the window, in true metres.
        part: The part of the image.
    """
    from geo_assets.eo import _radar  # takes a third of a second, which only workers have to spend

    theta = np.radians(seen.incidence)
    away = slope.east * seen.look_east + slope.north * seen.look_north
    area = np.asarray(_pixel_area(box) * (np.cos(theta) + np.sin(theta) * away), np.float64)
    total = np.zeros((part.lines, part.pixels))
    steps = tuple(np.gradient(seen.line) + np.gradient(seen.pixel))
    _radar.spread(total, area, seen.line, seen.pixel, steps, _PIECES, part.line, part.pixel)
    return total


def flattened_by_area(gamma0: F32, area: F32, level: F64) -> F32:
    """Backscatter without the terrain's effect: gamma0 * level area / area that the radar sees.

    Args:
        gamma0: On the ellipsoid, linear power, dims (y, x), float32, nodata NaN.
        area: ``illuminated_area`` at the same places, sampled as ``gamma0`` was.
        level: ``level_area`` of the window.

    Returns:
        Linear power, dims (y, x), float32, nodata NaN: also where less than 5 % of a level sample's area is seen, which means
        that the radar sees hardly any ground there.
    """
    lit = area >= _LEAST * level
    return (gamma0 * (level / np.where(lit, area, np.nan))).astype(np.float32)


def _pixel_area(box: GeoBox) -> F64:
    """Level ground under each pixel, m^2, broadcastable to dims (y, x)."""
    ground = metres(box)
    return float(box.resolution) ** 2 * np.abs(ground.x_east * ground.y_north - ground.x_north * ground.y_east)
