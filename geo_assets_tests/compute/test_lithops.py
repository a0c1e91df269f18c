"""Lithops on this machine and on AWS Lambda, as the loopback plays it."""

import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from geo_assets.compute import _lithops_lambda
from geo_assets.compute.lithops import PLUGIN
from geo_assets.errors import ComputeError, ConfigError
from geo_assets.model.compute import ComputeRecipe
from geo_assets.model.cost import Load
from geo_assets.tasks.pace import Pace, learn
from geo_assets.testing.conformance_compute import (
    ComputeConformance,
    die,
    double,
    fail_for_good,
    hang,
    hold,
    mark_and_wait,
)  # fmt: skip
from geo_assets.testing.lambda_tasks import Reading, end_sandbox, stop_sandbox, where

pytest.importorskip("lithops", reason="the extra lithops is not installed")
pytest.importorskip("boto3", reason="the extra lithops is not installed")
pytest.importorskip("moto", reason="S3 is played by moto, of the extra `dev`")

from botocore.exceptions import EndpointConnectionError

from geo_assets_tests.compute.lambda_world import ONE, OTHER, running

AWS = {
    "lithops": {"backend": "aws_lambda"},
    "aws_lambda": {"execution_role": "arn:aws:iam::123456789012:role/worker", "runtime": "geo-assets:1"},
    "aws_s3": {"storage_bucket": "calls-{region}"},
}


def local(**settings):
    return PLUGIN.connect(ComputeRecipe(**{"workers": 2, "backend": "lithops", **settings}))


def wait_for(condition):
    for _ in range(600):
        if condition():
            return True
        time.sleep(0.05)
    return False


def ours():
    """Threads, but those of the servers of this test."""
    servers = ("process_request_thread", "serve_forever", "_event")
    return {t for t in threading.enumerate() if not any(name in t.name for name in servers)}


def runners():
    return [p for p in psutil.Process().children(recursive=True) if "_lithops_runner" in " ".join(p.cmdline())]


@pytest.mark.heavy
class TestLithopsLocalhost(ComputeConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls):
        with local() as engine:
            yield engine


@pytest.mark.heavy
class TestLithopsLambda(ComputeConformance):
    memory_mb = 1024
    many = 100

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, tmp_path_factory):
        with running(tmp_path_factory.mktemp("lambda")) as world:
            recipe = ComputeRecipe(**world.settings(memory_mb=cls.memory_mb))
            with PLUGIN.connect(recipe) as engine:
                yield engine

    @pytest.mark.nightly
    @pytest.mark.timeout(1800)
    def test_two_thousand_small_tasks_all_have_their_result(self, engine):
        """Two cores do four or five a second, as the sandboxes share them with Lambda, S3 and the driver."""
        results = self.run(engine, double, list(range(2000)))
        assert [r.value for r in results] == [2 * i for i in range(2000)]


# This machine


def test_localhost_leaves_nothing_behind(tmp_path, monkeypatch):
    from lithops.constants import JOBS_DIR, LITHOPS_TEMP_DIR

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LITHOPS_CONFIG", "neither read nor broken")
    monkeypatch.setattr("lithops.storage.storage.CACHE_DIR", str(tmp_path / ".lithops" / "cache"))
    with local() as engine:  # Lithops keeps a lock and a log a machine, which the first run makes
        list(engine.map(double, [0]))
    before, known = ours(), {*os.listdir(LITHOPS_TEMP_DIR), *os.listdir(JOBS_DIR)}
    (tmp_path / "marks").mkdir()
    with local() as engine:
        assert [r.value for r in engine.map(double, [1, 2, 3], ordered=True)] == [2, 4, 6]
        results = engine.map(hang, [0.0, 60.0, 60.0])
        assert next(results).status == "ok"
        assert wait_for(runners)
    assert not runners()
    assert not (ours() - before)
    assert not ({*os.listdir(LITHOPS_TEMP_DIR), *os.listdir(JOBS_DIR)} - known - {"localhost-runner-v1.py", "lithops"})
    assert not (tmp_path / ".lithops").exists()


