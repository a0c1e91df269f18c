"""Runs the candidates, a fresh process each and in turns, and writes down what each run cost."""

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.raster import agree, needs
from benchmarks.raster.candidates import Candidate, oracle
from benchmarks.raster.chips import Chips
from benchmarks.raster.scenes import Store
from benchmarks.raster.server import ROOT, Server
from benchmarks.raster.targets import UTM, Target

_LIBRARIES = (
    "numpy", "numba", "bottleneck", "xarray", "dask", "rasterio", "odc-stac", "odc-loader", "odc-geo", "stackstac", "scipy",
    "async-tiff", "obstore", "isal", "deflate", "pyproj",
)  # fmt: skip
_TIMEOUT_S = 3600


@dataclass
class Bench:
    """The measurements of one command, kept in a file after every run.

    Attributes:
        store: Where the scenes are.
        server: What serves them.
        out: The result file.
        result: What it holds.
    """

    store: Store
    server: Server
    out: Path
    result: dict[str, Any] = field(
        default_factory=lambda: {"about": {}, "runs": [], "agreement": [], "best": {}, "failed": []}
    )
    _number: int = 0

    def items(self, target: Target) -> list[dict[str, Any]]:
        """STAC items of the scenes that reach a target."""
        return reaching(self.store.prepare(target), target)

    def run(
        self, section: str, name: str, candidate: Candidate, target: Target | Chips, round_: int, *,
        options: dict[str, Any] | None = None, series: str = "", size: float = 0, warm: bool = True, env: dict[str, str] | None = None,
        compare: bool = False, stages: bool = False,
    ) -> dict[str, Any] | None:  # fmt: skip
        """Measure one run of one candidate and note it; None if it failed, which is noted too."""
        chips = isinstance(target, Chips)
        items = of_chips(self.store, target) if isinstance(target, Chips) else self.items(target)
        used = options if options is not None else self.options(name, candidate, target)
        self._number += 1
        client, folder = f"run{self._number}", self.store.folder
        paths = {k: folder / f"{os.getpid()}-{k}" for k in ("items.json", "measured.json", "pixels.npz")}
        paths["items.json"].write_text(json.dumps(items))
        order = {
            "kind": "chips" if chips else "composite", "module": candidate.path, "options": used, "target": target.as_json(),
            "items": str(paths["items.json"]), "url": self.server.url, "client": client, "warm": warm,
            "pixels": str(paths["pixels.npz"]) if compare and candidate.made else "", "result": str(paths["measured.json"]),
            "stages": stages,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.raster.child"], input=json.dumps(order), text=True,
            cwd=ROOT, stderr=subprocess.PIPE, check=False, timeout=_TIMEOUT_S, env={**os.environ, **(env or {})},
        )  # fmt: skip
        if done.returncode:
            return self._failed(f"{section} {series or target.name} {size or ''} {name} {used}", done.stderr)
        requests, sent = self.server.count(client)
        bands = target.bands if chips else (*target.bands, "scl")
        wanted = needs.of_boxes(items, target.boxes, bands)
        record = {
            "section": section, "series": series, "size": size, "candidate": name, "target": target.name, "round": round_,
            "options": used, **json.loads(paths["measured.json"].read_text()), "requests": requests, "bytes": sent,
            "needed": sum(n.bytes + n.header_bytes for n in wanted), "tiles": sum(n.tiles.size for n in wanted),
            "inflated": sum(n.tiles.size * n.level.tile_bytes for n in wanted), "scenes": len(items),
        }  # fmt: skip
        self.result["runs"].append(record)
        if order["pixels"]:
            self._compare(name, target, items, paths["pixels.npz"])
        for path in paths.values():
            path.unlink(missing_ok=True)
        self.save()
        say(f"{section:10} {series or target.name:24} {size or '':>4} {name:14} round {round_}: {record['cpu_s']:7.2f} CPU s, "
            f"{record['wall_s']:6.2f} s, {record['peak_mb']:6.0f} MB, {requests:5d} requests, {sent / 1e6:7.1f} MB")  # fmt: skip
        return record

    def options(self, name: str, candidate: Candidate, target: Target | Chips) -> dict[str, Any]:
        """The best settings that were found, else the first that the candidate lists."""
        found: dict[str, Any] = self.result["best"].get(f"{kind_of(target)} {name}", candidate.tunings[0])
        return found

    def _failed(self, what: str, errors: str) -> None:
        print(errors, file=sys.stderr)
        last = (errors.strip().splitlines() or ["no message"])[-1]
        self.result["failed"].append(f"{what}: {last[:200]}")
        self.save()

    def _compare(self, name: str, target: Target | Chips, items: list[dict[str, Any]], path: Path) -> None:
        with np.load(path) as made:
            pixels = [made[key] for key in made.files]
        found = agree.compare(pixels, self._reference(target, items))
        self.result["agreement"].append({"candidate": name, "target": target.name, **found.as_json()})

    def _reference(self, target: Target | Chips, items: list[dict[str, Any]]) -> list[Any]:
        code = Path(oracle.__file__).read_bytes() + json.dumps(target.as_json(), sort_keys=True).encode()
        path = self.store.folder / f"reference-{hashlib.sha256(code).hexdigest()[:12]}.npz"
        if not path.exists():
            say(f"the reference of {target.name} ...")
            np.savez(path, *(oracle.chips(items, target) if isinstance(target, Chips) else oracle.run(items, target)))
        with np.load(path) as made:
            return [made[key] for key in made.files]

    def save(self) -> None:
        """Write the result file."""
        self.out.write_text(json.dumps(self.result, indent=1) + "\n")


def kind_of(target: Target | Chips) -> str:
    """What settings may depend on."""
    return "chips" if isinstance(target, Chips) else target.crs


def of_chips(store: Store, chips: Chips) -> list[dict[str, Any]]:
    """Items of the chips' scenes: of one tile, one a day."""
    bands = tuple(b for b in chips.bands if b != "scl")
    items = store.prepare(replace(UTM, scenes=chips.dates + 1, bands=bands))
    return [i for i in items if "_32TMT_" in i["id"]][: chips.dates]


def reaching(items: list[dict[str, Any]], target: Target) -> list[dict[str, Any]]:
    """Items with a pixel of any window of a target."""
    return [i for i in items if any(t.tiles.size for t in needs.of_boxes([i], target.boxes, ("scl",)))]


def about(settings: dict[str, Any]) -> dict[str, Any]:
    """The machine, the versions and the command."""
    model = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    import rasterio

    return {
        "processor": model[0] if model else platform.processor(), "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}", "python": platform.python_version(),
        "versions": {**versions, "GDAL": rasterio.__gdal_version__}, "load_before": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"), **settings,
    }  # fmt: skip


def say(text: str) -> None:
    """Progress, for a person."""
    print(text, flush=True)


def turns(names: list[str], round_: int) -> list[str]:
    """The candidates in an order that moves on by one each round, so that none always follows the same one."""
    at = round_ % len(names)
    return names[at:] + names[:at]
