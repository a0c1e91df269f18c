"""What every reader plugin has to do: a test class that any package can run on its own plugin, offline."""
# ruff: noqa: D102 - the name of a test says what it checks

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import shapely
from affine import Affine

from geo_assets.eo.lattice import CELL_PX, phase
from geo_assets.errors import SourceError
from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access
from geo_assets.model.lonlat import to_lonlat
from geo_assets.model.plugin import Layer, Reader
from geo_assets.model.scene import Said
from geo_assets.testing.rasters import (
    BROKEN,
    CLASS_VALUES,
    CLASSES,
    CRS,
    LEFT,
    POWER,
    RED,
    SIZE,
    TOP,
    WINDOWS,
    corrupt,
    nearest,
    pixels,
    warped,
    write_raster,
)


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
        most_apart: Share of pixels that may differ by more than 1 with the window they are asked for with: next to a pixel's
            edge GDAL's warper, which computes coordinates to a tolerance, goes by the window.
    """

    least_equal = 0.999
    most_apart = 0.005

    def read(self, plugin: Reader, access: Access, href: object, band: Band, box: GeoBox, resampling: str) -> Any:
        with plugin.session(access, unsigned) as session:
            return session.read(str(href), band, box, resampling=resampling)

    def same(self, apart: Any) -> None:
        """Whether differences are as small as they have to be: none at all where ``most_apart`` is 0."""
        assert (apart > 1).mean() <= self.most_apart
        assert self.most_apart or not apart.any()

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
            self.same(apart)

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
        self.same(np.abs(found.astype(int) - whole))

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
            assert session.read(str(good), RED, box, resampling="nearest", said=Said(footprint)) is not None
            with pytest.raises(SourceError, match=r"a\.tif"):
                session.read(str(elsewhere), RED, box, resampling="nearest", said=Said(footprint))

    def test_a_broken_file_does_not_touch_the_others(self, plugin: Reader, place: Place) -> None:
        broken = corrupt(place.inside).rename(place.inside / "broken.tif")
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
        href, broken = write_raster(place.inside / "a.tif", pixels()), corrupt(place.outside)
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
