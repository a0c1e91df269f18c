"""Requests of one catalog search: bounded retries that honour Retry-After, one deadline, no request to a private address."""

import contextlib
import datetime as dt
import email.utils
import json
import logging
import random
import socket
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
import urllib3.connection
from pystac_client.stac_api_io import StacApiIO
from requests.adapters import HTTPAdapter

from geo_assets.errors import CatalogError, SourceError
from geo_assets.model.href import Access, is_link_local, is_local_host, is_loopback, without_query
from geo_assets.model.recipe import CatalogRecipe

_log = logging.getLogger(__name__)
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_BODY = 256 * 2**20
_MAX_BACKOFF_S = 60.0
_CHUNK = 2**16


@dataclass(frozen=True)
class Waiting:
    """Time and chance, so that tests need not wait."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random


class RefusedError(CatalogError):
    """The catalog's answer will be the same next time."""

    retryable = False


class NotFoundError(RefusedError):
    """The catalog says that there is no such thing."""


class RetryingIO(StacApiIO):
    """What pystac-client reads through.

    Args:
        url: The API; its own host may be private if it is from the start, but not link-local. Any other has to be public, or this machine's where the API's is.
        recipe: Limits.
        waiting: Time and chance.
    """

    def __init__(self, url: str, recipe: CatalogRecipe, waiting: Waiting) -> None:
        super().__init__(max_retries=None)
        self._recipe, self._waiting = recipe, waiting
        self._deadline = waiting.clock() + recipe.deadline_s
        guard = _Guard(url)
        self.session.mount("http://", guard)
        self.session.mount("https://", guard)
        self.shown = without_query(url)

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Body of the answer, which is JSON.

        Raises:
            CatalogError: No answer within the tries or the deadline.
            RefusedError: The catalog refuses the request, or the address may not be asked.
        """
        cause = ""
        for attempt in range(self._recipe.retries + 1):
            outcome = self._try(href, (method or "GET").upper(), headers, parameters)
            if isinstance(outcome, str):
                return outcome
            cause = outcome.cause
            if attempt < self._recipe.retries:
                self._wait(attempt, outcome, href)
        raise CatalogError(
            f"{without_query(href)}: {cause}, after {self._recipe.retries + 1} tries: try again later, or raise catalog.retries"
        )

    def _try(
        self, href: str, method: str, headers: dict[str, str] | None, parameters: dict[str, Any] | None
    ) -> "str | _Failure":
        body = method in ("POST", "PUT", "PATCH")
        request = requests.Request(
            method, href, headers, json=parameters if body else None, params=None if body else parameters
        )
        host = urllib.parse.urlsplit(href).hostname or ""
        # A proxy cannot reach this machine's own servers
        proxies = {"no_proxy": host} if is_loopback(host) else {}
        limit = min(self._recipe.timeout_s, self._left(href))
        try:
            prepared = self.session.prepare_request(request)
            settings = self.session.merge_environment_settings(prepared.url or href, proxies, True, None, None)
            with self.session.send(prepared, timeout=limit, **settings) as response:
                if 200 <= response.status_code < 300:
                    return self._body(response, href)
                return _failure(response, href)
        except (requests.Timeout, requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as e:
            return _Failure(f"no answer ({type(e).__name__})")
        except requests.RequestException as e:
            raise RefusedError(f"{without_query(href)} cannot be asked: {type(e).__name__}: correct catalog.url") from e

    def _body(self, response: requests.Response, href: str) -> "str | _Failure":
        body = bytearray()
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > _MAX_BODY:
                raise RefusedError(
                    f"{without_query(href)} answers with more than {_MAX_BODY >> 20} MiB: lower catalog.page_size"
                )
            self._left(href)
        try:
            text = body.decode()
            json.loads(text)
        except (ValueError, RecursionError):
            return _Failure("an answer that is not JSON")
        return text

    def _left(self, href: str) -> float:
        left = self._deadline - self._waiting.clock()
        if left <= 0:
            raise CatalogError(
                f"{without_query(href)}: the search took longer than {self._recipe.deadline_s:g} s: "
                "search fewer months or a smaller area at a time, or raise catalog.deadline_s"
            )
        return left

    def _wait(self, attempt: int, failure: "_Failure", href: str) -> None:
        backoff = min(self._recipe.backoff_s * 2**attempt, _MAX_BACKOFF_S) * (0.5 + self._waiting.jitter())
        seconds = max(backoff, failure.retry_after_s)
        if seconds > self._left(href):
            raise CatalogError(
                f"{without_query(href)}: {failure.cause}, and the next try in {seconds:.0f} s would come after the deadline of "
                f"{self._recipe.deadline_s:g} s: try again later, or raise catalog.deadline_s"
            )
        _log.info("%s: %s; try %d in %.1f s", without_query(href), failure.cause, attempt + 2, seconds)
        self._waiting.sleep(seconds)


@dataclass(frozen=True)
class _Failure:
    """Why a try failed that may be repeated."""

    cause: str
    retry_after_s: float = 0.0


def _failure(response: requests.Response, href: str) -> _Failure:
    status, said = response.status_code, _said(response)
    if status in _TRANSIENT:
        return _Failure(f"status {status}", _retry_after(response.headers))
    if status == 404:
        raise NotFoundError(
            f"{without_query(href)} is not there (status 404){said}: correct catalog.url or the collections"
        )
    advice = (
        "give access to it" if status in (401, 403) else "correct catalog.url, the collections or catalog.page_size"
    )
    raise RefusedError(f"{without_query(href)} refuses the request (status {status}){said}: {advice}")


def _said(response: requests.Response) -> str:
    """What the server says about its refusal, shortened."""
    try:
        document = json.loads(next(response.iter_content(_CHUNK), b""))
    except (ValueError, RecursionError, requests.RequestException):
        return ""
    text = (
        next((document[k] for k in ("description", "detail", "message") if document.get(k)), "")
        if isinstance(document, dict)
        else ""
    )
    return f": {str(text)[:200]}" if text else ""


def _retry_after(headers: Mapping[str, str]) -> float:
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


class _Guard(HTTPAdapter):
    """Lets no request, redirect or next link reach a private address other than the API itself."""

    def __init__(self, api: str) -> None:
        self._own, host = _place(api), urllib.parse.urlsplit(api).hostname or ""
        self._access = Access(loopback=is_loopback(host))
        self._own_is_public: bool | None = None  # not known before the first connection
        super().__init__()
        self.poolmanager.pool_classes_by_scheme = _pools(self._check)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """The answer; redirects pass here as well."""
        url = request.url or ""
        if _place(url) != self._own:
            try:
                self._access.check(url)
            except SourceError as e:
                raise RefusedError(f"the catalog points to an address that is not opened: {e}") from e
        return super().send(request, *args, **kwargs)

    def _check(self, host: str, port: int | None, address: str) -> None:
        """Refuses an address that a name must not lead to, whatever it led to before."""
        local = is_local_host(address)
        if (host.lower(), port) == self._own:
            if self._own_is_public is None:
                self._own_is_public = not local
            refused = local and (self._own_is_public or is_link_local(address))
        else:
            refused = local and not (self._access.loopback and is_loopback(host) and is_loopback(address))
        if refused:
            raise RefusedError(
                f"{host} leads to {address}, a private or local address: it is not asked; correct catalog.url"
            )


def _place(url: str) -> tuple[str, int | None]:
    """Host and port of an address."""
    parts = urllib.parse.urlsplit(url)
    return (parts.hostname or "").lower(), parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _pools(check: Callable[[str, int | None, str], None]) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Pools of connections whose addresses are checked: before one is made, and its other end before anything is sent."""

    def checked(connection: urllib3.connection.HTTPConnection, connect: Callable[[], socket.socket]) -> socket.socket:
        host, port = connection.host.strip("[]"), connection.port
        with contextlib.suppress(OSError):  # making the connection says why
            for *_, address in socket.getaddrinfo(host, port, proto=socket.IPPROTO_TCP):
                check(host, port, str(address[0]))
        sock = connect()
        try:  # the name may have changed meanwhile
            check(host, port, str(sock.getpeername()[0]))
        except BaseException:
            sock.close()
            raise
        return sock

    class Plain(urllib3.connection.HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return checked(self, super()._new_conn)

    class Secure(urllib3.connection.HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return checked(self, super()._new_conn)

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
