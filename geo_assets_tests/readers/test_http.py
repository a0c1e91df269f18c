"""Every reader over HTTP: what it fetches, and that faults reach the caller; ``test_faults.py`` plays them all."""

from fractions import Fraction

import numpy as np
import pytest

from geo_assets import registry
from geo_assets.errors import SourceError
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access
from geo_assets.readers import _http
from geo_assets.readers._http import Patience
from geo_assets.testing.conformance_reader import unsigned
from geo_assets.testing.file_server import Fault, serve_files
from geo_assets.testing.rasters import CRS, LEFT, RED, SIZE, TOP, WINDOWS, nearest, pixels, write_raster

TRIES = 4
WHOLE = GeoBox(CRS, Fraction(10), Fraction(LEFT), Fraction(TOP), (SIZE, SIZE))


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    waits = []
    monkeypatch.setattr(
        _http, "PATIENCE", Patience(tries=TRIES, backoff_s=0.01, silence_s=0.2, deadline_s=1.2, sleep=waits.append)
    )
    return waits


@pytest.fixture(params=sorted(registry.available("readers")))
def plugin(request):
    return registry.load("readers", request.param)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("http") / "a.tif"
    return write_raster(
        path, pixels(), driver="COG", blocksize=128, tiled=None, blockxsize=None, blockysize=None
    ).read_bytes()


@pytest.fixture
def server(content):
    with serve_files({"a.tif": content}) as server:
        yield server


def read(plugin, href, box=WHOLE, sign=unsigned, access=None):
    with plugin.session(access or Access(loopback=True), sign) as session:
        return session.read(href, RED, box, resampling="nearest"), session.usage


def test_pixels_are_those_of_the_file_and_reading_is_counted(plugin, server, content):
    found, usage = read(plugin, server.href("a.tif"), WINDOWS["its own grid"])
    assert np.array_equal(found, nearest(pixels(), WINDOWS["its own grid"], 0))
    assert usage.bytes == server.sent
    assert usage.requests == len(server.requests)
    assert usage.bytes < 0.7 * len(content)


@pytest.mark.parametrize("advice", [None, -1, _http._HUGE_PAGES], ids=["no such advice", "refused", "as it is here"])
def test_pixels_are_the_same_whatever_the_system_says_of_huge_pages(server, monkeypatch, advice):
    monkeypatch.setattr(_http, "_HUGE_PAGES", advice)
    monkeypatch.setattr(_http, "_MAPPED_BYTES", 1)
    found, _ = read(registry.load("readers", "native"), server.href("a.tif"))
    assert np.array_equal(found, pixels())


def test_header_is_fetched_in_one_request(plugin, server):
    _, usage = read(plugin, server.href("a.tif"), GeoBox(CRS, Fraction(10), Fraction(LEFT), Fraction(TOP), (8, 8)))
    assert usage.requests == 2


RECOVERED = {
    "503": [Fault(status=503)],
    "429": [Fault(status=429, retry_after="1")],
    "500 twice": [Fault(status=500), Fault(status=500)],
    "cut": [Fault(cut=1000)],
    "reset": [Fault(cut=1000, reset=True)],
    "closed without an answer": [Fault(cut=0, reset=True)],
    "silence": [Fault(stall_s=1)],
    "silence in the middle": [Fault(cut=1000, stall_s=1)],
}


@pytest.mark.parametrize("fault", RECOVERED)
@pytest.mark.parametrize("after", [0, 4], ids=lambda n: f"after {n}")
def test_passing_fault_is_got_over(plugin, server, fault, after):
    server.faults = [None] * after + list(RECOVERED[fault])
    found, usage = read(plugin, server.href("a.tif"))
    assert np.array_equal(found, pixels())
    assert usage.requests >= 5


