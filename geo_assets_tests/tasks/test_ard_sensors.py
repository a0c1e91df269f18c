"""Each sensor's layers and composites: real files against rasterio alone, and the sample world against its truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml

from geo_assets.project import LoadedProject, load_project
from geo_assets.registry import load
from geo_assets.tasks import ard
from geo_assets.testing.plain_ard import ArdRun, run_ard
from geo_assets.testing.plain_run import run_plain, stored_pixels
from geo_assets.testing.world import SampleWorld
from geo_assets_tests.realdata import real_data
from geo_assets_tests.tasks import oracle

S2, S1, LANDSAT, DEM, COVER = "sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2", "dem", "landcover"
MONTH = "2024-06"
WORLD = SampleWorld(
    months=(MONTH,), days=2, size_px=(256, 384), overlap_px=64, internal_px=128, sensors=(S2, S1, LANDSAT, DEM, COVER), with_broken=False,
    with_duplicate=False,
)  # fmt: skip
BOX = WORLD.box.window(64, 128, 128, 128)  # one cell, away from the world's edges


def project(folder: Path, sensor: str, **settings: Any) -> LoadedProject:
    west, south, east, north = BOX.lonlat().bounds
    inset = 0.001
    document = {
        "name": "sensors", "storage": "./data", "products": ["ard"], "months": {"start": MONTH, "end": MONTH},
        "aois": {"a": {"bbox": [west + inset, south + inset, east - inset, north - inset]}}, "sensors": [sensor],
        "catalog": {"kind": "static", "path": "world/catalog.json"}, "grid": {"kind": "square", "size_m": 1280, "crs": "EPSG:32633"},
        "cube": {"sensor": sensor, "bands": ["red"], "resolution": 10, "block_px": 64, "chunk_px": 32}, **settings,
    }  # fmt: skip
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    return load_project(folder / "geo_assets.yaml")


def layers(
    loaded: LoadedProject, run: ArdRun
) -> list[tuple[dict[str, Any], dict[str, np.ndarray], np.ndarray, np.ndarray]]:
    """Row, values by band (NaN where not observed), x and y of each layer."""
    found = []
    for row in (r for t in run.tables.values() for r in t.to_dict("records")):
        with rasterio.open(loaded.storage.uri(row["cog"])) as file:
            stored = file.read(masked=True).astype(np.float64).filled(np.nan)
            values = {n: stored[i] * file.scales[i] + file.offsets[i] for i, n in enumerate(file.descriptions)}
        a, _, c, _, e, f = row["transform"]
        rows, cols = row["shape"]
        found.append((row, values, c + a * (np.arange(cols) + 0.5), f + e * (np.arange(rows) + 0.5)))
    return found


def truth(function: Any, x: np.ndarray, y: np.ndarray, *args: Any, **named: Any) -> np.ndarray:
    """What a truth on the world's pixels says at pixel centres of its grid, NaN (or 0 of classes) outside."""
    top, left = float(WORLD.box.top), float(WORLD.box.left)
    box = WORLD.box.window(round((top - y[0] - 5) / 10), round((x[0] - 5 - left) / 10), len(y), len(x))
    return np.asarray(function(*args, box, **named))


CUBES = {
    S1: {"sensor": S1, "bands": ["vv", "vh"]}, LANDSAT: {"sensor": LANDSAT, "bands": ["red", "nir08"]}, DEM: {"sensor": DEM, "bands": ["elevation"]},
    COVER: {"sensor": COVER, "bands": ["worldcover"], "statistic": "mode"},
}  # fmt: skip


def cube(sensor: str) -> dict[str, Any]:
    return {"cube": {**CUBES[sensor], "resolution": 10, "block_px": 128, "chunk_px": 64}}


