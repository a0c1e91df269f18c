import pytest

from geo_assets.report.jobs import Job
from geo_assets.report.verdict import verdict

MADE = Job("composite", "r", "2024-01", "1,2")
LOST = Job("composite", "r", "2024-02", "1,2", status="lost")
WHOLE = Job("composite", "r", "2024-03", status="lost", kind="backend")


@pytest.mark.parametrize(
    ("jobs", "words"),
    [
        ([], "complete: no task had to run"),
        ([MADE], "complete: the job was done"),
        ([MADE, MADE], "complete: all of 2 jobs made"),
        ([MADE, LOST], "partial: 1 of 2 jobs made, 1 failed, 1 of them lost"),
        ([MADE, WHOLE], "partial: 1 of 1 job made, none failed; 1 partition failed as a whole"),
        ([WHOLE, WHOLE], "failed: 2 partitions failed as a whole"),
    ],
)
def test_verdict_when_partitions_failed_before_they_had_jobs_then_it_tells_them_apart(jobs, words):
    assert verdict(jobs) == words
