import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.model.receipt import BlockReceipt
from geo_assets.tasks.pace import Host, Pace, kept_s, learn, pace

DEFAULT = Pace(3.0, 7.0)


def test_learn_when_nothing_was_run_then_the_defaults_hold():
    assert learn([], DEFAULT) == DEFAULT
    assert learn([(0.0, 0.0, 0.0)], DEFAULT) == DEFAULT


@given(st.floats(0, 30), st.floats(1e-9, 1e-6))
def test_learn_when_tasks_lie_on_a_line_then_it_is_found(fixed, unit):
    tasks = [(work, fixed + unit * work, unit * work) for work in (1e6, 3e6, 5e6, 9e6, 2e7)]
    found = learn(tasks, DEFAULT)
    assert found.seconds(4e7) == pytest.approx(fixed + unit * 4e7, rel=1e-6, abs=1e-6)


def test_learn_when_a_task_was_odd_then_it_counts_little():
    noise = random.Random(1)
    tasks = [(w, 4 + 1e-6 * w * noise.uniform(0.95, 1.05), w * 1e-6) for w in range(1_000_000, 9_000_000, 200_000)]
    tasks += [(5_000_000, 600.0, 600.0)]
    assert learn(tasks, DEFAULT).seconds(16_000_000) == pytest.approx(20, rel=0.08)


def test_learn_when_all_did_the_same_work_then_what_was_beside_it_is_fixed():
    found = learn([(1e6, 3.5, 1.5)] * 6, DEFAULT)
    assert (found.fixed_s, found.seconds(2e6)) == (2.0, 5.0)


def test_learn_when_all_did_the_same_slowly_then_the_rest_is_fixed():
    found = learn([(1e6, 3.0, 3.0)] * 6, Pace(0.0, 1e-6))
    assert (found.fixed_s, found.unit_s) == (2.0, 1e-6)


def test_learn_when_some_tasks_started_their_worker_then_all_bear_a_part_of_it():
    tasks = [(1e6, 2.0, 1.0)] * 5 + [(1e6, 8.0, 1.0)]
    assert learn(tasks, DEFAULT).seconds(1e6) == pytest.approx(3.0)


def test_learn_when_noise_steepens_the_line_then_no_work_still_takes_what_lies_beside():
    tasks = [(1.0e6, 1.1, 1.0)] * 4 + [(1.6e6, 2.1, 2.0)] * 4  # by these slopes no work would take less than nothing
    found = learn(tasks, DEFAULT)
    assert 1.0e-6 < found.unit_s < 1.6e-6
    assert found.fixed_s == pytest.approx(0.1, abs=0.05)


def test_learn_when_tasks_scatter_around_a_line_then_both_sides_count():
    noise = [0.3, -0.3] * 20
    tasks = [(w * 1e5, 0.2 + w * 0.1 + e, w * 0.1 + e) for w, e in zip(range(10, 50), noise, strict=True)]
    assert learn(tasks, DEFAULT).fixed_s == pytest.approx(0.2, abs=0.06)


def begun(run: str, starts: int, tasks: int, place: str = "here") -> list[BlockReceipt]:
    return [
        BlockReceipt(
            row=n, col=0, key="k", chunks=[[0, 0]], wall_s=1.0, run_s=1.0, billed_s=5.0 if n < starts else 1.0, start_s=4.0 if n < starts else 0.0,
            backend="lithops", run_id=run, place=place,
        )
        for n in range(tasks)
    ]  # fmt: skip


def learned(blocks: list[BlockReceipt], workers: int) -> Pace:
    return pace(blocks, lambda _: 1.0, Host("lithops", workers), unit_s=1.0)


def test_pace_when_workers_started_then_their_time_is_apart_from_that_of_tasks():
    found = learned(begun("a", 8, 20), workers=8)
    assert (found.seconds(1.0), found.start_s) == (pytest.approx(1.0), 4.0)


def test_pace_when_some_workers_ran_already_then_a_start_is_as_likely_as_it_was():
    assert learned(begun("a", 2, 20), workers=8).start_s == pytest.approx(1.0)
    assert learned(begun("a", 4, 20) + begun("b", 0, 20), workers=8).start_s == pytest.approx(1.0)
    assert learned(begun("a", 2, 2), workers=8).start_s == 4.0  # of two tasks at most two start
    assert learned(begun("a", 0, 20), workers=8).start_s == 0.0


def test_pace_when_a_start_was_billed_then_the_load_names_it():
    load_of = learned(begun("a", 8, 20), workers=8).load(2.0, "dem")
    assert (load_of.tasks, load_of.source, load_of.start_s) == (1, "dem", 4.0)


def test_kept_s_when_somebody_was_billed_then_it_is_that_of_one_try():
    assert kept_s(BlockReceipt(row=0, col=0, key="", chunks=[], billed_s=6.0, attempts=2, run_s=2.5)) == 3.0
    assert kept_s(BlockReceipt(row=0, col=0, key="", chunks=[], billed_s=6.0, start_s=4.0, run_s=1.5)) == 2.0
    assert kept_s(BlockReceipt(row=0, col=0, key="", chunks=[], run_s=2.5, wall_s=2.0)) == 2.5
    assert kept_s(BlockReceipt(row=0, col=0, key="", chunks=[], wall_s=2.0)) == 2.0
