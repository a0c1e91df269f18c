"""What every compute plugin has to do: a test class that any package can run on its own plugin, offline."""
# ruff: noqa: D102, D103 - the name of a test says what it checks

import os
import signal
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from geo_assets.errors import CatalogError, ComputeError, SourceError
from geo_assets.model.compute import Engine
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


def die(task: tuple[str, int]) -> str:
    """Ends its worker, the first times that it is tried."""
    folder, times = task
    (Path(folder) / uuid.uuid4().hex).touch()
    if len(os.listdir(folder)) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def hang(task: float) -> float:
    """Takes so many seconds."""
    time.sleep(task)
    return task


def hang_and_mark(task: tuple[str, float]) -> None:
    """Leaves a mark twenty times a second, for so many seconds."""
    folder, seconds = task
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        (Path(folder) / uuid.uuid4().hex).touch()
        time.sleep(0.05)


def keep_lock(folder: str) -> int:
    """Leaves a mark, then keeps Python's lock for longer than anybody waits: no other thread of its process runs."""
    (Path(folder) / uuid.uuid4().hex).touch()
    return sum(range(10**12))


def hold(megabytes: int) -> int:
    """Holds so much memory for a while."""
    held = bytearray(os.urandom(2**20)) * megabytes
    time.sleep(3)
    return len(held)


def length(task: bytes) -> int:
    return len(task)


def unsendable(task: int) -> Any:
    return lambda: task


