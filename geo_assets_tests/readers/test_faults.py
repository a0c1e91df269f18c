"""What each fault of a server does to a read, at its first bytes and after; ``docs/reliability.md`` lists them."""

import logging
import re
import socket
import threading
import time
from fractions import Fraction

import pytest

from geo_assets.errors import CatalogError, SourceError
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access
from geo_assets.model.plugin import Layer, Usage
from geo_assets.readers import _http, native
from geo_assets.readers._files import HEADER_BYTES, HEADS, Sources
from geo_assets.readers._http import ChangedError, Patience
from geo_assets.testing.conformance_reader import unsigned
from geo_assets.testing.file_server import Fault, serve_files
from geo_assets.testing.rasters import RED

TRIES = 4
SIZE = 300_000
CONTENT = bytes(i * 7 % 251 for i in range(SIZE))
SPAN = (100_000, 180_000)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """What would have been waited; nothing is."""
    waits = []
    patience = Patience(tries=TRIES, backoff_s=0.01, connect_s=1.0, silence_s=0.15, deadline_s=1.0, sleep=waits.append)
    monkeypatch.setattr(_http, "PATIENCE", patience)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    HEADS.clear()
    return waits


@pytest.fixture
def server():
    with serve_files({"a.tif": CONTENT}) as server:
        yield server


class Reading:
    """A session over a server, with what it counted."""

    def __init__(self, server, sign=unsigned, access=None):
        self.server, self.usage = server, Usage()
        self.sources = Sources(access or Access(loopback=True), sign, self.usage)

    def open(self, query="", keep=False):
        return self.sources.open(self.server.href("a.tif") + query, keep=keep)


@pytest.fixture
def reading(server):
    reading = Reading(server)
    yield reading
    reading.sources.close()


@pytest.fixture(params=["at the first bytes", "later"])
def read(request, reading, server):
    """Reads with faults, either the first bytes or a range; returns what came and what should have come."""

    def read(faults=(), always=None, query=""):
        if request.param == "later":
            source = reading.open(query)
            server.requests.clear()
        server.faults, server.always = list(faults), always
        if request.param == "later":
            return bytes(source.fetch(*SPAN)), CONTENT[slice(*SPAN)]
        return reading.open(query).head, CONTENT[:HEADER_BYTES]

    return read


PASSING = {
    "408": [Fault(status=408)],
    "429": [Fault(status=429)],
    "500": [Fault(status=500)],
    "503": [Fault(status=503)],
    "three of them": [Fault(status=503), Fault(cut=1000), Fault(status=502)],
    "reset in mid-body": [Fault(cut=20_000, reset=True)],
    "reset before the answer": [Fault(cut=0, reset=True)],
    "truncated": [Fault(cut=20_000)],
    "a length that is too short": [Fault(length=500, cut=500)],
    "stalled before the answer": [Fault(stall_s=2)],
    "stalled in mid-body": [Fault(cut=20_000, stall_s=2)],
    "other bytes than asked for": [Fault(content_range=f"bytes 5-9/{SIZE}")],
}


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_that_passes_is_got_over(read, server, fault):
    found, wanted = read(PASSING[fault])
    assert found == wanted
    assert len(server.requests) == len(PASSING[fault]) + 1


RETRIED = {
    "503 for ever": (Fault(status=503), "status 503"),
    "429 for ever": (Fault(status=429), "status 429"),
    "reset for ever": (Fault(cut=20_000, reset=True), "Error"),
    "truncated for ever": (Fault(cut=20_000), "bytes instead of|Error"),
    "stalled for ever": (Fault(stall_s=5), "ReadTimeoutError"),
    "other bytes for ever": (Fault(content_range=f"bytes 5-9/{SIZE}"), "other bytes than asked for"),
}


@pytest.mark.parametrize("fault", RETRIED)
def test_a_fault_that_lasts_is_an_error_after_a_bounded_number_of_tries(read, server, fault):
    always, cause = RETRIED[fault]
    with pytest.raises(SourceError, match=rf"a\.tif: .*({cause}).* while reading bytes \d+ to \d+"):
        read(always=always)
    assert len(server.requests) == TRIES


