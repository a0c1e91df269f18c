"""Terrain and land cover on items as the catalogs write them."""

import math

from geo_assets.sensors import dem, landcover
from geo_assets_tests.sensors.items import found_bands, real_items


def test_bands_when_dem_items_are_real_then_found():
    kinds = set()
    for name, item in real_items("cop-dem-glo"):
        assert found_bands(item, dem.PLUGIN) == {"elevation": "data"}
        kinds.add((name.split("__")[0], item["collection"]))
    assert {("earth-search", "cop-dem-glo-30"), ("planetary-computer", "cop-dem-glo-90")} <= kinds


def test_dem_when_asked_then_it_has_no_time_and_no_cloud_and_zero_is_a_height():
    assert dem.PLUGIN.static
    assert dem.PLUGIN.cloud_cover_field is None
    assert math.isnan(dem.PLUGIN.bands["elevation"].nodata)


def classes_of(item):
    """Codes and names from what the item says of its map."""
    asset = item["assets"].get("map") or item["assets"]["data"]
    listed = asset.get("classification:classes") or [
        {"value": c["values"][0], "description": c["summary"]} for c in asset["file:values"]
    ]
    return {c["value"]: (c["description"], "#" + c.get("color-hint", "").lower()) for c in listed if c["value"]}


def test_bands_and_classes_when_landcover_items_are_real_then_as_they_say():
    collections = set()
    for _, item in real_items("worldcover|io-lulc"):
        band = "worldcover" if "worldcover" in item["collection"] else "io_lulc"
        assert found_bands(item, landcover.PLUGIN) == {band: "map" if band == "worldcover" else "data"}
        facts = landcover.PLUGIN.bands[band]
        assert facts.categorical
        said = classes_of(item)
        assert {code: facts.classes[code] for code in said} == {code: name for code, (name, _) in said.items()}
        if band == "worldcover":
            assert facts.classes.keys() == said.keys()
            assert facts.colours == {code: colour for code, (_, colour) in said.items()}
        collections.add(item["collection"])
    assert collections >= {"esa-worldcover", "io-lulc", "io-lulc-9-class", "io-lulc-annual-v02"}


def test_acquisition_when_a_tile_was_mapped_twice_then_one_and_the_newest_map_first():
    maps = [item for _, item in real_items("packages_esa-worldcover")]
    old, new = sorted((landcover.PLUGIN.acquisition(item) for item in maps), key=lambda a: a.baseline)
    assert old.key == new.key == "WORLDCOVER_N00E006"
    assert (old.baseline, new.baseline) == ((2020,), (2021,))


def test_acquisition_when_maps_are_of_two_makers_then_two():
    keys = {landcover.PLUGIN.acquisition(item).key for _, item in real_items("planetary-computer__(esa|io)")}
    assert {key.split("_")[0] for key in keys} == {"WORLDCOVER", "IOLULC"}
    assert len(keys) > 4