class OneWay:
    """Can be written, and not read."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


def one_way(task: int) -> OneWay:
    return OneWay()


def leave_behind(task: int) -> int:
    """Ends its worker a moment after its answer."""
    threading.Timer(0.2, os._exit, (7,)).start()
    return task


class ComputeConformance:
    """Subclass it with the fixture ``engine``: a running one with two workers, which the tests of a class may share.

    Attributes:
        memory_mb: Limit of its workers, where it has one.
        many: How many tasks it gets at once.
    """

    memory_mb = 0
    many = 2000

    def run(self, engine: Engine, fn: Any, tasks: list[Any], **options: Any) -> list[TaskResult]:
        options = {"retries": 2, "timeout_s": 60, **options}
        return sorted(engine.map(fn, tasks, **options), key=lambda r: r.index)

    def test_every_task_has_one_result(self, engine: Engine) -> None:
        for n in (0, 1, 3, 17):
            results = self.run(engine, slow_double, list(range(n)))
            assert [r.index for r in results] == list(range(n))
            assert [r.value for r in results] == [2 * i for i in range(n)]
            assert {r.status for r in results} <= {"ok"}
            assert all(r.attempts == 1 and r.run_s > 0 and r.queued_s >= 0 for r in results)

    def test_many_small_tasks_all_have_their_result(self, engine: Engine) -> None:
        results = self.run(engine, double, list(range(self.many)))
        assert [r.value for r in results] == [2 * i for i in range(self.many)]

    def test_results_come_in_order_where_that_is_asked_for(self, engine: Engine) -> None:
        results = list(engine.map(slow_double, range(40), ordered=True))
        assert [r.index for r in results] == list(range(40))

    def test_events_are_the_results(self, engine: Engine) -> None:
        seen: list[TaskResult] = []
        results = list(engine.map(double, [1, 2, 3], on_event=seen.append))
        assert seen == results

    def test_each_try_is_an_event(self, engine: Engine, tmp_path: Path) -> None:
        seen: list[TaskResult] = []
        (result,) = engine.map(fail_once, [str(tmp_path)], retries=1, on_event=seen.append)
        assert [(e.status, e.attempts) for e in seen] == [("retry", 1), ("ok", 2)]
        assert seen[-1] == result

    def test_what_is_done_is_skipped(self, engine: Engine) -> None:
        results = self.run(engine, double, list(range(10)), skip_done=lambda task: task % 2 == 0)
        assert [r.status for r in results] == ["skipped", "ok"] * 5
        assert {r.attempts for r in results if r.status == "skipped"} == {0}

    def test_an_error_becomes_a_result_and_the_others_go_on(self, engine: Engine) -> None:
        names = ["source", "value", "empty", "long", "odd", "exit"]
        results = self.run(engine, fail, names, retries=0)
        assert [r.status for r in results] == ["error"] * len(names)
        by_name = dict(zip(names, results, strict=True))
        assert by_name["source"].cause == "a.tif: status 404"
        assert by_name["source"].error == "SourceError"
        assert by_name["empty"].cause == "RuntimeError"
        assert by_name["odd"].cause == "OddError"
        assert len(by_name["long"].cause or "") <= 2000
        assert not any(r.retryable for r in results)
        assert {r.kind for r in results} == {"error"}

    def test_only_what_a_retry_can_help_is_retryable(self, engine: Engine) -> None:
        results = self.run(engine, fail, ["catalog", "os", "memory", "source", "value"], retries=0)
        assert [r.retryable for r in results] == [True, True, True, False, False]

    def test_a_retry_helps_where_it_can(self, engine: Engine, tmp_path: Path) -> None:
        (result,) = self.run(engine, fail_once, [str(tmp_path)])
        assert (result.status, result.value, result.attempts) == ("ok", "done", 2)

    def test_retries_are_bounded(self, engine: Engine, tmp_path: Path) -> None:
        (result,) = self.run(engine, fail_always, [str(tmp_path)], retries=1)
        assert (result.status, result.error, result.attempts) == ("error", "CatalogError", 2)
        assert len(os.listdir(tmp_path)) == 2

    def test_what_no_retry_can_help_is_tried_once(self, engine: Engine, tmp_path: Path) -> None:
        (result,) = self.run(engine, fail_for_good, [str(tmp_path)])
        assert result.attempts == 1
        assert len(os.listdir(tmp_path)) == 1

    def test_too_many_failures_end_it(self, engine: Engine) -> None:
        with pytest.raises(ComputeError, match=r"more than 3 tasks failed, the last one so: plainly wrong"):
            self.run(engine, fail, ["value"] * 100, max_failures=3)
        assert self.run(engine, double, [1])[0].value == 2

    def test_a_stop_leaves_little_behind(self, engine: Engine, tmp_path: Path) -> None:
        results = engine.map(mark_and_wait, [str(tmp_path)] * 100)
        next(results)
        results.close()  # type: ignore[attr-defined]
        started = len(os.listdir(tmp_path))
        assert started < 20
        time.sleep(0.2)
        assert len(os.listdir(tmp_path)) == started
        assert self.run(engine, double, [1, 2])[1].value == 4

    def test_a_stop_ends_what_runs_where_it_can_be_ended(self, engine: Engine, tmp_path: Path) -> None:
        if not engine.capabilities.kills:
            pytest.skip("what runs cannot be ended on this backend")
        self.run(engine, hang_and_mark, [(str(tmp_path), 0.01)])  # of a function that is new, one task goes ahead
        results = engine.map(hang_and_mark, iter([(str(tmp_path), 0.01), (str(tmp_path), 60.0)]))  # not in mixed order
        next(results)
        while len(os.listdir(tmp_path)) < 10:
            time.sleep(0.05)
        results.close()  # type: ignore[attr-defined]
        left = len(os.listdir(tmp_path))
        time.sleep(0.5)
        assert len(os.listdir(tmp_path)) == left

    def test_a_task_over_its_time_is_an_error_and_the_others_go_on(self, engine: Engine) -> None:
        results = self.run(engine, hang, [30.0, *[0.01] * 5], timeout_s=5.0)
        assert [r.status for r in results] == ["error", *["ok"] * 5]
        assert (results[0].kind, results[0].attempts, results[0].retryable) == ("timeout", 1, False)
        assert (results[0].cause or "").startswith("timeout: not finished after 5 s; ")
        assert results[0].run_s >= 5

    def test_time_counts_from_the_start_and_not_from_the_queue(self, engine: Engine) -> None:
        results = self.run(engine, hang, [1.0] * 12, timeout_s=5.0)
        assert {r.status for r in results} == {"ok"}

    def test_a_lost_worker_costs_one_try_and_nothing_else(self, engine: Engine, tmp_path: Path) -> None:
        if not engine.capabilities.isolated:
            pytest.skip("a task that dies takes this process along")
        (tmp_path / "once").mkdir()
        tasks = [(str(tmp_path / "once"), 1), *((str(tmp_path / "none"), 0) for _ in range(6))]
        (tmp_path / "none").mkdir()
        results = self.run(engine, die, tasks, retries=3)
        assert {(r.status, r.value) for r in results} == {("ok", "alive")}
        assert len(os.listdir(tmp_path / "once")) == 2

    def test_a_task_that_always_loses_its_worker_is_an_error(self, engine: Engine, tmp_path: Path) -> None:
        if not engine.capabilities.isolated:
            pytest.skip("a task that dies takes this process along")
        (result,) = self.run(engine, die, [(str(tmp_path), 1000)], retries=1)
        assert (result.status, result.kind, result.attempts) == ("error", "lost", 2)
        assert "worker" in (result.cause or "") or "process was lost: signal SIGKILL" in (result.cause or "")
        assert self.run(engine, double, [4])[0].value == 8

    def test_a_task_over_its_memory_is_an_error_and_the_others_go_on(self, engine: Engine) -> None:
        if not (engine.capabilities.limits_memory and self.memory_mb):
            pytest.skip("nothing limits memory here")
        results = self.run(engine, hold, [2 * self.memory_mb, 1, 1], retries=0)
        assert [r.status for r in results] == ["error", "ok", "ok"]
        assert results[0].kind in ("memory", "lost")

    def test_what_cannot_be_sent_is_an_error_of_its_task(self, engine: Engine) -> None:
        if not engine.capabilities.isolated:
            pytest.skip("nothing is sent")
        results = self.run(engine, double, [1, threading.Lock(), 3])
        assert [r.status for r in results] == ["ok", "error", "ok"]
        assert (results[1].kind, results[1].attempts) == ("payload", 0)
        (result,) = self.run(engine, unsendable, [1])
        assert result.status == "error"
        assert "its result cannot be sent back" in (result.cause or "")
        (result,) = self.run(engine, one_way, [1])
        assert (result.status, result.kind) == ("error", "error")
        assert "its result cannot be read here: ValueError" in (result.cause or "")

    def test_a_task_too_large_to_be_sent_is_an_error_that_says_so(self, engine: Engine) -> None:
        limit = engine.capabilities.payload_mb
        if limit is None:
            pytest.skip("tasks may have any size")
        results = self.run(engine, length, [bytes(int(limit * 2**20) + 1), b"1"])
        assert [r.status for r in results] == ["error", "ok"]
        assert results[0].kind == "payload"
        assert f"{limit:.0f} MB at most" in (results[0].cause or "")

    def test_peak_memory_is_that_of_the_task(self, engine: Engine) -> None:
        if not engine.capabilities.isolated:
            pytest.skip("tasks share a process")
        (large,) = self.run(engine, hold, [100])
        (small,) = self.run(engine, double, [1])
        if large.peak_mb is None or small.peak_mb is None:
            pytest.skip("the system does not say")
        assert large.peak_mb > max(100, small.peak_mb + 50)
        assert large.worker
