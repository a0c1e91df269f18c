"""One run of one candidate in a fresh process: warm up, measure, hand the pixels over. Reads its orders from stdin."""

import ctypes
import gc
import importlib
import json
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.raster.stages import Stages


def cpu_s() -> float:
    """CPU seconds of this process so far, user and system, with all its threads and finished children."""
    use = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in use)


def memory_mb(field: str) -> float:
    """``VmRSS``, what is resident now, or ``VmHWM``, the most since the mark was last reset."""
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def reset_peak() -> float:
    """Give freed memory back, reset the high-water mark, and say what is resident."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return memory_mb("VmRSS")


def addressed(items: list[dict[str, Any]], url: str, client: str) -> list[dict[str, Any]]:
    """Items whose assets are on the server, below the name of a client."""
    found: list[dict[str, Any]] = json.loads(json.dumps(items))
    for item in found:
        for asset in item["assets"].values():
            asset["href"] = f"{url}/{client}/{asset['href']}"
    return found


def work(order: dict[str, Any]) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """What warms a candidate up, and what is measured; other addresses, so that nothing fetched is known already."""
    items = json.loads(Path(order["items"]).read_text())
    module, options = importlib.import_module(order["module"]), order["options"]
    cold, hot = (addressed(items, order["url"], f"{order['client']}{end}") for end in ("-warm", ""))
    if order["kind"] == "chips":
        from benchmarks.raster.chips import Chips

        chips = Chips.of_json(order["target"])
        return lambda: module.chips(cold, chips.only_part(), **options), lambda: module.chips(hot, chips, **options)
    from benchmarks.raster.targets import Target

    target = Target.of_json(order["target"])
    return lambda: module.run(cold, target.only_part(), **options), lambda: module.run(hot, target, **options)


def main(order: dict[str, Any]) -> dict[str, Any]:
    """Measure one run, and leave its pixels in a file."""
    warm_up, run = work(order)
    imported = cpu_s()
    if order["warm"]:
        warm_up()
    stages = Stages() if order.get("stages") else None
    base = reset_peak()
    cpu, wall = cpu_s(), time.perf_counter()
    made = run()
    spent, wall = cpu_s() - cpu, time.perf_counter() - wall
    peak = memory_mb("VmHWM")
    if isinstance(made, float):  # the decode limit measures itself
        spent, made = made, None
    if made is not None and order.get("pixels"):
        np.savez(order["pixels"], *made)
    found = {"cpu_s": spent, "wall_s": wall, "peak_mb": peak - base, "base_mb": base, "import_cpu_s": imported}
    return {**found, **({"stages": stages.spent} if stages else {})}


if __name__ == "__main__":
    orders = json.load(sys.stdin)
    Path(orders["result"]).write_text(json.dumps(main(orders)))
