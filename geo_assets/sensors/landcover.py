"""Land cover maps at 10 m: ESA WorldCover, or Impact Observatory's annual maps if their collection is named.

Their codes differ, so each has a band of its own.
"""

import re

from geo_assets.model.band import Band
from geo_assets.model.sensor import Acquisition, Item, Sensor

_YEAR = re.compile(r"(?:19|20)\d{2}")
# WorldCover Product User Manual 2.0, table 2; names and colours as its STAC items give them
_WORLDCOVER = {
    10: ("Tree cover", "#006400"),
    20: ("Shrubland", "#ffbb22"),
    30: ("Grassland", "#ffff4c"),
    40: ("Cropland", "#f096ff"),
    50: ("Built-up", "#fa0000"),
    60: ("Bare / sparse vegetation", "#b4b4b4"),
    70: ("Snow and ice", "#f0f0f0"),
    80: ("Permanent water bodies", "#0064c8"),
    90: ("Herbaceous wetland", "#0096a0"),
    95: ("Mangroves", "#00cf75"),
    100: ("Moss and lichen", "#fae6a0"),
}
# As the STAC items of io-lulc (grass, scrub) and of its nine-class successors (rangeland) give them
_IMPACT = {
    1: "Water",
    2: "Trees",
    3: "Grass",
    4: "Flooded vegetation",
    5: "Crops",
    6: "Scrub/shrub",
    7: "Built area",
    8: "Bare ground",
    9: "Snow/ice",
    10: "Clouds",
    11: "Rangeland",
}


def acquisition(item: Item) -> Acquisition:
    """Map and tile: of a tile that was mapped for several years, the newest map wins."""
    p = item["properties"]
    tile = p.get("esa_worldcover:product_tile") or p.get("io:tile_id")
    if not tile:
        return Acquisition(str(item["id"]), (), "")
    year = _YEAR.match(str(p.get("start_datetime") or p.get("datetime") or ""))
    family = "WORLDCOVER" if "esa_worldcover:product_tile" in p else "IOLULC"
    return Acquisition(f"{family}_{tile}", (int(year[0]),) if year else (), str(p.get("created") or ""))


PLUGIN = Sensor(
    name="landcover",
    title="Land cover (ESA WorldCover, Impact Observatory)",
    collections={"*": ("esa-worldcover",)},
    bands={
        "worldcover": Band(
            "worldcover",
            ("map",),
            10,
            dtype="uint8",
            unit="class",
            classes={code: name for code, (name, _) in _WORLDCOVER.items()},
            colours={code: colour for code, (_, colour) in _WORLDCOVER.items()},
        ),
        "io_lulc": Band("io_lulc", ("data",), 10, dtype="uint8", unit="class", classes=_IMPACT),
    },
    default_bands=("worldcover",),
    acquisition=acquisition,
    cloud_cover_field=None,
    static=True,
)
