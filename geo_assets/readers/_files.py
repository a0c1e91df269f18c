"""Read-only files for GDAL whose every byte goes through our own checks and counts."""

import collections
import io
import os
import stat
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from geo_assets.errors import SourceError
from geo_assets.model.href import Access, without_query
from geo_assets.model.plugin import Usage
from geo_assets.readers._http import ChangedError, Http, HttpFile, Version, space
from geo_assets.readers._objects import ObjectFile

MAX_RANGE_BYTES = 2**30
HEADER_BYTES = 32 * 1024  # holds the headers of a cloud-optimised GeoTIFF of a Sentinel-2 tile


class LocalFile:
    """A regular file, read by any number of threads through one descriptor.

    Raises:
        SourceError: It is no regular file, or it changed while it was read.
    """

    def __init__(self, path: str, count: Callable[[int], None]) -> None:
        self._shown, self._count = path, count
        # The path was resolved: a link there now was put there since. A pipe would block for ever when opened
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        opened = f"/proc/self/fd/{self._descriptor}"  # where the system has it: the path that was opened indeed
        # One that was deleted since is read all the same, as everywhere
        if os.path.lexists(opened) and os.readlink(opened).removesuffix(" (deleted)") != path:
            self.close()
            raise SourceError(f"{path}: a link was put in place of one of its folders")
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            self.close()
            raise SourceError(f"{path}: no regular file")
        self.size, self._time = status.st_size, status.st_mtime_ns

    def fetch(self, start: int, end: int) -> memoryview:
        """The bytes from ``start`` to before ``end``."""
        data, had = space(end - start), 0
        while had < len(data) and (n := os.preadv(self._descriptor, [data[had:]], start + had)):
            had += n
        status = os.fstat(self._descriptor)
        if had < len(data) or (status.st_size, status.st_mtime_ns) != (self.size, self._time):
            raise ChangedError.at(self._shown, start, end)
        self._count(had)
        return data

    def close(self) -> None:
        """Close it; nothing can be read any more."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class RangeFile(io.RawIOBase):
    """A file read by ranges."""

    def __init__(self, fetch: Callable[[int, int], memoryview], size: int) -> None:
        self._fetch, self._size, self._at = fetch, size, 0

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
        data = bytes(self._fetch(self._at, end))
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


Known = tuple[Access, str]  # what may be read, and a file's address


class Heads:
    """First bytes of files on the network, kept for the next tasks of this process.

    They are trusted for a while, and no longer than until a range of another version comes. Only versions that the server
    gives a name (an ETag) are kept. A file is known by its address and by what may be read with it: what one catalog may see
    is not shown to another.
    """

    def __init__(self, entries: int = 4096, most_bytes: int = 64 * 2**20, seconds: float = 600.0) -> None:
        self._entries, self._most, self._seconds = entries, most_bytes, seconds
        self._kept: collections.OrderedDict[Known, tuple[Version, bytes, float]] = collections.OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()

    def get(self, file: Known) -> tuple[Version, bytes] | None:
        """Version and first bytes, if they are known."""
        with self._lock:
            if file not in self._kept:
                return None
            version, head, since = self._kept[file]
            if time.monotonic() - since > self._seconds:
                return None
            self._kept.move_to_end(file)
            return version, head

    def put(self, file: Known, version: Version, head: bytes) -> None:
        """Keep what a server just gave."""
        if not version.tag:
            return
        self.drop(file)
        with self._lock:
            self._kept[file] = version, head, time.monotonic()
            self._bytes += len(head)
            while len(self._kept) > self._entries or self._bytes > self._most:
                self._bytes -= len(self._kept.popitem(last=False)[1][1])

    def drop(self, file: Known) -> None:
        """Forget a file."""
        with self._lock:
            if file in self._kept:
                self._bytes -= len(self._kept.pop(file)[1])

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0


HEADS = Heads()


class Source:
    """An asset whose address was checked and whose first bytes were read. All methods may be called from any thread.

    Attributes:
        shown: Its address for messages.
        size: Length in bytes.
        head: The first ``HEADER_BYTES``, or all of a smaller file.
        kept: Whether ``size`` and ``head`` are from an earlier task: if the file is another one now, the first range of it
            is a ``ChangedError``, and then the asset can be opened anew.

    Args:
        changed: Called when the file turns out to be another one.
    """

    def __init__(
        self, href: str, size: int, head: bytes, fetch: Callable[[int, int], memoryview], *,
        kept: bool = False, changed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.shown, self.size, self.head, self.kept = without_query(href), size, head, kept
        self._fetch, self._changed = fetch, changed

    @property
    def magic(self) -> bytes:
        """First bytes, which name the kind of file."""
        return self.head[:16]

    def fetch(self, start: int, end: int) -> memoryview:
        """The bytes from ``start`` to before ``end``, counted once; those of ``head`` are not fetched again.

        Raises:
            SourceError: They lie beyond the file, or cannot be read.
            ChangedError: The file is no longer the one that was opened.
        """
        if not 0 <= start < end <= self.size:
            raise SourceError(f"{self.shown}: bytes {start} to {end} lie beyond its {self.size} bytes")
        if end - start > MAX_RANGE_BYTES:
            raise SourceError(f"{self.shown}: {end - start} bytes at once is more than any tile has")
        had = self.head[start:end]
        if len(had) == end - start:
            return memoryview(had)
        try:
            rest = self._fetch(start + len(had), end)
        except ChangedError:
            self._changed()
            raise
        if not had:
            return rest
        whole = space(end - start)  # a range may be megabytes, which a heap would keep
        whole[: len(had)], whole[len(had) :] = had, rest
        return whole

    def file(self) -> RangeFile:
        """A new, independent file object for GDAL."""
        return RangeFile(self.fetch, self.size)


class _Process:
    """Whether this process was forked from one that had read: the threads of its libraries are not there."""

    used = orphaned = False

    @classmethod
    def forked(cls) -> None:
        cls.orphaned = cls.used


os.register_at_fork(after_in_child=_Process.forked)


class Sources:
    """Opens the assets of one task, for any number of threads."""

    def __init__(self, access: Access, sign: Callable[..., str], usage: Usage) -> None:
        self._access, self._usage = access, usage
        self._http = Http(access, sign, self._usage.count)
        self._local: list[LocalFile] = []

    def cancel(self) -> None:
        """End what any thread is fetching; nothing can be fetched any more."""
        self._http.close()

    def close(self) -> None:
        """Close all files and connections; no thread may be fetching any more."""
        self.cancel()
        while self._local:
            self._local.pop().close()

    def open(self, href: str, *, keep: bool = False) -> Source:
        """An asset after its address was checked and its first bytes were seen.

        Args:
            href: Address without signature.
            keep: Whether the first bytes may be those that an earlier task saw, and may be kept for later ones.

        Raises:
            SourceError: The address is refused, or nothing readable is there.
        """
        if _Process.orphaned:
            raise SourceError(
                f"{without_query(href)}: this process was forked from one that had read pixels, and would hang: start processes by spawn or forkserver"
            )
        _Process.used = True
        where = self._access.check(href)
        scheme = urllib.parse.urlsplit(where).scheme
        if len(scheme) <= 1:
            return self._file(where, href)
        file = self._access, href
        known = HEADS.get(file) if keep else None
        kind = HttpFile if scheme in ("http", "https") else ObjectFile
        remote = kind(href, self._http, known and known[0])

        def drop() -> None:
            HEADS.drop(file)

        if known:
            return Source(href, known[0].size, known[1], remote.fetch, kept=True, changed=drop)
        head = bytes(remote.probe(HEADER_BYTES))
        assert remote.version is not None
        if keep:
            HEADS.put(file, remote.version, head)
        return Source(href, remote.version.size, head, remote.fetch, changed=drop)

    def _file(self, path: str, href: str) -> Source:
        try:
            file = LocalFile(path, self._usage.count)
            self._local.append(file)  # closed with the others, also if it is refused now
            return Source(href, file.size, bytes(file.fetch(0, min(file.size, HEADER_BYTES))), file.fetch)
        except FileNotFoundError as e:
            raise SourceError(f"{without_query(href)}: no such file") from e
        except OSError as e:
            raise SourceError(f"{without_query(href)}: {e.strerror or type(e).__name__} when opening it") from e
