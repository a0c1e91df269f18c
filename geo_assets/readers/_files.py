"""Read-only files for GDAL whose every byte goes through our own checks and counts."""

import io
import os
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fsspec

from geo_assets.errors import GeoAssetsError, SourceError
from geo_assets.model.href import Access, without_query
from geo_assets.model.plugin import Usage
from geo_assets.readers._http import Http, HttpFile

HEADER_BYTES = 32 * 1024  # holds the headers of a cloud-optimised GeoTIFF of a Sentinel-2 tile


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
        data = self._head[self._at : end] if end <= len(self._head) else self._fetch(self._at, end)
        self._at = end
        return data


class Guarded:
    """A file as GDAL sees it.

    An exception must not cross GDAL's C code: rasterio would report it as a SystemError, or not at all. So it is kept in
    ``faults``, GDAL sees the end of the file, and whoever called GDAL looks at ``faults``.
    """

    def __init__(self, file: Any, faults: list[Exception]) -> None:
        self._file, self._faults = file, faults

    def __enter__(self) -> "Guarded":
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, or none after a fault."""
        if self._faults:
            return b""
        try:
            return bytes(self._file.read(size))
        except Exception as e:  # noqa: BLE001 - raised by the caller of GDAL instead
            self._faults.append(e)
            return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position; a damaged header may ask for impossible ones."""
        try:
            return int(self._file.seek(offset, whence))
        except Exception as e:  # noqa: BLE001 - see ``read``
            self._faults.append(e)
            return 0

    def tell(self) -> int:
        """Position in bytes."""
        return int(self._file.tell())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(frozen=True)
class Source:
    """An asset that can be opened again and again.

    Attributes:
        file: Gives a new, independent file object.
        magic: First bytes.
    """

    file: Callable[[], Any]
    magic: bytes


class Sources:
    """Opens the assets of one task."""

    def __init__(self, access: Access, sign: Callable[[str], str], usage: Usage) -> None:
        self._access, self._meter = access, Meter(usage)
        self._http = Http(access, sign, self._meter.count)

    def close(self) -> None:
        """Close what they share."""
        self._http.close()

    def open(self, href: str) -> Source:
        """An asset after its address was checked and its first bytes were seen.

        Raises:
            SourceError: The address is refused, or nothing readable is there.
        """
        where = self._access.check(href)
        scheme = urllib.parse.urlsplit(where).scheme
        try:
            if scheme in ("http", "https"):
                remote = HttpFile(href, self._http)
                return _ranged(remote.fetch, *remote.probe(HEADER_BYTES))
            if len(scheme) > 1:
                return self._object(where)
            return self._local(where)
        except GeoAssetsError:
            raise
        except FileNotFoundError as e:
            raise SourceError(f"{without_query(href)}: no such file") from e
        except ImportError as e:
            raise SourceError(
                f"{without_query(href)}: reading {scheme}:// needs a package that is not installed ({e.name})"
            ) from e
        except Exception as e:  # fsspec: its back ends have no common error
            raise SourceError(f"{without_query(href)}: {type(e).__name__} when opening it") from e

    def _local(self, path: str) -> Source:
        if not os.path.isfile(path):  # a pipe would block for ever
            raise FileNotFoundError(path)
        with LocalFile(path, self._meter) as file:
            magic = file.read(16)
        return Source(lambda: LocalFile(path, self._meter), magic)

    def _object(self, url: str) -> Source:
        files, path = fsspec.core.url_to_fs(url)
        size = int(files.size(path))

        def fetch(start: int, end: int) -> bytes:
            data: bytes = files.cat_file(path, start=start, end=end)
            if len(data) != end - start:
                raise SourceError(f"{without_query(url)}: asked for bytes {start} to {end}, got {len(data)}")
            self._meter.count(len(data))
            return data

        return _ranged(fetch, size, fetch(0, min(size, HEADER_BYTES)))


def _ranged(fetch: Callable[[int, int], bytes], size: int, head: bytes) -> Source:
    return Source(lambda: RangeFile(fetch, size, head), head[:16])
