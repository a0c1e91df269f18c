import dataclasses
import datetime as dt
import json

import numpy as np
import pytest

from geo_assets.eo.quality import Verdict
from geo_assets.eo.radar_select import RadarDay, RadarPlan, quarter_windows
from geo_assets.eo.radar_steps import QuarterPixels, year_steps
from geo_assets.eo.tile_clouds import Clouds
from geo_assets.eo.tile_quality import TileLimits, ValueRange, tile_quality, value_range
from geo_assets.eo.tile_select import DayRule, DayView, select_days
from geo_assets.eo.tile_steps import DayDropped, Step, Steps, day_of_year

YEAR = 2023
MONTHS = [dt.date(YEAR, m, 10) for m in range(1, 13)]
FAIR = {"blue": 0.04, "green": 0.07, "red": 0.06, "nir": 0.3}


def view(day, share=0.1):
    return DayView(day, Clouds(1000, 1000, round(share * 1000)), Clouds(900, 900, round(share * 900)))


def step(day):
    return Step(day, day, day_of_year(day), (f"S2_{day}",), 1.0, 0.1)


def pixels(value, steps=12):
    return np.full((steps, 2, 2), round(value * 65_535), np.uint16)


def radar_plan(coverage=1.0):
    days = [(RadarDay(q.first, ("i",), coverage, True, "best"),) for q in quarter_windows(YEAR)]
    quarters = tuple(dataclasses.replace(q, days=d) for q, d in zip(quarter_windows(YEAR), days, strict=True))
    return RadarPlan("ascending", (("ascending", 4), ("descending", 0)), quarters, ())


def radar_year(vv=0.2, vh=0.05, quarters=(1, 2, 3, 4), **failed):
    layer = np.stack([np.full((2, 2), round(p * 65_535), np.uint16) for p in (vv, vh)], axis=-1)
    return year_steps([QuarterPixels(n, layer) for n in quarters] + list(failed.values()), (2, 2))


def quality(days=MONTHS, *, clear=None, bands=None, plan=None, radar=None, **values):
    clear = np.ones((len(days), 2, 2), bool) if clear is None else clear
    bands = {n: pixels(v, len(days)) for n, v in FAIR.items()} if bands is None else bands
    base = {"choices": select_days([view(d) for d in days]), "steps": Steps(tuple(map(step, days)), ())} | values
    return tile_quality(
        "1035X727Y", YEAR, base.pop("choices"), base.pop("steps"), clear=clear if len(days) else None,
        bands=bands, plan=plan, radar=radar, **base,
    )  # fmt: skip


# ---- values


def test_value_range_when_worked_out_by_hand_then_of_the_observed_alone():
    stored = np.array([0] * 100 + [1] * 2 + [32_768] * 60 + [65_535] * 38, np.uint16).reshape(20, 10)
    found = value_range(stored)
    assert found == ValueRange(0.5, 1 / 65_535, 1 / 65_535, 32_768 / 65_535, 1.0, 1.0, 0.02, 0.38)


def test_value_range_when_nothing_is_observed_then_it_says_so():
    assert value_range(np.zeros((2, 3), np.uint16)) == ValueRange(0.0)
    assert value_range(np.zeros((0, 3), np.uint16)) == ValueRange(0.0)


def test_value_range_when_numbers_are_any_then_percentiles_are_values_that_occur():
    stored = np.random.default_rng(1).integers(0, 65_536, 5000).astype(np.uint16)
    found, seen = value_range(stored), np.sort(stored[stored > 0]) / 65_535
    for share, value in ((0.01, found.p01), (0.5, found.p50), (0.99, found.p99)):
        assert value == seen[int(np.ceil(share * len(seen))) - 1]


# ---- the record


def test_quality_when_all_is_well_then_nothing_is_said():
    found = quality(plan=radar_plan(), radar=radar_year())
    assert found.verdict == Verdict((), ())
    assert found.cloud_share == pytest.approx(0.1)
    assert found.gaps.longest.days == 30
    assert found.bands["nir"].p50 == pytest.approx(0.3, abs=1e-5)
    assert found.radar["vh"].p50 == pytest.approx(0.05, abs=1e-5)
    assert [(q.day_of_year, q.coverage, len(q.days)) for q in found.quarters] == [
        (n, 1.0, 1) for n in (45, 135, 225, 315)
    ]


def test_quality_when_days_were_dropped_then_each_has_its_reason():
    days = [dt.date(YEAR, 5, d) for d in (1, 11, 21)]
    cloudy = dt.date(YEAR, 6, 1)
    choices = select_days([view(d) for d in days] + [view(cloudy, 0.9)], DayRule(per_month=3))
    other = dataclasses.replace(step(days[1]), solar_day=dt.date(YEAR, 5, 12))
    steps = Steps((step(days[0]), other), (DayDropped(days[2], "30 % of the tile is cloudy, more than 20 %"),))
    found = quality(days[:2], choices=choices, steps=steps)
    assert [(d.day, d.used, d.solar_day) for d in found.days] == [
        (days[0], True, days[0]), (days[1], True, dt.date(YEAR, 5, 12)), (days[2], False, None), (cloudy, False, None),
    ]  # fmt: skip
    assert [d.reason for d in found.days if not d.used] == [
        "30 % of the tile is cloudy, more than 20 %", "90 % of its view is cloudy, more than 50 %",
    ]  # fmt: skip
    assert len(found.steps) == 2


