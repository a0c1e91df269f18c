"""Yearly tiles: steps, values and keys against the sample world's truth, and what they must not do."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml
from pyproj import Transformer

from geo_assets.assets.checks import plausible_layers
from geo_assets.errors import ConfigError
from geo_assets.project import LoadedProject, load_project
from geo_assets.registry import load
from geo_assets.report.radar_tile import quality_page
from geo_assets.testing.plain_ard import ArdRun, run_ard
from geo_assets.testing.world import SampleWorld
from geo_assets.testing.world_static import dem_tiles
from geo_assets_tests.assets.tiny import link_world, truncate

S2, S1, DEM = "sentinel-2-l2a", "sentinel-1-rtc", "dem"
BANDS = ("red", "green", "blue", "nir", "rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22")
WORLD = SampleWorld(
    months=("2024-02", "2024-06"), days=3, size_px=(640, 512), overlap_px=64, internal_px=128, sensors=(S2, S1, DEM), bands=BANDS, with_broken=False,
    with_duplicate=False,
)  # fmt: skip
TILE = "3000X1000Y"


def project(folder: Path, *, rules: dict[str, Any] | None = None, **settings: Any) -> LoadedProject:
    west, south, east, north = WORLD.aoi.bounds
    x, y = (west + east) / 2, (south + north) / 2
    (folder / "table.csv").write_text(f"X,Y,Y_tile,X_tile\n{x},{y},1000,3000\n{x + 1 / 18},{y},1000,3001\n")
    (folder / "tiles.csv").write_text(f"Year,X,Y,Y_tile,X_tile\n2024,{x},{y},1000,3000\n")
    document = {
        "name": "trees", "storage": "./data", "products": ["ard"], "grid": {"kind": "tiles", "path": "table.csv"},
        "months": {"start": "2024-01", "end": "2024-12", "step": 12}, "catalog": {"kind": "static", "path": "world/catalog.json"},
        "aois": {"a": {"path": "tiles.csv"}}, "sensors": [S2, S1, DEM],
        "ard": {"layout": "tiles", "format": "npz", "rules": rules or {"days": {"min_centre_coverage": 0.0}, "steps": {"max_bad_share": 0.6}}},
        **settings,
    }  # fmt: skip
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(folder / "geo_assets.yaml")


def row(run: ArdRun, sensor: str) -> dict[str, Any]:
    ((found),) = [r for (name, *_), table in run.tables.items() if name == sensor for r in table.to_dict("records")]
    return found


def array(loaded: LoadedProject, found: dict[str, Any], product: str) -> Any:
    return np.load(loaded.storage.uri(found["arrays"][product]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, world: Path) -> tuple[LoadedProject, ArdRun]:
    folder = tmp_path_factory.mktemp("made")
    link_world(world, folder / "world")
    loaded = project(folder)
    return loaded, run_ard(loaded)


def test_tile_when_made_then_its_objects_have_the_names_that_its_users_know(made):
    _, run = made
    raw = "tiles/2024/raw/3000/1000/raw"
    assert row(run, S2)["arrays"] == {
        "s2_10": f"{raw}/s2_10/{TILE}.npz", "s2_20": f"{raw}/s2_20/{TILE}.npz", "s2_dates": f"{raw}/misc/s2_dates_{TILE}.npz",
        "clouds": f"{raw}/clouds/clouds_{TILE}.npz",
    }  # fmt: skip
    assert row(run, S1)["arrays"]["s1"] == f"{raw}/s1/{TILE}.npz"
    assert row(run, DEM)["arrays"]["dem"] == f"{raw}/misc/dem_{TILE}.npz"
    assert {r.status for r in run.receipts.values()} == {"ok"}


def test_sentinel_2_when_the_offset_is_off_then_reflectance_is_the_truth_within_its_noise(made):
    loaded, run = made
    found = row(run, S2)
    s2 = array(loaded, found, "s2_10")
    assert s2["dims"].tolist() == ["time", "y", "x", "band"]
    assert s2["bands"].tolist() == ["blue", "green", "red", "nir"]
    days = array(loaded, found, "s2_dates")["data"]
    kept = [dt.date.fromisoformat(d["solar_day"]) for d in found["report"]["days"] if d["used"]]
    assert days.tolist() == s2["days_of_year"].tolist() == [d.timetuple().tm_yday for d in kept]
    assert any(d >= dt.date(2024, 6, 1) for d in kept)
    clouds = array(loaded, found, "clouds")["data"]
    for step, day, codes in zip(s2["data"], kept, clouds, strict=True):
        truth = _truth(f"{day:%Y-%m}", "red", s2)
        values = np.where(step[..., 2] > 0, step[..., 2] / 65_535, np.nan)
        near = np.kron(np.isin(codes, (4, 5)), np.ones((16, 16), bool))
        clear = (
            near[_offset(s2, array(loaded, found, "clouds"))][: values.shape[0], : values.shape[1]]
            & np.isfinite(values)
            & np.isfinite(truth)
        )
        assert clear.sum() > 5_000
        assert abs(np.median((values - truth)[clear])) < 0.02  # with the offset left in it would be 0.1


def _truth(month: str, band: str, stored: Any) -> np.ndarray:
    a, _, c, _, _, f = stored["transform"]
    rows, cols = stored["data"].shape[1:3]
    box = WORLD.box.window(round((float(WORLD.box.top) - f) / a), round((c - float(WORLD.box.left)) / a), rows, cols)
    return WORLD.truth(month, band, box)


def _offset(fine: Any, coarse: Any) -> tuple[slice, slice]:
    """Where the fine pixels begin within the coarse ones, both in fine pixels."""
    row = round((coarse["transform"][5] - fine["transform"][5]) / 10)
    col = round((fine["transform"][2] - coarse["transform"][2]) / 10)
    return slice(row, None), slice(col, None)


def test_sentinel_1_when_quarters_have_no_scene_then_there_are_twelve_steps_and_they_say_so(made):
    """The world has scenes in the first and second quarter alone."""
    loaded, run = made
    found = row(run, S1)
    s1 = array(loaded, found, "s1")
    assert s1["data"].shape[0] == 12
    assert s1["days_of_year"].tolist() == [45] * 3 + [135] * 3 + [225] * 3 + [315] * 3
    assert (s1["data"][:6] > 0).any()
    assert not s1["data"][6:].any()
    assert [q["status"] for q in found["report"]["quarters"]] == ["ok", "ok", "empty", "empty"]
    for quarter in range(2):
        assert (s1["data"][3 * quarter] == s1["data"][3 * quarter + 1]).all()


def test_tile_when_a_page_is_written_then_each_sensor_has_its_own_and_it_tells_what_the_table_does(home):
    loaded = project(home, sensors=[S2, S1, DEM])
    run = run_ard(loaded, page=quality_page)
    pages = sorted(p.name for p in (home / "data" / "tiles" / "2024" / "reports").iterdir())
    assert pages == [f"{TILE}.html", f"s1_{TILE}.html"]
    text = " ".join((home / "data" / "tiles" / "2024" / "reports" / f"s1_{TILE}.html").read_text().split())
    report = row(run, S1)["report"]
    assert report["verdict"]["doubts"]
    for line in (*report["verdict"]["doubts"], *(d["day"] for d in report["days"])):
        assert line in text
    assert {i for d in report["days"] if d["kept"] for i in d["items"]} == set(row(run, S1)["item_ids"])
    key, table = next((k, t) for k, t in run.tables.items() if k[0] == S1 and len(t))
    check = plausible_layers(run.receipts[key], table, load("sensors", S1))
    assert check.metadata["doubts"].startswith(f"{TILE}: radar, quarter 3: nodata")


def test_sentinel_1_when_a_file_stays_unreadable_then_its_quarter_is_nodata_and_the_number_of_steps_stays(home):
    loaded = project(home, sensors=[S2, S1], ard={"layout": "tiles", "format": "npz", "sensors": [S1]})
    for scene in WORLD.radar_scenes:
        if scene.month == "2024-02":
            _cut(home / "world", scene.item_id)
    found = row(run_ard(loaded), S1)
    states = {q["number"]: q for q in found["report"]["quarters"]}
    assert states[1]["status"] == "failed"
    assert "vv" in states[1]["cause"]
    assert states[2]["status"] == "ok"
    assert array(loaded, found, "s1")["data"].shape[0] == 12


def _cut(world: Path, item_id: str) -> None:
    for file in sorted(world.rglob("*vv*.tif*")):
        if item_id in str(file):
            body = file.read_bytes()
            file.unlink()  # it is a link to the shared world
            file.write_bytes(body[:600])


def test_terrain_when_read_then_slope_is_that_of_the_ground_in_degrees(made):
    loaded, run = made
    dem = array(loaded, row(run, DEM), "dem")
    a, _, c, _, _, f = dem["transform"]
    rows, cols = dem["data"].shape
    x, y = np.meshgrid(c + a * (np.arange(cols) + 0.5), f - a * (np.arange(rows) + 0.5))
    truth = WORLD.terrain.slope(x, y)
    both = np.isfinite(dem["data"]) & np.isfinite(truth) & (truth > 1)
    assert both.sum() > 10_000
    assert np.median(np.abs(dem["data"] - truth)[both]) < 0.5  # a fixed 10 m in x would be a third too flat eastward
    assert np.nanmin(dem["data"]) >= np.float32(0.02)
    lon, _ = Transformer.from_crs(WORLD.crs, 4326, always_xy=True).transform(x, y)
    near = both & (np.abs(lon - max(t.transform.c for t in dem_tiles(WORLD.box, 1))) < 0.5 / 3600)
    assert near.sum() > 500
    assert np.percentile(np.abs(dem["data"] - truth)[near], 95) < 0.2  # where tiles meet, each by itself is flat: 1.3


def test_tile_when_nothing_changed_then_nothing_is_made_again(made):
    loaded, run = made
    again = run_ard(loaded)
    assert not any(p.todo for p in again.plans.values())
    assert again.receipts == run.receipts


def test_tile_when_rules_change_then_the_tiles_that_read_them_alone_are_made_again(home):
    def todo(**rules: Any) -> set[str]:
        loaded = project(home, ard={"layout": "tiles", "format": "npz", "sensors": [S1, DEM], "rules": rules})
        return {sensor for (sensor, *_), plan in run_ard(loaded).plans.items() if plan.todo}

    assert todo() == {S1, DEM}
    assert todo(days={"max_score": 0.3}, steps={"whole_day": False}) == set()
    assert todo(days={"max_score": 0.3}, radar={"days": 2}) == {S1}


def test_tile_when_a_scene_of_sentinel_2_is_damaged_then_the_tile_fails_with_its_cause(home):
    loaded = project(
        home,
        sensors=[S2],
        ard={"layout": "tiles", "rules": {"days": {"min_centre_coverage": 0.0}, "steps": {"max_bad_share": 1.0}}},
    )
    for granule in WORLD.granules:
        truncate(home / "world", granule.item_id, "scl")
    (failed,) = [b for r in run_ard(loaded).receipts.values() for b in r.failures]
    assert failed.name == TILE
    assert failed.missing == [TILE]
    assert "scl" in str(failed.cause).lower()


def test_sentinel_2_when_there_is_no_mask_then_days_are_chosen_by_its_classes_all_the_same(home, made):
    first, run = made
    loaded = project(home, sensors=[S2], mask={"kind": "none"})
    found = row(run_ard(loaded), S2)
    np.testing.assert_array_equal(array(loaded, found, "s2_10")["data"], array(first, row(run, S2), "s2_10")["data"])


def test_tile_when_no_item_has_a_band_then_the_advice_is_to_leave_the_sensor_out(home):
    loaded = project(home, sensors=[S2])
    for file in (home / "world").rglob("*.json"):
        document = json.loads(file.read_text())
        document.get("assets", {}).pop("rededge3", None)
        file.write_text(json.dumps(document))
    with pytest.raises(ConfigError, match=r"rededge3 .*leave sentinel-2-l2a out of ard\.sensors"):
        run_ard(loaded)


@pytest.mark.parametrize("kind", ["zarr", "cog"])
def test_tile_when_another_format_is_asked_for_then_it_holds_the_same_numbers(home, made, kind):
    first, run = made
    loaded = project(home, sensors=[S2, S1], ard={"layout": "tiles", "format": kind, "sensors": [S1]})
    wanted = array(first, row(run, S1), "s1")["data"]
    place = loaded.storage.uri(row(run_ard(loaded), S1)["arrays"]["s1"])
    if kind == "zarr":
        np.testing.assert_array_equal(xr.open_zarr(place, mask_and_scale=False)["data"], wanted)
        return
    with rasterio.open(place) as file:
        assert file.descriptions[:2] == ("day 45 vv", "day 45 vh")
        np.testing.assert_array_equal(file.read().reshape(12, 2, *wanted.shape[1:3]).transpose(0, 2, 3, 1), wanted)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no table of tiles": ({"grid": {"kind": "majortom"}}, "needs grid"),
    "months": ({"months": {"start": "2024-01", "end": "2024-12"}}, "months.step to 12"),
    "July": ({"months": {"start": "2024-07", "end": "2025-06", "step": 12}}, "a January"),
    "a CRS": ({"cube": {"crs": "EPSG:3035"}}, "cube.crs to utm"),
    "two formats": ({"ard": {"layout": "tiles", "format": "both"}}, "one format"),
    "npz of scenes": ({"ard": {"format": "npz"}}, "npz is for ard.layout tiles"),
    "an unknown rule": ({"ard": {"layout": "tiles", "rules": {"days": {"max_scor": 0.3}}}}, "did you mean 'max_score'"),
    "a rule of another type": ({"ard": {"layout": "tiles", "rules": {"days": {"per_month": "two"}}}}, "its usual value is 2"),
    "a rule out of range": ({"ard": {"layout": "tiles", "rules": {"steps": {"max_bad_share": 3.0}}}}, "ard.rules.steps"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_project_when_yearly_tiles_cannot_be_made_then_it_says_what_to_change(home, kind):
    settings, text = WRONG[kind]
    with pytest.raises(ConfigError, match=text):
        project(home, **settings)