@pytest.mark.heavy
def test_a_killed_task_takes_no_try_of_the_others_in_its_process():
    with local(workers=1) as engine:
        list(engine.map(double, range(20)))  # short, so that the next job has several calls
        results = sorted(engine.map(hang, [60.0, 0.0, 0.0], timeout_s=1.0, retries=0), key=lambda r: r.index)
    assert [(r.status, r.kind, r.attempts) for r in results] == [("error", "timeout", 1), ("ok", "", 1), ("ok", "", 1)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_interpreter_that_cannot_be_started_is_an_error_and_no_hang():
    with local(config={"localhost": {"runtime": "/no/such/python"}}) as engine:
        results = list(engine.map(double, [1, 2], retries=0))
    assert [(r.status, r.kind) for r in results] == [("error", "lost")] * 2
    assert all("its interpreter ended without an answer" in (r.cause or "") for r in results)


def test_localhost_costs_nothing_and_is_no_other_machine():
    recipe = ComputeRecipe(backend="lithops")
    can = PLUGIN.capabilities(recipe)
    assert (can.isolated, can.kills, can.remote, can.paid) == (True, True, False, False)
    assert PLUGIN.estimate(recipe, [Load(10, 60.0)]).usd == 0


# What AWS Lambda costs, and what its settings may say


def priced(**settings):
    return ComputeRecipe(**{"backend": "lithops", "region": ONE, "config": AWS, **settings})


def test_estimate_is_the_bill_of_the_handlers_time():
    loads = [Load(1, 9.0, "dem"), Load(1, 14.0, "sentinel-2-l2a"), Load(1, 62.0, "sentinel-2-l2a")]
    recipe = priced(regions={"dem": OTHER}, memory_mb=4096)
    assert PLUGIN.estimate(recipe, loads).usd == pytest.approx(0.005668, rel=1e-3)
    assert PLUGIN.estimate(priced(regions={"dem": OTHER}), loads).usd == pytest.approx(0.005668, rel=1e-3)
    assert PLUGIN.estimate(priced(architecture="arm64"), loads).usd == pytest.approx(0.004534, rel=1e-3)
    assert PLUGIN.capabilities(recipe).paid


def test_price_of_a_region_that_nobody_knows_has_to_be_said():
    with pytest.raises(ConfigError, match=r"region 'af-south-1' is not known: .*compute\.usd_per_gb_s"):
        PLUGIN.estimate(priced(regions={"dem": "af-south-1"}), [Load(1, 1.0, "dem")])
    with pytest.raises(ConfigError, match="af-south-1"):
        PLUGIN.capabilities(priced(regions={"dem": "af-south-1"}))
    said = priced(regions={"dem": "af-south-1"}, usd_per_gb_s=0.00002, memory_mb=1024)
    assert PLUGIN.estimate(said, [Load(1, 1.0, "dem")]).usd == pytest.approx(0.0000202)


@pytest.mark.parametrize(
    ("config", "place"),
    [
        ({"aws": {"access_key_id": "AKIAABCDEFGHIJKLMNOP"}}, "compute.config.aws.access_key_id"),
        ({"aws_s3": {"secret_access_key": "x"}}, "compute.config.aws_s3.secret_access_key"),
        ({"aws": {"session_token": "x"}}, "compute.config.aws.session_token"),
        ({"aws_lambda": {"env_vars": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "x"}]}}, r"env_vars\[0\]"),
        ({"redis": {"password": "x"}}, "compute.config.redis.password"),
    ],
)
def test_secrets_in_the_settings_are_refused(config, place):
    with pytest.raises(
        ConfigError, match=rf"holds a secret in .*{place}: take it out, and let the library find it"
    ) as e:
        PLUGIN.capabilities(priced(config={**AWS, **config}))
    assert "AKIA" not in str(e.value)


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"region": None}, r"write compute\.region"),
        ({"config": {"lithops": {"backend": "gcp_functions"}}}, "runs Lithops on localhost and aws_lambda"),
        ({"config": {**AWS, "aws_s3": {}}}, r"aws_s3\.storage_bucket is missing"),
        (
            {"config": {**AWS, "aws_s3": {"storage_bucket": "calls"}}, "regions": {"dem": OTHER}},
            "such as calls-{region}",
        ),
        ({"config": {**AWS, "aws_lambda": {"runtime": "a:1"}}}, r"aws_lambda\.execution_role is missing"),
        ({"config": {**AWS, "aws": {"region": ONE}}}, r"aws\.region does not count: write compute\.region"),
        ({"config": {**AWS, "aws_lambda": 3}}, "has to be a section"),
        ({"config": {"lithops": "localhost"}}, r"compute\.config\.lithops is 'localhost': it has to be a section"),
    ],
)
def test_wrong_settings_are_said_before_anything_is_asked(settings, cause):
    with pytest.raises(ConfigError, match=cause), PLUGIN.connect(priced(**settings)):
        pass