def test_quality_when_written_as_json_then_it_is_read_back():
    document = quality(plan=radar_plan(), radar=radar_year()).document()
    assert json.loads(json.dumps(document)) == document
    assert document["days"][1]["day"] == "2023-02-10"
    assert document["gaps"]["longest"]["days"] == 30
    assert document["quarters"][0]["state"] == {"number": 1, "status": "ok", "cause": ""}


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"steps": Steps(tuple(map(step, MONTHS[1:])), ())}, "12 layers for 11 steps"),
        ({"plan": radar_plan()}, "both or none"),
        ({"choices": select_days([view(d) for d in MONTHS[1:]])}, "2023-01-10 is a step or was dropped as one, and was never chosen"),
        ({"choices": select_days([view(d) for d in [*MONTHS, dt.date(YEAR, 1, 9)]])}, "2023-01-09 was chosen, and is neither"),
        ({"steps": Steps((), ())}, "0 steps with"),
    ],
)  # fmt: skip
def test_quality_when_parts_do_not_fit_then_refused(wrong, text):
    with pytest.raises(ValueError, match=text):
        quality(**wrong)


# ---- the verdict


def test_verdict_when_no_day_is_a_step_then_it_is_a_fault():
    found = quality([], bands={})
    assert found.verdict.faults == ("no day became a step: the tile has no Sentinel-2 pixel",)
    assert (found.cloud_share, found.gaps) == (None, None)


def test_verdict_when_steps_are_few_and_far_between_then_both_are_doubts():
    days = [dt.date(YEAR, 1, 10), dt.date(YEAR, 6, 10), dt.date(YEAR, 8, 10), dt.date(YEAR, 10, 10)]
    assert quality(days).verdict.doubts == (
        "4 steps, fewer than 12",
        "no step for 150 days, from 2023-01-11 to 2023-06-09",
    )
    assert quality(days, limits=TileLimits(steps=4, gap_days=150)).verdict.doubts == ()


def test_verdict_when_pixels_are_never_clear_then_it_is_a_doubt():
    clear = np.ones((12, 2, 2), bool)
    clear[:, 0, 0] = False
    assert quality(clear=clear).verdict.doubts == ("25 % of its pixels have no clear view in the year",)


def test_verdict_when_the_offset_was_not_taken_off_then_it_is_a_doubt():
    (doubt,) = quality(bands={n: pixels(v + 0.1) for n, v in FAIR.items()}).verdict.doubts
    assert "the offset was not taken off" in doubt


def test_verdict_when_the_offset_was_taken_off_twice_then_it_is_a_fault():
    (fault,) = quality(bands={"red": np.ones((12, 2, 2), np.uint16)}).verdict.faults
    assert "taken off twice" in fault


def test_verdict_when_a_band_is_nodata_then_it_is_a_fault():
    bands = {n: pixels(v) for n, v in FAIR.items()} | {"nir": pixels(0)}
    assert quality(bands=bands).verdict.faults == ("nir: no pixel is observed",)


def test_verdict_when_values_are_cut_at_1_then_it_is_a_doubt():
    assert quality(bands={"nir": pixels(1)}).verdict.doubts == ("nir: 100 % of its pixels are cut at 1",)


def test_verdict_when_quarters_are_missing_then_a_failure_is_a_fault_and_an_empty_one_a_doubt():
    radar = radar_year(quarters=(1, 2), three=QuarterPixels(3, failed=True, cause="HTTP 503"))
    found = quality(plan=radar_plan(), radar=radar).verdict
    assert found.faults == ("radar, quarter 3: nodata, since it failed: HTTP 503",)
    assert found.doubts == ("radar, quarter 4: nodata: nothing was made of it",)


def test_verdict_when_no_quarter_has_a_pixel_then_it_is_a_fault():
    found = quality(plan=radar_plan(), radar=radar_year(quarters=())).verdict
    assert found.faults == ("radar: no quarter has a pixel",)
    assert len(found.doubts) == 4


def test_verdict_when_a_quarter_is_covered_in_part_then_it_is_a_doubt():
    found = quality(plan=radar_plan(0.4), radar=radar_year()).verdict
    assert found.doubts[0] == "radar, quarter 1: its best day covers 40 % of the tile"
    assert len(found.doubts) == 4


@pytest.mark.parametrize(
    ("power", "text"),
    [
        ((0.05, 0.2), "vh is stronger than vv"),
        ((1.0, 0.01), "vv: 100 % of its pixels are cut at 1"),
        ((0.1, 0.0001), "vh: its median is -39.7 dB"),
    ],
)
def test_verdict_when_power_is_odd_then_it_is_a_doubt(power, text):
    (doubt,) = quality(plan=radar_plan(), radar=radar_year(*power)).verdict.doubts
    assert text in doubt


def test_verdict_when_a_polarisation_is_missing_then_it_is_a_fault():
    assert quality(plan=radar_plan(), radar=radar_year(vh=0)).verdict.faults == ("vh: no pixel is observed",)


def test_quality_when_the_tile_has_no_radar_then_nothing_is_said_of_it():
    found = quality()
    assert (found.orbit, found.quarters, dict(found.radar)) == ("", (), {})
