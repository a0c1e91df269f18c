"""Ranges of a file behind HTTP: every hop checked, bounded retries, one deadline for each range."""

import random
import re
import socket
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
import urllib3

from geo_assets.errors import SourceError
from geo_assets.model.href import Access, is_local_host, without_query

_RETRY_STATUS = {408, 429, 500, 502, 503, 504}
_HOPS = 5
_PIECE = 256 * 1024


@dataclass(frozen=True)
class Patience:
    """How long a range may take.

    Attributes:
        tries: Requests for one range, not counting redirects.
        backoff_s: Wait before the second try; it doubles from one to the next.
        silence_s: Longest wait for a connection or for the next bytes.
        deadline_s: Limit of one range with all its tries and waits.
        sleep: Waits.
        now: Monotonic seconds.
    """

    tries: int = 5
    backoff_s: float = 0.5
    silence_s: float = 30.0
    deadline_s: float = 180.0
    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic


PATIENCE = Patience()


@dataclass
class Http:
    """Connections of one task.

    Attributes:
        access: What may be read.
        sign: Gives an address its signature.
        count: Called with the bytes of each answer.
    """

    access: Access
    sign: Callable[[str], str]
    count: Callable[[int], None]
    patience: Patience = field(default_factory=lambda: PATIENCE)
    _session: requests.Session = field(default_factory=requests.Session)
    _public: set[str] = field(default_factory=set)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def check(self, url: str) -> None:
        """Refuse an address, or a host whose name resolves to a private address.

        Raises:
            SourceError: It may not be read.
        """
        self.access.check(url)
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
        if is_local_host(host) or host in self._public:
            return  # a local host that passed is one that the catalog's own address allows
        if requests.utils.get_environ_proxies(url):
            return  # the proxy resolves the name
        for address in _resolve(host):
            if is_local_host(address):
                raise SourceError(f"{without_query(url)}: {host} resolves to {address}, a private or local address")
        self._public.add(host)

    def get(self, url: str, span: tuple[int, int], left_s: float) -> "Answer":
        """What came for one range, after redirects.

        Raises:
            SourceError: Refused, or the server ignores ranges.
            requests.RequestException: The connection failed.
        """
        stop = self.patience.now() + left_s
        headers = {"Range": f"bytes={span[0]}-{span[1] - 1}", "Accept-Encoding": "identity"}
        shown = without_query(url)
        for _ in range(_HOPS):
            self.check(url)
            wait = max(0.01, min(self.patience.silence_s, stop - self.patience.now()))
            with self._session.get(url, headers=headers, timeout=wait, allow_redirects=False, stream=True) as response:
                if response.is_redirect:
                    url = urllib.parse.urljoin(url, response.headers["Location"])
                    continue
                if response.status_code == 200:  # the whole file: it is not read
                    raise SourceError(f"{shown}: the server ignores range requests (status 200)")
                if response.status_code != 206:
                    return Answer(response.status_code, wait_s=_seconds(response.headers.get("Retry-After", "")))
                body = b"".join(self._pieces(response, span[1] - span[0], stop))
                return Answer(206, body, response.headers.get("Content-Range", ""))
        raise SourceError(f"{shown}: more than {_HOPS} redirects")

    def _pieces(self, response: requests.Response, most: int, stop: float) -> Iterator[bytes]:
        """The body as it comes, so that a server that sends byte by byte meets the deadline, and one that never ends too."""
        had = 0
        while piece := _read_some(response.raw):
            had += len(piece)
            if had > most:
                raise SourceError(f"{without_query(response.url)}: more bytes came than were asked for ({most})")
            yield piece
            if self.patience.now() > stop:
                raise requests.Timeout("deadline")
        self.count(had)


@dataclass(frozen=True)
class Answer:
    """One answer: status, body, its place as the server names it, and how long the server asks to wait."""

    status: int
    body: bytes = b""
    place: str = ""
    wait_s: float = 0.0


class HttpFile:
    """Size and ranges of one file.

    Raises:
        SourceError: From all methods: missing, refused, changed meanwhile, or a server that gives no ranges.
    """

    def __init__(self, href: str, http: Http) -> None:
        self._href, self._http, self._shown = href, http, without_query(href)
        self._size = -1

    def probe(self, most: int) -> tuple[int, bytes]:
        """Size of the file and its first bytes, at most ``most``."""
        head = self._range(0, most).body
        return self._size, head

    def fetch(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to before ``end``."""
        return self._range(start, end).body

    def _range(self, start: int, end: int) -> Answer:
        """One range, with as many tries as patience allows."""
        patience = self._http.patience
        stop = patience.now() + patience.deadline_s
        cause, signed_again, pause = "", False, patience.backoff_s
        for attempt in range(patience.tries):
            try:
                answer = self._http.get(self._http.sign(self._href), (start, end), stop - patience.now())
                fault = self._fault(answer, start, end)
            except requests.RequestException as e:
                answer, fault = Answer(0), type(e).__name__
            if not fault:
                return answer
            cause = fault
            if answer.status == 403 and not signed_again:
                signed_again = True  # an expired token: sign once more, at once
                continue
            if answer.status not in _RETRY_STATUS and answer.status not in (0, 206):
                break
            wait = max(answer.wait_s, pause * random.uniform(0.5, 1.0))
            pause *= 2
            if attempt + 1 == patience.tries or patience.now() + wait > stop:
                break
            patience.sleep(wait)
        raise SourceError(f"{self._shown}: {cause} while reading bytes {start} to {end}")

    def _fault(self, answer: Answer, start: int, end: int) -> str:
        """What is wrong with an answer, or ""."""
        if answer.status != 206:
            return f"status {answer.status}"
        match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.place.strip())
        if not match:
            raise SourceError(
                f"{self._shown}: the server gives ranges without saying which (Content-Range {answer.place[:60]!r})"
            )
        first, last, size = map(int, match.groups())
        if self._size not in (-1, size):
            raise SourceError(f"{self._shown}: the file changed while it was read")
        self._size = size
        if first != start or last + 1 != min(end, size):
            return f"other bytes than asked for ({first} to {last + 1})"
        return (
            ""
            if len(answer.body) == min(end, size) - start
            else f"{len(answer.body)} bytes instead of {min(end, size) - start}"
        )


def _seconds(text: str) -> float:
    return float(text) if text.strip().isdigit() else 0.0


def _read_some(raw: Any) -> bytes:
    try:
        return bytes(raw.read1(_PIECE, decode_content=False) or b"")
    except (OSError, ValueError, urllib3.exceptions.HTTPError) as e:
        raise requests.ConnectionError(type(e).__name__) from e


def _resolve(host: str) -> set[str]:
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)}
    except OSError:
        return set()  # the request itself will say so
