import datetime as dt
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.model import path
from geo_assets.model.receipt import BlockReceipt, FailureNote, PartitionReceipt
from geo_assets.model.text import without_secrets
from geo_assets.report.jobs import Job, jobs_of, with_failures
from geo_assets.storage import Storage

AT = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
ENDED = AT.timestamp()
REGION, OTHER = "utm33n_r51_c5", "utm33n_r51_c6"


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "storage"))


def block(row=1, run_id="run-1", **values):
    return BlockReceipt(row=row, col=2, key="k", chunks=[], run_id=run_id, **values)


def store(storage, *blocks, product="composite", region=REGION, month="2024-03"):
    storage.write_receipt(
        PartitionReceipt(product=product, region=region, month=month, status="ok", data_version="v", blocks=list(blocks), made_at=AT)
    )  # fmt: skip


def note(storage, product="composite", region=REGION, month="2024-03", run_id="run-1", error="CatalogError"):
    storage.write_failure(
        FailureNote(product=product, region=region, month=month, cause="it broke", error=error, run_id=run_id, at=AT)
    )


def test_jobs_when_a_block_is_of_the_run_then_its_figures_are_the_jobs(storage):
    store(
        storage,
        block(
            cells=["a", "b"], attempts=2, backend="lithops", place="us-west-2", worker="w:1", queued_s=1.0, run_s=2.0, cpu_s=1.5, billed_s=3.0, usd=0.1,
            usd_predicted=0.2, peak_mb=512.5, ended_at=ENDED, bytes_read=7, requests=3, scene_ids=["s1", "s2"], wall_s=9.0,
        ),
        block(row=2, run_id="run-0"),
    )  # fmt: skip
    (job,) = jobs_of(storage, ["run-1"])
    assert job == Job(
        "composite", REGION, "2024-03", "1,2", ("a", "b"), "ok", "", "", 2, "lithops", "us-west-2", "w:1", 1.0, 2.0, 1.5, 3.0, 0.1, 0.2, 512.5,
        ENDED, 7, 3, 2,
    )  # fmt: skip
    assert job.started_at == ENDED - 2


@pytest.mark.parametrize(
    ("kind", "error", "status", "told"),
    [
        ("error", "SourceError", "error", "error"), ("payload", "X", "error", "payload"), ("timeout", "ComputeError", "lost", "timeout"),
        ("memory", "MemoryError", "lost", "memory"), ("lost", "ComputeError", "lost", "lost"), ("", "SourceError", "error", "error"),
        ("", "ComputeError", "lost", "lost"), ("", "MemoryError", "lost", "memory"), ("", None, "error", "error"),
    ],
)  # fmt: skip
def test_jobs_when_a_block_failed_then_who_is_to_blame_is_told(storage, kind, error, status, told):
    store(storage, block(status="failed", kind=kind, error=error, cause="why"))
    (job,) = jobs_of(storage, ["run-1"])
    assert (job.status, job.kind, job.cause) == (status, told, "why")


def test_jobs_when_a_failure_has_no_cause_then_something_is_said(storage):
    store(storage, block(status="failed"), block(row=2, status="failed", error="SourceError"))
    assert [j.cause for j in jobs_of(storage, ["run-1"])] == ["no cause was recorded", "SourceError"]


def test_jobs_when_a_receipt_is_old_then_its_whole_time_is_the_run_time(storage):
    store(storage, block(wall_s=4.0))
    (job,) = jobs_of(storage, ["run-1"])
    assert (job.run_s, job.ended_at, job.started_at) == (4.0, 0.0, 0.0)


@pytest.mark.parametrize(("error", "status", "kind"), [("CatalogError", "error", "error"), ("ComputeError", "lost", "backend")])  # fmt: skip
def test_jobs_when_a_partition_failed_as_a_whole_then_its_note_is_one(storage, error, status, kind):
    note(storage, product="scenes/sentinel-2-l2a", error=error)
    note(storage, region=OTHER, run_id="run-0")
    storage.write("failures/stray.json", b"{}")
    storage.write("failures/composite/x/readme.txt", b"?")
    (job,) = jobs_of(storage, ["run-1"])
    assert (job.product, job.region, job.month, job.block) == ("scenes/sentinel-2-l2a", REGION, "2024-03", "")
    assert (job.status, job.kind, job.attempts, job.ended_at) == (status, kind, 0, ENDED)


def test_jobs_when_all_blocks_of_a_partition_failed_then_its_note_is_none(storage):
    store(storage, block(status="failed", cause="broke"))
    note(storage, error="PartitionError")
    assert [j.block for j in jobs_of(storage, ["run-1"])] == ["1,2"]
    note(storage, run_id="run-2")  # a later try, which had no blocks
    assert [j.block for j in jobs_of(storage, ["run-1", "run-2"])] == ["1,2", ""]


