"""Threads: how many run, what a stop leaves, and what becomes of a task that hangs."""

import contextlib
import threading
import time

import pytest

from geo_assets.compute import _driver
from geo_assets.compute.local import PLUGIN
from geo_assets.errors import CatalogError
from geo_assets.model.compute import ComputeRecipe


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(_driver, "_BACKOFF_S", 0.01)


@pytest.fixture
def release():
    event = threading.Event()
    yield event
    event.set()


OTHERS: set[threading.Thread] = set()


@pytest.fixture(autouse=True)
def others():
    """Threads of tests before, of which some leave one that hangs: threads cannot be killed."""
    OTHERS.clear()
    OTHERS.update(threading.enumerate())


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("geo-assets") and t not in OTHERS]


def mapped(fn, tasks, **settings):
    """Results of an engine that ends with them."""
    recipe = ComputeRecipe(**settings)
    with PLUGIN.connect(recipe) as engine, contextlib.closing(engine.map(fn, tasks)) as results:
        yield from results


def wait_for(condition):
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_no_more_tasks_run_at_a_time_than_there_are_workers():
    lock, now, most = threading.Lock(), [0], [0]

    def task(_):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)  # long enough for the others to begin on a loaded machine
        with lock:
            now[0] -= 1

    assert len(list(mapped(task, range(20), workers=3))) == 20
    assert most[0] == 3


def test_window_of_tasks_is_bounded_while_nobody_takes_results():
    started = []
    results = mapped(started.append, range(100), workers=2)
    next(results)
    time.sleep(0.1)
    assert len(started) <= 5
    results.close()


def test_stop_leaves_no_thread():
    results = mapped(lambda _: time.sleep(0.02), range(50), workers=4)
    next(results)
    assert threads()
    results.close()
    assert not threads()


def test_stop_ends_a_wait_between_tries(monkeypatch):
    monkeypatch.setattr(_driver, "_BACKOFF_S", 1000)
    tries = []

    def task(i):
        tries.append(i)
        if i:
            raise CatalogError("again")

    results = mapped(task, [0, 1], workers=2, retries=5)
    assert next(results).index == 0
    results.close()
    assert not threads()
    assert tries.count(1) <= 1


def test_error_in_the_consumer_leaves_no_thread():
    def consume():
        for _ in mapped(lambda _: time.sleep(0.01), range(20), workers=2):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()
    assert wait_for(lambda: not threads())


def test_task_that_hangs_is_given_up_and_the_others_are_made(release):
    def task(i):
        return release.wait(60) if i == 1 else i

    results = {r.index: r for r in mapped(task, range(6), workers=1, timeout_s=0.2)}
    assert sorted(results) == list(range(6))
    assert [i for i, r in results.items() if r.status == "error"] == [1]
    assert results[1].error == "ComputeError"
    assert "timeout" in results[1].cause
    assert not results[1].retryable
    assert len(threads()) == 1  # the one that hangs: threads cannot be killed
    release.set()
    assert wait_for(lambda: not threads())


def test_time_counts_from_the_start_and_not_from_the_queue():
    results = list(mapped(lambda _: time.sleep(0.15), range(6), workers=1, timeout_s=0.6))
    assert {r.status for r in results} == {"ok"}


def test_stop_does_not_wait_for_a_task_that_hangs(release):
    def task(i):
        return release.wait(60) if i else i

    results = mapped(task, [0, 1], workers=2, timeout_s=0.2)
    next(results)
    results.close()
    assert len(threads()) == 1


def test_many_tasks_that_hang_end_the_run_and_not_the_memory(release):
    results = list(mapped(lambda _: release.wait(60), range(12), workers=1, timeout_s=0.05))
    assert len(results) == 12
    assert {r.status for r in results} == {"error"}
    assert any("not started" in r.cause for r in results)
    assert len(threads()) <= 5
