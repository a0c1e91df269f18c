"""What every reader plugin has to do: a test class that any package can run on its own plugin, offline."""
# ruff: noqa: D102 - the name of a test says what it checks

import itertools
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.enums import Resampling
from rasterio.shutil import copy as copy_raster
from rasterio.vrt import WarpedVRT

from geo_assets.eo.lattice import CELL_PX, phase
from geo_assets.errors import SourceError
from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access
from geo_assets.model.lonlat import to_lonlat
from geo_assets.model.plugin import Layer, Reader

CRS, LEFT, TOP, SIZE, TILE = "EPSG:32633", 500_000, 5_200_000, 512, 128
RED = Band("red", ("red",), 10, scale=1e-4)
CLASSES = Band("scl", ("scl",), 10, dtype="uint8", unit="class")
POWER = Band("vv", ("vv",), 10, dtype="float32", nodata=float("nan"))
CLASS_VALUES = (1, 4, 5, 6, 8, 9, 11)

WINDOWS = {
    "its own grid": GeoBox(CRS, Fraction(10), Fraction(500_640), Fraction(5_199_040), (200, 260)),
    "beyond its edge": GeoBox(CRS, Fraction(10), Fraction(499_500), Fraction(5_200_320), (120, 150)),
    "a shifted grid": GeoBox(CRS, Fraction(10), Fraction(500_643), Fraction(5_199_037), (200, 260)),
    "a finer grid": GeoBox(CRS, Fraction(10, 3), Fraction(501_001), Fraction(5_198_111), (160, 130)),
    "the next zone": GeoBox("EPSG:32632", Fraction(10), Fraction(957_000), Fraction(5_218_000), (180, 190)),
    "degrees": GeoBox("EPSG:4326", Fraction(1, 9000), Fraction(1502, 100), Fraction(4693, 100), (200, 210)),
}


def pixels(dtype: str = "uint16") -> npt.NDArray[Any]:
    """Computed pixels without structure, so that a pixel taken from next door shows."""
    random = np.random.default_rng(5)
    if dtype == "uint8":
        return random.choice(np.array(CLASS_VALUES, np.uint8), (SIZE, SIZE))
    if dtype == "float32":
        return random.gamma(2.0, 0.05, (SIZE, SIZE)).astype(np.float32)
    return random.integers(1, 9000, (SIZE, SIZE)).astype(dtype)


def write_raster(path: Path, values: npt.NDArray[Any], *, nodata: float | None = 0, **options: Any) -> Path:
    """A tiled, deflated GeoTIFF of pixels at the usual place; options override the profile."""
    profile: dict[str, Any] = {
        "driver": "GTiff", "dtype": values.dtype, "count": 1, "height": values.shape[-2], "width": values.shape[-1],
        "crs": CRS, "transform": Affine(10, 0, LEFT, 0, -10, TOP), "nodata": nodata,
        "tiled": True, "blockxsize": TILE, "blockysize": TILE, "compress": "deflate",
    }  # fmt: skip
    with rasterio.open(path, "w", **{**profile, **options}) as sink:
        sink.write(values if values.ndim == 3 else values[None])
    return path


def nearest(values: npt.NDArray[Any], box: GeoBox, fill: float) -> npt.NDArray[Any]:
    """Pixels at floor(row), floor(column) of each target centre, worked out one by one."""
    x, y = np.meshgrid(*box.centers())
    if box.crs != CRS:
        x, y = pyproj.Transformer.from_crs(box.crs, CRS, always_xy=True).transform(x, y)
    col, row = np.floor((x - LEFT) / 10).astype(int), np.floor((TOP - y) / 10).astype(int)
    inside = (row >= 0) & (row < SIZE) & (col >= 0) & (col < SIZE)
    picked = values[np.clip(row, 0, SIZE - 1), np.clip(col, 0, SIZE - 1)]
    return np.where(inside, picked, np.asarray(fill, values.dtype))


def kernel_scale(box: GeoBox) -> tuple[float, float]:
    """Target pixels a source pixel in x and y at the middle of the file: what the width of a kernel follows."""
    x, y = LEFT + SIZE * 5.0, TOP - SIZE * 5.0
    xs, ys = np.array([x - 5, x + 5, x, x]), np.array([y, y, y + 5, y - 5])
    if box.crs != CRS:
        xs, ys = pyproj.Transformer.from_crs(CRS, box.crs, always_xy=True).transform(xs, ys)
    step = float(box.resolution)
    return float(np.hypot(xs[1] - xs[0], ys[1] - ys[0])) / step, float(np.hypot(xs[3] - xs[2], ys[3] - ys[2])) / step


