"""What the picture of a partition of analysis-ready layers shows, and what becomes of it when some of it is made again."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml

from geo_assets.assets.figures import ard_metadata
from geo_assets.eo.picture import Picture, blank, decode_png, shows, to_rgb
from geo_assets.errors import StoreError
from geo_assets.model.band import Band
from geo_assets.project import LoadedProject, load_project
from geo_assets.registry import load
from geo_assets.storage import Storage
from geo_assets.tasks.ard_picture import ard_quicklook, layer_picture, tile_picture
from geo_assets.tasks.tile_files import TileArray
from geo_assets.testing.plain_ard import ArdRun, run_ard
from geo_assets.testing.world import SampleWorld
from geo_assets_tests.assets.tiny import leave_out, truncate

S2 = "sentinel-2-l2a"
MONTH = "2024-03"
WORLD = SampleWorld(
    months=(MONTH,),
    center=(460_800.0, 5_273_600.0),
    days=3,
    size_px=(128, 256),
    overlap_px=64,
    internal_px=64,
    with_broken=False,
    with_duplicate=False,
)
SIZE_PX = 64  # of a cell


def project(folder: Path, **settings: Any) -> LoadedProject:
    document = {
        "name": "ready", "storage": "./data", "products": ["ard"], "months": {"start": MONTH, "end": MONTH},
        "grid": {"kind": "square", "size_m": 10 * SIZE_PX, "crs": "EPSG:32633"}, "catalog": {"kind": "static", "path": "world/catalog.json"},
        "aois": {"a": {"bbox": list(WORLD.aoi.bounds)}}, **settings,
    }  # fmt: skip
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(folder / "geo_assets.yaml")


def one(run: ArdRun) -> tuple[str, Any]:
    """Region and table of the only partition."""
    (((_, region, _), table),) = run.tables.items()
    return region, table


def picture(loaded: LoadedProject, region: str, sensor: str = S2, month: str | None = MONTH) -> Picture | None:
    return decode_png(loaded.storage.read(ard_quicklook(f"ard/{sensor}", region, month)))


def expected(loaded: LoadedProject, table: Any) -> Picture:
    """The clearest layer of each cell in true colour, pixel by pixel: all is small enough for it."""
    left = min(r["transform"][2] for r in table.to_dict("records"))
    top = max(r["transform"][5] for r in table.to_dict("records"))
    whole = blank(2048 // 10, 4096 // 10).copy()
    bands = [load("sensors", S2).bands[b] for b in ("red", "green", "blue")]
    best = table.sort_values(["observed_share", "layer"], ascending=[False, True]).drop_duplicates("cell_id")
    for row in best.to_dict("records"):
        with rasterio.open(loaded.storage.uri(row["cog"])) as file:
            stored = file.read([file.descriptions.index(b.name) + 1 for b in bands])
        r, c = round((top - row["transform"][5]) / 10), round((row["transform"][2] - left) / 10)
        whole[r : r + SIZE_PX, c : c + SIZE_PX] = to_rgb(np.moveaxis(stored, 0, -1), bands)
    return whole


def agrees(loaded: LoadedProject, run: ArdRun) -> bool:
    region, table = one(run)
    found = picture(loaded, region)
    assert found is not None
    assert shows(found).any()
    wanted = expected(loaded, table)
    rows, cols = found.shape[:2]
    return np.array_equal(found, wanted[:rows, :cols]) and not shows(wanted[rows:]).any()


def test_picture_when_layers_are_made_then_each_cell_shows_its_clearest_one(home):
    loaded = project(home)
    run = run_ard(loaded)
    assert agrees(loaded, run)
    _, table = one(run)
    assert table["cell_id"].duplicated().any()  # there was a choice
    (receipt,) = run.receipts.values()
    shown = ard_metadata(receipt, table, loaded.storage, load("sensors", S2), skipped=None)
    assert shown["quicklook"].md_str.startswith("![quicklook](data:image/png;base64,iVBOR")


def test_picture_when_one_layer_is_made_again_then_the_others_keep_their_part(home):
    loaded = project(home)
    run = run_ard(loaded)
    _, table = one(run)
    best = table.sort_values("observed_share")["layer"].iloc[-1]
    bad = next(layer for layer in sorted(set(table["layer"])) if layer != best)
    truncate(home / "world", bad, "green")
    assert agrees(loaded, run_ard(loaded, overwrite=True))  # what failed is there still
    shutil.rmtree(home / "world")
    WORLD.write(home / "world")
    again = run_ard(loaded)
    assert {t.name for p in again.plans.values() for t in p.todo} == {bad}
    assert agrees(loaded, again)


def test_picture_when_cells_are_added_then_those_that_were_there_keep_their_part(home):
    west, south, east, north = WORLD.aoi.bounds
    part = [(west + 2 * east) / 3, south, east, (2 * south + north) / 3]  # whose frame begins elsewhere
    run_ard(project(home, aois={"a": {"bbox": part}}))
    loaded = project(home)
    run = run_ard(loaded)
    cells = {c.id for p in run.plans.values() for c in p.cells}
    assert {c.id for p in run.plans.values() for t in p.todo for c in t.cells} < cells
    assert agrees(loaded, run)


def test_picture_when_cells_are_named_then_they_are_seen_where_they_lie(home):
    loaded = project(home)
    cells = sorted({c.id for p in run_ard(loaded).plans.values() for c in p.cells})
    shutil.rmtree(home / "data")
    for n in (1, 2):
        run = run_ard(loaded, only=cells[:n])
        _, table = one(run)
        assert len(set(table["cell_id"])) == n
        seen = shows(picture(loaded, one(run)[0]))
        assert SIZE_PX**2 * (n - 1) < seen.sum() <= SIZE_PX**2 * n
    assert agrees(loaded, run_ard(loaded))


def test_picture_when_a_scene_is_withdrawn_then_nothing_of_it_is_shown(home):
    loaded = project(home)
    _, table = one(run_ard(loaded))
    best = table.sort_values(["observed_share", "layer"], ascending=[False, True]).drop_duplicates("cell_id")
    for layer in set(best["layer"]):
        leave_out(home / "world", layer)
    region, table = one(run_ard(loaded))
    assert len(table)  # others are there, whose pictures nobody has any more
    assert not shows(picture(loaded, region)).any()
    for layer in set(table["layer"]):
        leave_out(home / "world", layer)
    run_ard(loaded)
    assert picture(loaded, region) is None


@pytest.mark.parametrize("content", [b"no picture", b""])
def test_picture_when_the_one_that_is_there_is_damaged_then_it_is_drawn_anew(home, content):
    loaded = project(home)
    region, _ = one(run_ard(loaded))
    loaded.storage.write(ard_quicklook(f"ard/{S2}", region, MONTH), content)
    assert agrees(loaded, run_ard(loaded, overwrite=True))


def test_picture_when_it_cannot_be_written_then_the_partition_counts_and_it_is_said(home, monkeypatch, caplog):
    write = Storage.write

    def no_pictures(self: Storage, name: str, content: bytes) -> None:
        if name.startswith("quicklooks/"):
            raise StoreError("no place is left for pictures")
        write(self, name, content)

    monkeypatch.setattr(Storage, "write", no_pictures)
    run = run_ard(project(home))
    assert {r.status for r in run.receipts.values()} == {"ok"}
    assert "no picture: no place is left" in caplog.text


def test_layer_picture_when_there_are_many_cells_then_all_together_stay_small():
    band = Band("vv", (), 10, dtype="float32", nodata=None, shown=(0.0, 1.0))
    values = np.ones((1000, 500), np.float32)
    assert decode_png(layer_picture([band], [values], cells=1)).shape[0] <= 192
    assert decode_png(layer_picture([band], [values], cells=10_000)).shape[0] <= 6


def test_layer_picture_when_classes_are_bits_then_each_has_a_colour():
    band = load("sensors", "landsat-c2-l2").bands["qa_pixel"]
    codes = np.array([[1, 21824], [22280, 22280]], np.uint16)
    made = decode_png(layer_picture([band], [codes], cells=1))
    assert shows(made).tolist() == [[False, True], [True, True]]
    assert (made[1, 0] == made[1, 1]).all()
    assert (made[0, 1] != made[1, 1]).any()


def test_tile_picture_when_it_has_steps_then_it_is_their_median_of_what_is_observed():
    sensor = load("sensors", S2)
    names = ("blue", "green", "red", "nir")
    values = np.zeros((3, 2, 2, 4), np.uint16)
    values[:, 0, 0] = [[3000, 6000, 9000, 1], [3100, 6100, 9100, 1], [60_000, 60_000, 60_000, 1]]  # the last is cloud
    values[1, 0, 1] = 13_107  # 0.2, on one day alone
    array = TileArray(values, ("time", "y", "x", "band"), None, names, (1, 2, 3), 0, {"scale_factor": 1 / 65_535})
    made = decode_png(tile_picture(array, sensor))
    assert shows(made).tolist() == [[True, True], [False, False]]
    share = [(v / 65_535 / 0.3) ** (1 / 1.8) * 255 for v in (9100, 6100, 3100)]
    np.testing.assert_allclose(made[0, 0].astype(float), share, atol=1.01)
    none = TileArray(values[:0], ("time", "y", "x", "band"), None, names, (), 0, {"scale_factor": 1 / 65_535})
    assert not shows(decode_png(tile_picture(none, sensor))).any()
