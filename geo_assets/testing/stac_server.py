"""A STAC API on loopback that pages, and fails in every way that a real one does, on request."""

import contextlib
import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import shapely
import shapely.geometry

from geo_assets.eo.items import footprint, item_days, parse_time

_CONFORMANCE = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/collections",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
]


@dataclass(frozen=True)
class Answer:
    """What is sent instead of, or changed about, the right answer to one request.

    Attributes:
        status: Status code.
        headers: Further headers.
        body: Body; None is the right one.
        delay_s: Wait before the answer.
        cut: Bytes of the body after which the connection is closed; None sends it whole.
        edit: Changes a page before it is sent.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    delay_s: float = 0.0
    cut: int | None = None
    edit: Callable[[dict[str, Any]], dict[str, Any]] | None = None


@dataclass
class StacServer:
    """Items behind a search endpoint.

    Attributes:
        items: What it holds, in the order in which pages list it.
        faults: Answers to the coming searches, one each; None is the right answer. Used up from the front.
        always: Answer to every search once ``faults`` are used up.
        root_faults: The same for the landing page.
        methods: Methods that the landing page offers for searches.
        requests: What was asked: method, path and parameters.
    """

    items: list[dict[str, Any]]
    faults: list[Answer | None] = field(default_factory=list)
    always: Answer | None = None
    root_faults: list[Answer | None] = field(default_factory=list)
    methods: tuple[str, ...] = ("GET", "POST")
    requests: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    url: str = ""

    @property
    def searches(self) -> list[dict[str, Any]]:
        """Parameters of the searches so far."""
        return [parameters for _, path, parameters in self.requests if path == "/search"]

    def answer(self, method: str, path: str, parameters: dict[str, Any]) -> tuple[Answer, Any]:
        """The answer to a request and the document that it is about."""
        self.requests.append((method, path, parameters))
        if path == "/search":
            answer = self.faults.pop(0) if self.faults else self.always
            page = self._page(method, parameters)
            return answer or Answer(), answer.edit(page) if answer and answer.edit else page
        if path == "/":
            return (self.root_faults.pop(0) if self.root_faults else None) or Answer(), self._landing()
        if path.startswith("/collections/"):
            name = path.removeprefix("/collections/")
            if any(item.get("collection") == name for item in self.items):
                return Answer(), {
                    "type": "Collection",
                    "id": name,
                    "stac_version": "1.0.0",
                    "description": name,
                    "license": "other",
                    "links": [],
                }
        return Answer(404), {"code": "NotFound", "description": f"no {path}"}

    def _landing(self) -> dict[str, Any]:
        search = [
            {"rel": "search", "type": "application/geo+json", "href": f"{self.url}/search", "method": m}
            for m in self.methods
        ]
        links = [{"rel": "self", "href": self.url}, {"rel": "root", "href": self.url}, *search]
        links.append({"rel": "data", "href": f"{self.url}/collections"})
        return {
            "type": "Catalog",
            "id": "test",
            "stac_version": "1.0.0",
            "description": "test",
            "conformsTo": _CONFORMANCE,
            "links": links,
        }

    def _page(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        found = [item for item in self.items if _matches(item, parameters)]
        limit = int(parameters.get("limit", 10))
        token = str(parameters.get("token", "")).rpartition(":")[2]
        start = int(token) if token.isdigit() else 0
        page: dict[str, Any] = {"type": "FeatureCollection", "features": found[start : start + limit], "links": []}
        if start + limit < len(found):
            page["links"].append(self.next_link(method, parameters, str(start + limit)))
        return page

    def next_link(self, method: str, parameters: Mapping[str, Any], token: str) -> dict[str, Any]:
        """A link to a further page, as stac-fastapi writes it."""
        asked = {**parameters, "token": f"next:{token}"}
        if method == "POST":
            return {"rel": "next", "method": "POST", "href": f"{self.url}/search", "body": asked, "merge": False}
        plain = {k: v if isinstance(v, str) else json.dumps(v) for k, v in asked.items()}
        return {"rel": "next", "method": "GET", "href": f"{self.url}/search?{urllib.parse.urlencode(plain)}"}


def _matches(item: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    collections = parameters.get("collections")
    if collections and item.get("collection") not in collections:
        return False
    if parameters.get("datetime"):
        first, last = (parse_time(text) for text in parameters["datetime"].split("/"))
        days = item_days(item)
        if days and first and last and not first.date() <= days[0] <= last.date():
            return False
    shape = footprint(item)
    return (
        shape is None
        or not parameters.get("intersects")
        or bool(shapely.intersects(shapely.geometry.shape(parameters["intersects"]), shape))
    )


@contextlib.contextmanager
def serve(items: Sequence[dict[str, Any]], **options: Any) -> Iterator[StacServer]:
    """A running server of items on 127.0.0.1; its ``url`` is the API's.

    Args:
        items: STAC items.
        **options: Further fields of ``StacServer``.
    """
    stac = StacServer(list(items), **options)
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(stac.answer))
    http.daemon_threads = True
    stac.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stac
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def _handler(respond: Callable[[str, str, dict[str, Any]], tuple[Answer, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            """Quiet."""

        def do_GET(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            given = {k: v[0] for k, v in urllib.parse.parse_qs(parts.query).items()}
            parameters = {k: _parsed(k, v) for k, v in given.items()}
            self._send(*respond("GET", parts.path or "/", parameters))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._send(*respond("POST", urllib.parse.urlsplit(self.path).path, json.loads(body or b"{}")))

        def _send(self, answer: Answer, document: Any) -> None:
            if answer.delay_s:
                time.sleep(answer.delay_s)
            body = json.dumps(document).encode() if answer.body is None else answer.body
            with contextlib.suppress(OSError):  # the client may have gone
                self.send_response_only(answer.status)  # without a Date of its own, so that a test may set one
                for name, value in {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(body)),
                    **answer.headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body[: answer.cut])
            self.close_connection = True

    return Handler


def _parsed(name: str, text: str) -> Any:
    if name == "collections":
        return text.split(",") if not text.startswith("[") else json.loads(text)
    return json.loads(text) if name == "intersects" else text
