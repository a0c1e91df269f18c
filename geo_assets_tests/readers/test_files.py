"""Files on disk, what a source gives of any file, and first bytes that are kept for later tasks."""

import errno
import io
import mmap
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from geo_assets.errors import SourceError
from geo_assets.model.href import Access
from geo_assets.model.plugin import Usage
from geo_assets.readers import _files
from geo_assets.readers._files import HEADER_BYTES, HEADS, Guarded, Heads, LocalFile, Source, Sources
from geo_assets.readers._http import ChangedError, Version
from geo_assets.testing.conformance_reader import unsigned
from geo_assets.testing.file_server import Fault, serve_files

CONTENT = bytes(i * 7 % 251 for i in range(400_000))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def usage():
    return Usage()


@pytest.fixture
def sources(tmp_path, usage):
    sources = Sources(Access(roots=(str(tmp_path),), loopback=True), unsigned, usage)
    yield sources
    sources.close()


# ---- files on disk ---------------------------------------------------------------------------------------------------


def test_a_file_gives_its_size_first_bytes_and_ranges(sources, path, usage):
    source = sources.open(str(path))
    assert (source.size, source.head, source.magic) == (len(CONTENT), CONTENT[:HEADER_BYTES], CONTENT[:16])
    assert source.fetch(100_000, 399_999) == CONTENT[100_000:399_999]
    assert source.fetch(len(CONTENT) - 1, len(CONTENT)) == CONTENT[-1:]
    assert (usage.bytes, usage.requests) == (HEADER_BYTES + 299_999 + 1, 3)


def test_a_long_range_that_begins_in_the_first_bytes_lies_outside_of_the_heap(sources, path):
    whole = sources.open(str(path)).fetch(10, 300_000)
    assert whole == CONTENT[10:300_000]
    assert isinstance(whole.obj, mmap.mmap)


def test_first_bytes_are_neither_read_nor_counted_again(sources, path, usage):
    source = sources.open(str(path))
    before = usage.bytes, usage.requests
    assert source.fetch(0, 100) == CONTENT[:100]
    assert source.fetch(5, HEADER_BYTES) == CONTENT[5:HEADER_BYTES]
    assert (usage.bytes, usage.requests) == before
    assert source.fetch(HEADER_BYTES - 10, HEADER_BYTES + 10) == CONTENT[HEADER_BYTES - 10 : HEADER_BYTES + 10]
    assert (usage.bytes, usage.requests) == (before[0] + 10, before[1] + 1)


@pytest.mark.parametrize("span", [(-1, 5), (5, 5), (9, 5), (0, 400_001), (400_000, 400_001), (2**40, 2**41)])
def test_a_range_beyond_the_file_is_refused(sources, path, span):
    with pytest.raises(SourceError, match="beyond its 400000 bytes"):
        sources.open(str(path)).fetch(*span)


def test_a_range_that_no_tile_has_is_refused_before_memory_is_taken():
    def fetch(start, end):
        raise AssertionError

    with pytest.raises(SourceError, match="more than any tile"):
        Source("a.tif", 2**50, b"", fetch).fetch(0, 2**40)


def test_many_threads_read_one_descriptor(sources, path):
    source = sources.open(str(path))

    def fetch(i):
        return source.fetch(HEADER_BYTES + i, HEADER_BYTES + 50_000 + i) == CONTENT[HEADER_BYTES + i :][:50_000]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(fetch, range(500)))
        assert descriptors(path) == 1


def descriptors(path):
    return [file.path for file in psutil.Process().open_files()].count(str(path))


def test_a_closed_session_leaves_no_descriptor(tmp_path, path):
    for _ in range(50):
        sources = Sources(Access(roots=(str(tmp_path),)), unsigned, Usage())
        sources.open(str(path))
        with pytest.raises(SourceError):
            sources.open(str(tmp_path))
        sources.close()
    assert descriptors(path) == 0


def _grow(path):
    with path.open("ab") as file:
        file.write(b"more")


def _shrink(path):
    os.truncate(path, 200_000)


def _rewrite(path):
    with path.open("r+b") as file:
        file.write(CONTENT[::-1])
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("change", [_grow, _shrink, _rewrite])
def test_a_file_that_changes_while_it_is_read_is_an_error(sources, path, change):
    source = sources.open(str(path))
    change(path)
    with pytest.raises(ChangedError, match=r"a\.tif: the file changed"):
        source.fetch(100_000, 300_000)


def test_a_file_that_is_replaced_is_read_to_its_end(sources, path, tmp_path):
    source = sources.open(str(path))
    (tmp_path / "new").write_bytes(CONTENT[::-1])
    os.replace(tmp_path / "new", path)
    assert source.fetch(100_000, 300_000) == CONTENT[100_000:300_000]
    assert sources.open(str(path)).head == CONTENT[::-1][:HEADER_BYTES]


def test_a_link_that_takes_the_place_of_a_checked_file_is_not_followed(sources, path, tmp_path, monkeypatch):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(OSError, match="symbolic link"):
        LocalFile(str(path), lambda n: None)
    monkeypatch.setattr(Access, "check", lambda self, href: href)  # as if the link came after the check
    with pytest.raises(SourceError, match=r"a\.tif: .*symbolic link"):
        sources.open(str(path))


def forbidden(*args):
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "missing", "forbidden"])
def test_what_is_no_regular_file_is_refused_without_waiting(sources, path, tmp_path, monkeypatch, kind):
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        monkeypatch.setattr(Access, "check", lambda self, href: "/dev/zero")
    elif kind == "forbidden":
        path.write_bytes(b"x")
        monkeypatch.setattr(os, "open", forbidden)  # root may read everything
    with pytest.raises(SourceError, match=r"a\.tif|/dev/zero"):
        sources.open(str(path))


