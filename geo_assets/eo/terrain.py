"""Slope and aspect of a height model in true ground metres, at any latitude and in any CRS."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyproj

from geo_assets.eo._anchored import SPACING_PX, Anchored
from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox

HALO_PX = 1  # heights around a window that its gradient depends on
METHODS = ("central", "horn")
_CELL_PX = (
    16  # spacing of the points at which the CRS is measured, counted from the CRS's origin and not from the window
)
_ELLIPSOID = pyproj.Geod(ellps="WGS84")
_POLE_CELLS = 20  # nearer to a pole than so many spacings north turns too fast to be interpolated to 1e-3

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gradient:
    """How fast heights rise towards true east and true north.

    Attributes:
        east: Rise per metre towards east, dims (y, x), float64, unit 1, nodata NaN.
        north: Rise per metre towards north, dims (y, x), float64, unit 1, nodata NaN.
    """

    east: F64
    north: F64


@dataclass(frozen=True)
class Metres:
    """Ground metres of one unit of a CRS's coordinates at each pixel's centre, on the WGS 84 ellipsoid.

    Arrays are float64, unit m per CRS unit, and broadcast to dims (y, x). They are NaN where the CRS does not reach, and in
    projected CRSs within 320 pixels of a pole, where east and north change from pixel to pixel.

    Attributes:
        x_east: Metres towards true east that one unit of x measures.
        x_north: Metres towards true north that one unit of x measures.
        y_east: Metres towards true east that one unit of y measures.
        y_north: Metres towards true north that one unit of y measures.
    """

    x_east: F64
    x_north: F64
    y_east: F64
    y_north: F64


def halo(box: GeoBox) -> GeoBox:
    """The window whose heights ``gradient`` needs for ``box``: one pixel more on each side."""
    rows, cols = box.shape
    return box.window(-HALO_PX, -HALO_PX, rows + 2 * HALO_PX, cols + 2 * HALO_PX)


def gradient(heights: npt.NDArray[np.floating], box: GeoBox, *, method: str = "central") -> Gradient:
    """The gradient of a window of a height model.

    Args:
        heights: Metres above any datum on ``halo(box)``, dims (y, x), float, nodata NaN. 0 m is a height.
        box: The window.
        method: ``central`` takes the two neighbours in each direction; ``horn`` all eight, as gdaldem does (Horn 1981,
            Hill shading and the reflectance map).

    Returns:
        The gradient on ``box``; NaN where the pixel or a neighbour that the method takes is missing.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r}: use one of {', '.join(METHODS)}")
    if heights.shape != halo(box).shape:
        raise ValueError(f"heights have shape {heights.shape}; a window of {box.shape} needs {halo(box).shape}")
    if not np.issubdtype(heights.dtype, np.floating):
        raise ValueError(f"heights are {heights.dtype}; give floats with NaN where there is no height")
    z = heights.astype(np.float64)
    per_px = 2 * float(box.resolution)
    along, down = z[:, 2:] - z[:, :-2], z[:-2] - z[2:]
    if method == "horn":
        rise_x = (along[:-2] + 2 * along[1:-1] + along[2:]) / (4 * per_px)
        rise_y = (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) / (4 * per_px)
    else:
        rise_x, rise_y = along[1:-1] / per_px, down[:, 1:-1] / per_px
    ground = metres(box)
    # The transposed inverse of the Jacobian turns a rise per CRS unit into a rise per metre
    area = ground.x_east * ground.y_north - ground.x_north * ground.y_east
    missing = np.where(np.isnan(z[1:-1, 1:-1]), np.nan, 0.0)
    east = (ground.y_north * rise_x - ground.x_north * rise_y) / area + missing
    north = (ground.x_east * rise_y - ground.y_east * rise_x) / area + missing
    return Gradient(east, north)


def slope(of: Gradient, *, min_deg: float = 0.0) -> F32:
    """Steepness in degrees from 0 to 90, never below ``min_deg``, dims (y, x), float32, nodata NaN."""
    steep = np.degrees(np.arctan(np.hypot(of.east, of.north)))
    return np.maximum(steep, min_deg).astype(np.float32)


def aspect(of: Gradient) -> F32:
    """Direction that a slope faces, downhill: degrees clockwise from true north, 0 to below 360, dims (y, x), float32.

    NaN where there is no height, and where the ground is level, so that it faces nowhere.
    """
    facing = np.degrees(np.arctan2(-of.east, -of.north)) % 360
    facing = np.where((of.east == 0) & (of.north == 0), np.nan, facing).astype(np.float32)
    return np.where(facing == 360, np.float32(0), facing)  # what rounding to float32 brought up to a full turn


def metres(box: GeoBox) -> Metres:
    """How long the units of a window's CRS are on the ground, in both directions, with the turn of its grid against north.

    A scale that is fixed for the CRS would be wrong: a degree of longitude is half as long at 60 degrees north as at the
    equator, and so is a metre of Web Mercator. Heights above the ellipsoid are left out, which is 0.05 % at 3000 m.
    """
    lattice = Anchored.under(box)
    x, y = lattice.x, lattice.y
    if box.crs == "EPSG:4326":
        along, across = _degrees(y)
        none = np.zeros((len(y), 1))
        nodes = along[:, None], none, none, across[:, None]
    else:
        nodes = _measured(x, y, box.crs, float(box.resolution))
    x_east, x_north, y_east, y_north = map(lattice.spread, nodes)
    return Metres(x_east, x_north, y_east, y_north)


def _degrees(lat: F64) -> tuple[F64, F64]:
    """Metres of a degree of longitude and of a degree of latitude: N cos(lat) and M, the radii of curvature."""
    a, e2 = _ELLIPSOID.a, _ELLIPSOID.es
    phi = np.radians(lat)
    w = 1 - e2 * np.sin(phi) ** 2
    return np.radians(a / np.sqrt(w)) * np.cos(phi), np.radians(a * (1 - e2) / w**1.5)


def _measured(x: F64, y: F64, crs: str, reach: float) -> tuple[F64, F64, F64, F64]:
    """Metres east and north that a unit of x, then of y, measures from ``reach`` before to ``reach`` behind each point."""
    grid_x, grid_y = np.meshgrid(x, y)
    to_degrees = transformer(crs, "EPSG:4326").transform
    _, lat = to_degrees(grid_x, grid_y)
    lat = np.where(np.isfinite(lat), lat, np.nan)
    east_m, north_m = _degrees(lat)
    found: list[F64] = []
    for dx, dy in ((reach, 0.0), (0.0, reach)):
        lon0, lat0 = to_degrees(grid_x - dx, grid_y - dy)
        lon1, lat1 = to_degrees(grid_x + dx, grid_y + dy)
        with np.errstate(invalid="ignore"):
            turn = (lon1 - lon0 + 180) % 360 - 180  # the two points may lie on both sides of the antimeridian
            found += [turn * east_m / (2 * reach), (lat1 - lat0) * north_m / (2 * reach)]
    x_east, x_north, y_east, y_north = found
    cell_m = np.sqrt(np.abs(x_east * y_north - x_north * y_east)) * reach * SPACING_PX
    near_pole = (90 - np.abs(lat)) * north_m < _POLE_CELLS * cell_m
    return _known(x_east, near_pole), _known(x_north, near_pole), _known(y_east, near_pole), _known(y_north, near_pole)


def _known(values: F64, near_pole: npt.NDArray[np.bool_]) -> F64:
    return np.where(np.isfinite(values) & ~near_pole, values, np.nan)
