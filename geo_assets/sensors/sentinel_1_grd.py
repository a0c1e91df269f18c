"""Sentinel-1 C-band radar as detected digital numbers in the radar's own geometry (Level-1 GRD).

Its files have ground control points instead of a CRS, and its numbers mean nothing without the calibration, noise and
product annotations beside them: ``eo.sar`` makes gamma0 of them.
"""

import re
from dataclasses import dataclass

from geo_assets.model.band import Band
from geo_assets.model.radar import acquisition, orbit
from geo_assets.model.sensor import Item, Sensor


@dataclass(frozen=True)
class Annotations:
    """Where the XML files of one polarisation lie.

    Attributes:
        product: Geolocation grid and incidence angles.
        calibration: Calibration look-up tables.
        noise: Thermal noise look-up tables.
    """

    product: str
    calibration: str
    noise: str


def annotations(item: Item, band: str) -> Annotations:
    """Annotations of a band's measurement.

    The product annotation is taken from where the measurement lies: catalogs list it as ``schema-product-vv``, but some
    of their items point that name at the interference (RFI) annotation instead.

    Raises:
        ValueError: The item has no such measurement or no annotations for it.
    """
    assets = item["assets"]
    listed = [assets.get(name, {}).get("href") for name in (band, f"schema-calibration-{band}", f"schema-noise-{band}")]
    if not all(listed):
        raise ValueError(f"item {item['id']} lacks the measurement {band} or its calibration and noise annotations")
    measurement, calibration, noise = (str(href) for href in listed)
    product, changed = re.subn(r"/measurement/([^/?]+)\.tiff?(?=$|\?)", r"/annotation/\1.xml", measurement)
    if not changed:
        raise ValueError(f"item {item['id']}: {band} does not lie in a folder named measurement, as the product has it")
    return Annotations(product, calibration, noise)


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
)