def test_an_empty_file_has_no_first_bytes(sources, path):
    path.write_bytes(b"")
    source = sources.open(str(path))
    assert (source.size, source.head) == (0, b"")
    assert source.file().read() == b""


def test_a_file_object_for_gdal_reads_and_seeks_as_a_file_does(sources, path):
    ours, theirs = sources.open(str(path)).file(), io.BytesIO(CONTENT)
    for step in [("read", 10), ("seek", 399_990), ("read", 100), ("read", 5), ("seek", -20, 2), ("tell",), ("read", -1),
                 ("seek", 7), ("seek", 5, 1), ("read", 40_000), ("read",), ("seek", 500_000), ("read", 1)]:  # fmt: skip
        assert getattr(ours, step[0])(*step[1:]) == getattr(theirs, step[0])(*step[1:])


def test_what_happens_under_gdal_is_kept_until_somebody_looks(path):
    def fetch(start, end):
        raise SourceError("gone")

    faults = []
    with Guarded(Source("a.tif", 10**6, CONTENT[:100], fetch).file(), faults) as file:
        assert file.read(100) == CONTENT[:100]
        assert file.read(100) == b""
        assert file.seek(-5) == -5
        assert file.read(1) == b""
    assert [str(e) for e in faults] == ["gone"]


# ---- first bytes that are kept ---------------------------------------------------------------------------------------


@pytest.fixture
def server():
    HEADS.clear()
    with serve_files({"a.tif": CONTENT}) as server:
        yield server
    HEADS.clear()


def test_a_second_task_does_not_fetch_first_bytes_again(server, tmp_path):
    for task in range(3):
        usage = Usage()
        sources = Sources(Access(loopback=True), unsigned, usage)
        source = sources.open(server.href("a.tif"), keep=True)
        assert (source.kept, source.size, source.head) == (task > 0, len(CONTENT), CONTENT[:HEADER_BYTES])
        assert source.fetch(50_000, 60_000) == CONTENT[50_000:60_000]
        assert usage.requests == (1 if task else 2)
        sources.close()


def test_first_bytes_of_another_version_are_dropped_by_the_first_range(server, sources):
    sources.open(server.href("a.tif"), keep=True)
    server.files["a.tif"] = CONTENT[::-1]
    kept = sources.open(server.href("a.tif"), keep=True)
    with pytest.raises(ChangedError):
        kept.fetch(50_000, 60_000)
    again = sources.open(server.href("a.tif"), keep=True)
    assert not again.kept
    assert again.head == CONTENT[::-1][:HEADER_BYTES]
    assert again.fetch(50_000, 60_000) == CONTENT[::-1][50_000:60_000]


def test_kept_first_bytes_must_be_confirmed_by_name(server, sources):
    sources.open(server.href("a.tif"), keep=True)
    server.always = Fault(tag="")
    with pytest.raises(ChangedError):
        sources.open(server.href("a.tif"), keep=True).fetch(50_000, 60_000)


def test_a_version_without_a_name_is_not_kept(server, sources):
    server.always = Fault(tag="")
    for _ in range(2):
        assert not sources.open(server.href("a.tif"), keep=True).kept


def test_who_does_not_ask_for_kept_bytes_gets_fresh_ones(server, sources, usage):
    for _ in range(2):
        assert not sources.open(server.href("a.tif")).kept
    assert usage.requests == 2


def test_kept_first_bytes_are_not_shown_to_another_catalog(server, sources):
    """It may have seen them with credentials or a signature that the other one does not have."""
    assert sources.open(server.href("a.tif"), keep=True).head
    before = len(server.requests)
    others = Sources(Access(loopback=True, hosts=("example.com",)), unsigned, Usage())
    assert not others.open(server.href("a.tif"), keep=True).kept
    others.close()
    assert len(server.requests) == before + 1


def test_kept_first_bytes_do_not_make_a_refused_address_readable(server, sources):
    sources.open(server.href("a.tif"), keep=True)
    with pytest.raises(SourceError, match="private or local"):
        Sources(Access(), unsigned, Usage()).open(server.href("a.tif"), keep=True)


def test_heads_are_bounded_in_number_bytes_and_time(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(_files.time, "monotonic", lambda: clock[0])
    heads, version = Heads(entries=3, most_bytes=250, seconds=10), Version(10**6, '"x"')
    for i in range(5):
        heads.put(str(i), version, bytes(50))
    assert [heads.get(str(i)) is not None for i in range(5)] == [False, False, True, True, True]
    heads.get("2")
    heads.put("large", version, bytes(180))
    assert [n for n in ("2", "3", "4", "large") if heads.get(n)] == ["2", "large"]
    heads.put("large", version, bytes(10))
    heads.put("more", version, bytes(100))
    assert [n for n in ("2", "large", "more") if heads.get(n)] == ["2", "large", "more"]
    clock[0] = 11
    assert heads.get("large") is None


def test_heads_serve_many_threads(server):
    heads, version = Heads(entries=8, most_bytes=1000), Version(10**6, '"x"')

    def work(k):
        for i in range(300):
            heads.put(str((i + k) % 20), version, bytes(100))
            heads.get(str(i % 20))
            heads.drop(str((i * k) % 20))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heads._bytes == sum(len(head) for _, head, _ in heads._kept.values()) <= 1000
