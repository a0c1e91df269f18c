"""What the system that yearly tiles come from does wrong: each check passes here, and fails with that fault put in."""

import datetime as dt
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import yaml

from geo_assets.eo import radar_select, radar_steps, sar, terrain, tile_clouds, tile_request, tile_steps
from geo_assets.eo.sar_annotation import Table
from geo_assets.model.geometry import GeoBox
from geo_assets.model.project import Project
from geo_assets.model.receipt import BlockReceipt, PartitionReceipt
from geo_assets.model.scene import Scene
from geo_assets.project import load_project
from geo_assets.registry import load
from geo_assets.tasks import ard_pixels, forecast, pace, tile
from geo_assets.testing.plain_ard import run_ard
from geo_assets.testing.world import SampleWorld
from geo_assets_tests.eo.tile_tables import ids, known, table
from geo_assets_tests.tasks.test_ard_sensors import layers

Patch = pytest.MonkeyPatch
Check = Callable[[Path], None]
TILE = shapely.box(10.0, 45.0, 11.0, 46.0)
LANDSAT = "landsat-c2-l2"


# ---- requests


def unknown_tiles_are_told(_: Path) -> None:
    frame = table(9)
    entries = [*ids(frame)[:2], "99991X99992Y"]
    answer = tile_request.answer_request({"p": {"2023": {"missing_tiles": entries}}}, known(frame))
    assert len(answer.tiles) == 2
    assert [note.token for note in answer.refused] == ["99991X99992Y"]


def unmatched_rows_are_joined_away(patch: Patch) -> None:
    plain = tile_request.answer_request

    def faulty(request: Any, of: Any) -> Any:
        answer = plain(request, of)
        return tile_request.Answer(answer.tiles, (), answer.duplicates)

    patch.setattr(tile_request, "answer_request", faulty)


# ---- Sentinel-2


def unseen_pixels_are_no_clouds(_: Path) -> None:
    half = np.repeat([0, 4], 50).astype(np.uint8)[None]
    assert tile_clouds.Clouds.of(half).share() == 0.0


def class_0_is_a_cloud(patch: Patch) -> None:
    plain = tile_clouds.Clouds.share
    patch.setattr(tile_clouds.Clouds, "share", lambda self, **_: plain(self, nodata_is_bad=True))


def _scene(name: str, day: str, *, dn_offset: int = 0) -> Scene:
    footprint = shapely.to_wkb(shapely.box(9.0, 40.0, 12.0, 50.0))
    return Scene(name, "c", "s", f"{day}T10:00:00Z", day, (), dn_offset, "", footprint)


def baselines_give_the_same_reflectance(_: Path) -> None:
    old, new = (_scene("x", "2023-05-01", dn_offset=offset) for offset in (0, -1000))
    dn = np.array([[1500, 4000]], np.uint16)
    np.testing.assert_array_equal(
        tile._reflectance(0.0001, new, dn + np.uint16(1000)), tile._reflectance(0.0001, old, dn)
    )


def offset_stays_in(patch: Patch) -> None:
    plain = tile.from_dn
    patch.setattr(tile, "from_dn", lambda dn, *, dn_offset, scale: plain(dn, dn_offset=0, scale=scale))


def steps_have_the_pixels_of_their_day(_: Path) -> None:
    """The first day has two items, and the second is too cloudy for a step."""
    days = ["2023-05-01", "2023-06-01", "2023-07-01"]
    scenes = [_scene("a", days[0]), _scene("b", days[0]), *(_scene(d, d) for d in days[1:])]
    picks = tile_steps.pick_items([dt.date.fromisoformat(d) for d in days], scenes, TILE)
    codes = dict(
        zip([p.solar_day for p in picks.picks], (np.full((4, 4), c, np.uint8) for c in (4, 9, 5)), strict=True)
    )
    steps = tile_steps.judge_steps(picks, codes)
    assert [str(s.solar_day) for s in steps.steps] == [days[0], days[2]]
    assert tile_steps.stacked(steps, codes)[:, 0, 0].tolist() == [4, 5]


def layers_are_found_by_their_place(patch: Patch) -> None:
    def faulty(steps: Any, found: Any) -> Any:
        return np.stack(list(found.values())[: len(steps.steps)])

    patch.setattr(tile_steps, "stacked", faulty)


def march_of_a_leap_year_is_a_day_later(_: Path) -> None:
    picks = tile_steps.pick_items([dt.date(2024, 3, 1)], [_scene("a", "2024-03-01")], TILE)
    steps = tile_steps.judge_steps(picks, {dt.date(2024, 3, 1): np.full((2, 2), 4, np.uint8)})
    assert steps.days_of_year.tolist() == [61]


def years_never_leap(patch: Patch) -> None:
    patch.setattr(tile_steps, "day_of_year", lambda day: day.replace(year=2023).timetuple().tm_yday)


