import json
import os
import socket
import time

import dagster as dg
import pytest
import rasterio.errors
import yaml

from geo_assets.doors.doctor import diagnose as entry
from geo_assets.doors.doctor import inputs, machine
from geo_assets.doors.doctor.diagnose import diagnose
from geo_assets.doors.secrets import find_secrets, without_secrets
from geo_assets.errors import StoreError
from geo_assets.project import load_project
from geo_assets.storage import Storage
from geo_assets.stores.icechunk import IcechunkCube
from geo_assets.tasks.cells import region_grid
from geo_assets.tasks.layout import ensure_layout
from geo_assets.testing.stac_server import Answer, serve

BBOX = [11.0, 47.0, 11.1, 47.1]
ITEM = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "S2A_32TPT_20240110_0_L2A",
    "collection": "sentinel-2-l2a",
    "geometry": {"type": "Polygon", "coordinates": [[[10, 46], [12, 46], [12, 48], [10, 48], [10, 46]]]},
    "bbox": [10, 46, 12, 48],
    "properties": {"datetime": "2024-01-10T10:00:00Z"},
    "links": [],
    "assets": {},
}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)


def write(folder, **changed):
    folder.mkdir(exist_ok=True)
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": [ITEM]}))
    document = {
        "name": "tyrol",
        "aois": {"a": {"bbox": BBOX}},
        "months": {"start": "2024-01", "end": "2024-03"},
        "catalog": {"kind": "static", "path": "items.json"},
        **changed,
    }
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return folder / "geo_assets.yaml"


def found(findings, name):
    return [f for f in findings if f.name == name]


def at(folder, address):
    return found(diagnose(write(folder, compute={"backend": "dask", "address": address})), "compute")


def test_doctor_when_all_is_well_then_every_check_is_ok_and_nothing_is_left(tmp_path):
    file = write(tmp_path / "p")
    findings = diagnose(file)
    assert {f.level for f in findings} == {"ok"}
    names = "project secrets plugins areas months cells partitions disk catalog storage cube compute memory dagster versions"
    assert {f.name for f in findings} == set(names.split())
    assert sorted(p.name for p in file.parent.iterdir()) == ["geo_assets.yaml", "items.json"]
    assert diagnose(file.parent) == diagnose(load_project(file))
    assert "1 items" in found(findings, "catalog")[0].message


def test_doctor_when_project_is_wrong_then_its_error_is_a_finding_and_machine_is_still_looked_at(tmp_path):
    for content, text in (
        ("cube: {bandz: [red]}\nmonths: {start: 2024-01}", "did you mean 'bands'"),
        ("a: [", "not YAML"),
        ("months: {start: 2024-01}\ngrid: {kind: majortm}", "did you mean majortom"),
    ):
        (tmp_path / "geo_assets.yaml").write_text(content)
        findings = diagnose(tmp_path)
        assert findings[0].level == "error"
        assert text in findings[0].message
        assert {f.name for f in findings} == {"project", "secrets", "dagster", "versions"}
    missing = diagnose(tmp_path / "none.yaml")
    assert "geo-assets init" in missing[0].message


def test_doctor_when_areas_are_wrong_then_each_is_named(tmp_path):
    aois = {"gone": "gone.gpkg", "swapped": {"bbox": [47, 120, 48, 130]}, "good": {"bbox": BBOX}}
    findings = diagnose(write(tmp_path / "p", aois=aois))
    levels = [(f.level, f.message) for f in found(findings, "areas")]
    assert [level for level, _ in levels] == ["error", "error", "ok"]
    assert "gone" in levels[0][1]
    assert "swapped" in levels[1][1]
    assert found(diagnose(write(tmp_path / "p", aois={})), "areas")[0].advice.startswith("add one under aois")


def test_doctor_when_there_are_too_many_partitions_then_it_warns(tmp_path):
    months = {"start": "2000-01", "end": "2023-12"}
    file = write(tmp_path / "p", aois={"big": {"bbox": [0, 40, 16, 54]}}, months=months, cube={"resolution": 10, "region_blocks": 1}, grid={"kind": "mgrs"})  # fmt: skip
    partitions = found(diagnose(file), "partitions")[0]
    assert partitions.level == "warning"
    assert "60,000" in partitions.message


