"""What the engine is held to, and whether the measurements reach it."""

from dataclasses import dataclass
from typing import Any

from benchmarks.raster.agree import Agreement, Limits
from benchmarks.raster.candidates import CANDIDATES, CHIPS
from benchmarks.raster.fit import Spread, growth, ratios

Runs = list[dict[str, Any]]
_EARLIER = {"earlier": "the earlier cube's method", "earlier-tuned": "the earlier cube's method in larger chunks"}
_CHIPS = {"odc": 10.0, "rasterio": 2.0}
# On aligned grids only masks at the edges of scenes may differ, where some tools clean the mask of a day and others that of a scene
_ALIGNED = Limits(within_1=0.999, coverage=0.001, typical=2_000, bias=0.5)
# GDAL's coordinates are off by up to an eighth of a pixel, and its kernel is a little wider or narrower than ours
_WARPED = Limits(within_1=0.6, coverage=0.002, typical=4, bias=1.0)


def times(target: str, peers: dict[str, float]) -> dict[str, float]:
    """How many times less CPU than each of these peers the engine is to take, where a goal says so.

    Args:
        target: Name of a target, or chips.
        peers: CPU of the peers that were measured; the best GDAL-based one has a goal of its own.
    """
    if target == "chips":
        return {n: t for n, t in _CHIPS.items() if n in peers}
    found = {n: 6.0 if "4326" in target else 10.0 for n in _EARLIER if n in peers}
    found |= {"stackstac": 10.0} if "stackstac" in peers else {}
    gdal = [n for n in peers if CANDIDATES[n].gdal]
    if gdal and not target.endswith("-clean"):
        found[min(gdal, key=peers.__getitem__)] = 3.5
    return found


@dataclass(frozen=True)
class Goal:
    """One line: ``reached`` is None where it was not measured."""

    what: str
    wanted: str
    found: str
    reached: bool | None


def goals(result: dict[str, Any]) -> list[Goal]:
    """Every goal that the result file has measurements for."""
    runs: Runs = result["runs"]
    composite = [r for r in runs if r["section"] == "composite"]
    found = _of_values(result["agreement"])
    for target in dict.fromkeys(r["target"] for r in composite):
        found += _of_target(target, [r for r in composite if r["target"] == target])
    found += _of_chips([r for r in runs if r["section"] == "chips"])
    grown = [r for r in runs if r["section"] == "growth"]
    for series in dict.fromkeys(r["series"] for r in grown):
        found += _of_series(series, [r for r in grown if r["series"] == series])
    return found


def agreed(found: dict[str, Any]) -> bool:
    """Whether a composite is the same as the others."""
    values = Agreement(**{k: v for k, v in found.items() if k not in ("candidate", "target")})
    if found["target"] == "chips":
        return values.equal == 1
    return (_WARPED if found["target"].startswith("4326") else _ALIGNED).hold(values)


def _of_values(agreement: Runs) -> list[Goal]:
    judged = [
        a for a in agreement if (CHIPS if a["target"] == "chips" else CANDIDATES)[a["candidate"]].values == "same"
    ]
    odd = [f"{a['candidate']} on {a['target']}" for a in judged if not agreed(a)]
    lines = (
        [
            Goal(
                "values: candidates agree",
                "all",
                f"not {', '.join(odd)}" if odd else f"{len(judged)} of {len(judged)}",
                not odd,
            )
        ]
        if judged
        else []
    )
    for a in agreement:
        if a["candidate"] == "ours" and a["target"].startswith("4326"):
            lines.append(
                Goal(
                    f"{a['target']}: pixels equal to GDAL at tolerance 1e-4",
                    "at least 99.8 %",
                    f"{a['equal']:.3%}",
                    a["equal"] >= 0.998,
                )
            )
    return lines


def _cpu(runs: Runs, name: str) -> dict[int, float]:
    return {r["round"]: r["cpu_s"] for r in runs if r["candidate"] == name}


def _least(what: str, wanted: float, ratio: Spread) -> Goal:
    return Goal(what, f"at least {wanted:g}", f"{ratio.median:.2f}", ratio.median >= wanted)


def _most(what: str, wanted: float, value: float, unit: str = "", digits: int = 2) -> Goal:
    return Goal(what, f"at most {wanted:g}{unit}", f"{value:.{digits}f}{unit}", value <= wanted)


def _of_target(target: str, runs: Runs) -> list[Goal]:
    ours, found = _cpu(runs, "ours"), []
    if not ours:
        return []
    peers = {n: ratios(cpu, ours) for n in CANDIDATES if n != "ours" and CANDIDATES[n].made and (cpu := _cpu(runs, n))}
    wanted = times(target, {n: ratio.median for n, ratio in peers.items()})
    for name, least in wanted.items():
        best = "the best GDAL-based candidate" if least == 3.5 else ""
        title = _EARLIER.get(name, CANDIDATES[name].title)
        shown = f"{best} ({title})" if best else title
        found.append(_least(f"{target}: CPU of {shown} / ours", least, peers[name]))
    if limit := _cpu(runs, "inflate"):
        found.append(
            _most(
                f"{target}: CPU of ours / inflating alone", 4 if "4326" in target else 2.2, ratios(ours, limit).median
            )
        )
    mine = [r for r in runs if r["candidate"] == "ours"]
    found.append(_most(f"{target}: bytes read / needed", 1.2, max(r["bytes"] / r["needed"] for r in mine)))
    found.append(_most(f"{target}: peak memory above base", 400, max(r["peak_mb"] for r in mine), " MB", 0))
    return found


def _of_chips(runs: Runs) -> list[Goal]:
    ours = _cpu(runs, "ours")
    return [
        _least(f"chips: CPU of {CHIPS[name].title} / ours", least, ratios(_cpu(runs, name), ours))
        for name, least in _CHIPS.items()
        if ours and _cpu(runs, name)
    ]


def _of_series(series: str, runs: Runs) -> list[Goal]:
    ours = [r for r in runs if r["candidate"] == "ours"]

    def median(size: float, field: str) -> float:
        return Spread.of([r[field] for r in ours if r["size"] == size]).median

    wanted, sizes = (sorted({r["size"] for r in of} - {0}) for of in (runs, ours))
    if not sizes or len(wanted) < 2:
        return []
    if sizes != wanted:
        return [Goal(f"growth by {series}", "every size", f"only up to {sizes[-1]:g} of {wanted[-1]:g}", False)]
    start = median(0, "cpu_s") if any(r["size"] == 0 for r in ours) else 0.0
    found = growth(sizes, [median(s, "cpu_s") for s in sizes], start)
    # Linear in scenes and area, with or without what starting costs
    exponent = _most(f"growth by {series}: exponent", 1.05, max(found.exponent, found.net))
    first = 16.0 if "scenes" in series and 16.0 in sizes else sizes[0]
    peaks = [median(s, "peak_mb") for s in sizes if s >= first]
    what = f"growth by {series}: peak memory from {first:g} to {sizes[-1]:g}"
    peak = Goal(what, "at most 400 MB", f"{peaks[0]:.0f} to {peaks[-1]:.0f} MB", max(peaks) <= 400)
    return [peak] if "bands" in series else [exponent, peak]
