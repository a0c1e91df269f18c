"""Ranges fetched ahead: order, budget, errors, and an end that leaves nothing running."""

import random
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo_assets.errors import SourceError
from geo_assets.readers._fetch import Fetcher, Parcel

SECONDS = 10  # none of these is waited for where everything works


class Memory:
    """A source that notes what is asked of it, and can be held up or fail."""

    def __init__(self):
        self.asked, self.gate, self.broken = [], threading.Event(), {}
        self.gate.set()
        self.now = self.most = 0
        self._lock = threading.Lock()

    def fetch(self, start, end):
        with self._lock:
            self.asked.append(start)
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            assert self.gate.wait(SECONDS)
            if start in self.broken:
                raise self.broken[start]
            return memoryview(start.to_bytes(8, "big").ljust(end - start, b"."))[: end - start]
        finally:
            with self._lock:
                self.now -= 1


def parcels(source, sizes):
    return [Parcel(source, i * 10_000, i * 10_000 + size) for i, size in enumerate(sizes)]


def right(parcel, data):
    return len(data) == parcel.size and bytes(data[:8]) == parcel.start.to_bytes(8, "big")[: parcel.size]


def settle(condition):
    """Wait until the background has done what it will do."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    settle(lambda: not [t for t in threading.enumerate() if t.name == "fetcher"])


def test_parcels_come_in_the_order_of_the_plan():
    source = Memory()
    planned = parcels(source, [100] * 50)
    with Fetcher(1, 10_000) as fetcher:
        fetcher.plan(planned[:20])
        fetcher.plan(planned[20:])
        for parcel in planned:
            assert right(parcel, fetcher.take(parcel))
            fetcher.release(parcel)
    assert source.asked == sorted(source.asked)


def test_the_background_stops_at_the_budget_and_goes_on_after_a_release():
    source = Memory()
    planned = parcels(source, [100] * 20)
    with Fetcher(4, 550) as fetcher:
        fetcher.plan(planned)
        settle(lambda: len(source.asked) == 5)
        time.sleep(0.02)
        assert len(source.asked) == 5
        fetcher.take(planned[0])
        time.sleep(0.02)
        assert len(source.asked) == 5
        fetcher.release(planned[0])
        settle(lambda: len(source.asked) == 6)
        assert fetcher.peak_bytes == 500


def test_a_small_parcel_does_not_overtake_one_that_has_to_wait():
    source = Memory()
    planned = parcels(source, [100, 400, 10])
    with Fetcher(4, 450) as fetcher:
        fetcher.plan(planned)
        settle(lambda: len(source.asked) == 1)
        time.sleep(0.02)
        assert source.asked == [planned[0].start]
        fetcher.release(planned[0])
        settle(lambda: len(source.asked) == 3)


@pytest.mark.parametrize("budget", [0, 50, 100, 10**9])
def test_who_takes_the_last_parcel_first_does_not_wait_for_the_others(budget):
    source = Memory()
    planned = parcels(source, [100] * 10)
    with Fetcher(2, budget) as fetcher:
        fetcher.plan(planned)
        for parcel in reversed(planned):
            assert right(parcel, fetcher.take(parcel))
        for parcel in planned:
            assert right(parcel, fetcher.take(parcel))
        assert len(source.asked) == 10


def test_a_parcel_that_is_waited_for_comes_while_all_threads_are_busy():
    slow, fast = Memory(), Memory()
    slow.gate.clear()
    planned = [*parcels(slow, [100] * 4), *parcels(fast, [100])]
    with Fetcher(2, 10_000) as fetcher:
        fetcher.plan(planned)
        settle(lambda: slow.now == 2)
        assert right(planned[-1], fetcher.take(planned[-1]))
        slow.gate.set()


def test_a_parcel_that_was_not_planned_is_fetched_when_it_is_taken():
    source = Memory()
    (parcel,) = parcels(source, [100])
    with Fetcher(2, 10) as fetcher:
        assert right(parcel, fetcher.take(parcel))
        assert right(parcel, fetcher.take(parcel))
        fetcher.release(parcel)
        fetcher.release(parcel)
    assert source.asked == [0]


def test_no_more_threads_run_than_allowed_or_needed():
    source = Memory()
    source.gate.clear()
    with Fetcher(3, 10_000) as fetcher:
        fetcher.plan(parcels(source, [10] * 2))
        settle(lambda: source.now == 2)
        assert sum(t.name == "fetcher" for t in threading.enumerate()) == 2
        fetcher.plan([Parcel(source, 900_000 + i, 900_010 + i) for i in range(20)])
        settle(lambda: source.now == 3)
        time.sleep(0.02)
        assert source.most == 3
        source.gate.set()


def test_an_error_concerns_its_own_parcel_and_frees_its_bytes():
    source = Memory()
    planned = parcels(source, [100] * 6)
    source.broken = {planned[1].start: SourceError("gone"), planned[2].start: MemoryError()}
    with Fetcher(1, 100) as fetcher:
        fetcher.plan(planned)
        for i, parcel in enumerate(planned):
            if i in (1, 2):
                for _ in range(2):
                    with pytest.raises(SourceError if i == 1 else MemoryError):
                        fetcher.take(parcel)
            else:
                assert right(parcel, fetcher.take(parcel))
            fetcher.release(parcel)
        assert fetcher._held == 0
        assert fetcher.peak_bytes <= 200


def test_many_threads_take_one_parcel_and_it_is_fetched_once():
    source, found = Memory(), []
    source.gate.clear()
    (parcel,) = parcels(source, [1000])
    with Fetcher(4, 10_000) as fetcher:
        threads = [
            threading.Thread(target=lambda: found.append(right(parcel, fetcher.take(parcel)))) for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        source.gate.set()
        for thread in threads:
            thread.join(SECONDS)
    assert found == [True] * 16
    assert source.asked == [0]


def test_many_threads_take_many_parcels():
    source = Memory()
    planned = parcels(source, [random.Random(i).randint(1, 300) for i in range(400)])
    wrong = []

    def work(fetcher, mine):
        for parcel in mine:
            if not right(parcel, fetcher.take(parcel)):
                wrong.append(parcel)
            fetcher.release(parcel)

    with Fetcher(6, 1500) as fetcher:
        fetcher.plan(planned)
        threads = [threading.Thread(target=work, args=(fetcher, planned[i::5])) for i in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert not wrong
        assert fetcher._held == 0
        assert not fetcher._slots
        assert fetcher.peak_bytes <= 1500 + 5 * 300
    assert len(source.asked) == 400


def test_a_parcel_that_is_released_on_its_way_is_dropped_when_it_comes():
    source = Memory()
    source.gate.clear()
    planned = parcels(source, [100, 100])
    with Fetcher(1, 100) as fetcher:
        fetcher.plan(planned)
        settle(lambda: source.now == 1)
        fetcher.release(planned[0])
        source.gate.set()
        assert right(planned[1], fetcher.take(planned[1]))
        settle(lambda: fetcher._held == 100)
        fetcher.release(planned[1])
        assert fetcher._held == 0


def test_who_waits_for_a_parcel_that_is_released_is_told():
    source, errors = Memory(), []
    source.gate.clear()
    (parcel,) = parcels(source, [100])
    with Fetcher(1, 1000) as fetcher:
        fetcher.plan([parcel])
        settle(lambda: source.now == 1)

        def take():
            with pytest.raises(RuntimeError, match="released"):
                fetcher.take(parcel)
            errors.append(True)

        thread = threading.Thread(target=take)
        thread.start()
        settle(lambda: fetcher._arrived._waiters)
        fetcher.release(parcel)
        thread.join(SECONDS)
        source.gate.set()
    assert errors


def test_closing_ends_what_waits_and_what_is_on_its_way():
    source, errors = Memory(), []
    source.gate.clear()
    planned = parcels(source, [100] * 10)
    fetcher = Fetcher(2, 250, cancel=source.gate.set)
    fetcher.plan(planned)
    settle(lambda: source.now == 2)

    def take():
        with pytest.raises(SourceError, match="stopped"):
            fetcher.take(planned[0])
        errors.append(True)

    threads = [threading.Thread(target=take) for _ in range(3)]
    for thread in threads:
        thread.start()
    settle(lambda: len(fetcher._arrived._waiters) == 3)
    begun = time.monotonic()
    fetcher.close()
    assert time.monotonic() - begun < 1
    for thread in threads:
        thread.join(SECONDS)
    assert len(errors) == 3
    assert len(source.asked) == 2
    assert fetcher._held == 0
    for call in (lambda: fetcher.plan(planned), lambda: fetcher.take(planned[5])):
        with pytest.raises(SourceError, match="stopped"):
            call()
    fetcher.release(planned[0])
    fetcher.close()


def test_nothing_is_cancelled_where_nothing_is_on_its_way():
    source, cancelled = Memory(), []
    planned = parcels(source, [100] * 10)
    with Fetcher(2, 300, cancel=lambda: cancelled.append(True)) as fetcher:
        fetcher.plan(planned)
        settle(lambda: len(source.asked) == 3 and source.now == 0 and fetcher._coming == 0)
    assert cancelled == []


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=40),
    budget=st.integers(0, 1500),
    threads=st.integers(1, 6),
    seed=st.integers(0, 2**16),
)
def test_any_order_of_taking_and_releasing_gives_every_parcel(sizes, budget, threads, seed):
    source, draw = Memory(), random.Random(seed)
    planned = parcels(source, sizes)
    with Fetcher(threads, budget) as fetcher:
        fetcher.plan(planned)
        todo, held, demanded = list(planned), [], 0
        while todo or held:
            if todo and (not held or draw.random() < 0.6):
                parcel = todo.pop(draw.choice([0, 0, 0, -1, draw.randrange(len(todo))]) if todo else 0)
                assert right(parcel, fetcher.take(parcel))
                held.append(parcel)
                demanded = max(demanded, sum(p.size for p in held))
            else:
                fetcher.release(held.pop(draw.randrange(len(held))))
        assert fetcher.peak_bytes <= budget + demanded
        assert fetcher._held == 0
        assert not fetcher._slots
    assert sorted(source.asked) == [p.start for p in planned]
