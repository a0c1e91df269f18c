"""STAC APIs: a catalog with an address, and its search through pystac-client, checked page by page."""

import datetime as dt
import json
import urllib.parse
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import pystac.errors
import pystac_client
import pystac_client.warnings
import shapely
import shapely.geometry
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError, ParametersError

from geo_assets.catalogs._http import NotFoundError, RefusedError, RetryingIO, Waiting
from geo_assets.eo.items import distinct, footprint, item_days, meets
from geo_assets.errors import CatalogError, ConfigError
from geo_assets.model.href import Access, is_loopback, without_query
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.model.scene import SceneQuery

_MAX_VERTICES = 500  # of the area in a request; what lies between it and a coarser one is sorted out here
_MAX_BARREN = 3  # pages in a row without a new item: some servers filter after paging, and send empty ones in between


class ApiCatalog:
    """A STAC API with item search.

    Args:
        url: Where it is if ``catalog.url`` does not say; "" where it has to.
        hosts: What its assets may be read from if the recipe does not say; none means any public host.
        waiting: Time and chance.
    """

    def __init__(self, url: str = "", hosts: Sequence[str] = (), *, waiting: Waiting | None = None) -> None:
        self._url, self._hosts, self.waiting = url, tuple(hosts), waiting or Waiting()

    def search(self, recipe: CatalogRecipe, query: SceneQuery) -> list[dict[str, Any]]:
        """Items that overlap the query's area and days, with absolute asset addresses, none of them twice.

        Raises:
            CatalogError: No answer within the tries or the deadline, a malformed page, or pages without end.
            ConfigError: No address, not a STAC API with item search, or none of the collections exists there.
        """
        return _search(self._address(recipe), recipe, query, self.waiting)

    def access(self, recipe: CatalogRecipe) -> Access:
        """The recipe's hosts, else the API's; this machine's servers if the API is one of them."""
        host = urllib.parse.urlsplit(self._address(recipe)).hostname or ""
        return Access(hosts=tuple(recipe.hosts) or self._hosts, loopback=is_loopback(host))

    def sign(self, href: str) -> str:
        """The address as it is."""
        return href

    def _address(self, recipe: CatalogRecipe) -> str:
        url = recipe.url or self._url
        if not url.startswith(("https://", "http://")):
            raise ConfigError(
                f"catalog.url is {without_query(url)!r}: give the address of a STAC API, such as https://example.org/stac/v1"
            )
        return url


def _search(url: str, recipe: CatalogRecipe, query: SceneQuery, waiting: Waiting) -> list[dict[str, Any]]:
    stac_io = _PagingIO(url, recipe, waiting)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pystac_client.warnings.PystacClientWarning)
            client = pystac_client.Client.open(url, stac_io=stac_io)
            search = client.search(
                method=_method(client),
                collections=list(query.collections) or None,
                intersects=shapely.geometry.mapping(_coarse(query.area)),
                datetime=_interval(query.start, query.end),
                limit=recipe.page_size,
            )
            # Not its pages_as_dicts, which takes an empty page for the last one
            pages = stac_io.get_pages(search.url, search.method, search.get_parameters())
            found = [item for page in pages for item in page["features"]]
    except pystac_client.warnings.DoesNotConformTo as e:
        raise ConfigError(
            f"{stac_io.shown} offers no item search: correct catalog.url, or use catalog kind static"
        ) from e
    except (
        APIError,
        ClientTypeError,
        ParametersError,
        pystac.errors.STACError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
    ) as e:
        if isinstance(e, ConfigError):
            raise
        raise RefusedError(
            f"{stac_io.shown} does not answer as a STAC API does ({type(e).__name__}: {str(e)[:200]}): correct catalog.url"
        ) from e
    if not found:
        _require_collections(stac_io, url, query)
    return distinct(_absolute(item, url) for item in found if meets(query, item_days(item), footprint(item)))


def _method(client: pystac_client.Client) -> str:
    """POST, which has room for any area, unless the API says that it has only GET."""
    links = [link for link in client.links if link.rel == "search"]
    methods = {str(link.extra_fields.get("method") or "GET").upper() for link in links}
    return "POST" if "POST" in methods or not methods else "GET"


def _interval(start: dt.date, end: dt.date) -> str:
    # pystac-client would end a day at 23:59:59 and miss what was taken within its last second
    return f"{start.isoformat()}T00:00:00Z/{(end + dt.timedelta(days=1)).isoformat()}T00:00:00Z"


def _coarse(area: shapely.Geometry) -> shapely.Geometry:
    """The area, or a simpler one around it that fits into a request."""
    if shapely.get_num_coordinates(area) <= _MAX_VERTICES:
        return area
    hulls = shapely.union_all([part.convex_hull for part in shapely.get_parts(area)])
    if shapely.get_num_coordinates(hulls) <= _MAX_VERTICES:
        return hulls
    parts = shapely.get_parts(hulls)
    halves = [
        [p for p in parts if p.centroid.x < 0],
        [p for p in parts if p.centroid.x >= 0],
    ]  # never across the antimeridian
    return shapely.union_all([shapely.box(*shapely.union_all(half).bounds) for half in halves if half])