def test_radar_when_made_ready_then_power_is_the_truth_within_its_speckle_and_decibels_are_its_logarithm(home):
    loaded = project(home, S1, **cube(S1), ard={"resampling": "nearest"})
    run = run_ard(loaded)
    power = layers(loaded, run)
    assert len({row["layer"] for row, *_ in power}) >= 5
    assert {row["bands"]["vv"]["count"] for row, *_ in power} != {0}
    for row, values, x, y in power:
        for name in ("vv", "vh"):
            expected = truth(WORLD.truth_backscatter, x, y, MONTH, name)
            both = np.isfinite(values[name]) & np.isfinite(expected)
            if both.sum() > 4_000:
                ratio = values[name][both].sum() / expected[both].sum()
                assert 0.97 < ratio < 1.03, row["layer"]
    decibel = project(home, S1, **cube(S1), ard={"resampling": "nearest", "backscatter": "db"}, storage="./decibel")
    for (row, linear, *_), (other, db, *_) in zip(power, layers(decibel, run_ard(decibel)), strict=True):
        assert row["layer"] == other["layer"]
        np.testing.assert_allclose(db["vv"], 10 * np.log10(linear["vv"]), rtol=1e-5)


def test_plan_when_the_unit_of_radar_changes_then_radar_alone_is_stale(home):
    def of(**ard: str) -> LoadedProject:
        return project(home, S1, **cube(S1), sensors=[S1, S2, DEM], ard=ard)

    run_ard(of())
    plans = run_ard(of(backscatter="db")).plans
    assert {sensor: bool(plan.todo) for (sensor, *_), plan in plans.items()} == {S1: True, S2: False, DEM: False}


def test_landsat_when_made_ready_then_reflectance_is_the_truth_where_bits_say_clear(home):
    loaded = project(home, LANDSAT, **cube(LANDSAT))
    made = layers(loaded, run_ard(loaded))
    assert {row["layer"].split("_")[0] for row, *_ in made} <= {"LC08", "LC09"}
    assert not any("_RT" in row["layer"] for row, *_ in made)  # its T1 replaces it
    checked = 0
    for _, values, x, y in made:
        for name in ("red", "nir08"):
            expected = truth(WORLD.truth_landsat, x, y, MONTH, name)
            both = np.isfinite(values[name]) & np.isfinite(expected)
            if both.sum() > 2_000:  # pixels of 30 m, so edges of fields differ
                assert abs(np.median((values[name] - expected)[both])) < 0.01
                checked += 1
    assert checked


def test_terrain_when_made_ready_then_heights_slope_and_aspect_are_those_of_the_ground(home):
    loaded = project(home, DEM, **cube(DEM))
    made = layers(loaded, run_ard(loaded))
    assert {row["layer"] for row, *_ in made} == {"mosaic"}
    assert {*made[0][1]} == {"elevation", "slope", "aspect"}
    slopes, aspects = [], []
    for _, values, x, y in made:
        gx, gy = np.meshgrid(x, y)
        assert np.nanmax(np.abs(values["elevation"] - WORLD.truth_height(gx, gy))) < 2  # between samples of 30 m
        slope, aspect = WORLD.terrain.slope(gx, gy), WORLD.terrain.aspect(gx, gy)
        steep = np.isfinite(values["slope"]) & (slope > 1)
        slopes.append((values["slope"] - slope)[steep])
        aspects.append(((values["aspect"] - aspect + 180) % 360 - 180)[steep])
    assert np.concatenate(slopes).size > 1_000
    assert np.median(np.abs(np.concatenate(slopes))) < 0.3
    assert np.nanmedian(np.abs(np.concatenate(aspects))) < 10


def test_terrain_when_ground_is_flat_then_it_is_observed_though_it_has_no_aspect():
    dem = load("sensors", DEM)
    height, slope = np.full((2, 2), 100, np.float32), np.zeros((2, 2), np.float32)
    height[0, 0] = slope[0, 0] = aspect = np.nan
    bands = [dem.bands["elevation"], dem.derived["slope"], dem.derived["aspect"]]
    flat = [height, slope, np.full((2, 2), aspect, np.float32)]
    expected = [[False, True], [True, True]]
    assert ard.observed_pixels(dem, bands, flat).tolist() == expected
    assert ard.observed_pixels(dem, bands[1:], flat[1:]).tolist() == expected
    assert ard.observed_pixels(dem, bands[:1], flat[:1]).tolist() == expected


