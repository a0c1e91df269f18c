"""What only the reader ``gdal`` promises."""

import gc
import threading
from fractions import Fraction

import numpy as np
import psutil
import pytest
import rasterio
from affine import Affine

from geo_assets.errors import SourceError
from geo_assets.model.geometry import GeoBox
from geo_assets.readers import gdal
from geo_assets.readers.gdal import PLUGIN
from geo_assets.testing.conformance_reader import make_place, unsigned
from geo_assets.testing.rasters import CRS, LEFT, RED, TOP, WINDOWS, nearest, pixels, write_raster

__all__ = ["make_place"]


def read(place, href, box, resampling="nearest", band=RED):
    with PLUGIN.session(place.access, unsigned) as session:
        return session.read(str(href), band, box, resampling=resampling)


@pytest.mark.parametrize("window", WINDOWS)
def test_nearest_is_exact_everywhere(place, window):
    href = write_raster(place.inside / "a.tif", pixels())
    assert np.array_equal(read(place, href, WINDOWS[window]), nearest(pixels(), WINDOWS[window], 0))


@pytest.mark.parametrize("window", WINDOWS)
def test_pieces_of_a_large_gather_make_the_same_pixels(place, window, monkeypatch):
    href = write_raster(place.inside / "a.tif", pixels())
    whole = read(place, href, WINDOWS[window])
    monkeypatch.setattr(gdal, "_GATHER_PX", 2000)
    assert np.array_equal(read(place, href, WINDOWS[window]), whole)


def test_sparse_file_of_gigapixels_is_read_in_little_memory(place):
    profile = {"width": 190_000, "height": 190_000, "blockxsize": 1024, "blockysize": 1024, "SPARSE_OK": True}
    path = place.inside / "a.tif"
    with rasterio.open(path, "w", driver="GTiff", dtype="uint16", count=1, crs=CRS, tiled=True,
                       transform=Affine(10, 0, LEFT, 0, -10, TOP), compress="deflate", BIGTIFF="YES", **profile):  # fmt: skip
        pass
    box = GeoBox(CRS, Fraction(100_000), Fraction(LEFT), Fraction(TOP), (18, 18))
    before = psutil.Process().memory_info().rss
    assert not read(place, path, box).any()
    with pytest.raises(SourceError, match="overviews"):
        read(place, path, box, "bilinear")
    assert psutil.Process().memory_info().rss - before < 600 * 2**20


@pytest.mark.parametrize("options", [{"compress": "lzw", "predictor": 2}, {"tiled": False, "compress": "none"},
                                     {"blockxsize": 256, "blockysize": 64}, {"interleave": "band", "bigtiff": "yes"}])  # fmt: skip
def test_other_layouts_make_the_same_pixels(place, options):
    href = write_raster(place.inside / "a.tif", pixels(), **options)
    box = WINDOWS["its own grid"]
    assert np.array_equal(read(place, href, box, "bilinear"), nearest(pixels(), box, 0))


def test_rotated_file_is_read_where_it_lies(place):
    turned = Affine(10, 0, LEFT, 0, -10, TOP) @ Affine.rotation(30)
    href = write_raster(place.inside / "a.tif", pixels(), transform=turned)
    box = GeoBox(CRS, Fraction(10), Fraction(LEFT), Fraction(TOP), (100, 100))
    found = read(place, href, box)
    x, y = np.meshgrid(*box.centers())
    col, row = ~turned @ (x, y)
    inside = (row >= 0) & (col >= 0)
    assert np.array_equal(found[inside], pixels()[row[inside].astype(int), col[inside].astype(int)])
    assert not found[~inside].any()


def test_south_up_file_is_read_where_it_lies(place):
    href = write_raster(
        place.inside / "a.tif", pixels()[::-1].copy(), transform=Affine(10, 0, LEFT, 0, 10, TOP - 10 * 512)
    )
    box = WINDOWS["its own grid"]
    assert np.array_equal(read(place, href, box), nearest(pixels(), box, 0))


def test_jpeg2000_is_read_like_a_geotiff(place):
    values = (pixels() // 3).astype(np.uint16)
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES", "driver": "JP2OpenJPEG", "tiled": None, "compress": None}
    href = write_raster(place.inside / "a.jp2", values, nodata=None, **lossless)
    box = WINDOWS["its own grid"]
    assert np.array_equal(read(place, href, box), nearest(values, box, 0))


def test_overview_is_read_for_a_coarse_window(place):
    values = np.kron(pixels()[:128, :128], np.ones((4, 4), np.uint16))
    href = write_raster(place.inside / "a.tif", values, driver="COG", blocksize=128, tiled=None, blockxsize=None, blockysize=None,
                        compress="none", overview_resampling="nearest")  # fmt: skip
    box = GeoBox(CRS, Fraction(40), Fraction(LEFT), Fraction(TOP), (128, 128))
    with PLUGIN.session(place.access, unsigned) as session:
        found = session.read(str(href), RED, box, resampling="bilinear")
        assert np.array_equal(found, values[::4, ::4])
        assert session.usage.bytes < href.stat().st_size / 2


def test_session_is_refused_to_another_thread(place):
    href = str(write_raster(place.inside / "a.tif", pixels()))
    refused = []

    def other(session):
        with pytest.raises(RuntimeError, match="one thread"):
            session.read(href, RED, WINDOWS["its own grid"], resampling="nearest")
        refused.append(True)

    with PLUGIN.session(place.access, unsigned) as session:
        session.read(href, RED, WINDOWS["its own grid"], resampling="nearest")
        thread = threading.Thread(target=other, args=(session,))
        thread.start()
        thread.join()
    assert refused


def test_sessions_by_the_hundred_keep_nothing(place):
    href = str(write_raster(place.inside / "a.tif", pixels()))
    process, box = psutil.Process(), GeoBox(CRS, Fraction(10), Fraction(LEFT + 3), Fraction(TOP), (8, 8))

    def many(n):
        for _ in range(n):
            read(place, href, box, "bilinear")
        gc.collect()
        return process.memory_info().rss, process.num_fds()

    many(100)
    before, after = many(100), many(600)
    assert after[1] == before[1]
    assert after[0] - before[0] < 4 * 2**20
