"""Sentinel-2 MSI surface reflectance (Level-2A) with its scene classification (SCL)."""

import re

from geo_assets.model.band import Band
from geo_assets.model.sensor import Acquisition, Item, OffsetDecision, Sensor

_OFFSET_BASELINE = (4, 0)  # Sentinel-2 Products Specification Document, 14.9: RADIO_ADD_OFFSET since baseline 04.00
_OFFSET_DN = -1000
_OFFSET_SINCE = "2022-01-25"  # first day on which ESA delivered baseline 04.00
_SENSED = re.compile(r"_S(\d{8}T\d{6})_")
_PRODUCT_BASELINE = re.compile(r"_N(\d{2})(\d{2})_")
_TILE = re.compile(r"(?:^|_)T?(\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])(?:_|$)")
_PLATFORM = re.compile(r"^S(?:ENTINEL-)?2([A-D])", re.IGNORECASE)


def _optical(name: str, number: str, gsd_m: float, wavelength_um: float) -> Band:
    return Band(
        name,
        (name, f"B{number}", f"B{number}_{gsd_m:.0f}m"),
        gsd_m,
        scale=0.0001,
        unit="1",
        wavelength_um=wavelength_um,
        quantity="surface_bidirectional_reflectance",
        plausible=(0.0, 1.6),  # more than snow in full sun
    )


def _baseline(item: Item) -> str:
    p = item["properties"]
    for field in ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version"):
        if re.fullmatch(r"\d{2}\.\d{2}", str(p.get(field, ""))):
            return str(p[field])
    for text in (p.get("s2:product_uri"), p.get("sentinel:product_id"), p.get("s2:datastrip_id"), item["id"]):
        if found := _PRODUCT_BASELINE.search(f"{text or ''}_".replace(".", "")):
            return f"{found[1]}.{found[2]}"
    return ""


def _tuple(baseline: str) -> tuple[int, ...]:
    return tuple(int(part) for part in baseline.split(".")) if baseline else ()


def _listed_offset(item: Item) -> float | None:
    for name in ("red", "B04", "B04_10m"):
        asset = item["assets"].get(name, {})
        for band in [asset, *asset.get("raster:bands", []), *asset.get("bands", [])]:
            for field in ("offset", "raster:offset"):
                if isinstance(band.get(field), int | float):
                    return float(band[field])
    return None


def dn_offset(item: Item) -> OffsetDecision:
    """What to add to a scene's observed DN, from the catalog's flag, then the baseline, then the item's own offset.

    The flag comes first because Earth Search removes the offset from the pixels (``boa_offset_applied``) and still lists
    ``offset: -0.1`` for them: to apply both would take it off twice.
    """
    p = item["properties"]
    flags = [
        p[f] for f in ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied") if isinstance(p.get(f), bool)
    ]
    baseline = _baseline(item)
    if flags and flags[0]:
        return OffsetDecision(0, "the catalog says that the offset is removed already (boa_offset_applied)")
    if baseline:
        if _tuple(baseline) >= _OFFSET_BASELINE:
            return OffsetDecision(_OFFSET_DN, f"baseline {baseline} stores DN with an offset of 1000")
        return OffsetDecision(0, f"baseline {baseline} is older than 04.00 and has no offset")
    listed = _listed_offset(item)
    if listed is not None:
        return OffsetDecision(round(listed * 10_000), f"no baseline; the item lists offset {listed:g}")
    if str(p.get("datetime") or "") >= _OFFSET_SINCE:
        return OffsetDecision(_OFFSET_DN, f"no flag, baseline or offset in the item; sensed since {_OFFSET_SINCE}")
    return OffsetDecision(0, f"no flag, baseline or offset in the item; sensed before {_OFFSET_SINCE}")


def _tile_of(item: Item) -> str:
    """MGRS tile. Names given by ESA come before ``grid:code``, which Earth Search v0 took from the footprint's centroid."""
    p = item["properties"]
    if p.get("s2:mgrs_tile"):
        return str(p["s2:mgrs_tile"])
    for name in (p.get("s2:product_uri"), p.get("sentinel:product_id"), item["id"]):
        if found := _TILE.search(str(name or "")):
            return found[1]
    if "mgrs:utm_zone" in p:
        return f"{p['mgrs:utm_zone']}{p.get('mgrs:latitude_band')}{p.get('mgrs:grid_square')}"
    return str(p.get("grid:code") or "").removeprefix("MGRS-")


def acquisition(item: Item) -> Acquisition:
    """Platform, tile and start of the datastrip: equal for two processings, different for two parts of one tile and day."""
    p = item["properties"]
    tile = _tile_of(item)
    strip = str(p.get("s2:datastrip_id") or p.get("eopf:datastrip_id") or "")
    sensed = _SENSED.search(strip)
    time = sensed[1] if sensed else str(p.get("datetime"))[:19]
    unit = _PLATFORM.match(str(p.get("platform") or "")) or _PLATFORM.match(item["id"])
    baseline = _baseline(item)
    key = f"S2{unit[1].upper() if unit else '?'}_{tile.lstrip('0') or item['id']}_{time}"
    processed = str(
        p.get("s2:generation_time") or p.get("processing:datetime") or p.get("updated") or p.get("created") or ""
    )
    return Acquisition(key, _tuple(baseline), processed)


PLUGIN = Sensor(
    name="sentinel-2-l2a",
    title="Sentinel-2 surface reflectance (L2A)",
    collections={
        "earth-search": ("sentinel-2-l2a",),
        "planetary-computer": ("sentinel-2-l2a",),
        "*": ("sentinel-2-l2a", "sentinel-2-c1-l2a", "sentinel-s2-l2a-cogs", "sentinel-s2-l2a"),
    },
    bands={
        band.name: band
        for band in (
            _optical("coastal", "01", 60, 0.443),
            _optical("blue", "02", 10, 0.490),
            _optical("green", "03", 10, 0.560),
            _optical("red", "04", 10, 0.665),
            _optical("rededge1", "05", 20, 0.704),
            _optical("rededge2", "06", 20, 0.740),
            _optical("rededge3", "07", 20, 0.783),
            _optical("nir", "08", 10, 0.842),
            _optical("nir08", "8A", 20, 0.865),
            _optical("nir09", "09", 60, 0.945),
            _optical("swir16", "11", 20, 1.610),
            _optical("swir22", "12", 20, 2.190),
            Band("scl", ("scl", "SCL", "SCL_20m"), 20, dtype="uint8", unit="class"),
        )
    },
    default_bands=("red", "green", "blue", "nir"),
    dn_offset=dn_offset,
    acquisition=acquisition,
    mask_band={"scl": "scl"},
    # Sen2Cor's classes: 1 saturated or defective, 3 shadow of clouds, 6 water, 8 to 10 clouds and cirrus, 11 snow or ice
    conditions={"cloud": (8, 9, 10), "shadow": (3,), "snow": (11,), "water": (6,), "saturated": (1,)},
)
