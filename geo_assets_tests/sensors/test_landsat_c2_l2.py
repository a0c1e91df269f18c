"""Landsat's bands on items as the catalogs write them, and which of them are one scene."""

import pytest

from geo_assets.sensors.landsat_c2_l2 import PLUGIN
from geo_assets_tests.sensors.items import found_bands, real_items

LEVEL_2 = r"landsat-(8-)?c2-?l2|landsat-c2l2-(sr|st)"
REFLECTIVE = {"blue", "green", "red", "nir08", "swir16", "swir22"}


def common_names(item):
    """Asset by common name, from what the item says of its bands, in any of the ways that catalogs say it."""
    listed = item["properties"].get("eo:bands", [])
    for name, asset in item["assets"].items():
        bands = [listed[b] if isinstance(b, int) else b for b in asset.get("eo:bands", [])]
        if len(bands) == 1 and bands[0].get("common_name"):
            yield bands[0]["common_name"], name


def numbered_otherwise(item):
    return item["id"][2:4] < "08" and any(name.startswith("SR_B") for name in item["assets"])


def test_bands_when_items_are_real_then_every_one_is_found():
    checked, kinds = 0, set()
    for name, item in real_items(LEVEL_2):
        if numbered_otherwise(item):
            continue
        found = found_bands(item, PLUGIN)
        for common, asset in common_names(item):
            ours = "lwir11" if common.startswith("lwir") else common
            assert found[ours] == asset, (name, item["id"], common)
        assert "qa_pixel" in found
        if "c2l2-st" in name:
            assert "lwir11" in found
        else:
            assert found.keys() >= REFLECTIVE
        checked += 1
        kinds.add((name.split("__")[0], item["id"][:4]))
    assert checked > 570
    assert {("earth-search", "LC08"), ("planetary-computer", "LC09"), ("stactools-packages_landsat", "LT05")} <= kinds


def test_acquisition_when_items_are_real_then_platform_place_and_day():
    seen = {}
    for name, item in real_items(LEVEL_2):
        if numbered_otherwise(item):
            continue
        p = item["properties"]
        key = PLUGIN.acquisition(item).key
        place = f"{int(p['landsat:wrs_path']):03d}{int(p['landsat:wrs_row']):03d}"
        platform = str(p.get("platform") or p.get("eo:platform"))[-1]
        assert key.removesuffix("_ST") == f"L{platform}_{place}_{p['datetime'][:10].replace('-', '')}", item["id"]
        assert seen.setdefault((name, key), item["id"]) == item["id"]
        assert PLUGIN.acquisition(item).processed > p["datetime"][:10]


def item(name, assets=("red",), **properties):
    return {
        "id": name,
        "properties": {"datetime": "2023-10-08T17:37:26Z", **properties},
        "assets": {a: {} for a in assets},
    }


def test_acquisition_when_scene_is_delivered_twice_then_one_and_the_best_tier_first():
    ids = [
        f"LC08_L2SP_033032_20231008_{p}_02_{t}" for p, t in (("20231009", "RT"), ("20231016", "T2"), ("20231017", "T1"))
    ]
    real_time, second, first = (PLUGIN.acquisition(item(i)) for i in ids)
    assert real_time.key == second.key == first.key == "L8_033032_20231008"
    assert real_time.baseline < second.baseline < first.baseline
    assert first.processed == "2023-10-17"


def test_acquisition_when_temperature_has_an_item_of_its_own_then_no_duplicate_of_reflectance():
    one, other = (PLUGIN.acquisition(item(f"LT05_L2SP_010067_19860424_20200918_02_T2_{part}")) for part in ("SR", "ST"))
    assert one.key != other.key


def test_acquisition_when_bands_have_the_numbers_of_landsat_7_then_refused():
    """SR_B4 is red on Landsat 8 and near infrared on Landsat 7."""
    [refused] = [i for _, i in real_items("landsat-c2l2-sr") if numbered_otherwise(i)]
    with pytest.raises(ValueError, match="numbered as Landsat 7"):
        PLUGIN.acquisition(refused)
    with pytest.raises(ValueError, match="not that of a Landsat"):
        PLUGIN.acquisition(item("LC80330322023281LGN00"))


def test_mask_when_qa_bits_are_those_of_a_clear_pixel_then_none_is_one_of_the_masked():
    """Values of a clear land and a clear water pixel, and of others, by the product guide's table of QA values."""
    masked = sum(1 << bit for bit in PLUGIN.mask_bits)
    assert not 21824 & masked
    assert not 21952 & masked
    for cloud in (21826, 54596, 22280, 23888):  # dilated cloud, cirrus, cloud, cloud shadow
        assert cloud & masked
