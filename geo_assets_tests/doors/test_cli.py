"""What a person or a program sees of ``geo-assets``: lines, documents and exit codes."""

import json
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import shapely
import yaml

from geo_assets.doors import cli
from geo_assets.doors.home import open_instance
from geo_assets.testing.stac_server import Answer, serve

BBOX = [11.0, 47.0, 11.1, 47.1]
COMMANDS = ("init", "demo", "doctor", "plan", "run", "status", "request", "plugins", "aoi add", "aoi list", "aoi remove", "export cog")  # fmt: skip


@dataclass(frozen=True)
class Said:
    """What a command printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document."""
        return json.loads(self.out)

    @property
    def errors(self) -> list[str]:
        """Lines on stderr that tell an error."""
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


@pytest.fixture
def ga(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["geo-assets", *arguments])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.out + said.err
        return Said(int(end.value.code or 0), said.out, said.err)

    return call


def write(folder: Path, **changed: Any) -> Path:
    file = folder / "geo_assets.yaml"
    document = {
        "name": "tyrol", "aois": {"a": {"bbox": BBOX}}, "months": {"start": "2024-01", "end": "2024-01"},
        "catalog": {"kind": "static", "path": "items.json"}, "storage": "./data", **changed,
    }  # fmt: skip
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    file.write_text(yaml.safe_dump(document))
    return file


@pytest.mark.parametrize(
    "arguments", [["run", "--limit", "x"], ["nosuch"], ["plan", "--bogus"], ["aoi", "add", "x"], ["plan", "--sweep", "x"]]
)  # fmt: skip
def test_usage_when_it_is_wrong_then_one_line_and_with_json_one_document(ga, tmp_path, arguments):
    write(tmp_path)
    plain, as_json = ga(*arguments), ga(*arguments, "--json")
    assert (plain.code, plain.out, len(plain.err.splitlines())) == (2, "", 1)
    assert (as_json.code, as_json.err) == (2, plain.err)
    assert as_json.document["error"]["kind"] == "UsageError"
    assert f"error: {as_json.document['error']['message']}" == plain.err.strip()
    assert "geo-assets" in plain.err
    assert "--help" in plain.err


def test_run_when_it_would_have_to_ask_without_a_terminal_then_2_and_one_document(ga, tmp_path):
    write(tmp_path)
    said = ga("run", "--initialize", "--json")
    assert (said.code, said.document["error"]["kind"]) == (2, "ConfigError")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_when_asked_for_then_it_has_an_example_and_describes_the_document(ga, command):
    said = ga(*command.split(), "--help")
    assert said.code == 0
    assert f"Example: geo-assets {command}" in said.out
    assert "With --json:" in said.out


def test_help_of_status_names_its_exit_codes(ga):
    assert "Exit code: 0 whatever the partitions are" in " ".join(ga("status", "--help").out.split())


