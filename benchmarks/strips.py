"""What a partition costs beside its pixels: ``python -m benchmarks.strips [MONTHS ...]``.

A strip of months without scenes is made, and then run again when all of it is fresh. Each step is a run of the instance
as ``geo-assets run`` starts it; one run before warms the process up. CPU is of this process with all its threads.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from geo_assets.assets.partitions import cube_key
from geo_assets.doors.instance import Runner
from geo_assets.doors.run import run_project
from geo_assets.doors.run_options import RunOptions
from geo_assets.model.period import Month
from geo_assets.project import LoadedProject, load_project
from geo_assets.testing.world import SampleWorld

WORLD = SampleWorld(
    months=("2024-03",),
    size_px=(128, 256),
    overlap_px=64,
    days=1,
    internal_px=128,
    with_broken=False,
    with_duplicate=False,
)
STEPS = (("scenes", ["scenes/sentinel-2-l2a"]), ("composite", ["composite"]))


def project(folder: Path, months: int) -> LoadedProject:
    """A project on a small world, whose months lie before the first scene."""
    first = Month.parse("2000-01")
    west, south, east, north = WORLD.box.lonlat().bounds
    middle = [(west + east) / 2 + 0.001, (south + north) / 2 + 0.001]
    document = {
        "aois": {"a": {"bbox": [*middle, middle[0] + 0.004, middle[1] + 0.003]}},
        "months": {"start": str(first), "end": str(first.plus(months - 1))},
        "catalog": {"kind": "static", "path": "world/catalog.json"}, "grid": {"kind": "square", "size_m": 320, "crs": WORLD.crs},
        "cube": {"block_px": 64, "chunk_px": 32, "region_blocks": 2}, "storage": "./data",
    }  # fmt: skip
    folder.mkdir(parents=True)
    WORLD.write(folder / "world")
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(folder / "geo_assets.yaml")


def timed(action: Callable[[], str]) -> tuple[float, float, str]:
    """CPU seconds, wall seconds and the run."""
    cpu, wall = time.process_time(), time.perf_counter()
    run_id = action()
    return time.process_time() - cpu, time.perf_counter() - wall, run_id


def measure(loaded: LoadedProject) -> None:
    """Print one row a step."""
    run_project(loaded, RunOptions(products=["cells"]))
    runner = Runner(loaded)
    (region, *_) = runner.instance.get_dynamic_partitions("region")
    keys = [str(cube_key(region, m)) for m in loaded.periods().keys]
    for state in ("made", "fresh"):
        for name, assets in STEPS:
            cpu, wall, run_id = timed(lambda assets=assets: runner.run(assets, keys[0], keys[-1]).run_id)
            events, n = len(runner.instance.all_logs(run_id)), len(keys)
            print(
                f"{n:10d}  {name:9}  {state:5}  {1000 * cpu / n:10.1f}  {1000 * wall / n:11.1f}  {events / n:10.2f}",
                flush=True,
            )


def main(months: list[int]) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        run_project(project(Path(folder) / "warm", 1), RunOptions())
        print(
            f"{'partitions':>10}  {'asset':9}  {'state':5}  {'CPU ms/key':>10}  {'wall ms/key':>11}  {'events/key':>10}"
        )
        for n in months:
            measure(project(Path(folder) / str(n), n))


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]] or [12, 200])
