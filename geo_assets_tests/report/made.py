"""Runs that were never run: jobs as workers would have done them."""

import heapq
import random

from geo_assets.report.jobs import Job

BEGAN = 1_780_000_000.0  # 2026-05-28 20:26:40 UTC
PLACES = (("us-west-2", "lithops"), ("eu-central-1", "lithops"))
_FAULTS = (
    ("error", "error", "https://host/cogs/S2B_{n}_L2A/B04.tif: cannot be read: HTTP 404"),
    ("lost", "timeout", "timeout: not finished after {n} s; its process was ended"),
    ("lost", "lost", "the worker went away while it ran the task (exit code -9)"),
)


def jobs(count, *, workers=8, places=PLACES, failing=0.05, seed=1, **values):
    """So many jobs, handed to the first worker that is free, by place; a share of them failing."""
    chance = random.Random(seed)
    free = {place: [(BEGAN + 2 * chance.random(), i) for i in range(workers)] for place in places}
    made = []
    for n in range(count):
        place, backend = places[n % len(places)]
        start, worker = heapq.heappop(free[place, backend])
        run_s = chance.lognormvariate(2.2, 0.45)
        heapq.heappush(free[place, backend], (start + run_s + 0.05, worker))
        status, kind, cause = chance.choice(_FAULTS) if chance.random() < failing else ("ok", "", "")
        base = {
            "product": "pyramid" if n % 4 == 3 else "composite", "region": f"utm33n_r{51 + n % 3}_c5", "month": f"2024-{1 + n % 12:02}",
            "block": f"{8000 + n // 12},{n % 12}", "cells": (f"435U_{n}L",), "status": status, "kind": kind,
            "cause": cause.format(n=n), "backend": backend, "place": place, "worker": f"ip-10-0-{worker}-17.{place}:{4000 + worker}",
            "queued_s": 0.05 + chance.expovariate(2), "run_s": run_s, "cpu_s": 0.8 * run_s, "billed_s": run_s, "usd": run_s * 5e-5,
            "usd_predicted": 5e-4, "peak_mb": 600 + 300 * chance.random(), "ended_at": start + run_s, "bytes_read": 40_000_000, "requests": 90,
            "scenes": 4,
        }  # fmt: skip
        made.append(Job(**(base | values)))
    return made
