"""A STAC API that pages, stalls, refuses and loops, on loopback."""

import gzip
import json
import pickle

import pytest
import shapely
import yaml

from geo_assets.catalogs import earth_search
from geo_assets.catalogs._api import ApiCatalog
from geo_assets.catalogs._http import Waiting
from geo_assets.errors import CatalogError, ConfigError, SourceError
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.testing.conformance_catalog import make_item, query
from geo_assets.testing.stac_server import Answer, serve
from geo_assets_tests.realdata import real_data

STYRIA = shapely.box(15, 47, 16, 48)


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now, self.slept = 0.0, []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    @property
    def waiting(self):
        return Waiting(clock=lambda: self.now, sleep=self.sleep, jitter=lambda: 0.5)


@pytest.fixture
def time():
    return FakeTime()


def many(n):
    return [make_item(f"item-{i:03}", "2024-02-01T10:00:00Z", STYRIA) for i in range(n)]


def recipe(server, **options):
    return CatalogRecipe(**{"kind": "stac-api", "url": server.url, "page_size": 10, **options})


def ids(found):
    return [item["id"] for item in found]


@pytest.mark.parametrize("methods", [("GET", "POST"), ("GET",)])
def test_search_when_there_are_several_pages_then_all_are_read(time, methods):
    with serve(many(25), methods=methods) as server:
        found = ApiCatalog(waiting=time.waiting).search(recipe(server), query())
    assert ids(found) == ids(many(25))
    assert len(server.searches) == 3
    assert {method for method, path, _ in server.requests if path == "/search"} == {methods[-1]}
    assert time.slept == []


def test_search_when_asked_then_the_last_second_of_the_last_day_is_in_the_request(time):
    with serve(many(1)) as server:
        ApiCatalog(waiting=time.waiting).search(recipe(server), query())
    assert server.searches[0]["datetime"] == "2024-02-01T00:00:00Z/2024-02-03T00:00:00Z"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_search_when_a_status_is_transient_then_tried_again(time, status):
    with serve(many(3), faults=[Answer(status), Answer(status)]) as server:
        assert len(ApiCatalog(waiting=time.waiting).search(recipe(server, backoff_s=0.5), query())) == 3
    assert time.slept == [0.5, 1.0]  # doubled, times a jitter of 0.5 + 0.5


def test_search_when_the_landing_page_fails_first_then_tried_again(time):
    with serve(many(3), root_faults=[Answer(503)]) as server:
        assert len(ApiCatalog(waiting=time.waiting).search(recipe(server), query())) == 3


def test_search_when_retry_after_is_given_then_waited(time):
    answers = [
        Answer(429, {"Retry-After": "7"}),
        Answer(503, {"Retry-After": "Thu, 01 Feb 2024 00:00:09 GMT", "Date": "Thu, 01 Feb 2024 00:00:00 GMT"}),
    ]
    with serve(many(3), faults=answers) as server:
        assert len(ApiCatalog(waiting=time.waiting).search(recipe(server), query())) == 3
    assert time.slept == [7, 9]


def test_search_when_retry_after_lies_behind_the_deadline_then_error_at_once(time):
    with (
        serve(many(3), faults=[Answer(429, {"Retry-After": "900"})]) as server,
        pytest.raises(CatalogError, match="deadline") as error,
    ):
        ApiCatalog(waiting=time.waiting).search(recipe(server), query())
    assert time.slept == []
    assert error.value.retryable


def test_search_when_it_never_works_then_error_after_all_tries(time):
    with (
        serve(many(3), always=Answer(503)) as server,
        pytest.raises(CatalogError, match="status 503, after 4 tries") as error,
    ):
        ApiCatalog(waiting=time.waiting).search(recipe(server, retries=3), query())
    assert len(server.searches) == 4
    assert error.value.retryable


def test_search_when_it_takes_too_long_then_deadline(time):
    with (
        serve(many(3), always=Answer(503)) as server,
        pytest.raises(CatalogError, match=r"deadline of 5 s|longer than 5 s"),
    ):
        ApiCatalog(waiting=time.waiting).search(recipe(server, retries=20, backoff_s=1, deadline_s=5), query())
    assert time.now <= 5


def test_search_when_an_answer_stalls_then_time_out_and_tried_again(time):
    with serve(many(3), faults=[Answer(delay_s=0.5)]) as server:
        assert len(ApiCatalog(waiting=time.waiting).search(recipe(server, timeout_s=0.1), query())) == 3
    assert len(time.slept) == 1


@pytest.mark.parametrize("fault", [Answer(cut=40), Answer(body=b"<html>busy</html>"), Answer(body=b"")])
def test_search_when_a_page_is_cut_or_not_json_then_tried_again(time, fault):
    with serve(many(3), faults=[fault]) as server:
        assert len(ApiCatalog(waiting=time.waiting).search(recipe(server), query())) == 3


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'{"type": "FeatureCollection"}',
        b'{"features": [1]}',
        b'{"features": [{"id": "x"}]}',
        b'{"features": {"a": 1}}',
        b"null",
        b'{"code": "Err", "description": "boom"}',
    ],
)
def test_search_when_a_page_is_malformed_then_typed_error(time, body):
    with serve(many(3), always=Answer(body=body)) as server, pytest.raises(CatalogError, match="malformed page"):
        ApiCatalog(waiting=time.waiting).search(recipe(server), query())


