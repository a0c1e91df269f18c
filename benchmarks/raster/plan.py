"""What is measured: tunings, composites, chips, our own stages, growth, and the first composite of a process."""

import statistics
import tempfile
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.raster.candidates import CANDIDATES, CHIPS, Candidate
from benchmarks.raster.chips import Chips
from benchmarks.raster.measure import Bench, kind_of, say, turns
from benchmarks.raster.targets import LONLAT, MAIN, QUICK, QUICK_SERIES, SERIES, UTM, Target, cleaned

GROWING, OURS = ("ours", "odc", "rasterio", "inflate"), ("ours", "inflate")
Runs = list[dict[str, Any]]
SECTIONS = ("tune", "composite", "chips", "stages", "growth", "cold")


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        targets: Of the comparison.
        series: Of growth.
        tuned: Targets that settings are tried on.
        chips: The chips.
        rounds: How often each comparison is made.
        fewer: How often tunings, stages, growth (of peers: once) and first composites are.
    """

    targets: tuple[Target, ...]
    series: dict[str, tuple[tuple[float, Target], ...]]
    tuned: tuple[Target, ...]
    chips: Chips
    rounds: int
    fewer: int

    def targets_of(self, sections: list[str]) -> list[Target]:
        """The targets of some sections, to make their scenes before anything is measured."""
        grown = [t for points in self.series.values() for _, t in points] if "growth" in sections else []
        return [*self.targets, *self.tuned, *grown]


def full(rounds: int) -> Plan:
    """The measurements that the documents quote."""
    tuned = tuple(replace(t, scenes=4) for t in (LONLAT, UTM, cleaned(LONLAT), cleaned(UTM)))
    return Plan(MAIN, SERIES, tuned, Chips(), rounds, min(3, rounds))


def quick() -> Plan:
    """A smoke run of two minutes, whose numbers mean little."""
    return Plan(QUICK, QUICK_SERIES, QUICK, Chips(side=2), 1, 1)


def wanted(target: Target, only: set[str]) -> dict[str, Candidate]:
    """Candidates of a target."""
    kind = "clean" if target.clean else "plain"
    return {
        n: c
        for n, c in CANDIDATES.items()
        if c.when in ("all", kind) and c.crs in ("", target.crs) and (not only or n in only)
    }


def tune(bench: Bench, plan: Plan, only: set[str]) -> None:
    """Try every setting of every candidate, and keep the best for each kind of target."""
    for target in plan.tuned:
        # Settings are found on the plain targets, but for the candidates that are only measured with clean-up
        found = {n: c for n, c in wanted(target, only).items() if not target.clean or c.when == "clean"}
        _try(bench, plan, target, found)
    _try(bench, plan, plan.chips, {n: c for n, c in CHIPS.items() if not only or n in only})


def _try(bench: Bench, plan: Plan, target: Target | Chips, candidates: dict[str, Candidate]) -> None:
    cases = [(n, c, o) for n, c in candidates.items() if len(c.tunings) > 1 for o in c.tunings]
    costs: dict[str, list[tuple[dict[str, Any], Runs]]] = {}
    for name, _, options in cases:
        costs.setdefault(name, []).append((options, []))
    for round_ in range(plan.fewer):
        for name, candidate, options in cases:
            if record := bench.run("tune", name, candidate, target, round_, options=options):
                next(spent for o, spent in costs[name] if o == options).append(record)
    for name, tried in costs.items():
        best = bench.result["best"][f"{kind_of(target)} {name}"] = best_of(tried)
        say(f"best settings of {name} for {kind_of(target)}: {best}")


def best_of(tried: list[tuple[dict[str, Any], Runs]]) -> dict[str, Any]:
    """The settings with the least wall time among those within 5 % of the least CPU."""
    medians = [(o, *(statistics.median(r[f] for r in runs) for f in ("cpu_s", "wall_s"))) for o, runs in tried if runs]
    least = min(cpu for _, cpu, _ in medians)
    return min((m for m in medians if m[1] <= 1.05 * least), key=lambda m: m[2])[0]


def composite(bench: Bench, plan: Plan, only: set[str]) -> None:
    """The comparison: every candidate on every target, in turns."""
    for round_ in range(plan.rounds):
        for target in plan.targets:
            found = wanted(target, only)
            for name in turns(list(found), round_):
                bench.run("composite", name, found[name], target, round_, compare=round_ == 0)


def chips(bench: Bench, plan: Plan, only: set[str]) -> None:
    """The same for chips."""
    names = [n for n in CHIPS if not only or n in only]
    for round_ in range(plan.rounds):
        for name in turns(names, round_):
            bench.run("chips", name, CHIPS[name], plan.chips, round_, compare=round_ == 0)


def stages(bench: Bench, plan: Plan, only: set[str]) -> None:
    """Where our own time goes."""
    for round_ in range(plan.fewer if not only or "ours" in only else 0):
        for target in plan.targets:
            bench.run("stages", "ours", CANDIDATES["ours"], target, round_, stages=True)
        bench.run("stages", "ours", CHIPS["ours"], plan.chips, round_, stages=True)


def growth(bench: Bench, plan: Plan, only: set[str]) -> None:
    """Cost over scenes, area and bands; size 0 is one band of one scene on one chunk."""
    for round_ in range(plan.fewer):
        names = [n for n in (OURS if round_ else GROWING) if not only or n in only]  # peers once: they take long
        for series, points in plan.series.items() if names else ():
            for size, target in ((0.0, points[0][1].next_to_nothing()), *points):
                for name in turns(names, round_):
                    bench.run("growth", name, CANDIDATES[name], target, round_, series=series, size=size)


def cold(bench: Bench, plan: Plan, only: set[str]) -> None:
    """The first composite of a process, with its imports; ours also with nothing compiled before."""
    for round_ in range(plan.fewer):
        for name in turns([n for n in ("ours", "odc", "rasterio") if not only or n in only], round_):
            bench.run("cold", name, CANDIDATES[name], plan.targets[0], round_, warm=False)
        if not only or "ours" in only:
            with tempfile.TemporaryDirectory() as folder:
                bench.run("cold", "ours", CANDIDATES["ours"], plan.targets[0], round_, warm=False,
                          series="nothing compiled", env={"NUMBA_CACHE_DIR": folder})  # fmt: skip
