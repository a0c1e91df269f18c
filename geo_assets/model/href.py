"""Which addresses a reader may open. Everything else is refused before any reader sees it."""

import ipaddress
import os
import urllib.parse
from dataclasses import dataclass

from geo_assets.errors import SourceError

REMOTE_SCHEMES = ("https", "http", "s3", "gs", "az", "abfs")


def without_query(href: str) -> str:
    """The address without signature, user and fragment, fit for messages, tables and receipts."""
    parts = urllib.parse.urlsplit(href)
    if not parts.scheme or len(parts.scheme) == 1:
        return href.split("?", 1)[0]
    host = parts.netloc.rsplit("@", 1)[-1]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


@dataclass(frozen=True)
class Access:
    """What the scenes of one catalog may be read from.

    Attributes:
        roots: Local folders, resolved; empty means that no local file may be read.
        hosts: Hosts or host suffixes (``.blob.core.windows.net``) and buckets (``s3://name``); empty means any public host.
        loopback: Whether hosts of this machine may be read (a local catalog server).
    """

    roots: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    loopback: bool = False

    def check(self, href: str) -> str:
        """The address as a reader may open it: an absolute path or a URL.

        Raises:
            SourceError: Its scheme, host or folder is not allowed.
        """
        if "\0" in href or href.startswith(("/vsi", "<")):
            raise SourceError(f"{without_query(href)[:120]!r} is not a file or a URL and was not opened")
        parts = urllib.parse.urlsplit(href)
        if not parts.scheme or len(parts.scheme) == 1:
            return self._local(href)
        if parts.scheme == "file":
            raise SourceError(
                f"{without_query(href)}: file:// addresses are refused; a static catalog gives relative paths"
            )
        if parts.scheme not in REMOTE_SCHEMES:
            raise SourceError(
                f"{without_query(href)}: scheme {parts.scheme!r} is not one of {', '.join(REMOTE_SCHEMES)}"
            )
        self._remote(parts, href)
        return href

    def _local(self, href: str) -> str:
        path = os.path.realpath(href)
        if not any(
            path == root or path.startswith(root.rstrip(os.sep) + os.sep) for root in map(os.path.realpath, self.roots)
        ):
            raise SourceError(
                f"{href}: local files are read only from the catalog's own folder ({', '.join(self.roots) or 'this catalog has none'})"
            )
        return path

    def _remote(self, parts: urllib.parse.SplitResult, href: str) -> None:
        host = (parts.hostname or "").rstrip(".").lower()
        shown = without_query(href)
        if not host:
            raise SourceError(f"{shown}: no host")
        if parts.scheme not in ("http", "https"):
            if self.hosts and f"{parts.scheme}://{host}" not in self.hosts:
                raise SourceError(f"{shown}: bucket {host} is not one of {', '.join(self.hosts)}")
            return
        local = is_local_host(host)
        if local and self.loopback and ipaddress_or_none(host) in (None, *LOOPBACK):
            return
        if local:
            raise SourceError(f"{shown}: {host} is a private or local address")
        if self.hosts and not any(host == h or (h.startswith(".") and host.endswith(h)) for h in self.hosts):
            raise SourceError(
                f"{shown}: host {host} is not one of {', '.join(self.hosts)}; add it to catalog.hosts if you trust it"
            )


LOOPBACK = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))


def ipaddress_or_none(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host name spells, also as a bare number as old resolvers read it."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.ip_address(int(host, 0)) if host[:1].isdigit() and "." not in host else None
    except ValueError:
        return None


def is_local_host(host: str) -> bool:
    """Whether a host name spells this machine or a private, link-local or reserved address."""
    address = ipaddress_or_none(host)
    if address is not None:
        return not address.is_global
    return host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or "." not in host