def test_search_when_it_is_never_json_then_typed_error(time):
    with serve(many(3), always=Answer(body=b"not json")) as server, pytest.raises(CatalogError, match="not JSON"):
        ApiCatalog(waiting=time.waiting).search(recipe(server, retries=1), query())


@pytest.mark.parametrize(
    ("status", "words"), [(400, "page_size"), (401, "give access"), (403, "give access"), (404, "not there")]
)
def test_search_when_refused_then_error_that_no_retry_can_help(time, status, words):
    with (
        serve(many(3), always=Answer(status, body=b'{"description": "because"}')) as server,
        pytest.raises(CatalogError, match=words) as error,
    ):
        ApiCatalog(waiting=time.waiting).search(recipe(server), query())
    assert not error.value.retryable
    assert "because" in str(error.value)
    assert len(server.searches) == 1
    assert not pickle.loads(pickle.dumps(error.value)).retryable


def test_search_when_paging_is_endless_with_new_items_then_page_cap(time):
    def endless(page):
        n = len(server.searches)
        page["features"] = [make_item(f"more-{n}", "2024-02-01T10:00:00Z", STYRIA)]
        page["links"] = [server.next_link("POST", server.searches[0], str(n))]
        return page

    with serve(many(3), always=Answer(edit=endless)) as server, pytest.raises(CatalogError, match="more than 20 pages"):
        ApiCatalog(waiting=time.waiting).search(recipe(server, max_pages=20), query())
    assert len(server.searches) == 20


def test_search_when_a_token_is_repeated_then_error(time):
    def same(page):
        page["links"] = [server.next_link("POST", server.searches[0], "1")]
        return page

    with serve(many(30), always=Answer(edit=same)) as server, pytest.raises(CatalogError, match="leads back"):
        ApiCatalog(waiting=time.waiting).search(recipe(server), query())
    assert len(server.searches) == 2


def test_search_when_pages_bring_nothing_new_then_error(time):
    def stuck(page):
        page["features"] = many(2)
        page["links"] = [server.next_link("POST", server.searches[0], str(len(server.searches)))]
        return page

    with serve(many(3), always=Answer(edit=stuck)) as server, pytest.raises(CatalogError, match="no new item"):
        ApiCatalog(waiting=time.waiting).search(recipe(server), query())
    assert len(server.searches) == 4


def test_search_when_an_empty_page_lies_between_then_the_rest_is_found(time):
    def emptied(page):
        return {**page, "features": []}

    with serve(many(25), faults=[None, Answer(edit=emptied)]) as server:
        assert len(ApiCatalog(waiting=time.waiting).search(recipe(server), query())) == 15


def test_search_when_items_repeat_and_change_between_pages_then_each_once_the_newest_first(time):
    items = [
        *many(10),
        make_item("item-003", "2024-02-01T10:00:00Z", STYRIA, updated="2024-03-01T00:00:00Z", note="new"),
        *many(5),
    ]
    with serve(items) as server:
        found = ApiCatalog(waiting=time.waiting).search(recipe(server), query())
    assert ids(found) == ids([*many(4), *many(10)[3:]])
    assert [item["properties"].get("note") for item in found[3:5]] == ["new", None]


def test_search_when_a_next_link_leads_to_a_private_address_then_refused(time):
    def lead_away(page):
        page["links"] = [{"rel": "next", "href": "http://169.254.169.254/latest/meta-data?token=canary"}]
        return page

    with (
        serve(many(3), always=Answer(edit=lead_away)) as server,
        pytest.raises(CatalogError, match="private or local") as error,
    ):
        ApiCatalog(waiting=time.waiting).search(recipe(server), query())
    assert "canary" not in str(error.value)


def test_search_when_redirected_to_a_private_address_then_refused(time):
    with (
        serve(many(3), always=Answer(307, {"Location": "http://10.0.0.1/search"})) as server,
        pytest.raises(CatalogError, match="private or local"),
    ):
        ApiCatalog(waiting=time.waiting).search(recipe(server), query())


def test_search_when_an_answer_drips_for_ever_then_the_deadline_ends_it(time):
    def tick():
        time.now += 1
        return time.now

    waiting = Waiting(clock=tick, sleep=time.sleep, jitter=lambda: 0.5)
    with (
        serve(many(3), always=Answer(body=b" " * 2**22)) as server,
        pytest.raises(CatalogError, match="longer than 30 s"),
    ):
        ApiCatalog(waiting=waiting).search(recipe(server, deadline_s=30), query())


def test_search_when_no_collection_is_there_then_config_error(time):
    with serve(many(3)) as server, pytest.raises(ConfigError, match="has no collection sentinel-2-l3a"):
        ApiCatalog(waiting=time.waiting).search(recipe(server), query(collections=["sentinel-2-l3a"]))


