"""Project files that attack: each is refused in one line, soon, and without showing a secret."""

import os
import threading

import pytest

from geo_assets.errors import ConfigError, GeoAssetsError
from geo_assets.project import load_project

MONTHS = "months: {start: 2024-01, end: 2024-02}\n"


def fault(tmp_path, text):
    file = tmp_path / "geo_assets.yaml"
    file.write_text(text if "months" in text else MONTHS + text)
    with pytest.raises(ConfigError) as caught:
        load_project(file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_plain_file_is_read(tmp_path):
    (tmp_path / "geo_assets.yaml").write_text(MONTHS)
    assert load_project(tmp_path).project.months.start == "2024-01"


BOMB = "a: &a [1, 1, 1]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("name: " + "[" * 500, "nested"),
        ("name: " + "{a: " * 5000, "nested"),
        ("name: " + "9" * 5000, "number"),
        (BOMB, "anchor"),
        ("name: a\nname: b\n", "'name' is given twice"),
        ("grid:\n  size_m: 1\n  size_m: 2\n", "'size_m' is given twice"),
        ("? [a]\n: 1\n", "key"),
        ("? {a: 1}\n: 1\n", "key"),
        ("1: 2\n", "1"),
        ("name: !!python/object/apply:os.system [x]\n", "YAML"),
        ("name: 2024-99-99\n", "YAML"),
        ("months: {start: 2024-01}\nproducts: []\n", "products"),
        ("months: {start: 0001-01, end: 0001-02}\n", "1900"),
        ("months: {start: 2024-01, end: 9999-12}\n", "2200"),
        ('storage: "a\\0b"\n', "NUL"),
        ('aois: {a: "b\\0c.gpkg"}\n', "NUL"),
        ('catalog: {kind: static, path: "b\\0c"}\n', "NUL"),
        ("storage: ''\n", "storage"),
        ("catalog: {kind: stac-api, url: 'http://[::1'}\n", "catalog.url"),
        ("catalog: {kind: stac-api, url: 'https://h:99999999/x'}\n", "catalog.url"),
        ("catalog: {kind: earth-search, url: 'http://[::1'}\n", "catalog.url"),
        ('name: "\\ud800"\n', "half"),
        ("cube: {resolution: '1e99999999'}\n", "not a number"),
        ("cube: {resolution: '1e9'}\n", "between"),
        ("cube: {resolution: 1e-9}\n", "between"),
        (f"cube: {{resolution: '{'1' * 90}'}}\n", "not a number"),
        ("grid: {kind: lonlat, step: 0}\n", "step '0' must be above 0"),
        ("cube: {varname: n_clear}\n", "cube.varname"),
        ("cube: {varname: a.b}\n", "cube.varname"),
        ("storage: ftp://127.0.0.1/x\n", "storage"),
        ("storage: nonsense://x/y\n", "storage"),
        ("storage: 'simplecache::s3://b/x'\n", "storage"),
        ("catalog: {kind: static, path: 'simplecache::http://169.254.169.254/x'}\n", "catalog.path"),
        ("catalog: {kind: geoparquet, path: 'zip://a.parquet::file:///etc/x.zip'}\n", "catalog.path"),
        ("storage: 's3://[b/x'\n", "storage"),
    ],
)
def test_what_is_no_project_is_refused_in_one_line(tmp_path, text, hint):
    assert hint in fault(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "storage: s3://AK:HUSHHUSH@b/x\n",
        "storage: az://c/x?sig=HUSHHUSH\n",
        "storage: https://h.example.org/x?token=HUSHHUSH\n",
        "catalog: {kind: stac-api, url: 'https://me:HUSHHUSH@h.example.org/v1'}\n",
        "catalog: {kind: stac-api, url: 'https://me:HUSHHUSH@[::1'}\n",
    ],
)
def test_a_secret_in_an_address_is_refused_and_not_shown(tmp_path, text):
    assert "HUSHHUSH" not in fault(tmp_path, text)


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "0xa9fea9fe", "[fe80::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[fd00:ec2::254]"]
)  # fmt: skip
@pytest.mark.parametrize("setting", ["kind: stac-api, url", "kind: earth-search, url", "kind: static, path"])
def test_a_link_local_catalog_is_refused(tmp_path, setting, host):
    said = fault(tmp_path, f"catalog: {{{setting}: 'http://{host}/latest/meta-data'}}\n")
    assert "link-local" in said


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "10.1.2.3", "[::1]:8080", "stac.intranet"])
def test_a_catalog_of_ones_own_network_is_taken(tmp_path, host):
    (tmp_path / "geo_assets.yaml").write_text(f"{MONTHS}catalog: {{kind: stac-api, url: 'http://{host}/v1'}}\n")
    assert host in str(load_project(tmp_path).project.catalog.url)


