import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.eo.tile_keys import (
    EXTENSIONS,
    PRODUCTS,
    PredictionKey,
    RawKey,
    TileId,
    area_of,
    cloud_bounds,
    tile_bounds,
)
from geo_assets.errors import ConfigError, PartitionError

TILES = st.builds(TileId, st.integers(-9999, 9999), st.integers(-9999, 9999))
YEARS = st.integers(1000, 9999)
TILE = TileId(1035, 727)


@pytest.mark.parametrize(
    ("product", "name"),
    [
        ("dem", "misc/dem_1035X727Y"), ("s1", "s1/1035X727Y"), ("s2_10", "s2_10/1035X727Y"), ("s2_20", "s2_20/1035X727Y"),
        ("s2_dates", "misc/s2_dates_1035X727Y"), ("s1_dates", "misc/s1_dates_1035X727Y"), ("clouds", "clouds/clouds_1035X727Y"),
    ],
)  # fmt: skip
def test_raw_key_when_written_then_where_the_old_programs_look(product, name):
    assert str(RawKey(2023, TILE, product)) == f"2023/raw/1035/727/raw/{name}.npz"
    assert str(RawKey(2023, TILE, product, ".zarr")) == f"2023/raw/1035/727/raw/{name}.zarr"


@given(st.builds(RawKey, YEARS, TILES, st.sampled_from(sorted(PRODUCTS)), st.sampled_from(EXTENSIONS)))
def test_raw_key_when_any_then_it_is_read_back(key):
    assert RawKey.parse(str(key)) == key


@given(st.builds(PredictionKey, YEARS, TILES, st.sampled_from(["", "v2.1", "tree_cover", "a_FINAL"])))
def test_prediction_key_when_any_then_map_and_item_are_read_back(key):
    assert PredictionKey.parse(key.map) == PredictionKey.parse(key.item) == key


def test_prediction_key_when_written_then_where_the_old_programs_look():
    assert PredictionKey(2023, TILE).map == "2023/tiles/1035/727/1035X727Y_FINAL.tif"
    assert PredictionKey(2023, TILE, "v2").item == "2023/tiles/1035/727/v2_FINAL.json"
    assert PredictionKey(2023, TileId(-3, 4)).map == "2023/tiles/-3/4/-3X4Y_FINAL.tif"


@given(TILES, st.sampled_from(["", " ", "\t\n"]))
def test_tile_when_any_then_it_is_read_back(tile, blank):
    assert TileId.parse(f"{blank}{tile}{blank}") == tile


@pytest.mark.parametrize("text", ["", "1035X727", "1035x727Y", "1.5X2Y", "1X2Y3", "X2Y", "--1X2Y", "1X2Y/../x", "١X2Y", "1X" + "9" * 5000 + "Y"])  # fmt: skip
def test_tile_when_it_is_none_then_refused(text):
    with pytest.raises(PartitionError, match="one looks like 1035X727Y"):
        TileId.parse(text)


GOOD = "2023/raw/1035/727/raw/s1/1035X727Y.npz"


@pytest.mark.parametrize(
    "key",
    [
        "", GOOD + "/", "/" + GOOD, GOOD.replace("1035X", "1036X"), GOOD.replace("/1035/", "/01035/"), GOOD.replace(".npz", ".hkl"), GOOD + "\n",
        GOOD.replace("s1/", "s3/"), GOOD.replace("2023", "0023"), GOOD.replace("/1035/", "/" + "1" * 5000 + "/"), GOOD.replace("raw/s1", "../raw/s1"),
    ],
)  # fmt: skip
def test_raw_key_when_it_is_none_then_refused(key):
    with pytest.raises(PartitionError, match="is not the key of a tile"):
        RawKey.parse(key)


@pytest.mark.parametrize("name", ["../x_FINAL.tif", "a/b_FINAL.tif", "_FINAL.tif", "x_FINAL.png", "a..b_FINAL.tif", "a b_FINAL.tif"])  # fmt: skip
def test_prediction_key_when_it_is_none_then_refused(name):
    with pytest.raises(PartitionError, match="is not the key of a prediction"):
        PredictionKey.parse(f"2023/tiles/1035/727/{name}")


@pytest.mark.parametrize(
    "make",
    [
        lambda: RawKey(23, TILE, "s1"), lambda: RawKey(2023, TILE, "s3"), lambda: RawKey(2023, TILE, "s1", ".hkl"), lambda: PredictionKey(2023, TILE, "../x"),
        lambda: PredictionKey(2023, TILE, "a/b"), lambda: PredictionKey(99_999, TILE), lambda: tile_bounds(181, 0), lambda: tile_bounds(0, 90),
        lambda: tile_bounds(float("nan"), 0), lambda: tile_bounds(0, 0, 29),
    ],
)  # fmt: skip
def test_keys_when_parts_make_no_sense_then_refused(make):
    with pytest.raises(ConfigError):
        make()


def test_bounds_when_worked_out_by_hand_then_10_and_150_of_360_around_the_centre():
    assert tile_bounds(15.0, 47.0) == pytest.approx((15 - 1 / 36, 47 - 1 / 36, 15 + 1 / 36, 47 + 1 / 36))
    assert cloud_bounds(15.0, 47.0) == pytest.approx((15 - 150 / 360, 47 - 150 / 360, 15 + 150 / 360, 47 + 150 / 360))
    assert tile_bounds(15.0, 47.0, 314) == tile_bounds(15.0, 47.0)
    assert cloud_bounds(15.0, 47.0, 314) == pytest.approx((15 - 157 / 360, 47 - 157 / 360, 15 + 157 / 360, 47 + 157 / 360))  # fmt: skip


@given(st.floats(-180, 180), st.floats(-85, 85))
def test_area_when_the_centre_is_anywhere_then_it_is_whole_and_on_the_globe(lon, lat):
    area = area_of(cloud_bounds(lon, lat))
    west, _, east, _ = area.bounds
    assert -180 <= west <= east <= 180
    assert area.area == pytest.approx((300 / 360) ** 2)


def test_area_when_the_tile_crosses_the_antimeridian_then_it_has_two_parts():
    assert len(area_of(tile_bounds(180.0, -17.0)).geoms) == 2
