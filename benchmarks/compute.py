"""What a task costs beside its own work on each backend that can run here: ``python -m benchmarks.compute``.

Each backend runs tasks that do nothing, in a process of its own: how long it takes to be ready, CPU of the driver for a
task, wall time for a task with two workers. Writes docs/reference/backends.md.
"""

import datetime as dt
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from geo_assets.errors import GeoAssetsError
from geo_assets.model.compute import ComputeRecipe
from geo_assets.registry import load
from geo_assets.testing.conformance_compute import double

OUT = Path(__file__).parents[1] / "docs" / "reference" / "backends.md"
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "threads": ({"backend": "local"}, 2000),
    "processes": ({"backend": "local", "isolation": "process"}, 2000),
    "Dask, a cluster of this machine": ({"backend": "dask"}, 2000),
    "Ray, of this machine": ({"backend": "ray"}, 2000),
    "Lithops, this machine": ({"backend": "lithops"}, 400),
    "Spark, of this machine": ({"backend": "spark"}, 200),
}
_ROUNDS = 3
_TEXT = """# What a task costs on each backend

Written by `python -m benchmarks.compute`; do not edit it by hand. Tasks that do nothing, two workers; medians of {rounds} rounds after one that warms up.
CPU is that of the driver's process with all its threads, wall time is that of all tasks divided by their number.

{processor}, {cores} cores, {system}, Python {python}, on {date}; load before {load:.1f}.

| backend | ready after | driver CPU a task | wall a task | tasks |
| --- | ---: | ---: | ---: | ---: |
{rows}

Not measured here: {lacking}. Coiled is a Dask cluster elsewhere, and costs its driver what Dask does.
"""


def measure(name: str) -> dict[str, float]:
    """Figures of one backend, in this process."""
    settings, tasks = CASES[name]
    recipe = ComputeRecipe(workers=2, **settings)
    began = time.perf_counter()
    with load("compute", recipe.backend).connect(recipe) as engine:
        list(engine.map(double, range(4)))
        ready = time.perf_counter() - began
        rounds = [_round(engine, tasks) for _ in range(_ROUNDS + 1)][1:]
    cpu, wall = (sorted(r[i] for r in rounds)[len(rounds) // 2] for i in (0, 1))
    return {"ready_s": ready, "cpu_ms": cpu, "wall_ms": wall, "tasks": tasks}


def _round(engine: Any, tasks: int) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    values = [r.value for r in engine.map(double, range(tasks))]
    figures = 1000 * (time.process_time() - cpu) / tasks, 1000 * (time.perf_counter() - wall) / tasks
    if sorted(values) != [2 * i for i in range(tasks)]:
        raise SystemExit(f"wrong results: {len(values)} of {tasks}")
    return figures


def main() -> None:
    """Measure all, each in a process of its own, and write the page."""
    found: dict[str, dict[str, float]] = {}
    lacking, load_before = [], os.getloadavg()[0]
    for name in CASES:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.compute", name], stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode == 3:
            lacking.append(f"{name} ({done.stdout.strip()})")
            continue
        done.check_returncode()
        found[name] = json.loads(done.stdout.splitlines()[-1])
        print(name, found[name], flush=True)
    rows = [
        f"| {name} | {f['ready_s']:.1f} s | {f['cpu_ms']:.3f} ms | {f['wall_ms']:.2f} ms | {f['tasks']:,.0f} |"
        for name, f in found.items()
    ]
    processor = next((k.split(":")[1].strip() for k in _cpuinfo() if k.startswith("model name")), platform.machine())
    text = _TEXT.format(
        rounds=_ROUNDS, processor=processor, cores=os.cpu_count(), system=platform.platform(terse=True), python=platform.python_version(),
        date=dt.datetime.now(dt.UTC).date(), load=load_before, rows="\n".join(rows), lacking="; ".join(lacking) or "none",
    )  # fmt: skip
    OUT.write_text(text, encoding="utf-8")


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.exists() else []


if __name__ == "__main__":
    if len(sys.argv) > 1:
        try:
            print(json.dumps(measure(sys.argv[1])))
        except GeoAssetsError as e:
            print(str(e).splitlines()[0])
            sys.exit(3)
    else:
        main()
