"""Files and addresses that are made to do harm: refused by every reader, in bounded memory, and nothing else is opened."""

import contextlib
import ctypes
import os
import re
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from geo_assets.errors import SourceError
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


def memory_mb(field: str) -> float:
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024
