"""The scene table: what is kept, why not, and that it survives being stored."""

import copy
import gzip
import io
import json

import geopandas as gpd
import pyarrow.parquet as pq
import pytest
import shapely
import stac_geoparquet.arrow as sga
from hypothesis import given
from hypothesis import strategies as st

from geo_assets.eo.scenes import decide, read_scenes, scenes_of, write_scenes
from geo_assets.errors import SourceError
from geo_assets.sensors.sentinel_2_l2a import PLUGIN as S2
from geo_assets.testing.conformance_catalog import make_item
from geo_assets_tests.eo.test_items import spiral
from geo_assets_tests.realdata import real_data

STYRIA = shapely.box(15, 47, 16, 48)
OURS = ["sensor", "time", "solar_day", "kept", "duplicate_of", "offset", "offset_reason", "baseline", "reason", "hrefs"]


def scene(name="S2A_33TWN_20240201_0_L2A", time="2024-02-01T10:00:00Z", **properties):
    return make_item(
        name,
        time,
        STYRIA,
        **{"s2:processing_baseline": "05.10", "s2:mgrs_tile": "33TWN", "platform": "sentinel-2a", **properties},
    )


def real(*ids):
    found = {}
    for path in sorted(real_data("stac_items").glob("*sentinel-2-l2a.ndjson.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            item = json.loads(line)
            found.setdefault(item["id"], item)
    return [found[i] for i in ids] if ids else list(found.values())


def column(table, name):
    return dict(zip(table["id"], table[name], strict=True))


def test_decide_when_reprocessed_then_newest_baseline_is_kept_and_the_other_names_it():
    old, new = "S2A_32TMT_20200305_0_L2A", "S2A_32TMT_20200305_1_L2A"
    table = decide(real(old, new), S2)
    assert column(table, "kept") == {old: False, new: True}
    assert column(table, "duplicate_of") == {old: new, new: None}
    assert column(table, "reason")[old] == f"same acquisition as {new}: baseline 05.00 replaces 02.14"
    assert column(table, "offset") == {old: 0, new: 0}


def test_decide_when_two_datastrips_of_one_tile_and_day_then_both_are_kept():
    table = decide(real("S2A_31TCJ_20220808_0_L2A", "S2A_31TCJ_20220808_1_L2A"), S2)
    assert list(table["kept"]) == [True, True]


def test_decide_when_baselines_are_equal_then_processed_last_then_id():
    first = scene("a", **{"s2:generation_time": "2024-02-02T00:00:00Z"})
    later = scene("b", **{"s2:generation_time": "2024-02-02T00:00:00.5Z"})
    assert column(decide([first, later], S2), "duplicate_of") == {"a": "b", "b": None}
    same = [scene("a"), scene("b")]
    assert column(decide(same, S2), "duplicate_of") == {"a": "b", "b": None}


def test_decide_when_a_catalog_has_two_items_of_one_id_then_the_older_is_listed():
    old, new = (scene("a", updated=f"2024-03-0{n}T00:00:00Z") for n in (1, 2))
    new["assets"]["red"]["href"] = "https://example.org/new/red.tif"
    for order in ([old, new, old], [new, old, new]):
        table = decide(order, S2)
        assert list(table["kept"]) == [True, False]
        assert list(table["duplicate_of"]) == [None, "a"]
        assert table["hrefs"][0]["red"] == "https://example.org/new/red.tif"
        assert (
            table["reason"][1]
            == "the catalog has several items a: the one updated 2024-03-02T00:00:00Z replaces this one, updated 2024-03-01T00:00:00Z"
        )
        assert len(read_scenes(write_scenes(table))) == 2


def test_decide_when_two_items_of_one_id_have_no_date_of_update_then_one_is_used_whatever_the_order():
    items = [scene("a"), scene("a", **{"eo:cloud_cover": 5})]
    tables = [decide(order, S2) for order in (items, items[::-1])]
    assert write_scenes(tables[0]) == write_scenes(tables[1])
    assert list(tables[0]["kept"]) == [True, False]
    assert "does not say which is newer" in tables[0]["reason"][1]


def test_decide_when_the_newer_item_of_one_id_cannot_be_used_then_the_older_is_kept():
    old, new = (scene("a", updated=f"2024-03-0{n}T00:00:00Z") for n in (1, 2))
    new["assets"] = {"thumbnail": {"href": "https://example.org/t.png"}}
    table = decide([old, new], S2)
    assert list(zip(table["kept"], table["updated"].dt.day, strict=True)) == [(False, 2), (True, 1)]


@pytest.mark.timeout(20)
def test_decide_when_a_footprint_crosses_itself_for_ever_then_it_alone_is_left_out():
    bad, good = scene("a"), scene("b", time="2024-02-02T10:00:00Z")
    bad["geometry"] = spiral()
    table = decide([bad, good], S2)
    assert column(table, "kept") == {"a": False, "b": True}
    assert "crosses itself over 1,000 times" in column(table, "reason")["a"]


def test_decide_when_the_newer_twin_cannot_be_used_then_the_older_is_kept():
    old, new = scene("a", **{"s2:processing_baseline": "02.14"}), scene("b")
    new["assets"] = {"thumbnail": {"href": "https://example.org/t.png"}}
    table = decide([old, new], S2)
    assert column(table, "kept") == {"a": True, "b": False}


def test_decide_when_cloudier_than_allowed_then_not_kept_and_says_so():
    table = decide(
        [
            scene("a", **{"eo:cloud_cover": 60.1}),
            scene("b", "2024-02-02T10:00:00Z", **{"eo:cloud_cover": 60}),
            scene("c", "2024-02-03T10:00:00Z"),
        ],
        S2,
        max_cloud_cover=60,
    )
    assert column(table, "kept") == {"a": False, "b": True, "c": True}
    assert column(table, "reason")["a"] == "cloud cover 60.1 % is over max_cloud_cover 60 %"


def broken():
    nowhere, undated, bandless, odd, bare = (scene(name) for name in ("nowhere", "undated", "bandless", "odd", "bare"))
    nowhere["geometry"], nowhere["bbox"] = None, None
    undated["properties"]["datetime"] = "yesterday"
    bandless["assets"] = {"thumbnail": {"href": "https://example.org/t.png"}, "red": {"title": "no href"}, "scl": None}
    odd["assets"]["red"]["raster:bands"] = None
    for item in (odd, bare):
        del item["properties"]["s2:processing_baseline"]
    bare |= {"assets": [], "links": "none", "stac_extensions": None}
    return {"nowhere": nowhere, "undated": undated, "bandless": bandless, "odd": odd, "bare": bare}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere", "no footprint"),
        ("undated", "no valid datetime"),
        ("bandless", "none of its 2 assets is a band"),
        ("odd", "malformed"),
        ("bare", "none of its 0 assets"),
    ],
)
def test_decide_when_an_item_is_unusable_then_listed_with_the_reason(name, reason):
    table = decide([broken()[name]], S2)
    assert list(table["kept"]) == [False]
    assert reason in table["reason"][0]
    assert scenes_of(read_scenes(write_scenes(table)), ["red"]) == []