def test_search_when_the_area_has_many_vertices_then_the_request_is_small_and_the_answer_exact(time):
    ring = shapely.Point(15.5, 47.5).buffer(0.4, quad_segs=2000)
    outside = make_item("corner", "2024-02-01T10:00:00Z", shapely.box(15.8, 47.8, 15.9, 47.9))
    holed = ring.difference(shapely.box(15.4, 47.4, 15.6, 47.6))
    inside = make_item("hole", "2024-02-01T10:00:00Z", shapely.box(15.45, 47.45, 15.55, 47.55))
    with serve([*many(1), outside, inside]) as server:
        found = ApiCatalog(waiting=time.waiting).search(recipe(server), query(holed))
    assert ids(found) == ["item-000"]
    assert len(json.dumps(server.searches[0]["intersects"])) < 1000


def test_search_when_it_is_no_stac_api_then_says_so(time):
    with (
        serve([], root_faults=[Answer(body=b'{"hello": "world"}')] * 9) as server,
        pytest.raises(CatalogError, match="does not answer as a STAC API"),
    ):
        ApiCatalog(waiting=time.waiting).search(recipe(server), query())


def test_search_when_the_server_is_gone_then_error_that_names_it(time):
    with serve([]) as server:
        pass
    with pytest.raises(CatalogError, match="no answer"):
        ApiCatalog(waiting=time.waiting).search(recipe(server, retries=1), query())


@pytest.mark.parametrize("url", [None, "", "ftp://example.org", "/data/catalog.json", "file:///etc/passwd"])
def test_search_when_the_address_is_no_url_then_config_error(url):
    with pytest.raises(ConfigError, match="give the address"):
        ApiCatalog().search(CatalogRecipe(kind="stac-api", url=url), query())


def test_search_when_an_asset_is_relative_then_resolved_against_the_item(time):
    item = make_item("a", "2024-02-01T10:00:00Z", STYRIA)
    item["links"] = [{"rel": "self", "href": "https://example.org/collections/c/items/a"}]
    item["assets"] = {"red": {"href": "../assets/red.tif?v=1"}, "bad": {"href": "/etc/passwd"}, "none": {}}
    with serve([item]) as server:
        found = ApiCatalog(waiting=time.waiting).search(recipe(server), query())
    assert found[0]["assets"]["red"]["href"] == "https://example.org/collections/c/assets/red.tif?v=1"
    assert found[0]["assets"]["bad"]["href"] == "/etc/passwd"
    with pytest.raises(SourceError):
        ApiCatalog().access(recipe(server)).check("/etc/passwd")


def test_access_when_the_api_is_on_loopback_then_its_pixels_may_be_there_too():
    local = ApiCatalog().access(CatalogRecipe(kind="stac-api", url="http://127.0.0.1:8080"))
    assert local.check("http://127.0.0.1:9000/a.tif")
    public = ApiCatalog().access(CatalogRecipe(kind="stac-api", url="https://example.org/stac"))
    with pytest.raises(SourceError):
        public.check("http://127.0.0.1:9000/a.tif")


def test_access_when_earth_search_then_only_its_buckets():
    access = earth_search.PLUGIN.access(CatalogRecipe())
    assert access.check("https://sentinel-cogs.s3.us-west-2.amazonaws.com/a.tif")
    assert access.check("s3://sentinel-s2-l2a/a.jp2")
    for href in ("https://example.org/a.tif", "s3://other/a.tif", "http://127.0.0.1/a.tif", "/etc/passwd"):
        with pytest.raises(SourceError):
            access.check(href)


def test_search_when_real_pages_are_replayed_then_all_items_once(time):
    """What the Planetary Computer answered to a search over the Netherlands: 250 items, then a page that is not recorded."""
    path = real_data("stac_items", "cassette_pc_intersects_netherlands.yaml.gz")
    text = gzip.decompress(path.read_bytes())
    interactions = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["interactions"]
    recorded = next(i for i in interactions if i["request"]["method"] == "POST")
    page = json.loads(recorded["response"]["body"]["string"])
    area = shapely.geometry.shape(json.loads(recorded["request"]["body"])["intersects"])
    home = "https://planetarycomputer.microsoft.com/api/stac/v1"

    def replay(_):
        return json.loads(json.dumps(page).replace(home, server.url))

    with serve(
        page["features"], faults=[Answer(edit=replay), Answer(edit=lambda p: {**p, "features": [], "links": []})]
    ) as server:
        asked = query(area, "2013-01-01", "2022-12-31", ["landsat-8-c2-l2"])
        found = ApiCatalog(waiting=time.waiting).search(recipe(server, page_size=250), asked)
    assert len(found) == len({item["id"] for item in found}) == 250
    assert server.searches[1]["token"] == "next:landsat-8-c2-l2:LC08_L2SP_198022_20190307_02_T2"
    assert shapely.equals(shapely.geometry.shape(server.searches[0]["intersects"]), area)