FINAL = {
    "404": (Fault(status=404), "status 404"),
    "410": (Fault(status=410), "status 410"),
    "ranges ignored": (Fault(status=200), "ignores range requests"),
    "no Content-Range": (Fault(content_range=""), "without saying which"),
    "Content-Range of another unit": (Fault(content_range="items 0-5/9"), "without saying which"),
    "more bytes than asked for": (Fault(grow=100_000), "more bytes came"),
    "a length of a petabyte": (Fault(length=10**15), "more bytes came"),
    "more bytes in chunks": (Fault(grow=100_000, chunked=True), "more bytes came"),
    "encoded": (Fault(encoding="gzip"), "sends it encoded"),
    "redirect to a private address": (Fault(status=302, location="http://10.0.0.1/a.tif"), "private or local"),
    "redirect to an old spelling of one": (Fault(status=302, location="http://0x0a000001/a"), "private or local"),
    "redirect to IPv6's form of one": (Fault(status=302, location="http://[::ffff:10.0.0.1]/a"), "private or local"),
    "redirect to instance metadata": (Fault(status=307, location="http://169.254.169.254/latest"), "private or local"),
    "redirect to a file": (Fault(status=301, location="file:///etc/passwd"), "file:// addresses are refused"),
    "redirect to another scheme": (Fault(status=301, location="ftp://example.com/a.tif"), "scheme 'ftp'"),
    "redirect without a target": (Fault(status=301), "status 301"),
}


@pytest.mark.parametrize("fault", FINAL)
def test_a_fault_that_will_not_pass_is_an_error_at_once(read, reading, server, fault):
    always, cause = FINAL[fault]
    with pytest.raises(SourceError, match=cause) as error:
        read(always=always)
    assert re.search(r"a\.tif: (redirects to |.* while reading bytes \d+ to \d+(; |$))", str(error.value))
    assert len(server.requests) == 1
    assert reading.usage.bytes <= HEADER_BYTES + (SPAN[1] - SPAN[0] if "chunks" in fault else 0)


@pytest.mark.parametrize("status", [100, 102, 103])
def test_an_interim_answer_is_not_the_answer(read, server, status):
    """103 comes before the answer: taken for it, the true one would be read as that of the next request."""
    found, wanted = read([Fault(interim=status, interims=2)])
    assert found == wanted
    assert server.connections == 1


@pytest.mark.parametrize("fault", [Fault(interims=50), Fault(interim=101, interims=1)])
def test_interim_answers_without_end_or_another_protocol_are_an_error(read, server, fault):
    with pytest.raises(SourceError, match=r"a\.tif: \w+ while reading bytes"):
        read(always=fault)
    assert server.connections >= TRIES


def test_a_redirect_in_a_circle_ends(read, server):
    with pytest.raises(SourceError, match=r"a\.tif: more than 5 redirects"):
        read(always=Fault(status=302, location="/a.tif"))
    assert len(server.requests) == 6


def test_a_redirect_within_what_is_allowed_is_followed_on_the_same_connection(read, server):
    found, wanted = read([Fault(status=307, location="/a.tif"), Fault(status=302, location="a.tif")])
    assert found == wanted
    assert server.connections == 1


def test_a_redirect_to_a_host_that_is_not_listed_is_refused(server):
    reading = Reading(server, access=Access(loopback=True, hosts=("data.example.com",)))
    server.faults = [Fault(status=302, location="https://other.example.com/a.tif")]
    with pytest.raises(
        SourceError, match=r"a\.tif: redirects to .*other\.example\.com is not one of data\.example\.com"
    ):
        reading.open()


def test_a_body_in_chunks_is_read(read):
    found, wanted = read(always=Fault(chunked=True))
    assert found == wanted


@pytest.mark.parametrize(
    "fault",
    [Fault(trickle_s=0.05), Fault(trickle_s=0.05, chunked=True), Fault(head_trickle_s=0.05)],
    ids=["body", "chunks", "header"],
)
def test_byte_by_byte_meets_the_deadline(read, server, fault):
    begun = time.monotonic()
    with pytest.raises(SourceError, match=r"Timeout|deadline|Protocol"):
        read(always=fault)
    assert time.monotonic() - begun < 4
    assert len(server.requests) <= 2


def test_waits_double_and_are_spread(read, waits):
    with pytest.raises(SourceError, match="503"):
        read(always=Fault(status=503))
    assert len(waits) == TRIES - 1
    for i, wait in enumerate(waits):
        assert 0.005 * 2**i <= wait <= 0.01 * 2**i


