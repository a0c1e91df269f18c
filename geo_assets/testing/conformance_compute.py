"""What every compute plugin has to do: a test class that any package can run on its own plugin, offline."""
# ruff: noqa: D102, D103 - the name of a test says what it checks

import os
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from geo_assets.errors import CatalogError, SourceError
from geo_assets.model.plugin import Compute
from geo_assets.model.recipe import ComputeRecipe
from geo_assets.model.task import TaskResult


class OddError(Exception):
    """Neither picklable nor able to describe itself."""

    def __init__(self, *, lock: Any) -> None:
        self.lock = lock

    def __str__(self) -> str:
        raise ValueError("no text")


# Tasks are plain functions of this module with plain arguments, so that a backend may send them anywhere


def double(task: int) -> int:
    return 2 * task


def slow_double(task: int) -> int:
    time.sleep(0.01 * (5 - task % 5))
    return 2 * task


def fail(task: str) -> None:
    faults: dict[str, BaseException] = {
        "source": SourceError("a.tif: status 404\nsecond line"),
        "catalog": CatalogError("status 503"),
        "os": OSError("no space"),
        "memory": MemoryError(),
        "value": ValueError("plainly wrong"),
        "empty": RuntimeError(),
        "long": RuntimeError("x" * 100_000),
        "odd": OddError(lock=threading.Lock()),
        "exit": SystemExit(3),
    }
    raise faults[task]


def fail_once(folder: str) -> str:
    """Fails in a way that a retry helps, the first time."""
    (Path(folder) / uuid.uuid4().hex).touch()
    if len(os.listdir(folder)) < 2:
        raise CatalogError("try again")
    return "done"


def fail_always(folder: str) -> None:
    (Path(folder) / uuid.uuid4().hex).touch()
    raise CatalogError("try again")


def fail_for_good(folder: str) -> None:
    (Path(folder) / uuid.uuid4().hex).touch()
    raise SourceError("never")


def mark_and_wait(folder: str) -> int:
    """Leaves a mark when it starts, and ends soon after."""
    (Path(folder) / uuid.uuid4().hex).touch()
    time.sleep(0.05)
    return 1


def recipe(**settings: Any) -> ComputeRecipe:
    """Two workers."""
    return ComputeRecipe(**{"workers": 2, "retries": 2, "timeout_s": 60, **settings})


class ComputeConformance:
    """Subclass it with the fixture ``plugin``, and ``recipe`` if its settings differ."""

    def run(self, plugin: Compute, fn: Any, tasks: list[Any], **settings: Any) -> list[TaskResult]:
        return sorted(plugin.map(fn, tasks, recipe=self.settings(**settings)), key=lambda r: r.index)

    def settings(self, **settings: Any) -> ComputeRecipe:
        return recipe(**settings)

    def test_every_task_has_one_result(self, plugin: Compute) -> None:
        for n in (0, 1, 3, 17):
            results = self.run(plugin, slow_double, list(range(n)))
            assert [r.index for r in results] == list(range(n))
            assert [r.value for r in results] == [2 * i for i in range(n)]
            assert {r.status for r in results} <= {"ok"}
            assert all(r.attempts == 1 and r.run_s > 0 for r in results)

    def test_events_are_the_results(self, plugin: Compute) -> None:
        seen: list[TaskResult] = []
        results = list(plugin.map(double, [1, 2, 3], recipe=self.settings(), on_event=seen.append))
        assert seen == results

    def test_an_error_becomes_a_result_and_the_others_go_on(self, plugin: Compute) -> None:
        names = ["source", "value", "empty", "long", "odd", "exit"]
        results = self.run(plugin, fail, names, retries=0)
        assert [r.status for r in results] == ["error"] * len(names)
        by_name = dict(zip(names, results, strict=True))
        assert by_name["source"].cause == "a.tif: status 404"
        assert by_name["source"].error == "SourceError"
        assert by_name["empty"].cause == "RuntimeError"
        assert by_name["odd"].cause == "OddError"
        assert len(by_name["long"].cause or "") <= 2000
        assert not any(r.retryable for r in results)

    def test_only_what_a_retry_can_help_is_retryable(self, plugin: Compute) -> None:
        results = self.run(plugin, fail, ["catalog", "os", "memory", "source", "value"], retries=0)
        assert [r.retryable for r in results] == [True, True, True, False, False]

    def test_a_retry_helps_where_it_can(self, plugin: Compute, tmp_path: Path) -> None:
        (result,) = self.run(plugin, fail_once, [str(tmp_path)])
        assert (result.status, result.value, result.attempts) == ("ok", "done", 2)

    def test_retries_are_bounded(self, plugin: Compute, tmp_path: Path) -> None:
        (result,) = self.run(plugin, fail_always, [str(tmp_path)], retries=1)
        assert (result.status, result.error, result.attempts) == ("error", "CatalogError", 2)
        assert len(os.listdir(tmp_path)) == 2

    def test_what_no_retry_can_help_is_tried_once(self, plugin: Compute, tmp_path: Path) -> None:
        (result,) = self.run(plugin, fail_for_good, [str(tmp_path)])
        assert result.attempts == 1
        assert len(os.listdir(tmp_path)) == 1

    def test_a_stop_leaves_little_behind(self, plugin: Compute, tmp_path: Path) -> None:
        results = plugin.map(mark_and_wait, [str(tmp_path)] * 100, recipe=self.settings())
        next(results)
        results.close()  # type: ignore[attr-defined]
        started = len(os.listdir(tmp_path))
        assert started < 20
        time.sleep(0.2)
        assert len(os.listdir(tmp_path)) == started
