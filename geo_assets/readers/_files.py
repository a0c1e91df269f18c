"""Read-only files for GDAL whose every byte goes through our own checks and counts."""

import io
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fsspec
import requests

from geo_assets.errors import SourceError
from geo_assets.model.href import Access, without_query
from geo_assets.model.plugin import Usage

HEADER_BYTES = 32 * 1024  # holds the headers of a cloud-optimised GeoTIFF of a Sentinel-2 tile
_TRIES = 4
_TIMEOUT_S = 30.0
_RETRY_STATUS = {408, 429, 500, 502, 503, 504}


class Meter:
    """Adds to a usage from any thread."""

    def __init__(self, usage: Usage) -> None:
        self.usage = usage
        self._lock = threading.Lock()

    def count(self, n: int) -> None:
        """One read of ``n`` bytes."""
        with self._lock:
            self.usage.bytes += n
            self.usage.requests += 1


class LocalFile(io.FileIO):
    """A local file that counts."""

    def __init__(self, path: str, meter: Meter) -> None:
        super().__init__(path, "rb")
        self._meter = meter

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        data = super().read(-1 if size is None else size)
        self._meter.count(len(data))
        return data


class RangeFile(io.RawIOBase):
    """A remote file read by ranges; its first bytes are kept, since GDAL reads headers in small pieces."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int, head: bytes) -> None:
        self._fetch, self._size, self._head, self._at = fetch, size, head, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a position."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes; fewer only at the end of the file."""
        end = self._size if size is None or size < 0 else min(self._size, self._at + size)
        if end <= self._at:
            return b""
        start, self._at = self._at, end
        return self._head[start:end] if end <= len(self._head) else self._fetch(start, end)


class HttpSource:
    """Range requests with bounded retries; every redirect is checked like the first address."""

    def __init__(self, href: str, access: Access, sign: Callable[[str], str], meter: Meter, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._href, self._access, self._sign, self._meter, self._sleep = href, access, sign, meter, sleep
        self._session = requests.Session()

    def probe(self) -> tuple[int, bytes]:
        """Size of the file and its first bytes.

        Raises:
            SourceError: Missing, refused, or a server that ignores ranges.
        """
        response = self._get(0, HEADER_BYTES)
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
        if response.status_code != 206 or not total.isdigit():
            raise SourceError(f"{without_query(self._href)}: the server ignores range requests (status {response.status_code})")
        return int(total), response.content

    def fetch(self, start: int, end: int) -> bytes:
        response = self._get(start, end)
        if response.status_code != 206 or len(response.content) != end - start:
            raise SourceError(f"{without_query(self._href)}: asked for bytes {start} to {end}, got {len(response.content)} bytes with status {response.status_code}")
        return response.content

    def _get(self, start: int, end: int) -> requests.Response:
        shown = without_query(self._href)
        cause = ""
        for attempt in range(_TRIES):
            if attempt:
                self._sleep(0.25 * 2**attempt)
            try:
                response = self._follow(self._sign(self._href), start, end)
            except requests.RequestException as e:
                cause = type(e).__name__
                continue
            if response.status_code in (200, 206):
                self._meter.count(len(response.content))
                return response
            cause = f"status {response.status_code}"
            if response.status_code not in _RETRY_STATUS and not (response.status_code == 403 and attempt == 0):
                break  # a 403 may be an expired token: sign once more
        raise SourceError(f"{shown}: {cause} while reading bytes {start} to {end}")

    def _follow(self, url: str, start: int, end: int) -> requests.Response:
        for _ in range(5):
            self._access.check(url)
            response = self._session.get(url, headers={"Range": f"bytes={start}-{end - 1}"}, timeout=_TIMEOUT_S, allow_redirects=False, stream=True)
            if not response.is_redirect:
                if response.status_code == 200:  # the whole file: do not read it
                    response.close()
                    raise SourceError(f"{without_query(self._href)}: the server ignores range requests (status 200)")
                return response
            url = urllib.parse.urljoin(url, response.headers["Location"])
        raise SourceError(f"{without_query(self._href)}: too many redirects")


@dataclass(frozen=True)
class Source:
    """An asset that can be opened again and again; ``file`` gives a new, independent file object."""

    file: Callable[[], Any]


def open_source(href: str, access: Access, sign: Callable[[str], str], meter: Meter) -> Source:
    """An asset after its address was checked and its first bytes were seen.

    Raises:
        SourceError: The address is refused, or nothing readable is there.
    """
    where = access.check(href)
    scheme = urllib.parse.urlsplit(where).scheme
    try:
        if scheme in ("http", "https"):
            http = HttpSource(href, access, sign, meter)
            size, head = http.probe()
            return Source(lambda: RangeFile(http.fetch, size, head))
        if scheme and len(scheme) > 1:
            return _object(where, meter)
        LocalFile(where, meter).close()
        return Source(lambda: LocalFile(where, meter))
    except FileNotFoundError as e:
        raise SourceError(f"{without_query(href)}: no such file") from e
    except OSError as e:
        raise SourceError(f"{without_query(href)}: {type(e).__name__} when opening it") from e
    except ImportError as e:
        raise SourceError(f"{without_query(href)}: reading {scheme}:// needs a package that is not installed ({e.name})") from e


def _object(url: str, meter: Meter) -> Source:
    files, path = fsspec.core.url_to_fs(url)
    size = int(files.size(path))

    def fetch(start: int, end: int) -> bytes:
        data: bytes = files.cat_file(path, start=start, end=end)
        if len(data) != end - start:
            raise SourceError(f"{without_query(url)}: asked for bytes {start} to {end}, got {len(data)}")
        meter.count(len(data))
        return data

    head = fetch(0, min(size, HEADER_BYTES))
    return Source(lambda: RangeFile(fetch, size, head))
