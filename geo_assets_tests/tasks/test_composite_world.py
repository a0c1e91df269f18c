"""The sample world, whose true reflectance is known: how near a composite comes to it, and what a damaged file does."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml

from geo_assets.model.geometry import Block
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.model.sensor import OffsetDecision
from geo_assets.project import LoadedProject, load_project
from geo_assets.readers import native
from geo_assets.tasks import search
from geo_assets.testing.plain_run import run_plain, stored_pixels
from geo_assets.testing.world import COLLECTION, SampleWorld
from geo_assets.testing.world_files import damage

# Its middle is chosen so that one region holds its blocks, and the damaged tile lies in one of them
WORLD = SampleWorld(
    months=("2024-05", "2024-06", "2024-07"),
    size_px=(320, 512),
    overlap_px=64,
    internal_px=128,
    center=(512_000, 5_233_920),
)
SOUND = dataclasses.replace(WORLD, with_broken=False)
CUBE = {"crs": "EPSG:32633", "block_px": 256, "chunk_px": 64, "region_blocks": 3}
REGION, JUDGED, BLOCKS, PIXELS = "utm33n_r681_c66", "2024-06", 6, 41 * 64 * 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("world")
    SOUND.write(path)
    return path


def project(
    home: Path,
    world: Path,
    *,
    mask: dict[str, Any] | None = None,
    months: tuple[str, str] = (JUDGED, JUDGED),
    **cube: Any,
) -> LoadedProject:
    document = {
        "name": "world", "aois": {"a": str(world / "aoi.gpkg")}, "months": {"start": months[0], "end": months[1]}, "storage": "./data",
        "catalog": {"kind": "static", "path": str(world / "catalog.json")}, "grid": {"kind": "square", "size_m": 320, "crs": "EPSG:32633"},
        "cube": {**CUBE, **cube}, "mask": mask or {},
    }  # fmt: skip
    home.mkdir(parents=True, exist_ok=True)
    (home / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(home / "geo_assets.yaml")


def judge(home: Path, folder: Path, **options: Any) -> dict[str, tuple[float, float]]:
    """By band the RMSE of a composite and that of a perfect mask's median, over the same pixels."""
    loaded = project(home, folder, bands=["red", "nir"], **options)
    run = run_plain(loaded)
    assert list(run.receipts) == [(REGION, JUDGED)]
    assert run.receipts[REGION, JUDGED].status == "ok"
    assert run.receipts[REGION, JUDGED].figures["pixels"] == PIXELS
    found = stored_pixels(loaded, "utm33n", JUDGED, WORLD.box.bounds)
    errors = {}
    for band in ("red", "nir"):
        perfect, truly = WORLD.clear_median(JUDGED, band)
        truth = WORLD.truth(JUDGED, band)
        chosen = (found.values["n_clear"] >= 3) & (truly > 0)
        assert chosen.mean() > 0.3
        made = found.values[band] * 1e-4
        errors[band] = tuple(float(np.sqrt(np.mean((a - truth)[chosen] ** 2))) for a in (made, perfect))
    return errors


def test_composite_when_made_right_then_it_is_nearly_as_good_as_with_a_perfect_mask(tmp_path, folder):
    for made, perfect in judge(tmp_path, folder).values():
        assert made < 0.015
        assert made <= 1.2 * perfect


@pytest.mark.heavy
@pytest.mark.parametrize("reader", ["gdal", "stackstac"])
def test_composite_when_another_reader_is_chosen_then_pixels_are_the_same(tmp_path, folder, reader):
    """On the scenes' own grid every reader gives the stored numbers."""
    ours, theirs = (made(tmp_path / name, folder, reader=name) for name in ("native", reader))
    for band, values in ours[1].items():
        assert values.any()
        assert np.array_equal(values, theirs[1][band])
    assert [b.observed for b in ours[0].blocks] == [b.observed for b in theirs[0].blocks]


@pytest.mark.heavy
def test_composite_when_our_engine_does_not_know_a_file_then_gdal_reads_it_and_the_receipt_says_so(tmp_path, folder):
    shutil.copytree(folder, tmp_path / "world")
    granule = next(g for g in WORLD.granules if g.item_id.split("_")[2].startswith(JUDGED.replace("-", "")))
    path = tmp_path / "world" / COLLECTION / granule.item_id / "red.tif"
    with rasterio.open(path) as source:
        profile, pixels = source.profile, source.read()
    with rasterio.open(path, "w", **{**profile, "driver": "GTiff", "compress": "lzw"}) as sink:
        sink.write(pixels)
    (before, ours), (after, mixed) = made(tmp_path / "a", folder), made(tmp_path / "b", tmp_path / "world")
    assert all(np.array_equal(values, mixed[band]) for band, values in ours.items())
    assert not [note for block in before.blocks for note in block.notes]
    notes = [note for block in after.blocks for note in block.notes]
    assert notes
    assert set(notes) == {f"{path}: read by GDAL: compression LZW"}


