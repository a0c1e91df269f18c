"""What an item says of itself, however badly it is written."""

import datetime as dt
import math

import numpy as np
import pytest
import shapely

from geo_assets.eo import items as stac
from geo_assets.model.scene import Header

SQUARE = shapely.box(15, 47, 16, 48)


def item(**fields):
    return {"id": "a", "collection": "c", "properties": {}, "assets": {}, **fields}


@pytest.mark.parametrize(
    ("href", "expected"),
    [
        (
            "https://a.blob.core.windows.net/c/x.tif?sv=2021&st=1&se=2&sr=c&sp=rl&sig=abc%3D",
            "https://a.blob.core.windows.net/c/x.tif",
        ),
        (
            "https://a.blob.core.windows.net/c/x.tif?snapshot=3&sv=1&sig=a",
            "https://a.blob.core.windows.net/c/x.tif?snapshot=3",
        ),
        (
            "https://b.s3.amazonaws.com/x.tif?X-Amz-Algorithm=A&X-Amz-Credential=B&X-Amz-Signature=C",
            "https://b.s3.amazonaws.com/x.tif",
        ),
        (
            "https://b.s3.amazonaws.com/x.tif?AWSAccessKeyId=A&Signature=B&Expires=1&versionId=7",
            "https://b.s3.amazonaws.com/x.tif?versionId=7",
        ),
        ("https://storage.googleapis.com/b/x.tif?X-Goog-Signature=a", "https://storage.googleapis.com/b/x.tif"),
        ("https://user:secret@example.org/x.tif", "https://example.org/x.tif"),
        ("https://example.org/x?token=abc&item=1", "https://example.org/x?item=1"),
        ("https://example.org/wms?sr=4326&st=1", "https://example.org/wms?sr=4326&st=1"),
        ("https://example.org/x.tif?version=2", "https://example.org/x.tif?version=2"),
        ("s3://bucket/x.tif", "s3://bucket/x.tif"),
        ("s3://key:secret@bucket/x.tif", "s3://bucket/x.tif"),
        ("abfs://data@account.dfs.core.windows.net/x.tif", "abfs://data@account.dfs.core.windows.net/x.tif"),
        ("abfs://user:secret@account.dfs.core.windows.net/x.tif", "abfs://account.dfs.core.windows.net/x.tif"),
        ("/data/x.tif", "/data/x.tif"),
    ],
)
def test_unsigned_when_signed_then_only_the_signature_goes(href, expected):
    assert stac.unsigned(href) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29T10:00:00Z", dt.datetime(2024, 2, 29, 10, tzinfo=dt.UTC)),
        ("2024-02-29T10:00:00.12345Z", dt.datetime(2024, 2, 29, 10, 0, 0, 123450, tzinfo=dt.UTC)),
        ("2024-02-29T10:00:00.123456789Z", dt.datetime(2024, 2, 29, 10, 0, 0, 123456, tzinfo=dt.UTC)),
        ("2024-02-29T23:30:00-02:00", dt.datetime(2024, 3, 1, 1, 30, tzinfo=dt.UTC)),
        ("2024-02-29T10:00:00", dt.datetime(2024, 2, 29, 10, tzinfo=dt.UTC)),
        ("2023-02-29T10:00:00Z", None),
        ("9999-12-31T23:59:59-12:00", None),
        ("soon", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_parse_time_when_written_somehow_then_utc_or_none(text, expected):
    assert stac.parse_time(text) == expected


def test_item_time_when_only_a_range_then_its_start():
    found = item(
        properties={"datetime": None, "start_datetime": "2024-01-01T00:00:00Z", "end_datetime": "2024-12-31T00:00:00Z"}
    )
    assert stac.item_time(found) == dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    assert stac.item_days(found) == (dt.date(2024, 1, 1), dt.date(2024, 12, 31))


CROSSING = [[[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]]
BEYOND = [[[179, 0], [181, 0], [181, 1], [179, 1], [179, 0]]]
SPLIT = [
    [[[179, 0], [180, 0], [180, 1], [179, 1], [179, 0]]],
    [[[-180, 0], [-179, 0], [-179, 1], [-180, 1], [-180, 0]]],
]


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Polygon", "coordinates": CROSSING},
        {"type": "Polygon", "coordinates": BEYOND},
        {"type": "MultiPolygon", "coordinates": SPLIT},
    ],
)
def test_footprint_when_it_crosses_the_antimeridian_then_split_however_written(geometry):
    shape = stac.footprint(item(geometry=geometry))
    assert shape.area == pytest.approx(2)
    assert shapely.intersects(shape, shapely.Point(179.5, 0.5))
    assert shapely.intersects(shape, shapely.Point(-179.5, 0.5))
    assert not shapely.intersects(shape, shapely.Point(0, 0.5))
    assert abs(stac.centroid_lon(shape)) == pytest.approx(180)