def test_decide_when_signed_then_no_signature_is_stored():
    item = scene()
    item["assets"]["red"] |= {
        "href": "https://a.blob.core.windows.net/c/x.tif?sv=1&sig=canary",
        "alternate": {"s3": {"href": "https://u:canary@h/x"}},
    }
    item["assets"]["scl"] |= {
        "href": "https://example.org/x.tif?version=2",
        "xarray:storage_options": {"credential": "canary"},
    }
    item["links"] = [{"rel": "self", "href": "https://example.org/i?token=canary"}]
    data = write_scenes(decide([item], S2))
    assert b"canary" not in data
    [kept] = scenes_of(read_scenes(data), ["red", "scl"])
    assert kept.hrefs == (
        ("red", "https://a.blob.core.windows.net/c/x.tif"),
        ("scl", "https://example.org/x.tif?version=2"),
    )


def test_decide_when_the_item_is_given_then_it_is_not_changed():
    item = scene()
    item["assets"]["red"]["href"] = "https://example.org/x.tif?sig=a"
    before = copy.deepcopy(item)
    decide([item], S2)
    assert item == before


def test_decide_when_asset_names_differ_then_the_first_known_one():
    item = scene()
    item["assets"] = {
        "B04": {"href": "s3://b/B04.jp2"},
        "red": {"href": "https://example.org/red.tif"},
        "B8A_20m": {"href": "s3://b/B8A.jp2"},
        "SCL_20m": {"href": "s3://b/SCL.jp2"},
    }
    assert decide([item], S2)["hrefs"][0] == {
        "red": "https://example.org/red.tif",
        "nir08": "s3://b/B8A.jp2",
        "scl": "s3://b/SCL.jp2",
    }


def test_decide_when_it_crosses_the_antimeridian_then_the_solar_day_of_its_middle():
    east = shapely.MultiPolygon([shapely.box(178, 66, 180, 67), shapely.box(-180, 66, -179.5, 67)])
    west = shapely.MultiPolygon([shapely.box(179.5, 66, 180, 67), shapely.box(-180, 66, -178, 67)])
    items = [make_item("east", "2023-06-30T23:50:00Z", east), make_item("west", "2023-06-30T23:50:00Z", west)]
    assert column(decide(items, S2), "solar_day") == {"east": "2023-07-01", "west": "2023-06-30"}


