"""The page: what was measured, as tables with ratios, written from the result file alone."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.raster.candidates import CANDIDATES, CHIPS
from benchmarks.raster.fit import Spread, growth, ratios
from benchmarks.raster.goals import agreed, goals, times
from benchmarks.raster.stages import BARE, STAGES

Run = dict[str, Any]
_TARGETS = {
    "4326": "EPSG:4326, 1/3600 degree",
    "utm": "UTM, 10 m, aligned with the scenes",
    "4326-clean": "EPSG:4326 with mask clean-up (closing 5, opening 5)",
    "utm-clean": "UTM with mask clean-up (closing 5, opening 5)",
}


def page(result: dict[str, Any]) -> str:
    """The whole page."""
    parts = [
        _HEAD,
        _short(result),
        _about(result["about"]),
        _goals(result),
        _failures(result),
        _composites(result),
        _chips(result),
        _stages(result),
        _growth(result),
        _cold(result),
        _settings(result),
        _METHOD,
    ]
    return "\n\n".join(p.strip() for p in parts if p) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A markdown table, its first column to the left and the others to the right."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---", *["---:"] * (len(head) - 1)], *rows)]
    return "\n".join(lines)


def chosen(runs: list[Run], **wanted: Any) -> list[Run]:
    """Runs whose fields have these values."""
    return [r for r in runs if all(r[k] == v for k, v in wanted.items())]


def by_round(runs: list[Run], field: str = "cpu_s") -> dict[int, float]:
    """A figure by round."""
    return {r["round"]: r[field] for r in runs}


def _spread(runs: list[Run], field: str, scale: float = 1, digits: int = 2) -> str:
    spread = Spread.of([r[field] / scale for r in runs])
    text = f"{spread.median:.{digits}f}"
    return text if spread.low == spread.high else f"{text} ({spread.low:.{digits}f}-{spread.high:.{digits}f})"


def _times(others: list[Run], ours: list[Run]) -> str:
    if not ours or not others:
        return ""
    spread = ratios(by_round(others), by_round(ours))
    text = f"{spread.median:.2f}" if spread.median < 10 else f"{spread.median:.1f}"
    return text if len(others) == 1 else f"{text} ({spread.low:.2f}-{spread.high:.2f})"


def _short(result: dict[str, Any]) -> str:
    """What a reader takes along: how far ahead, or not, of whom."""
    lines = []
    for target, title in _TARGETS.items():
        runs = chosen(result["runs"], section="composite", target=target)
        ours = chosen(runs, candidate="ours")
        peers = [
            n for n, known in CANDIDATES.items() if known.gdal and known.values == "same" and chosen(runs, candidate=n)
        ]
        if not ours or not peers:
            continue
        ahead = {n: ratios(by_round(chosen(runs, candidate=n)), by_round(ours)).median for n in peers}
        near, far = min(ahead, key=ahead.__getitem__), max(ahead, key=ahead.__getitem__)
        wide = f", and {ahead[far]:.1f} times less than {CANDIDATES[far].title}" if far != near else ""
        lines.append(
            f"- {title}: {_median(ours, 'cpu_s'):.1f} CPU s and {_median(ours, 'peak_mb'):.0f} MB for {ours[0]['scenes']} scenes; {ahead[near]:.1f} times less CPU "
            f"than {CANDIDATES[near].title}, the nearest here{wide}."
        )
    return "## In short\n\n" + "\n".join(lines) + "\n\n" + _SHORT if lines else ""


def _about(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    note = "**This is a smoke run: its numbers mean little.**\n\n" if about["quick"] else ""
    return f"""{note}## Machine

