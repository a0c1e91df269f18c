"""Iceberg with SQLite on this machine, and with Glue as moto plays it."""

import datetime as dt
import functools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
import pytest

from geo_assets.errors import ConfigError, ConflictError, StoreError
from geo_assets.model.chip_table import KEY, Where
from geo_assets.model.recipe import TablesRecipe
from geo_assets.testing.conformance_table import TableConformance, chips, ids
from geo_assets_tests.stores.s3 import BUCKET, moto_server, use

pytest.importorskip("pyiceberg", reason="the extra iceberg is not installed")

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table

from geo_assets.tables import iceberg
from geo_assets_tests.tables.upserter import rows_of

RECIPE = TablesRecipe(kind="iceberg")
DAYS = [dt.date(2024, 3, 5), dt.date(2024, 4, 5)]


@pytest.fixture
def table(tmp_path):
    return iceberg.PLUGIN.open(RECIPE, str(tmp_path), "chips")


def data_files(root: Path) -> list[Path]:
    return sorted((root / "tables" / "chips" / "data").rglob("*.parquet"))


class TestSqlite(TableConformance):
    @pytest.fixture
    def opened(self, tmp_path):
        return functools.partial(iceberg.PLUGIN.open, RECIPE, str(tmp_path), "chips")


@pytest.mark.heavy
class TestGlue(TableConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls):
        pytest.importorskip("moto", reason="AWS is played by moto, of the extra `dev`")
        with moto_server() as url:
            yield url

    @pytest.fixture
    def opened(self, server, monkeypatch, request):
        use(monkeypatch, server)
        name = f"chips_{abs(hash(request.node.name))}"
        recipe = TablesRecipe(
            kind="iceberg", catalog="glue", config={"glue.endpoint": server, "glue.region": "us-east-1"}
        )
        return functools.partial(iceberg.PLUGIN.open, recipe, f"s3://{BUCKET}/data", name)


def test_files_when_written_then_geopandas_reads_them_with_outlines_and_boxes(table, tmp_path):
    table.upsert(chips([0, 1, 2]))
    found = gpd.read_parquet(data_files(tmp_path)[0])
    assert found.crs == "EPSG:4326"
    assert found.geometry.is_valid.all()
    inside = gpd.read_parquet(data_files(tmp_path)[0], bbox=(15.0, 47.0, 15.01, 47.01))
    assert list(inside["chip_id"]) == ["c0_0_0"]


def test_files_when_written_then_parted_by_place_and_month_and_sorted(table, tmp_path):
    for day in DAYS:
        table.upsert(chips(range(30), day=day))
    parts = {tuple(f.parts[-3:-1]) for f in data_files(tmp_path)}
    assert {month for _, month in parts} == {"2024-03", "2024-04"}
    prefixes = {prefix for prefix, _ in parts}
    assert len(prefixes) > 3
    assert all(len(p) == 4 for p in prefixes)
    for file in data_files(tmp_path):
        found = gpd.read_parquet(file)
        assert set(found["geohash"].str[:4]) == {file.parts[-3]}
        assert list(found["chip_id"]) == sorted(found["chip_id"])


def test_read_when_a_part_is_asked_for_then_files_of_others_are_not_opened(table, tmp_path):
    for day in DAYS:
        table.upsert(chips(range(30), day=day))
    near = Where(bounds=(15.0, 46.9, 15.2, 47.1), months=["2024-03"], before=dt.datetime(2024, 4, 1, tzinfo=dt.UTC))
    wanted = ids(table.read(near))
    for file in data_files(tmp_path):
        if file.parts[-2] == "2024-04" or gpd.read_parquet(file).total_bounds[0] > 15.2:
            file.unlink()
    assert len(data_files(tmp_path)) < 3
    assert ids(table.read(near)) == wanted == ["c0_0_0", "c1_0_0", "c2_0_0"]


def test_upsert_when_others_commit_first_then_it_is_worked_out_anew(table, tmp_path, monkeypatch):
    other, plain = iceberg.PLUGIN.open(RECIPE, str(tmp_path), "chips"), Table._do_commit
    left = [2]

    def late(self, *args, **named):
        if left[0]:
            left[0] -= 1
            with monkeypatch.context() as inner:
                inner.setattr(Table, "_do_commit", plain)
                other.upsert(chips([0, 5 + left[0]], clear=left[0] / 10))
        return plain(self, *args, **named)

    monkeypatch.setattr(Table, "_do_commit", late)
    assert table.upsert(chips([0, 1], clear=0.9))
    found = {r["chip_id"]: r["clear_fraction"] for r in table.read().to_pylist()}
    assert found == {"c0_0_0": 0.9, "c1_0_0": 0.9, "c5_0_0": 0.0, "c6_0_0": 0.1}
    named = {task.file.file_path.removeprefix("file://") for v in table.versions() for task in _files(table, v.id)}
    assert {str(f) for f in data_files(tmp_path)} == named  # those of tries that came to nothing are gone