def test_land_cover_when_made_ready_then_classes_are_the_truth_and_the_newest_edition(home):
    loaded = project(home, COVER, **cube(COVER))
    run = run_ard(loaded)
    agree = []
    for _, values, x, y in layers(loaded, run):
        expected = truth(WORLD.truth_landcover, x, y, year=2021)
        assert {*np.unique(values["worldcover"][np.isfinite(values["worldcover"])])} <= {10, 20, 30, 40, 50, 60, 80}
        agree.append(np.mean(values["worldcover"] == expected))
    assert np.mean(agree) > 0.85  # its pixels are not aligned with these
    dropped = [d for r in run.receipts.values() for d in r.dropped]
    assert [d for d in dropped if "2020" in d.id and d.duplicate_of]


@pytest.mark.parametrize("sensor", sorted(CUBES))
def test_composite_when_the_sensor_is_another_then_it_has_its_own_type_nodata_and_statistic(home, sensor):
    loaded = project(home, sensor, **cube(sensor), products=["composite"])
    run = run_plain(loaded)
    assert {r.status for r in run.receipts.values()} == {"ok"}
    pixels = stored_pixels(loaded, "utm33n", MONTH, BOX.bounds)
    made = {name: v for name, v in pixels.values.items() if name != "n_clear"}
    assert {v.dtype.name for v in made.values()} == {
        {S1: "float32", LANDSAT: "uint16", DEM: "float32", COVER: "uint8"}[sensor]
    }
    x, y = pixels.x, pixels.y
    if sensor == S1:
        expected = truth(WORLD.truth_backscatter, x, y, MONTH, "vv")
        assert 0.8 < np.nanmedian(made["vv"] / expected) < 1.02  # the median of skewed speckle lies below its mean
        assert pixels.values["n_clear"].max() >= 4
    elif sensor == LANDSAT:
        expected = truth(WORLD.truth_landsat, x, y, MONTH, "red")
        seen = made["red"] > 0
        assert seen.mean() > 0.3
        assert abs(np.median((made["red"] * 2.75e-5 - 0.2 - expected)[seen])) < 0.01
    elif sensor == DEM:
        assert np.nanmax(np.abs(made["elevation"] - WORLD.truth_height(*np.meshgrid(x, y)))) < 2
        assert pixels.values["n_clear"].max() == 1
    else:
        assert np.mean(made["worldcover"] == truth(WORLD.truth_landcover, x, y, year=2021)) > 0.85


@pytest.mark.realdata
def test_landsat_when_real_then_every_pixel_is_that_of_the_plain_computation(tmp_path):
    loaded = project(
        tmp_path, LANDSAT, aois={"a": {"bbox": [-41.0, 71.6, -37.5, 72.6]}}, months={"start": "2015-07", "end": "2015-07"},
        catalog={"kind": "static", "path": str(real_data("stac", "catalog.json"))}, grid={"kind": "square", "size_m": 60_000, "crs": "EPSG:32624"},
        cube={"sensor": LANDSAT, "bands": ["red"], "resolution": 500, "crs": "EPSG:32624"}, ard={"resampling": "nearest", "bands": {LANDSAT: ["red", "nir08", "lwir11"]}},
    )  # fmt: skip
    items = {i["id"]: i for i in oracle.read_items(real_data("stac", "landsat-c2-l2"))}
    refused = sum(1 << bit for bit in (1, 2, 3, 4))
    made = layers(loaded, run_ard(loaded))
    assert len(made) > 2
    seen = 0
    for row, values, x, y in made:
        assets = items[row["layer"]]["assets"]
        qa = oracle.nearest(assets["qa_pixel"]["href"], x, y, row["crs"])
        clear = ((qa & refused) == 0) & (qa != 1)
        for name, scale, offset in (("red", 2.75e-5, -0.2), ("nir08", 2.75e-5, -0.2), ("lwir11", 0.00341802, 149.0)):
            dn = oracle.nearest(assets[name]["href"], x, y, row["crs"])
            expected = np.where(clear & (dn > 0), dn * scale + offset, np.nan)
            np.testing.assert_array_equal(values[name], expected)
            seen += np.isfinite(expected).sum()
        temperature = values["lwir11"][np.isfinite(values["lwir11"])]
        assert not temperature.size or 230 < np.median(temperature) < 300  # Greenland in July
    assert seen > 10_000