{about["processor"]}, {about["cores"]} cores, {about["memory_gb"]:g} GB, {about["system"]}, Python {about["python"]}, on {about["date"]}; load before
{about["load_before"]:.1f}. {versions}. The server waits {about["latency_ms"]:g} ms before each answer. Command: `{about["command"]}`"""


def _goals(result: dict[str, Any]) -> str:
    rows = [
        (g.what, g.wanted, g.found, "yes" if g.reached else "**no**") for g in goals(result) if g.reached is not None
    ]
    return f"## Goals\n\n{_GOALS}\n\n" + table(("goal", "wanted", "measured", "reached"), rows) if rows else ""


def _failures(result: dict[str, Any]) -> str:
    failed = result.get("failed", [])
    return "## Runs that failed\n\n" + "\n".join(f"- {line}" for line in failed) if failed else ""


def _composites(result: dict[str, Any]) -> str:
    runs = chosen(result["runs"], section="composite")
    parts = []
    for target in dict.fromkeys(r["target"] for r in runs):
        of_target = chosen(runs, target=target)
        rows = [_row(name, of_target, result) for name in CANDIDATES if chosen(of_target, candidate=name)]
        first = of_target[0]
        needed = f"{first['scenes']} scenes; needed: {first['needed'] / 1e6:.1f} MB in {first['tiles']} tiles, {first['inflated'] / 1e6:.0f} MB inflated."
        head = (
            "candidate",
            "CPU s",
            "times ours",
            "wall s",
            "peak MB",
            "requests",
            "MB read",
            "of needed",
            "equal",
            "within 1 DN",
            "bias DN",
            "same",
        )
        notes = [
            f"{CANDIDATES[n].title}: {CANDIDATES[n].differs}."
            for n in CANDIDATES
            if CANDIDATES[n].differs and chosen(of_target, candidate=n)
        ]
        parts.append(f"### {_TARGETS.get(target, target)}\n\n{needed}\n\n" + "\n\n".join([table(head, rows), *notes]))
    return "## Composites\n\n" + _COMPOSITES + "\n\n" + "\n\n".join(parts) if parts else ""


def _row(name: str, runs: list[Run], result: dict[str, Any]) -> tuple[str, ...]:
    mine, ours = chosen(runs, candidate=name), chosen(runs, candidate="ours")
    known = CANDIDATES[name]
    if not known.made:
        return (known.title, _spread(mine, "cpu_s"), _times(mine, ours), *[""] * 9)
    found = [a for a in result["agreement"] if a["candidate"] == name and a["target"] == mine[0]["target"]]
    values = (
        (f"{found[-1]['equal']:.2%}", f"{found[-1]['within_1']:.2%}", f"{found[-1]['bias']:+.2f}", _same(found[-1]))
        if found
        else [""] * 4
    )
    return (
        f"**{known.title}**" if name == "ours" else known.title, _spread(mine, "cpu_s"), _times(mine, ours), _spread(mine, "wall_s"),
        _spread(mine, "peak_mb", digits=0), _spread(mine, "requests", digits=0), _spread(mine, "bytes", 1e6, 1),
        f"{mine[0]['bytes'] / mine[0]['needed']:.2f}", *values,
    )  # fmt: skip


def _same(found: dict[str, Any]) -> str:
    if CANDIDATES[found["candidate"]].values != "same":
        return "by its rules"
    return "yes" if agreed(found) else "**no**"


def _chips(result: dict[str, Any]) -> str:
    runs = chosen(result["runs"], section="chips")
    if not runs:
        return ""
    ours, chips = chosen(runs, candidate="ours"), result["about"]["chips"]
    rows = []
    for name, known in CHIPS.items():
        if mine := chosen(runs, candidate=name):
            speed = f"{chips / Spread.of([r['cpu_s'] for r in mine]).median:.0f}"
            rest = (
                _spread(mine, "wall_s"),
                _spread(mine, "peak_mb", digits=0),
                _spread(mine, "requests", digits=0),
                _spread(mine, "bytes", 1e6, 1),
            )
            rows.append(
                (known.title, _spread(mine, "cpu_s"), _times(mine, ours), speed, *(rest if known.made else [""] * 4))
            )
    head = ("candidate", "CPU s", "times ours", "chips a CPU s", "wall s", "peak MB", "requests", "MB read")
    equal = all(a["equal"] == 1 for a in result["agreement"] if a["target"] == "chips")
    note = "All candidates give the same chips to the last bit." if equal else "**The candidates' chips differ.**"
    return (
        f"## Chips\n\n{chips} chips of 256 pixels (places, dates and assets), on the scenes' own pixels. {note}\n\n"
        + table(head, rows)
    )


def _stages(result: dict[str, Any]) -> str:
    runs = chosen(result["runs"], section="stages")
    if not runs:
        return ""
    targets = list(dict.fromkeys(r["target"] for r in runs))
    spent: dict[str, dict[str, float]] = {}
    for target in targets:
        of_target = chosen(runs, target=target)
        spent[target] = {s: Spread.of([r["stages"].get(s, 0.0) for r in of_target]).median for s in STAGES}
        spent[target]["everything else"] = _median(of_target, "cpu_s") - sum(spent[target].values())
    whole = {t: sum(spent[t].values()) for t in targets}
    rows = [
        (stage, *(f"{spent[t][stage]:.2f} ({spent[t][stage] / whole[t]:.0%})" for t in targets))
        for stage in (*STAGES, "everything else")
    ]
    rows.append(("together", *(f"{whole[t]:.2f}" for t in targets)))
    limits = _limits(result, spent)
    return "## Where the time goes\n\n" + _STAGES + "\n\n" + table(("stage", *targets), rows) + limits


def _limits(result: dict[str, Any], spent: dict[str, dict[str, float]]) -> str:
    """What stands between the engine and the goals that it does not reach."""
    lines = []
    for target, stages in spent.items():
        runs = [r for r in result["runs"] if r["section"] in ("composite", "chips") and r["target"] == target]
        plain = target.removesuffix("-clean")  # the same tiles
        floor = [
            r
            for r in result["runs"]
            if r["target"] == plain and r["candidate"] == "inflate" and r["section"] in ("composite", "chips")
        ]
        known, ours = CHIPS if target == "chips" else CANDIDATES, by_round(chosen(runs, candidate="ours"))
        peers = {
            n: _median(mine, "cpu_s")
            for n in known
            if n != "ours" and known[n].made and (mine := chosen(runs, candidate=n))
        }
        for name, least in times(target, peers).items() if ours and floor else ():
            if ratios(by_round(chosen(runs, candidate=name)), ours).median < least:
                lines.append(_gap(target, known[name].title, peers[name], least, _median(floor, "cpu_s"), stages))
    return "\n\n" + "\n".join(lines) if lines else ""


def _gap(target: str, title: str, peer: float, least: float, inflating: float, stages: dict[str, float]) -> str:
    wanted = peer / least
    text = f"- {target}: {least:g} times less than {title} ({peer:.2f} s) would be {wanted:.2f} s"
    if inflating >= wanted:
        return f"{text}, and inflating the needed tiles alone takes {inflating:.2f} s: no engine that inflates them can be there."
    bare = sum(stages.get(s, 0.0) for s in BARE)
    rest = sum(stages.values()) - bare
    return (
        f"{text}. Inflating, the predictor, ranges and headers take {bare:.2f} s in this profile, so {max(0.0, wanted - bare):.2f} s would be left for all else, "
        f"which takes {rest:.2f} s."
    )


def _growth(result: dict[str, Any]) -> str:
    runs = chosen(result["runs"], section="growth")
    parts = [_series(series, chosen(runs, series=series)) for series in dict.fromkeys(r["series"] for r in runs)]
    return "## Growth\n\n" + _GROWTH + "\n\n" + "\n\n".join(parts) if parts else ""


def _series(series: str, runs: list[Run]) -> str:
    sizes = sorted({r["size"] for r in runs} - {0})
    head = ("candidate", *(f"{s:g}" for s in sizes), "exponent", "without start", "start")
    names = [n for n in CANDIDATES if chosen(runs, candidate=n)]
    return (
        f"### CPU seconds by {series}\n\n"
        + table(head, [_grown(n, sizes, runs) for n in names])
        + _peaks(names, sizes, runs)
    )


def _median(runs: list[Run], field: str) -> float:
    return Spread.of([r[field] for r in runs]).median


def _grown(name: str, sizes: list[float], runs: list[Run]) -> tuple[str, ...]:
    mine = chosen(runs, candidate=name)
    costs = {s: _median(of, "cpu_s") for s in sizes if (of := chosen(mine, size=s))}
    cells = (CANDIDATES[name].title, *(f"{costs[s]:.2f}" if s in costs else "failed" for s in sizes))
    if len(costs) < 2:
        return *cells, "", "", ""
    nothing = chosen(mine, size=0)
    found = growth(list(costs), list(costs.values()), _median(nothing, "cpu_s") if nothing else 0.0)
    return *cells, f"{found.exponent:.3f}", f"{found.net:.3f}", f"{found.start:.2f}"


def _peaks(names: list[str], sizes: list[float], runs: list[Run]) -> str:
    def cell(name: str, size: float) -> str:
        of_size = chosen(runs, candidate=name, size=size)
        return f"{_median(of_size, 'peak_mb'):.0f}" if of_size else "failed"

    rows = [(CANDIDATES[n].title, *(cell(n, s) for s in sizes)) for n in names if CANDIDATES[n].made]
    return "\n\nPeak memory above base, MB:\n\n" + table(("candidate", *(f"{s:g}" for s in sizes)), rows)


def _cold(result: dict[str, Any]) -> str:
    runs = chosen(result["runs"], section="cold")
    if not runs:
        return ""
    rows = []
    for name, series in dict.fromkeys((r["candidate"], r["series"]) for r in runs):
        mine = chosen(runs, candidate=name, series=series)
        title = CANDIDATES[name].title + (f", {series}" if series else "")
        rows.append((title, _spread(mine, "import_cpu_s"), _spread(mine, "cpu_s"), _spread(mine, "wall_s")))
    return (
        "## First composite of a process\n\n"
        + _COLD
        + "\n\n"
        + table(("candidate", "CPU s of imports", "CPU s of the composite", "wall s"), rows)
    )


def _settings(result: dict[str, Any]) -> str:
    tried = chosen(result["runs"], section="tune")
    lines = []
    for kind, used in _used(result).items():
        lines.append(f"- {kind}: `{json.dumps(used)}`")
    text = "## Settings\n\nEach candidate runs with these; without a line it has no settings.\n\n" + "\n".join(lines)
    if not tried:
        return text
    rows = []
    for place in dict.fromkeys((r["target"], r["candidate"]) for r in tried):
        mine = chosen(tried, target=place[0], candidate=place[1])
        for options in list({json.dumps(r["options"]): None for r in mine}):
            same = [r for r in mine if json.dumps(r["options"]) == options]
            rows.append(
                (
                    place[0],
                    place[1],
                    f"`{options}`",
                    _spread(same, "cpu_s"),
                    _spread(same, "wall_s"),
                    _spread(same, "bytes", 1e6, 1),
                )
            )
    head = ("target", "candidate", "settings", "CPU s", "wall s", "MB read")
    return (
        f"{text}\n\nWhat was tried, on four scenes. Of the settings within 5 % of the least CPU the one with the least wall time was taken:\n\n"
        + table(head, rows)
    )


def _used(result: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for run in result["runs"]:
        if run["section"] in ("composite", "chips") and run["options"]:
            found[f"{run['target']}, {run['candidate']}"] = run["options"]
    return found


_HEAD = """# Performance of the raster engine

