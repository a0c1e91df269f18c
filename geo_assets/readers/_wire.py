"""Connections to web servers: pooled, verified, through the environment's proxies, and to no private address by surprise."""

import contextlib
import contextvars
import functools
import http.client
import io
import logging
import netrc
import os
import re
import socket
import ssl
import threading
import urllib.parse
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import requests.utils
import urllib3
import urllib3.connection

from geo_assets.errors import ConfigError, SourceError
from geo_assets.model.href import is_local_host, is_loopback

_log = logging.getLogger(__name__)
_POOLED = 64  # more threads than that open connections of their own
_MOST_INTERIM = 16  # answers with status 1xx
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


class _Discreet(logging.Filter):
    """Cuts queries, which hold signatures, from what urllib3 logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(re.sub(r"\?[^\s'\"]*", "", str(a)) if "?" in str(a) else a for a in record.args)
        return True


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_Discreet())


def certificates() -> str:
    """File or folder of the authorities that the environment names, or "".

    Raises:
        ConfigError: It names one that is not there.
    """
    for name in _BUNDLES:
        if path := os.environ.get(name):
            if not os.path.exists(path):
                raise ConfigError(f"{name} names {path}, which does not exist: correct or unset it")
            return path
    return ""


@functools.lru_cache(maxsize=4)  # reading a bundle takes tens of milliseconds
def _tls(bundle: str) -> ssl.SSLContext:
    context = urllib3.util.create_urllib3_context()
    folder = os.path.isdir(bundle)
    context.load_verify_locations(cafile=None if folder else bundle, capath=bundle if folder else None)
    return context


# Called before each read from the network of an answer; raises once it is late. urllib3 has no way to hand it down
_IN_TIME: contextvars.ContextVar[Callable[[], None]] = contextvars.ContextVar("in_time", default=lambda: None)


class _Timed(io.RawIOBase):
    """A socket's file that looks at the clock: a time-out alone lets a server send a byte now and then for ever."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw, self._in_time = raw, _IN_TIME.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._in_time()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _OneRead(io.BufferedReader):
    """Gives what one read from the network gives, so that the caller can look at the clock after each."""

    def readinto(self, buffer: Any, /) -> int:
        return super().readinto1(buffer)


