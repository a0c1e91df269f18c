"""``geo_assets.open(root).scenes()``: what it says where there is nothing to show."""

import pytest
import shapely

import geo_assets
from geo_assets.eo.scenes import decide, write_scenes
from geo_assets.errors import ConfigError, PartitionError, StoreError
from geo_assets.model import path
from geo_assets.sensors.sentinel_2_l2a import PLUGIN as S2
from geo_assets.storage import Storage
from geo_assets.testing.conformance_catalog import make_item

REGION = "utm33n_r52_c5"


@pytest.fixture
def data(tmp_path):
    storage = Storage(str(tmp_path))
    for month in ("2024-02", "2024-03"):
        table = decide([make_item(f"S2A_33TWN_{month}", f"{month}-05T10:00:00Z", shapely.box(15, 47, 16, 48))], S2)
        storage.write(path.scenes(S2.name, REGION, month), write_scenes(table))
    storage.write(path.receipt("scenes/x", REGION, "2024-02"), b"{}")
    return geo_assets.open(str(tmp_path))


def test_scenes_when_filtered_then_only_those(data):
    assert list(data.scenes()["month"]) == ["2024-02", "2024-03"]
    assert list(data.scenes(month="2024-03", region=REGION, sensor=S2.name)["id"]) == ["S2A_33TWN_2024-03"]


def test_scenes_when_the_month_or_region_is_none_then_it_says_how_to_write_it(data):
    with pytest.raises(PartitionError, match="'junk' is not a month; write it as 2024-02"):
        data.scenes(month="junk")
    with pytest.raises(PartitionError, match="junk"):
        data.scenes(region="junk")


def test_receipts_when_there_is_no_composite_then_what_there_is_is_named(data):
    with pytest.raises(ConfigError, match=r"no receipt of a product 'composite' in .*; there are some of scenes/x$"):
        data.receipts()


def test_store_when_shown_then_root_and_products(data, tmp_path):
    assert repr(data) == f"<geo_assets store {tmp_path}: scenes/x>"


def test_scenes_when_the_month_was_not_made_then_it_says_which_are_there(data):
    with pytest.raises(StoreError, match=r"no scene table for 2031-01 .* there are months 2024-02 to 2024-03"):
        data.scenes(month="2031-01")
