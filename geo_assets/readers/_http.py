"""Ranges of a file behind HTTP: every hop checked, bounded retries, one deadline for each range."""

import contextlib
import datetime as dt
import email.utils
import http.client
import inspect
import mmap
import random
import re
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import urllib3

from geo_assets.errors import GeoAssetsError, SourceError
from geo_assets.model.href import Access, is_local_host, without_query
from geo_assets.readers._wire import Route, Wire, asked

_HOPS = 5
_PIECE = 1024 * 1024
_SMALL = 16 * 1024  # body of an error or a redirect that is read, so that its connection can be kept
_ROUTES = 4096
_MAPPED_BYTES = 2**17
_HUGE_PAGES: int | None = getattr(mmap, "MADV_HUGEPAGE", None)  # Linux: half of the page faults, 3 % of the CPU time
_PLACE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
R = TypeVar("R")
_FAULTS = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)


class ChangedError(SourceError):
    """A file is no longer the one whose first bytes were read; another try reads them again."""

    retryable = True

    @classmethod
    def at(cls, shown: str, start: int, end: int) -> "ChangedError":
        """A file that changed, by its name and the range in which it was seen."""
        return cls(f"{shown}: the file changed while it was read (bytes {start} to {end})")


@dataclass(frozen=True)
class Patience:
    """How long a range may take.

    Attributes:
        tries: Requests for one range, not counting redirects.
        backoff_s: Wait before the second try; it doubles from one to the next.
        connect_s: Longest wait for a connection.
        silence_s: Longest wait for the next bytes.
        deadline_s: Limit of one range with all its tries and waits.
        sleep: Waits; None: until the time is over, or reading is stopped.
        now: Monotonic seconds.
    """

    tries: int = 5
    backoff_s: float = 0.5
    connect_s: float = 10.0
    silence_s: float = 30.0
    deadline_s: float = 180.0
    sleep: Callable[[float], None] | None = None
    now: Callable[[], float] = time.monotonic


PATIENCE = Patience()


