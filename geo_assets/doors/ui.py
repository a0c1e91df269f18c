"""``geo-assets ui``: Dagster's own UI and daemon on the project's instance."""

import os
import signal
import subprocess
import sys

import dagster as dg

from geo_assets.assets.partitions import register_regions
from geo_assets.doors.instance import enter, working_directory, write_workspace
from geo_assets.project import LoadedProject
from geo_assets.tasks import areas, cells


def serve_ui(loaded: LoadedProject, *, host: str, port: int) -> int:
    """Run webserver and daemon until they are stopped; returns their exit code.

    Raises:
        ConfigError: The areas cannot be used.
    """
    home = enter(loaded)
    regions = cells.cut(areas.areas(loaded), loaded.project.grid, loaded.project.cube).regions
    with dg.DagsterInstance.from_config(str(home)) as instance:
        register_regions(instance, regions)  # or there would be no partition to choose
    workspace = write_workspace(loaded, home)
    env = {**os.environ, "DAGSTER_HOME": str(home)}
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-h", host, "-p", str(port)]
    process = subprocess.Popen(command, env=env, cwd=working_directory(loaded))
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        return process.wait()
