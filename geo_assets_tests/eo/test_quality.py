import pytest

from geo_assets.eo.quality import judge, pooled
from geo_assets.model.band import Band
from geo_assets.model.receipt import BandFigures
from geo_assets.registry import load

BANDS = load("sensors", "sentinel-2-l2a").bands


def figures(p01: float = 150, p50: float = 900, p99: float = 4000, floor_share: float = 0.0) -> BandFigures:
    return BandFigures(p01=p01, p50=p50, p99=p99, floor_share=floor_share)


def test_judge_when_the_figures_are_those_of_land_then_nothing_is_said():
    verdict = judge({"red": figures(), "nir": figures(p50=3000)}, BANDS)
    assert (verdict.faults, verdict.doubts) == ((), ())


def test_judge_when_the_offset_went_off_twice_then_it_is_a_fault():
    (fault,) = judge({"red": figures(floor_share=0.6), "nir": figures()}, BANDS).faults
    assert "red: 60 % of its pixels lie at the floor" in fault.replace("60%", "60 %")
    assert "twice" in fault


def test_judge_when_no_visible_band_is_dark_then_it_is_a_doubt():
    (doubt,) = judge({b: figures(p01=1100) for b in ("red", "green", "blue")}, BANDS).doubts
    assert "not taken off" in doubt


def test_judge_when_one_visible_band_is_dark_then_there_is_no_doubt():
    assert judge({"red": figures(p01=1100), "blue": figures(p01=200)}, BANDS).doubts == ()


def test_judge_when_only_infrared_is_there_then_the_offset_cannot_be_doubted():
    assert judge({"nir": figures(p01=2000)}, BANDS).doubts == ()


def test_judge_when_brighter_than_any_surface_then_it_is_a_fault():
    (fault,) = judge({"red": figures(p99=17_000)}, BANDS).faults
    assert "1.70" in fault


def test_judge_when_nothing_was_observed_then_nothing_is_said():
    assert judge({}, BANDS).faults == judge({}, BANDS).doubts == ()


def test_pooled_when_bands_are_missing_in_a_block_then_the_others_count():
    one = pooled(
        [
            {"red": figures(p01=10, p50=100, p99=900)},
            {"red": figures(p01=20, p50=200, p99=800, floor_share=0.5), "nir": figures()},
        ]
    )
    assert one["red"] == BandFigures(p01=10, p50=150, p99=900, floor_share=0.25)
    assert one["nir"] == figures()


@pytest.mark.parametrize("blocks", [[], [{}]])
def test_pooled_when_there_is_nothing_then_it_is_empty(blocks):
    assert pooled(blocks) == {}


def test_judge_when_a_quantity_leaves_its_range_then_it_is_a_fault_with_its_unit():
    kelvin = Band("lwir11", ("ST_B10",), 100, scale=0.00341802, offset=149.0, unit="K", plausible=(150.0, 373.0))
    assert judge({"lwir11": figures(p01=40_000, p99=45_000)}, {"lwir11": kelvin}).faults == ()
    cold, hot = figures(p01=100, p99=45_000), figures(p01=40_000, p99=65_540)
    assert "below 149.34 K" in judge({"lwir11": cold}, {"lwir11": kelvin}).faults[0]
    assert "reach 373.02 K" in judge({"lwir11": hot}, {"lwir11": kelvin}).faults[0]


def test_judge_when_the_band_holds_classes_then_class_1_is_no_floor():
    band = Band("map", ("map",), 10, dtype="uint8", unit="class")
    assert judge({"map": figures(floor_share=1.0, p99=11)}, {"map": band}).faults == ()
