"""Where our engine's CPU seconds go: each stage's own function, timed in the thread that runs it."""

import functools
import importlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

# What a stage is called, and the functions that are it; none of them calls another one
STAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "inflate whole tiles (libdeflate)": (("geo_assets.readers._tiles", "zlib_decompress"),),
    "inflate row by row (ISA-L)": (("geo_assets.readers._tiles", "TileRows._run"),),
    "undo the predictor": (("geo_assets.readers._sweep", "unpredict"), ("geo_assets.readers._chips", "unpredict")),
    "fetch ranges": (("geo_assets.readers._http", "HttpFile.fetch"),),
    "parse headers": (("geo_assets.readers.native", "layout"),),
    "decide which tiles are needed": (
        ("geo_assets.eo.warp", "Placement.needs"),
        ("geo_assets.readers.native", "nodes"),
    ),
    "warp": (("geo_assets.eo.warp", "Placement.warp"),),
    "clean the mask": (("geo_assets.tasks.block", "clear_pixels"),),
    "merge a day's scenes": (("geo_assets.tasks.block", "merge_first"), ("geo_assets.tasks.block", "and_observed")),
    "median and count": (("geo_assets.tasks.block", "statistic"), ("geo_assets.tasks.block", "count_seen")),
    "write": (("benchmarks.raster.candidates.ours", "Kept.write"),),
}


# What every engine has to do that reads these files
BARE = tuple(STAGES)[:5]


class Stages:
    """CPU seconds by stage, from the moment on that it is made.

    Attributes:
        spent: Seconds of each stage.
    """

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        for stage, functions in STAGES.items():
            for module, name in functions:
                self._watch(stage, module, name)

    def _watch(self, stage: str, module: str, name: str) -> None:
        *path, last = name.split(".")
        owner: Any = functools.reduce(getattr, path, importlib.import_module(module))
        plain: Callable[..., Any] = getattr(owner, last)

        @functools.wraps(plain)
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return plain(*args, **kwargs)
            finally:
                spent = time.thread_time() - began
                with self._lock:
                    self.spent[stage] += spent

        setattr(owner, last, timed)
