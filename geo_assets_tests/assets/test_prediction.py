"""Maps of a model as an asset: what they hold, what makes them stale, and what a failure leaves."""

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import numpy.typing as npt
import pystac
import pytest
import rasterio
import scipy.ndimage
import xarray as xr

import geo_assets
from geo_assets.assets.context import Workspace
from geo_assets.assets.plain import PlainStore
from geo_assets.doors.plan import plan_project
from geo_assets.eo.picture import decode_png
from geo_assets.errors import ConfigError, SourceError, StoreError
from geo_assets.model import path
from geo_assets.tasks import prediction
from geo_assets.tasks.predict import ArrayRaster, open_model, predicted
from geo_assets.testing.model_files import BANDS, identity_model, onnx_model, scores_of, smoothing_model, write_model
from geo_assets_tests.assets.test_changes import states
from geo_assets_tests.assets.tiny import EAST, MIDDLE, MONTHS, WEST, Tiny, key, leave_out, materializations, write_area

PRODUCT = "prediction/tiny"
FOR = MONTHS[1:]  # the model reads two months
KEYS = {(r, m) for r in (WEST, MIDDLE) for m in FOR}
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def prepare(tiny: Tiny, made: Any = None, **settings: Any) -> Tiny:
    write_model(tiny.folder / "models", made or smoothing_model(), "tiny")
    tiny.change(products=["composite", "prediction"], prediction={"model": "models/tiny.json"} | settings)
    return tiny


