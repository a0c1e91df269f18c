import csv
import io
import json
import re
import time

import pytest
from PIL import Image

from geo_assets.errors import ConfigError, StoreError
from geo_assets.report.jobs import Job
from geo_assets.report.write import report_files, write_run_report
from geo_assets.storage import Storage
from geo_assets_tests.report import made
from geo_assets_tests.report.page_of import Page

EVIL = '<script>alert("x")</script>\n=cmd|x ![i](http://e/?t=1) ' + "日本\u202e\x1b[2J"
RUN = "6f1a2b3c-1111-4222-8333-444455556666"
NAMES = {"summary.json", "jobs.csv", "failed.csv", "report.txt", "report.html"}


def files(jobs, document=None, **values):
    base = {"title": "Project", "command": "geo-assets run p.yml", "folder": "out dir"}
    return report_files(RUN, jobs, document or {}, **(base | values))


def page(jobs, **values):
    return Page(files(jobs, **values)["report.html"].decode())


def size(png):
    return Image.open(io.BytesIO(png)).size


def test_report_when_written_to_a_folder_then_all_files_are_there(tmp_path):
    where = write_run_report(
        tmp_path / "a" / "b", RUN, made.jobs(12), {"run_ids": [RUN], "wall_s": 1.5}, title="Project"
    )
    assert where == str(tmp_path / "a" / "b")
    found = {str(p.relative_to(where)) for p in (tmp_path / "a" / "b").rglob("*") if p.is_file()}
    assert found == {*NAMES, "plots/us-west-2.png", "plots/eu-central-1.png"}
    summary = json.loads((tmp_path / "a" / "b" / "summary.json").read_text())
    assert (summary["run_ids"], summary["wall_s"], summary["jobs"]["total"]) == ([RUN], 1.5, 12)
    assert sorted(summary["jobs"]["plots"]) == ["plots/eu-central-1.png", "plots/us-west-2.png"]


def test_report_when_written_to_a_storage_then_below_its_runs(tmp_path):
    storage = Storage(str(tmp_path / "storage"))
    assert write_run_report(storage, RUN, [], {}, title="P") == f"{storage.root}/runs/{RUN}"
    assert set(storage.names("runs")) == {f"runs/{RUN}/{name}" for name in NAMES}
    assert write_run_report(storage, RUN, made.jobs(3), {}, title="P")
    assert f"runs/{RUN}/plots/us-west-2.png" in storage.names("runs")


@pytest.mark.parametrize("run_id", ["", "..", "a/b", ".hidden", "a b", "x" * 200])
def test_report_when_the_run_has_no_proper_id_then_refused(tmp_path, run_id):
    with pytest.raises(ConfigError, match="is not the id of a run"):
        write_run_report(tmp_path, run_id, [], {}, title="P")
    assert list(tmp_path.iterdir()) == []


def test_report_when_it_cannot_be_written_then_that_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_run_report(tmp_path / "file", RUN, [], {}, title="P")


def test_report_when_written_twice_then_bytes_are_equal():
    jobs = made.jobs(20)
    assert files(jobs) == files(jobs)


def test_report_when_nothing_ran_then_it_says_so():
    found = files([])
    assert set(found) == NAMES
    text = found["report.txt"].decode()
    assert "complete: no task had to run" in text
    assert "Nothing to do" in text
    assert "No task ran." in page([]).text
    assert json.loads(found["summary.json"])["jobs"]["status"] == "success"
    assert found["failed.csv"].count(b"\n") == 1


def test_report_when_one_job_ran_then_it_is_shown():
    found = files(made.jobs(1, failing=0))
    assert "complete: the job was done" in found["report.txt"].decode()
    assert size(found["plots/us-west-2.png"])[0] == 2240
    assert "us-west-2, lithops: 1 job" in page(made.jobs(1)).text


def test_report_when_all_failed_then_why_and_what_to_do_is_told():
    jobs = made.jobs(50, failing=1.1)
    text = files(jobs)["report.txt"].decode()
    assert "failed: 0 of 50 jobs made, 50 failed" in text
    assert "  geo-assets run p.yml --tiles 'out dir/failed.csv'\n  geo-assets run p.yml --retry-failed\n" in text
    assert "HTTP 404" in text
    shown = page(jobs)
    assert "geo-assets run p.yml --tiles 'out dir/failed.csv'" in shown.text
    assert len(shown.all("tr")) > 50
    assert len(list(csv.DictReader(io.StringIO(files(jobs)["failed.csv"].decode())))) == 50


def test_report_when_only_workers_were_lost_then_the_same_again_is_advised():
    jobs = made.jobs(4, status="lost", kind="lost", cause="gone")
    assert "The same again may succeed." in files(jobs)["report.txt"].decode()
    assert json.loads(files(jobs)["summary.json"])["jobs"]["status"] == "infra_error"