def test_no_network_is_an_error_within_seconds(monkeypatch):
    for name in ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_LAMBDA", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_ECR"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "driver")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "driver")
    began = time.monotonic()
    with pytest.raises(ComputeError, match="AWS cannot be reached"), PLUGIN.connect(priced()):
        pass
    assert time.monotonic() - began < 10


# AWS Lambda


def unreachable(request, **_):
    raise EndpointConnectionError(endpoint_url=request.url)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lambda")
    (folder / "loops").mkdir()
    (folder / "loops" / "of-the-image").touch()
    with running(folder / "sandboxes", NUMBA_CACHE_DIR=str(folder / "loops")) as world:
        yield world
        loops = [p / "tmp" / "numba" / "of-the-image" for p in (folder / "sandboxes").iterdir()]
        assert all(p.exists() for p in loops)


def calls(world):
    """Calls so far that nobody waits for, once all are over: those that end say so before AWS does."""
    assert wait_for(lambda: world.cloud.idle)
    return [b for b in world.cloud.bill if b.event]


@pytest.mark.heavy
def test_two_regions_have_their_own_tasks_and_bill(world):
    began = {region: world.cloud.billed_s(region) for region in (ONE, OTHER)}
    tasks = [Reading("dem", 2.0), Reading("sentinel-2-l2a", 2.0), Reading("dem", 2.0), Reading("sentinel-2-l2a", 3.0)]
    with PLUGIN.connect(ComputeRecipe(**world.settings())) as engine:
        results = list(engine.map(where, tasks, ordered=True, retries=0))
        assert len(world.cloud.functions) == 2
        assert {f.events["MaximumRetryAttempts"] for f in world.cloud.functions.values()} == {0}
    assert [r.value for r in results] == [OTHER, ONE, OTHER, ONE]
    assert [r.region for r in results] == [r.value for r in results]
    calls(world)
    for region in (ONE, OTHER):
        told = sum(r.billed_s for r in results if r.region == region)
        assert told == pytest.approx(world.cloud.billed_s(region) - began[region], rel=0.06)
        assert told > 1.02 * sum(r.run_s for r in results if r.region == region)
    assert sum(r.usd for r in results) == pytest.approx(sum(r.billed_s for r in results) * 0.0000166667 + 4 * 2e-7)


