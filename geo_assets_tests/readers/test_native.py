"""The engine's own way to pixels: what it fetches, what it leaves to GDAL, and that both give the same."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.shutil import copy as copy_raster

from geo_assets import registry
from geo_assets.errors import SourceError
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access
from geo_assets.model.plugin import Layer
from geo_assets.readers import _strips, native
from geo_assets.readers._files import HEADER_BYTES
from geo_assets.readers._tiff import Unfit
from geo_assets.readers._tiles import Room
from geo_assets.testing.rasters import CRS, LEFT, POWER, RED, SIZE, TILE, TOP, WINDOWS, pixels, write_raster

WHOLE = GeoBox(CRS, Fraction(10), Fraction(LEFT), Fraction(TOP), (SIZE, SIZE))
KERNELS = ("nearest", "bilinear", "cubic", "average")


def session(folder: Path, **options: Any) -> native.NativeSession:
    return native.NativeSession(Access(roots=(str(folder),)), lambda href: href, **options)


def read(path: Path, box: GeoBox, resampling: str = "bilinear", band: Any = RED) -> tuple[Any, native.NativeSession]:
    with session(path.parent) as reading:
        return reading.read(str(path), band, box, resampling=resampling), reading


def cog(path: Path, values: np.ndarray, **options: Any) -> Path:
    """A Cloud Optimized GeoTIFF with overviews."""
    plain = write_raster(path.with_suffix(".plain.tif"), values)
    settings = {
        "compress": "DEFLATE",
        "predictor": "YES",
        "blocksize": 128,
        "overviews": "AUTO",
        "overview_resampling": "average",
    }
    copy_raster(plain, path, driver="COG", **{**settings, **options})
    return path


def header_at_the_end(folder: Path) -> Path:
    """GDAL appends the directory of a file that is changed after it was written."""
    path = write_raster(folder / "a.tif", pixels())
    body = path.read_bytes()
    (first,) = np.frombuffer(body[4:8], "<u4")
    entries = int(np.frombuffer(body[first : first + 2], "<u2")[0])
    directory = body[first : first + 2 + entries * 12 + 4]
    padded = body + b"\0" * (2**20 + 2**17)
    path.write_bytes(padded[:4] + np.uint32(len(padded)).tobytes() + padded[8:] + directory)
    return path


def jpeg_2000(folder: Path) -> Path:
    plain = write_raster(folder / "plain.tif", pixels())
    copy_raster(
        plain, folder / "a.jp2", driver="JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES", BLOCKXSIZE=256, BLOCKYSIZE=256
    )
    return folder / "a.jp2"


OTHERS = {
    "LZW": lambda folder: write_raster(folder / "a.tif", pixels(), compress="lzw"),
    "ZSTD": lambda folder: write_raster(folder / "a.tif", pixels(), compress="zstd"),
    "LERC": lambda folder: write_raster(folder / "a.tif", pixels(), compress="lerc", max_z_error=0),
    "strips": lambda folder: write_raster(folder / "a.tif", pixels(), tiled=False, blockysize=16),
    "JPEG 2000": jpeg_2000,
    "a mask": lambda folder: masked(folder),
    "big-endian": lambda folder: write_raster(folder / "a.tif", pixels(), endianness="big"),
    "headers at the end": header_at_the_end,
    "pixel centres": lambda folder: centred(folder),
}
FITTING = {
    "predictor 2": lambda folder: write_raster(folder / "a.tif", pixels(), predictor=2),
    "no compression": lambda folder: write_raster(folder / "a.tif", pixels(), compress=None),
    "BigTIFF": lambda folder: write_raster(folder / "a.tif", pixels(), bigtiff="yes", predictor=2),
    "oblong tiles": lambda folder: write_raster(folder / "a.tif", pixels(), blockxsize=256, blockysize=64, predictor=2),
    "a COG": lambda folder: cog(folder / "a.tif", pixels()),
}


def masked(folder: Path) -> Path:
    path = folder / "a.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_raster(path, pixels(), nodata=None)
        with rasterio.open(path, "r+") as file:
            file.write_mask(np.full((SIZE, SIZE), 255, np.uint8))
    return path


def centred(folder: Path) -> Path:
    path = write_raster(folder / "a.tif", pixels())
    with rasterio.open(path, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point")
    return path


@pytest.mark.parametrize("box", ["its own grid", "a shifted grid", "the next zone", "degrees"])
@pytest.mark.parametrize("kind", OTHERS)
def test_read_when_the_fast_path_does_not_know_a_file_then_gdal_decodes_it_to_the_same(tmp_path, kind, box):
    (tmp_path / "fast").mkdir()
    known = write_raster(tmp_path / "fast" / "a.tif", pixels())
    other = OTHERS[kind](tmp_path)
    for resampling in KERNELS:
        wanted, fast = read(known, WINDOWS[box], resampling)
        found, slow = read(other, WINDOWS[box], resampling)
        assert np.array_equal(found, wanted)
        assert not fast.usage.notes
        assert [n for n in slow.usage.notes if "read by GDAL: " in n]


@pytest.mark.parametrize("kind", FITTING)
def test_read_when_a_file_is_stored_in_another_way_that_fits_then_nothing_changes(tmp_path, kind):
    (tmp_path / "plain").mkdir()
    wanted, _ = read(write_raster(tmp_path / "plain" / "a.tif", pixels()), WINDOWS["the next zone"])
    found, reading = read(FITTING[kind](tmp_path), WINDOWS["the next zone"])
    assert np.array_equal(found, wanted)
    assert not reading.usage.notes


@pytest.mark.parametrize("resampling", KERNELS)
@pytest.mark.parametrize("resolution", [10, 25, 60])
def test_read_when_overviews_are_used_then_gdals_decoder_and_ours_give_the_same(
    tmp_path, monkeypatch, resolution, resampling
):
    path = cog(tmp_path / "a.tif", pixels())
    box = GeoBox("EPSG:32632", Fraction(resolution), Fraction(957_000), Fraction(5_218_000), (60, 70))
    found, reading = read(path, box, resampling)

    def unfit(_: Any) -> Any:
        raise Unfit("told so")

    monkeypatch.setattr(native, "layout", unfit)
    other, by_gdal = read(path, box, resampling)
    assert np.array_equal(found, other)
    assert found.any()
    assert not reading.usage.notes
    assert by_gdal.usage.notes == [f"{path}: read by GDAL: told so"]


def test_read_when_a_grid_is_rotated_then_it_is_read_all_the_same(tmp_path):
    turned = Affine.translation(LEFT, TOP) @ Affine.rotation(20) @ Affine.scale(10, -10)
    path = write_raster(tmp_path / "a.tif", pixels(), transform=turned)
    box = GeoBox(CRS, Fraction(10), Fraction(LEFT + 2000), Fraction(TOP + 500), (80, 90))
    found, reading = read(path, box, "nearest")
    x, y = np.meshgrid(*box.centers())
    col, row = ~turned @ (x, y)
    col, row = np.floor(col).astype(int), np.floor(row).astype(int)
    inside = (col >= 0) & (row >= 0) & (col < SIZE) & (row < SIZE)
    assert inside.mean() > 0.5
    assert np.array_equal(found[inside], pixels()[row[inside], col[inside]])
    assert not found[~inside].any()
    assert "no plain georeference" in reading.usage.notes[0]


def test_read_when_tiles_are_not_stored_then_they_are_empty(tmp_path):
    values = pixels()
    values[:TILE] = 0
    path = write_raster(tmp_path / "a.tif", values, sparse_ok=True)
    found, reading = read(path, WHOLE, "nearest")
    assert np.array_equal(found, values)
    assert not reading.usage.notes
    alone, _ = read(path, WHOLE.window(0, 0, 64, 64), "nearest")
    assert alone is not None
    assert not alone.any()


def test_read_when_a_window_is_small_then_only_its_tiles_are_fetched(tmp_path):
    path = cog(tmp_path / "a.tif", pixels())
    with rasterio.open(path) as file:
        size = int(file.get_tag_item("BLOCK_SIZE_1_1", "TIFF", bidx=1))
    found, reading = read(path, WHOLE.window(TILE + 10, TILE + 10, 50, 50), "nearest")
    assert np.array_equal(found, pixels()[TILE + 10 : TILE + 60, TILE + 10 : TILE + 60])
    assert reading.usage.requests == 2
    assert reading.usage.bytes <= HEADER_BYTES + size


def test_sweep_when_a_file_is_read_in_strips_then_every_byte_is_fetched_once(tmp_path):
    path = cog(tmp_path / "a.tif", pixels())
    with session(tmp_path) as reading:
        whole = reading.read(str(path), RED, WHOLE, resampling="nearest")
        once = reading.usage.bytes
    with session(tmp_path) as reading:
        (sweep,) = reading.sweep([Layer(str(path), RED, WHOLE, "nearest")], 16)
        assert sweep is not None
        strips = [sweep.rows(r, r + 16) for r in range(0, SIZE, 16)]
        assert reading.usage.bytes == once
    assert np.array_equal(np.concatenate(strips), whole)


@pytest.mark.parametrize("longitude", [-135, -93, 39, 45, 51, 93, 135, 153])  # turned by this and 45 degrees more
@pytest.mark.parametrize("resampling", KERNELS)
def test_sweep_when_the_target_is_turned_against_the_file_then_strips_are_the_same(tmp_path, longitude, resampling):
    """EPSG:3413, whose north is up at 45 degrees west alone."""
    zone = f"EPSG:{32601 + (longitude + 180) // 6}"
    x, y = Transformer.from_crs("EPSG:4326", zone, always_xy=True).transform(longitude, 70)
    corner = Affine(10, 0, round(x, -2) - 2560, 0, -10, round(y, -2) + 2560)
    path = write_raster(tmp_path / "a.tif", pixels(), crs=zone, transform=corner)
    x, y = Transformer.from_crs("EPSG:4326", "EPSG:3413", always_xy=True).transform(longitude, 70)
    box = GeoBox("EPSG:3413", Fraction(10), Fraction(round(x, -1) - 1000), Fraction(round(y, -1) + 1000), (200, 200))
    whole, _ = read(path, box, resampling)
    with session(tmp_path) as reading:
        (sweep,) = reading.sweep([Layer(str(path), RED, box, resampling)], 32)
        strips = [sweep.rows(r, min(r + 32, 200)).copy() for r in range(0, 200, 32)]
        sweep.close()
    assert np.array_equal(np.concatenate(strips), whole)
    assert (whole > 0).all()
    with registry.load("readers", "gdal").session(Access(roots=(str(tmp_path),)), lambda href: href) as judge:
        other = judge.read(str(path), RED, box, resampling=resampling)
    # GDAL's coordinates are right to 1e-4 of a pixel, and neighbours differ by thousands
    assert (np.abs(whole.astype(int) - other) <= 2).mean() > 0.998


def test_sweep_when_memory_is_short_then_tiles_come_in_pieces_and_stay_the_same(tmp_path):
    random = np.random.default_rng(1).integers(1, 60_000, (1024, 1024)).astype(np.uint16)
    paths = []
    for n in range(3):
        plain = write_raster(tmp_path / f"plain-{n}.tif", random + n, blockxsize=512, blockysize=512)
        paths.append(plain)
    box = GeoBox(CRS, Fraction(10), Fraction(LEFT), Fraction(TOP), (1024, 1024))

    def run(fetch_bytes: int) -> tuple[list[np.ndarray], int, int]:
        with session(tmp_path, fetch_bytes=fetch_bytes) as reading:
            sweeps = reading.sweep([Layer(str(p), RED, box, "nearest") for p in paths], 64)
            made = [
                np.concatenate(parts)
                for parts in zip(*([s.rows(r, r + 64) for s in sweeps] for r in range(0, 1024, 64)), strict=True)
            ]
            return made, reading._fetcher.peak_bytes, reading.usage.requests

    (wide, much, few), (narrow, little, many) = run(2**30), run(2**20)
    assert all(np.array_equal(a, b) for a, b in zip(wide, narrow, strict=True))
    assert all(np.array_equal(a, random + n) for n, a in enumerate(wide))
    assert many > few
    assert little < much / 2


def test_sweep_when_the_spare_memory_holds_what_is_stored_then_neighbours_come_as_one_range(tmp_path):
    random = np.random.default_rng(1).integers(1, 60_000, (1024, 1024)).astype(np.uint16)
    path = write_raster(tmp_path / "a.tif", random, blockxsize=256, blockysize=256)
    box = GeoBox(CRS, Fraction(10), Fraction(LEFT), Fraction(TOP), (1024, 1024))
    row = 1024 * 256 * 2  # of tiles

    def run(spare_bytes: int) -> tuple[int, int]:
        with session(tmp_path, fetch_bytes=row // 2) as reading:
            (sweep,) = reading.sweep([Layer(str(path), RED, box, "nearest")], 64, spare_bytes=spare_bytes)
            before = reading.usage.requests
            made = np.concatenate([sweep.rows(r, r + 64) for r in range(0, 1024, 64)])
            assert np.array_equal(made, random)
            return reading.usage.requests - before, reading._fetcher.peak_bytes

    assert run(0)[0] >= 32  # each of 16 tiles in pieces
    for spare in (row, 2 * row):
        requests, held = run(spare)
        assert requests <= 4 + 1  # one for each row of tiles; the first bytes of the file are there
        assert held <= row // 2 + spare


@pytest.mark.parametrize("spare_bytes", [0, 2 * 2**19, 2**30])
def test_sweep_when_tiles_may_wait_then_they_are_the_same_and_the_room_is_given_back(
    tmp_path, spare_bytes, monkeypatch
):
    rooms = []
    made = Room
    monkeypatch.setattr(native, "Room", lambda size: rooms.append(made(size)) or rooms[-1])
    path = write_raster(tmp_path / "a.tif", pixels(), predictor=2)
    with session(tmp_path) as reading:
        (sweep,) = reading.sweep([Layer(str(path), RED, WHOLE, "nearest")], 16, spare_bytes=spare_bytes)
        strips = [sweep.rows(r, r + 16).copy() for r in range(0, SIZE, 16)]
        sweep.close()
    assert np.array_equal(np.concatenate(strips), pixels())
    (room,) = rooms
    assert room.take(min(spare_bytes, native._MOST_WAITING))
    assert not room.take(1)  # more of them would have heaps hold what nobody counts


def test_sweep_when_it_ends_early_then_the_room_of_its_tiles_is_given_back(tmp_path, monkeypatch):
    rooms = []
    made = Room
    monkeypatch.setattr(native, "Room", lambda size: rooms.append(made(size)) or rooms[-1])
    path = write_raster(tmp_path / "a.tif", pixels(), predictor=2)
    with session(tmp_path) as reading:
        (sweep,) = reading.sweep([Layer(str(path), RED, WHOLE, "nearest")], 16, spare_bytes=2**24)
        sweep.rows(0, 16)
        assert not rooms[0].take(2**24)
        sweep.close()
        assert rooms[0].take(2**24)


def test_sweep_when_cells_are_not_wanted_then_their_tiles_are_not_fetched(tmp_path):
    path = cog(tmp_path / "a.tif", pixels())
    cells = np.zeros((SIZE // 16 + 1, SIZE // 16 + 1), bool)
    cells[20, 20] = True  # within one tile
    with session(tmp_path) as reading:
        (sweep,) = reading.sweep([Layer(str(path), RED, WHOLE, "nearest", None, cells)], 64)
        assert sweep is not None
        for first in range(0, SIZE, 64):
            sweep.rows(first, first + 64, np.zeros((64, SIZE), bool))
        assert reading.usage.requests <= 2
    with session(tmp_path) as reading:
        assert reading.sweep([Layer(str(path), RED, WHOLE, "nearest", None, np.zeros_like(cells))], 64) == [None]


def test_windows_when_chips_share_tiles_then_each_tile_is_fetched_once(tmp_path):
    path = cog(tmp_path / "a.tif", pixels())
    boxes = [WHOLE.window(r, c, 48, 48) for r in range(0, 480, 48) for c in range(0, 480, 48)]
    with session(tmp_path) as reading:
        found = list(reading.windows([Layer(str(path), RED, b, "nearest") for b in boxes]))
        assert reading.usage.bytes < path.stat().st_size * 1.05
    for box, chip in zip(boxes, found, strict=True):
        row, col = int((TOP - box.top) / 10), int((box.left - LEFT) / 10)
        assert np.array_equal(chip, pixels()[row : row + 48, col : col + 48])


def test_read_when_pixels_are_floats_then_nan_stays_out(tmp_path):
    values = pixels("float32")
    values[100:200, 100:200] = np.nan
    path = write_raster(tmp_path / "a.tif", values, nodata=float("nan"), predictor=1)
    found, reading = read(path, WINDOWS["a shifted grid"], "bilinear", POWER)
    assert found.dtype == np.float32
    assert not reading.usage.notes
    assert np.isnan(found).any()
    assert np.nanmin(found) >= np.nanmin(values)


@pytest.mark.parametrize("resampling", KERNELS)
@pytest.mark.parametrize("box", ["its own grid", "a shifted grid", "the next zone"])
def test_read_when_floats_are_stored_as_differences_of_their_bytes_then_nothing_changes(tmp_path, box, resampling):
    values = pixels("float32") * np.float32(-1.37)
    values[100:200, 100:200] = np.nan
    (tmp_path / "plain").mkdir()
    plain = write_raster(tmp_path / "plain" / "a.tif", values, nodata=float("nan"), predictor=1)
    path = write_raster(tmp_path / "a.tif", values, nodata=float("nan"), predictor=3, blockxsize=128, blockysize=64)
    wanted, _ = read(plain, WINDOWS[box], resampling, POWER)
    found, reading = read(path, WINDOWS[box], resampling, POWER)
    np.testing.assert_array_equal(found, wanted)
    assert np.isfinite(found).any()
    assert not reading.usage.notes
    with session(tmp_path) as reading:
        (chip,) = reading.windows([Layer(str(path), POWER, WINDOWS[box], resampling)])
    np.testing.assert_array_equal(chip, wanted)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_read_when_a_file_is_cut_off_then_it_is_an_error_that_names_the_tile_or_range(tmp_path, share):
    path = cog(tmp_path / "a.tif", pixels())
    body = path.read_bytes()
    path.write_bytes(body[: int(len(body) * share)])
    with session(tmp_path) as reading, pytest.raises(SourceError, match=r"a\.tif"):
        reading.read(str(path), RED, WHOLE, resampling="nearest")


def test_read_when_a_tile_is_damaged_below_what_is_needed_then_only_those_who_need_it_fail(tmp_path):
    path = write_raster(tmp_path / "a.tif", pixels(), predictor=2)
    with rasterio.open(path) as file:
        start, size = (int(file.get_tag_item(f"BLOCK_{what}_0_0", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    body = bytearray(path.read_bytes())
    body[start + size - 1] ^= 0xFF  # of the check sum
    path.write_bytes(bytes(body))
    rows = TILE // 2  # where inflating stops there
    found, _ = read(path, WHOLE.window(0, 0, rows, TILE), "nearest")
    assert np.array_equal(found, pixels()[:rows, :TILE])
    for rows in (TILE * 9 // 10, TILE):
        with pytest.raises(SourceError, match=r"tile 0,0 \(bytes \d+ to \d+\) is damaged"):
            read(path, WHOLE.window(0, 0, rows, TILE), "nearest")


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_windows_when_nobody_asks_for_the_rest_then_what_was_planned_is_given_back(tmp_path, taken):
    path = cog(tmp_path / "a.tif", pixels())
    boxes = [WHOLE.window(r, c, 48, 48) for r in range(0, 480, 48) for c in range(0, 480, 48)]
    with session(tmp_path) as reading:
        windows = reading.windows([Layer(str(path), RED, b, "nearest") for b in boxes])
        for _ in range(taken):
            next(windows)
        windows.close()
        assert not reading._fetcher._slots
        assert np.array_equal(reading.read(str(path), RED, WHOLE, resampling="nearest"), pixels())


def test_read_when_a_size_in_the_header_is_absurd_then_nothing_is_fetched(tmp_path):
    path = write_raster(tmp_path / "a.tif", pixels(), predictor=2)
    body = bytearray(path.read_bytes())
    with rasterio.open(path) as file:
        sizes = [int(file.get_tag_item(f"BLOCK_SIZE_{c}_{r}", "TIFF", bidx=1)) for r in range(4) for c in range(4)]
    at = body.find(np.array(sizes, "<u4").tobytes())
    assert at > 0
    body[at : at + 4] = np.uint32(2**31).tobytes()
    path.write_bytes(bytes(body))
    with session(tmp_path) as reading, pytest.raises(SourceError, match="more than its pixels can take"):
        reading.read(str(path), RED, WHOLE, resampling="nearest")


def test_session_when_a_read_fails_then_nothing_is_left_running(tmp_path):
    path = cog(tmp_path / "a.tif", pixels())
    with session(tmp_path) as reading:
        reading.sweep([Layer(str(path), RED, WHOLE, "nearest")], 64)
    with pytest.raises((SourceError, RuntimeError)):
        reading.read(str(path), RED, WHOLE, resampling="nearest")


def test_session_when_threads_share_it_then_each_gets_its_own_pixels(tmp_path):
    paths = [cog(tmp_path / f"{n}.tif", pixels() // (n + 1) + 1) for n in range(4)]
    with session(tmp_path) as reading, ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(lambda p: reading.read(str(p), RED, WINDOWS["degrees"], resampling="bilinear"), paths * 3)
        )
    alone = [read(p, WINDOWS["degrees"])[0] for p in paths]
    assert all(np.array_equal(a, b) for a, b in zip(found, alone * 3, strict=True))


def patched(path: Path, change: Any) -> Path:
    """A file whose first directory and header are changed."""
    body = bytearray(path.read_bytes())
    change(body)
    path.write_bytes(bytes(body))
    return path


def directory(body: bytearray) -> tuple[int, int]:
    """Where the first directory of a little-endian classic TIFF is, and how many tags it has."""
    at = int.from_bytes(body[4:8], "little")
    return at, int.from_bytes(body[at : at + 2], "little")


def long_tag(body: bytearray) -> None:
    at, count = directory(body)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        if int.from_bytes(body[entry : entry + 2], "little") == 324:  # TileOffsets
            body[entry + 4 : entry + 8] = b"\xff" * 4


def circle(body: bytearray) -> None:
    at, count = directory(body)
    body[at + 2 + 12 * count : at + 6 + 12 * count] = at.to_bytes(4, "little")


def endless_table(body: bytearray) -> None:
    """A BigTIFF that says it has 2^40 tags."""
    body[:24] = b"II+\0\x08\0\0\0" + (16).to_bytes(8, "little") + (2**40).to_bytes(8, "little")


@pytest.mark.parametrize("change", [long_tag, circle, endless_table])
def test_read_when_headers_claim_what_cannot_be_then_they_end_in_an_error_or_in_gdal(tmp_path, change):
    """Each of these made the parser take all memory, or loop; GDAL refuses or repairs them."""
    path = patched(write_raster(tmp_path / "a.tif", pixels()), change)
    with session(tmp_path) as reading:
        found: Any = None
        with contextlib.suppress(SourceError):
            found = reading.read(str(path), RED, WHOLE, resampling="nearest")
        assert found is None or np.array_equal(found, pixels())
        assert any("read by GDAL: " in note for note in reading.usage.notes)


@pytest.mark.parametrize("nodata", ["nan", "inf", "-5.", "9e9"])
def test_read_when_nodata_is_no_number_of_the_file_then_the_band_has_its_own(tmp_path, nodata):
    values = pixels()
    values[:200] = 0
    path = write_raster(tmp_path / "a.tif", values, nodata=777)
    body = path.read_bytes()
    assert body.count(b"777\0") == 1
    path.write_bytes(body.replace(b"777\0", nodata.encode().ljust(4, b"\0")))
    box = WINDOWS["a shifted grid"]
    found, reading = read(path, box)
    assert not reading.usage.notes
    (tmp_path / "plain").mkdir()
    assert np.array_equal(found, read(write_raster(tmp_path / "plain" / "a.tif", values), box)[0])


def test_read_when_a_target_row_covers_gigapixels_then_it_is_an_error_before_memory_is_taken(tmp_path):
    size = 190_000
    path = tmp_path / "a.tif"
    profile = {
        "driver": "GTiff", "dtype": "uint16", "count": 1, "width": size, "height": size, "crs": CRS, "nodata": 0,
        "transform": Affine(10, 0, 100_000, 0, -10, 6_000_000), "tiled": True, "blockxsize": 1024, "blockysize": 1024,
        "sparse_ok": True, "compress": "deflate",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile):
        pass
    box = GeoBox(CRS, Fraction(100_000), Fraction(100_000), Fraction(6_000_000), (18, 18))
    for resampling in ("average", "nearest"):
        with pytest.raises(SourceError, match="too many to resample without finer overviews"):
            read(path, box, resampling)


def test_read_when_much_lies_under_few_rows_then_parts_of_a_strip_are_the_same(tmp_path, monkeypatch):
    path = write_raster(tmp_path / "a.tif", pixels())
    box = GeoBox("EPSG:32632", Fraction(40), Fraction(957_000), Fraction(5_218_000), (100, 90))
    wanted, _ = read(path, box, "average")
    monkeypatch.setattr(_strips, "_PART_BYTES", 2**15)
    found, _ = read(path, box, "average")
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("crs", "corner", "step"),
    [("EPSG:4326", (179.0, -16.0), 0.002), ("EPSG:3857", (20037508.34 - 512 * 150, -1812000.0), 150.0)],
)
@pytest.mark.parametrize("resampling", KERNELS)
def test_read_when_a_file_ends_at_the_antimeridian_then_a_window_over_it_has_its_last_pixels(
    tmp_path, crs, corner, step, resampling
):
    """Beyond it coordinates jump by the width of the globe, so the border of a window does not say what its middle needs."""
    transform = Affine(step, 0, corner[0], 0, -step, corner[1])
    path = write_raster(tmp_path / "a.tif", pixels(), crs=crs, transform=transform)
    box = GeoBox("EPSG:32760", Fraction(1000), Fraction(781_000), Fraction(8_253_000), (64, 64))
    whole, _ = read(path, box, resampling)
    parts = [read(path, box.window(0, c, 64, 16), resampling)[0] for c in range(0, 64, 16)]
    assert np.array_equal(whole, np.concatenate([np.zeros((64, 16)) if p is None else p for p in parts], axis=1))
    if resampling != "nearest":
        return
    x, y = np.meshgrid(*box.centers())
    x, y = Transformer.from_crs(box.crs, crs, always_xy=True).transform(x, y)
    cols, rows = np.floor((x - corner[0]) / step).astype(int), np.floor((corner[1] - y) / step).astype(int)
    inside = (cols >= 0) & (cols < SIZE) & (rows >= 0) & (rows < SIZE)
    wanted = np.where(inside, pixels()[np.clip(rows, 0, SIZE - 1), np.clip(cols, 0, SIZE - 1)], 0)
    assert inside.any()
    assert not inside.all()
    assert np.array_equal(whole, wanted)