def test_doctor_when_catalog_has_nothing_here_then_it_warns_and_unknown_collections_are_an_error(tmp_path):
    file = write(tmp_path / "p", months={"start": "2019-01", "end": "2019-01"})
    assert found(diagnose(file), "catalog")[0].level == "warning"
    file = write(tmp_path / "p", sensors=[{"sensor": "sentinel-2-l2a", "collections": ["other"]}])
    catalog = found(diagnose(file), "catalog")[0]
    assert (catalog.level, "has no collection other" in catalog.message) == ("error", True)
    file = write(tmp_path / "p", catalog={"kind": "static", "path": "gone.json"})
    assert "no catalog at" in diagnose(file)[0].message


def test_doctor_when_catalog_is_an_api_then_one_small_search_tells(tmp_path):
    with serve([ITEM]) as server:
        file = write(tmp_path / "p", catalog={"kind": "stac-api", "url": server.url, "retries": 20})
        assert found(diagnose(file), "catalog")[0].message == "stac-api, sentinel-2-l2a: answers a search"
        assert len(server.searches) == 1
        server.always = Answer(status=503)
        began = time.perf_counter()
        catalog = found(diagnose(file), "catalog")[0]
        assert time.perf_counter() - began < 15
        assert (catalog.level, "503" in catalog.message, "network" in catalog.advice) == ("error", True, True)


def sensors_findings(folder, **changed):
    """Findings about bands of a project of a world with an item of each of three sensors."""
    whole = {b: {"href": f"{b}.tif"} for b in ("red", "green", "blue", "nir", "scl")}
    radar = {"vv": {"href": "vv.tif"}}
    height = {"data": {"href": "dem.tif"}}
    file = write(folder, sensors=["sentinel-2-l2a", "sentinel-1-rtc", "dem"], **changed)
    said = {"sentinel-2-l2a": whole, "sentinel-1-rtc": radar, "cop-dem-glo-30": height}
    items = [{**ITEM, "id": f"item-of-{c}", "collection": c, "assets": assets} for c, assets in said.items()]
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return found(diagnose(file), "bands")


@pytest.mark.heavy
def test_doctor_when_items_lack_a_band_of_layers_then_each_sensor_of_ard_is_named(tmp_path):
    (only,) = sensors_findings(tmp_path / "p", products=["ard"])
    assert only.level == "error"
    assert only.message == "ard/sentinel-1-rtc: 1 of 1 scenes, such as item-of-sentinel-1-rtc, have no asset for vh"
    assert only.advice.startswith("leave it out of ard.bands.sentinel-1-rtc, or name those items in sensors.exclude")
    assert not sensors_findings(tmp_path / "p", products=["ard"], ard={"bands": {"sentinel-1-rtc": ["vv"]}})
    assert not sensors_findings(tmp_path / "p", products=["ard"], ard={"sensors": ["sentinel-2-l2a", "dem"]})
    assert not sensors_findings(tmp_path / "p")  # a composite reads no radar


