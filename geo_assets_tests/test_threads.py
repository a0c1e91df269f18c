"""Threads that tasks borrow."""

import multiprocessing
import os
import platform
import subprocess
import sys
import threading
import time

import pytest

from geo_assets.threads import Crew


def ident(_: object) -> int:
    time.sleep(0.02)  # so that one thread cannot do it all
    return threading.get_ident()


def test_crew_when_it_was_given_back_then_the_next_one_gets_the_same_threads():
    with Crew(3) as crew:
        first = set(crew.each(ident, range(9)))
    before = threading.active_count()
    for _ in range(5):
        with Crew(3) as crew:
            assert set(crew.each(ident, range(9))) == first
    assert threading.active_count() == before


def test_crew_when_two_are_at_work_then_they_share_no_thread():
    with Crew(2) as one, Crew(2) as two:
        assert set(one.each(ident, range(4))).isdisjoint(two.each(ident, range(4)))


def test_each_when_results_come_in_another_order_then_they_are_in_the_order_of_the_items():
    with Crew(2) as crew:
        assert crew.each(lambda s: time.sleep(s) or s, [0.05, 0.0, 0.01]) == [0.05, 0.0, 0.01]


def test_each_when_one_fails_then_nothing_more_is_begun_and_nothing_runs_any_more():
    begun, ended = [], []

    def work(n: int) -> None:
        begun.append(n)
        if n == 0:
            raise ValueError("no")
        time.sleep(0.05)
        ended.append(n)

    with Crew(2) as crew, pytest.raises(ValueError, match="no"):
        crew.each(work, range(50))
    assert len(begun) < 10
    assert sorted(ended) == sorted(n for n in begun if n)


def test_each_when_only_some_may_work_then_others_do_not():
    with Crew(8) as crew:
        assert len(set(crew.each(ident, range(9), 2))) <= 2
        assert crew.each(ident, [], 2) == []


def test_leave_when_something_runs_then_it_is_waited_for_and_nothing_is_taken_any_more():
    crew, done = Crew(1), threading.Event()
    running = crew.submit(lambda: time.sleep(0.05) or done.set())
    waiting = crew.submit(pytest.fail)
    while not running.running() and not running.done():
        time.sleep(0.001)
    crew.leave()
    assert done.is_set()
    assert waiting.cancelled()
    with pytest.raises(RuntimeError, match="given back"):
        crew.submit(ident, 0)
    crew.leave()


def test_crew_when_the_process_is_forked_then_the_child_has_threads_of_its_own():
    with Crew(2) as crew:
        crew.each(ident, range(4))
    child = multiprocessing.get_context("fork").Process(target=_in_child)
    child.start()
    child.join(30)
    assert child.exitcode == 0


def _in_child() -> None:
    with Crew(2) as crew:
        assert crew.each(abs, [-1, -2]) == [1, 2]


HEAPS = """
import concurrent.futures, re, threading
from geo_assets.threads import Crew
hold = threading.Barrier(8)
def work(_):
    data = [bytes(1000) for _ in range(1000)]
    hold.wait()
    return len(data)
with Crew(8) as crew:
    assert sum(crew.each(work, range(8))) == 8000
maps = open("/proc/self/maps").read().splitlines()
spans = [[int(x, 16) for x in line.split()[0].split("-")] for line in maps if len(line.split()) == 5 and " rw-p " in line]
print(sum(start % 2**26 == 0 and end - start < 2**26 for start, end in spans))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of glibc")
@pytest.mark.parametrize(("limit", "most"), [({}, 3), ({"MALLOC_ARENA_MAX": "6"}, 5)])
def test_crew_when_many_threads_allocate_then_they_share_four_heaps_unless_the_user_says_otherwise(limit, most):
    environment = {k: v for k, v in os.environ.items() if k not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")} | limit
    done = subprocess.run([sys.executable, "-c", HEAPS], capture_output=True, text=True, env=environment, check=True)
    # The first heap is that of the main thread, and no such mapping
    assert int(done.stdout) == most
