"""Maps of a model from yearly tiles, end to end: two small tiles, one in the north and one in the south of a world."""

import csv
import json
import os
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import numpy.typing as npt
import pystac
import pytest
import rasterio
import yaml

import geo_assets
from geo_assets.assets.context import Workspace
from geo_assets.assets.plain import PlainStore
from geo_assets.doors import cli
from geo_assets.doors.plan import plan_project
from geo_assets.doors.tiles import Asked
from geo_assets.errors import ConfigError, SourceError
from geo_assets.model import path
from geo_assets.model.mlm import InputBand
from geo_assets.tasks import ard, prediction
from geo_assets.testing.model_files import identity_model, months_model, write_model
from geo_assets.testing.world import SampleWorld
from geo_assets_tests.assets.test_changes import states
from geo_assets_tests.assets.tiny import Tiny, link_world, materializations
from geo_assets_tests.eo.tile_oracle import clear_of, index_of, months_of

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytestmark = pytest.mark.heavy

S2, S1, DEM = "sentinel-2-l2a", "sentinel-1-rtc", "dem"
WORLD = SampleWorld(
    months=("2024-02", "2024-06"), days=3, size_px=(640, 256), overlap_px=64, internal_px=128, sensors=(S2, S1, DEM), with_broken=False,
    bands=("red", "green", "blue", "nir", "rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22"), with_duplicate=False,
)  # fmt: skip
PRODUCT, YEAR = "prediction/trees", "2024-01"
NORTH, SOUTH = "3000X1001Y", "3000X1000Y"
INDICES = ("evi", "bi", "msavi2", "grndvi")
BANDS = ("blue", "swir16", *INDICES, "vv", InputBand("vh", unit="dB"), "slope")


def create(folder: Path, world: Path, made: Any = None, **settings: Any) -> Tiny:
    """Two tiles of some 60 pixels a side, which one slice of a Sentinel-1 pass reaches and the other does not."""
    folder.mkdir(parents=True, exist_ok=True)
    write_model(folder / "models", made or months_model(BANDS), "trees")
    (folder / "table.csv").write_text(
        f"X,Y,Y_tile,X_tile\n15.152,{47.262 + 1 / 36},1001,3000\n15.152,{47.232 - 1 / 36},1000,3000\n"
    )
    document = {
        "name": "trees", "storage": "./data", "products": ["prediction"], "grid": {"kind": "tiles", "path": "table.csv", "clip": True},
        "months": {"start": "2024-01", "end": "2024-12", "step": 12}, "catalog": {"kind": "static", "path": str(world / "catalog.json")},
        "aois": {"north": {"bbox": [15.148, 47.262, 15.156, 47.267]}, "south": {"bbox": [15.148, 47.227, 15.156, 47.232]}},
        "sensors": [S2, S1, DEM], "prediction": {"model": "models/trees.json", "source": "tiles"},
        "ard": {"layout": "tiles", "format": "npz", "rules": {"days": {"min_centre_coverage": 0.0}, "steps": {"max_bad_share": 0.6}}},
    }  # fmt: skip
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document | settings))
    return Tiny(folder)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "world"
    WORLD.write(folder)
    return folder


