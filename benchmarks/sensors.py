"""What five sensors of one project read: ``python -m benchmarks.sensors [MONTHS] [FOLDER]``.

Analysis-ready layers of Sentinel-2, Sentinel-1, Landsat, terrain and land cover over some 60 cells, from one project file. What
is read is compared with the bytes of the files that the bands lie in: each byte that is read counts, also twice.
"""

import sys
import tempfile
from pathlib import Path

import yaml

import geo_assets
from geo_assets.doors.run import run_project
from geo_assets.doors.run_options import RunOptions
from geo_assets.model.period import Month
from geo_assets.project import LoadedProject, load_project
from geo_assets.testing.world import SampleWorld

SENSORS = ("sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2", "dem", "landcover")


def project(folder: Path, months: int) -> LoadedProject:
    """One project file on a sample world of five sensors."""
    span = tuple(str(Month.parse("2024-01").plus(n)) for n in range(months))
    world = SampleWorld(months=span, days=3, sensors=SENSORS, with_broken=False, with_duplicate=False)
    world.write(folder / "world")
    document = {
        "name": "sensors", "aois": {"a": "world/aoi.gpkg"}, "months": {"start": span[0], "end": span[-1]}, "sensors": list(SENSORS),
        "catalog": {"kind": "static", "path": "world/catalog.json"}, "grid": {"kind": "square", "size_m": 1100, "crs": world.crs},
        "ard": {"format": "both"}, "products": ["ard"], "storage": "./data",
    }  # fmt: skip
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return load_project(folder / "geo_assets.yaml")


def stored_bytes(loaded: LoadedProject) -> dict[str, int]:
    """Bytes of the files that each sensor's layers are made of, each file once."""
    found = {}
    for sensor in SENSORS:
        receipts = list(loaded.storage.receipts(f"ard/{sensor}"))
        hrefs = {href for r in receipts for s in r.scenes for href in s.hrefs.values()}
        found[sensor] = sum(Path(h.removeprefix("file://")).stat().st_size for h in hrefs)
    return found


def main(folder: Path, months: int) -> None:
    """Run it, and print what each sensor read."""
    loaded = project(folder, months)
    summary = run_project(loaded, RunOptions())
    assert summary.complete, summary.failures
    cells = len(geo_assets.open(loaded.project.storage).cells())
    stored = stored_bytes(loaded)
    print(
        f"{cells} cells, {months} months, {summary.partitions['ok']} partitions, {summary.tasks['ok']} tasks, {summary.wall_s:.0f} s"
    )
    print(f"{'sensor':16}{'files, MB':>12}{'read, MB':>12}{'ratio':>8}")
    total = 0
    for sensor, size in stored.items():
        read = sum(int(r.figures["bytes_read"]) for r in loaded.storage.receipts(f"ard/{sensor}"))
        total += read
        print(f"{sensor:16}{size / 1e6:12.1f}{read / 1e6:12.1f}{read / size:8.2f}")
    whole = sum(stored.values())
    print(f"{'together':16}{whole / 1e6:12.1f}{total / 1e6:12.1f}{total / whole:8.2f}")


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    if len(sys.argv) > 2:
        main(Path(sys.argv[2]), count)
    else:
        with tempfile.TemporaryDirectory() as place:
            main(Path(place), count)
