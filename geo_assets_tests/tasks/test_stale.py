"""What the cube holds beside what its receipts say: it is neither kept as if it were right, nor in anybody's way for ever."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from geo_assets.eo.picture import decode_png
from geo_assets.errors import StoreError
from geo_assets.model import path
from geo_assets.storage import Storage
from geo_assets.tasks import composite, quicklook
from geo_assets.testing.plain_run import PlainRun, run_plain
from geo_assets_tests.assets.tiny import leave_out, link_world
from geo_assets_tests.tasks.test_partition import EAST, KEY, WEST, folder, pixels, project

__all__ = ["folder"]


@pytest.fixture
def bare(folder: Path, tmp_path: Path) -> Path:
    """The world without an item."""
    world = link_world(folder, tmp_path / "bare")
    for item in [p.parent.name for p in world.glob("*/*/*.json") if p.parent.name == p.stem]:
        leave_out(world, item)
    return world


def forget(run: PlainRun) -> None:
    run.loaded.storage.delete(path.receipt("composite", *KEY))


@pytest.mark.parametrize("store", ["icechunk", "zarr"])
@pytest.mark.parametrize("layout", ["bands", "stacked"])
def test_partition_when_receipt_and_scenes_are_gone_then_its_pixels_go_too(tmp_path, folder, bare, store, layout):
    options = {"store": store, "layout": layout}
    first = run_plain(project(tmp_path / "p", folder, WEST, **options))
    assert pixels(first).any()
    forget(first)
    second = run_plain(project(tmp_path / "p", bare, WEST, **options))
    assert not pixels(second).any()
    assert second.receipts[KEY].figures["observed_share"] == 0


def test_partition_when_only_a_band_of_it_was_written_then_it_goes(tmp_path, folder, bare):
    first = run_plain(project(tmp_path / "p", folder, WEST, store="zarr"))
    forget(first)
    for name in ("red", "n_clear"):  # as a process that is killed leaves it
        for file in (tmp_path / "p" / "data" / "cube" / "utm33n" / name / "c").rglob("*"):
            if file.is_file():
                file.unlink()
    assert not pixels(run_plain(project(tmp_path / "p", bare, WEST, store="zarr"))).any()


@pytest.mark.parametrize("store", ["icechunk", "zarr"])
def test_partition_when_nothing_was_ever_made_then_no_task_is_needed_for_nothing(tmp_path, bare, store, monkeypatch):
    monkeypatch.setattr(composite, "run", None)
    run = run_plain(project(tmp_path, bare, WEST, store=store))
    assert [b.status for b in run.receipts[KEY].blocks] == ["ok"] * len(run.plans[KEY].todo)


def test_partition_when_a_receipt_is_damaged_and_nothing_was_made_then_no_task_is_needed(tmp_path, bare, monkeypatch):
    monkeypatch.setattr(composite, "run", None)
    run = run_plain(project(tmp_path, bare, WEST))
    forget(run)
    again = run_plain(run.loaded)
    assert again.receipts[KEY].blocks == run.receipts[KEY].blocks


def as_failed(run: PlainRun, wanted, **changed):
    """The run's receipt with some of its blocks failed."""
    receipt = run.receipts[KEY]
    fault = {"status": "failed", "cause": "red.tif: gone", "error": "SourceError", **changed}
    blocks = [b.model_copy(update=fault) if wanted(b) else b for b in receipt.blocks]
    broken = receipt.model_copy(update={"status": "partial", "blocks": blocks})
    run.loaded.storage.write_receipt(broken)
    return broken


@pytest.mark.parametrize("held", [True, False])
def test_partition_when_no_cell_asks_for_a_block_that_failed_then_it_is_whole_again(tmp_path, folder, held):
    both = run_plain(project(tmp_path, folder, WEST, EAST))
    asked = {(t.plan.block.row, t.plan.block.col) for t in run_plain(project(tmp_path, folder, WEST), overwrite=True).plans[KEY].todo}  # fmt: skip
    gone = next((b.row, b.col) for b in both.receipts[KEY].blocks if (b.row, b.col) not in asked)
    lost = {} if held else {"chunks": [], "key": ""}
    before = pixels(both)
    as_failed(both, lambda b: (b.row, b.col) == gone, **lost)
    run = run_plain(project(tmp_path, folder, WEST))
    assert run.plans[KEY].todo == ()
    receipt = run.loaded.storage.read_receipt("composite", *KEY)
    assert (receipt.status, receipt.failures) == ("ok", [])
    assert (gone in {(b.row, b.col) for b in receipt.blocks}) == held
    assert np.array_equal(pixels(run), before)
    again = run_plain(project(tmp_path, folder, WEST))
    assert again.receipts[KEY] == receipt


def shown(run: PlainRun) -> np.ndarray | None:
    """The picture of the partition's region."""
    return decode_png(run.loaded.storage.read(path.quicklook("composite", *KEY)))


def test_quicklook_when_the_cube_was_replaced_then_nothing_of_the_old_one_is_on_it(tmp_path, folder, bare):
    both = run_plain(project(tmp_path / "p", folder, WEST, EAST))
    old = shown(both)
    forget(both)
    shutil.rmtree(tmp_path / "p" / "data" / "cube")
    west, alone = run_plain(project(tmp_path / "p", folder, WEST)), run_plain(project(tmp_path / "q", folder, WEST))
    assert np.array_equal(shown(west), shown(alone))
    assert not np.array_equal(shown(west), old)
    forget(west)
    shutil.rmtree(tmp_path / "p" / "data" / "cube")
    run_plain(project(tmp_path / "p", bare, WEST))
    assert shown(west) is None
    assert west.loaded.storage.read(path.closeup("composite", *KEY)) is None


def test_quicklook_when_it_cannot_be_written_then_what_is_committed_has_its_receipt(
    tmp_path, folder, monkeypatch, caplog
):
    write = Storage.write

    def full(self, name, content):
        if name.endswith(".png"):
            raise StoreError(f"{name}: cannot be written: no space left on device")
        write(self, name, content)

    monkeypatch.setattr(Storage, "write", full)
    run = run_plain(project(tmp_path, folder, WEST))
    assert run.loaded.storage.read_receipt("composite", *KEY).status == "ok"
    assert "no picture" in caplog.text


def test_closeup_when_the_cube_cannot_be_opened_then_there_is_none_and_the_receipt_is_written(
    tmp_path, folder, monkeypatch, caplog
):
    def gone(*args, **kwargs):
        raise OSError("connection reset")

    real = quicklook.update_closeup
    calls = []

    def update(*args):
        with monkeypatch.context() as patch:
            patch.setattr(quicklook.zarr, "open_group", gone)
            real(*args)
        calls.append(args)

    monkeypatch.setattr(quicklook, "update_closeup", update)
    run = run_plain(project(tmp_path, folder, WEST))
    assert calls
    assert run.receipts[KEY].status == "ok"
    assert "no close-up: connection reset" in caplog.text
