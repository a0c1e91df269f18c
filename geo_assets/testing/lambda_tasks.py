"""Tasks that do to a sandbox of AWS Lambda what a task should not."""

import os
import signal
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """A task that reads a sensor, by which its region is chosen.

    Attributes:
        source: The sensor.
        seconds: How long it takes.
    """

    source: str
    seconds: float = 0.0


def where(task: Reading) -> str:
    """The region that it runs in, after its seconds."""
    time.sleep(task.seconds)
    return os.environ["AWS_REGION"]


def end_sandbox(task: int) -> None:
    """Ends the process that runs the handler, so that nothing is left that could say so; it has said that the task began."""
    time.sleep(
        3
    )  # else it may not have: then the call counts as one that waits for its turn, for as long as AWS keeps it
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def stop_sandbox(task: int) -> None:
    """Stops the process that runs the handler, so that the function runs into its time limit."""
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(60)
