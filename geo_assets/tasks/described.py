"""Whether a collection that is described in the project file is as its items say: scale, offset and nodata of its bands."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geo_assets.model.band import Band
from geo_assets.model.collection import SensorRecipe
from geo_assets.registry import load, sensor_of

_MOST = 100  # items that are looked at, spread over those that were found: processing changes with time
_S2 = "sentinel-2-l2a"
_S2_FIELDS = ("s2:processing_baseline", "sentinel:processing_baseline")
_FLAGS = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")


@dataclass(frozen=True)
class Misfit:
    """A description that items contradict.

    Attributes:
        message: Which band, what the items say and what is described.
        advice: What to write.
    """

    message: str
    advice: str


def misfits(entry: SensorRecipe, items: Sequence[Mapping[str, Any]]) -> list[Misfit]:
    """Where the description of a collection is not what its items say of themselves; nothing of a plugin.

    Args:
        entry: The sensor in the project file.
        items: STAC items as the catalog gave them: the extension ``raster`` 1 (``raster:bands``) or 2 (``bands``).
    """
    if not entry.described:
        return []
    looked = items[:: -(-len(items) // _MOST) or 1]
    bands = [b for b in sensor_of(entry).bands.values() if not b.categorical]
    by_scene = list(_by_scene(entry, bands, looked))
    return by_scene + [m for band in bands for m in _of_band(entry, band, looked, offsets=not by_scene)]


def _of_band(entry: SensorRecipe, band: Band, items: Sequence[Mapping[str, Any]], *, offsets: bool) -> Iterator[Misfit]:
    described = {"scale": band.scale, "offset": band.offset, "nodata": band.nodata}
    for field, ours in described.items():
        told = [v for i in items if (v := _said(i, band, field)) is not None] if field != "offset" or offsets else []
        other = {v for v in told if ours is None or not _same(v, float(ours))}
        if not other:
            continue
        some = (
            "its items say"
            if len(other) == 1 and not any(_same(v, float(ours or 0)) for v in told)
            else "some of its items say"
        )
        values = " and ".join(_text(v) for v in sorted(other, key=str)[:3])
        described_as = "none" if ours is None else _text(float(ours))
        yield Misfit(
            f"{entry.sensor}, band {band.name}: {some} {field} {values}, and the project file describes {described_as}",
            f"write {field}: {_text(min(other, key=str))} for {band.name} under sensors, unless you know that the items are wrong"
            if len(other) == 1 and some == "its items say"
            else "a description holds one value for all scenes: leave out those that differ with sensors.exclude, or use a sensor plugin",
        )  # fmt: skip


def _by_scene(entry: SensorRecipe, bands: Sequence[Band], items: Sequence[Mapping[str, Any]]) -> Iterator[Misfit]:
    """Scenes of Sentinel-2 whose numbers have an offset by their processing baseline, which is not the one described."""
    ours = [i for i in items if _is_s2(i)]
    decide = load("sensors", _S2).dn_offset
    found = {decide(i).dn for i in ours}
    wrong = [b for b in bands if any(not math.isclose(b.offset, dn * b.scale, abs_tol=1e-9) for dn in found)]
    if not wrong or found == {0}:
        return
    offsets = " or ".join(f"{dn * wrong[0].scale:g}" for dn in sorted(found))
    names = ", ".join(b.name for b in wrong)
    yield Misfit(
        f"{entry.sensor}, {names}: its scenes are of Sentinel-2 and have offset {offsets} by their processing baseline, and the project "
        f"file describes {wrong[0].offset:g}",
        f"use the sensor plugin, `sensor: {_S2}` with these collections, which takes each scene's own offset off: a description cannot",
    )


def _is_s2(item: Mapping[str, Any]) -> bool:
    properties = item.get("properties")
    return isinstance(properties, Mapping) and any(isinstance(properties.get(f), str) for f in _S2_FIELDS)


def _said(item: Mapping[str, Any], band: Band, field: str) -> float | None:
    """What an item says of a band's first array, or None."""
    if field == "offset" and any(item["properties"].get(flag) is True for flag in _FLAGS):
        return None  # it is off the pixels already, and still listed
    assets = item.get("assets")
    asset = next((assets[a] for a in band.assets if a in assets), None) if isinstance(assets, Mapping) else None
    if not isinstance(asset, Mapping):
        return None
    for said in (*_first(asset.get("raster:bands")), *_first(asset.get("bands")), asset):
        for name in (field, f"raster:{field}"):
            if (value := _number(said.get(name))) is not None:
                return value
    return None


def _first(listed: Any) -> list[Mapping[str, Any]]:
    return [m for m in listed[:1] if isinstance(m, Mapping)] if isinstance(listed, list) else []


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}.get(value.strip().lower())
    return None if isinstance(value, bool) or not isinstance(value, int | float) else float(value)


def _same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-12)


def _text(value: float) -> str:
    return f"{value:.10g}"
