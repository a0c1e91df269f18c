import pytest

from geo_assets.model.ard import ArdRecipe, ard_settings

TILES = {"layout": "tiles", "format": "npz"}
DAYS = {"days": {"max_score": 0.3, "per_month": 3}, "steps": {"whole_day": False}}
OF_S2 = ("days", "steps")


@pytest.mark.parametrize(
    ("sensor", "bands", "said", "rules", "kept"),
    [
        ("sentinel-2-l2a", ("red", "nir"), {}, (), "04f0c63a784bd179"),
        ("dem", ("elevation",), TILES, (), "71357ec40153d4ac"),
        ("sentinel-2-l2a", ("red",), TILES | {"rules": DAYS}, OF_S2, "60c1f07ee5868f24"),
        ("sentinel-1-rtc", ("vv", "vh"), TILES | {"rules": {"radar": {"orbit": "both"}}, "backscatter": "db"}, ("radar",), "4c8fc4d52c0724b0"),
    ],
)  # fmt: skip
def test_settings_when_stored_by_an_earlier_version_then_they_are_the_same(sensor, bands, said, rules, kept):
    assert ard_settings(ArdRecipe(**said), sensor, bands, rules, radar="vv" in bands) == kept


def test_settings_when_the_unit_of_radar_changes_then_it_counts_for_radar_alone():
    recipe, changed = ArdRecipe(), ArdRecipe(backscatter="db")
    for sensor, band in (("sentinel-2-l2a", "red"), ("dem", "elevation")):
        assert ard_settings(changed, sensor, (band,)) == ard_settings(recipe, sensor, (band,))
    radar = [ard_settings(r, "sentinel-1-rtc", ("vv",), radar=True) for r in (recipe, changed)]
    assert radar[0] != radar[1]


def test_settings_when_rules_change_then_those_alone_that_a_sensor_reads_count():
    recipe, changed = ArdRecipe(**TILES), ArdRecipe(**TILES, rules=DAYS)
    assert ard_settings(changed, "dem", ("elevation",)) == ard_settings(recipe, "dem", ("elevation",))
    radar = [ard_settings(r, "sentinel-1-rtc", ("vv",), ("radar",), radar=True) for r in (recipe, changed)]
    assert radar[0] == radar[1]
    optical = [ard_settings(r, "sentinel-2-l2a", ("red",), OF_S2) for r in (recipe, changed)]
    assert optical[0] != optical[1]