def _absolute(item: dict[str, Any], url: str) -> dict[str, Any]:
    base = next(
        (
            link["href"]
            for link in item.get("links") or []
            if isinstance(link, dict) and link.get("rel") == "self" and isinstance(link.get("href"), str)
        ),
        url,
    )
    assets = {
        key: {**asset, "href": urllib.parse.urljoin(base, asset["href"])} if _is_relative(asset) else asset
        for key, asset in item["assets"].items()
    }
    return {**item, "assets": assets}


def _is_relative(asset: Any) -> bool:
    # An absolute path is left as it is: it is no part of the API, and is refused by whoever opens it
    href = asset.get("href") if isinstance(asset, dict) else None
    return isinstance(href, str) and bool(href) and not href.startswith("/") and not urllib.parse.urlsplit(href).scheme


def _require_collections(stac_io: "_PagingIO", url: str, query: SceneQuery) -> None:
    """Nothing was found: says so where that is because the catalog has none of the collections."""
    for name in query.collections:
        try:
            stac_io.request(f"{url.rstrip('/')}/collections/{urllib.parse.quote(name, safe='')}")
        except NotFoundError:
            continue
        except CatalogError:
            return  # an API need not offer this; the search itself was answered
        return
    if query.collections:
        raise ConfigError(
            f"{stac_io.shown} has no collection {' or '.join(query.collections)}: name those to use in sensors: [{{sensor: ..., collections: [...]}}]"
        )


class _PagingIO(RetryingIO):
    """Follows next links as long as they lead on."""

    def __init__(self, url: str, recipe: CatalogRecipe, waiting: Waiting) -> None:
        super().__init__(url, recipe, waiting)
        self._max_pages = recipe.max_pages

    def get_pages(
        self, url: str, method: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Pages of a search.

        Raises:
            CatalogError: A page is malformed, leads back to an earlier one, brings nothing new, or is one too many.
        """
        call: _Call | None = ((method or "GET").upper(), url, parameters or {}, None)
        asked: set[str] = set()
        seen: set[tuple[str, str]] = set()
        barren = 0
        while call is not None:
            self._check_call(call, asked)
            page = self._page(call)
            yield page
            new = {(str(i.get("collection")), i["id"]) for i in page["features"]} - seen
            seen |= new
            barren = 0 if new else barren + 1
            call = _next(page, call)
            if call is not None and barren >= _MAX_BARREN:
                raise CatalogError(
                    f"{self.shown}: {barren} pages in a row bring no new item, and there is always a next one: the catalog's paging is broken; "
                    "try again later, or a larger catalog.page_size"
                )

    def _check_call(self, call: "_Call", asked: set[str]) -> None:
        mark = json.dumps(call, sort_keys=True, default=str)
        if mark in asked:
            raise CatalogError(
                f"{self.shown}: page {len(asked)} leads back to an earlier page: the catalog's paging is broken; try again later"
            )
        if len(asked) >= self._max_pages:
            raise CatalogError(
                f"{self.shown}: the search has more than {self._max_pages} pages: search a smaller area, or raise catalog.max_pages or page_size"
            )
        asked.add(mark)

    def _page(self, call: "_Call") -> dict[str, Any]:
        method, url, parameters, headers = call
        page = json.loads(self.request(url, method, headers, parameters))
        if not isinstance(page, dict) or not isinstance(page.get("features"), list):
            said = str(page.get("description") or page.get("detail") or "")[:200] if isinstance(page, dict) else ""
            raise CatalogError(
                f"{self.shown}: a malformed page: it has no list of features {said}; try again later, or check catalog.url"
            )
        for item in page["features"]:
            whole = isinstance(item, dict) and isinstance(item.get("id"), str)
            if not whole or not isinstance(item.get("properties"), dict) or not isinstance(item.get("assets"), dict):
                shown = item.get("id") if isinstance(item, dict) else item
                raise CatalogError(
                    f"{self.shown}: a malformed page: item {str(shown)[:80]!r} lacks id, properties or assets; report it to the catalog"
                )
        return page


_Call = tuple[str, str, dict[str, Any], dict[str, str] | None]


def _next(page: dict[str, Any], call: _Call) -> _Call | None:
    """The request that a page's next link asks for."""
    links = page.get("links")
    link = (
        next((k for k in links if isinstance(k, dict) and k.get("rel") == "next"), None)
        if isinstance(links, list)
        else None
    )
    if link is None:
        return None
    if not isinstance(link.get("href"), str):
        raise CatalogError("a malformed page: its next link has no address; try again later")
    method = str(link.get("method") or "GET").upper()
    given = link.get("body")
    body: dict[str, Any] = given if isinstance(given, dict) else {}
    parameters = ({**call[2], **body} if link.get("merge") else body) if method == "POST" else {}
    headers = link.get("headers") if isinstance(link.get("headers"), dict) else None
    return method, urllib.parse.urljoin(call[1], link["href"]), parameters, headers
