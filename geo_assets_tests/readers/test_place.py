"""Where a raster lies: headers that cannot be true, and headers that contradict the item."""

import dataclasses
import json
import logging
import math
import types

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from geo_assets.errors import SourceError
from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox
from geo_assets.model.lonlat import to_lonlat
from geo_assets.model.scene import Header, Said
from geo_assets.readers import gdal, native, stackstac
from geo_assets.readers._place import check_place
from geo_assets.testing.conformance_reader import make_place, unsigned
from geo_assets.testing.rasters import CRS, LEFT, RED, SIZE, TOP, WINDOWS, nearest, pixels, write_raster
from geo_assets_tests.eo.test_items import spiral

__all__ = ["make_place"]

SIDE = SIZE * 10
BOX = WINDOWS["its own grid"]
HERE = Affine(10, 0, LEFT, 0, -10, TOP)


def footprint(west=LEFT, east=LEFT + SIDE, north=TOP, south=TOP - SIDE, crs=CRS):
    return shapely.to_wkb(to_lonlat(shapely.box(west, south, east, north), crs))


@pytest.fixture(params=[native, gdal, stackstac], ids=["native", "gdal", "stackstac"])
def reader(request):
    return request.param.PLUGIN


@pytest.fixture
def read(reader, place):
    """Reads a file with its item's footprint; returns the pixels and what was noted."""

    def one(path, area, box=BOX):
        with reader.session(place.access, unsigned) as session:
            for _ in range(2):
                found = session.read(
                    str(path), RED, box, resampling="nearest", said=None if area is None else Said(area)
                )
            return found, session.usage.notes

    return one


@pytest.mark.parametrize("with_item", [True, False])
@pytest.mark.parametrize(
    ("transform", "cause"),
    [
        (Affine(10, 0, math.nan, 0, -10, TOP), "not finite"),
        (Affine(math.nan, 0, LEFT, 0, -10, TOP), "not finite"),
        (Affine(10, 0, LEFT, 0, -10, math.inf), "not finite"),
        (Affine(1e-9, 0, LEFT, 0, -1e-9, TOP), "1e-09 m large"),
        (Affine(1e9, 0, LEFT, 0, -1e9, TOP), "1e.09 m large"),
        (Affine(10, 0, LEFT, 0, -1e-9, TOP), "1e-09 m large"),
        (Affine(10, 0, 1e12, 0, -10, TOP), "nowhere on the globe"),
    ],
)
def test_read_when_the_header_is_nonsense_then_the_file_is_refused(read, place, transform, cause, with_item):
    path = write_raster(place.inside / "a.tif", pixels(), transform=transform)
    with pytest.raises(SourceError, match=rf"a\.tif: .*{cause}"):
        read(path, footprint() if with_item else None)


@pytest.mark.parametrize(
    "options",
    [
        {"transform": Affine(10, 0, LEFT + 200_000, 0, -10, TOP)},
        {"transform": Affine(10, 0, LEFT, 0, 10, TOP + 200_000)},
        {"crs": "EPSG:32632"},
        {"crs": "EPSG:32733"},
    ],
    ids=["200 km east", "200 km north and upside down", "the next zone", "the other hemisphere"],
)
def test_read_when_the_file_lies_elsewhere_than_its_item_then_both_places_are_named(read, place, options):
    path = write_raster(place.inside / "a.tif", pixels(), **options)
    with pytest.raises(
        SourceError, match=r"a\.tif: the file lies at .*, its item at 15\.00 46\.91 15\.07 46\.95.*one of them is wrong"
    ):
        read(path, footprint())


@pytest.mark.parametrize(
    ("east", "noted"), [(LEFT + SIDE / 3, False), (LEFT + SIDE + 150, False), (LEFT + 1.6 * SIDE, True)]
)
def test_read_when_file_and_footprint_agree_mostly_then_the_pixels_count(read, place, east, noted):
    wide = 8  # 40 km: the tolerance for simplified footprints, 1.5 km, hides nothing that is tested here
    path = write_raster(place.inside / "a.tif", pixels(), transform=Affine(10 * wide, 0, LEFT, 0, -10 * wide, TOP))
    area = footprint(east=LEFT + (east - LEFT) * wide, south=TOP - SIDE * wide)
    found, notes = read(path, area, GeoBox(CRS, BOX.resolution * wide, BOX.left, BOX.top, (100, 100)))
    assert found.any()
    assert len(notes) == noted
    assert all("% of its item's footprint" in note for note in notes)


def test_read_when_a_file_covers_less_than_half_of_its_item_then_it_is_refused(read, place):
    path = write_raster(place.inside / "a.tif", pixels())
    with pytest.raises(SourceError, match="one of them is wrong"):
        read(path, footprint(east=LEFT + 5 * SIDE, south=TOP - 5 * SIDE))


