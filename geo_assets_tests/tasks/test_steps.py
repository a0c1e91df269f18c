"""Bodies that need tasks in between, run side by side on a real engine, or on one that a test plays."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.errors import ComputeError, SourceError
from geo_assets.model.compute import NOT_YET, ComputeRecipe
from geo_assets.model.task import TaskResult
from geo_assets.registry import load
from geo_assets.tasks.steps import Batch, Together, alone
from geo_assets.testing.conformance_compute import double, fail, slow_double


def body(*batches, fn=double, log=None, name=""):
    """Sums what its batches give."""
    total = 0
    for tasks in batches:
        if log is not None:
            log.append(f"{name} asks")
        results = yield Batch(fn, tasks)
        assert [r.index for r in results] == list(range(len(tasks)))
        total += sum(r.value or 0 for r in results)
    if log is not None:
        log.append(f"{name} ends")
    return total


def in_turn(fn, tasks):
    """An engine that has one task out at a time."""
    for index, task in enumerate(tasks):
        assert task is not NOT_YET
        yield TaskResult(index, "ok", value=fn(task), usd=0.5)


def together(bodies, mapper, fn=double, **options):
    ended = {}
    Together(bodies.items(), fn, lambda e: ended.__setitem__(e.key, e), **options).run(mapper)
    return ended


@contextlib.contextmanager
def engine(workers=3):
    with load("compute", "local").connect(ComputeRecipe(workers=workers)) as made:
        yield made


def test_alone_when_a_body_asks_twice_then_it_gets_both_results_in_order():
    with engine() as made:
        assert alone(body([1, 2, 3], [], [4], fn=slow_double), made.map) == 2 * (1 + 2 + 3 + 4)
    assert alone(body(), in_turn) == 0


@given(st.lists(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=3), max_size=6), st.booleans())
def test_together_when_bodies_ask_for_whatever_then_each_gets_its_own(asked, mixed):
    bodies = {str(i): body(*batches) for i, batches in enumerate(asked)}
    with engine() as made:
        ended = together(bodies, made.map, mixed=mixed)
    assert {k: e.value for k, e in ended.items()} == {
        str(i): 2 * sum(map(sum, batches)) for i, batches in enumerate(asked)
    }


def test_together_when_there_is_room_then_the_next_body_begins_before_the_first_has_ended():
    log = []
    bodies = {n: body([1, 2], log=log, name=n) for n in "abcd"}
    with engine(workers=2) as made:  # four tasks are out at a time
        together(bodies, made.map)
    assert log.index("b asks") < log.index("a ends")
    assert log.index("d asks") > log.index("a ends")


def test_together_when_a_body_fails_then_the_others_go_on():
    def broken(before):
        if before:
            raise SourceError("early")
        yield Batch(double, [1])
        raise SourceError("late")

    ended = together({"a": broken(before=True), "b": body([1]), "c": broken(before=False)}, in_turn)
    assert {k: (e.value, str(e.error or "")) for k, e in ended.items()} == {
        "a": (None, "early"), "b": (2, ""), "c": (None, "late")
    }  # fmt: skip
    assert ended["c"].usd == 0.5


def test_together_when_no_body_needs_a_task_then_no_backend_is_started():
    def never(fn, tasks):
        raise AssertionError("it was started")

    ended = together({"a": body(), "b": body([])}, never)
    assert {e.value for e in ended.values()} == {0}


def test_together_when_the_backend_fails_then_only_bodies_that_need_it_fail():
    def lost(fn, tasks):
        yield from (TaskResult(i, "ok", value=fn(t)) for i, t in zip(range(2), tasks, strict=False))
        raise ComputeError("gone")

    ended = together({"a": body([1]), "b": body([1, 2]), "c": body(), "d": body([3])}, lost)
    assert {k: (e.value, str(e.error or "")) for k, e in ended.items()} == {
        "a": (2, ""), "b": (None, "gone"), "c": (0, ""), "d": (None, "gone"),
    }  # fmt: skip


def test_together_when_it_is_interrupted_then_bodies_are_closed_and_none_has_ended():
    closed = []

    def waiting():
        try:
            yield Batch(double, [1])
        finally:
            closed.append(True)

    def stopped(fn, tasks):
        next(iter(tasks))
        raise KeyboardInterrupt
        yield

    ended = {}
    with pytest.raises(KeyboardInterrupt):
        Together([("a", waiting())], double, lambda e: ended.__setitem__(e.key, e)).run(stopped)
    assert (closed, ended) == ([True], {})


def test_together_when_an_engine_loses_answers_then_it_is_an_error():
    with pytest.raises(ComputeError, match="a: 2 tasks gave no answer"):
        together({"a": body([1, 2])}, lambda fn, tasks: iter([TaskResult(0, "ok", value=next(iter(tasks)))]))


def test_together_when_a_body_has_other_tasks_then_it_is_a_mistake_of_the_program():
    with pytest.raises(TypeError, match="a: its tasks are of"):
        together({"a": body([1], fn=fail)}, in_turn)
