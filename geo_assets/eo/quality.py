"""Whether a composite is plausible, judged from the figures of its pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geo_assets.model.band import Band
from geo_assets.model.receipt import BandFigures

_OFFSET = 0.1  # reflectance that Sentinel-2 stores as 0 since baseline 04.00
_DARK = 0.9 * _OFFSET  # nearly every scene has darker targets (water, shade, vegetation in blue or red)
_FLOORED = 0.2
_VISIBLE = ("blue", "green", "red")


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        faults: What is certainly wrong.
        doubts: What is rarely right.
    """

    faults: tuple[str, ...]
    doubts: tuple[str, ...]


def judge(figures: Mapping[str, BandFigures], bands: Mapping[str, Band]) -> Verdict:
    """Judge a partition's bands: range, and signs of an offset that was taken off twice or not at all.

    Args:
        figures: Figures by band, in stored numbers.
        bands: Facts by band.
    """
    faults, doubts = [], []
    for name, f in figures.items():
        band = bands[name]
        faults += _out_of_range(name, band, f)
        if _harmonised(band) and f.floor_share > _FLOORED:
            faults.append(
                f"{name}: {f.floor_share:.0%} of its pixels lie at the floor, as if the offset had been taken off twice"
            )
    visible = [bands[n].value(figures[n].p01) for n in _VISIBLE if n in figures and _harmonised(bands[n])]
    if visible and min(visible) >= _DARK:
        doubts.append(
            "no visible band has a dark pixel: over snow or desert this is right, elsewhere the offset was not taken off"
        )
    return Verdict(tuple(faults), tuple(doubts))


def _harmonised(band: Band) -> bool:
    """Whether it is a reflectance whose scenes may have an offset of their own."""
    return band.wavelength_um is not None and band.offset == 0


def _out_of_range(name: str, band: Band, f: BandFigures) -> list[str]:
    if band.categorical:
        return []
    (low, high), least, most = band.plausible, band.value(f.p01), band.value(f.p99)
    unit = "" if band.unit == "1" else f" {band.unit}"
    what = "reflectance " if band.wavelength_um is not None and band.unit == "1" else ""
    found = []
    if most > high:
        more = "more than any surface reflects" if what else f"and {high:g}{unit} is the most that can be"
        found.append(f"{name}: 99 % of its pixels reach {what}{most:.2f}{unit}, {more}")
    if least < low:
        found.append(
            f"{name}: 1 % of its pixels lie below {least:.2f}{unit}, and {low:g}{unit} is the least that can be"
        )
    return found


def pooled(blocks: Sequence[Mapping[str, BandFigures]]) -> dict[str, BandFigures]:
    """Figures of several blocks as one: the darkest and brightest percentiles, the mean of the rest."""
    names = sorted({n for b in blocks for n in b})
    result = {}
    for name in names:
        parts = [b[name] for b in blocks if name in b]
        result[name] = BandFigures(
            p01=min(p.p01 for p in parts), p50=sum(p.p50 for p in parts) / len(parts), p99=max(p.p99 for p in parts),
            floor_share=sum(p.floor_share for p in parts) / len(parts),
        )  # fmt: skip
    return result