Written by `python -m benchmarks.raster` from `benchmarks/raster/result.json`; do not edit it by hand. It needs the packages for development, which
`make bench` installs. *The earlier cube's method* is that of the serverless cube that geo_assets replaces: odc-stac in dask chunks, the mask cleaned
chunk by chunk with the functions of scipy that scikit-image calls, and the median over days."""

_SHORT = """The pixels are computed: real ones of this size cannot be shipped. Their texture is set so that they deflate as Sentinel-2 does, and clouds, tiles, overlaps and days
are laid out as its are. What real scenes give is in [Figures](reference/figures.md). Trust ratios, which come from rounds in turns on one machine, more than seconds."""

_GOALS = """What the engine is held to. Ratios are medians of all rounds; peaks and bytes are the greatest of any round, where the tables below give the median."""

_COMPOSITES = """Every candidate makes the same composites: bilinear bands and nearest classes on the same pixels, the offset taken off each
scene, one layer a solar day, the median of what is clear. CPU is user and system time of the whole process with its
threads, after imports and a warm-up on one chunk; peak is the high-water mark above what was resident then. Medians of all
rounds, in brackets least and greatest; *times ours* is the median of the ratios within each round. *Equal*, *within 1 DN* and *bias* compare
with GDAL at tolerance 1e-4 and numpy's median. On aligned grids all have to be equal. On EPSG:4326 the GDAL-based candidates interpolate
coordinates with a tolerance of an eighth of a pixel and take the kernel's width from the size of the window, which changes many pixels a little."""