def _files(table, version):
    return table._load().scan(snapshot_id=version).plan_files()


def test_upsert_when_others_always_commit_first_then_a_conflict_and_the_table_is_as_before(
    table, tmp_path, monkeypatch
):
    table.upsert(chips([0]))

    def never(*_, **__):
        raise CommitFailedException("s3://user:secret@bucket/?X-Amz-Signature=abc is newer")

    monkeypatch.setattr(Table, "_do_commit", never)
    monkeypatch.setattr(iceberg, "_PATIENCE_S", 0.2)
    with pytest.raises(ConflictError, match=r"table geo_assets\.chips: upsert: others committed first for") as raised:
        table.upsert(chips([1]))
    assert "X-Amz-Signature" not in str(raised.value)
    monkeypatch.undo()
    assert ids(table.read()) == ["c0_0_0"]
    assert len(data_files(tmp_path)) == 1


def test_open_when_the_storage_is_elsewhere_then_sqlite_is_refused():
    with pytest.raises(
        ConfigError, match="sqlite is a file on this machine, and the storage is s3://bucket/a: use glue"
    ):
        iceberg.PLUGIN.open(RECIPE, "s3://bucket/a", "chips")


def test_read_when_a_file_is_gone_then_the_error_names_the_table(table, tmp_path):
    table.upsert(chips([0]))
    data_files(tmp_path)[0].unlink()
    with pytest.raises(StoreError, match=r"table geo_assets\.chips: FileNotFoundError"):
        table.read()


def test_tidy_when_a_writer_is_about_to_commit_then_its_files_stay(table, tmp_path):
    table.upsert(chips([0]))
    stray = data_files(tmp_path)[0].with_name("stray.parquet")
    stray.write_bytes(b"of a writer")
    assert table.tidy(keep=dt.timedelta(0), orphans=dt.timedelta(hours=1)).removed == 0
    assert stray.exists()
    os.utime(stray, (0, 0))
    assert table.tidy(keep=dt.timedelta(0), orphans=dt.timedelta(hours=1)).removed == 1
    assert not stray.exists()


@pytest.mark.parametrize(
    ("writers", "rounds", "kills"), [(3, 4, 2), pytest.param(8, 20, 12, marks=[pytest.mark.heavy, pytest.mark.slow])]
)
def test_upsert_when_processes_write_the_same_and_are_killed_then_no_row_is_lost_or_twice(
    table, tmp_path, writers, rounds, kills
):
    log, dice = tmp_path / "log", random.Random(7)
    log.touch()

    def done(name):
        return sum(line.split()[0] == str(name) for line in log.read_text().splitlines())

    def start(name):
        command = [
            sys.executable,
            "-m",
            "geo_assets_tests.tables.upserter",
            str(tmp_path),
            str(name),
            str(done(name)),
            str(rounds),
            str(log),
        ]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    running = {name: start(name) for name in range(1, writers + 1)}
    try:
        while running:
            time.sleep(dice.uniform(0.3, 1.2))
            if kills and (alive := [n for n, p in running.items() if p.poll() is None and done(n)]):
                name, kills = dice.choice(alive), kills - 1
                running[name].send_signal(signal.SIGKILL)
                running[name].wait()
                running[name] = start(name)
            for name, process in list(running.items()):
                if process.poll() is not None:
                    assert process.returncode == 0
                    del running[name]
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    assert not kills
    _check_history(table, [(n, r) for n in range(1, writers + 1) for r in range(rounds)])


def _check_history(table, committed):
    """Every state can be read, no key is twice in it, and none goes; every round is there; the last one to write a key counts."""
    before: dict[tuple, float] = {}
    written = set()
    for version in table.versions():
        rows = table.read(version=version.id).to_pylist()
        now = {tuple(r[k] for k in KEY): r["clear_fraction"] for r in rows}
        assert len(now) == len(rows) == version.rows
        assert before.keys() <= now.keys()
        changed = {key: value for key, value in now.items() if before.get(key) != value}
        (value,) = set(changed.values())  # a state is one round of one process
        expected = {tuple(r[k] for k in KEY) for r in rows_of(str(int(value)), round(value % 1 * 100)).to_pylist()}
        assert changed.keys() <= expected
        assert all(now[key] == value for key in expected)
        written.add((int(value), round(value % 1 * 100)))
        before = now
    assert written == set(committed)
