import datetime as dt

import pytest

from geo_assets.model.project import Project
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.registry import load
from geo_assets.tasks.forecast import CompositeForecast
from geo_assets.tasks.pace import Host


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
    return CompositeForecast(project, load("sensors", "sentinel-2-l2a"), receipts, Host(backend, overhead_s=5.0))  # fmt: skip


def figures(of: CompositeForecast) -> tuple[float, float]:
    """Seconds of the fixed part, and of the work of one of the blocks above."""
    return of.pace.fixed_s, of.pace.unit_s * of._work(block("", 100_000_000, 2.0))


def test_forecast_when_another_backend_ran_then_its_bytes_count_and_its_times_give_way_to_the_overhead():
    local = receipt(*[block("local", 100_000_000, 3.0)] * 5)
    assert figures(forecast("local", local)) == pytest.approx((1.0, 2.0))
    assert figures(forecast("lithops", local)) == pytest.approx((5.0, 2.0))


def test_forecast_when_the_backend_ran_then_its_own_times_count():
    both = receipt(*[block("local", 100_000_000, 2.0)] * 5, *[block("lithops", 100_000_000, 3.0)] * 3)
    assert figures(forecast("lithops", both)) == pytest.approx((2.0, 1.0))


def test_forecast_when_receipts_name_no_backend_then_they_are_of_this_machine():
    assert figures(forecast("local", receipt(block("", 100_000_000, 3.0)))) == pytest.approx((1.0, 2.0))