_STAGES = """CPU seconds of each stage's own functions, timed in the threads that run them, and their share; medians of the rounds. *Fetch ranges*
is the copy out of the sockets, *everything else* is planning, threads, packing of masks, and pages of memory that are touched for the first
time outside of these functions. Below the table: what stands between the engine and each goal that it does not reach."""

_GROWTH = """The exponent is the slope of log cost over log size, least squares; 1 is linear. *Start* is the cost of one chunk of one band
of one scene, in a process that is warm; *without start* is the exponent once it is subtracted. Where there are peers, they were measured once. A
wide area is made block by block, and lies over more seams of tiles, where scenes overlap: from 16 to 64 Mpx the tiles that it touches grow 4.5 times. One block is
one shard, which is encoded as a whole, so its results have to fit into `cube.memory_mb`: at the default of 384 one of 64 Mpx is refused before
anything is read, with the size that it needs.

By scenes in UTM the last point lies above the line: what 64 scenes store under one strip does not fit beside the rest in 384 MB, so tiles come in pieces, in 6,600 requests.
With `cube.memory_mb: 768` the same takes 960 requests and 12 to 20 % less CPU (three interleaved rounds, apart from this table): twice the cost of 32 scenes."""

_COLD = (
    "The first target in a fresh process, without warm-up. *Nothing compiled*: with an empty cache of compiled code."
)

_METHOD = """## Method

Scenes are generated from a seed (`benchmarks/raster/scenes.py`): quarter tiles of 5490 pixels at 10 m and classes at 20 m, with noise that
deflate and predictor 2 compress about as they do real Sentinel-2, blobby clouds over about 45 %, and of every four scenes two of one
day from overlapping tiles. They are Cloud Optimized GeoTIFFs with tiles of 1024 pixels and overviews, behind a server in a process of its own that
keeps connections open, answers ranges and counts requests and bytes of bodies.

Every run is a process of its own. Candidates take turns, and the order moves on by one each round. Warm-up and measurement use
different addresses, so that nothing fetched is known already. *Needed* are the stored bytes of the tiles that the target's pixels
touch, each once, on the level that is next finer than the target, and the files' headers. Who knows where it is
cloudy can do with less. *Inflating alone* inflates these tiles in one thread and does nothing else."""