@pytest.mark.heavy
def test_a_failed_call_is_not_tried_again_by_aws(world, tmp_path):
    before = len(calls(world))
    with PLUGIN.connect(ComputeRecipe(**world.settings())) as engine:
        (result,) = engine.map(end_sandbox, [1], retries=0)
        time.sleep(1)
        (other,) = engine.map(fail_for_good, [str(tmp_path)], retries=0)
    assert (result.status, result.kind, result.attempts) == ("error", "lost", 1)
    assert "its worker was lost: Runtime.ExitError" in (result.cause or "")
    assert "signal: killed" in (result.cause or "")
    assert result.billed_s > 0
    assert other.cause == "never"
    assert len(calls(world)) - before == 2
    assert len(os.listdir(tmp_path)) == 1


@pytest.mark.heavy
def test_aws_tries_twice_more_where_nobody_forbids_it(world):
    with PLUGIN.connect(ComputeRecipe(**world.settings())) as engine:
        (function,) = [f for f in world.cloud.functions.values() if f.region == ONE]
        function.events = {**function.events, "MaximumRetryAttempts": 2}
        before = len(calls(world))
        (result,) = engine.map(end_sandbox, [1], retries=0)
        assert len(calls(world)) - before == 3
    assert result.kind == "lost"


@pytest.mark.heavy
def test_a_function_over_its_time_is_an_error(world):
    settings = world.settings(aws_lambda={"runtime_timeout": 8, "runtime": "short:latest"})
    with PLUGIN.connect(ComputeRecipe(**settings)) as engine:
        ended, told = engine.map(stop_sandbox, [1], retries=2), engine
        (result,) = ended
        (by_worker,) = told.map(hang, [60.0], retries=2)
    assert (result.status, result.kind, result.attempts) == ("error", "timeout", 1)
    assert "AWS ended its function: Sandbox.Timedout" in (result.cause or "")
    assert (by_worker.status, by_worker.kind, by_worker.attempts) == ("error", "timeout", 1)
    assert 3 <= by_worker.billed_s < 8


@pytest.mark.heavy
def test_a_lost_sandbox_that_nobody_tells_of_is_an_error_once_nothing_can_come(world, monkeypatch):
    monkeypatch.setattr(world.cloud, "records", False)
    monkeypatch.setattr(_lithops_lambda, "_SPARE_S", 1.0)
    settings = world.settings(aws_lambda={"runtime_timeout": 8, "runtime": "short:latest"})
    with PLUGIN.connect(ComputeRecipe(**settings)) as engine:
        (result,) = engine.map(end_sandbox, [1], retries=0)
    assert (result.status, result.kind) == ("error", "lost")
    assert "it has not answered within the 8 s of its function" in (result.cause or "")
    assert result.billed_s == pytest.approx(8, abs=0.1)


@pytest.mark.heavy
def test_lambda_leaves_nothing_behind(world, tmp_path, monkeypatch):
    before = ours()
    with PLUGIN.connect(ComputeRecipe(**world.settings())) as engine:
        (tmp_path / "marks").mkdir()
        results = engine.map(mark_and_wait, [str(tmp_path / "marks")] * 50)
        next(results)
        results.close()
        started = len(os.listdir(tmp_path / "marks"))
        list(engine.map(die, [(str(tmp_path / "marks"), 10_000)], retries=0))
        monkeypatch.setattr(_lithops_lambda, "_BATCH_BYTES", 150_000)
        assert [r.value for r in engine.map(len, [b"x" * 100_000] * 3)] == [100_000] * 3
        list(engine.map(end_sandbox, [1], retries=0))
        hanging = engine.map(hang, [0.0, 3.0])
        next(hanging)
    assert started < 10
    calls(world)
    assert world.objects() == []
    assert not (ours() - before)
    assert not Path("~/.lithops/cache").expanduser().joinpath("lithops.runtimes", "aws_lambda").exists()


