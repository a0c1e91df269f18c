"""What the STAC items and file names of Sentinel-1 say of a scene, whatever was made of it."""

import re
from dataclasses import dataclass

from geo_assets.errors import SourceError
from geo_assets.model.href import without_query
from geo_assets.model.sensor import Acquisition, Item, Orbit

# Sentinel-1 Product Specification (S1-RS-MDA-52-7441), 3.3.2: mission, mode, type, ..., start, stop, orbit, datatake
_PRODUCT = re.compile(r"^(S1[A-D])_([A-Z0-9]{2})_GRD._1S[A-Z]{2}_(\d{8}T\d{6})_\d{8}T\d{6}_(\d{6})_([0-9A-F]{6})")
_MEASUREMENT = re.compile(r"/measurement/([^/?#]+)\.tiff?$")
_PROCESSED = ("s1:processing_datetime", "processing:datetime", "updated", "created")


def orbit(item: Item) -> Orbit:
    """Direction and relative orbit: what decides about from which side a slope is seen."""
    p = item["properties"]
    direction, relative = str(p.get("sat:orbit_state") or "").lower(), p.get("sat:relative_orbit")
    known = direction if direction in ("ascending", "descending") else ""
    return Orbit(known, None if relative is None else int(relative))


def acquisition(item: Item) -> Acquisition:
    """Platform, mode, start, orbit and datatake: equal for two processings of one slice."""
    p, found = item["properties"], _PRODUCT.match(item["id"])
    key = "_".join(found.groups()) if found else str(item["id"])
    return Acquisition(key, (), next((str(p[field]) for field in _PROCESSED if p.get(field)), ""))


@dataclass(frozen=True)
class Annotations:
    """Where the XML files of one polarisation of a Level-1 product lie.

    Attributes:
        product: Geometry: geolocation grid, orbit, range polynomials.
        calibration: Calibration look-up tables.
        noise: Thermal noise look-up tables.
    """

    product: str
    calibration: str
    noise: str


def annotations(measurement: str) -> Annotations:
    """The annotations beside a measurement, by the folders and names that every product has.

    Catalogs list them as assets, too, but several name the interference (RFI) annotation as that of the product.

    Args:
        measurement: Address without signature.

    Raises:
        SourceError: It does not lie in a folder named measurement.
    """
    found = _MEASUREMENT.search(measurement)
    if found is None:
        raise SourceError(
            f"{without_query(measurement)}: no TIFF file in a folder named measurement: its annotations cannot be found"
        )
    folder = f"{measurement[: found.start()]}/annotation"
    tables = f"{folder}/calibration"
    return Annotations(
        f"{folder}/{found[1]}.xml", f"{tables}/calibration-{found[1]}.xml", f"{tables}/noise-{found[1]}.xml"
    )
