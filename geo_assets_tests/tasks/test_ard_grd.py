"""Layers of ground range scenes: real project files over made-up ground whose backscatter and heights are known."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml

from geo_assets.errors import ConfigError
from geo_assets.model.crs import transformer
from geo_assets.project import LoadedProject, load_project
from geo_assets.testing.plain_ard import ArdRun, run_ard
from geo_assets.testing.steep_world import CRS, DEM, GEOID_M, GRD, MONTH, SteepWorld
from geo_assets.testing.world import SampleWorld
from geo_assets.testing.world_grd import GEOID_M as WORLD_GEOID_M

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
WORLD = SteepWorld()
RIDGE = SteepWorld(ridge_m=160.0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steep")
    WORLD.write(folder)
    return folder


@pytest.fixture
def home(tmp_path: Path, written: Path) -> Path:
    shutil.copytree(written, tmp_path / "world")
    return tmp_path


def project(home: Path, *, sensors: Any = (GRD, "dem"), ard: Any = None, **settings: Any) -> LoadedProject:
    to_degrees = transformer(CRS, "EPSG:4326").transform
    x, y = WORLD.middle
    (west, south), (east, north) = to_degrees(x - 400, y - 400), to_degrees(x + 400, y + 400)
    document = {
        "name": "steep", "storage": "./data", "products": ["ard"], "months": {"start": MONTH, "end": MONTH},
        "aois": {"a": {"bbox": [west, south, east, north]}}, "sensors": list(sensors), "catalog": {"kind": "static", "path": "world/catalog.json"},
        "grid": {"kind": "square", "size_m": 640, "crs": CRS}, "cube": {"sensor": sensors[0], "bands": ["vv"], "resolution": 10, "block_px": 128, "chunk_px": 64},
        "ard": {"sensors": [GRD], "geoid_m": GEOID_M, **(ard or {})}, **settings,
    }  # fmt: skip
    (home / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(home / "geo_assets.yaml")


def layers(loaded: LoadedProject, run: ArdRun, sensor: str = GRD) -> list[tuple[dict[str, Any], np.ndarray, Any]]:
    """Row, values (band, y, x) and file facts of each layer."""
    found = []
    for row in (r for key, t in run.tables.items() if key[0] == sensor for r in t.to_dict("records")):
        with rasterio.open(loaded.storage.uri(row["cog"])) as file:
            found.append((row, file.read(), {"tags": file.tags(), "dtypes": file.dtypes, "nodata": file.nodata}))
    return found


def degrees(row: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    a, _, c, _, e, f = row["transform"]
    x, y = c + a * (np.arange(row["shape"][1]) + 0.5), f + e * (np.arange(row["shape"][0]) + 0.5)
    return transformer(CRS, "EPSG:4326").transform(*np.meshgrid(x, y))


def receipt(run: ArdRun) -> Any:
    (found,) = (r for key, r in run.receipts.items() if key[0] == GRD)
    return found


def test_layers_when_ground_is_steep_then_gamma0_is_the_truth_in_both_polarisations(home):
    loaded = project(home)
    run = run_ard(loaded)
    made = layers(loaded, run)
    assert len(made) >= 4
    for row, values, facts in made:
        assert (set(facts["dtypes"]), np.isnan(facts["nodata"])) == ({"float32"}, True)
        for name, band in zip(("vv", "vh"), values, strict=True):
            expected = WORLD.radar.truth(*degrees(row), name)
            seen = np.isfinite(band)
            assert np.abs(band[seen] / expected[seen] - 1).max() < (0.012 if name == "vv" else 0.03)
            assert row["bands"][name]["count"] == seen.sum()
    assert max(row["observed_share"] for row, *_ in made) == 1  # of the others the image ends within


@pytest.mark.heavy
def test_layers_when_decibels_are_asked_for_then_ten_times_the_logarithm(home):
    power, decibels = (project(home, ard=a, storage=s) for a, s in (({}, "./power"), ({"backscatter": "db"}, "./db")))
    both = layers(power, run_ard(power)), layers(decibels, run_ard(decibels))
    for (_, linear, _), (_, db, _) in zip(*both, strict=True):
        np.testing.assert_allclose(db, 10 * np.log10(linear), rtol=1e-5)


def test_layers_when_a_ridge_casts_shadow_and_layover_then_not_a_number_there_and_nowhere_else(home):
    plain = project(home)
    before = {row["cell_id"]: np.isnan(values) for row, values, _ in layers(plain, run_ard(plain))}
    RIDGE.write_heights(home / "world")
    loaded = project(home, storage="./ridge")
    run = run_ard(loaded)
    hidden = 0
    for row, values, _ in layers(loaded, run):
        x, _ = transformer("EPSG:4326", CRS).transform(*degrees(row))
        off, gone = x - RIDGE.middle[0], np.isnan(values) & ~before[row["cell_id"]]
        # The radar flies west of it and looks east at 38 degrees: the flank that faces it rises by 160 m in 120
        assert np.isnan(values[:, (off > -100) & (off < -20)]).all()
        # Its top appears 160 m / tan(38) nearer, and its shadow on falling ground is shorter than 160 m * tan(46)
        assert not gone[:, (off < -120 - 205 - 40) | (off > 120 + 166 + 40)].any()
        hidden += int(gone.sum())
    assert hidden > 2_000
    notes = " ".join(note for block in receipt(run).blocks for note in block.notes)
    assert "are NaN in shadow, in layover" in notes


@pytest.mark.heavy
def test_layers_when_a_ridge_stands_outside_of_a_cell_then_its_layover_is_seen_all_the_same(home, monkeypatch):
    RIDGE.write_heights(home / "world")
    loaded = project(home)
    wide = [np.isnan(v).sum() for _, v, _ in layers(loaded, run_ard(loaded))]
    monkeypatch.setattr("geo_assets.tasks.heights.MARGIN_M", 10.0)
    alone = project(home, storage="./alone")
    narrow = [np.isnan(v).sum() for _, v, _ in layers(alone, run_ard(alone))]
    assert sum(wide) > sum(narrow)


@pytest.mark.heavy
def test_layers_when_cells_are_many_then_files_are_read_once(home):
    one = receipt(run_ard(project(home)))
    cut = project(home, storage="./cut", grid={"kind": "square", "size_m": 160, "crs": CRS})
    many = receipt(run_ard(cut))
    assert many.figures["cells"] > 20
    size = sum(
        f.stat().st_size
        for folder in (GRD, DEM)
        for f in (home / "world" / folder).rglob("*")
        if f.suffix in (".tiff", ".xml", ".tif")
    )
    assert many.figures["bytes_read"] < 1.3 * size
    assert many.figures["bytes_read"] < 1.1 * one.figures["bytes_read"]


def test_provenance_when_made_then_names_the_heights_and_their_files(home):
    loaded = project(home)
    run = run_ard(loaded)
    used = {"Copernicus_DSM_COG_10_W_2021_DEM", "Copernicus_DSM_COG_10_E_2021_DEM"}
    of = receipt(run)
    assert {h.id for h in of.heights} == used
    assert all(h.hrefs["elevation"].endswith("dem.tif") for h in of.heights)
    assert {i for b in of.blocks for i in b.height_ids} == used
    for row, _, facts in layers(loaded, run):
        assert next(iter(row["item_ids"])) == row["layer"]
        assert set(row["item_ids"]) - {row["layer"]} == used
        assert set(facts["tags"]["GEO_ASSETS_HEIGHTS"].split()) == used


def test_plan_when_heights_change_then_exactly_these_layers_are_stale(home):
    both = {"sensors": [GRD, "dem"]}
    run_ard(project(home, ard=both))
    assert [p.reason for p in run_ard(project(home, ard=both)).plans.values()] == ["", ""]
    shutil.rmtree(home / "world" / DEM)
    WORLD.write_heights(home / "world", version="2024")
    again = run_ard(project(home, ard=both))
    assert {key[0]: plan.reason for key, plan in again.plans.items()} == {
        GRD: "2 new scenes of heights, 2 withdrawn scenes of heights",
        "dem": "2 new scenes, 2 withdrawn scenes",
    }
    told = {h.id for h in receipt(again).heights}
    assert told == {"Copernicus_DSM_COG_10_W_2024_DEM", "Copernicus_DSM_COG_10_E_2024_DEM"}


@pytest.mark.heavy
def test_plan_when_an_option_of_radar_changes_then_only_radar_is_stale(home):
    both = {"sensors": [GRD, "dem"]}
    run_ard(project(home, ard=both))
    plans = run_ard(project(home, ard={**both, "geoid_m": 47.0})).plans
    assert {key[0]: bool(plan.todo) for key, plan in plans.items()} == {GRD: True, "dem": False}


@pytest.mark.parametrize("size_m", [640, 160])  # of which some end at the join
def test_terrain_when_tiles_of_the_height_model_meet_then_the_slope_goes_on(home, size_m):
    grid = {"kind": "square", "size_m": size_m, "crs": CRS}
    loaded = project(home, ard={"sensors": ["dem"], "bands": {"dem": ["elevation", "slope"]}}, grid=grid)
    steep = np.degrees(np.arctan(np.hypot(WORLD.radar.east, WORLD.radar.north)))
    checked = 0
    for row, (height, slope), _ in layers(loaded, run_ard(loaded), "dem"):
        assert np.abs(height - (WORLD.radar.height(*degrees(row)) - GEOID_M)).max() < 0.5
        assert np.abs(slope - steep).max() < 0.3  # each tile by itself is flat in its outer half pixel
        checked += slope.size
    assert checked > 6_000


def test_layers_when_the_geoid_is_forgotten_then_far_from_the_truth(home):
    loaded = project(home, ard={"geoid_m": 0.0})
    worst = 0.0
    for row, values, _ in layers(loaded, run_ard(loaded)):
        worst = max(worst, float(np.nanmax(np.abs(values[0] / WORLD.radar.truth(*degrees(row)) - 1))))
    assert worst > 0.05


def test_layers_when_no_heights_are_known_then_nothing_is_made_and_the_receipt_says_so(home):
    loaded = project(
        home, sensors=(GRD, {"sensor": "dem", "exclude": [f"Copernicus_DSM_COG_10_{e}_2021_DEM" for e in "WE"]})
    )
    of = receipt(run_ard(loaded))
    assert of.status == "ok"
    assert of.figures["observed_share"] == 0
    assert any("dem has no heights under" in note for b in of.blocks for note in b.notes)


@pytest.mark.heavy
def test_layers_when_flattened_by_area_then_another_gamma0(home):
    lit = dataclasses.replace(WORLD, radar=dataclasses.replace(WORLD.radar, by_area=True))
    shutil.rmtree(home / "world")
    lit.write(home / "world")
    loaded = project(home, ard={"flatten": "area"})
    made = layers(loaded, run_ard(loaded))
    off = np.concatenate([np.abs(v[0] / lit.radar.truth(*degrees(row)) - 1).ravel() for row, v, _ in made])
    assert np.nanpercentile(off, 95) < 0.02
    angle = project(home, storage="./angle")
    off = np.concatenate(
        [np.abs(v[0] / lit.radar.truth(*degrees(r)) - 1).ravel() for r, v, _ in layers(angle, run_ard(angle))]
    )
    assert np.nanmedian(off) > 0.15


def test_layers_when_the_sample_world_is_seen_from_both_directions_then_both_are_its_truth(tmp_path):
    world = SampleWorld(
        months=("2024-06",), days=2, size_px=(160, 192), overlap_px=64, internal_px=64, sensors=(GRD, "dem"), with_broken=False, with_duplicate=False,
    )  # fmt: skip
    world.write(tmp_path / "world")
    west, south, east, north = world.box.window(40, 48, 64, 64).lonlat().bounds
    document = {
        "name": "sample", "storage": "./data", "products": ["ard"], "months": {"start": "2024-06", "end": "2024-06"},
        "aois": {"a": {"bbox": [west, south, east, north]}}, "sensors": [GRD, "dem"], "catalog": {"kind": "static", "path": "world/catalog.json"},
        "grid": {"kind": "square", "size_m": 640, "crs": world.crs}, "cube": {"sensor": GRD, "bands": ["vv"], "resolution": 10},
        "ard": {"sensors": [GRD], "geoid_m": WORLD_GEOID_M},
    }  # fmt: skip
    (tmp_path / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    loaded = load_project(tmp_path / "geo_assets.yaml")
    made = layers(loaded, run_ard(loaded))
    assert {row["layer"] for row, *_ in made} == {s.item_id for s in world.grd_scenes}
    checked = 0
    for row, values, _ in made:
        a, _, c, _, _, f = row["transform"]
        rows, cols = row["shape"]
        at = round((float(world.box.top) - f) / a), round((c - float(world.box.left)) / a)
        for name, band in zip(("vv", "vh"), values, strict=True):
            expected = world.truth_backscatter("2024-06", name, world.box.window(*at, rows, cols))
            both = np.isfinite(band) & np.isfinite(expected)
            if both.sum() > 1_000:  # where land cover changes, a sample shows both
                assert abs(band[both].sum() / expected[both].sum() - 1) < 0.005
                assert np.median(np.abs(band[both] / expected[both] - 1)) < 0.01
                checked += 1
    assert checked >= 8


def test_project_when_heights_are_missing_then_it_is_refused_and_told_what_to_add(home):
    with pytest.raises(ConfigError, match="sentinel-1-grd is placed by heights of the ground: add dem to sensors"):
        project(home, sensors=[GRD])


def test_project_when_proj_lacks_the_geoid_then_it_is_refused_and_told_what_to_do(home, monkeypatch):
    def none(*_: Any) -> Any:
        raise ConfigError("PROJ has no grid of the EGM2008 geoid: run `pyproj sync`, or give it as ard.geoid_m")

    monkeypatch.setattr("geo_assets.project.undulation", none)
    with pytest.raises(ConfigError, match=r"sentinel-1-grd: PROJ has no grid .* ard.geoid_m"):
        project(home, ard={"geoid_m": None})


class SlantedGeoid(SteepWorld):
    """Heights above a geoid that rises by 35 m, which are 5 pixels of the image, from end to end of a cell."""

    def geoid(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        return GEOID_M + (lat - self.radar.lat) * 6000

    def height(self, lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        return self.radar.height(lon, lat) - self.geoid(lon, lat)


def test_heights_when_proj_has_the_geoid_then_it_is_bilinear_between_the_corners_of_a_cell(home, monkeypatch):
    world = SlantedGeoid()
    world.write_heights(home / "world")
    monkeypatch.setattr("geo_assets.project.undulation", world.geoid)
    monkeypatch.setattr("geo_assets.tasks.heights.undulation", world.geoid)
    loaded = project(home, ard={"geoid_m": None})
    for row, values, _ in layers(loaded, run_ard(loaded)):
        seen = np.isfinite(values[0])
        assert np.abs(values[0][seen] / world.radar.truth(*degrees(row))[seen] - 1).max() < 0.012
