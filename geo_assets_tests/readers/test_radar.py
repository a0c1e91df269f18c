"""Files of radar products: a made-up one, a real one, and broken ones."""

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.shutil import copy as copy_raster

from geo_assets.eo.sar import Window
from geo_assets.errors import SourceError
from geo_assets.model.href import Access
from geo_assets.readers._radar import RadarFiles
from geo_assets.testing.radar_world import RadarWorld
from geo_assets_tests.realdata import real_data

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
WORLD = RadarWorld(shape=(300, 280))


@pytest.fixture
def product(tmp_path):
    return WORLD.write(tmp_path)


def opened(folder: Path) -> RadarFiles:
    return RadarFiles(Access(roots=(str(folder),)), lambda href: href)


def write(path, values, *, points=None, **options):
    profile = {
        "driver": "GTiff",
        "dtype": values.dtype,
        "count": 1,
        "height": values.shape[0],
        "width": values.shape[1],
    }
    with rasterio.open(path, "w", **{**profile, **options}) as sink:
        sink.write(values, 1)
        if points:
            sink.gcps = points, rasterio.crs.CRS.from_epsg(4326)
    return path


def test_image_when_windows_are_read_then_the_samples(product, tmp_path):
    with opened(tmp_path) as files:
        image = files.image(str(product["measurement"]))
        assert image.shape == (300, 280)
        np.testing.assert_array_equal(image.read(Window(17, 101, 140, 60)), WORLD.amplitudes[17:157, 101:161])
        np.testing.assert_array_equal(image.read(Window(299, 279, 1, 1)), WORLD.amplitudes[-1:, -1:])
        assert files.usage.bytes > 0


def test_points_when_file_has_them_then_those_of_the_world(product, tmp_path):
    with opened(tmp_path) as files:
        points = files.image(str(product["measurement"])).points()
    assert points.lines[[0, -1]].tolist() == [0, 299]
    lon, lat, height, _ = WORLD.place(np.array([[0]]), np.array([[279]]))
    assert (points.lon[0, -1], points.lat[0, -1]) == pytest.approx((lon[0, 0], lat[0, 0]), abs=1e-9)
    assert points.height[0, -1] == pytest.approx(height[0, 0], abs=1e-3)


def test_annotation_when_it_is_there_then_its_bytes(product, tmp_path):
    with opened(tmp_path) as files:
        assert files.annotation(str(product["noise"])) == WORLD.noise_xml().encode()


@pytest.mark.parametrize("kind", ["empty", "huge", "missing", "elsewhere"])
def test_annotation_when_it_is_no_annotation_then_source_error(tmp_path, kind):
    path = tmp_path / "a.xml"
    if kind in ("empty", "huge"):
        path.touch()
        os.truncate(path, 0 if kind == "empty" else 9 * 2**20)
    if kind == "elsewhere":
        path = Path("/etc/hostname")
    with opened(tmp_path) as files, pytest.raises(SourceError, match=path.name):
        files.annotation(str(path))


def vrt(folder):
    real = write(folder / "real.tif", np.ones((9, 9), np.uint16))
    with rasterio.open(real) as source:
        copy_raster(source, folder / "a.vrt", driver="VRT")
    return (folder / "a.vrt").rename(folder / "a.tiff")


def truncated(folder):
    path = WORLD.write(folder)["measurement"]
    os.truncate(path, path.stat().st_size * 2 // 3)
    return path


def giant(folder):
    profile = {"driver": "GTiff", "dtype": "uint16", "count": 1, "height": 2**14, "width": 2**14, "tiled": True}
    options = {"blockxsize": 2**14, "blockysize": 2**14, "SPARSE_OK": True, "compress": "deflate"}
    with rasterio.open(folder / "a.tiff", "w", **profile, **options):
        return folder / "a.tiff"


BROKEN = {
    "a VRT named .tiff": vrt,
    "missing": lambda folder: folder / "a.tiff",
    "truncated": truncated,
    "floats": lambda folder: write(folder / "a.tiff", np.ones((9, 9), np.float32)),
    "one giant tile": giant,
}


def whole(image):
    return image.read(Window(0, 0, *image.shape))


@pytest.mark.parametrize("case", BROKEN)
def test_image_when_broken_then_source_error_that_names_it(tmp_path, case):
    path = BROKEN[case](tmp_path)
    with opened(tmp_path) as files, pytest.raises(SourceError, match=path.name):
        whole(files.image(str(path)))


def test_image_when_window_is_larger_than_memory_allows_then_refused(product, tmp_path):
    with opened(tmp_path) as files, pytest.raises(SourceError, match="ask for smaller blocks"):
        files.image(str(product["measurement"])).read(Window(0, 0, 2**14, 2**14))


def test_points_when_there_are_none_or_not_in_degrees_then_said(tmp_path):
    write(tmp_path / "none.tiff", np.ones((9, 9), np.uint16))
    some = [GroundControlPoint(row=r, col=c, x=10 + c, y=50 - r, z=0) for r, c in ((0, 0), (0, 8), (8, 0))]
    write(tmp_path / "few.tiff", np.ones((9, 9), np.uint16), points=some)
    with opened(tmp_path) as files:
        with pytest.raises(SourceError, match=r"none\.tiff: no ground control points"):
            files.image(str(tmp_path / "none.tiff")).points()
        with pytest.raises(SourceError, match=r"few\.tiff: 3 points are no grid"):
            files.image(str(tmp_path / "few.tiff")).points()


def test_image_when_measurement_is_real_then_its_control_points_and_samples():
    folder = real_data("s1", "S1A_20180716_GRDH", "measurement")
    with opened(folder) as files:
        image = files.image(str(folder / "iw-vh.tiff"))
        assert image.shape == (837, 1280)
        points = image.points()
        assert points.lon.shape == (10, 21)
        assert points.height.max() > 700
        dn = image.read(Window(400, 600, 50, 60))
    with rasterio.open(folder / "iw-vh.tiff") as source:
        np.testing.assert_array_equal(dn, source.read(1)[400:450, 600:660])


def test_image_when_windows_share_tiles_then_each_is_fetched_once(tmp_path):
    """Tiles that lie beyond the file's first bytes, which are kept anyway: with a cache of no size each read fetches anew."""
    values = np.arange(512 * 512, dtype=np.uint16).reshape(512, 512)
    write(tmp_path / "a.tif", values, tiled=True, blockxsize=128, blockysize=128)
    write(tmp_path / "b.tif", values, tiled=True, blockxsize=128, blockysize=128)
    with opened(tmp_path) as files:
        images = [files.image(str(tmp_path / name)) for name in ("a.tif", "b.tif")]
        before = files.usage.bytes
        for _ in range(5):
            for image in images:
                np.testing.assert_array_equal(image.read(Window(300, 200, 90, 90)), values[300:390, 200:290])
        assert files.usage.bytes - before < 2 * 4.5 * 128 * 128 * 2