# ---- Sentinel-1


def every_day_of_the_year_may_be_used(_: Path) -> None:
    days = [dt.date(2023, 1, 1) + dt.timedelta(days=n) for n in range(365)]
    footprint = _scene("x", "2023-01-01").footprint
    passes = [radar_select.RadarPass(str(d), d, "ascending", footprint) for d in days]
    plan = radar_select.select_radar(passes, TILE, 2023)
    assert sum(len(q.days) for q in plan.quarters) == 365
    assert plan.dropped == ()


def quarters_begin_in_their_middle(patch: Patch) -> None:
    plain = radar_select.quarter_windows
    patch.setattr(radar_select, "quarter_windows", lambda year, _: plain(year, "centred"))


def a_failed_quarter_keeps_its_steps_and_says_so(_: Path) -> None:
    seen = np.full((2, 2, 2), 7, np.uint16)
    quarters = [radar_steps.QuarterPixels(n, seen) for n in (1, 2, 4)]
    failed = radar_steps.QuarterPixels(3, cause="cut off", failed=True)
    year = radar_steps.year_steps([*quarters, failed], (2, 2))
    assert year.pixels.shape[0] == len(year.days_of_year) == 12
    assert not year.pixels[6:9].any()
    assert [q.status for q in year.quarters] == ["ok", "ok", "failed", "ok"]


def a_failed_quarter_is_left_out(patch: Patch) -> None:
    plain = radar_steps.year_steps

    def faulty(quarters: Any, shape: Any) -> Any:
        year = plain(quarters, shape)
        kept = np.repeat([q.status != "failed" for q in year.quarters], radar_steps.STEPS_A_QUARTER)
        return radar_steps.RadarYear(year.pixels[kept], year.days_of_year[kept], year.quarters)

    patch.setattr(radar_steps, "year_steps", faulty)


def an_empty_quarter_is_nodata_and_says_so(_: Path) -> None:
    seen = np.full((2, 2, 2), 7, np.uint16)
    year = radar_steps.year_steps([radar_steps.QuarterPixels(n, seen) for n in (1, 2, 4)], (2, 2))
    assert [(q.status, bool(q.cause)) for q in year.quarters] == [(s, s != "ok") for s in ("ok", "ok", "empty", "ok")]
    black = radar_steps.stored_power(np.full((2, 2), 1e-9))
    assert (black > 0).all()  # an echo, however faint, is not what nobody saw


def an_empty_quarter_is_zeros_like_any_other(patch: Patch) -> None:
    patch.setattr(radar_steps, "_state", lambda quarter, _: radar_steps.QuarterState(quarter.number, "ok"))


def faint_echoes_are_0(patch: Patch) -> None:
    patch.setattr(radar_steps, "to_uint16", lambda power: np.rint(np.nan_to_num(power) * 65_535).astype(np.uint16))


def calibration_is_bilinear(_: Path) -> None:
    lut = Table(
        np.array([0.0, 100.0]), (np.array([0.0, 100.0]),) * 2, (np.array([100.0, 200.0]), np.array([300.0, 400.0]))
    )
    dn = np.full((1, 1), 500, np.uint16)
    power = sar.calibrate(dn, sar.Window(line=50, pixel=50, lines=1, pixels=1), lut, None)
    assert power[0, 0] == pytest.approx((500 / 250) ** 2)


def calibration_is_that_of_the_nearest_node(patch: Patch) -> None:
    def nearest(self: Table, lines: Any, pixels: Any) -> Any:
        rows = [int(np.abs(self.lines - line).argmin()) for line in lines]
        return np.array([[self.values[r][int(np.abs(self.pixels[r] - p).argmin())] for p in pixels] for r in rows])

    patch.setattr(Table, "at", nearest)


# ---- terrain


def slopes_are_in_metres_of_the_ground(_: Path) -> None:
    """Ground at 60 degrees north that rises by 10 % towards east, in pixels of a degree's fraction."""
    box = GeoBox("EPSG:4326", Fraction(1, 10_800), Fraction(10), Fraction(60), (20, 20))
    along = float(box.resolution) * 111_320 * np.cos(np.radians(60))
    heights = np.tile(np.arange(22) * along * 0.1, (22, 1))
    slope = terrain.slope(terrain.gradient(heights, box))
    assert np.median(slope) == pytest.approx(np.degrees(np.arctan(0.1)), rel=0.01)


def degrees_are_as_long_everywhere(patch: Patch) -> None:
    metre = np.full((1, 1), 111_320.0)
    none = np.zeros((1, 1))
    patch.setattr(terrain, "metres", lambda _: terrain.Metres(metre, none, none, metre))


# ---- cost