@pytest.mark.parametrize("written", ["EPSG:32601", "EPSG:32660"])
def test_read_when_the_scene_crosses_the_antimeridian_then_it_lies_where_its_item_is(read, place, written):
    lon, lat = (-180.0, 67.3) if written == "EPSG:32601" else (180.0, 67.3)
    x, y = transformer("EPSG:4326", written).transform(lon, lat)
    left, top = round(x, -1) - SIDE * 4, round(y, -1) + SIDE * 4
    area = footprint(left, left + SIDE * 8, top, top - SIDE * 8, written)
    assert shapely.get_num_geometries(shapely.from_wkb(area)) == 2
    right = write_raster(place.inside / "a.tif", pixels(), crs=written, transform=Affine(80, 0, left, 0, -80, top))
    box = GeoBox(written, BOX.resolution * 8, BOX.left * 0 + int(left), BOX.top * 0 + int(top), (64, 64))
    found, notes = read(right, area, box)
    assert np.array_equal(found, pixels()[:64, :64])
    assert not notes
    wrong = write_raster(
        place.inside / "b.tif", pixels(), crs=written, transform=Affine(80, 0, left + 200_000, 0, -80, top)
    )
    with pytest.raises(SourceError, match=r"its item at 17\d\.\d\d 6\d\.\d\d -17\d\.\d\d 6\d\.\d\d"):
        read(wrong, area, box)


def test_read_when_degrees_are_beyond_the_globe_then_the_file_is_refused(read, place):
    path = write_raster(place.inside / "a.tif", pixels(), crs="EPSG:4326", transform=Affine(0.8, 0, 500, 0, -0.8, 90))
    with pytest.raises(SourceError, match="nowhere on the globe"):
        read(path, None)


def test_read_when_the_file_covers_the_whole_globe_then_it_is_read(read, place):
    step = 360 / SIZE
    path = write_raster(
        place.inside / "a.tif", pixels(), crs="EPSG:4326", transform=Affine(step, 0, -180, 0, -step / 2, 90)
    )
    found, notes = read(path, footprint())
    assert found.any()
    assert not notes


def test_read_when_no_footprint_is_given_then_the_header_counts(read, place):
    found, notes = read(write_raster(place.inside / "a.tif", pixels()), None)
    assert np.array_equal(found, nearest(pixels(), BOX, 0))
    assert not notes


def test_read_when_a_tile_is_corrupt_then_no_name_of_ours_is_in_the_message(read, place):
    path = write_raster(place.inside / "a.tif", pixels())
    with rasterio.open(path) as source:
        offset = int(source.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 1000)
    with pytest.raises(SourceError, match=r"a\.tif: (cannot be read: |tile 1,1 .* is damaged)") as caught:
        read(path, footprint())
    assert "asset-" not in str(caught.value)


def test_gdals_warnings_are_not_shown():
    assert not logging.getLogger("rasterio._env").isEnabledFor(logging.WARNING)


@pytest.mark.timeout(20)
def test_check_place_when_a_footprint_is_tangled_then_refused_at_once():
    file = types.SimpleNamespace(transform=HERE, width=SIZE, height=SIZE)
    area = shapely.to_wkb(shapely.from_geojson(json.dumps(spiral())))
    with pytest.raises(SourceError, match=r"a\.tif: its item's footprint: .* crosses itself over 1,000 times"):
        check_place(file, CRS, Said(area), "a.tif")


SAME = Header("EPSG:32633", (10.0, 0.0, float(LEFT), 0.0, -10.0, float(TOP)), (SIZE, SIZE))


def told(header):
    return Said(footprint(), header)


@pytest.mark.parametrize(
    ("header", "differs"),
    [
        (SAME, None),
        (dataclasses.replace(SAME, crs="", shape=()), None),
        (Header(), None),
        (dataclasses.replace(SAME, crs="EPSG:32632"), "it is in EPSG:32633 by its header, in EPSG:32632 by its item"),
        (
            dataclasses.replace(SAME, transform=(10.0, 0.0, LEFT + 5.0, 0.0, -10.0, float(TOP))),
            "its transform is 10 0 ",
        ),
        (dataclasses.replace(SAME, shape=(SIZE, 2 * SIZE)), f"pixels by its header, {SIZE} x {2 * SIZE} by its item"),
    ],
)
def test_read_when_an_item_says_another_header_then_the_files_own_counts_and_it_is_noted(
    reader, place, header, differs
):
    path = write_raster(place.inside / "a.tif", pixels())
    with reader.session(place.access, unsigned) as session:
        for _ in range(2):
            found = session.read(str(path), RED, BOX, resampling="nearest", said=told(header))
            assert np.array_equal(found, nearest(pixels(), BOX, 0))
    if differs is None:
        assert session.usage.notes == []
    else:
        (note,) = session.usage.notes
        assert note.startswith(f"{path}: ")
        assert differs in note
        assert note.endswith("its pixels are used where its header says")
