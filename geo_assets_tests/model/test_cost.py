import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.model.cost import FREE, Estimate, Load, Price, estimate, hourly


def test_price_when_time_is_billed_in_steps_then_it_is_rounded_up():
    price = Price(usd_per_s=2.0, usd_per_try=0.5, step_s=0.001)
    assert price.billed_s(0.0101) == pytest.approx(0.011)
    assert price.billed_s(0.010) == pytest.approx(0.010)
    assert price.usd(3.0, tries=2) == 7.0


def test_price_when_nobody_is_billed_then_nothing_is():
    assert (FREE.billed_s(100.0), FREE.usd(FREE.billed_s(100.0), 3)) == (0.0, 0.0)
    assert hourly(None) == FREE


def test_hourly_when_a_worker_costs_by_the_hour_then_seconds_are_its_part():
    assert hourly(3.6).usd(10.0) == pytest.approx(0.01)


def test_estimate_when_loads_run_in_several_places_then_each_has_its_price():
    prices = {"dem": Price(usd_per_s=1.0), "s2": Price(usd_per_s=2.0, usd_per_try=1.0)}
    found = estimate([Load(3, 2.0, "dem"), Load(2, 5.0, "s2")], workers=4, price=prices.__getitem__)
    assert found == Estimate(tasks=5, seconds=4.0, billed_s=16.0, usd=6.0 + 20.0 + 2.0)


def test_estimate_when_workers_have_to_start_then_each_does_once_in_its_place():
    loads = [Load(5, 2.0, "dem", start_s=3.0), Load(1, 2.0, "s2", start_s=3.0), Load(4, 2.0, "dem", start_s=3.0)]
    found = estimate(loads, workers=4, price=lambda _: Price(usd_per_s=1.0), place=lambda source: source)
    assert found.billed_s == 10 * 2.0 + (4 + 1) * 3.0
    assert found.usd == found.billed_s
    assert found.seconds == found.billed_s / 4


def test_estimate_when_there_is_nothing_to_do_then_it_is_nothing():
    assert estimate([], workers=8, price=lambda _: hourly(1.0)) == Estimate()


@given(st.integers(1, 50), st.floats(0.01, 1000), st.integers(1, 64))
def test_estimate_when_there_are_fewer_tasks_than_workers_then_no_more_than_these_run(tasks, run_s, workers):
    found = estimate([Load(tasks, run_s)], workers=workers, price=lambda _: hourly(1.0))
    assert found.seconds >= run_s - 1e-3
    assert found.seconds == pytest.approx(tasks * run_s / min(tasks, workers), abs=1e-3)