def forecasts_learn_from_what_ran(_: Path) -> None:
    project = Project.model_validate({"months": {"start": "2024-01", "end": "2024-01"}})
    sensor = load("sensors", project.cube.sensor)

    def seconds(each_s: float) -> float:
        blocks = [
            BlockReceipt(
                row=n, col=0, key="k", chunks=[[0, 0]], pixels=10_000, observed=1, scene_ids=["a"], bytes_read=1_000_000 * (n + 1), requests=1,
                wall_s=each_s * (n + 1), run_s=each_s * (n + 1), cover=1.0,
            )
            for n in range(8)
        ]  # fmt: skip
        receipt = PartitionReceipt(
            product="composite", region="utm33n_r0_c0", month="2024-01", run_id="r", status="ok", made_at=dt.datetime(2024, 2, 1, tzinfo=dt.UTC),
            data_version="v", recipe_hash="h", scene_hash="s", code_version="1", blocks=blocks,
        )  # fmt: skip
        of = forecast.CompositeForecast(project, sensor, [receipt], pace.Host("local"))
        return of.pace.seconds(8_000_000)

    assert seconds(9.0) == pytest.approx(10 * seconds(0.9), rel=0.05)


def seconds_are_constants(patch: Patch) -> None:
    for module in (forecast, pace):
        patch.setattr(module, "learn", lambda _, default: default)


# ---- Landsat


def clouds_of_landsat_are_masked(folder: Path) -> None:
    world = SampleWorld(
        months=("2024-06",), days=2, size_px=(256, 384), overlap_px=64, internal_px=128, sensors=(LANDSAT,), with_broken=False, with_duplicate=False,
    )  # fmt: skip
    world.write(folder / "world")
    west, south, east, north = world.box.window(64, 128, 128, 128).lonlat().bounds
    document = {
        "name": "landsat", "storage": "./data", "products": ["ard"], "months": {"start": "2024-06", "end": "2024-06"},
        "aois": {"a": {"bbox": [west, south, east, north]}}, "sensors": [LANDSAT], "catalog": {"kind": "static", "path": "world/catalog.json"},
        "grid": {"kind": "square", "size_m": 1280, "crs": world.crs}, "cube": {"sensor": LANDSAT, "bands": ["red"], "resolution": 10},
    }  # fmt: skip
    (folder / "geo_assets.yaml").write_text(yaml.safe_dump(document))
    loaded = load_project(folder / "geo_assets.yaml")
    made = layers(loaded, run_ard(loaded))
    assert made
    assert not any("qa_pixel" in values for _, values, *_ in made)
    brightest = [np.nanmax(values["red"]) for _, values, *_ in made]
    truth = np.nanmax(world.truth("2024-06", "red", world.box))
    assert max(brightest) < truth + 0.05  # clouds of the world reflect far more than its ground


def the_name_of_the_product_is_in_other_letters(patch: Patch) -> None:
    patch.setattr(ard_pixels, "mask_band", lambda *_: None)


TRAPS: dict[str, tuple[Check, tuple[Callable[[Patch], None], ...]]] = {
    "tiles that the table lacks": (unknown_tiles_are_told, (unmatched_rows_are_joined_away,)),
    "nodata as a cloud": (unseen_pixels_are_no_clouds, (class_0_is_a_cloud,)),
    "offset of reflectance": (baselines_give_the_same_reflectance, (offset_stays_in,)),
    "masks by the place of an item": (steps_have_the_pixels_of_their_day, (layers_are_found_by_their_place,)),
    "leap years": (march_of_a_leap_year_is_a_day_later, (years_never_leap,)),
    "days that no quarter sees": (every_day_of_the_year_may_be_used, (quarters_begin_in_their_middle,)),
    "failed quarters": (a_failed_quarter_keeps_its_steps_and_says_so, (a_failed_quarter_is_left_out,)),
    "empty quarters": (an_empty_quarter_is_nodata_and_says_so, (an_empty_quarter_is_zeros_like_any_other, faint_echoes_are_0)),
    "calibration by the nearest node": (calibration_is_bilinear, (calibration_is_that_of_the_nearest_node,)),
    "metres of a degree": (slopes_are_in_metres_of_the_ground, (degrees_are_as_long_everywhere,)),
    "constant costs": (forecasts_learn_from_what_ran, (seconds_are_constants,)),
    "masks of Landsat": (clouds_of_landsat_are_masked, (the_name_of_the_product_is_in_other_letters,)),
}  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_product_when_nothing_is_wrong_then_it_avoids_the_trap(trap, tmp_path):
    TRAPS[trap][0](tmp_path)


@pytest.mark.parametrize(
    ("trap", "fault"), [pytest.param(t, f, id=f"{t}: {f.__name__}") for t, (_, faults) in TRAPS.items() for f in faults]
)
def test_check_when_the_fault_is_put_in_then_it_fails(trap, fault, tmp_path, monkeypatch):
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        TRAPS[trap][0](tmp_path)