def test_report_when_the_document_has_more_failures_then_they_are_told_without_signatures():
    failure = {"product": "scenes/s2", "region": "r1", "month": "2024-03", "block": None, "cells": [], "cause": "no answer: https://h/s?sig=SECRET"}  # fmt: skip
    found = files(made.jobs(3, failing=0), {"failures": [failure], "partitions": {"total": 3, "ok": 2, "partial": 0, "failed": 1, "skipped": 0}, "outputs": {"composite": "s3://b/cube"}})  # fmt: skip
    assert not [name for name, content in found.items() if b"SECRET" in content]
    (row,) = csv.DictReader(io.StringIO(found["failed.csv"].decode()))
    assert (row["product"], row["region"], row["month"], row["block"], row["kind"]) == ("scenes/s2", "r1", "2024-03", "", "error")  # fmt: skip
    text = found["report.txt"].decode()
    assert "Partitions  3: 2 ok, 1 failed" in text
    assert "s3://b/cube" in text
    assert "3 partitions: 2 ok, 1 failed" in Page(found["report.html"].decode()).text
    assert "1 partition failed as a whole" in Page(found["report.html"].decode()).text
    assert json.loads(found["summary.json"])["jobs"]["status"] == "partial"


def test_report_when_receipts_are_old_then_it_does_without_their_times():
    jobs = made.jobs(5, ended_at=0.0, worker="", usd=0.0, usd_predicted=0.0, place="", backend="", peak_mb=None)
    found = files(jobs)
    assert "5 jobs without a time" in page(jobs).text
    assert "the backend has no price" in page(jobs).text
    assert "When" not in found["report.txt"].decode()
    assert size(found["plots/local.png"])[1] > 400
    assert json.loads(found["summary.json"])["jobs"]["started_at"] is None


def test_report_when_names_are_hostile_then_they_stay_text():
    jobs = [
        Job(EVIL, EVIL, EVIL, "1,1", (EVIL,), "error", EVIL, "error", backend=EVIL, place=EVIL, worker=EVIL, run_s=1.0, ended_at=1.7e9, usd=1.0),
        Job("composite", "r", "", "1,1", status="lost", kind="lost", cause="x" * 10_000, place="../../etc", ended_at=1.7e9, worker="\ud800"),
    ]  # fmt: skip
    found = files(jobs, title=EVIL, folder=EVIL)
    shown = Page(found["report.html"].decode())
    assert not shown.all("script")
    assert "<script" not in shown.source
    assert "\x1b" not in shown.source + found["report.txt"].decode()
    assert '<script>alert("x")</script>' in shown.text
    assert len(found["report.html"]) < 60_000
    names = [n for n in found if n.startswith("plots/")]
    assert len(names) == 2
    assert all(re.fullmatch(r"plots/\w[\w.-]*\.png", n) for n in names)


def test_report_when_places_look_alike_then_each_has_its_picture():
    jobs = [j for p in ("a b", "a/b", "A_B", "", "local") for j in made.jobs(2, places=((p, "ray"),))]
    names = {n for n in files(jobs) if n.startswith("plots/")}
    assert names == {"plots/A_B.png", "plots/a_b-2.png", "plots/a_b-3.png", "plots/local.png"}


def test_page_when_read_then_nothing_is_fetched_and_everything_has_a_name():
    shown = page(made.jobs(60, failing=0.3))
    links = [v for _, attrs in shown.tags for k, v in attrs.items() if k in ("src", "href", "srcset", "action", "data")]
    assert links
    ids = [a["id"] for _, a in shown.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {v[1:] for v in links} <= set(ids)
    assert not re.search(r"url\((?!#)|@import", shown.source)
    assert "default-src 'none'" in {a.get("http-equiv"): a for a in shown.all("meta")}["Content-Security-Policy"]["content"]  # fmt: skip
    assert all(a.get("aria-label") for a in shown.all("svg"))
    assert all(a.get("scope") in ("col", "row") for a in shown.all("th"))


def test_text_when_read_in_a_log_then_no_line_is_longer_than_80_but_commands():
    jobs = [*made.jobs(200, failing=0.3), Job("composite", "r", status="error", kind="error", cause="y" * 9000)]
    text = files(jobs, title="A project with a rather long name that does not stop " * 3)["report.txt"].decode()
    assert max(len(line) for line in text.splitlines() if "geo-assets run" not in line) <= 80
    assert re.search(r"^1 x error: y+", text, re.MULTILINE)
    assert re.search(r"^\d+ x timeout: timeout: not finished", text, re.MULTILINE)


def test_report_when_there_are_10_000_jobs_then_small_and_soon():
    jobs = made.jobs(10_000, workers=50)
    began = time.process_time()
    found = files(jobs)
    assert time.process_time() - began < 20
    assert len(found["report.html"]) < 2_000_000
    assert max(len(v) for k, v in found.items() if k.startswith("plots/")) < 500_000
    assert found["jobs.csv"].count(b"\n") == 10_001
    shown = Page(found["report.html"].decode())
    assert "First 200 of" in shown.text
    assert len(shown.all("rect")) < 3000


def test_text_when_names_of_products_are_long_then_their_lines_can_be_told_apart():
    names = ("ard/sentinel-1-rtc", "ard/sentinel-2-l2a", "prediction/forest-loss-v1", "prediction/forest-loss-v2")
    jobs = [j for name in names for j in made.jobs(2, failing=0, product=name)]
    lines = files(jobs)["report.txt"].decode().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("Product"))
    shown = {line.split()[0] for line in lines[at + 2 : at + 10]}
    assert {*names[:2]} <= shown
    assert len(shown) == len(names)
    assert max(map(len, lines)) <= 80