def test_doctor_when_the_cube_is_not_made_then_its_bands_are_no_fault(tmp_path):
    cube = {"bands": ["red", "swir16"]}
    assert not sensors_findings(tmp_path / "p", products=["ard"], ard={"sensors": ["sentinel-2-l2a"]}, cube=cube)
    both = sensors_findings(tmp_path / "p", products=["pyramid", "ard"], ard={"sensors": ["sentinel-2-l2a"]}, cube=cube)
    assert [f.advice.split(",")[0] for f in both] == ["leave the band out of cube.bands"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_doctor_when_storage_is_read_only_then_it_is_an_error(tmp_path):
    file = write(tmp_path / "p", storage="locked/data")
    (file.parent / "locked").mkdir(mode=0o500)
    assert found(diagnose(file), "storage")[0].level == "error"


@pytest.mark.heavy
def test_doctor_when_storage_is_a_file_or_forgets_then_it_is_an_error(tmp_path, monkeypatch):
    file = write(tmp_path / "p", storage="items.json")
    storage = found(diagnose(file), "storage")[0]
    assert (storage.level, "cannot be written" in storage.message) == ("error", True)
    file = write(tmp_path / "p")
    monkeypatch.setattr(Storage, "read", lambda self, name: b"something else")
    assert "something else" in found(diagnose(file), "storage")[0].message


def test_doctor_when_credentials_of_a_bucket_are_missing_then_the_advice_is_to_set_them(tmp_path, monkeypatch):
    def refuse(self, name, content):
        raise StoreError("Unable to locate credentials")

    monkeypatch.setattr(Storage, "write", refuse)
    storage = found(diagnose(write(tmp_path / "p")), "storage")[0]
    assert (storage.level, "locate credentials" in storage.message) == ("error", True)
    assert "come from the environment" in storage.advice


def test_doctor_when_disk_is_small_then_it_warns(tmp_path, monkeypatch):
    file = write(tmp_path / "p")
    usage = inputs.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(inputs.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    disk = found(diagnose(file), "disk")[0]
    assert (disk.level, "make room" in disk.advice) == ("warning", True)


@pytest.mark.heavy
def test_doctor_when_stored_cube_differs_then_settings_are_named(tmp_path):
    loaded = load_project(write(tmp_path / "p"))
    grid = region_grid("utm32n_r51_c6", loaded.project.cube)
    ensure_layout(loaded.cube, loaded.project, loaded.sensor, grid, loaded.periods())
    assert found(diagnose(loaded), "cube")[0].message == "the icechunk cube there fits the project"
    other = diagnose(write(tmp_path / "p", cube={"resolution": 20}))
    assert "resolution 10 -> 20" in found(other, "cube")[0].message
    other = diagnose(write(tmp_path / "p", cube={"store": "zarr"}))
    assert found(other, "cube")[0].advice == "set cube.store: icechunk, or choose another storage"


def test_doctor_when_storage_would_lose_commits_then_it_is_an_error(tmp_path, monkeypatch):
    file = write(tmp_path / "p")
    assert found(diagnose(file), "storage")[-1].message == "concurrent runs: file lock"

    def refuse(self):
        raise StoreError("If-Match is ignored")

    monkeypatch.setattr(IcechunkCube, "probe", refuse)
    storage = found(diagnose(file), "storage")[-1]
    assert (storage.level, storage.message) == ("error", "If-Match is ignored")


@pytest.mark.heavy
def test_doctor_when_dagster_home_is_wrong_then_it_says_so(tmp_path, monkeypatch):
    file = write(tmp_path / "p")
    for home, text in (
        ("relative", "not an absolute path"),
        (str(file), "is a file"),
        (str(file / "x"), "cannot be written"),
    ):
        monkeypatch.setenv("DAGSTER_HOME", home)
        dagster = found(diagnose(file), "dagster")[0]
        assert (dagster.level, text in dagster.message) == ("error", True)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: true}")
    assert [f.level for f in found(diagnose(file), "dagster")] == ["ok", "warning"]
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}")
    assert [f.level for f in found(diagnose(file), "dagster")] == ["ok"]
    with dg.DagsterInstance.ephemeral() as instance:
        assert "answers" in found(diagnose(file, instance=instance), "dagster")[0].message


def test_doctor_when_a_check_hangs_or_breaks_then_the_others_still_report(tmp_path, monkeypatch):
    file = write(tmp_path / "p")
    monkeypatch.setattr(entry, "_WAIT_S", 3.0)

    def hang(loaded):
        time.sleep(6)
        yield from ()

    def crash(loaded):
        raise KeyError("surprise")
        yield

    monkeypatch.setattr(entry, "storage_findings", hang)
    monkeypatch.setattr(entry, "compute_findings", crash)
    findings = diagnose(file)
    assert "no answer within 3 s" in found(findings, "storage")[0].message
    assert "surprise" in found(findings, "compute")[0].message
    assert found(findings, "versions")


def test_doctor_when_proj_data_is_foreign_then_it_says_what_to_unset(tmp_path, monkeypatch):
    class Lost:
        @staticmethod
        def from_epsg(code):
            raise rasterio.errors.CRSError("proj.db lacks DATABASE.LAYOUT.VERSION")

    file = write(tmp_path / "p")
    monkeypatch.setenv("PROJ_LIB", "/opt/other/share/proj")
    monkeypatch.setattr(machine, "CRS", Lost)
    assert found(diagnose(file), "versions")[-1].advice.startswith("unset PROJ_LIB")


SECRETS = {
    "catalog: {url: 'https://user:canary77@example.org/stac'}": "canary77",
    "storage: s3://AKIACANARY0000000077/x": "AKIACANARY0000000077",
    "aws_secret_access_key: canaryCANARY77/abc+def": "canaryCANARY77/abc+def",
    "storage: az://x?sv=2022&sig=canary77%2Fabc%3D": "canary77%2Fabc%3D",
    "  password: 'canary77'": "canary77",
    "x: ghp_canary77canary77canary77": "ghp_canary77canary77canary77",
}


