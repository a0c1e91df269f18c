"""The driver alone, with an adapter whose answers a test decides."""

import itertools
import time
from dataclasses import dataclass, replace

import pytest

from geo_assets.compute import _driver
from geo_assets.compute._call import PayloadError
from geo_assets.compute._driver import Engine
from geo_assets.errors import ComputeError
from geo_assets.model.compute import NOT_YET, Capabilities, ComputeRecipe
from geo_assets.model.cost import Price
from geo_assets.model.task import TaskResult


class Played:
    """Answers each try by a function of its call, at once; keeps what was sent, killed and dropped."""

    def __init__(self, answer, slots=2, began=None, **capabilities):
        self.capabilities = Capabilities(**capabilities)
        self.answer, self.slots, self.began = answer, slots, began
        self.sent, self.dropped, self.killed, self.most = [], [], [], 0
        self._out, self._number = {}, itertools.count()

    def submit(self, call):
        self.sent.append((call.index, call.number))
        handle = next(self._number)
        self._out[handle] = call
        self.most = max(self.most, len(self._out))
        return handle

    def poll(self, wait_s):
        found = [(h, r) for h, c in self._out.items() if (r := self.answer(c)) is not None]
        for handle, _ in found:
            del self._out[handle]
        return found

    def started(self, handle):
        return self.began

    def kill(self, handle):
        self.killed.append(handle)
        self._out.pop(handle, None)
        return "ended"

    def drop(self, handles, timeout_s):
        self.dropped += handles


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(_driver, "_BACKOFF_S", 0.001)


def fine(call):
    return TaskResult(call.index, "ok", attempts=call.number, run_s=0.1)


def engine(answer, *, recipe=None, price=None, **options):
    adapter = Played(answer, **options)
    return adapter, Engine(adapter, ComputeRecipe(workers=2, **(recipe or {})), price=price)


def test_a_task_that_waited_on_a_lost_worker_is_not_blamed_for_it():
    losses = {0: 3}

    def answer(call):
        if losses.get(call.index):
            losses[call.index] -= 1
            return call.lost("lost", "gone", retryable=True)
        return fine(call)

    adapter, made = engine(answer)
    assert [(r.status, r.attempts) for r in made.map(abs, [0], retries=0)] == [("ok", 1)]
    assert adapter.sent == [(0, 1)] * 4


def test_a_task_that_loses_its_worker_however_often_ends_as_an_error():
    adapter, made = engine(lambda call: call.lost("lost", "gone", retryable=True))
    assert [(r.status, r.kind, r.attempts) for r in made.map(abs, [0], retries=1)] == [("error", "lost", 2)]
    assert len(adapter.sent) == 3 + 2


def test_tasks_are_taken_as_there_is_room_for_them():
    taken = []
    adapter, made = engine(fine, slots=3)
    results = made.map(abs, (taken.append(i) or i for i in range(100)))
    next(results)
    assert len(taken) <= 6
    assert len(list(results)) == 99
    assert adapter.most == 6
    adapter, made = engine(fine, slots=3)
    assert len(list(made.map(abs, range(20), window=2))) == 20
    assert adapter.most == 2


def test_in_order_no_more_results_wait_for_an_earlier_one_than_a_few_windows_hold():
    polls = itertools.count()
    adapter, made = engine(lambda call: None if call.index == 0 and next(polls) < 200 else fine(call))
    results = made.map(abs, range(1000), ordered=True)
    assert next(results).index == 0
    assert len(adapter.sent) <= 4 * 4  # windows of twice the slots
    assert [r.index for r in results] == list(range(1, 1000))


def test_what_is_left_is_dropped_when_nobody_takes_results_any_more():
    adapter, made = engine(lambda call: fine(call) if call.index == 0 else None)
    results = made.map(abs, range(100))
    assert next(results).index == 0
    results.close()
    assert adapter.dropped


def test_a_task_that_cannot_be_sent_is_an_error_and_the_others_go_on():
    adapter, made = engine(fine)
    submit = adapter.submit

    def refuse(call):
        if call.index == 1:
            raise PayloadError("too large")
        return submit(call)

    adapter.submit = refuse
    results = {r.index: r for r in made.map(abs, range(4))}
    assert {i: r.status for i, r in results.items()} == {0: "ok", 1: "error", 2: "ok", 3: "ok"}
    assert (results[1].kind, results[1].cause, results[1].attempts) == ("payload", "too large", 0)


@dataclass(frozen=True)
class Job:
    """A task that may be tried twice at a time, and reads a sensor."""

    number: int
    repeatable: bool = True
    source: str = ""