@pytest.fixture(scope="session")
def base(made: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A project whose maps are made; read it only."""
    tiny = prepare(made.copy(tmp_path_factory.mktemp("prediction") / "project"))
    summary = tiny.run_aside()
    assert summary.partitions == {"total": 10, "ok": 4, "partial": 0, "failed": 0, "skipped": 6}
    return tiny


@pytest.fixture
def project(base: Tiny, tmp_path: Path) -> Tiny:
    """A project whose maps are made, to go on from."""
    return base.copy(tmp_path / "project")


def maps(tiny: Tiny) -> dict[Any, Any]:
    return tiny.receipts(PRODUCT)


def remade(tiny: Tiny, before: dict[Any, Any]) -> set[Any]:
    return {k for k, r in maps(tiny).items() if k not in before or r.run_id != before[k].run_id}


def values_of(cube: xr.Dataset, months: list[str], bands: tuple[str, ...] = BANDS) -> npt.NDArray[np.float32]:
    """Dims (time, band, y, x)."""
    part = cube.sel(time=months)
    return np.stack([part[b].to_numpy() for b in bands], axis=1).astype(np.float32)


def window_of(cube: xr.Dataset, file: str) -> tuple[npt.NDArray[Any], tuple[slice, slice], Any]:
    """Pixels of a GeoTIFF, where they lie in the cube, and its profile."""
    with rasterio.open(file) as source:
        assert str(source.crs) == "EPSG:32633"
        row = round((float(cube.y[0]) + 5 - source.transform.f) / 10)
        col = round((source.transform.c - (float(cube.x[0]) - 5)) / 10)
        return source.read(), (slice(row, row + source.height), slice(col, col + source.width)), source.profile


def test_maps_are_those_of_an_independent_computation_over_both_regions_in_every_pixel(base: Tiny) -> None:
    cube = base.cube()
    table = geo_assets.open(base.folder / "data").predictions(month="2024-04")
    assert len(table) == len(set(table["cell_id"])) == len(geo_assets.open(base.folder / "data").cells())
    assert table["zarr"].isna().all()
    values = values_of(cube, ["2024-03", "2024-04"])
    seen = np.isfinite(values).all(axis=(0, 1))
    # Beyond the regions nothing is stored, so the model sees zeros there, as it does where nothing is observed
    wide = np.pad(values, ((0, 0), (0, 0), (32, 32), (32, 32)), constant_values=np.nan)
    mean = scipy.ndimage.uniform_filter(np.nan_to_num(wide).astype(np.float64), (1, 1, 5, 5), mode="constant")
    wanted = np.argmax(scores_of(mean.astype(np.float32))[:, 32:-32, 32:-32], axis=0) * 10
    at = base.loaded.project.cube.pixel_grid("EPSG:32633").array_geobox()
    origin = round((float(at.top) - float(cube.y[0]) - 5) / 10), round((float(cube.x[0]) - 5 - float(at.left)) / 10)
    raster = ArrayRaster(wide, (origin[0] - 32, origin[1] - 32))
    whole = predicted(open_model(base.folder / "models" / "tiny.json"), raster).labels
    assert whole is not None
    compared = differ = 0
    for _, row in table.iterrows():
        found, (rows, cols), profile = window_of(cube, row["cog"])
        inside = slice(max(rows.start, 0), rows.stop), slice(max(cols.start, 0), cols.stop)
        found = found[0, inside[0].start - rows.start :, inside[1].start - cols.start :]
        assert np.array_equal(found != 255, seen[inside])
        assert np.array_equal(found, whole[32:-32, 32:-32][inside])
        assert (profile["nodata"], profile["dtype"]) == (255, "uint8")
        compared, differ = (
            compared + found[seen[inside]].size,
            differ + int((found != wanted[inside])[seen[inside]].sum()),
        )
    assert set(table["region"]) == {WEST, MIDDLE}
    assert compared > 5_000
    # A window's own edge still counts a little where it fades out, and does not see what is around it
    assert differ <= compared / 500


def test_each_key_has_one_event_with_figures_and_a_picture(base: Tiny) -> None:
    receipts = maps(base)
    assert receipts.keys() == KEYS
    with base.instance() as instance:
        found = {str(m.partition): m for m in materializations(instance, PRODUCT)}
    assert found.keys() == {key(*k) for k in KEYS}
    for (region, month), receipt in receipts.items():
        metadata = found[key(region, month)].metadata
        assert (found[key(region, month)].tags or {})["dagster/data_version"] == receipt.data_version
        assert metadata["model"].value == "small"
        assert metadata["periods"].value == 2
        assert metadata["cells"].value == receipt.figures["cells"] > 0
        picture = decode_png(base.loaded.storage.read(path.quicklook(PRODUCT, region, month)))
        assert picture is not None
        if month == "2024-04":
            assert "class-" in str(metadata["classes"].value)
            assert receipt.figures["observed_share"] > 0.3
            assert sum(receipt.figures["classes"].values()) == pytest.approx(1, abs=1e-3)
            assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 2
        else:
            assert metadata["note"].value == receipt.emptiness == "no pixel has all that the model reads: all is nodata"


def test_an_item_names_model_cube_and_months_and_its_links_lead_there(base: Tiny) -> None:
    table = geo_assets.open(base.folder / "data").predictions("tiny", "2024-04")
    assert table.crs.to_epsg() == 4326
    for _, row in table.iterrows():
        item = pystac.Item.from_file(row["item"])
        assert item.bbox is not None
        shown = item.properties
        assert (shown["start_datetime"], shown["end_datetime"]) == ("2024-03-01T00:00:00Z", "2024-04-30T23:59:59Z")
        assert (shown["geo_assets:cell"], shown["geo_assets:month"]) == (row["cell_id"], "2024-04")
        model, cube = [str(link.get_absolute_href()) for link in item.get_links("derived_from")]
        assert json.loads(Path(model).read_text())["id"] == "small"
        assert os.path.isdir(cube.removesuffix("/utm33n"))
        for name in ("prediction", "thumbnail"):
            assert os.path.isfile(str(item.assets[name].get_absolute_href()))
        assert row.geometry.equals_exact(row.geometry, 0)


def test_a_rerun_makes_nothing(project: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "run", lambda _: pytest.fail("a task was started"))
    before = maps(project)
    summary = project.run()
    assert summary.partitions == {"total": 10, "ok": 0, "partial": 0, "failed": 0, "skipped": 10}
    assert maps(project) == before
    assert {s.state for s in states(project, PRODUCT).values()} == {"fresh"}
    with project.instance() as instance:
        newest = materializations(instance, PRODUCT)[:4]
    assert {str(m.metadata["status"].value) for m in newest} == {"skipped: same composites, model and code"}


@pytest.mark.heavy
def test_a_scene_that_is_withdrawn_makes_exactly_the_maps_stale_that_saw_it(world: Path, tmp_path: Path) -> None:
    tiny = prepare(Tiny.create(tmp_path / "project", world))
    assert tiny.run().complete
    east = next(
        s
        for s in tiny.receipts()[MIDDLE, "2024-03"].scenes
        if s.id not in {x.id for x in tiny.receipts()[WEST, "2024-03"].scenes}
    )
    leave_out(world, east.id)
    before, composites = maps(tiny), tiny.receipts()
    assert tiny.run(products=["composite"]).complete
    changed = {k for k, r in tiny.receipts().items() if r.data_version != composites[k].data_version}
    assert changed == {(MIDDLE, "2024-03")}
    # The composite of March feeds the map of April alone, whose neighbour in the west sees two pixels of it
    wanted = {k: s.reason for k, s in states(tiny, PRODUCT).items() if s.state == "stale"}
    assert wanted == dict.fromkeys([(MIDDLE, "2024-04"), (WEST, "2024-04")], "composite or model changed")
    assert tiny.run().complete
    assert remade(tiny, before) == wanted.keys()
    kept = [b for b in maps(tiny)[WEST, "2024-04"].blocks if b in before[WEST, "2024-04"].blocks]
    assert kept  # blocks that see nothing of it


@pytest.mark.heavy
def test_a_model_of_single_pixels_does_not_look_at_its_neighbours(world: Path, tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    from geo_assets.testing.model_files import lightgbm_model

    tiny = prepare(Tiny.create(tmp_path / "project", world), lightgbm_model())
    assert tiny.run().complete
    east = next(
        s
        for s in tiny.receipts()[MIDDLE, "2024-03"].scenes
        if s.id not in {x.id for x in tiny.receipts()[WEST, "2024-03"].scenes}
    )
    leave_out(world, east.id)
    assert tiny.run(products=["composite"]).complete
    assert {k for k, s in states(tiny, PRODUCT).items() if s.state == "stale"} == {(MIDDLE, "2024-04")}


def test_another_model_makes_everything_again_and_the_old_one_stays_in_the_storage(project: Tiny) -> None:
    before = maps(project)
    write_model(project.folder / "models", onnx_model(), "tiny")
    assert {s.reason for s in states(project, PRODUCT).values()} == {"composite or model changed"}
    assert project.run().complete
    assert remade(project, before) == KEYS
    assert len({n.split("/")[1] for n in project.loaded.storage.names("models")}) == 2
    assert {r.figures["sha256"] for r in maps(project).values()} != {r.figures["sha256"] for r in before.values()}


def test_batch_and_device_change_nothing_that_counts(project: Tiny) -> None:
    project.change(prediction={"batch": 3})
    assert {s.state for s in states(project, PRODUCT).values()} == {"fresh"}


def test_an_identity_model_returns_the_cube_everywhere_edges_included(project: Tiny) -> None:
    prepare(project, identity_model(("nir", "red")), format="both", name="same")
    assert project.run().complete
    cube = project.cube()
    table = geo_assets.open(project.folder / "data").predictions("same")
    assert set(table["month"]) == set(MONTHS)
    for _, row in table.iterrows():
        values = values_of(cube, [row["month"]], ("nir", "red"))[0]
        found, (rows, cols), profile = window_of(cube, row["cog"])
        group = xr.open_zarr(row["zarr"], consolidated=False)
        as_zarr = np.stack([group["same-0"].to_numpy(), group["same-1"].to_numpy()])
        np.testing.assert_array_equal(as_zarr, found)
        assert np.isnan(profile["nodata"])
        rows0, cols0 = max(rows.start, 0), max(cols.start, 0)
        wanted = values[:, rows0 : rows.stop, cols0 : cols.stop].copy()
        wanted[:, np.isnan(wanted).any(axis=0)] = np.nan  # a pixel that lacks a band has no result
        np.testing.assert_allclose(found[:, rows0 - rows.start :, cols0 - cols.start :], wanted, rtol=1e-6, atol=0)
    assert np.isfinite(values_of(cube, ["2024-03"], ("red",))).mean() > 0.2


def test_what_fails_keeps_its_map_is_told_and_is_alone_made_again(
    project: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, before = prediction.run, maps(project)
    block = before[WEST, "2024-04"].blocks[0]

    def run(task: Any) -> Any:
        if (task.region, task.month, task.row, task.col) == (WEST, "2024-04", block.row, block.col):
            raise SourceError("the model fell over")
        return real(task)

    monkeypatch.setattr(prediction, "run", run)
    table = geo_assets.open(project.folder / "data").predictions(month="2024-04")
    file = Path(table[table["cell_id"] == block.cells[0]]["cog"].item())
    content = file.read_bytes()
    summary = project.run(
        products=["prediction"], overwrite=True, first_month="2024-04", last_month="2024-04", regions=[WEST]
    )
    assert summary.partitions["partial"] == 1
    (failure,) = [f for f in summary.failures if f["product"] == PRODUCT]
    assert (failure["region"], failure["block"], failure["cells"]) == (WEST, f"{block.row},{block.col}", block.cells)
    assert "fell over" in failure["cause"]
    assert file.read_bytes() == content
    assert states(project, PRODUCT)[WEST, "2024-04"].state == "failed"
    monkeypatch.setattr(prediction, "run", real)
    half = maps(project)
    again = project.run(retry_failed=True)
    assert again.complete, again.failures
    assert remade(project, half) == {(WEST, "2024-04")}
    assert [
        b.run_id != half[WEST, "2024-04"].blocks[i].run_id for i, b in enumerate(maps(project)[WEST, "2024-04"].blocks)
    ].count(True) == 1


def test_months_before_are_made_with_it_and_neighbours_too(world: Path, tmp_path: Path) -> None:
    tiny = prepare(Tiny.create(tmp_path / "project", world))
    summary = tiny.run(products=["prediction"], first_month="2024-04", last_month="2024-04", regions=[MIDDLE])
    assert summary.complete, summary.failures
    assert maps(tiny).keys() == {(MIDDLE, "2024-04")}
    assert {m for _, m in tiny.receipts()} == {"2024-03", "2024-04"}
    assert summary.partitions["ok"] == 1 + len(tiny.receipts())
    with pytest.raises(ConfigError, match="no partition among those: its months are 2024-04, 2024-05"):
        tiny.run(products=["prediction"], first_month="2024-03", last_month="2024-03")


def test_maps_of_cells_that_are_withdrawn_are_deleted(project: Tiny) -> None:
    write_area(project.folder / "area.gpkg", (510_800, 5_233_000, 511_200, 5_233_500))
    before = {row["cell_id"] for _, row in geo_assets.open(project.folder / "data").predictions().iterrows()}
    assert project.run().complete
    table = geo_assets.open(project.folder / "data").predictions()
    gone = before - set(table[table["region"] == WEST]["cell_id"])
    assert gone
    files = {p.name.split(".")[0] for p in (project.folder / "data" / PRODUCT / WEST).rglob("*.*")}
    assert files == set(table[table["region"] == WEST]["cell_id"])


def test_a_composite_that_is_missing_is_named(project: Tiny) -> None:
    project.loaded.storage.delete(path.receipt("composite", WEST, "2024-03"))
    state = states(project, PRODUCT)[WEST, "2024-04"]
    assert state.state == "stale"
    assert "no composite of utm33n_r4088_c399 2024-03: not made yet" in state.reason


def test_maps_that_are_gone_are_told_left_out_by_the_reader_and_made_again(project: Tiny) -> None:
    table = geo_assets.open(project.folder / "data").predictions(month="2024-04")
    row = table[table["region"] == WEST].iloc[0]
    Path(row["item"]).unlink()
    Path(row["cog"]).unlink()
    left = geo_assets.open(project.folder / "data").predictions(month="2024-04")
    assert row["cell_id"] not in set(left["cell_id"])
    state = states(project, PRODUCT)[WEST, "2024-04"]
    assert (state.state, state.reason) == ("stale", f"the map of {row['cell_id']} is gone")
    before = maps(project)
    assert project.run().complete
    assert remade(project, before) == {(WEST, "2024-04")}
    assert Path(row["cog"]).exists()


@pytest.mark.heavy
@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_model_in_the_storage_that_is_lost_or_damaged_is_put_there_anew(project: Tiny, damage: str) -> None:
    (weights,) = (project.folder / "data" / "models").rglob("weights*")
    content = weights.read_bytes()
    weights.unlink()
    if damage == "changed":
        weights.write_bytes(content[:-1] + b"x")
    prediction._open.cache_clear()
    assert project.run(products=["prediction"], overwrite=True).complete
    assert weights.read_bytes() == content


@pytest.mark.heavy
def test_a_worker_that_lives_on_takes_the_item_as_it_is_now(project: Tiny) -> None:
    content, item = smoothing_model()
    classes = tuple(replace(c, value=c.value + 1) for c in item.classes)
    write_model(project.folder / "models", (content, replace(item, classes=classes)), "tiny")
    assert project.run().complete
    cog = geo_assets.open(project.folder / "data").predictions(month="2024-04")["cog"]
    found: set[int] = set()
    for file in cog:
        with rasterio.open(file) as source:
            found |= set(np.unique(source.read(1)).tolist())
    assert found - {255} <= {1, 11, 21, 31}
    assert len(found) > 2


def test_maps_are_stale_where_a_composite_that_they_read_is(project: Tiny) -> None:
    project.change(mask={"close_px": 1})
    reasons = {k: s.reason for k, s in states(project, PRODUCT).items() if s.state == "stale"}
    assert reasons.keys() == KEYS
    assert (
        reasons[WEST, "2024-04"]
        == f"composite {WEST} 2024-03, which it reads, is stale: recipe changed: mask.close_px 0 -> 1"
    )


@pytest.mark.heavy
def test_another_format_leaves_no_file_of_the_old_one(project: Tiny) -> None:
    project.change(prediction={"format": "zarr"})
    assert project.run().complete
    folder = project.folder / "data" / PRODUCT
    assert list(folder.rglob("*.zarr"))
    assert not list(folder.rglob("*.tif"))


def test_the_plan_counts_maps_that_are_to_be_made(project: Tiny) -> None:
    def planned() -> Any:
        loaded = project.loaded
        workspace = Workspace.of(loaded, storage=PlainStore(loaded.project.storage))
        plans = plan_project(workspace, list(loaded.periods()), [WEST, MIDDLE], loaded.wanted())
        return next(p for p in plans if p.product == PRODUCT)

    fresh = planned()
    assert (fresh.partitions, fresh.months, fresh.bytes) == (4, 2, 0)
    write_model(project.folder / "models", onnx_model(), "tiny")
    assert planned().bytes > 0
    assert planned().seconds > fresh.seconds


def test_jobs_of_a_run_are_its_tasks(base: Tiny) -> None:
    from geo_assets.report.jobs import jobs_of

    receipts = maps(base)
    found = Counter(
        j.partition for j in jobs_of(base.loaded.storage, [r.run_id for r in receipts.values()]) if j.product == PRODUCT
    )
    assert found == {(PRODUCT, *k): len(r.blocks) for k, r in receipts.items()}


def _without_band(tiny: Tiny) -> None:
    tiny.change(cube={"bands": ["red", "green"]})


def _without_file(tiny: Tiny) -> None:
    (tiny.folder / "models" / "tiny.bin2").unlink()


def _damaged(tiny: Tiny) -> None:
    (tiny.folder / "models" / "tiny.bin2").write_bytes(b"x" * 100)


def _no_item(tiny: Tiny) -> None:
    (tiny.folder / "models" / "tiny.json").unlink()


def _one_month(tiny: Tiny) -> None:
    tiny.change(months={"end": MONTHS[0]})


def _other_count(tiny: Tiny) -> None:
    tiny.change(prediction={"periods": 3})


def _gpu(tiny: Tiny) -> None:
    tiny.change(prediction={"device": "cuda"})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_without_band, r"reads the band .nir., and cube.bands are red, green"), (_without_file, r"tiny\.bin2.*cannot be read"),
        (_damaged, r"tiny\.bin2: has 100 bytes"), (_no_item, r"tiny\.json: the model's item cannot be read"),
        (_one_month, "reads 2 periods in a row, and the project's 1 from 2024-03 on have none such"),
        (_other_count, "prediction.periods: model small reads 2 time steps, not 3"), (_gpu, "ONNX models are run on the CPU only"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_before_anything_is_made(
    spoil: Any, says: str, world: Path, tmp_path: Path
) -> None:
    tiny = prepare(Tiny.create(tmp_path / "project", world))
    spoil(tiny)
    with pytest.raises(ConfigError, match=says):
        tiny.run()
    assert not tiny.loaded.storage.names(path.RECEIPTS)


def test_a_product_without_a_model_is_refused(project: Tiny) -> None:
    import yaml

    document = yaml.safe_load(project.file.read_text())
    del document["prediction"]
    project.file.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigError, match="nothing says of which model"):
        _ = project.loaded


def test_the_reader_says_which_maps_there_are(base: Tiny) -> None:
    store = geo_assets.open(base.folder / "data")
    with pytest.raises(StoreError, match=r"no map of other .*there are some of tiny"):
        store.predictions("other")
    cell = store.predictions()["cell_id"][0]
    assert set(store.predictions(cell=cell)["month"]) == set(FOR)
    assert EAST not in set(store.predictions()["region"])


def test_the_asset_is_in_the_graph_after_the_composite_with_its_months_only(base: Tiny) -> None:
    graph = base.runner()._defs.resolve_asset_graph()
    asset = dg.AssetKey(["prediction", "tiny"])
    assert graph.get(asset).parent_keys == {dg.AssetKey("composite")}
    assert graph.get(asset).group_name == "inference"
    months = graph.get(asset).partitions_def.get_partitions_def_for_dimension("month").get_partition_keys()
    assert list(months) == FOR
