import json

import pytest

from geo_assets.report.jobs import Job
from geo_assets.report.summary import Spread, causes, run_status, summary
from geo_assets_tests.report import made

OK = Job("p", "r", block="1,1")
ERROR = Job("p", "r", block="1,2", status="error", kind="error", cause="x")
LOST = Job("p", "r", block="1,3", status="lost", kind="lost", cause="y")


@pytest.mark.parametrize(
    ("jobs", "wanted"),
    [
        ([], "success"), ([OK], "success"), ([OK, ERROR], "partial"), ([OK, LOST], "partial"), ([ERROR, ERROR], "error"),
        ([LOST], "infra_error"), ([ERROR, LOST], "failed"),
    ],
)  # fmt: skip
def test_status_when_jobs_ended_then_one_word_tells(jobs, wanted):
    assert run_status(jobs) == wanted


def test_summary_when_nothing_ran_then_zeros_and_no_times():
    found = summary([])
    assert (found["total"], found["started_at"], found["seconds"]["wall"], found["failures"]) == (0, None, 0, [])
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_summary_when_jobs_ran_then_times_and_money_add_up():
    jobs = [
        Job("composite", "r", block="1,1", place="us", backend="ray", worker="a", run_s=2.0, queued_s=1.0, usd=0.5, usd_predicted=0.25, bytes_read=10, ended_at=1.7e9 + 2),
        Job("composite", "r", block="1,2", place="us", backend="ray", worker="b", run_s=4.0, queued_s=3.0, usd=0.5, peak_mb=9.25, ended_at=1.7e9 + 5),
        Job("pyramid", "r", block="1,1", backend="local", run_s=6.0, requests=4, ended_at=1.7e9 + 12),
        Job("cells", "r", status="error", kind="error", cause="broke", attempts=0),
    ]  # fmt: skip
    found = summary(jobs)
    assert found["seconds"]["wall"] == 12
    assert found["seconds"]["run"] == {"sum": 12, "median": 4, "p95": 6, "max": 6}
    assert found["seconds"]["queued"]["median"] == 1
    assert found["usd"] == {"predicted": 0.25, "actual": 1.0}
    assert (found["started_at"], found["ended_at"]) == ("2023-11-14T22:13:20+00:00", "2023-11-14T22:13:32+00:00")
    assert {p: f["total"] for p, f in found["products"].items()} == {"cells": 1, "composite": 2, "pyramid": 1}
    assert [(p["place"], p["backend"], p["workers"], p["peak_mb"]) for p in found["places"]] == [("", "local", 0, None), ("us", "ray", 2, 9.2)]  # fmt: skip
    assert found["failures"] == [
        {"count": 1, "status": "error", "kind": "error", "cause": "broke", "example": {"product": "cells", "region": "r", "month": None, "block": None}}
    ]  # fmt: skip


def test_causes_when_they_differ_in_numbers_names_and_places_then_they_are_one():
    same = [
        f"https://host/{n}/S2B_{n}_L2A/B04.tif: cannot be read after {n} tries (cell 435U_{n}L, /data/x{n}/y)" for n in range(100)
    ]  # fmt: skip
    other = ["HTTP 404", "HTTP 503"]
    jobs = [Job("p", "r", block="1,1", status="error", kind="error", cause=c) for c in [*other, *same]]
    found = causes([*jobs, *(Job("p", "r", block="1,1", status="lost", kind="lost", cause=c) for c in same[:3])])
    assert [(len(c.jobs), c.first.kind) for c in found] == [(100, "error"), (3, "lost"), (1, "error"), (1, "error")]
    assert found[0].first.cause == same[0]


@pytest.mark.parametrize("word", ["x", "?", "a-", "1_", "https://", "/", "a.1-", "=?", "x://y?"])
def test_causes_when_one_is_long_and_odd_then_they_are_told_at_once(word):
    jobs = [Job("p", "r", block="1,1", status="error", kind="error", cause=word * (10_000 // len(word)))] * 20
    assert len(causes(jobs)) == 1


@pytest.mark.parametrize(("values", "median", "p95"), [([], 0, 0), ([3.0], 3, 3), (list(map(float, range(1, 101))), 50.5, 95)])  # fmt: skip
def test_spread_when_asked_then_nearest_rank(values, median, p95):
    found = Spread.of(values)
    assert (found.median, found.p95) == (median, p95)


def test_summary_when_there_are_many_jobs_then_counts_agree():
    found = summary(made.jobs(1000))
    assert found["ok"] + found["error"] + found["lost"] == found["total"] == 1000
    assert sum(f["count"] for f in found["failures"]) == found["error"] + found["lost"]
    assert len(found["failures"]) == 3
    assert found["status"] == "partial"
