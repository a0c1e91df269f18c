"""Threads of this process: numpy, GDAL and the codecs release the interpreter where the time goes."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from geo_assets.compute._worker import attempt
from geo_assets.model.recipe import ComputeRecipe
from geo_assets.model.task import TaskResult

_BACKOFF_S = 0.5


class _Local:
    def map(
        self,
        fn: Callable[[Any], Any],
        tasks: Sequence[Any],
        *,
        recipe: ComputeRecipe,
        on_event: Callable[[TaskResult], None] | None = None,
    ) -> Iterator[TaskResult]:
        """Run ``fn`` on every task, at most ``recipe.workers`` at a time; see ``Compute``."""
        with ThreadPoolExecutor(recipe.workers, thread_name_prefix="geo-assets") as pool:
            todo = iter(range(len(tasks)))
            running: set[Future[TaskResult]] = set()
            try:
                while True:
                    for index in todo:  # a window of tasks, so that a stop leaves little behind
                        running.add(pool.submit(_with_retries, fn, tasks[index], index, recipe.retries))
                        if len(running) >= 2 * recipe.workers:
                            break
                    if not running:
                        return
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        result = future.result()
                        if on_event:
                            on_event(result)
                        yield result
            finally:
                for future in running:
                    future.cancel()


def _with_retries(fn: Callable[[Any], Any], task: Any, index: int, retries: int) -> TaskResult:
    for number in range(1, retries + 2):
        result = attempt(fn, task, index, number)
        if result.status == "ok" or not result.retryable or number > retries:
            return result
        time.sleep(_BACKOFF_S * 2 ** (number - 1))
    raise AssertionError("unreachable: the last attempt returns")


PLUGIN = _Local()
