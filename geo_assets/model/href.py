"""Which addresses a reader may open. Everything else is refused before any reader sees it."""

import ipaddress
import os
import re
import socket
import urllib.parse
from dataclasses import dataclass

from geo_assets.errors import SourceError

REMOTE_SCHEMES = ("https", "http", "s3", "gs", "az", "abfs")
_AZURE = ("az", "abfs")
_HOST = re.compile(r"[a-z0-9._$-]+|[0-9a-f:.]+")
# RFC 8215: translates to whatever its network likes; RFC 3879: site-local; RFC 2765: IPv4 translated
_LOCAL_USE = [ipaddress.IPv6Network(net) for net in ("64:ff9b:1::/48", "fec0::/10", "::ffff:0:0:0/96")]
_AGENTS = ("168.63.129.16", "192.0.0.192")  # through which Azure and Oracle tell a machine about itself
_METADATA = ipaddress.ip_address("fd00:ec2::254")  # AWS serves 169.254.169.254 here as well (EC2 User Guide, IMDS)


def without_query(href: str) -> str:
    """The address without signature, user and fragment, fit for messages, tables and receipts."""
    try:
        parts = urllib.parse.urlsplit(href)
    except ValueError:
        return href.split("?", 1)[0].split("#", 1)[0].rsplit("@", 1)[-1]
    if not parts.scheme or len(parts.scheme) == 1:
        return href.split("?", 1)[0]
    host = parts.netloc.rsplit("@", 1)[-1]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", ""))


@dataclass(frozen=True)
class Access:
    """What the scenes of one catalog may be read from.

    Attributes:
        roots: Local folders, resolved; empty means that no local file may be read.
        hosts: Hosts or host suffixes (``.blob.core.windows.net``) and buckets (``s3://name``); empty means any public host, and
            any bucket that everybody may read.
        loopback: Whether hosts of this machine may be read (a local catalog server).
        own: The catalog's own bucket.
    """

    roots: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    loopback: bool = False
    own: tuple[str, ...] = ()

    def trusts(self, href: str) -> bool:
        """Whether an object may be asked for with the environment's credentials: its bucket is named, or the catalog's own.

        An item must not make us read, for whoever wrote it, what only we may read.
        """
        return bool(_bucket_names(_split(href)) & {*self.hosts, *self.own})

    def check(self, href: str) -> str:
        """The address as a reader may open it: an absolute path or a URL.

        Raises:
            SourceError: Its scheme, host or folder is not allowed.
        """
        parts = _split(href)
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
                f"{_discreet(href) if href.startswith('//') else without_query(href)}: local files are read only from the catalog's own folder ({', '.join(self.roots) or 'this catalog has none'})"
            )
        return path

    def _remote(self, parts: urllib.parse.SplitResult, href: str) -> None:
        host = (parts.hostname or "").rstrip(".").lower()
        shown = without_query(href)
        if not host:
            raise SourceError(f"{_discreet(href)}: no host")
        if parts.scheme not in ("http", "https"):
            if "@" in parts.netloc and parts.scheme not in _AZURE:
                raise SourceError(
                    f"{shown}: the address of an object names no user: credentials come from the environment"
                )
            if self.hosts and not _bucket_names(parts) & {*self.hosts, *self.own}:
                raise SourceError(
                    f"{shown}: bucket {parts.netloc.rpartition('@')[2]} is not one of {', '.join(self.hosts)}; add it to catalog.hosts if you trust it"
                )
            return
        local = is_local_host(host)
        if local and self.loopback and is_loopback(host):
            return
        if local:
            raise SourceError(f"{shown}: {host} is a private or local address")
        if self.hosts and not any(host == h or (h.startswith(".") and host.endswith(h)) for h in self.hosts):
            raise SourceError(
                f"{shown}: host {host} is not one of {', '.join(self.hosts)}; add it to catalog.hosts if you trust it"
            )


def _split(href: str) -> urllib.parse.SplitResult:
    """The parts of an address that every library reads alike."""
    odd = any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) < 0xE000 for c in href)
    # Libraries disagree where the host ends if a backslash or a space is in the way
    host = re.match(r"[\w+.-]+:/*[^/?#]*", href)
    if odd or href.startswith(("/vsi", "<")) or (host and re.search(r"[\\\s]", host[0])):
        raise SourceError(f"{_discreet(href)!r} is not a file or a URL and was not opened")
    try:
        parts = urllib.parse.urlsplit(href)
        _ = parts.hostname, parts.port
    except ValueError as e:
        raise SourceError(f"{_discreet(href)!r} is not a URL and was not opened") from e
    # Libraries decode %2e and other spellings, and then ask another host than the one that was looked at
    if len(parts.scheme) > 1 and parts.scheme != "file" and parts.hostname and not _HOST.fullmatch(parts.hostname):
        raise SourceError(
            f"{_discreet(href)!r}: its host is not written in plain letters, digits, dots and dashes (a name in another script: as xn--...)"
        )
    return parts


def _discreet(href: str) -> str:
    """An odd address without what may be a user, a password or a signature, wherever it believes them to end."""
    return re.sub(r"^([\w+.-]{0,20}:)?(/*).*@", r"\1\2", without_query(href), flags=re.DOTALL)[:120]


def _bucket_names(parts: urllib.parse.SplitResult) -> set[str]:
    """What ``catalog.hosts`` may call the place of an object; the case of a name counts, as it does to S3."""
    return {f"{parts.scheme}://{parts.netloc}", f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"}


def is_loopback(host: str) -> bool:
    """Whether a host name spells this machine by its loopback address."""
    address = ipaddress_or_none(host)
    return host == "localhost" or host.endswith(".localhost") if address is None else address.is_loopback


def ipaddress_or_none(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host name spells, also as old resolvers read it: ``127.1``, ``0x7f000001``, ``2130706433``."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host)) if host[:1].isdigit() else None
    except OSError:
        return None


def is_link_local(host: str) -> bool:
    """Whether a host name spells a link-local address: there clouds tell a machine its credentials, and nothing else is."""
    address = ipaddress_or_none(host)
    if address is None:
        return False
    inner = _embedded(address) if isinstance(address, ipaddress.IPv6Address) else None
    return address.is_link_local or address == _METADATA or (inner is not None and inner.is_link_local)


def is_local_host(host: str) -> bool:
    """Whether a host name spells this machine or a private, link-local or reserved address."""
    address = ipaddress_or_none(host)
    if address is None:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or "." not in host
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if any(address in net for net in _LOCAL_USE) or (inner is not None and not inner.is_global):
            return True
    return not address.is_global or address.is_multicast or str(address) in _AGENTS


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to: mapped, compatible (RFC 4291), 6to4, Teredo or NAT64 (RFC 6052)."""
    if any(address in ipaddress.IPv6Network(f"{prefix}/96") for prefix in ("::", "64:ff9b::")):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