def warped(path: Path, box: GeoBox, resampling: str, nodata: float) -> npt.NDArray[Any]:
    """What rasterio makes of a file at tolerance 1e-4.

    The width of the kernel is given: GDAL's own guess comes from the size of the window, and is wrong for one that is
    turned against the source or reaches beyond it.
    """
    wide, high = kernel_scale(box)
    with (
        rasterio.open(path) as source,
        WarpedVRT(
            source, crs=box.crs, transform=box.transform, width=box.shape[1], height=box.shape[0],
            resampling=Resampling[resampling], src_nodata=nodata, nodata=nodata, tolerance=1e-4,
            XSCALE=repr(wide), YSCALE=repr(high),
        ) as vrt,
    ):  # fmt: skip
        found: npt.NDArray[Any] = vrt.read(1)
    return found


def _truncated(folder: Path) -> Path:
    path = write_raster(folder / "a.tif", pixels())
    os.truncate(path, path.stat().st_size * 2 // 3)
    return path


def _cut_header(folder: Path) -> Path:
    path = write_raster(folder / "a.tif", pixels())
    os.truncate(path, 40)
    return path


def _corrupt(folder: Path) -> Path:
    path = write_raster(folder / "a.tif", pixels())
    with rasterio.open(path) as source:
        offset = int(source.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
        length = int(source.get_tag_item("BLOCK_SIZE_1_1", "TIFF", bidx=1))
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * length)
    return path


def _vrt(folder: Path) -> Path:
    real = write_raster(folder / "real.tif", pixels())
    with rasterio.open(real) as source:
        copy_raster(source, folder / "a.vrt", driver="VRT")
    return Path(shutil.move(folder / "a.vrt", folder / "a.tif"))


def _huge(folder: Path, side: int, tile: int) -> Path:
    profile = {
        "driver": "GTiff",
        "dtype": "uint16",
        "count": 1,
        "crs": CRS,
        "transform": Affine(10, 0, LEFT, 0, -10, TOP),
    }
    with rasterio.open(
        folder / "a.tif", "w", **profile, width=side, height=side, tiled=True, blockxsize=tile, blockysize=tile,
        SPARSE_OK=True, compress="deflate", BIGTIFF="YES",
    ):  # fmt: skip
        return folder / "a.tif"


def _placed(folder: Path, transform: Affine) -> Path:
    return write_raster(folder / "a.tif", pixels(), transform=transform)


def _text(folder: Path) -> Path:
    (folder / "a.tif").write_text("<html>sign in</html>")
    return folder / "a.tif"


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "a.tif")
    return folder / "a.tif"


def _folder(folder: Path) -> Path:
    (folder / "a.tif").mkdir()
    return folder / "a.tif"


BROKEN: dict[str, Callable[[Path], Path]] = {
    "missing": lambda folder: folder / "a.tif",
    "empty": lambda folder: Path(shutil.copy(os.devnull, folder / "a.tif")),
    "truncated": _truncated,
    "cut in its header": _cut_header,
    "one corrupt tile": _corrupt,
    "other numbers": lambda folder: write_raster(folder / "a.tif", pixels("float32")),
    "no CRS": lambda folder: write_raster(folder / "a.tif", pixels(), crs=None),
    "no place": lambda folder: write_raster(folder / "a.tif", pixels(), transform=Affine.identity()),
    "a place that is no number": lambda folder: _placed(folder, Affine(10, 0, float("nan"), 0, -10, TOP)),
    "pixels of a nanometre": lambda folder: _placed(folder, Affine(1e-9, 0, LEFT, 0, -1e-9, TOP)),
    "pixels larger than the globe": lambda folder: _placed(folder, Affine(1e9, 0, LEFT, 0, -1e9, TOP)),
    "a place that is not on the globe": lambda folder: _placed(folder, Affine(10, 0, 1e12, 0, -10, TOP)),
    "a VRT named .tif": _vrt,
    "a sign-in page": _text,
    "three layers": lambda folder: write_raster(folder / "a.tif", np.stack([pixels()] * 3), count=3),
    "a gigapixel header": lambda folder: _huge(folder, 300_000, 4096),
    "one giant tile": lambda folder: _huge(folder, 40_000, 40_000),
    "a pipe": _pipe,
    "a folder": _folder,
}


@dataclass(frozen=True)
class Place:
    """A folder that may be read, and one beside it that may not."""

    inside: Path
    outside: Path

    @property
    def access(self) -> Access:
        """Reads the one folder."""
        return Access(roots=(str(self.inside),))


