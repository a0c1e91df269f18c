"""Connections: kept, shared by threads, verified, and through the proxies of the environment."""

import base64
import contextlib
import socket
import socketserver
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from geo_assets.errors import ConfigError, SourceError
from geo_assets.model.href import Access
from geo_assets.model.plugin import Usage
from geo_assets.readers import _http
from geo_assets.readers._files import HEADER_BYTES, Sources
from geo_assets.readers._http import Patience
from geo_assets.readers._wire import Wire
from geo_assets.testing.conformance_reader import unsigned
from geo_assets.testing.file_server import Fault, serve_files
from geo_assets_tests.readers.certificates import make_certificates

CONTENT = bytes(i * 7 % 251 for i in range(2_000_000))
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
             "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")  # fmt: skip


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    patience = Patience(tries=2, backoff_s=0.01, connect_s=5.0, silence_s=5.0, deadline_s=20.0, sleep=lambda s: None)
    monkeypatch.setattr(_http, "PATIENCE", patience)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def server():
    with serve_files({"a.tif": CONTENT}) as server:
        yield server


@contextlib.contextmanager
def session(access=None):
    usage = Usage()
    sources = Sources(access or Access(loopback=True), unsigned, usage)
    try:
        yield sources, usage
    finally:
        sources.close()


def test_a_connection_is_kept_from_range_to_range_and_over_faults(server):
    with session() as (sources, usage):
        source = sources.open(server.href("a.tif"))
        server.faults = [None, Fault(status=503), None, Fault(status=302, location="/a.tif")]
        for i in range(10):
            start = HEADER_BYTES + i * 50_000
            assert source.fetch(start, start + 50_000) == CONTENT[start : start + 50_000]
        assert server.connections == 1
        assert usage.requests == 11
        assert usage.bytes == HEADER_BYTES + 500_000


def test_thirty_two_threads_share_one_session(server):
    with session() as (sources, usage):
        source = sources.open(server.href("a.tif"))

        def fetch(i):
            start = HEADER_BYTES + i * 9_001
            return source.fetch(start, start + 30_000) == CONTENT[start : start + 30_000]

        with ThreadPoolExecutor(32) as pool:
            assert all(pool.map(fetch, range(200)))
        assert server.connections <= 33
        assert usage.requests == 201
        assert usage.bytes == HEADER_BYTES + 200 * 30_000


def test_an_address_with_a_user_is_asked_with_it(server):
    with session() as (sources, _):
        href = server.href("a.tif").replace("http://", "http://me:s%40cret@")
        sources.open(href)
        assert server.headers[-1]["Authorization"] == "Basic " + base64.b64encode(b"me:s@cret").decode()
        server.always = Fault(status=404)
        with pytest.raises(SourceError) as error:
            sources.open(href + "?x")
        assert "s@cret" not in str(error.value)
        assert "s%40cret" not in str(error.value)