@pytest.mark.heavy
def test_a_function_that_is_gone_or_a_network_that_is_gone_ends_the_run(world):
    with PLUGIN.connect(ComputeRecipe(**world.settings(aws_lambda={"runtime": "gone:latest"}))) as engine:
        for key in [k for k, f in world.cloud.functions.items() if "gone" in str(f.spec["Tags"])]:
            world.cloud.delete(world.cloud.functions.pop(key))
        with pytest.raises(ComputeError, match=r"cannot be called: .*Function not found"):
            list(engine.map(double, range(5)))
    with PLUGIN.connect(ComputeRecipe(**world.settings())) as engine:
        results = engine.map(hang, [0.0, *[1.0] * 20])
        next(results)
        for region in engine._adapter._adapter._regions.values():
            region.executor.client.meta.events.register("before-send.s3", unreachable)
        began = time.monotonic()
        with pytest.raises(ComputeError, match="storage cannot be listed"):
            list(results)
    assert time.monotonic() - began < 60


@pytest.mark.heavy
def test_a_function_that_was_made_with_other_settings_is_refused(world):
    with PLUGIN.connect(ComputeRecipe(**world.settings(aws_lambda={"runtime": "other:latest"}))):
        pass
    changed = world.settings(aws_lambda={"runtime": "other:latest", "runtime_timeout": 60})
    with (
        pytest.raises(ComputeError, match=r"was made with Timeout 900, and not 60: give the image another tag"),
        PLUGIN.connect(ComputeRecipe(**changed)),
    ):
        pass


@pytest.mark.heavy
def test_calls_that_aws_refuses_for_now_are_sent_again(world):
    with PLUGIN.connect(ComputeRecipe(**world.settings())) as engine:
        seen = []
        list(engine.map(double, [0]))
        world.cloud.busy = 7
        results = list(engine.map(double, range(4), ordered=True, retries=0, on_event=seen.append))
    assert [(r.value, r.attempts) for r in results] == [(0, 1), (2, 1), (4, 1), (6, 1)]
    refused = [e for e in seen if e.status == "retry"]
    assert refused
    assert all("its worker cannot be called: TooManyRequestsException" in (e.cause or "") for e in refused)


@pytest.mark.heavy
def test_memory_of_a_sandbox_is_limited(world):
    with PLUGIN.connect(ComputeRecipe(**world.settings())) as engine:
        (result,) = engine.map(hold, [2048], retries=0)
    assert (result.status, result.kind) == ("error", "lost")
    assert "as when memory runs out" in (result.cause or "")


@pytest.mark.heavy
def test_expected_cost_of_twice_the_work_in_another_region_is_what_is_billed(world):
    """A first run teaches; the second one's tasks take twice as long. Billed is what the cloud counts, not what we do.

    The tasks sleep, and the sandboxes are warm: what a busy machine adds to each is small beside them.
    """
    recipe = ComputeRecipe(**world.settings(memory_mb=1024))
    with PLUGIN.connect(recipe) as engine:
        list(engine.map(where, [Reading(source, 0.1) for source in ("sentinel-2-l2a", "dem") for _ in range(4)]))
        first = [Reading("sentinel-2-l2a", 2.5 + 0.5 * (i % 2)) for i in range(6)]
        taught = [(first[r.index].seconds, r.billed_s, r.run_s) for r in engine.map(where, first)]
        wait_for(lambda: world.cloud.idle)
        pace, before = learn(taught, Pace(0.0, 1.0)), world.cloud.billed_s(OTHER)
        second = [Reading("dem", 5.0 + 1.0 * (i % 2)) for i in range(6)]
        told = PLUGIN.estimate(recipe, [Load(1, pace.seconds(t.seconds), t.source) for t in second])
        results = list(engine.map(where, second))
        wait_for(lambda: world.cloud.idle)
    assert {r.value for r in results} == {OTHER}
    counted = world.cloud.billed_s(OTHER) - before
    paid = counted * PLUGIN.price(recipe, OTHER).usd_per_s + 6 * PLUGIN.price(recipe, OTHER).usd_per_try
    assert told.usd == pytest.approx(paid, rel=0.2)
    assert sum(r.usd for r in results) == pytest.approx(paid, rel=0.1)