def test_paths_count_from_the_project_file_and_know_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    text = "aois: {a: ~/a.gpkg, b: b.gpkg}\nstorage: file://data\ngrid: {kind: tiles, path: ~/t.gpkg}\n"
    (tmp_path / "geo_assets.yaml").write_text(MONTHS + text)
    loaded = load_project(tmp_path)
    assert [a.path for a in loaded.project.aois.values()] == [str(tmp_path / "home/a.gpkg"), str(tmp_path / "b.gpkg")]
    assert loaded.project.grid.path == str(tmp_path / "home/t.gpkg")
    assert loaded.project.storage == str(tmp_path / "data")
    (tmp_path / "geo_assets.yaml").write_text(MONTHS + "storage: file:///data/x\n")
    assert load_project(tmp_path).project.storage == "/data/x"


def test_a_catalog_whose_server_is_not_there_is_told_in_one_line(tmp_path):
    assert "Connection refused" in fault(tmp_path, "catalog: {kind: static, path: 'ftp://127.0.0.1:9/catalog.json'}")
    assert "cannot be reached" in fault(tmp_path, "catalog: {kind: static, path: 'http://127.0.0.1:9/catalog.json'}")


def test_a_device_and_a_pipe_are_no_project_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    faults = []

    def load(path):
        try:
            load_project(path)
        except ConfigError as e:
            faults.append(str(e))

    for path in (tmp_path / "pipe", "/dev/zero", "a\0b"):
        thread = threading.Thread(target=load, args=(path,), daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
    assert len(faults) == 3


def test_a_setting_that_changes_nothing_is_told(tmp_path):
    (tmp_path / "geo_assets.yaml").write_text(MONTHS + "cube: {percentile: 20}\n")
    with pytest.warns(UserWarning, match=r"cube\.percentile is not used, since cube\.statistic is median"):
        load_project(tmp_path)


@pytest.mark.parametrize(
    ("text", "sensor", "bands", "statistic"),
    [
        ("sensors: [sentinel-1-rtc]", "sentinel-1-rtc", ["vv", "vh"], "median"),
        ("sensors: [landcover, dem]", "landcover", ["worldcover"], "mode"),
        ("sensors: [dem, sentinel-2-l2a]", "sentinel-2-l2a", ["red", "green", "blue", "nir"], "median"),
        ("sensors: [dem, landsat-c2-l2]\ncube: {sensor: landsat-c2-l2}", "landsat-c2-l2", ["red", "green", "blue", "nir08"], "median"),
        ("sensors: [dem]\ncube: {bands: [elevation], statistic: mean}", "dem", ["elevation"], "mean"),
        ("sensors: [{name: mine, collections: [c], bands: {a: {asset: a}, b: {asset: b}}}]", "mine", ["a", "b"], "median"),
    ],
)  # fmt: skip
def test_what_a_cube_leaves_out_is_as_its_sensor_has_it(tmp_path, text, sensor, bands, statistic):
    file = tmp_path / "p.yaml"
    file.write_text(f"months: {{start: 2024-01, end: 2024-01}}\n{text}\n")
    cube = load_project(file).project.cube
    assert (cube.sensor, cube.bands, cube.statistic) == (sensor, bands, statistic)


@pytest.mark.parametrize("text", ["sensors: []", "sensors: 3", "sensors: [3]", "cube: 3", "sensors: [nothing-known]"])
def test_a_cube_without_a_sensor_is_refused_in_one_line_where_none_is_sound(tmp_path, text):
    file = tmp_path / "p.yaml"
    file.write_text(f"months: {{start: 2024-01, end: 2024-01}}\n{text}\n")
    with pytest.raises(GeoAssetsError) as e:
        load_project(file)
    assert "\n" not in str(e.value)
