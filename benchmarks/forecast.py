"""How near a run's expected cost comes to what it is billed: ``python -m benchmarks.forecast``.

The sample world on AWS Lambda as a loopback plays it, with Lithops' own AWS code and AWS's runtime client. A first run has half of
the scenes, of one region of the cube, in one cloud region; it teaches. A second one has all of them, of another region of the cube,
in another cloud region: twice the scenes. Expected is what ``plan`` says before it, billed is the time of the handlers.
"""

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import yaml

from geo_assets.doors.instance import workspace
from geo_assets.doors.plan import expected
from geo_assets.doors.run import run_project
from geo_assets.doors.run_options import RunOptions
from geo_assets.project import load_project
from geo_assets.storage import Storage
from geo_assets.testing.world import SampleWorld

MONTHS = ("2024-03", "2024-04", "2024-05", "2024-06", "2024-07")
DAYS = 16  # of overpasses a month: some thirty scenes, as a cell of two orbits has
SIZE_PX, BLOCK_PX = (2048, 4096), 1024  # of the world, and of a task: two by two in each region of the cube
FIRST, SECOND = "us-west-2", "eu-central-1"


def items(world: Path) -> list[str]:
    """Ids of the scenes of every second day."""
    known = sorted(
        json.loads(f.read_text())["id"] for f in world.rglob("*.json") if '"type": "Feature"' in f.read_text()
    )
    days = sorted({i.split("_")[2] for i in known})
    return [i for i in known if i.split("_")[2] in days[::2]]


def project(folder: Path, compute: dict[str, Any], exclude: list[str]) -> Any:
    """The project as its file says it now."""
    document = {
        "name": "forecast", "aois": {"a": {"path": "area.geojson"}}, "months": {"start": MONTHS[0], "end": MONTHS[-1]},
        "catalog": {"kind": "static", "path": "world/catalog.json"}, "grid": {"kind": "square", "size_m": 1280, "crs": "EPSG:32633"},
        "sensors": [{"sensor": "sentinel-2-l2a", "exclude": exclude}], "storage": "./data", "compute": compute, "cube": {"block_px": BLOCK_PX},
    }  # fmt: skip
    file = folder / "geo_assets.yaml"
    file.write_text(yaml.safe_dump(document))
    return load_project(file)


def billed(root: str, region: str) -> tuple[float, float, int]:
    """USD and seconds of the tasks of a region of the cube, and their number."""
    blocks = [b for r in Storage(root).receipts("composite") if r.region == region for b in r.blocks if b.run_id]
    for b in blocks:
        print(
            f"  {len(b.scene_ids)} scenes, {b.bytes_read:,} bytes: {b.wall_s:.2f} s of its own, {b.run_s:.2f} s on the worker, {b.billed_s:.2f} s billed"
        )
    return sum(b.usd for b in blocks), sum(b.billed_s for b in blocks), len(blocks)


def measure(folder: Path) -> None:
    """Both runs."""
    import shapely
    import shapely.affinity

    from geo_assets.model.lonlat import to_lonlat
    from geo_assets_tests.compute.lambda_world import running

    world = SampleWorld(months=MONTHS, size_px=SIZE_PX, days=DAYS, internal_px=512, with_broken=False)
    world.write(folder / "world")
    area = to_lonlat(shapely.affinity.scale(world.aoi_projected, 0.95, 0.86, origin=world.center), world.crs)
    (folder / "area.geojson").write_text(shapely.to_geojson(area))
    half = items(folder / "world")
    with running(folder / "lambda") as cloud, contextlib.chdir(folder):
        os.environ.pop("DAGSTER_HOME", None)
        settings = cloud.settings(memory_mb=2048)
        first = project(folder, settings, half)
        one, other = workspace(first).cut.regions[:2]
        run_project(first, RunOptions(regions=[one], products=["composite"]), ask=print)
        print("first", billed(first.storage.root, one), flush=True)
        second = project(folder, {**settings, "region": SECOND}, [])
        place = workspace(second)
        told = expected(place, {other: list(second.periods())}, ["composite"])
        run_project(second, RunOptions(regions=[other], products=["composite"]), ask=print)
        usd, seconds, tasks = billed(second.storage.root, other)
        print(
            f"{tasks} tasks: expected ${told.usd:.6f} and {told.billed_s:.1f} s, billed ${usd:.6f} and {seconds:.1f} s: {told.usd / usd:.2f}"
        )
        print(
            "by the cloud's own count:",
            {r: cloud.cloud.billed_s(r) for r in (FIRST, SECOND)} if hasattr(cloud.cloud, "billed_s") else "",
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        measure(Path(made))
