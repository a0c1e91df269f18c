"""Sentinel-1 C-band radar in the radar's own geometry (Level-1 GRD), of which gamma0 is made with heights of the ground.

Its files hold amplitudes and have ground control points instead of a CRS. They mean nothing without the calibration, noise
and product annotations beside them (``model.radar.annotations``): ``tasks.radar`` makes the bands below of them.
"""

import math

from geo_assets.model.band import RADAR, Band
from geo_assets.model.radar import acquisition, orbit
from geo_assets.model.sensor import Sensor


def _power(name: str) -> Band:
    return Band(
        name, (name,), 10, dtype="float32", nodata=math.nan, quantity=RADAR, shown=(0.0, 0.3 if name[0] == name[1] else 0.06),
        plausible=(0.0, 1000.0),
    )  # fmt: skip


PLUGIN = Sensor(
    name="sentinel-1-grd",
    title="Sentinel-1 ground range detected (GRD)",
    collections={
        "earth-search": ("sentinel-1-grd",),
        "planetary-computer": ("sentinel-1-grd",),
        "*": ("sentinel-1-grd", "sentinel1-grd"),
    },
    bands={band.name: band for band in map(_power, ("vv", "vh", "hh", "hv"))},
    default_bands=("vv", "vh"),
    acquisition=acquisition,
    cloud_cover_field=None,
    orbit=orbit,
    geocoded=False,
)
