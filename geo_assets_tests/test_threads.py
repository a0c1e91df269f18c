"""Threads that tasks borrow."""

import multiprocessing
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