def test_netrc_counts_for_its_own_host_only(server, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    with session() as (sources, _):
        sources.open(server.href("a.tif"))
        assert server.headers[-1]["Authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()
        sources.open(server.href("a.tif").replace("127.0.0.1", "localhost"))
        assert "Authorization" not in server.headers[-1]


@pytest.mark.parametrize("content", ["default login me password secret\n", "machine 127.0.0.1 login me passw", None])
def test_netrc_when_it_names_no_host_or_cannot_be_read_then_nothing_of_it_is_sent(server, tmp_path, content):
    """Items say which hosts are read: what is for any host would be for all of theirs."""
    if content is None:
        (tmp_path / "netrc").mkdir()
    else:
        (tmp_path / "netrc").write_text(content)
    with session() as (sources, _):
        sources.open(server.href("a.tif"))
    assert "Authorization" not in server.headers[-1]


# ---- proxies ---------------------------------------------------------------------------------------------------------


def test_a_proxy_of_the_environment_is_asked_for_public_hosts(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url.replace("://", "://me:secret@"))
    monkeypatch.setattr(socket, "getaddrinfo", only_local(socket.getaddrinfo))
    with session(Access()) as (sources, _):
        source = sources.open("http://data.example.com/a.tif")
        assert source.head == CONTENT[:HEADER_BYTES]
    assert server.headers[-1]["Host"] == "data.example.com"
    assert server.headers[-1]["Proxy-Authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()


def test_a_proxy_does_not_make_a_private_address_readable(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    for url in ("http://10.0.0.1/a.tif", "http://localhost/a.tif", "http://metadata.internal/a.tif"):
        with session(Access()) as (sources, _), pytest.raises(SourceError, match="private or local"):
            sources.open(url)
    assert server.requests == []


@pytest.mark.parametrize(
    ("url", "excepted", "proxied"),
    [
        ("http://data.example.com/a", "", True),
        ("http://data.example.com/a", "example.com", False),
        ("http://data.example.com/a", "other.com, .example.com", False),
        ("http://data.example.com/a", "*", False),
        ("http://data.example.com/a", "example.org", True),
        ("http://93.184.216.34/a", "93.184.0.0/16", False),
        ("http://127.0.0.1:8000/a", "", False),
        ("http://localhost:8000/a", "", False),
    ],
)
def test_no_proxy_is_read_as_requests_reads_it(monkeypatch, url, excepted, proxied):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", excepted)
    assert Wire().route(url).proxied == proxied


def only_local(resolve):
    def getaddrinfo(host, *args, **kwargs):
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(f"{host} was looked up here")
        return resolve(host, *args, **kwargs)

    return getaddrinfo


class Tunnel(socketserver.ThreadingTCPServer):
    """A proxy that leads every CONNECT to one port."""

    daemon_threads = True

    def __init__(self, port):
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.port, self.asked = port, []


class _Tunnel(socketserver.StreamRequestHandler):
    def handle(self):
        self.server.asked.append(self.rfile.readline().decode().strip())
        while self.rfile.readline().strip():
            pass
        with socket.create_connection(("127.0.0.1", self.server.port)) as other:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_pipe, args=(other, self.connection), daemon=True)
            back.start()
            _pipe(self.connection, other)
            back.join()


def _pipe(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


# ---- certificates ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(certificate):
    with serve_files({"a.tif": CONTENT}, tls=certificate.server) as server:
        yield server


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_certificate_of_an_authority_that_the_environment_names_is_trusted(secure, certificate, monkeypatch, name):
    monkeypatch.setenv(name, str(certificate.authority))
    with session() as (sources, _):
        source = sources.open(secure.href("a.tif"))
        assert source.fetch(40_000, 900_000) == CONTENT[40_000:900_000]
    assert secure.connections == 1


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(secure):
    with session() as (sources, _), pytest.raises(SourceError, match="certificate is not valid here"):
        sources.open(secure.href("a.tif"))
    assert secure.requests == []
    assert secure.connections == 1


def test_a_certificate_of_another_host_is_refused(secure, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
    with session() as (sources, _), pytest.raises(SourceError, match="certificate is not valid here"):
        sources.open(secure.href("a.tif").replace("127.0.0.1", "localhost"))
    assert secure.requests == []


def test_a_bundle_that_is_not_there_is_named(secure, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with session() as (sources, _), pytest.raises(ConfigError, match=r"REQUESTS_CA_BUNDLE names /nowhere/ca\.pem"):
        sources.open(secure.href("a.tif"))


def test_a_proxy_leads_to_a_public_host_over_tls(secure, certificate, monkeypatch):
    tunnel = Tunnel(int(secure.url.rpartition(":")[2]))
    thread = threading.Thread(target=tunnel.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{tunnel.server_address[1]}")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
        with session(Access()) as (sources, _):
            source = sources.open("https://data.example.com/a.tif")
            assert source.fetch(40_000, 900_000) == CONTENT[40_000:900_000]
        assert tunnel.asked == [f"CONNECT data.example.com:443 HTTP/1.{tunnel.asked[0][-1]}"]
    finally:
        tunnel.shutdown()
        tunnel.server_close()


def test_reading_over_tls_ends_when_it_is_stopped(secure, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
    with session() as (sources, _):
        source, stopped = sources.open(secure.href("a.tif")), []
        secure.always = Fault(cut=100_000, stall_s=30)

        def fetch():
            with pytest.raises(SourceError, match="stopped"):
                source.fetch(40_000, 900_000)
            stopped.append(True)

        thread = threading.Thread(target=fetch)
        thread.start()
        while len(secure.requests) < 2:
            time.sleep(0.01)
        time.sleep(0.05)
        sources.cancel()
        thread.join(3)
        assert stopped