def test_retry_after_in_seconds_or_as_a_date_is_heeded():
    assert _http._wait_s({"Retry-After": "7"}) == 7
    dates = {"Retry-After": "Fri, 20 Nov 2026 19:00:30 GMT", "Date": "Fri, 20 Nov 2026 19:00:00 GMT"}
    assert _http._wait_s(dates) == 30
    for nonsense in ("", "soon", "-5", "Fri, 99 Nov"):
        assert _http._wait_s({"Retry-After": nonsense}) == 0


def test_retry_after_within_the_deadline_is_waited_for(server, waits, monkeypatch):
    monkeypatch.setattr(_http, "PATIENCE", Patience(tries=TRIES, deadline_s=100, backoff_s=0.01, sleep=waits.append))
    server.faults = [Fault(status=503), Fault(status=429, retry_after="20")]
    assert Reading(server).open().head == CONTENT[:HEADER_BYTES]
    assert waits[0] <= 0.01
    assert waits[1] == 20


def test_retry_after_beyond_the_deadline_is_an_error_now(read, server, waits):
    with pytest.raises(SourceError, match="503"):
        read(always=Fault(status=503, retry_after="100"))
    assert len(server.requests) == 1
    assert waits == []


class Signer:
    """Gives tokens; a fresh one only where it is asked for."""

    def __init__(self):
        self.token, self.fresh = 1, 0

    def __call__(self, href, *, fresh=False):
        self.fresh += fresh
        self.token += fresh
        return f"{href}?token=SECRET{self.token}"


def test_a_token_that_expires_in_mid_read_is_renewed_once(server):
    sign = Signer()
    reading = Reading(server, sign)
    server.token = "SECRET1"
    source = reading.open()
    server.token = "SECRET2"
    assert bytes(source.fetch(*SPAN)) == CONTENT[slice(*SPAN)]
    assert bytes(source.fetch(*SPAN)) == CONTENT[slice(*SPAN)]
    assert sign.fresh == 1
    assert len(server.requests) == 4


