import datetime as dt
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.model.project import Project
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.registry import load
from geo_assets.tasks.forecast import CompositeForecast, Pace, kept_s, learn

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


def test_kept_s_when_somebody_was_billed_then_it_is_that_of_one_try():
    assert kept_s(BlockReceipt(row=0, col=0, key="", chunks=[], billed_s=6.0, attempts=2, run_s=2.5)) == 3.0
    assert kept_s(BlockReceipt(row=0, col=0, key="", chunks=[], run_s=2.5, wall_s=2.0)) == 2.5
    assert kept_s(BlockReceipt(row=0, col=0, key="", chunks=[], wall_s=2.0)) == 2.0


def receipt(*blocks: BlockReceipt) -> PartitionReceipt:
    return PartitionReceipt(
        product="composite", region="r", month="2024-01", status="ok", data_version="v", made_at=dt.datetime(2024, 1, 1, tzinfo=dt.UTC), blocks=list(blocks)
    )  # fmt: skip


def block(backend: str, work: int, run_s: float) -> BlockReceipt:
    return BlockReceipt(
        row=0, col=0, key="k", chunks=[[0, 0]], pixels=100, scene_ids=["a"], bytes_read=work, run_s=run_s, wall_s=run_s - 1, backend=backend
    )  # fmt: skip


def forecast(backend: str, *receipts: PartitionReceipt) -> CompositeForecast:
    project = Project.model_validate(
        {
            "name": "p",
            "aois": {"a": "a.gpkg"},
            "months": {"start": "2024-01"},
            "catalog": {"kind": "static", "path": "c"},
        }
    )
    return CompositeForecast(project, load("sensors", "sentinel-2-l2a"), receipts, backend=backend, overhead_s=5.0)  # fmt: skip


def test_forecast_when_another_backend_ran_then_its_bytes_count_and_its_times_give_way_to_the_overhead():
    local = receipt(*[block("local", 100_000_000, 3.0)] * 5)
    assert forecast("local", local).pace == Pace(1.0, 2e-8)
    assert forecast("lithops", local).pace == Pace(5.0, 2e-8)


def test_forecast_when_the_backend_ran_then_its_own_times_count():
    both = receipt(*[block("local", 100_000_000, 2.0)] * 5, *[block("lithops", 100_000_000, 3.0)] * 3)
    assert forecast("lithops", both).pace == Pace(2.0, 1e-8)


def test_forecast_when_receipts_name_no_backend_then_they_are_of_this_machine():
    assert forecast("local", receipt(block("", 100_000_000, 3.0))).pace == Pace(1.0, 2e-8)
