"""The command line: measure, then write the page; or write the page again from earlier measurements."""

import argparse
import json
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.raster import plan as plans
from benchmarks.raster import report, server
from benchmarks.raster.measure import Bench, about, of_chips, say
from benchmarks.raster.scenes import Store

RESULT = Path(__file__).parent / "result.json"
PAGE = server.ROOT / "docs" / "performance.md"


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.raster", description="The raster engine against its peers."
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run of two minutes; writes no page")
    parser.add_argument(
        "--cache", type=Path, default=Path(tempfile.gettempdir()) / "geo-assets-bench", help="folder of the scenes"
    )
    parser.add_argument("--out", type=Path, help=f"result file (default: {RESULT.name} beside this module)")
    parser.add_argument("--page", type=Path, help="page to write (default: docs/performance.md)")
    parser.add_argument(
        "--sections",
        default="",
        help=f"which of {', '.join(plans.SECTIONS)}, by comma (default: all; with --quick all but tune)",
    )
    parser.add_argument("--only", default="", help="candidates by comma (default: all)")
    parser.add_argument("--targets", default="", help="targets of composite, stages and cold by comma (default: all)")
    parser.add_argument("--pairs", type=int, default=5, help="rounds of each comparison")
    parser.add_argument("--latency-ms", type=float, default=30, help="delay before each answer of the server")
    parser.add_argument("--render", action="store_true", help="only write the page from the result file")
    parser.add_argument("--add", action="store_true", help="keep the result file's other sections and settings")
    return parser.parse_args()


def main(asked: argparse.Namespace) -> None:
    """Measure and write."""
    out = (
        asked.out or (Path(tempfile.gettempdir()) / "geo-assets-bench-quick.json" if asked.quick else RESULT)
    ).resolve()
    if not asked.render:
        measure(asked, out)
    text = report.page(json.loads(out.read_text()))
    if asked.quick and not asked.page:
        print(text)
    else:
        (asked.page or PAGE).write_text(text)
        say(f"wrote {asked.page or PAGE}")


def measure(asked: argparse.Namespace, out: Path) -> None:
    """Make the scenes, serve them, and run every section."""
    plan = plans.quick() if asked.quick else plans.full(asked.pairs)
    sections = [
        s
        for s in plans.SECTIONS
        if (s in asked.sections.split(",") if asked.sections else s != "tune" or not asked.quick)
    ]
    only, targets = ({name for name in names.split(",") if name} for names in (asked.only, asked.targets))
    if unknown := targets - {t.name for t in plan.targets}:
        raise SystemExit(f"no target {', '.join(sorted(unknown))}; there are {', '.join(t.name for t in plan.targets)}")
    if targets:
        plan = replace(plan, targets=tuple(t for t in plan.targets if t.name in targets))

    def again(run: dict[str, Any]) -> bool:
        """Whether a run, or how its pixels agree, is measured anew."""
        section = run.get("section", "chips" if run["target"] == "chips" else "composite")
        compared = section not in ("composite", "stages") or not targets or run["target"] in targets
        return section in sections and compared and (not only or run["candidate"] in only)

    store = Store(asked.cache.resolve())
    say(f"scenes in {store.folder} (made once, some minutes) ...")
    items = [item for target in plan.targets_of(sections) for item in store.prepare(target)]
    files = {a["href"]: a["file"] for item in [*items, *of_chips(store, plan.chips)] for a in item["assets"].values()}
    with server.serve(files, latency_s=asked.latency_ms / 1000) as running:
        bench, commands = Bench(store, running, out), [command(sys.argv[1:])]
        if asked.add and out.exists():
            bench.result = json.loads(out.read_text())
            commands = [*bench.result["about"]["command"].split("; "), *commands]
            for kept in ("runs", "agreement"):
                bench.result[kept] = [r for r in bench.result[kept] if not again(r)]
        settings = {
            "chips": plan.chips.count,
            "command": "; ".join(dict.fromkeys(commands)),
            "latency_ms": asked.latency_ms,
            "quick": asked.quick,
        }
        bench.result["about"] = about(settings)
        for section in sections:
            getattr(plans, section)(bench, plan, only)


def command(arguments: list[str]) -> str:
    """How the same is measured elsewhere: without the places of files here."""
    shown, places = [], ("--out", "--page", "--cache")
    for n, argument in enumerate(arguments):
        place = argument.split("=")[0] in places or (n and arguments[n - 1] in places)
        shown += [] if place else [argument]
    return shlex.join(["python", "-m", "benchmarks.raster", *shown])


if __name__ == "__main__":
    main(options())
