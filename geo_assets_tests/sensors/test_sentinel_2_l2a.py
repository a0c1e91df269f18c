"""The offset rule and the identity of a scene, on items as the catalogs write them."""

import gzip
import json
import re

import numpy as np
import pytest
import rasterio

from geo_assets.sensors.sentinel_2_l2a import PLUGIN
from geo_assets_tests.realdata import real_data


def item(name="S2A_33TWN_20240201_0_L2A", *, listed=None, time="2024-02-01T10:00:00Z", **properties):
    bands = [] if listed is None else [{"offset": listed}]
    return {
        "id": name,
        "properties": {"datetime": time, **properties},
        "assets": {"red": {"href": "x", "raster:bands": bands}},
    }


OFFSETS = {
    "Earth Search: removed already, and still lists -0.1": (
        item(listed=-0.1, **{"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.09"}),
        0,
    ),
    "Earth Search: old baseline": (
        item(listed=0, **{"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "02.14"}),
        0,
    ),
    "Earth Search: not removed from a new baseline": (
        item(**{"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "04.00"}),
        -1000,
    ),
    "Earth Search v0: removed": (
        item(**{"sentinel:boa_offset_applied": True, "sentinel:processing_baseline": "04.00"}),
        0,
    ),
    "Earth Search v0: no flag, new product": (
        item(**{"sentinel:product_id": "S2A_MSIL2A_20220126T100000_N0400_R071_T33TWN_20220126T130000"}),
        -1000,
    ),
    "Earth Search v0: no flag, old product": (
        item(**{"sentinel:product_id": "S2A_MSIL2A_20210126T100000_N0214_R071_T33TWN_20210126T130000"}),
        0,
    ),
    "Collection 1: never removed": (
        item("S2B_T33TWN_20240201T100000_L2A", listed=-0.1, **{"s2:processing_baseline": "05.10"}),
        -1000,
    ),
    "Planetary Computer: new": (item(**{"s2:processing_baseline": "05.10"}), -1000),
    "Planetary Computer: old": (item(**{"s2:processing_baseline": "02.12"}), 0),
    "Copernicus: reprocessed old scene": (item(time="2020-07-05T10:15:59Z", **{"processing:version": "05.00"}), -1000),
    "JP2 bucket: no baseline, lists -0.1": (
        item("S2A_OPER_MSI_L2A_TL_2APS_20230603T031757_A041497_T01WCQ", listed=-0.1),
        -1000,
    ),
    "nothing known, sensed before 2022-01-25": (item("x", time="2022-01-24T23:59:59Z"), 0),
    "nothing known, sensed since": (item("x", time="2022-01-25T00:00:00Z"), -1000),
    "the flag is no boolean": (
        item(**{"earthsearch:boa_offset_applied": "yes", "s2:processing_baseline": "05.09"}),
        -1000,
    ),
}


@pytest.mark.parametrize("case", OFFSETS)
def test_dn_offset_when_item_says_so_then(case):
    written, expected = OFFSETS[case]
    decision = PLUGIN.dn_offset(written)
    assert decision.dn == expected
    assert decision.reason


def real_items():
    folder = real_data("stac_items")
    for path in sorted(folder.glob("*.ndjson.gz")):
        if re.search(r"sentinel-?(2|s2)", path.name) and "mosaic" not in path.name and "l1c" not in path.name:
            yield from ((path.name, json.loads(line)) for line in gzip.decompress(path.read_bytes()).splitlines())


def expected_offset(name, p, product):
    """The rule again, from the name of the catalog and of ESA's product instead of the fields that the sensor reads."""
    element84 = re.search("earth-search|earthdaily|odc|rio-tiler", name)
    if element84 and (p.get("earthsearch:boa_offset_applied") or p.get("sentinel:boa_offset_applied")):
        return 0
    baseline = re.search(r"_N(\d\d)\.?(\d\d)(?:_|$)", product)
    if baseline:
        return -1000 if int(baseline[1]) >= 4 else 0
    return None


def test_dn_offset_when_items_are_real_then_as_their_product_names_say():
    checked, seen = 0, set()
    for name, found in real_items():
        p = found["properties"]
        names = (
            p.get("s2:product_uri"),
            p.get("sentinel:product_id"),
            p.get("s2:product_title"),
            p.get("s2:datastrip_id"),
            found["id"],
        )
        product = next(
            (
                str(n).removesuffix(".SAFE")
                for n in names
                if n and re.search(r"_N\d\d\.?\d\d(?:_|$)", str(n).removesuffix(".SAFE"))
            ),
            "",
        )
        expected = expected_offset(name, p, product)
        if expected is None:
            expected = -1000 if p["datetime"] >= "2022-01-25" else 0
            if str(p.get("s2:processing_baseline", "")) >= "04.00":
                expected = -1000
        assert PLUGIN.dn_offset(found).dn == expected, (name, found["id"])
        checked += 1
        seen.add((name.split("__")[0].split("_via")[0], expected))
    assert checked > 150
    assert {
        ("earth-search", 0),
        ("earth-search", -1000),
        ("planetary-computer", 0),
        ("planetary-computer", -1000),
        ("stac.dataspace.copernicus.eu", -1000),
    } <= seen


def darkest(folder):
    dark = []
    for path in sorted(real_data("stac", folder).glob("*/B04.tif")):
        with rasterio.open(path) as source:
            dn = source.read(1)
        dark.append(np.percentile(dn[dn > 0], 1))  # below lie the pixels of the swath's edge
    return dark


def test_dn_offset_when_pixels_are_real_then_dark_ones_agree():
    """Shadow and water reflect next to nothing: over 1000 DN where the offset is in, far less where it is out."""
    assert min(darkest("s2-l2a-antimeridian")) > 1000
    assert max(darkest("s2-l2a-33t")) < 600


def by_id(*ids):
    found = {i["id"]: i for _, i in real_items() if i["id"] in ids}
    return [PLUGIN.acquisition(found[i]) for i in ids]


def test_acquisition_when_processed_twice_then_one_and_newest_first():
    old, new = by_id("S2A_32TMT_20200305_0_L2A", "S2A_32TMT_20200305_1_L2A")
    assert old.key == new.key
    assert (old.baseline, new.baseline) == ((2, 14), (5, 0))


def test_acquisition_when_two_datastrips_of_one_tile_and_day_then_two():
    first, second = by_id("S2A_31TCJ_20220808_0_L2A", "S2A_31TCJ_20220808_1_L2A")
    assert first.key != second.key


def test_acquisition_when_two_catalogs_name_it_otherwise_then_one():
    azure, esa = by_id(
        "S2B_MSIL2A_20200705T101559_R065_T32TMT_20200825T083452",
        "S2B_MSIL2A_20200705T101559_N0500_R065_T32TMT_20230530T175912",
    )
    assert azure.key == esa.key
    assert azure.baseline < esa.baseline


def test_acquisition_when_the_grid_code_is_wrong_then_the_products_tile():
    """Earth Search v0 took the tile from the footprint's centroid: 60CWE for the product of tile 01CCV."""
    [found] = by_id("S2B_1CCV_20180924_0_L2A")
    assert "_1CCV_" in found.key


def test_acquisition_when_items_are_real_then_platform_tile_and_time_are_known():
    for _, found in real_items():
        if found["id"].startswith("S2"):
            assert re.match(r"S2[A-D]_\d{1,2}[A-Z]{3}_\d{4}", PLUGIN.acquisition(found).key), found["id"]
