"""``geo-assets ui``: Dagster's own UI and daemon on the project's instance."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

from geo_assets.assets.partitions import register_regions
from geo_assets.doors.home import open_instance
from geo_assets.doors.instance import deployed, enter, working_directory, write_workspace
from geo_assets.project import LoadedProject
from geo_assets.tasks import areas, cells

# Dagster 1.13 tells whoever starts `dagster dev` to use a tool that this project is not made with
_QUIET = "ignore:Function `dev_command` is superseded"
_STOP_S = 30.0  # webserver, daemon and code server end within a few seconds


def serve_ui(loaded: LoadedProject, *, host: str, port: int) -> int:
    """Run webserver and daemon until this process is interrupted or terminated; none of them outlives it.

    Returns:
        Their exit code, 0 if they were stopped.

    Raises:
        ConfigError: The areas cannot be used.
    """
    home = enter(loaded)
    regions = cells.cut(areas.areas(deployed(loaded)), loaded.project.grid, loaded.project.cube).regions
    with open_instance(home) as instance:
        register_regions(instance, regions)  # or there would be no partition to choose
    workspace = write_workspace(loaded, home)
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-h", host, "-p", str(port)]

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # First: a process that a script starts in the background ignores SIGINT, and what it starts would do so, too
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    # In a session of its own: it gets our signals once, not also the terminal's, and can be ended as a whole
    process = subprocess.Popen(command, env=environment(home), cwd=working_directory(loaded), start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        _end(process)
        return 0


def environment(home: Path) -> dict[str, str]:
    """Environment of Dagster's own commands: ours, the instance, and no word about the command's successor."""
    quiet = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), _QUIET)))
    return {**os.environ, "DAGSTER_HOME": str(home), "PYTHONWARNINGS": quiet}


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the UI to end, as Ctrl-C would, and insist if it does not, or if we are asked again."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
