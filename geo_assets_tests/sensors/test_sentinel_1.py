"""Both Sentinel-1 sensors on items as the catalogs write them."""

import pytest

from geo_assets.errors import SourceError
from geo_assets.model.radar import annotations
from geo_assets.sensors import sentinel_1_grd, sentinel_1_rtc
from geo_assets_tests.sensors.items import found_bands, real_items

RTC, GRD = r"sentinel-?1-rtc", r"sentinel-?1-grd"


def test_bands_when_rtc_items_are_real_then_every_one_is_found():
    catalogs = set()
    for name, item in real_items(RTC):
        assert found_bands(item, sentinel_1_rtc.PLUGIN).keys() == {"vv", "vh"}
        nodata = item["assets"].get("vv", {}).get("raster:bands", [{}])[0].get("nodata", -32768)
        assert nodata == sentinel_1_rtc.PLUGIN.bands["vv"].nodata
        catalogs.add(name.split("__")[0])
    assert catalogs >= {"planetary-computer", "api.earthdaily.com", "stactools-packages_sentinel1"}


def test_bands_when_grd_items_are_real_then_as_their_polarisations():
    checked = 0
    for _, item in real_items(GRD):
        found = found_bands(item, sentinel_1_grd.PLUGIN)
        assert found.keys() == {p.lower() for p in item["properties"]["sar:polarizations"]}
        checked += 1
    assert checked > 12


@pytest.mark.parametrize(("sensor", "pattern"), [(sentinel_1_rtc.PLUGIN, RTC), (sentinel_1_grd.PLUGIN, GRD)])
def test_orbit_when_items_are_real_then_as_the_absolute_orbit_says(sensor, pattern):
    """Relative orbit of Sentinel-1A by the mission's own rule: (absolute - 73) mod 175 + 1."""
    directions = set()
    for _, item in real_items(pattern):
        orbit = sensor.orbit(item)
        assert orbit.relative == (item["properties"]["sat:absolute_orbit"] - 73) % 175 + 1
        directions.add(orbit.direction)
    assert directions == {"ascending", "descending"}


def test_orbit_when_item_says_nothing_then_nothing_is_made_up():
    orbit = sentinel_1_rtc.PLUGIN.orbit({"id": "x", "properties": {}, "assets": {}})
    assert (orbit.direction, orbit.relative) == ("", None)


@pytest.mark.parametrize(("sensor", "end"), [(sentinel_1_rtc.PLUGIN, "_rtc"), (sentinel_1_grd.PLUGIN, "")])
def test_acquisition_when_slice_is_processed_twice_then_one_and_newest_last(sensor, end):
    def item(name, day):
        return {"id": name + end, "properties": {"updated": day}, "assets": {}}

    name = "S1A_IW_GRDH_1SDV_20240419T0457{}_20240419T045814_053498_067DF2"
    old, new, other = (
        item(name.format(49), "2024-04-20"),
        item(name.format(49), "2025-01-01"),
        item(name.format(24), ""),
    )
    assert sensor.acquisition(old).key == sensor.acquisition(new).key != sensor.acquisition(other).key
    assert sensor.acquisition(old).processed < sensor.acquisition(new).processed


def test_acquisition_when_items_are_real_then_all_differ():
    for pattern, sensor in ((RTC, sentinel_1_rtc.PLUGIN), (GRD, sentinel_1_grd.PLUGIN)):
        ids = {item["id"]: sensor.acquisition(item).key for _, item in real_items(pattern)}
        assert len(set(ids.values())) == len(ids)


def test_annotations_when_items_are_real_then_beside_the_measurement_and_never_that_of_interference():
    misled = 0
    for _, item in real_items(GRD):
        for band in map(str.lower, item["properties"]["sar:polarizations"]):
            found = annotations(item["assets"][band]["href"])
            listed = {k: item["assets"][f"schema-{k}-{band}"]["href"] for k in ("product", "calibration", "noise")}
            assert (found.calibration, found.noise) == (listed["calibration"], listed["noise"])
            if "/rfi/" in listed["product"]:
                misled += 1
            else:
                assert found.product == listed["product"]
    assert misled > 5  # so many real items name the wrong file


@pytest.mark.parametrize("href", ["s3://b/vv.tiff", "s3://b/measurement/vv.xml", "measurement/iw-vv.tiff?sig=1"])
def test_annotations_when_the_measurement_lies_elsewhere_then_said(href):
    with pytest.raises(SourceError, match="folder named measurement"):
        annotations(href)
