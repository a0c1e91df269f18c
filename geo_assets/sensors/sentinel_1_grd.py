"""Sentinel-1 C-band radar as detected digital numbers in the radar's own geometry (Level-1 GRD).

Its files have ground control points instead of a CRS, and its numbers mean nothing without the calibration, noise and
product annotations beside them (``model.radar.annotations``): ``tasks.radar`` makes gamma0 of them.
"""

from geo_assets.model.band import Band
from geo_assets.model.radar import acquisition, orbit
from geo_assets.model.sensor import Sensor

PLUGIN = Sensor(
    name="sentinel-1-grd",
    title="Sentinel-1 ground range detected (GRD)",
    collections={
        "earth-search": ("sentinel-1-grd",),
        "planetary-computer": ("sentinel-1-grd",),
        "*": ("sentinel-1-grd", "sentinel1-grd"),
    },
    # Sentinel-1 Product Specification (S1-RS-MDA-52-7441), 5.1: amplitudes, 0 where nothing was measured
    bands={name: Band(name, (name,), 10, unit="DN", shown=(0.0, 500.0)) for name in ("vv", "vh", "hh", "hv")},
    default_bands=("vv", "vh"),
    acquisition=acquisition,
    cloud_cover_field=None,
    orbit=orbit,
    geocoded=False,
)