def test_jobs_when_partitions_are_named_then_only_they_are_read(storage, monkeypatch):
    store(storage, block())
    store(storage, block(), region=OTHER)
    note(storage, product="cells", month=None)
    note(storage, product="pyramid", month="2024-04")
    read = []
    monkeypatch.setattr(storage, "read", lambda name, kept=storage.read: read.append(name) or kept(name))
    jobs = jobs_of(storage, ["run-1"], partitions=[(REGION, "2024-03")])
    assert {(j.product, j.region) for j in jobs} == {("composite", REGION), ("cells", REGION)}
    assert sorted(read) == [
        path.failure("cells", REGION),
        path.receipt("chips", REGION, "2024-03"),
        path.receipt("composite", REGION, "2024-03"),
        path.receipt("pyramid", REGION, "2024-03"),
    ]


def test_jobs_when_there_are_several_runs_then_all_are_there_by_their_end(storage):
    store(storage, block(ended_at=ENDED + 5), block(row=2, ended_at=ENDED), block(row=3))
    store(storage, block(run_id="run-2", ended_at=ENDED + 2), product="pyramid")
    found = jobs_of(storage, ["run-1", "run-2"])
    assert [(j.product, j.block) for j in found] == [("composite", "3,2"), ("composite", "2,2"), ("pyramid", "1,2"), ("composite", "1,2")]  # fmt: skip
    assert jobs_of(storage, []) == []


def test_failures_when_no_job_tells_of_them_then_added_once():
    known = Job("composite", REGION, "2024-03", "1,2", status="error", kind="error")
    base = {"product": "composite", "region": REGION, "month": "2024-03", "block": "1,2", "cells": [], "cause": "told"}
    other = base | {"block": None, "month": None, "product": "cells", "cells": ["c"]}
    whole = with_failures([known], [base, other, other])
    whole = with_failures(whole, [base | {"block": None}])  # the partition of a block that is told
    assert [j for j in whole if j is not known] == [Job("cells", REGION, cells=("c",), status="error", cause="told", kind="error", attempts=0)]  # fmt: skip


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_job_when_a_number_is_none_then_it_is_zero(value):
    job = Job("p", "r", run_s=value, usd=value, ended_at=value, peak_mb=value if value != -1 else None)
    assert (job.run_s, job.usd, job.ended_at, job.peak_mb) == (0.0, 0.0, 0.0, None)


@pytest.mark.parametrize("clock", [1.0, 1e8, 1e12])
def test_job_when_its_clock_is_wrong_then_its_time_is_unknown(clock):
    assert Job("p", "r", run_s=1.0, ended_at=clock).started_at == 0


@pytest.mark.parametrize(
    ("cause", "wanted"),
    [
        ("cannot read 'https://u:p@h/x.tif?sig=a%2Bb': 403", "cannot read 'https://h/x.tif': 403"),
        ("https://a/b?x=1,https://u:pw@c/d?y=2.", "https://a/b,https://c/d."),
        ("/vsicurl/https://h/x?sig=1) next", "/vsicurl/https://h/x) next"),
        ("x.tif?sig=AA b", "x.tif b"),
        ("is it so? yes\n a = b", "is it so? yes\n a = b"),
        ("s3://b/k: gone", "s3://b/k: gone"),
        ("\x1b[31mred\x00", "�[31mred�"),
    ],
)
def test_cause_when_it_quotes_an_address_then_its_signature_is_gone(cause, wanted):
    assert without_secrets(cause) == wanted
    assert Job("p", "r", cause=cause).cause == wanted


@given(st.text(), st.text(alphabet="abcXYZ019%+/-_", min_size=1), st.text())
def test_cause_when_an_address_is_anywhere_then_its_signature_is_gone(before, secret, after):
    secret = f"SECRET{secret}"
    assert "SECRET" not in without_secrets(f"{before} https://host/x.tif?X-Amz-Signature={secret} {after}")


@given(st.text())
def test_cause_when_cleaned_twice_then_it_stays(text):
    assert without_secrets(without_secrets(text)) == without_secrets(text)


@pytest.mark.parametrize(
    ("product", "named"),
    [("composite", "block 3,4"), ("prediction/trees", "block 3,4"), ("ard/dem", "layer 3,4")],
)
def test_where_when_a_task_made_something_then_it_is_called_what_it_is(product, named):
    assert Job(product, REGION, block="3,4").where == f"{product} {REGION} {named}"
    assert Job(product, REGION).where == f"{product} {REGION}"