@pytest.fixture(scope="module")
def base(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """A project whose maps are made; read it only."""
    tiny = create(tmp_path_factory.mktemp("made") / "project", shared)
    summary = tiny.run_aside()
    assert summary.partitions == {"total": 4, "ok": 4, "partial": 0, "failed": 0, "skipped": 0}
    return tiny


@pytest.fixture
def project(base: Tiny, tmp_path: Path) -> Tiny:
    """A project whose maps are made, to go on from."""
    return base.copy(tmp_path / "project")


def receipt(tiny: Tiny, product: str = PRODUCT) -> Any:
    (found,) = tiny.receipts(product).values()
    return found


def runs(tiny: Tiny, product: str = PRODUCT) -> dict[str, str]:
    """Run that made each tile."""
    return {b.name: b.run_id for b in receipt(tiny, product).blocks}


def remade(tiny: Tiny, before: dict[str, str], product: str = PRODUCT) -> set[str]:
    return {name for name, run in runs(tiny, product).items() if before.get(name) != run}


def place(tile: str, ending: str = "tif", label: str = "trees") -> str:
    x, y = tile.removesuffix("Y").split("X")
    return f"tiles/2024/tiles/{x}/{y}/{label}_FINAL.{ending}"


def read(tiny: Tiny, tile: str, label: str = "trees") -> tuple[npt.NDArray[np.float32], Any]:
    with rasterio.open(tiny.loaded.storage.uri(place(tile, label=label))) as file:
        return file.read(), file.profile


def stored(tiny: Tiny, sensor: str, tile: str, product: str) -> Any:
    table = geo_assets.open(tiny.folder / "data").ard(sensor)
    (row,) = [r for r in table.to_dict("records") if r["cell_id"] == tile]
    return np.load(tiny.loaded.storage.uri(row["arrays"][product]))


def expected(tiny: Tiny, tile: str) -> npt.NDArray[np.float64]:
    """What the model is given of a tile, from its stored arrays: dims (month, band, y, x)."""
    fine, coarse, clouds = (stored(tiny, S2, tile, p) for p in ("s2_10", "s2_20", "clouds"))
    radar, slope = stored(tiny, S1, tile, "s1")["data"], stored(tiny, DEM, tile, "dem")["data"]
    values = np.concatenate([fine["data"], coarse["data"].repeat(2, axis=1).repeat(2, axis=2)], axis=-1).astype(float)
    values[values == 0] = np.nan
    names = [*fine["bands"], *coarse["bands"]]
    reflectance = {str(n): values[..., i] / 65_535 for i, n in enumerate(names)}
    shape = fine["data"].shape[1:3]
    first = [round(abs(clouds["transform"][i] - fine["transform"][i]) / 10) for i in (5, 2)]
    clear = clear_of(clouds["data"], shape, (first[0], first[1]))
    days = fine["days_of_year"]
    optical = [reflectance["blue"], reflectance["swir16"], *(index_of(n, reflectance) for n in INDICES)]
    months = [months_of(one, clear, days, 366) for one in optical]
    power = np.where(radar == 0, np.nan, radar / 65_535)
    db = 10 * np.log10(power)
    months += [np.clip((db[..., 0] + 22) / 22, 0, 1), db[..., 1], np.broadcast_to(slope, (12, *shape))]
    return np.stack(months, axis=1)


@pytest.mark.parametrize("tile", [NORTH, SOUTH])
def test_a_map_holds_in_every_pixel_what_its_stored_arrays_give(base: Tiny, tile: str) -> None:
    wanted = expected(base, tile)
    found, profile = read(base, tile)
    assert profile["dtype"] == "float32"
    found = found.reshape(wanted.shape)
    missing = np.isnan(wanted)
    # The model sees missing numbers; a pixel without any number at all has no result
    assert not missing.all(axis=(0, 1)).any()
    np.testing.assert_array_equal(np.isnan(found), missing)
    np.testing.assert_allclose(found, wanted, rtol=3e-5, atol=3e-6)
    assert found[:, :6].std(axis=0)[np.isfinite(found[0, :6])].max() > 0.01  # months differ
    seen = np.isfinite(found).mean(axis=(0, 2, 3))
    assert (seen[:6] > 0.5).all()
    assert seen[6] == seen[7] == 0.5  # the world has no radar in the second half of the year
    assert seen[8] > 0.9
    stored_box = stored(base, S2, tile, "s2_10")
    assert list(profile["transform"])[:6] == list(stored_box["transform"])


def test_an_item_leads_to_the_arrays_of_the_tile_and_to_the_model(base: Tiny) -> None:
    keys = {b.key for s in (S2, S1, DEM) for b in receipt(base, f"ard/{s}").blocks if b.name == NORTH}
    item = pystac.Item.from_file(base.loaded.storage.uri(place(NORTH, "json")))
    assert (item.id, item.properties["geo_assets:cell"]) == (f"trees-{NORTH}-{YEAR}", NORTH)
    assert (item.properties["start_datetime"], item.properties["end_datetime"]) == (
        "2024-01-01T00:00:00Z",
        "2024-12-31T23:59:59Z",
    )
    model, *arrays = item.get_links("derived_from")
    assert json.loads(Path(str(model.get_absolute_href())).read_text())["id"] == "months"
    assert {a.title for a in arrays} == {"clouds", "s2_10", "s2_20", "s1", "dem"}
    assert all(NORTH in str(a.get_absolute_href()) and os.path.isfile(str(a.get_absolute_href())) for a in arrays)
    assert {a.extra_fields["geo_assets:key"] for a in arrays} == keys
    for name in ("prediction", "thumbnail"):
        assert os.path.isfile(str(item.assets[name].get_absolute_href()))


def test_the_receipt_says_what_lacks_and_the_ui_shows_it(base: Tiny) -> None:
    for block in receipt(base).blocks:
        assert "vv, vh: no pixel has a value in the months 7, 8, 9, 10, 11, 12" in block.notes
    with base.instance() as instance:
        (event,) = materializations(instance, PRODUCT)
    assert "months 7, 8" in str(event.metadata["notes"].value)
    assert str(event.metadata["maps"].value).endswith("tiles/2024/tiles")
    assert event.metadata["quicklook"]


def test_a_rerun_makes_nothing(project: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "run", lambda _: pytest.fail("a task was started"))
    before = receipt(project)
    summary = project.run()
    assert summary.partitions == {"total": 4, "ok": 0, "partial": 0, "failed": 0, "skipped": 4}
    assert receipt(project) == before
    (state,) = states(project, PRODUCT).values()
    assert (state.state, state.reason) == ("fresh", "")


def test_a_scene_that_is_withdrawn_makes_exactly_the_map_again_that_it_reached(shared: Path, tmp_path: Path) -> None:
    world = link_world(shared, tmp_path / "world")
    rules = {"radar": {"orbit": "descending"}}
    project = create(
        tmp_path / "project", world, months_model(("vv",)), ard={"layout": "tiles", "sensors": [S1], "rules": rules}
    )
    assert project.run().complete
    (north,) = [s.item_id for s in WORLD.radar_scenes if "20240205T051024" in s.item_id]
    file = next(f for f in world.glob("*/collection.json") if f"{north}.json" in f.read_text())
    document = json.loads(file.read_text())
    document["links"] = [link for link in document["links"] if f"{north}.json" not in link["href"]]
    file.write_text(json.dumps(document))
    tiles, maps = runs(project, f"ard/{S1}"), runs(project)
    content = {t: project.loaded.storage.read(place(t)) for t in (NORTH, SOUTH)}
    assert project.run(products=["ard"]).complete
    assert remade(project, tiles, f"ard/{S1}") == {NORTH}
    (state,) = states(project, PRODUCT).values()
    assert (state.state, state.reason) == ("stale", "tile or model changed")
    assert project.run().complete
    assert remade(project, maps) == {NORTH}
    assert content[SOUTH] == project.loaded.storage.read(place(SOUTH))
    assert content[NORTH] != project.loaded.storage.read(place(NORTH))


def called(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, Any]:
    monkeypatch.setattr(sys, "argv", ["geo-assets", "run", str(tiny.file), *arguments, "--json"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0), json.loads(capsys.readouterr().out)


def test_a_tile_whose_layer_fails_is_nodata_and_the_failed_table_makes_it_alone_again(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    tiny = create(tmp_path / "project", shared, months_model(("slope",)), ard={"layout": "tiles", "sensors": [DEM]})
    real = ard.run

    def run(task: Any) -> Any:
        if task.name == NORTH:
            raise SourceError("the height model cannot be read")
        return real(task)

    monkeypatch.setattr(ard, "run", run)
    code, summary = called(tiny, monkeypatch, capsys)
    assert code == 1
    assert summary["partitions"]["partial"] == 1
    assert (np.isnan(read(tiny, NORTH)[0]).all(), np.isfinite(read(tiny, SOUTH)[0]).all()) == (True, True)
    notes = {b.name: b.notes for b in receipt(tiny).blocks}
    assert notes == {NORTH: ["all is nodata: ard/dem: failed: the height model cannot be read"], SOUTH: []}
    monkeypatch.setattr(ard, "run", real)
    table = Path(summary["report"]) / "failed.csv"
    with table.open(newline="") as handle:
        assert {(r["X_tile"], r["Y_tile"], r["product"]) for r in csv.DictReader(handle)} == {
            ("3000", "1001", "ard/dem")
        }
    before = runs(tiny)
    code, _ = called(tiny, monkeypatch, capsys, "--tiles", str(table))
    assert code == 0
    assert remade(tiny, before) == {NORTH}
    assert np.isfinite(read(tiny, NORTH)[0]).all()
    assert {b.name: b.notes for b in receipt(tiny).blocks} == {NORTH: [], SOUTH: []}


def test_a_map_that_fails_is_kept_and_the_failed_table_makes_it_alone_again(
    project: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, content = prediction.run, project.loaded.storage.read(place(SOUTH))

    def run(task: Any) -> Any:
        if task.cells[0].id == SOUTH:
            raise SourceError("the model fell over")
        return real(task)

    monkeypatch.setattr(prediction, "run", run)
    write_model(project.folder / "models", months_model(BANDS[:3]), "trees")
    code, summary = called(project, monkeypatch, capsys)
    assert code == 1
    (failure,) = summary["failures"]
    assert (failure["product"], failure["block"], failure["cells"]) == (PRODUCT, SOUTH, [SOUTH])
    assert project.loaded.storage.read(place(SOUTH)) == content
    (state,) = states(project, PRODUCT).values()
    assert state.state == "failed"
    monkeypatch.setattr(prediction, "run", real)
    before = runs(project)
    code, again = called(project, monkeypatch, capsys, "--tiles", str(Path(summary["report"]) / "failed.csv"))
    assert code == 0, again
    assert remade(project, before) == {SOUTH}
    assert len(read(project, SOUTH)[0]) == 12 * 3


def test_tiles_that_are_named_are_made_and_others_wait(shared: Path, tmp_path: Path) -> None:
    tiny = create(tmp_path / "project", shared, months_model(("slope",)), ard={"layout": "tiles", "sensors": [DEM]})
    (tmp_path / "asked.csv").write_text(f"Year,X,Y,Y_tile,X_tile\n2024,15.152,{47.232 - 1 / 36},1000,3000\n")
    assert tiny.run(tiles=str(tmp_path / "asked.csv")).complete
    assert set(runs(tiny)) == {SOUTH}
    region = receipt(tiny).region
    assert plans(tiny, region, asked=Asked([(region, YEAR)], frozenset([SOUTH])))[PRODUCT].bytes == 0
    assert plans(tiny, region)[PRODUCT].bytes > 0
    (state,) = states(tiny, PRODUCT).values()
    assert (state.state, NORTH in state.reason) == ("stale", True)
    before = runs(tiny)
    assert tiny.run().complete
    assert remade(tiny, before) == {NORTH}


def test_a_pixel_that_lacks_a_month_is_nodata_where_the_model_wants_all(
    shared: Path, base: Tiny, project: Tiny
) -> None:
    write_model(project.folder / "models", months_model(("blue", "vv"), missing="nodata"), "trees")
    project.change(prediction={"name": "strict"})
    assert project.run().complete
    assert np.isnan(read(project, NORTH, "strict")[0]).all()
    assert receipt(project, "prediction/strict").emptiness == "no pixel has all that the model reads: all is nodata"
    assert project.loaded.storage.read(place(NORTH)) == base.loaded.storage.read(place(NORTH))  # of the other name


def test_maps_of_tiles_that_are_withdrawn_are_deleted(project: Tiny) -> None:
    document = yaml.safe_load(project.file.read_text())
    del document["aois"]["south"]
    project.file.write_text(yaml.safe_dump(document))
    before = runs(project)
    assert project.run(products=["cells", "prediction"]).complete
    assert (remade(project, before), set(runs(project))) == (set(), {NORTH})
    assert {n.split("/")[4] for n in project.loaded.storage.names("tiles/2024/tiles")} == {"1001"}


def test_a_tile_that_was_never_made_is_named(project: Tiny) -> None:
    project.loaded.storage.delete(path.receipt(f"ard/{S1}", receipt(project).region, YEAR))
    (state,) = states(project, PRODUCT).values()
    assert state.state == "stale"
    assert "no yearly tiles of sentinel-1-rtc" in state.reason


def plans(tiny: Tiny, region: str, **options: Any) -> Any:
    """What the plan says, by product."""
    loaded = tiny.loaded
    workspace = Workspace.of(loaded, storage=PlainStore(loaded.project.storage))
    made = plan_project(workspace, list(loaded.periods()), [region], loaded.wanted(), **options)
    return {p.product: p for p in made}


def test_the_reader_and_the_plan_know_the_maps(base: Tiny, project: Tiny) -> None:
    table = geo_assets.open(base.folder / "data").predictions("trees")
    assert list(table["cell_id"]) == [SOUTH, NORTH]
    assert all(os.path.isfile(f) for column in ("cog", "item") for f in table[column])

    def planned(**options: Any) -> Any:
        return plans(project, receipt(project).region, **options)

    assert set(planned()) == {"cells", *(f"{kind}/{s}" for kind in ("scenes", "ard") for s in (S2, S1, DEM)), PRODUCT}
    assert (planned()[PRODUCT].blocks, planned()[PRODUCT].bytes) == (2, 0)
    write_model(project.folder / "models", months_model(BANDS[:3]), "trees")
    asked = Asked([(receipt(project).region, YEAR)], frozenset([SOUTH]))
    assert planned()[PRODUCT].bytes > planned(asked=asked)[PRODUCT].bytes > 0
    assert planned(asked=asked)[PRODUCT].blocks == 1


def test_the_asset_follows_the_tiles_that_its_bands_need(project: Tiny) -> None:
    write_model(project.folder / "models", months_model(("vv", "slope")), "trees")
    runner = project.runner()
    graph = runner._defs.resolve_asset_graph()
    asset = dg.AssetKey(["prediction", "trees"])
    assert graph.get(asset).parent_keys == {dg.AssetKey(["ard", S1]), dg.AssetKey(["ard", DEM])}
    assert graph.get(asset).group_name == "inference"
    assert dg.AssetKey("composite") not in runner._defs.resolve_job_def("cube_job").asset_layer.selected_asset_keys


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no radar": (months_model(("vv",)), {"ard": {"layout": "tiles", "sensors": [S2, DEM]}}, "'vv', of which yearly tiles are made of none of sentinel-2-l2a, dem: add sentinel-1-rtc"),
    "no such band": (months_model(("ndvi",)), {}, "yearly tiles have no band 'ndvi'"),
    "a unit": (months_model((InputBand("vv", unit="W"),)), {}, "no vv in 'W'"),
    "one month": (identity_model(("red",)), {}, "12 months of a year, and identity knows no time"),
    "scenes": (months_model(("red",)), {"ard": {"layout": "scenes"}}, "set ard.layout to tiles"),
    "periods": (months_model(("red",)), {"prediction": {"model": "models/trees.json", "source": "tiles", "periods": 12}}, "periods is for source cube"),
    "a group": (months_model(("red",)), {"prediction": {"model": "models/trees.json", "source": "tiles", "format": "zarr"}}, "are GeoTIFFs, cog"),
    "months": (months_model(("red",)), {"months": {"start": "2024-01", "end": "2024-12"}}, "months.step to 12"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_run_is_refused_before_anything_is_made(case: str, shared: Path, tmp_path: Path) -> None:
    made, settings, says = REFUSED[case]
    tiny = create(tmp_path / "project", shared, made, **settings)
    with pytest.raises(ConfigError, match=says):
        tiny.run()
    assert not list((tmp_path / "project").rglob("receipts"))