def test_a_token_that_many_threads_find_expired_is_renewed_once(server):
    sign = Signer()
    reading = Reading(server, sign)
    server.token = "SECRET1"
    source = reading.open()
    server.token = "SECRET2"
    found = []
    threads = [threading.Thread(target=lambda: found.append(bytes(source.fetch(*SPAN)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT[slice(*SPAN)]] * 8
    assert sign.fresh == 1


def test_a_token_that_stays_refused_is_an_error_without_it(server):
    server.token = "other"
    with pytest.raises(SourceError, match="status 403") as error:
        Reading(server, Signer()).open()
    assert "SECRET" not in str(error.value)
    assert len(server.requests) == 2


def test_an_address_that_is_not_signed_is_tried_twice_where_it_is_forbidden(read, server):
    with pytest.raises(SourceError, match="status 403"):
        read(always=Fault(status=403))
    assert len(server.requests) == 2


def test_a_signer_that_fails_is_heard(server):
    def sign(href):
        raise CatalogError("no token to be had")

    with pytest.raises(CatalogError, match="no token"):
        Reading(server, sign).open()


@pytest.mark.parametrize("fault", [*RETRIED, *FINAL])
def test_no_error_and_no_log_shows_a_signature(server, reading, fault, caplog):
    caplog.set_level(logging.DEBUG)
    always = {**RETRIED, **FINAL}[fault][0]
    if always.location:
        always = Fault(status=always.status, location=always.location + "?sig=SECRET")
    server.always = always
    with pytest.raises(SourceError) as error:
        reading.open("?sig=SECRET")
    shown, seen = str(error.value), error.value
    while seen is not None:
        shown += str(seen.args)
        seen = seen.__cause__
    assert "SECRET" not in shown + caplog.text


def test_a_name_that_resolves_to_a_private_address_is_not_connected_to(server, monkeypatch):
    port = int(server.url.rpartition(":")[2])
    monkeypatch.setattr(socket, "getaddrinfo", answers(port, ["127.0.0.1"]))
    reading = Reading(server, access=Access())
    with pytest.raises(SourceError, match=r"rebound\.example\.com resolves to 127\.0\.0\.1"):
        reading.sources.open(f"http://rebound.example.com:{port}/a.tif")
    assert server.connections == 0


@pytest.mark.parametrize("loopback", [True, False])
def test_a_name_that_resolves_to_a_private_address_only_when_connecting_is_not_asked(server, monkeypatch, loopback):
    port = int(server.url.rpartition(":")[2])
    monkeypatch.setattr(socket, "getaddrinfo", answers(port, ["93.184.216.34", "127.0.0.1"]))
    reading = Reading(server, access=Access(loopback=loopback))
    with pytest.raises(SourceError, match=r"rebound\.example\.com leads to 127\.0\.0\.1"):
        reading.sources.open(f"http://rebound.example.com:{port}/a.tif")
    assert server.connections <= 1
    assert server.requests == []


def answers(port, addresses):
    """A resolver that gives one address after the other, and the last one from then on."""
    left = list(addresses)

    def getaddrinfo(host, *args, **kwargs):
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]

    return getaddrinfo


def test_another_version_between_two_ranges_is_an_error_and_no_mixture(reading, server):
    source = reading.open()
    assert bytes(source.fetch(*SPAN)) == CONTENT[slice(*SPAN)]
    server.files["a.tif"] = CONTENT[::-1]
    with pytest.raises(ChangedError, match=r"a\.tif: the file changed while it was read \(bytes \d+ to \d+\)"):
        source.fetch(*SPAN)


def test_another_length_between_two_ranges_is_an_error_without_a_tag(reading, server):
    server.always = Fault(tag="")
    source = reading.open()
    server.files["a.tif"] = CONTENT + b"more"
    with pytest.raises(ChangedError, match="changed"):
        source.fetch(*SPAN)


def test_a_tag_that_comes_and_goes_is_no_change(reading, server):
    source = reading.open()
    server.faults = [Fault(tag=""), None]
    for _ in range(2):
        assert bytes(source.fetch(*SPAN)) == CONTENT[slice(*SPAN)]


@pytest.mark.parametrize("fault", [Fault(stall_s=30), Fault(cut=20_000, stall_s=30)], ids=["asked", "in mid-body"])
def test_what_a_thread_waits_for_ends_when_reading_is_stopped(reading, server, monkeypatch, fault):
    monkeypatch.setattr(_http, "PATIENCE", Patience())
    reading = Reading(server)
    source, errors = reading.open(), []
    server.always = fault

    def fetch():
        with pytest.raises(SourceError, match="stopped") as error:
            source.fetch(*SPAN)
        errors.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    while len(server.requests) < 2:
        time.sleep(0.01)
    time.sleep(0.05)
    reading.sources.cancel()
    thread.join(2)
    assert not thread.is_alive()
    assert errors
    with pytest.raises(SourceError, match="stopped"):
        source.fetch(*SPAN)


def test_a_session_that_ends_by_an_error_does_not_wait_for_what_stalls(server, tmp_path, monkeypatch):
    monkeypatch.setattr(_http, "PATIENCE", Patience())
    server.always = Fault(stall_s=30)
    box = GeoBox("EPSG:32633", Fraction(10), Fraction(500_000), Fraction(5_200_000), (16, 16))
    hrefs = [str(tmp_path / "missing.tif"), *(f"{server.href('a.tif')}?{n}" for n in range(20))]
    began = time.monotonic()
    with (
        pytest.raises(SourceError, match="no such file"),
        native.NativeSession(Access(roots=(str(tmp_path),), loopback=True), lambda href: href) as session,
    ):
        session.sweep([Layer(href, RED, box, "nearest") for href in hrefs], 16)
    assert time.monotonic() - began < 10


def test_a_wait_between_tries_ends_when_reading_is_stopped(server, monkeypatch):
    monkeypatch.setattr(_http, "PATIENCE", Patience(backoff_s=60))
    reading, stopped = Reading(server), []
    server.always = Fault(status=503)

    def fetch():
        with pytest.raises(SourceError, match="stopped"):
            reading.open()
        stopped.append(True)

    thread = threading.Thread(target=fetch)
    thread.start()
    while not server.requests:
        time.sleep(0.01)
    time.sleep(0.05)
    reading.sources.cancel()
    thread.join(2)
    assert stopped