def made(home: Path, world: Path, **cube: Any) -> tuple[PartitionReceipt, dict[str, Any]]:
    """The receipt of a composite, and its pixels."""
    loaded = project(home, world, bands=["red", "nir"], **cube)
    run = run_plain(loaded)
    receipt = run.receipts[REGION, JUDGED]
    assert receipt.status == "ok"
    return receipt, stored_pixels(loaded, "utm33n", JUDGED, WORLD.box.bounds).values


def always(offset: int) -> Callable[[pytest.MonkeyPatch], dict[str, Any]]:
    """Every scene gets this offset, whatever its item says."""

    def mistake(patch: pytest.MonkeyPatch) -> dict[str, Any]:
        decide = search.decide

        def decided(items: Any, sensor: Any, **options: Any) -> Any:
            return decide(
                items, dataclasses.replace(sensor, dn_offset=lambda _: OffsetDecision(offset, "patched")), **options
            )

        patch.setattr(search, "decide", decided)
        return {}

    return mistake


def bilinear_classes(patch: pytest.MonkeyPatch) -> dict[str, Any]:
    sweep = native.NativeSession.sweep

    def worse(self: Any, layers: Any, rows: int, **more: Any) -> Any:
        mixed = [
            dataclasses.replace(a, band=dataclasses.replace(a.band, unit="1"), resampling="bilinear") for a in layers
        ]
        return sweep(self, mixed, rows, **more)

    patch.setattr(native.NativeSession, "sweep", worse)
    return {}


NAIVE: dict[str, Callable[[pytest.MonkeyPatch], dict[str, Any]]] = {
    "no mask": lambda _: {"mask": {"kind": "none"}},
    "no offset": always(0),
    "double offset": always(-1000),
    "bilinear classes": bilinear_classes,
    "mean": lambda _: {"statistic": "mean"},
}


@pytest.mark.parametrize("name", NAIVE)
def test_composite_when_made_with_a_usual_mistake_then_it_misses_the_bar(tmp_path, folder, monkeypatch, name):
    options = NAIVE[name](monkeypatch)
    for made, perfect in judge(tmp_path / name.replace(" ", "_"), folder, **options).values():
        assert made > 1.2 * perfect


@pytest.fixture
def breakable(tmp_path: Path, folder: Path) -> Path:
    """A copy of the world in which a file may be damaged."""
    shutil.copytree(folder, tmp_path / "world")
    return tmp_path / "world"


def break_one(world: Path) -> Path:
    broken = WORLD.broken
    assert broken is not None
    assert (broken.month, broken.band) == (JUDGED, "green")
    file = world / COLLECTION / broken.item_id / f"{broken.band}.tif"
    damage(file, broken, WORLD.internal_px)
    return file


SPAN = (WORLD.months[0], WORLD.months[-1])


def test_composite_when_a_file_is_damaged_then_one_block_of_one_month_fails_with_its_cause(tmp_path, breakable):
    file = break_one(breakable)
    loaded = project(tmp_path, breakable, months=SPAN)
    run = run_plain(loaded)
    assert {k: r.status for k, r in run.receipts.items()} == {
        (REGION, m): "partial" if m == JUDGED else "ok" for m in WORLD.months
    }
    assert all(len(r.blocks) == BLOCKS for r in run.receipts.values())
    (bad,) = run.receipts[REGION, JUDGED].failures
    assert str(file) in str(bad.cause)
    assert bad.error == "SourceError"
    assert bad.cells
    assert [r.figures["pixels"] for r in run.receipts.values()] == [PIXELS, PIXELS - 65_536, PIXELS]
    assert (bad.observed, bad.chunks) == (0, [])


