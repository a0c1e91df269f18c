"""The driver alone, with an adapter whose answers a test decides."""

import itertools

import pytest

from geo_assets.compute import _driver
from geo_assets.compute._driver import Engine, PayloadError
from geo_assets.model.compute import Capabilities, ComputeRecipe
from geo_assets.model.task import TaskResult


class Played:
    """Answers each try by a function of its call, at once; keeps what was sent, killed and dropped."""

    capabilities = Capabilities()

    def __init__(self, answer, slots=2):
        self.answer, self.slots = answer, slots
        self.sent, self.dropped, self.most = [], [], 0
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
        return None

    def kill(self, handle):
        return "ended"

    def drop(self, handles, timeout_s):
        self.dropped += handles


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(_driver, "_BACKOFF_S", 0.001)


def fine(call):
    return TaskResult(call.index, "ok", attempts=call.number, run_s=0.1)


def engine(answer, **options):
    adapter = Played(answer, **options)
    return adapter, Engine(adapter, ComputeRecipe(workers=2))


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
