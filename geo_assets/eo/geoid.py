"""How high the geoid of height models lies above the ellipsoid that satellites are placed by."""

import warnings

import numpy as np
import numpy.typing as npt
from pyproj.transformer import TransformerGroup

from geo_assets.errors import ConfigError

_GRID = "us_nga_egm08_25.tif"

F64 = npt.NDArray[np.float64]


def undulation(lon: F64, lat: F64) -> F64:
    """Height of the EGM2008 geoid above the WGS 84 ellipsoid in metres, float64, at degrees of WGS 84.

    Raises:
        ConfigError: PROJ lacks the grid of the geoid. It would say 0 m everywhere, which is wrong by up to 100 m.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # says what is raised below
        group = TransformerGroup("EPSG:9518", "EPSG:4979", always_xy=True)  # EGM2008 height, ellipsoidal height
    if not group.best_available:
        raise ConfigError(
            f"PROJ has no grid of the EGM2008 geoid: run `pyproj sync --file {_GRID}`, or give the geoid's height there as ard.geoid_m"
        )
    _, _, height = group.transformers[0].transform(lon, lat, np.zeros_like(lat))
    return np.asarray(height, np.float64)
