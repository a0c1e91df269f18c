"""Files and addresses that are made to do harm: refused by every reader, in bounded memory, and nothing else is opened."""

import contextlib
import ctypes
import multiprocessing
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from geo_assets.errors import SourceError
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access
from geo_assets.readers._files import HEADS
from geo_assets.registry import load
from geo_assets.testing.conformance_reader import unsigned
from geo_assets.testing.file_server import Fault, serve_files
from geo_assets.testing.rasters import CRS, LEFT, RED, TOP, WINDOWS, pixels, write_raster

READERS = ("native", "gdal", "stackstac")
BOX = WINDOWS["its own grid"]
MOST_MB = 300
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs inotify and the memory marks of Linux")


class Watch:
    """Counts how often a file is opened or read, by whatever code of this machine (inotify)."""

    _OPENED_OR_READ = 0x20 | 0x01

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_NONBLOCK)
        assert libc.inotify_add_watch(self._fd, os.fsencode(path), self._OPENED_OR_READ) >= 0

    def hits(self) -> int:
        """Events since the last call."""
        with contextlib.suppress(BlockingIOError):
            return len(os.read(self._fd, 65536)) // 16
        return 0

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def canary(tmp_path):
    """A good raster outside of what may be read, and who opens it."""
    (tmp_path / "outside").mkdir()
    path = write_raster(tmp_path / "outside" / "canary.tif", pixels())
    watch = Watch(path)
    yield path, watch
    watch.close()


@pytest.fixture
def inside(tmp_path):
    path = tmp_path / "inside"
    path.mkdir()
    return path


def read(reader, access, href, box=BOX, band=RED):
    HEADS.clear()
    with load("readers", reader).session(access, unsigned) as session:
        return session.read(str(href), band, box, resampling="nearest")


def vrt(source: Path | str) -> bytes:
    """A raster of GDAL's own kind that shows another file."""
    return f"""<VRTDataset rasterXSize="512" rasterYSize="512"><SRS>{CRS}</SRS>
  <GeoTransform>{LEFT}, 10, 0, {TOP}, 0, -10</GeoTransform>
  <VRTRasterBand dataType="UInt16" band="1"><SimpleSource><SourceFilename relativeToVRT="0">{source}</SourceFilename>
  <SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>""".encode()


@linux
@pytest.mark.parametrize("reader", READERS)
def test_canary_when_an_address_leads_out_of_the_folder_then_nobody_opens_it(reader, canary, inside):
    path, watch = canary
    (inside / "link.tif").symlink_to(path)
    (inside / "folder").symlink_to(path.parent)
    (inside / "vrt.tif").write_bytes(vrt(path))
    (inside / "relative.tif").write_bytes(vrt("../outside/canary.tif").replace(b'ToVRT="0"', b'ToVRT="1"'))
    hrefs = [
        path, f"file://{path}", f"FILE://localhost{path}", f"/vsicurl/file://{path}", f"/vsisubfile/0_999999,{path}", f"/vsizip/{path}",
        f"{inside}/../outside/canary.tif", f"{inside}/link.tif", f"{inside}/folder/canary.tif", f"{inside}/vrt.tif", f"{inside}/relative.tif",
        vrt(path).decode(), f"vrt://{path}", f"GTIFF_DIR:1:{path}", f"GTIFF_RAW:{path}", f"{inside}/a.tif\0{path}", f"//{path}", f"\\\\?\\{path}",
        f"ftp://localhost{path}", f"s3://../{path}", f"http://localhost{path}", "https://[::1]/canary.tif", f'"{path}"', f"{path}?x", f"{path}#x",
    ]  # fmt: skip
    watch.hits()
    for href in hrefs:
        with pytest.raises(SourceError):
            read(reader, Access(roots=(str(inside),)), href)
        assert watch.hits() == 0, href
    assert read(reader, Access(roots=(str(path.parent),)), path).any()
    assert watch.hits() > 0, "the watch must see a real read"


@linux
@pytest.mark.parametrize("reader", READERS)
def test_canary_when_a_server_sends_us_to_it_then_nobody_opens_it(reader, canary):
    path, watch = canary
    answers = {"a VRT": None, "a file": Fault(302, f"file://{path}"), "a path": Fault(301, str(path))}
    with serve_files({"a.tif": vrt(path)}) as server:
        for fault in answers.values():
            server.faults, server.always = [fault], None if fault is None else Fault(404)
            with pytest.raises(SourceError, match=r"neither a GeoTIFF|file://|status 404"):
                read(reader, Access(loopback=True), server.href("a.tif"))
            assert watch.hits() == 0


def bands(path: Path, count: int) -> Path:
    profile = {
        "driver": "GTiff",
        "dtype": "uint16",
        "height": 16,
        "width": 16,
        "crs": CRS,
        "transform": Affine(10, 0, LEFT, 0, -10, TOP),
    }
    with rasterio.open(path, "w", count=count, sparse_ok=True, interleave="pixel", **profile):
        return path


def patched(path: Path, tag: int, value: int) -> Path:
    """One number of a TIFF's first directory set to another."""
    data = bytearray(path.read_bytes())
    at = int.from_bytes(data[4:8], "little")
    for n in range(int.from_bytes(data[at : at + 2], "little")):
        entry = at + 2 + 12 * n
        if int.from_bytes(data[entry : entry + 2], "little") == tag:
            data[entry + 2 : entry + 4] = (4).to_bytes(2, "little")
            data[entry + 4 : entry + 8] = (1).to_bytes(4, "little")
            data[entry + 8 : entry + 12] = value.to_bytes(4, "little")
            path.write_bytes(data)
            return path
    raise AssertionError(f"no tag {tag}")


