import contextlib

import pytest

from geo_assets import registry
from geo_assets.assets import live
from geo_assets.assets.live import News, listening, sharing
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
            list(compute.map(double, [1], told=False))  # none of those that the run is about
        list(compute.map(double, [1]))
    assert [(n.tasks, n.result.status if n.result else "") for n in heard] == [(1, ""), (0, "retry"), (0, "ok")]


def test_compute_when_it_is_closed_then_nothing_is_started_again():
    compute = PlainCompute(ComputeRecipe())
    compute.close()
    with pytest.raises(ComputeError, match="the run has ended"):
        list(compute.map(double, [1]))


class Gone:
    """Stands for an engine whose cluster has died."""

    dashboard = ""

    def map(self, fn, tasks, **options):
        yield from ()
        raise ComputeError("the cluster is gone")


class Backend:
    """Stands for a backend: counts how often it is started; that may fail, and so may what was started first."""

    def __init__(self, error=None, first=None):
        self.error, self.first, self.begun, self.ended = error, first, 0, 0

    @contextlib.contextmanager
    def connect(self, recipe):
        self.begun += 1
        if self.error:
            raise self.error
        with registry.load("compute", "local").connect(recipe) as engine:
            yield self.first if self.first and self.begun == 1 else engine
        self.ended += 1


def run(count):
    """Runs of one command, each with a resource of its own; what they came to."""
    made = []
    for _ in range(count):
        with contextlib.closing(PlainCompute(ComputeRecipe(**DOLLAR_A_SECOND))) as compute:
            try:
                made += [r.value for r in compute.map(double, [1])]
            except ComputeError as e:
                made.append(str(e))
    return made


def test_compute_when_runs_are_of_one_command_then_workers_are_started_once(monkeypatch):
    backend = Backend()
    monkeypatch.setattr(live, "load", lambda *_: backend)
    with sharing() as shared:
        assert run(3) == [2, 2, 2]
        assert (backend.begun, backend.ended) == (1, 0)
        assert shared.usd > 0
    assert (backend.begun, backend.ended) == (1, 1)
    assert run(2) == [2, 2]
    assert (backend.begun, backend.ended) == (3, 3)


def test_compute_when_the_backend_cannot_be_started_then_the_other_runs_do_not_wait_for_it(monkeypatch):
    backend = Backend(ComputeError("nobody is there"))
    monkeypatch.setattr(live, "load", lambda *_: backend)
    with sharing():
        assert run(3) == ["nobody is there"] * 3
    assert backend.begun == 1


def test_compute_when_tasks_end_in_an_error_of_the_backend_then_the_next_run_has_other_workers(monkeypatch):
    backend = Backend(first=Gone())
    monkeypatch.setattr(live, "load", lambda *_: backend)
    with sharing():
        assert run(3) == ["the cluster is gone", 2, 2]
    assert (backend.begun, backend.ended) == (2, 2)