@dataclass(frozen=True)
class Version:
    """Which version of a file an answer is of: its length, and what the server calls it, as far as it says so."""

    size: int
    tag: str = ""
    time: str = ""

    def same(self, other: "Version") -> bool:
        """Whether two answers can be of one version."""
        if self.tag and other.tag:
            return (self.size, self.tag) == (other.size, other.tag)
        return self.size == other.size and (self.time == other.time or not (self.time and other.time))


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        status: HTTP's.
        body: The bytes asked for.
        version: What they are of.
        fault: What is wrong with it, or "".
        wait_s: How long the server asks to wait.
        url: The signed address that was asked for.
    """

    status: int = 0
    body: memoryview = field(default_factory=lambda: memoryview(b""))
    version: Version | None = None
    fault: str = ""
    wait_s: float = 0.0
    url: str = ""


class Http:
    """Connections of one task, for any number of threads.

    Args:
        access: What may be read.
        sign: Gives an address its signature; asked with ``fresh=True`` after a refusal, if it takes that.
        count: Called with the bytes of each answer.
        patience: How long a range may take.
    """

    def __init__(
        self, access: Access, sign: Callable[..., str], count: Callable[[int], None], patience: Patience | None = None
    ) -> None:
        self.access, self.patience = access, patience or PATIENCE
        self._sign, self.count = sign, count
        self._renews = _takes_fresh(sign)
        self._wire, self._signing, self._stopped = Wire(loopback=access.loopback), threading.Lock(), threading.Event()
        self._routes: dict[str, Route] = {}
        self._public: set[str] = set()
        self._waiting: set[Future[Any]] = set()

    def close(self) -> None:
        """End all connections, also those that other threads wait on."""
        self._stopped.set()
        self._wire.close()
        for waiting in self._waiting.copy():
            waiting.cancel()

    def result_of(self, request: Future[R]) -> R:
        """What a request gives that others send.

        Raises:
            SourceError: Reading was stopped meanwhile; so is the request.
        """
        self._waiting.add(request)
        try:
            if self._stopped.is_set():
                request.cancel()
            return request.result()
        except CancelledError:
            raise SourceError("reading was stopped") from None
        finally:
            self._waiting.discard(request)

    def sign(self, href: str, refused: str = "") -> str:
        """An address with its signature, and with another than the refused one if there can be one."""
        with self._signing:
            url = self._sign(href)
            return self._sign(href, fresh=True) if refused == url and self._renews else url

    def sleep(self, seconds: float) -> None:
        """Wait, or raise if reading is stopped meanwhile."""
        (self.patience.sleep or self._stopped.wait)(seconds)
        self.check_running()

    def check(self, url: str) -> Route:
        """How an address is asked for; refuses one whose name resolves to a private address.

        Raises:
            SourceError: It may not be read.
        """
        self.access.check(url)
        route = self._wire.route(url)
        host = urllib.parse.urlsplit(url).hostname or ""
        if not is_local_host(host) and not route.proxied and host not in self._public:
            for address in _resolve(host):
                if is_local_host(address):
                    raise SourceError(f"{without_query(url)}: {host} resolves to {address}, a private or local one")
            self._public.add(host)
        return route

    def get(self, url: str, span: tuple[int, int], stop: float) -> Answer:
        """What comes for one range, after redirects.

        Args:
            url: Signed address.
            span: First byte, and the one after the last.
            stop: Time on the clock of ``patience`` after which nothing is waited for.

        Raises:
            SourceError: Refused, or the server ignores ranges.
        """
        headers = {"Range": f"bytes={span[0]}-{span[1] - 1}", "Accept-Encoding": "identity", "User-Agent": "geo-assets"}
        at = url

        def in_time() -> None:
            if self.patience.now() > stop:
                raise TimeoutError("deadline")

        try:
            for _ in range(_HOPS + 1):
                left = stop - self.patience.now()
                limits = [max(0.01, min(s, left)) for s in (self.patience.connect_s, self.patience.silence_s)]
                self.check_running()
                with asked(self._route(at, url), headers, *limits, in_time=in_time) as (response, raw):
                    if response.get_redirect_location():
                        at = urllib.parse.urljoin(at, response.headers["Location"])
                        self._leave(response, raw)
                        continue
                    return self._answer(response, raw, url, span)
        except GeoAssetsError:
            raise
        except _FAULTS as e:
            self.check_running()
            return Answer(fault=_cause(e), status=-1 if _is_certificate(e) else 0)
        raise SourceError(f"{without_query(url)}: more than {_HOPS} redirects")

    def _route(self, url: str, first: str) -> Route:
        route = self._routes.get(url)
        if route is None:
            if len(self._routes) >= _ROUTES:
                self._routes.clear()
            try:
                route = self._routes[url] = self.check(url)
            except SourceError as e:
                if url == first:
                    raise
                raise SourceError(f"{without_query(first)}: redirects to {e}") from e
        return route

    def _answer(self, response: Any, raw: Any, url: str, span: tuple[int, int]) -> Answer:
        shown, status, said = without_query(url), response.status, response.headers
        reading = f"while reading bytes {span[0]} to {span[1]}"
        if status == 200:  # the whole file: it is not read
            raise SourceError(
                f"{shown}: the server ignores range requests (status 200) {reading}; a server that answers them is needed"
            )
        if status != 206:
            self._leave(response, raw)
            return Answer(status, fault=f"status {status}", wait_s=_wait_s(said), url=url)
        if said.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise SourceError(f"{shown}: the server sends it encoded ({said['Content-Encoding'][:60]!r}) {reading}")
        place = said.get("Content-Range", "")
        match = _PLACE.fullmatch(place.strip())
        if not match:
            raise SourceError(
                f"{shown}: the server gives ranges without saying which (Content-Range {place[:60]!r}) {reading}"
            )
        first, last, size = map(int, match.groups())
        version = Version(size, said.get("ETag", ""), said.get("Last-Modified", ""))
        if first != span[0] or last + 1 != min(span[1], size):
            return Answer(206, version=version, fault=f"other bytes than asked for ({first} to {last + 1})")
        wanted, length = last + 1 - first, response.length_remaining
        if length is not None and length > wanted:
            raise SourceError(f"{shown}: more bytes came than were asked for ({length} instead of {wanted}) {reading}")
        body, had = self._body(raw, wanted, shown, reading)
        return Answer(206, body, version, "" if had == wanted else f"{had} bytes instead of {wanted}")

    def _body(self, raw: Any, wanted: int, shown: str, reading: str) -> tuple[memoryview, int]:
        body, had = space(wanted), 0
        try:
            while n := _pour(raw, body[had : had + _PIECE]):
                had += n
            if had == wanted and not raw.isclosed() and _pour(raw, memoryview(bytearray(1))):
                raise SourceError(f"{shown}: more bytes came than were asked for ({wanted}) {reading}")
        finally:
            self.count(had)
        return body, had

    def _leave(self, response: Any, raw: Any) -> None:
        """Read a short body that nobody wants."""
        left = response.length_remaining
        if left is None or left > _SMALL:
            return
        while n := _pour(raw, memoryview(bytearray(left + 1))):
            left -= n

    def check_running(self) -> None:
        """Raise if reading was stopped."""
        if self._stopped.is_set():
            raise SourceError("reading was stopped")


class HttpFile:
    """Size and ranges of one file.

    Args:
        href: Address without signature.
        http: Connections.
        version: The version to read, if one is known.

    Raises:
        SourceError: From all methods: missing, refused, changed meanwhile, or a server that gives no ranges.
    """

    def __init__(self, href: str, http: Http, version: Version | None = None) -> None:
        self._href, self._http, self._shown = href, http, without_query(href)
        self.version, self._was_known = version, version is not None

    def probe(self, most: int) -> memoryview:
        """Its first bytes, at most ``most``; ``version`` is known then."""
        return self.fetch(0, most)

    def fetch(self, start: int, end: int) -> memoryview:
        """The bytes from ``start`` to before ``end``, with as many tries as patience allows."""
        http, patience = self._http, self._http.patience
        stop = patience.now() + patience.deadline_s
        refused, signed_again, pause, attempt = "", False, patience.backoff_s, 0
        while True:
            answer = http.get(http.sign(self._href, refused), (start, end), stop)
            if answer.version and self._differs(answer.version):
                raise ChangedError.at(self._shown, start, end)
            if not answer.fault:
                self.version = self.version or answer.version
                return answer.body
            if answer.status == 403 and not signed_again:
                refused, signed_again = answer.url, True  # an expired token: sign once more, at once
                continue
            attempt += 1
            wait = max(answer.wait_s, pause * random.uniform(0.5, 1.0))
            pause *= 2
            if not _passes(answer.status) or attempt >= patience.tries or patience.now() + wait > stop:
                raise SourceError(f"{self._shown}: {answer.fault} while reading bytes {start} to {end}")
            http.sleep(wait)

    def _differs(self, version: Version) -> bool:
        if self.version is None:
            return False
        # A version of an earlier task must be confirmed by its name
        return not self.version.same(version) or (self._was_known and not version.tag)


def _takes_fresh(sign: Callable[..., str]) -> bool:
    try:
        return "fresh" in inspect.signature(sign).parameters
    except (TypeError, ValueError):  # a function that is not written in Python
        return False


def _passes(status: int) -> bool:
    """Whether what a status says may pass: 0 is no answer, 206 one with the wrong bytes."""
    return status in (0, 206, 408, 425, 429) or status >= 500


def space(size: int) -> memoryview:
    """Memory for a body. Much comes from the system: heaps of many threads would each keep what was freed."""
    if size < _MAPPED_BYTES:
        return np.empty(size, np.uint8).data  # without setting bytes that are overwritten at once
    try:
        body = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as e:  # not a fault of the wire, which another try might get over
        raise MemoryError(f"no memory for a range of {size} bytes") from e
    if _HUGE_PAGES is not None:
        with contextlib.suppress(OSError):  # a kernel without huge pages: the advice is for speed alone
            body.madvise(_HUGE_PAGES)
    return memoryview(body)


def _pour(raw: Any, into: memoryview) -> int:
    """Fill a buffer with what one read from the network gives."""
    if not into or raw.isclosed():
        return 0
    if raw.chunked:
        piece = raw.read1(len(into))
        into[: len(piece)] = piece
        return len(piece)
    return int(raw.readinto(into))


def _wait_s(headers: Any) -> float:
    """Seconds of Retry-After; a date is measured against the server's own clock."""
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text[:6])
    try:
        until = email.utils.parsedate_to_datetime(text)
        now = email.utils.parsedate_to_datetime(headers["Date"]) if "Date" in headers else dt.datetime.now(dt.UTC)
        return max(0.0, (until - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _cause(error: Exception) -> str:
    """What went wrong, without an address in it."""
    if _is_certificate(error):
        return "its certificate is not valid here (REQUESTS_CA_BUNDLE names the authorities to trust)"
    return type(error).__name__


def _is_certificate(error: BaseException | None) -> bool:
    inner = [a for a in getattr(error, "args", ()) if isinstance(a, BaseException)]
    return isinstance(error, ssl.SSLCertVerificationError) or any(map(_is_certificate, inner))


def _resolve(host: str) -> set[str]:
    try:
        return {str(info[4][0]) for info in socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)}
    except OSError:
        return set()  # the request itself will say so
