import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.report.jobs import Job
from geo_assets.report.rows import FAILED, JOBS, failed_csv, jobs_csv

SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
REGIONS = st.from_regex(r"utm[0-9]{2}[ns]_r-?[0-9]{1,3}_c-?[0-9]{1,3}", fullmatch=True)
MONTHS = st.from_regex(r"20[0-9]{2}-[01][0-9]", fullmatch=True) | st.just("")
CELLS = st.lists(st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,20}", fullmatch=True), max_size=4)
NASTY = st.text() | st.sampled_from(['=HYPERLINK("http://x","y")', "+1", "-2+3|cmd", "@SUM(A1)", 'a "b",\nc', "\r\nx", " =1", "日本 🙂"])  # fmt: skip


def rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def failed(**values):
    return Job(**({"product": "composite", "region": "r", "status": "error", "kind": "error"} | values))


@given(REGIONS, MONTHS, CELLS, NASTY)
def test_failed_csv_when_read_back_then_region_month_cells_and_cause_are_the_same(region, month, cells, cause):
    job = failed(region=region, month=month, cells=tuple(cells), cause=cause, block="-3,5")
    (row,) = rows(failed_csv([job]))
    assert tuple(row) == FAILED
    assert (row["region"], row["month"], row["cells"].split()) == (region, month, cells)
    assert [int(n) for n in row["block"].split(",")] == [-3, 5]
    wanted = job.cause.replace("\r\n", "\n").replace("\r", "\n")
    assert row["cause"] in (wanted, "'" + wanted)
    assert not row["cause"].startswith(SIGNS)


@given(NASTY, NASTY, NASTY)
def test_csv_when_any_text_is_a_formula_then_no_cell_begins_with_its_sign(cause, worker, place):
    job = failed(cause=cause, worker=worker, place=place, backend=cause, cells=(worker,), product=place or "p")
    for text in (jobs_csv([job, job]), failed_csv([job, job])):
        found = rows(text)
        assert len(found) == 2
        assert not [v for row in found for v in row.values() if v.lstrip(" ").startswith(SIGNS) and not v.startswith(" -")]  # fmt: skip


def test_jobs_csv_when_read_back_then_every_column_is_there_by_the_end():
    jobs = [
        Job("composite", "r", "2024-03", "1,2", ("a", "b"), run_s=1.23456789, usd=1.5e-7, ended_at=1.7e9 + 0.25, peak_mb=None, bytes_read=2**40),
        Job("cells", "r", ended_at=1.6e9),
    ]  # fmt: skip
    first, second = rows(jobs_csv(jobs))
    assert tuple(first) == JOBS
    assert (first["product"], second["product"]) == ("cells", "composite")
    assert (float(second["run_s"]), float(second["usd"]), second["ended_at"]) == (1.23456789, 1.5e-7, "1700000000.250")
    assert (second["peak_mb"], second["bytes_read"], second["cells"], second["block"]) == ("", str(2**40), "a b", "1,2")


@pytest.mark.parametrize("jobs", [[], [Job("composite", "r")]])
def test_failed_csv_when_nothing_failed_then_only_its_head(jobs):
    assert failed_csv(jobs) == ",".join(FAILED) + "\n"
