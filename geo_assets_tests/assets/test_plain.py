import contextlib

import pytest

from geo_assets.assets.live import News, listening
from geo_assets.assets.plain import PlainCompute
from geo_assets.errors import ComputeError, ConfigError
from geo_assets.model.compute import ComputeRecipe
from geo_assets.testing.conformance_compute import double, fail_once, hang

DOLLAR_A_SECOND = {"workers": 1, "usd_per_hour": 3600.0}


def test_compute_when_tasks_run_then_what_they_cost_is_counted_with_every_try(tmp_path):
    with contextlib.closing(PlainCompute(ComputeRecipe(**DOLLAR_A_SECOND))) as compute:
        results = [*compute.map(hang, [0.1, 0.1]), *compute.map(fail_once, [str(tmp_path)])]
        assert [r.attempts for r in results] == [1, 1, 2]
        assert compute.spent_usd() == pytest.approx(sum(r.usd for r in results))
        assert compute.spent_usd() > 0.2


def test_compute_when_more_was_spent_than_may_be_then_it_stops_and_nothing_more_is_sent():
    recipe = ComputeRecipe(**DOLLAR_A_SECOND, max_usd=0.25)
    with contextlib.closing(PlainCompute(recipe)) as compute:
        done = []
        with pytest.raises(ConfigError, match=r"stopped: the run has cost \$0\.3\d, and compute\.max_usd is 0\.25"):
            done.extend(r.value for r in compute.map(hang, [0.1] * 50))
        with pytest.raises(ConfigError, match=r"compute\.max_usd"):
            list(compute.map(double, [1]))
    assert compute.spent_usd() < 0.6


def test_compute_when_somebody_listens_then_tasks_and_tries_are_told(tmp_path):
    heard: list[News] = []
    with contextlib.closing(PlainCompute(ComputeRecipe())) as compute:
        with listening(heard.append):
            list(compute.map(fail_once, [str(tmp_path)]))
        list(compute.map(double, [1]))
    assert [(n.tasks, n.result.status if n.result else "") for n in heard] == [(1, ""), (0, "retry"), (0, "ok")]


def test_compute_when_it_is_closed_then_nothing_is_started_again():
    compute = PlainCompute(ComputeRecipe())
    compute.close()
    with pytest.raises(ComputeError, match="the run has ended"):
        list(compute.map(double, [1]))