def bomb(path: Path) -> Path:
    """A file whose tiles inflate to a gigabyte each."""
    write_raster(path, np.ones((512, 512), np.uint16), blockxsize=512, blockysize=512)
    with rasterio.open(path) as file:
        assert file.block_shapes == [(512, 512)]
    packer, stream = zlib.compressobj(9), b""
    for _ in range(16):
        stream += packer.compress(bytes(2**26))
    stream += packer.flush()
    data = bytearray(path.read_bytes())
    offset = len(data)
    path.write_bytes(bytes(data) + stream)
    patched(path, 324, offset)  # TileOffsets
    return patched(path, 325, len(stream))  # TileByteCounts


HOSTILE = {
    "65,535 bands": (lambda p: bands(p, 65_535), r"65535 layers|cannot be read"),
    "a side of a billion pixels": (lambda p: patched(patched(write_raster(p, pixels()), 256, 10**9), 257, 10**9), "."),
    "a tile of a billion pixels": (lambda p: patched(patched(write_raster(p, pixels()), 322, 2**30), 323, 2**30), "."),
    "a tile that inflates to a gigabyte": (
        bomb,
        r"tile 0,0 .*(damaged|more rows)|cannot be read|has .* bytes by the header",
    ),
}


@linux
@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_read_when_a_header_asks_for_too_much_then_refused_in_little_memory(reader, kind, inside):
    make, cause = HOSTILE[kind]
    path = make(inside / "a.tif")
    Path("/proc/self/clear_refs").write_text("5")
    before = memory_mb("VmRSS")
    # GDAL takes what a tile needs of a stream and leaves the rest
    takes = reader != "native" and kind == "a tile that inflates to a gigabyte"
    with contextlib.nullcontext() if takes else pytest.raises(SourceError, match=cause) as error:
        read(reader, Access(roots=(str(inside),)), path)
    assert memory_mb("VmHWM") - before < MOST_MB
    assert takes or str(path) in str(error.value)


def test_read_when_the_first_directory_is_at_the_first_byte_then_the_process_lives(inside):
    """The parser would take the magic number for billions of entries, and end the process for want of memory."""
    path = inside / "a.tif"
    path.write_bytes(b"II+\0\x08\0\0\0" + bytes(56))
    (inside / "b.tif").write_bytes(b"II*\0" + bytes(60))
    for name in ("a.tif", "b.tif"):
        code = (
            "import sys; from geo_assets_tests.readers.test_hostile import *\n"
            "try: read('native', Access(roots=(sys.argv[1],)), sys.argv[2])\n"
            "except SourceError: print('refused')"
        )
        order = [sys.executable, "-c", code, str(inside), str(inside / name)]
        done = subprocess.run(order, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
        assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr[-500:]


TAGS = {
    "a predictor without compression": ({"compress": "none"}, {317: 2}),
    "reversed bits": ({"compress": "none"}, {266: 2}),
}


@pytest.mark.parametrize("kind", TAGS)
def test_read_when_a_tag_is_one_that_only_gdal_heeds_then_gdal_decodes(kind, inside):
    options, tags = TAGS[kind]
    path = write_raster(inside / "a.tif", pixels(), **options)
    added(path, tags)
    with rasterio.open(path) as file:
        wanted = file.read(1)
    box = GeoBox(CRS, Fraction(10), Fraction(LEFT), Fraction(TOP), wanted.shape)
    assert np.array_equal(read("native", Access(roots=(str(inside),)), path, box), wanted)


def added(path: Path, tags: dict[int, int]) -> None:
    """Writes more tags into a TIFF's first directory, which moves to the end of the file."""
    data = bytearray(path.read_bytes())
    at = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[at : at + 2], "little")
    entries = {
        int.from_bytes(data[e : e + 2], "little"): bytes(data[e : e + 12])
        for e in range(at + 2, at + 2 + 12 * count, 12)
    }
    for tag, value in tags.items():
        entries[tag] = struct.pack("<HHII", tag, 3, 1, value)
    table = struct.pack("<H", len(entries)) + b"".join(entries[t] for t in sorted(entries)) + bytes(4)
    offset = len(data)
    data[4:8] = offset.to_bytes(4, "little")
    path.write_bytes(bytes(data) + table)


@linux
def test_read_when_a_folder_is_exchanged_for_a_link_then_what_lies_behind_is_not_read(inside, canary, monkeypatch):
    path, _ = canary
    (inside / "real").mkdir()
    write_raster(inside / "real" / "canary.tif", pixels())
    check = Access.check

    def exchanged(self: Access, href: str) -> str:
        found = check(self, href)
        shutil.rmtree(inside / "real")
        (inside / "real").symlink_to(path.parent)
        return found

    monkeypatch.setattr(Access, "check", exchanged)
    with pytest.raises(SourceError, match="a link was put in place of one of its folders"):
        read("native", Access(roots=(str(inside),)), inside / "real" / "canary.tif")


@pytest.mark.parametrize("href", ["s3://data/a/../b.tif", "s3://data/./a.tif"])
def test_object_whose_path_is_odd_is_a_source_error(href):
    with pytest.raises(SourceError, match=r"while reading bytes|not a file"):
        read("native", Access(), href)


def test_read_when_the_process_was_forked_from_one_that_had_read_then_an_error_and_no_hang(inside):
    path = write_raster(inside / "a.tif", pixels())
    assert read("native", Access(roots=(str(inside),)), path).any()
    child = multiprocessing.get_context("fork").Process(target=_refused, args=(inside, path))
    child.start()
    child.join(30)
    if child.is_alive():
        child.kill()
    assert child.exitcode == 0


def _refused(inside: Path, path: Path) -> None:
    with pytest.raises(SourceError, match=r"forked.*spawn"):
        read("native", Access(roots=(str(inside),)), path)


def memory_mb(field: str) -> float:
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024