@pytest.mark.parametrize("line", SECRETS)
def test_secrets_when_they_stand_in_a_file_then_they_are_found_with_line_and_never_shown(tmp_path, line):
    source = f"months: {{start: 2024-01}}\n{line}\n"
    (tmp_path / "geo_assets.yaml").write_text(source)
    findings = diagnose(tmp_path)
    assert found(findings, "secrets")[0].level == "error"
    assert "line 2" in found(findings, "secrets")[0].message
    assert "canary77" not in str(findings).lower()
    assert SECRETS[line] not in without_secrets(f"x {SECRETS[line]} y {SECRETS[line][:7]}", source)


def test_secrets_when_a_file_is_plain_then_nothing_is_found():
    plain = "catalog: {kind: stac-api, url: 'https://example.org/v1?limit=100'}\nembeddings: [{sha256: 0123456789abcdef}]\nstorage: s3://bucket/prefix\nhosts: [s3://name]\n"
    assert find_secrets(plain) == []


def test_doctor_when_a_pyramid_is_wanted_then_its_levels_are_told_and_an_odd_block_is_an_error(tmp_path):
    told = found(diagnose(write(tmp_path / "p", products=["pyramid"])), "cube")
    assert [f.message for f in told[1:]] == ["its pyramid has 6 levels, the last in pixels of 640 CRS units"]
    odd = write(tmp_path / "q", products=["pyramid"], cube={"block_px": 33, "chunk_px": 33, "region_blocks": 1})
    told = found(diagnose(odd), "cube")
    assert told[-1].level == "error"
    assert "an odd number" in told[-1].message


@pytest.mark.parametrize(
    ("cube", "level", "text"),
    [
        ({}, "ok", "a block of 2048 x 2048 pixels may have up to 252 scenes"),
        ({"block_px": 4096, "memory_mb": 192}, "warning", "up to 11 scenes within cube.memory_mb 192"),
        ({"block_px": 8192, "memory_mb": 192}, "error", "up to 0 scenes"),
    ],
)
def test_doctor_when_blocks_are_too_big_for_their_memory_then_it_says_so(tmp_path, cube, level, text):
    memory = found(diagnose(write(tmp_path / "p", cube=cube)), "memory")
    assert [f.level for f in memory] == [level]
    assert text in memory[0].message


def test_doctor_when_workers_take_more_memory_than_there_is_then_it_warns(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_machine_mb", lambda: 8_000)
    memory = found(diagnose(write(tmp_path / "p", cube={"memory_mb": 4_000})), "memory")
    assert [(f.level, "may take 8,300 MB" in f.message) for f in memory] == [("ok", False), ("warning", True)]


def test_doctor_when_a_worker_may_hold_less_than_a_block_takes_then_it_warns(tmp_path):
    for compute in ({"isolation": "process", "memory_mb": 400}, {"backend": "dask", "memory_mb": 400}):
        memory = found(diagnose(write(tmp_path / compute.get("backend", "local"), compute=compute)), "memory")
        assert memory[-1].level == "warning"
        assert "may hold compute.memory_mb 400, and a block takes up to 384 MB beside" in memory[-1].message


def test_doctor_when_nobody_is_at_the_address_of_a_cluster_then_it_is_an_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        there = f"tcp://127.0.0.1:{port}"
        assert {f.level for f in at(tmp_path / "there", there)} == {
            "ok",
            "warning",
        }  # whether it is a scheduler is not asked
    (error,) = [f for f in at(tmp_path / "gone", there) if f.level == "error"]
    assert f"nobody answers at compute.address {there}: " in error.message


@pytest.mark.parametrize(
    ("address", "words"),
    [("127.0.0.1", "write it as tcp://host:8786"), ("tcp://127.0.0.1:port", "write it as tcp://host:8786")],
)
def test_doctor_when_an_address_is_no_address_then_it_is_an_error(tmp_path, address, words):
    found_ = diagnose(write(tmp_path / "p", compute={"backend": "dask", "address": address}))
    (error,) = [f for f in found_ if f.level == "error"]
    assert words in error.message


def test_memory_of_this_machine_is_known():
    assert machine._machine_mb() > 500


def test_doctor_when_a_setting_changes_nothing_then_it_warns(tmp_path):
    file = write(tmp_path / "p", cube={"percentile": 20})
    assert [(f.level, f.message) for f in found(diagnose(file), "project")][1:] == [
        ("warning", "cube.percentile is not used, since cube.statistic is median")
    ]
