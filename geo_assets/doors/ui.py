"""``geo-assets ui``: Dagster's own UI and daemon on the project's instance."""

import os
import signal
import subprocess
import sys
from types import FrameType

import dagster as dg

from geo_assets.assets.partitions import register_regions
from geo_assets.doors.instance import enter, working_directory, write_workspace
from geo_assets.project import LoadedProject
from geo_assets.tasks import areas, cells

_STOP_S = 30.0  # webserver, daemon and code server end within a few seconds


def serve_ui(loaded: LoadedProject, *, host: str, port: int) -> int:
    """Run webserver and daemon until this process is interrupted or terminated; none of them outlives it.

    Returns:
        Their exit code, 0 if they were stopped.

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
    # In a session of its own: it gets our signals once, not also the terminal's, and can be ended as a whole
    process = subprocess.Popen(command, env=env, cwd=working_directory(loaded), start_new_session=True)

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        return process.wait()
    except KeyboardInterrupt:
        _end(process)
        return 0


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the UI to end, as Ctrl-C would, and insist if it does not."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
