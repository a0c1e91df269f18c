"""Sentinel-1 C-band radar, gamma0 with the terrain's effect on brightness taken out (RTC), in linear power."""

from geo_assets.model.band import RADAR, Band
from geo_assets.model.radar import acquisition, orbit
from geo_assets.model.sensor import Sensor


def _power(name: str) -> Band:
    return Band(
        name,
        (name, f"gamma0_{name}"),
        10,
        dtype="float32",
        nodata=-32768,
        quantity=RADAR,
        shown=(0.0, 0.3 if name[0] == name[1] else 0.06),
        plausible=(0.0, 1000.0),  # corner reflectors and steel reach far above 1
    )


PLUGIN = Sensor(
    name="sentinel-1-rtc",
    title="Sentinel-1 terrain-corrected gamma0 (RTC)",
    collections={
        "planetary-computer": ("sentinel-1-rtc",),
        "*": ("sentinel-1-rtc", "sentinel1-rtc-aws"),
    },
    bands={band.name: band for band in map(_power, ("vv", "vh", "hh", "hv"))},
    default_bands=("vv", "vh"),
    acquisition=acquisition,
    cloud_cover_field=None,
    orbit=orbit,
)