LASTING = {
    "404": Fault(status=404),
    "403": Fault(status=403),
    "503": Fault(status=503),
    "ranges ignored": Fault(status=200),
    "cut": Fault(cut=1000),
    "reset": Fault(cut=1000, reset=True),
    "silence": Fault(stall_s=5),
    "byte by byte": Fault(trickle_s=0.05),
    "more bytes than asked for": Fault(grow=100_000),
    "bytes of another place": Fault(content_range="bytes 5-9/99"),
    "corrupt bytes": Fault(flip=True),
    "redirect to a private address": Fault(status=302, location="http://10.0.0.1/a.tif?sig=SECRET"),
    "redirect to a file": Fault(status=301, location="file:///etc/passwd"),
    "redirect in a circle": Fault(status=302, location="/a.tif?sig=SECRET"),
}
AT_ONCE = ["404", "503", "corrupt bytes", "redirect to a private address"]


@pytest.mark.parametrize(("fault", "after"), [*((f, 4) for f in LASTING), *((f, 0) for f in AT_ONCE)])
def test_lasting_fault_is_a_source_error_without_the_query(plugin, server, fault, after):
    server.faults, server.always = [None] * after, LASTING[fault]
    with pytest.raises(SourceError) as error:
        read(plugin, server.href("a.tif") + "?sig=SECRET")
    assert "SECRET" not in str(error.value)
    assert (
        "127.0.0.1" in str(error.value)
        or "10.0.0.1" in str(error.value)
        or "169.254" in str(error.value)
        or "file:" in str(error.value)
    )
    assert len(server.requests) <= after + 6


def test_file_that_changes_while_it_is_read_is_an_error(plugin, server, content):
    server.faults = [None, None, Fault(content_range=f"bytes 0-1/{len(content) + 1}")]
    with pytest.raises(SourceError, match="changed while"):
        read(plugin, server.href("a.tif"))


def test_expired_signature_is_renewed_once(plugin, server):
    server.token = "1"
    signed = []

    def sign(href):
        signed.append(href)
        if len(signed) == 4:
            server.token = "2"  # the third request's signature expires
        return f"{href}?token={server.token if len(signed) != 4 else 1}"

    found, _ = read(plugin, server.href("a.tif"), sign=sign)
    assert np.array_equal(found, pixels())
    assert set(signed) == {server.href("a.tif")}


def test_signature_that_is_refused_is_not_tried_for_ever(plugin, server):
    server.token = "1"
    with pytest.raises(SourceError, match="403") as error:
        read(plugin, server.href("a.tif"), sign=lambda href: f"{href}?token=SECRET")
    assert "SECRET" not in str(error.value)
    assert len(server.requests) == 2


def test_failing_signer_is_an_error_of_its_own_kind(plugin, server):
    def sign(href):
        raise SourceError("no token to be had")

    with pytest.raises(SourceError, match="no token"):
        read(plugin, server.href("a.tif"), sign=sign)


def test_retry_after_is_heeded_within_the_deadline(plugin, server, patience):
    server.faults = [Fault(status=503, retry_after="1")]
    server.always = Fault(status=503, retry_after="100")
    with pytest.raises(SourceError, match="503"):
        read(plugin, server.href("a.tif"))
    assert len(server.requests) <= 2
    assert max(patience, default=0) <= 1


def test_name_that_resolves_to_a_private_address_is_not_read(plugin, server, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    port = server.url.rpartition(":")[2]
    monkeypatch.setattr(_http, "_resolve", lambda host: {"127.0.0.1"})
    with pytest.raises(SourceError, match="resolves to 127"):
        read(plugin, f"http://rebound.example.com:{port}/a.tif", access=Access())
    assert server.requests == []


def test_redirect_to_an_allowed_host_is_followed(plugin, server):
    server.faults = [Fault(status=302, location="/a.tif")]
    assert np.array_equal(read(plugin, server.href("a.tif"))[0], pixels())


def test_first_failure_of_a_file_is_remembered(plugin, server):
    server.always = Fault(status=404)
    with plugin.session(Access(loopback=True), unsigned) as session:
        for _ in range(3):
            with pytest.raises(SourceError, match="404"):
                session.read(server.href("a.tif"), RED, WHOLE, resampling="nearest")
    assert len(server.requests) == 1
