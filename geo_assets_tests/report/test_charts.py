import pytest

from geo_assets.report import charts


@pytest.mark.parametrize(("value", "wanted"), [(0.3, 0.5), (1, 1), (1.01, 2), (7, 10), (0.02, 0.02), (130, 200)])
def test_nice_when_asked_then_the_next_round_number(value, wanted):
    assert charts.nice(value) == pytest.approx(wanted)