def test_where_workers_are_elsewhere_one_task_goes_ahead_once_and_the_order_is_mixed():
    adapter, made = engine(fine, slots=50, remote=True)
    results = made.map(abs, list(range(100)))
    next(results)
    assert len(adapter.sent) == 1
    assert {r.index for r in results} | {adapter.sent[0][0]} == set(range(100))
    order = [index for index, _ in adapter.sent]
    assert sorted(order) == list(range(100))
    assert order != sorted(order)
    list(made.map(abs, list(range(100))))
    assert adapter.most == 100  # workers are known to run it
    adapter.sent.clear()
    next(made.map(repr, list(range(100))))
    assert len(adapter.sent) == 1  # and not this one
    adapter, made = engine(fine, slots=50, remote=True)
    assert [r.index for r in made.map(abs, list(range(40)), ordered=True)] == list(range(40))


def test_on_this_machine_tasks_go_in_order_and_none_ahead():
    adapter, made = engine(fine, slots=4)
    next(made.map(abs, list(range(20))))
    assert [index for index, _ in adapter.sent] == list(range(8))


def test_a_run_on_which_nobody_works_ends_and_says_so(monkeypatch):
    monkeypatch.setattr(_driver, "_STALLED_S", 0.3)
    adapter, made = engine(lambda call: fine(call) if call.index == 0 else None, recipe={"timeout_s": 0.01})
    monkeypatch.setattr(_driver, "_GRACE_S", 0.0)
    began = time.monotonic()
    with pytest.raises(ComputeError, match=r"no worker took any of \d tasks for 0 s: see that the backend has workers"):
        list(made.map(abs, range(5)))
    assert time.monotonic() - began < 5
    assert adapter.dropped


@pytest.fixture
def stragglers(monkeypatch):
    monkeypatch.setattr(_driver, "_LEAST_S", 0.0)


def test_a_straggler_is_tried_beside_and_the_first_answer_counts(stragglers):
    seen = []

    def answer(call):
        if call.index != 19:
            return fine(call)
        seen.append(call)
        return fine(call) if len(adapter.sent) > 20 and seen.count(call) > 3 and len(adapter._out) == 2 else None

    adapter, made = engine(
        answer, slots=4, began=time.monotonic() - 5, recipe={"backups": True}, price=lambda _: Price(usd_per_s=1.0)
    )
    results = list(made.map(abs, [Job(i) for i in range(20)]))
    assert sorted(r.index for r in results) == list(range(20))
    assert {r.status for r in results} == {"ok"}
    assert adapter.sent.count((19, 1)) == 2
    last = next(r for r in results if r.index == 19)
    assert last.usd > 0.1  # both are paid


def test_a_straggler_whose_second_try_fails_is_waited_for(stragglers):
    def answer(call):
        if call.index != 19:
            return fine(call)
        if len(adapter.sent) == 20:
            return None
        first = not adapter.failed
        adapter.failed = True
        return call.lost("lost", "gone", retryable=True, run_s=1.0) if first else fine(call)

    adapter, made = engine(answer, slots=4, began=time.monotonic() - 5, recipe={"backups": True})
    adapter.failed = False
    events = []
    results = list(made.map(abs, [Job(i) for i in range(20)], retries=0, on_event=events.append))
    assert {r.status for r in results} == {"ok"}
    assert [e.status for e in events if e.index == 19] == ["retry", "ok"]
    assert adapter.sent.count((19, 1)) == 2  # not again and again


@pytest.mark.parametrize(("recipe", "repeatable"), [({}, True), ({"backups": True}, False)])
def test_no_second_try_where_none_is_wanted_or_it_could_do_harm(stragglers, recipe, repeatable):
    patience = itertools.count()
    adapter, made = engine(
        lambda call: fine(call) if call.index != 19 or next(patience) > 20 else None, slots=4, began=time.monotonic() - 5, recipe=recipe
    )  # fmt: skip
    assert len(list(made.map(abs, [Job(i, repeatable) for i in range(20)]))) == 20
    assert len(adapter.sent) == 20


def test_every_try_is_paid_by_the_price_of_its_region():
    recipe = {"region": "eu-central-1", "regions": {"s2": "us-west-2"}}
    prices = {"eu-central-1": Price(usd_per_s=1.0), "us-west-2": Price(usd_per_s=10.0, usd_per_try=100.0)}
    tries = itertools.count()

    def answer(call):
        if call.index == 1 and next(tries) == 0:
            return replace(call.lost("error", "busy", retryable=True, run_s=2.0), billed_s=3.0)
        return fine(call)

    _, made = engine(answer, recipe=recipe, price=prices.__getitem__)
    first, second = sorted(made.map(abs, [Job(0, source="dem"), Job(1, source="s2")]), key=lambda r: r.index)
    assert (first.region, second.region) == ("eu-central-1", "us-west-2")
    assert (first.billed_s, first.usd) == pytest.approx((0.1, 0.1))
    assert (second.billed_s, second.usd) == pytest.approx((3.1, 31.0 + 200.0))
    assert first.ended_at == pytest.approx(time.time(), abs=5)


