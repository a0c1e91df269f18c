"""Tokens are fetched when a task reads, renewed before they end, and are nowhere else."""

import contextlib
import datetime as dt
import json
import threading
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from geo_assets.catalogs._http import Waiting
from geo_assets.catalogs.planetary_computer import PlanetaryComputer
from geo_assets.errors import CatalogError, SourceError
from geo_assets.model.recipe import CatalogRecipe

HREF = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/33/T/WN/B04.tif"


@contextlib.contextmanager
def tokens(lives_s=3600.0, body=None):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def do_GET(self):
            asked.append(self.path)
            expiry = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=lives_s)
            answer = {
                "msft:expiry": expiry.isoformat().replace("+00:00", "Z"),
                "token": f"sv=1&se=2&sig=canary{len(asked)}",
            }
            data = json.dumps(answer).encode() if body is None else body
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def plugin(url, now=None):
    return PlanetaryComputer(sas_url=url, waiting=Waiting(clock=lambda: now[0] if now else 0.0, sleep=lambda s: None))


def test_sign_when_blob_then_token_of_its_container():
    with tokens() as (url, asked):
        assert plugin(url).sign(HREF) == f"{HREF}?sv=1&se=2&sig=canary1"
    assert asked == ["/token/sentinel2l2a01/sentinel2-l2"]


def test_sign_when_again_then_no_request_until_the_token_is_about_to_end():
    now = [0.0]
    with tokens(lives_s=3600) as (url, asked):
        pc = plugin(url, now)
        assert pc.sign(HREF) == pc.sign(HREF)
        now[0] = 3200
        assert pc.sign(HREF).endswith("canary1")
        now[0] = 3400
        assert pc.sign(HREF).endswith("canary2")
    assert len(asked) == 2


def test_sign_when_the_token_was_refused_then_a_fresh_one():
    with tokens() as (url, _):
        pc = plugin(url)
        pc.sign(HREF)
        assert pc.sign(HREF, fresh=True).endswith("canary2")


def test_sign_when_many_threads_then_one_request():
    with tokens() as (url, asked), ThreadPoolExecutor(8) as pool:
        signed = set(pool.map(plugin(url).sign, [HREF] * 32))
    assert len(signed) == len(asked) == 1


@pytest.mark.parametrize(
    "href",
    [
        f"{HREF}?sv=1&sig=mine",
        "https://ai4edatasetspublicassets.blob.core.windows.net/assets/thumb.png",
        "https://example.org/a.tif",
        "http://sentinel2l2a01.blob.core.windows.net/c/a.tif",
        "https://evil.example/.blob.core.windows.net/c/a.tif",
        "https://a/../b.blob.core.windows.net/c/a.tif",
        "https://blob.core.windows.net/c/a.tif",
    ],
)
def test_sign_when_not_to_be_signed_then_unchanged_and_nothing_asked(href):
    with tokens() as (url, asked):
        assert plugin(url).sign(href) == href
    assert asked == []


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b'{"token": 1, "msft:expiry": "2024-01-01T00:00:00Z"}', b'{"token": "x", "msft:expiry": "soon"}'],
)
def test_sign_when_there_is_no_token_then_typed_error(body):
    with tokens(body=body) as (url, _), pytest.raises(CatalogError, match="without a token"):
        plugin(url).sign(HREF)


def test_sign_when_a_query_belongs_to_the_address_then_it_stays():
    with tokens() as (url, _):
        signed = urllib.parse.urlsplit(plugin(url).sign(f"{HREF}?snapshot=3"))
    assert urllib.parse.parse_qs(signed.query)["snapshot"] == ["3"]


def test_access_when_asked_then_azure_only():
    access = PlanetaryComputer().access(CatalogRecipe(kind="planetary-computer"))
    assert access.check(HREF)
    with pytest.raises(SourceError):
        access.check("https://example.org/a.tif")
