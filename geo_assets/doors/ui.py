"""``geo-assets ui``: Dagster's own UI and daemon on the project's instance."""

import os
import signal
import subprocess
import sys

from geo_assets.doors.instance import enter, working_directory, write_workspace
from geo_assets.project import LoadedProject


def serve_ui(loaded: LoadedProject, *, host: str, port: int) -> int:
    """Run webserver and daemon until they are stopped; returns their exit code."""
    home = enter(loaded)
    workspace = write_workspace(loaded, home)
    env = {**os.environ, "DAGSTER_HOME": str(home)}
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-h", host, "-p", str(port)]
    process = subprocess.Popen(command, env=env, cwd=working_directory(loaded))
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        return process.wait()
