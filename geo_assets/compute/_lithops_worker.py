"""What Lithops runs on a worker: one task, in a process of its own that Lithops forks for it."""

import os
import pickle
from dataclasses import dataclass

from geo_assets.compute import _worker

BEGAN = "GEO_ASSETS_HANDLER_BEGAN"
START_S = "GEO_ASSETS_HANDLER_START_S"


@dataclass(frozen=True)
class Answer:
    """What comes back.

    Attributes:
        blob: A ``TaskResult``, pickled.
        began: When the handler was called, in seconds since 1970 by the worker's clock; 0 where nobody says.
        start_s: Seconds that the worker took to start, if this is its first task.
    """

    blob: bytes
    began: float
    start_s: float


def run(blob: bytes) -> bytes:
    """Run a task. Lithops takes some names of parameters for orders to itself; ``blob`` is none of them.

    Returns:
        An ``Answer``, pickled.
    """
    began, start_s = float(os.environ.get(BEGAN, 0)), float(os.environ.get(START_S, 0))
    return pickle.dumps(Answer(_worker.answer(blob), began, start_s))