def test_decide_when_properties_have_our_names_then_both_are_kept_apart():
    table = read_scenes(write_scenes(decide([scene(offset=0.5, kept="no", sensor="MSI", hrefs=[1])], S2)))
    assert (table["offset"][0], table["item:offset"][0]) == (-1000, 0.5)
    assert (table["sensor"][0], table["item:sensor"][0]) == ("sentinel-2-l2a", "MSI")
    assert table["item:hrefs"][0] == [1]


def test_decide_when_there_is_nothing_then_a_table_with_its_columns():
    table = decide([], S2)
    again = read_scenes(write_scenes(table))
    assert list(again.columns) == list(table.columns)
    assert set(OURS) <= set(table.columns)
    assert len(again) == 0
    assert scenes_of(again, ["red"]) == []
    assert gpd.read_parquet(io.BytesIO(write_scenes(table))).crs == "EPSG:4326"


MIXED = [
    scene("S2A_33TWN_20240201_0_L2A", **{"eo:cloud_cover": 3, "odd": 1, "nested": {"a": 1}, "empty": {}}),
    scene("S2A_33TWN_20240201_1_L2A", **{"s2:processing_baseline": "05.11", "odd": "text"}),
    scene("S2B_33TWN_20240203_0_L2A", "2024-02-03T10:00:00Z", platform="sentinel-2b", odd=[1, "a"], big=2**70),
    scene(
        "S2B_33TWM_20240203_0_L2A",
        "2024-02-03T10:00:00Z",
        **{"s2:mgrs_tile": "33TWM", "updated": "never", "eo:cloud_cover": 99.5},
    ),
    scene(
        "S2B_33TWM_20240203_0_L2A",
        "2024-02-03T10:00:00Z",
        **{"s2:mgrs_tile": "33TWM", "updated": "2024-03-01T00:00:00Z"},
    ),
    *broken().values(),
]


@given(st.permutations(MIXED))
def test_decide_when_items_come_in_any_order_then_the_same_bytes(items):
    assert write_scenes(decide(items, S2, max_cloud_cover=90)) == EXPECTED


EXPECTED = write_scenes(decide(MIXED, S2, max_cloud_cover=90))


def test_write_scenes_when_fields_are_of_several_types_then_as_text():
    table = read_scenes(EXPECTED)
    assert set(table["odd"].dropna()) == {"1", '"text"', '[1, "a"]'}
    assert table["big"].dropna().tolist() == [str(2**70)]


def test_write_scenes_when_read_and_written_again_then_the_same_bytes_and_scenes():
    table = decide(real(), S2)
    data = write_scenes(table)
    again = read_scenes(data)
    assert write_scenes(again) == data
    assert scenes_of(again, list(S2.bands)) == scenes_of(table, list(S2.bands))
    assert len(scenes_of(again, ["red"])) == int(table["kept"].sum()) > 50


def test_write_scenes_when_a_neighbours_tool_reads_it_then_stac_items():
    items = real("S2A_32TMT_20200305_1_L2A", "S2A_31TCJ_20220808_1_L2A")
    data = write_scenes(decide(items, S2))
    back = {item["id"]: item for item in sga.stac_table_to_items(pq.read_table(io.BytesIO(data)))}
    for item in items:
        found = back[item["id"]]
        assert shapely.geometry.shape(found["geometry"]).equals(shapely.geometry.shape(item["geometry"]))
        assert found["assets"]["red"]["href"] == item["assets"]["red"]["href"]
        assert found["properties"]["eo:cloud_cover"] == item["properties"]["eo:cloud_cover"]
    assert gpd.read_parquet(io.BytesIO(data)).crs == "EPSG:4326"


def test_scenes_of_when_bands_are_asked_for_then_only_theirs_in_their_order():
    [found] = scenes_of(decide([scene()], S2), ["scl", "red", "nir"])
    assert [band for band, _ in found.hrefs] == ["scl", "red"]
    assert found.href("nir") is None
    assert (found.solar_day, found.dn_offset, found.baseline) == ("2024-02-01", -1000, "05.10")
    assert found.time == "2024-02-01T10:00:00Z"
    assert shapely.from_wkb(found.footprint).equals(STYRIA)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"not parquet at all"])
def test_read_scenes_when_it_is_no_table_then_typed_error(data):
    with pytest.raises(SourceError, match="not a scene table"):
        read_scenes(data)


def test_read_scenes_when_it_is_another_table_then_typed_error():
    sink = io.BytesIO()
    gpd.GeoDataFrame({"id": ["a"]}, geometry=[STYRIA], crs="EPSG:4326").to_parquet(sink)
    with pytest.raises(SourceError, match="lacks"):
        read_scenes(sink.getvalue())
