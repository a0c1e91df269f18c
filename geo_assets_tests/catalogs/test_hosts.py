"""Where the requests of a catalog search may lead: the name service is played, and all that answers is on loopback."""

import socket
import urllib.parse

import pytest
import shapely

from geo_assets.catalogs._api import ApiCatalog
from geo_assets.errors import CatalogError
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.testing.conformance_catalog import make_item, query
from geo_assets.testing.stac_server import Answer, serve

ITEMS = [make_item("a", "2024-02-01T10:00:00Z", shapely.box(15, 47, 16, 48))]
METADATA, PUBLIC, HERE = "169.254.169.254", "93.184.215.14", "127.0.0.1"


@pytest.fixture
def names(monkeypatch):
    """Addresses by host name, one for each time that it is asked for; the last one stays."""
    known, real = {}, socket.getaddrinfo

    def resolve(host, port, *args, **kwargs):
        if host in known:
            host = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        return real(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


def search(url):
    return ApiCatalog().search(CatalogRecipe(kind="stac-api", url=url, retries=0), query())


def named(server, host):
    """The server's address by another name, which its own links have, too."""
    server.url = server.url.replace(HERE, host)
    return server.url


def refusal(url):
    with pytest.raises(CatalogError) as caught:
        search(url)
    assert not caught.value.retryable
    return str(caught.value)


def leading_to(href):
    def edit(page):
        return {**page, "links": [{"rel": "next", "href": href}]}

    return Answer(edit=edit)


def test_search_when_the_users_own_name_means_this_machine_then_it_is_asked(names):
    names["stac.example.org"] = [HERE]
    with serve(ITEMS) as server:
        assert [i["id"] for i in search(named(server, "stac.example.org"))] == ["a"]


@pytest.mark.parametrize("address", [METADATA, "fe80::1", "::ffff:169.254.169.254", "fd00:ec2::254"])
def test_search_when_the_catalogs_name_leads_to_a_link_local_address_then_refused(names, address):
    names["stac.example.org"] = [address]
    assert f"stac.example.org leads to {address}" in refusal("http://stac.example.org/v1?token=canary")


@pytest.mark.parametrize("address", [METADATA, HERE, "10.0.0.1", "::1"])
def test_search_when_a_next_link_has_a_name_that_leads_to_a_private_address_then_refused(names, address):
    names["other.example.org"] = [address]
    with serve(ITEMS) as server:
        port = urllib.parse.urlsplit(server.url).port
        server.always = leading_to(f"http://other.example.org:{port}/search?token=canary")
        said = refusal(server.url)
    assert f"other.example.org leads to {address}" in said
    assert "canary" not in said
    assert len(server.searches) == 1


def test_search_when_redirected_to_a_name_that_leads_to_a_private_address_then_refused(names):
    names["other.example.org"] = [HERE]
    with serve(ITEMS) as server:
        server.always = Answer(307, {"Location": server.url.replace(HERE, "other.example.org") + "/search"})
        assert "other.example.org leads to 127.0.0.1" in refusal(server.url)
    assert len(server.searches) == 1


def test_search_when_a_public_catalogs_name_turns_to_this_machine_then_refused(names):
    names["stac.example.org"] = [PUBLIC, HERE]
    with serve(ITEMS) as server:
        assert "stac.example.org leads to 127.0.0.1" in refusal(named(server, "stac.example.org"))
    assert server.requests == []


@pytest.mark.parametrize("name", ["STAC.example.org", "stac.example.org"])
def test_search_when_a_link_writes_the_own_address_otherwise_then_it_is_followed(names, name):
    names["stac.example.org"] = names["STAC.example.org"] = [HERE]
    with serve(ITEMS) as server:
        url = named(server, "stac.example.org")
        server.url = url.replace("stac.example.org", name)
        assert [i["id"] for i in search(url)] == ["a"]


def test_search_when_a_server_of_this_machine_calls_itself_by_another_name_of_it_then_it_is_followed():
    with serve(ITEMS) as server:
        assert [i["id"] for i in search(server.url.replace(HERE, "localhost"))] == ["a"]
