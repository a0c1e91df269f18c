"""Whether a composite is plausible, judged from the figures of its pixels."""

from collections.abc import Mapping
from dataclasses import dataclass

from geo_assets.model.receipt import BandFigures

_OFFSET = 1000.0  # DN that Sentinel-2 stores since baseline 04.00
_DARK = 0.9 * _OFFSET  # nearly every scene has darker targets (water, shade, vegetation in blue or red)
_BRIGHT = 16_000.0  # reflectance 1.6: more than snow in full sun
_FLOORED = 0.2


@dataclass(frozen=True)
class Verdict:
    """What was found.

    Attributes:
        faults: What is certainly wrong.
        doubts: What is rarely right.
    """

    faults: tuple[str, ...]
    doubts: tuple[str, ...]


def judge(bands: Mapping[str, BandFigures]) -> Verdict:
    """Judge a partition's bands: range, and signs of an offset that was taken off twice or not at all.

    Args:
        bands: Figures by band, in stored numbers (reflectance * 10000).
    """
    faults, doubts = [], []
    for name, f in bands.items():
        if f.p99 > _BRIGHT:
            faults.append(
                f"{name}: 99 % of its pixels reach reflectance {f.p99 / 10_000:.2f}, more than any surface reflects"
            )
        if f.floor_share > _FLOORED:
            faults.append(
                f"{name}: {f.floor_share:.0%} of its pixels lie at the floor, as if the offset had been taken off twice"
            )
    visible = [bands[n] for n in ("blue", "green", "red") if n in bands]
    if visible and min(f.p01 for f in visible) >= _DARK:
        doubts.append(
            "no visible band has a dark pixel: over snow or desert this is right, elsewhere the offset was not taken off"
        )
    return Verdict(tuple(faults), tuple(doubts))


def pooled(blocks: list[Mapping[str, BandFigures]]) -> dict[str, BandFigures]:
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
