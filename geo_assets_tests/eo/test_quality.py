import pytest

from geo_assets.eo.quality import judge, pooled
from geo_assets.model.receipt import BandFigures


def figures(p01: float = 150, p50: float = 900, p99: float = 4000, floor_share: float = 0.0) -> BandFigures:
    return BandFigures(p01=p01, p50=p50, p99=p99, floor_share=floor_share)


def test_judge_when_the_figures_are_those_of_land_then_nothing_is_said():
    verdict = judge({"red": figures(), "nir": figures(p50=3000)})
    assert (verdict.faults, verdict.doubts) == ((), ())


def test_judge_when_the_offset_went_off_twice_then_it_is_a_fault():
    (fault,) = judge({"red": figures(floor_share=0.6), "nir": figures()}).faults
    assert "red: 60 % of its pixels lie at the floor" in fault.replace("60%", "60 %")
    assert "twice" in fault


def test_judge_when_no_visible_band_is_dark_then_it_is_a_doubt():
    (doubt,) = judge({b: figures(p01=1100) for b in ("red", "green", "blue")}).doubts
    assert "not taken off" in doubt


def test_judge_when_one_visible_band_is_dark_then_there_is_no_doubt():
    assert judge({"red": figures(p01=1100), "blue": figures(p01=200)}).doubts == ()


def test_judge_when_only_infrared_is_there_then_the_offset_cannot_be_doubted():
    assert judge({"nir": figures(p01=2000)}).doubts == ()


def test_judge_when_brighter_than_any_surface_then_it_is_a_fault():
    (fault,) = judge({"red": figures(p99=17_000)}).faults
    assert "1.70" in fault


def test_judge_when_nothing_was_observed_then_nothing_is_said():
    assert judge({}).faults == judge({}).doubts == ()


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