class _Body(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = _OneRead(_Timed(self.fp.detach()))

    def _read_status(self) -> tuple[str, int, str]:
        """The status of the answer itself: 103 and its like come before it, and the library would take them for it."""
        for _ in range(_MOST_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == http.client.SWITCHING_PROTOCOLS:
                break
            if not 100 < status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("no answer but interim ones")


class _Made:
    """Connections of one session that still exist, so that all can be ended from another thread."""

    def __init__(self, loopback: bool) -> None:
        self.loopback = loopback
        self._all: weakref.WeakSet[Any] = weakref.WeakSet()
        self._sockets: weakref.WeakSet[socket.socket] = (
            weakref.WeakSet()
        )  # a connection has its own only once it is ready
        self._lock = threading.Lock()
        self._ended = False

    def add(self, connection: Any) -> Any:
        connection.made = self
        with self._lock:
            self._all.add(connection)
        return connection

    def opened(self, sock: socket.socket) -> socket.socket:
        """A new socket, unless everything was ended meanwhile."""
        with self._lock:
            if not self._ended:
                self._sockets.add(sock)
                return sock
        sock.close()
        raise SourceError("reading was stopped")

    def end(self) -> None:
        with self._lock:
            self._ended = True
            for sock in [*self._sockets, *(connection.sock for connection in self._all)]:
                if isinstance(sock, socket.socket):
                    with contextlib.suppress(OSError):
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # TLS above it notices, and stays as it is


def _checked(sock: socket.socket, connection: Any) -> socket.socket:
    """A socket whose other end is where the name may lead: between a look at the name and the connection it may change."""
    sock = connection.made.opened(sock)
    if connection.proxy is not None:  # which resolves the name
        return sock
    peer, host = str(sock.getpeername()[0]), connection.host
    if connection.made.loopback and is_loopback(peer) if is_local_host(host) else not is_local_host(peer):
        return sock
    sock.close()
    raise SourceError(f"{host} leads to {peer}, a private or local address: it is not read")


class _Plain(urllib3.connection.HTTPConnection):
    response_class = _Body

    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn(), self)


class _Secure(urllib3.connection.HTTPSConnection):
    response_class = _Body

    def _new_conn(self) -> socket.socket:
        return _checked(super()._new_conn(), self)


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain
    made: _Made

    def _new_conn(self) -> Any:
        return self.made.add(super()._new_conn())


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure
    made: _Made

    def _new_conn(self) -> Any:
        return self.made.add(super()._new_conn())


@dataclass(frozen=True)
class Route:
    """How an address is asked for.

    Attributes:
        pool: Connections to its host, or to the proxy before it.
        target: What the request line says.
        headers: Who asks.
        proxied: Whether a proxy resolves the name.
    """

    pool: Any
    target: str
    headers: dict[str, str]
    proxied: bool


class Wire:
    """Connections of one session, for any number of threads.

    Args:
        loopback: Whether they may lead to this machine.
    """

    def __init__(self, *, loopback: bool = False) -> None:
        self._made = _Made(loopback)
        self._managers: dict[str, urllib3.PoolManager] = {}
        self._hosts: dict[tuple[str, str], tuple[Any, str, dict[str, str]]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """End all connections, also those that other threads wait on."""
        self._made.end()
        with self._lock:
            for manager in self._managers.values():
                manager.clear()

    def route(self, url: str) -> Route:
        """How an address is asked for, which must have been checked."""
        parts = urllib.parse.urlsplit(url)
        key = parts.scheme, parts.netloc
        with self._lock:
            if key not in self._hosts:
                self._hosts[key] = self._host(url, parts)
            pool, proxy, headers = self._hosts[key]
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if proxy and parts.scheme == "http":  # a proxy is told where to go
            path = f"http://{parts.netloc.rpartition('@')[2]}{path}"
        return Route(pool, path, headers, bool(proxy))

    def _host(self, url: str, parts: urllib.parse.SplitResult) -> tuple[Any, str, dict[str, str]]:
        host = parts.hostname or ""
        # A proxy cannot reach this machine's own servers
        proxies = {} if is_local_host(host) else requests.utils.get_environ_proxies(url)
        proxy = requests.utils.select_proxy(url, proxies) or ""
        if proxy not in self._managers:
            self._managers[proxy] = _manager(proxy)
        pool: Any = self._managers[proxy].connection_from_host(host, parts.port, parts.scheme)
        pool.made = self._made
        user = requests.utils.get_auth_from_url(url)
        if user == ("", ""):
            user = _of_netrc(host)
        headers = {} if user == ("", "") else urllib3.make_headers(basic_auth=":".join(user))
        return pool, proxy, headers


def _of_netrc(host: str) -> tuple[str, str]:
    """User and password that netrc has for a host, without its ``default``: items say which hosts are asked."""
    given = os.environ.get("NETRC")
    files = [given] if given else ["~/.netrc", "~/_netrc"]
    file = next((f for f in map(os.path.expanduser, files) if os.path.isfile(f)), None)
    if file is None:
        return "", ""
    try:
        user, _, password = netrc.netrc(file).hosts.get(host) or ("", "", "")
    except (netrc.NetrcParseError, OSError) as e:
        _log.warning("%s cannot be used: %s", file, type(e).__name__)  # what it says may quote a password
        return "", ""
    return user or "", password or ""


def _manager(proxy: str) -> urllib3.PoolManager:
    options: dict[str, Any] = {
        "num_pools": _POOLED, "maxsize": _POOLED, "retries": False, "ssl_context": _tls(certificates() or requests.utils.DEFAULT_CA_BUNDLE_PATH),
    }  # fmt: skip
    if not proxy:
        manager = urllib3.PoolManager(**options)
    elif proxy.startswith("socks"):
        try:
            from urllib3.contrib.socks import SOCKSProxyManager
        except ImportError as e:
            raise ConfigError("a SOCKS proxy is set in the environment, which needs the package pysocks") from e
        return SOCKSProxyManager(proxy, **options)
    else:
        proxy = proxy if "://" in proxy else f"http://{proxy}"
        user = requests.utils.get_auth_from_url(proxy)
        if user != ("", ""):
            options["proxy_headers"] = urllib3.make_headers(proxy_basic_auth=":".join(user))
        manager = urllib3.ProxyManager(proxy, **options)
    manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
    return manager


@contextlib.contextmanager
def asked(
    route: Route,
    headers: dict[str, str],
    connect_s: float,
    silence_s: float,
    *,
    in_time: Callable[[], None],
    method: str = "GET",
) -> Iterator[tuple[Any, Any]]:
    """The answer to a request without its body, and the body to read; its connection is kept if the body was read.

    Args:
        route: How to ask.
        headers: Of the request.
        connect_s: Longest wait for a connection.
        silence_s: Longest wait for the next bytes.
        in_time: Called before each read of the answer; raises once it takes too long.
        method: Of the request.

    Raises:
        SourceError: The host leads to a private address.
        urllib3.exceptions.HTTPError: The connection failed.
    """
    before = _IN_TIME.set(in_time)
    try:
        response = _sent(route, headers, connect_s, silence_s, method)
    finally:
        _IN_TIME.reset(before)
    body = response._original_response
    try:
        yield response, body
    finally:
        if not body.isclosed():
            response.close()
        response.release_conn()


def _sent(route: Route, headers: dict[str, str], connect_s: float, silence_s: float, method: str) -> Any:
    return route.pool.urlopen(
        method, route.target, headers={**headers, **route.headers}, retries=False, redirect=False, assert_same_host=False,
        timeout=urllib3.Timeout(connect=connect_s, read=silence_s), preload_content=False, decode_content=False,
    )  # fmt: skip