class Clock:
    """Stands still, but where a test moves it."""

    def __init__(self, now=0.0):
        self.now = now

    def time(self):
        return 1.7e9 + self.now

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(("ahead", "late", "queued"), [(0.0, 0.3, 0.1), (-1e6, 0.5, 0.0), (1e6, 0.0, 0.4)])
def test_when_a_try_ended_is_told_by_the_worker_where_its_clock_is_not_wrong(monkeypatch, ahead, late, queued):
    """It is answered half a second after it was sent, by a worker that ended 0.3 s before that."""
    clock = Clock()
    monkeypatch.setattr(_driver, "time", clock)

    def answer(call):
        clock.sleep(0.5)
        return replace(fine(call), run_s=0.1, ended_at=clock.time() - 0.3 + ahead)

    _, made = engine(answer)
    (result,) = made.map(abs, [0])
    assert clock.time() - result.ended_at == pytest.approx(late, abs=1e-6)
    assert result.queued_s == pytest.approx(queued, abs=1e-6)


def test_where_workers_lack_a_module_one_task_is_sent_and_no_more():
    def lacking(call):
        return replace(call.lost("error", "No module named 'zarr'", retryable=False), error="ModuleNotFoundError")

    adapter, made = engine(lacking, slots=50, remote=True)
    with pytest.raises(
        ComputeError, match="workers lack what tasks need: No module named 'zarr'; they need geo_assets"
    ):
        list(made.map(abs, list(range(100))))
    assert len(adapter.sent) == 1


def test_a_straggler_is_backed_up_also_where_more_tasks_may_come(stragglers):
    """As when several partitions' tasks are out: the iterator ends only once all of them have ended."""
    done: set[int] = set()

    def tasks():
        yield from (Job(i) for i in range(20))
        while len(done) < 20:
            yield NOT_YET

    def answer(call):
        return fine(call) if call.index != 19 or adapter.sent.count((19, 1)) == 2 else None

    adapter, made = engine(answer, slots=4, began=time.monotonic() - 5, recipe={"backups": True})
    for result in made.map(abs, tasks()):
        done.add(result.index)
    assert (len(done), adapter.sent.count((19, 1))) == (20, 2)


def test_a_run_whose_tasks_started_late_is_not_taken_for_one_that_nobody_works_on(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_driver, "time", clock)
    monkeypatch.setattr(_driver, "_STALLED_S", 10.0)
    monkeypatch.setattr(_driver, "_GRACE_S", 0.0)

    def answer(call):
        clock.sleep(1.0)
        if clock.now > 8.0 and adapter.began is None:
            adapter.began = 8.0
        return fine(call) if clock.now > 17.0 else None

    adapter, made = engine(answer, recipe={"timeout_s": 10.0})
    assert [r.status for r in made.map(abs, [0])] == ["ok"]


def test_a_cluster_that_grows_gets_more_tasks(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_driver, "time", clock)
    adapter, made = engine(fine, slots=1)
    results = made.map(abs, range(100))
    next(results)
    adapter.slots = 10
    clock.sleep(2.0)
    assert len(list(results)) == 99
    assert adapter.most == 20


def test_what_nobody_waits_for_any_more_is_paid_all_the_same(monkeypatch):
    told: list[TaskResult] = []
    adapter, made = engine(
        lambda call: fine(call) if call.index == 0 else None, slots=2, began=time.monotonic() - 7.0, price=lambda _: Price(usd_per_s=1.0)
    )  # fmt: skip
    results = made.map(abs, range(10), on_event=told.append)
    next(results)
    results.close()
    assert adapter.dropped
    assert {r.status for r in told[1:]} == {"retry"}
    assert all(r.usd > 6.9 for r in told[1:])
    assert len(told) > 1


def test_what_a_library_raises_is_an_error_of_the_backend(caplog):
    def broken(*_):
        raise OSError("connection reset")

    for name in ("submit", "poll", "started"):
        adapter, made = engine(lambda call: None)
        setattr(adapter, name, broken)
        with pytest.raises(ComputeError, match="the compute backend failed: OSError: connection reset"):
            list(made.map(abs, [1, 2]))
    adapter, made = engine(lambda call: fine(call) if call.index == 0 else None)
    adapter.drop = broken
    results = made.map(abs, [1, 2])
    next(results)
    results.close()
    assert "1 tasks cannot be taken back and may go on: the compute backend failed: OSError" in caplog.text


def test_what_tasks_and_listeners_raise_is_their_own():
    def tasks():
        yield 1
        raise KeyError("mine")

    _, made = engine(fine)
    with pytest.raises(KeyError, match="mine"):
        list(made.map(abs, tasks()))
