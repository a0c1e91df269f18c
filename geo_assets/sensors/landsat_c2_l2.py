"""Landsat Collection 2 Level-2: surface reflectance and surface temperature with its QA bits, Landsat 4 to 9."""

import re

from geo_assets.model.band import Band
from geo_assets.model.sensor import Acquisition, Item, Sensor

# Landsat 8-9 Collection 2 Level 2 Science Product Guide (LSDS-1619), tables 6-1 and 6-2; LSDS-1618 has the same for 4-7
_REFLECTANCE = 0.0000275, -0.2
_KELVIN = 0.00341802, 149.0
_PRODUCT = re.compile(r"^L[A-Z](\d{2})_L2S[PR]_(\d{6})_(\d{8})_(?:(\d{8})_)?(\d{2})_(RT|T2|T1)(?:_(SR|ST))?$")
_PROCESSED = re.compile(r"_\d{6}_\d{8}_(\d{4})(\d{2})(\d{2})_\d{2}_(?:RT|T1|T2)")
_TIERS = ("RT", "T2", "T1")  # the best last: of a scene that was delivered as two, it stays


def _optical(name: str, number: int, wavelength_um: float) -> Band:
    """A band by its common name, or by the number that it has on Landsat 8 and 9."""
    scale, offset = _REFLECTANCE
    names = (name, f"SR_B{number}", f"SR_B{number}.TIF")
    return Band(name, names, 30, scale=scale, offset=offset, wavelength_um=wavelength_um, plausible=(-0.2, 1.6022125))


def acquisition(item: Item) -> Acquisition:
    """Platform, path, row and day: equal for the deliveries of one scene in different tiers.

    Raises:
        ValueError: Neither the id nor the properties say what it is, or bands have the numbers of Landsat 4 to 7, which
            mean other colours than those of Landsat 8 and 9.
    """
    found = _PRODUCT.match(item["id"])
    if found is None:
        raise ValueError("its id is not that of a Landsat Collection 2 Level-2 product")
    platform, place, day, _, collection, tier, part = found.groups()
    if int(platform) < 8 and any(name.startswith("SR_B") for name in item["assets"]):
        raise ValueError(
            f"its assets are numbered as Landsat {int(platform)} numbers its bands: common names are needed"
        )
    # Some catalogs have one item for reflectance and one for temperature: they are no duplicates
    key = "_".join([f"L{int(platform)}", place, day, *([part] if part == "ST" else [])])
    return Acquisition(key, (int(collection), _TIERS.index(tier)), _processed(item))


def _processed(item: Item) -> str:
    """Day of processing, from the product's name, which not every id holds in full."""
    p = item["properties"]
    for text in (item["id"], *(str(asset.get("href") or "") for asset in item["assets"].values())):
        if found := _PROCESSED.search(text):
            return "-".join(found.groups())
    return str(p.get("updated") or p.get("created") or "")


PLUGIN = Sensor(
    name="landsat-c2-l2",
    title="Landsat surface reflectance and temperature (Collection 2 Level-2)",
    collections={
        "earth-search": ("landsat-c2-l2",),
        "planetary-computer": ("landsat-c2-l2",),
        "*": ("landsat-c2-l2", "landsat-c2l2-sr", "landsat-8-c2-l2"),
    },
    bands={
        band.name: band
        for band in (
            _optical("coastal", 1, 0.443),
            _optical("blue", 2, 0.482),
            _optical("green", 3, 0.561),
            _optical("red", 4, 0.655),
            _optical("nir08", 5, 0.865),
            _optical("swir16", 6, 1.609),
            _optical("swir22", 7, 2.201),
            # Landsat 4 to 7 have one thermal band, and both products are the same surface temperature
            Band(
                "lwir11",
                ("lwir11", "lwir", "ST_B10", "ST_B10.TIF", "ST_B6.TIF"),
                100,
                scale=_KELVIN[0],
                offset=_KELVIN[1],
                unit="K",
                wavelength_um=10.895,
                quantity="surface_temperature",
                shown=(260.0, 320.0),
                plausible=(149.0, 373.0),
            ),
            Band("qa_pixel", ("qa_pixel", "QA_PIXEL", "QA_PIXEL.TIF"), 30, nodata=1, unit="class"),
        )
    },
    default_bands=("red", "green", "blue", "nir08"),
    acquisition=acquisition,
    mask_band={"qa_pixel": "qa_pixel"},
    mask_bits=(1, 2, 3, 4),  # LSDS-1619, table 6-3: dilated cloud, cirrus, cloud, cloud shadow; bit 0 is fill
    conditions={"cloud": (1, 2, 3), "shadow": (4,), "snow": (5,), "water": (7,)},
)