@pytest.mark.heavy
@pytest.mark.parametrize("store", ["icechunk", "zarr"])
def test_composite_when_a_file_breaks_later_then_the_block_keeps_what_it_had(tmp_path, breakable, folder, store):
    cube = {"bands": ["red", "green"], "store": store}  # red is read first, and could have been written
    first = run_plain(project(tmp_path, breakable, months=SPAN, **cube))
    before = {m: stored_pixels(first.loaded, "utm33n", m, WORLD.box.bounds) for m in WORLD.months}
    break_one(breakable)
    again = run_plain(project(tmp_path, breakable, months=SPAN, **cube, mask={"keep": [4, 5]}))
    (bad,) = again.receipts[REGION, JUDGED].failures
    had = next(b for b in first.receipts[REGION, JUDGED].blocks if (b.row, b.col) == (bad.row, bad.col))
    assert (bad.chunks, bad.key, bad.observed) == (had.chunks, had.key, had.observed)
    assert {k[1]: len(r.failures) for k, r in again.receipts.items()} == {m: int(m == JUDGED) for m in WORLD.months}
    calm = run_plain(project(tmp_path / "calm", folder, months=SPAN, **cube, mask={"keep": [4, 5]}))
    grid, changed = again.plans[REGION, JUDGED].grid, 0
    for month in WORLD.months:
        now, wanted = (stored_pixels(r.loaded, "utm33n", month, WORLD.box.bounds) for r in (again, calm))
        for receipt in again.receipts[REGION, month].blocks:
            west, south, east, north = grid.block_geobox(Block(receipt.row, receipt.col)).bounds
            at = np.ix_((now.y > south) & (now.y < north), (now.x > west) & (now.x < east))
            right = before[month] if receipt.status == "failed" else wanted
            assert all(np.array_equal(right.values[n][at], v[at]) for n, v in now.values.items())
            changed += not np.array_equal(before[month].values["n_clear"][at], now.values["n_clear"][at])
    assert (
        changed == len(WORLD.months) * 2 - 1
    )  # the strips in the other four blocks have no water, and are the same with either mask


@pytest.mark.heavy
def test_composite_when_the_damaged_file_is_mended_then_only_the_failed_block_is_made(tmp_path, breakable, folder):
    file = break_one(breakable)
    first = run_plain(project(tmp_path, breakable))
    shutil.copy(folder / file.relative_to(breakable), file)
    again = run_plain(first.loaded)
    assert [(t.plan.block.row, t.plan.block.col) for t in again.plans[REGION, JUDGED].todo] == [
        (b.row, b.col) for b in first.receipts[REGION, JUDGED].failures
    ]
    assert again.receipts[REGION, JUDGED].status == "ok"
    calm = run_plain(project(tmp_path / "calm", breakable))
    ours, theirs = (stored_pixels(r.loaded, "utm33n", JUDGED, WORLD.box.bounds).values for r in (again, calm))
    assert all(np.array_equal(ours[n], theirs[n]) for n in theirs)
    assert again.receipts[REGION, JUDGED].data_version == calm.receipts[REGION, JUDGED].data_version


def test_composite_when_an_acquisition_is_listed_twice_then_the_older_is_dropped_and_named(tmp_path, folder):
    twice = WORLD.duplicate
    assert twice is not None
    run = run_plain(project(tmp_path, folder, months=(twice.month, twice.month), bands=["red"]))
    assert len(run.receipts) == 1
    receipt = run.receipts[REGION, twice.month]
    (dropped,) = receipt.dropped
    assert (dropped.id, dropped.duplicate_of) == (twice.loser_id, twice.winner_id)
    assert len(receipt.scenes) == 2 * WORLD.days
    used = {i for b in receipt.blocks for i in b.scene_ids}
    assert twice.winner_id in used
    assert twice.loser_id not in used


def test_composite_when_a_month_has_one_day_then_what_it_does_not_show_is_not_observed(tmp_path):
    single = SampleWorld(
        months=(JUDGED,),
        size_px=(128, 256),
        overlap_px=64,
        days=1,
        internal_px=128,
        with_broken=False,
        with_duplicate=False,
    )
    single.write(tmp_path / "world")
    loaded = project(tmp_path, tmp_path / "world", bands=["red"])
    run = run_plain(loaded)
    found = stored_pixels(loaded, "utm33n", JUDGED, single.box.bounds).values
    cloudy = found["n_clear"] == 0
    assert {r.status for r in run.receipts.values()} == {"ok"}
    assert 0.05 < cloudy.mean() < 0.95
    assert not found["red"][cloudy].any()
    assert 0 < found["red"][~cloudy].min() < found["red"].max() < 10_000
    assert [r.figures["pixels"] for r in run.receipts.values()] == [8 * 64 * 64]