def test_footprint_when_only_a_box_then_the_box():
    assert stac.footprint(item(geometry=None, bbox=[15, 47, 16, 48])).equals(SQUARE)
    assert stac.footprint(item(bbox=[15, 47, 0, 16, 48, 900])).equals(SQUARE)
    assert stac.footprint(item(bbox=[179, 0, -179, 1])).area == pytest.approx(2)


def test_footprint_when_bow_tie_then_repaired():
    bow = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
    shape = stac.footprint(item(geometry=bow))
    assert shape.is_valid
    assert shape.area == pytest.approx(0.5)


@pytest.mark.parametrize(
    "geometry",
    [
        None,
        {},
        "POLYGON",
        {"type": "Point", "coordinates": [1, 2]},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, None], [2, 0], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, float("nan")], [2, 0], [0, 0]]]},
        {"type": "Polygon", "coordinates": [[[5e5, 5e6], [6e5, 5e6], [6e5, 6e6], [5e5, 5e6]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 95], [2, 0], [0, 0]]]},
        {"type": "Nonsense", "coordinates": [1]},
        {"type": "GeometryCollection", "geometries": []},
    ],
)
def test_footprint_when_unusable_then_none(geometry):
    assert stac.footprint(item(geometry=geometry)) is None


@pytest.mark.parametrize(
    ("time", "lon", "day"),
    [
        ("2024-02-29T23:30:00Z", 0, "2024-02-29"),
        ("2024-02-29T23:30:00Z", 15, "2024-03-01"),
        ("2024-03-01T00:30:00Z", -15, "2024-02-29"),
        ("2023-06-02T00:07:37Z", 179.4, "2023-06-02"),
        ("2023-06-01T23:37:00Z", 179.4, "2023-06-02"),
        ("2024-01-01T00:10:00Z", -179.9, "2023-12-31"),
    ],
)
def test_solar_day_when_east_or_west_then_mean_solar_time(time, lon, day):
    assert stac.solar_day(stac.parse_time(time), lon) == day


def test_distinct_when_any_order_then_repeats_go_and_the_newest_comes_first():
    old = item(properties={"updated": "2024-01-01T00:00:00Z"})
    new = item(properties={"updated": "2024-01-01T00:00:00.5Z"})
    bare = item()
    other = item(collection="b")
    for order in ([old, new, bare, other], [other, bare, new, old], [new, old, other, bare, new, bare]):
        assert stac.distinct(order) == [other, new, old, bare]


def test_distinct_when_only_links_and_signatures_differ_then_once():
    first, again = (
        item(
            assets={"red": {"href": f"https://a.example/r.tif?sig={n}&sv={n}"}},
            links=[{"rel": "next", "href": f"page={n}"}],
        )
        for n in (1, 2)
    )
    assert stac.distinct([first, again]) == [again]


def spiral(n=20_000):
    """A closed bow-tie star: each edge crosses most others."""
    turn = np.arange(n + 1) * np.pi * (1 - 1 / (n + 1))
    ring = np.column_stack([15 + np.cos(turn), 47 + np.sin(turn)])
    return {"type": "Polygon", "coordinates": [[*ring.tolist(), ring[0].tolist()]]}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("shift", [0, 165])
def test_outline_when_it_crosses_itself_for_ever_then_none_and_the_reason_at_once(shift):
    tangled = spiral()
    tangled["coordinates"][0] = [[x + shift, y] for x, y in tangled["coordinates"][0]]
    shape, reason = stac.outline(item(geometry=tangled, bbox=[14, 46, 16, 48]))
    assert shape is None
    assert "crosses itself over 1,000 times" in reason


@pytest.mark.parametrize(
    ("asset", "properties", "found"),
    [
        ({"proj:code": "epsg:32633", "proj:transform": [10, 0, 5, 0, -10, 7, 0, 0, 1], "proj:shape": [3, 4]}, {},
         Header("EPSG:32633", (10.0, 0.0, 5.0, 0.0, -10.0, 7.0), (3, 4))),
        ({"proj:shape": [3, 4]}, {"proj:epsg": 32633.0, "proj:transform": [10, 0, 5, 0, -10, 7], "proj:shape": [30, 40]},
         Header("EPSG:32633", (), (3, 4))),
        ({}, {"proj:epsg": 32633, "proj:transform": [10, 0, 5, 0, -10, 7]}, Header("EPSG:32633", (10.0, 0.0, 5.0, 0.0, -10.0, 7.0))),
        ({}, {"proj:epsg": math.nan, "proj:transform": "[10, 0]", "proj:shape": None}, None),
        ({"proj:code": 5, "proj:transform": [10, 0, 5, 0, None, 7], "proj:shape": [3]}, {}, None),
    ],
)  # fmt: skip
def test_header_when_items_say_it_in_several_ways_then_what_can_be_read_counts(asset, properties, found):
    assert stac.header(asset, properties) == found