@pytest.fixture(name="place")
def make_place(tmp_path: Path) -> Place:
    """Two folders."""
    place = Place(tmp_path / "inside", tmp_path / "outside")
    place.inside.mkdir()
    place.outside.mkdir()
    return place


def unsigned(href: str) -> str:
    """Signs nothing."""
    return href


class ReaderConformance:
    """Subclass it with the fixture ``plugin``, and import the fixture ``make_place`` beside it.

    Attributes:
        least_equal: Share of pixels that nearest has to take exactly from where their centre lies.
    """

    least_equal = 0.999

    def read(self, plugin: Reader, access: Access, href: object, band: Band, box: GeoBox, resampling: str) -> Any:
        with plugin.session(access, unsigned) as session:
            return session.read(str(href), band, box, resampling=resampling)

    @pytest.mark.parametrize("window", WINDOWS)
    @pytest.mark.parametrize("dtype", ["uint16", "uint8", "float32"])
    def test_nearest_takes_the_pixel_under_the_centre(
        self, plugin: Reader, place: Place, window: str, dtype: str
    ) -> None:
        band = {"uint16": RED, "uint8": CLASSES, "float32": POWER}[dtype]
        fill = 0 if band.nodata == 0 else float("nan")
        href = write_raster(place.inside / "a.tif", pixels(dtype), nodata=fill)
        found = self.read(plugin, place.access, href, band, WINDOWS[window], "nearest")
        wanted = nearest(pixels(dtype), WINDOWS[window], fill)
        assert found.dtype == wanted.dtype
        assert found.shape == wanted.shape
        same: Any = (found == wanted) | ((found != found) & (wanted != wanted))
        assert same.mean() >= (1 if window in ("its own grid", "beyond its edge") else self.least_equal)

    @pytest.mark.parametrize("window", WINDOWS)
    @pytest.mark.parametrize("resampling", ["bilinear", "cubic", "average"])
    def test_kernels_agree_with_rasterio(self, plugin: Reader, place: Place, window: str, resampling: str) -> None:
        href = write_raster(place.inside / "a.tif", pixels())
        found = self.read(plugin, place.access, href, RED, WINDOWS[window], resampling)
        wanted = warped(href, WINDOWS[window], resampling, 0)
        assert found.dtype == wanted.dtype
        assert np.array_equal(found == 0, wanted == 0)
        # Neighbours differ by thousands here, and rasterio's coordinates are right to 1e-4 pixels only
        assert np.abs(found.astype(int) - wanted).max() <= 1
        assert (found == wanted).mean() > 0.7

    @pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "average"])
    @pytest.mark.parametrize("window", ["the next zone", "degrees", "a finer grid"])
    def test_a_pixel_does_not_depend_on_the_window(
        self, plugin: Reader, place: Place, window: str, resampling: str
    ) -> None:
        href, whole = write_raster(place.inside / "a.tif", pixels()), WINDOWS[window]
        full = self.read(plugin, place.access, href, RED, whole, resampling).astype(int)
        for row, col, rows, cols in ((0, 0, 16, 130), (33, 47, 90, 21), (101, 5, 7, 7)):
            part = self.read(plugin, place.access, href, RED, whole.window(row, col, rows, cols), resampling)
            apart = np.abs((0 if part is None else part) - full[row : row + rows, col : col + cols])
            assert (apart > 1).mean() <= 0.005  # next to a pixel's edge the warper's tolerance counts

    @pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "average"])
    @pytest.mark.parametrize("window", WINDOWS)
    def test_strips_make_the_whole(self, plugin: Reader, place: Place, window: str, resampling: str) -> None:
        href, box = str(write_raster(place.inside / "a.tif", pixels())), WINDOWS[window]
        edges = [0, 16, 17, 80, box.shape[0]]
        with plugin.session(place.access, unsigned) as session:
            whole = session.read(href, RED, box, resampling=resampling)
            (sweep,) = session.sweep([Layer(href, RED, box, resampling)], 16)
            assert sweep is not None
            strips = [sweep.rows(a, b) for a, b in itertools.pairwise(edges)]
            sweep.close()
        empty = [np.zeros((b - a, box.shape[1]), np.uint16) for a, b in itertools.pairwise(edges)]
        found = np.concatenate([e if s is None else s for s, e in zip(strips, empty, strict=True)])
        assert whole is not None
        assert (np.abs(found.astype(int) - whole) > 1).mean() <= 0.005

    @pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
    def test_many_windows_are_as_each_alone(self, plugin: Reader, place: Place, resampling: str) -> None:
        hrefs = [str(write_raster(place.inside / f"{i}.tif", pixels() // (i + 1) + 1)) for i in range(2)]
        whole = WINDOWS["the next zone"]
        boxes = [whole.window(r, c, 32, 32) for r in range(0, 160, 32) for c in range(0, 160, 32)]
        boxes += [whole.window(-4000, 0, 16, 16), whole.window(10, 150, 64, 64)]
        layers = [Layer(href, RED, box, resampling) for href in hrefs for box in boxes]
        with plugin.session(place.access, unsigned) as session:
            found = list(session.windows(layers))
            alone = [session.read(a.href, RED, a.box, resampling=resampling) for a in layers]
        assert len(found) == len(layers)
        for one, other in zip(found, alone, strict=True):
            assert (one is None and other is None) or np.array_equal(one, other)  # type: ignore[arg-type]
        assert sum(one is not None and one.any() for one in found) > len(boxes)

    def test_pixels_that_are_not_wanted_do_not_matter(self, plugin: Reader, place: Place) -> None:
        href, box = str(write_raster(place.inside / "a.tif", pixels())), WINDOWS["the next zone"]
        where = np.zeros(box.shape, bool)
        where[70:90, 100:] = True
        row, col = phase(box)
        cells = np.pad(where, ((row, -(row + box.shape[0]) % CELL_PX), (col, -(col + box.shape[1]) % CELL_PX)))
        chosen: Any = cells.reshape(cells.shape[0] // CELL_PX, CELL_PX, -1, CELL_PX).any(axis=(1, 3))
        with plugin.session(place.access, unsigned) as session:
            whole = session.read(href, RED, box, resampling="bilinear")
            (sweep,) = session.sweep([Layer(href, RED, box, "bilinear", None, chosen)], 64)
            assert sweep is not None
            assert whole is not None
            for first in range(0, box.shape[0], 64):
                part = where[first : first + 64]
                strip = sweep.rows(first, first + len(part), part)
                if part.any():
                    assert strip is not None
                    assert np.array_equal(strip[part], whole[first : first + 64][part])
            sweep.close()

    def test_classes_are_never_mixed_whatever_is_asked_for(self, plugin: Reader, place: Place) -> None:
        href = write_raster(place.inside / "a.tif", pixels("uint8"))
        for box in WINDOWS.values():
            found = self.read(plugin, place.access, href, CLASSES, box, "bilinear")
            assert set(np.unique(found)) <= {0, *CLASS_VALUES}
            assert np.array_equal(found, self.read(plugin, place.access, href, CLASSES, box, "nearest"))

    @pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
    @pytest.mark.parametrize("window", ["its own grid", "the next zone"])
    def test_nodata_of_the_file_becomes_nodata_of_the_band(
        self, plugin: Reader, place: Place, window: str, resampling: str
    ) -> None:
        values = pixels()
        values[100:300, 80:200] = 65535
        href = write_raster(place.inside / "a.tif", values, nodata=65535)
        found = self.read(plugin, place.access, href, RED, WINDOWS[window], resampling)
        hole = nearest((values == 65535).astype(np.uint16), WINDOWS[window], 1).astype(bool)
        assert (found == 0).any()
        assert (found[hole] == 0).mean() >= self.least_equal
        assert found.max() < 9001

    def test_nodata_of_the_band_counts_where_the_file_names_none(self, plugin: Reader, place: Place) -> None:
        values = pixels()
        values[:, ::2] = 0
        href = write_raster(place.inside / "a.tif", values, nodata=None)
        found = self.read(plugin, place.access, href, RED, WINDOWS["a shifted grid"], "bilinear")
        assert found[found > 0].min() >= values[values > 0].min()  # no 0 was mixed into a neighbour

    @pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
    def test_a_window_out_of_reach_has_no_pixel(self, plugin: Reader, place: Place, resampling: str) -> None:
        href = write_raster(place.inside / "a.tif", pixels())
        for left, top in ((700_000, 5_200_000), (500_000, 4_000_000), (490_000, 5_200_000)):
            box = GeoBox(CRS, Fraction(10), Fraction(left), Fraction(top), (50, 50))
            found = self.read(plugin, place.access, href, RED, box, resampling)
            assert found is None or not found.any()

    @pytest.mark.parametrize("fault", BROKEN)
    def test_a_broken_file_is_a_source_error_that_names_it(self, plugin: Reader, place: Place, fault: str) -> None:
        href = BROKEN[fault](place.inside)
        for shift in (0, 3):  # the warper reads another way than a copy of whole pixels
            box = GeoBox(CRS, Fraction(10), Fraction(LEFT + shift), Fraction(TOP - shift), (SIZE, SIZE))
            with pytest.raises(SourceError, match=r"a\.tif"):
                self.read(plugin, place.access, href, RED, box, "bilinear")

    @pytest.mark.parametrize(
        "header",
        [{"transform": Affine(10, 0, LEFT + 200_000, 0, -10, TOP)}, {"crs": "EPSG:32632"}],
        ids=["east", "zone"],
    )
    def test_a_file_that_lies_elsewhere_than_its_item_is_refused(
        self, plugin: Reader, place: Place, header: dict[str, Any]
    ) -> None:
        footprint = to_lonlat(shapely.box(LEFT, TOP - SIZE * 10, LEFT + SIZE * 10, TOP), CRS).wkb
        good, box = write_raster(place.inside / "good.tif", pixels()), WINDOWS["its own grid"]
        elsewhere = write_raster(place.inside / "a.tif", pixels(), **header)
        with plugin.session(place.access, unsigned) as session:
            assert session.read(str(good), RED, box, resampling="nearest", footprint=footprint) is not None
            with pytest.raises(SourceError, match=r"a\.tif"):
                session.read(str(elsewhere), RED, box, resampling="nearest", footprint=footprint)

    def test_a_broken_file_does_not_touch_the_others(self, plugin: Reader, place: Place) -> None:
        broken = _corrupt(place.inside).rename(place.inside / "broken.tif")
        good = write_raster(place.inside / "a.tif", pixels())
        box = WINDOWS["its own grid"]
        with plugin.session(place.access, unsigned) as session:
            for _ in range(2):
                with pytest.raises(SourceError):
                    session.read(str(broken), RED, box, resampling="nearest")
                found: Any = session.read(str(good), RED, box, resampling="nearest")
                assert np.array_equal(found, nearest(pixels(), box, 0))

    @pytest.mark.parametrize("form", ["{}", "file://{}", "/vsicurl/file://{}", "/vsisubfile/0_99,{}", "{inside}/../outside/a.tif",
                                      "{inside}/link.tif", "<VRTDataset>{}</VRTDataset>", "GTIFF_RAW:{}"])  # fmt: skip
    def test_no_address_leads_out_of_the_catalogs_folder(self, plugin: Reader, place: Place, form: str) -> None:
        secret = write_raster(place.outside / "a.tif", pixels())
        (place.inside / "link.tif").symlink_to(secret)
        href = form.format(secret, inside=place.inside)
        with plugin.session(place.access, unsigned) as session:
            with pytest.raises(SourceError):
                session.read(href, RED, WINDOWS["its own grid"], resampling="nearest")
            assert session.usage.bytes == 0

    def test_reading_is_counted(self, plugin: Reader, place: Place) -> None:
        href = write_raster(place.inside / "a.tif", pixels())
        with plugin.session(place.access, unsigned) as session:
            session.read(str(href), RED, WINDOWS["its own grid"], resampling="nearest")
            assert session.usage.notes or session.usage.bytes > 50_000
            assert session.usage.notes or session.usage.requests > 0

    def test_nothing_is_left_open(self, plugin: Reader, place: Place) -> None:
        href, broken = write_raster(place.inside / "a.tif", pixels()), _corrupt(place.outside)
        access = Access(roots=(str(place.inside), str(place.outside)))
        before = {f.path for f in psutil.Process().open_files()}
        for _ in range(3):
            self.read(plugin, access, href, RED, WINDOWS["the next zone"], "bilinear")
            with pytest.raises(SourceError):
                self.read(plugin, access, broken, RED, WINDOWS["its own grid"], "nearest")
        assert {f.path for f in psutil.Process().open_files()} <= before

    def test_two_threads_read_what_one_reads(self, plugin: Reader, place: Place) -> None:
        hrefs = [str(write_raster(place.inside / f"{i}.tif", pixels() // (i + 1) + 1)) for i in range(3)]
        boxes = [WINDOWS["its own grid"], WINDOWS["the next zone"]]

        def work(_: int) -> list[Any]:
            with plugin.session(place.access, unsigned) as session:
                return [session.read(href, RED, box, resampling="bilinear") for href in hrefs for box in boxes]

        with ThreadPoolExecutor(2) as pool:
            several = list(pool.map(work, range(4)))
        alone = work(0)
        for found in several:
            assert all(np.array_equal(a, b) for a, b in zip(found, alone, strict=True))
