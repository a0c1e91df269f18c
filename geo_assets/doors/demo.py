"""``geo-assets demo``: the sample world and the main job, offline."""

from pathlib import Path

import shapely.affinity
import yaml

from geo_assets.doors.reports import write_project_report, write_reports
from geo_assets.doors.run import Progress, run_project
from geo_assets.doors.run_options import RunOptions
from geo_assets.doors.tally import Summary
from geo_assets.errors import ConfigError
from geo_assets.model.lonlat import to_lonlat
from geo_assets.project import DEFAULT_FILE, LoadedProject, load_project
from geo_assets.testing.world import SampleWorld

_HEADER = """\
# The demo of geo_assets: a computed landscape under {first} to {last}, with clouds, haze, two overlapping tiles,
# two processing baselines and an item that is listed twice. Change something and run `geo-assets run {file}`.
"""


def write_demo(folder: Path) -> LoadedProject:
    """The sample world and its project file; what is there already stays."""
    world = SampleWorld(with_broken=False)
    world.write(folder / "world")
    file = folder / DEFAULT_FILE
    if not file.exists():
        # A little smaller than the world, so that the chunks of its cells lie inside and the pictures are full
        area = to_lonlat(shapely.affinity.scale(world.aoi_projected, 0.95, 0.86, origin=world.center), world.crs)
        (folder / "valley.geojson").write_text(shapely.to_geojson(area))
        settings = {
            "name": "demo",
            "aois": {"valley": {"path": "valley.geojson"}},
            "months": {"start": world.months[0], "end": world.months[-1]},
            "catalog": {"kind": "static", "path": "world/catalog.json"},
            "grid": {"kind": "square", "size_m": 1280, "crs": world.crs},
            "storage": "./data",
        }
        header = _HEADER.format(first=world.months[0], last=world.months[-1], file=file)
        file.write_text(header + yaml.safe_dump(settings, sort_keys=False))
    return load_project(file)


def run_demo(
    folder: Path, *, progress: Progress | None = None, console: bool = False
) -> tuple[LoadedProject, Summary, Path]:
    """Write the world, make the cube and the report. Returns the project, what came of the run, and the report."""
    if progress:
        progress("sample world", 0, 1)
    try:
        loaded = write_demo(folder)
    except OSError as e:
        raise ConfigError(f"{folder}: the demo cannot be written there: {e}; choose another --dir") from e
    summary = run_project(loaded, RunOptions(), progress=progress, console=console)
    summary.report = write_reports(loaded, summary)
    return loaded, summary, write_project_report(loaded, folder / "report.html", title="geo_assets demo")
