import csv
import datetime as dt
import io

import geopandas as gpd
import pytest
import shapely

from geo_assets.model.receipt import PartitionReceipt
from geo_assets.report.jobs import Job
from geo_assets.report.rows import FAILED, failed_csv
from geo_assets.report.tiles import StoredTiles
from geo_assets.report.write import write_run_report
from geo_assets.storage import Storage
from geo_assets.tasks.cells import write_cells

WEST, EAST = "utm33n_r1_c1", "utm33n_r1_c2"
HEAD = ("Year", "X", "Y", "Y_tile", "X_tile", *FAILED)
TILES = {WEST: {"10X7Y": (-15.25, 47.5), "-9X8Y": (-15.2, 47.5)}, EAST: {"-9X8Y": (-15.2, 47.5)}}


def store(
    storage: Storage, region: str, tiles: dict[str, tuple[float, float]], *, grid: str = "tiles", centres: bool = True
) -> None:
    x, y = zip(*tiles.values(), strict=True)
    frame = gpd.GeoDataFrame(
        {"cell_id": list(tiles), "region": region, "regions": [[region]] * len(tiles), "crs": "EPSG:32633"} | ({"x": x, "y": y} if centres else {}),
        geometry=[shapely.box(a, b, a + 1, b + 1) for a, b in tiles.values()], crs="EPSG:4326",
    )  # fmt: skip
    storage.write(f"cells/{region}.parquet", write_cells(frame))
    storage.write_receipt(
        PartitionReceipt(
            product="cells", region=region, status="ok", data_version="1", code_version="1", run_id="r", recipe_hash="h",
            made_at=dt.datetime.now(dt.UTC), figures={"cells": len(tiles), "grid": grid},
        )
    )  # fmt: skip


@pytest.fixture
def storage(tmp_path):
    made = Storage(str(tmp_path / "data"))
    for region, tiles in TILES.items():
        store(made, region, tiles)
    return made


def failed(region=WEST, month="2024-03", cells=(), block="", **values):
    return Job("composite", region, month, block, tuple(cells), "error", "x", "error", **values)


def rows(jobs, storage):
    text = failed_csv(jobs, StoredTiles(storage) if storage else None)
    return list(csv.reader(io.StringIO(text, newline="")))


def test_failed_csv_when_cells_are_tiles_then_each_failed_cell_has_a_line_that_begins_with_its_tile(storage):
    jobs = [
        failed(cells=["10X7Y", "-9X8Y"], block="1,2"),
        Job("composite", WEST, "2024-03"),
        failed(EAST, "2023-12", ["-9X8Y"], "3,4"),
    ]
    head, *lines = rows(jobs, storage)
    assert tuple(head) == HEAD
    assert [line[:10] for line in lines] == [
        ["2024", "-15.25", "47.5", "7", "10", "composite", WEST, "2024-03", "1,2", "10X7Y"],
        ["2024", "-15.2", "47.5", "8", "-9", "composite", WEST, "2024-03", "1,2", " -9X8Y"],
        ["2023", "-15.2", "47.5", "8", "-9", "composite", EAST, "2023-12", "3,4", " -9X8Y"],
    ]  # fmt: skip


def test_failed_csv_when_a_partition_failed_whole_then_all_cells_of_its_region_are_named_by_their_numbers(storage):
    _, *lines = rows([failed()], storage)
    assert [line[9].strip() for line in lines] == ["-9X8Y", "10X7Y"]


@pytest.mark.parametrize(
    "job", [failed(month=""), failed("utm33n_r9_c9"), failed(cells=["77X7Y"]), failed("../../etc"), failed(month="odd")]
)
def test_failed_csv_when_nobody_knows_the_cells_then_the_line_names_the_region_alone(storage, job):
    _, line = rows([job], storage)
    assert line[:5] == [""] * 5
    assert line[6] == job.region


def test_failed_csv_when_some_cells_of_a_job_are_not_stored_then_the_job_is_named_as_well(storage):
    _, one, whole = rows([failed(cells=["10X7Y", "77X7Y"])], storage)
    assert (one[9], whole[:5], whole[9]) == ("10X7Y", [""] * 5, "10X7Y 77X7Y")


def test_failed_csv_when_nothing_failed_then_it_has_the_head_of_its_project(storage, tmp_path):
    assert rows([], storage) == [list(HEAD)]
    assert rows([Job("composite", WEST)], Storage(str(tmp_path / "empty"))) == [list(FAILED)]


@pytest.mark.parametrize("values", [{"grid": "majortom"}, {"centres": False}])
def test_failed_csv_when_cells_are_no_tiles_then_it_is_as_ever(tmp_path, values):
    storage = Storage(str(tmp_path / "other"))
    store(storage, WEST, TILES[WEST], **values)
    jobs = [failed(cells=["10X7Y", "-9X8Y"])]
    assert rows(jobs, storage) == rows(jobs, None)


def test_failed_csv_when_a_table_of_cells_is_damaged_then_that_is_told_and_the_region_is_named(storage):
    storage.write(f"cells/{WEST}.parquet", b"PAR1")
    with pytest.warns(UserWarning, match="failed.csv names no tiles"):
        _, line, other = rows([failed(cells=["10X7Y"]), failed(EAST)], storage)
    assert (line[:5], other[4]) == ([""] * 5, "-9")


def test_report_when_it_goes_to_a_folder_then_tiles_are_those_of_the_storage(storage, tmp_path):
    write_run_report(tmp_path / "r", "run", [failed(EAST)], {}, title="t", cells=storage)
    write_run_report(storage, "run", [failed(EAST)], {}, title="t")
    here, there = (tmp_path / "r" / "failed.csv").read_bytes(), storage.read("runs/run/failed.csv")
    assert here == there
    assert here.startswith(",".join(HEAD).encode() + b"\n2024,-15.2,47.5,8,-9,")


def test_failed_csv_when_many_jobs_failed_then_each_table_of_cells_is_read_once(storage, monkeypatch):
    read, names = storage.read, []
    monkeypatch.setattr(storage, "read", lambda name: names.append(name) or read(name))
    assert len(rows([failed() for _ in range(50)], storage)) == 101
    assert names.count(f"cells/{WEST}.parquet") == 1
