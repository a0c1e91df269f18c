import base64
import io

from PIL import Image

from geo_assets.assets.figures import run_metadata
from geo_assets.report.jobs import Job
from geo_assets_tests.report import made


def test_metadata_when_jobs_ran_then_figures_time_line_costs_and_causes():
    found = run_metadata(made.jobs(60, failing=0.3))
    assert (found["run_status"], found["jobs"]) == ("partial", 60)
    assert found["jobs_failed"] > 5
    head, png = found["time_line"].md_str.removesuffix(")").split("base64,")
    assert head.startswith("![time line")
    assert Image.open(io.BytesIO(base64.b64decode(png))).width == 640
    lines = found["costs"].md_str.splitlines()
    assert lines[0] == "| product | place | backend | jobs | work | billed | predicted | actual |"
    assert lines[2].startswith("| `composite` | `eu-central-1` | `lithops` | `15` |")
    assert "HTTP 404" in found["failures"].md_str


def test_metadata_when_nothing_ran_then_zeros_only():
    assert run_metadata([]) == {"run_status": "success", "jobs": 0, "jobs_failed": 0, "work_s": 0, "usd_predicted": 0, "usd_actual": 0}  # fmt: skip


def test_metadata_when_a_cause_is_hostile_then_it_stays_text_in_its_cell():
    cause = "` | ![x](http://evil/?q=1)\n<script>1</script> " + "z" * 10_000
    table = run_metadata([Job("p", "r", status="error", kind="error", cause=cause)])["failures"].md_str
    assert len(table.splitlines()) == 3
    row = table.splitlines()[2]
    assert (row.count("|"), row.count("`")) == (5, 8)
    assert len(row) < 500


def test_metadata_when_there_are_many_jobs_then_it_stays_small():
    found = run_metadata(made.jobs(10_000, workers=40))
    assert sum(len(str(getattr(v, "md_str", v))) for v in found.values()) < 60_000