@pytest.mark.parametrize("name", ["file", "file/below", "folder", "data/cube", "data/cube/below", ""])
def test_run_when_reports_cannot_be_written_then_2_before_work(ga, tmp_path, name):
    write(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder" / "report.html").mkdir(parents=True)
    said = ga("run", "--report-dir", name, "--json")
    assert said.code == 2
    assert "--report-dir" in said.document["error"]["message"]
    assert not (tmp_path / "data").exists()
    assert (tmp_path / "file").read_text() == "mine"


def test_run_when_the_name_of_its_table_is_empty_then_not_all_is_made(ga, tmp_path):
    write(tmp_path)
    said = ga("run", "--tiles", "", "--json")
    assert said.code == 2
    assert "--tiles" in said.document["error"]["message"]
    assert not (tmp_path / "data" / "cells").exists()


def test_run_when_there_is_no_stdin_then_a_question_is_refused_as_without_a_terminal(ga, tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.setattr("sys.stdin", None)
    said = ga("run", "--initialize", "--json")
    assert said.code == 2
    assert "Say --yes to go on" in said.document["error"]["message"]


def test_run_when_the_report_fails_in_the_end_then_the_summary_is_still_told(ga, tmp_path, monkeypatch):
    from geo_assets.doors import reports

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    write(tmp_path)
    monkeypatch.setattr(reports, "write_report", full)
    said = ga("run", "--report-dir", "r", "--json")
    assert (said.code, said.document["partitions"]["ok"]) == (1, 2)
    assert len(said.errors) == 1
    assert "No space left" in said.errors[0]


def test_demo_when_a_file_stands_in_its_place_then_2_and_one_line(ga, tmp_path):
    (tmp_path / "demo").write_text("mine")
    said = ga("demo", "--json")
    assert (said.code, said.document["error"]["kind"]) == (2, "ConfigError")


@pytest.mark.parametrize(
    "url", ["http://", "https://", "http://exa mple.org/", "http://../", "http://[::1", "ftp://x.org/"]
)
def test_run_when_the_catalogs_address_is_none_then_2_before_work_as_with_plan(ga, tmp_path, url):
    write(tmp_path, catalog={"kind": "stac-api", "url": url})
    for command in ("plan", "run"):
        said = ga(command, "--json")
        assert (said.code, said.document["error"]["kind"]) == (2, "ConfigError"), command
        assert "catalog.url" in said.document["error"]["message"]
    assert not (tmp_path / "data").exists()


def test_run_when_the_catalog_refuses_for_good_then_2_before_work(ga, tmp_path):
    with serve([], root_faults=[Answer(404)] * 9) as server:
        write(tmp_path, catalog={"kind": "stac-api", "url": server.url})
        said = [ga(command, "--json") for command in ("plan", "run")]
    assert [s.code for s in said] == [2, 2]
    assert not (tmp_path / "data").exists()


def test_run_when_the_catalog_is_down_then_1(ga, tmp_path):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        write(tmp_path, catalog={"kind": "stac-api", "url": url, "retries": 0})
        said = ga("run", "--json")
    assert said.code == 1
    assert "no answer" in said.document["failures"][0]["cause"]


def test_doctor_when_the_deployment_lacks_its_storage_then_that_is_the_finding(ga, tmp_path, monkeypatch):
    file = write(tmp_path)
    monkeypatch.setenv("GEO_ASSETS_DEPLOYMENT", "cloud")
    monkeypatch.chdir(Path(__file__).parents[2])  # where `resources` is
    said = ga("doctor", str(file), "--json")
    found = {f["name"]: f for f in said.document["findings"]}
    assert said.code == 2
    assert "GEO_ASSETS_STORAGE" in found["deployment"]["message"]
    assert not {"storage", "disk", "cube"} & set(found)


@pytest.mark.parametrize("command", ["plan", "run", "status", "aoi list", "aoi add b area.shp"])
def test_shapefile_without_a_crs_is_warned_of_once(ga, tmp_path, command):
    frame = gpd.GeoDataFrame(geometry=[shapely.box(*BBOX)], crs="EPSG:4326")
    frame.to_file(tmp_path / "area.shp")
    (tmp_path / "area.prj").unlink()
    write(tmp_path, aois={"a": {"path": "area.shp"}})
    said = ga(*command.split())
    lines = [line for line in said.err.splitlines() if "has no CRS" in line]
    assert len(lines) == 1
    assert lines[0].startswith("warning: ")
    assert "has no CRS" not in said.out


def test_aoi_when_a_registered_one_is_damaged_then_one_line_says_what_to_do(ga, tmp_path):
    write(tmp_path)
    for content in ("{", "{}", '{"features": [{"geometry": 3}]}'):
        (tmp_path / "data" / "aois").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "aois" / "b.geojson").write_text(content)
        said = ga("plan", "--json")
        assert (said.code, said.document["error"]["kind"]) == (2, "ConfigError"), content
        assert "aoi remove b" in said.document["error"]["message"]


def test_plan_when_the_area_is_small_then_the_seconds_of_its_runs_are_in_it(ga, tmp_path):
    write(tmp_path)
    products = ga("plan", "--json").document["products"]
    total = sum(p["seconds"] for p in products.values())
    assert products["cells"]["seconds"] >= 0.4
    assert 1 <= total <= 5


def test_sweep_when_values_are_lists_then_commas_within_them_part_nothing(ga, tmp_path):
    write(tmp_path)
    said = ga("plan", "--sweep", "mask.keep=[4],[4, 5], 6", "--json")
    assert said.code == 2  # a number is no list
    said = ga("plan", "--sweep", "mask.keep=[4],[4, 5]", "--json")
    assert list(said.document["sweep"]) == ["mask.keep=[4]", "mask.keep=[4, 5]"]


@pytest.mark.parametrize("value", ["[1", "{a: 1, a: 2}", "&a 1"])
def test_sweep_when_a_value_is_no_yaml_of_ours_then_2(ga, tmp_path, value):
    write(tmp_path)
    said = ga("plan", "--sweep", f"mask.max_cloud_cover={value}", "--json")
    assert (said.code, said.document["error"]["kind"]) == (2, "ConfigError")


@pytest.mark.parametrize("content", ["telemetri: {enabled: false}", "telemetry: {enabled: [", "- a", "run_launcher: {module: no.such, class: X}"])  # fmt: skip
def test_instance_when_its_settings_are_wrong_then_2_and_the_file_is_named(ga, tmp_path, content):
    write(tmp_path)
    (tmp_path / ".dagster").mkdir()
    (tmp_path / ".dagster" / "dagster.yaml").write_text(content)
    for command in ("run", "ui", "aoi add b items.json"):
        if command.startswith("aoi"):
            (tmp_path / "items.json").write_text(shapely.to_geojson(shapely.box(*BBOX)))
        said = ga(*command.split())
        assert said.code == 2, command
        assert len(said.errors) == 1
        assert "dagster.yaml" in said.errors[0]
    assert not (tmp_path / "data").exists()
    assert ga("status").code == 0  # needs no instance


@pytest.mark.heavy
def test_doctor_when_the_instance_is_damaged_then_that_is_a_finding(ga, tmp_path):
    write(tmp_path)
    home = tmp_path / ".dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetri: {}")
    assert "dagster.yaml" in dagster_finding(ga)
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}")
    (home / "history").mkdir()
    (home / "history" / "runs.db").write_bytes(b"garbage" * 100)
    assert "not a database" in dagster_finding(ga)


def dagster_finding(ga: Any) -> str:
    (found,) = [f for f in ga("doctor", "--json").document["findings"] if f["name"] == "dagster"]
    assert found["level"] == "error"
    return str(found["message"])


@pytest.mark.parametrize("name", ["history/runs.db", "history/runs/index.db", "schedules/schedules.db"])
@pytest.mark.parametrize("made_before", [False, True])
def test_instance_when_a_database_is_garbage_then_2_before_work(ga, tmp_path, name, made_before):
    write(tmp_path)
    home = tmp_path / ".dagster"
    if made_before:
        home.mkdir()
        with open_instance(home):
            pass
    file = home / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"garbage" * 1000)
    for command in ("run", "ui"):
        said = ga(command)
        assert said.code == 2, command
        assert len(said.errors) == 1
        assert "move the folders history and schedules away" in said.errors[0]
    assert file.read_bytes() == b"garbage" * 1000
    assert not (tmp_path / "data").exists()
