"""The warper against GDAL's, against numpy, and against itself in pieces."""

from fractions import Fraction

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from scipy import ndimage

from geo_assets.eo.warp import Placement, Raster, Scale, coarsest, scale_of
from geo_assets.model.geometry import GeoBox

CRS, PLACE = "EPSG:32633", Affine(10, 0, 499_980, 0, -10, 5_200_020)
SIZE = 600
KERNELS = ("nearest", "bilinear", "cubic", "average")
BOXES = {
    "finer degrees": GeoBox(
        "EPSG:4326", Fraction(1, 9000), Fraction(15) + Fraction(5, 9000), Fraction(4693, 100), (300, 400)
    ),
    "coarser degrees": GeoBox(
        "EPSG:4326", Fraction(1, 3600), Fraction(15) - Fraction(17, 3600), Fraction(4697, 100), (260, 300)
    ),
    "the next zone": GeoBox("EPSG:32632", Fraction(10), Fraction(956_000), Fraction(5_219_000), (500, 500)),
    "the next zone, coarser": GeoBox("EPSG:32632", Fraction(15), Fraction(955_995), Fraction(5_219_010), (350, 350)),
    "mercator": GeoBox("EPSG:3857", Fraction(12), Fraction(1_670_000), Fraction(5_935_008), (400, 400)),
    "shifted by half": GeoBox(CRS, Fraction(10), Fraction(499_985), Fraction(5_200_015), (300, 300)),
    "doubled": GeoBox(CRS, Fraction(20), Fraction(499_980), Fraction(5_200_020), (320, 320)),
    "its own grid": GeoBox(CRS, Fraction(10), Fraction(499_900), Fraction(5_200_100), (620, 640)),
}


def picture(dtype: str = "uint16") -> np.ndarray:
    rng = np.random.default_rng(3)
    smooth = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 3)
    values = (smooth * 9000 + 2500 + rng.normal(size=(SIZE, SIZE)) * 40).clip(1, 20_000)
    values[100:180, 300:420] = 0
    values[rng.random(values.shape) < 0.002] = 0
    values[:, :23] = 0
    if dtype == "float32":
        return np.where(values == 0, np.nan, values / 10_000).astype(dtype)
    return (values / (100 if dtype == "uint8" else 1)).astype(dtype)


def gentle() -> np.ndarray:
    """Some 25 DN from pixel to pixel: how often GDAL's tolerance shows depends on nothing but the contrast."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(SIZE, SIZE)), 6)
    values = (smooth / np.abs(np.diff(smooth)).mean() * 25 + 3000).clip(1, 9000).astype(np.uint16)
    values[100:180, 300:420] = 0
    return values


def gdal(
    pixels: np.ndarray, box: GeoBox, resampling: str, scale: Scale, tolerance: float, *, place: Affine = PLACE
) -> np.ndarray:
    """GDAL's warper with the kernel's width given, since it guesses one from the window."""
    nodata = np.nan if pixels.dtype.kind == "f" else 0
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=pixels.shape[0],
            width=pixels.shape[1],
            count=1,
            dtype=pixels.dtype,
            crs=CRS,
            transform=place,
            nodata=nodata,
        ) as file:
            file.write(pixels, 1)
        with (
            memory.open() as file,
            WarpedVRT(
                file, crs=box.crs, transform=box.transform, width=box.shape[1], height=box.shape[0], resampling=Resampling[resampling],
                src_nodata=nodata, nodata=nodata, tolerance=tolerance, XSCALE=repr(scale.x), YSCALE=repr(scale.y),
            ) as view,
        ):  # fmt: skip
            return view.read(1)


def placed(
    box: GeoBox, resampling: str, *, place: Affine = PLACE, size: int = SIZE, nodata: float | None = 0
) -> Placement:
    scale = scale_of(box, CRS, place, (size, size))
    return Placement(box, Raster(CRS, place, (size, size), nodata), scale, resampling)


def warped(pixels: np.ndarray, box: GeoBox, resampling: str) -> np.ndarray:
    nodata = float("nan") if pixels.dtype.kind == "f" else 0
    return placed(box, resampling, nodata=nodata).warp(pixels, (0, 0), 0, box.shape[0], None, nodata)


@pytest.mark.parametrize("resampling", KERNELS)
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_warp_when_gdal_does_not_interpolate_coordinates_then_every_pixel_is_its_own(box, resampling):
    pixels = picture()
    scale = scale_of(box, CRS, PLACE, pixels.shape).snapped
    ours, theirs = warped(pixels, box, resampling), gdal(pixels, box, resampling, scale, 1e-9)
    assert (theirs > 0).mean() > 0.1
    ties = box.crs == CRS and resampling != "nearest"  # halves of integers, which GDAL's coordinates round either way
    assert (ours == theirs).mean() >= (0.999 if ties else 1)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("resampling", KERNELS)
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_warp_when_gdal_interpolates_within_its_tolerance_then_the_rest_is_within_1_dn(box, resampling):
    smooth = gentle()
    scale = scale_of(box, CRS, PLACE, smooth.shape).snapped
    ours, theirs = warped(smooth, box, resampling).astype(int), gdal(smooth, box, resampling, scale, 1e-4)
    assert (ours == theirs).mean() >= 0.998
    if resampling != "nearest":
        assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("resampling", KERNELS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_warp_when_pixels_are_of_another_type_then_it_is_gdals(dtype, resampling):
    box, pixels = BOXES["coarser degrees"], picture(dtype)
    ours = warped(pixels, box, resampling)
    theirs = gdal(pixels, box, resampling, scale_of(box, CRS, PLACE, pixels.shape).snapped, 1e-9)
    assert ours.dtype == theirs.dtype == np.dtype(dtype)
    assert np.allclose(ours, theirs, rtol=1e-6, atol=0, equal_nan=True)


@settings(max_examples=80)
@given(
    name=st.sampled_from(sorted(BOXES)), resampling=st.sampled_from(KERNELS), row=st.integers(0, 200), col=st.integers(0, 200),
    rows=st.integers(1, 60), cols=st.integers(1, 60), data=st.data(),
)  # fmt: skip
def test_warp_when_a_window_is_taken_alone_then_its_pixels_are_those_of_the_whole(
    name, resampling, row, col, rows, cols, data
):
    whole, pixels = BOXES[name], picture()
    part = placed(whole.window(row, col, rows, cols), resampling)
    first = data.draw(st.integers(0, rows - 1))
    end = data.draw(st.integers(first + 1, rows))
    low, high = part.span(first, end)
    left, right = part.columns()
    found = part.warp(pixels[low:high, left:right].copy(), (low, left), first, end, None, 0)
    wanted = placed(whole, resampling).warp(pixels, (0, 0), 0, whole.shape[0], None, 0)
    assert np.array_equal(found, wanted[row + first : row + end, col : col + cols])


@settings(max_examples=60)
@given(
    name=st.sampled_from(sorted(BOXES)),
    resampling=st.sampled_from(KERNELS),
    seed=st.integers(0, 1000),
    tile=st.sampled_from([32, 100, 256]),
)
def test_needs_when_only_some_cells_are_wanted_then_other_tiles_do_not_count(name, resampling, seed, tile):
    box, pixels = BOXES[name], picture()
    placement = placed(box, resampling)
    cells = (
        np.random.default_rng(seed).random(
            (-(-(box.shape[0] + placement._lattice.row) // 16), -(-(box.shape[1] + placement._lattice.col) // 16))
        )
        < 0.05
    )
    first, end = placement.needs(cells, (tile, tile))
    damaged = np.full_like(pixels, 7)
    for down, across in np.argwhere(end > first):
        rows, cols = slice(first[down, across], end[down, across]), slice(across * tile, (across + 1) * tile)
        damaged[rows, cols] = pixels[rows, cols]
    where = cells.repeat(16, 0).repeat(16, 1)[placement._lattice.row :, placement._lattice.col :][
        : box.shape[0], : box.shape[1]
    ]
    whole = placement.warp(pixels, (0, 0), 0, box.shape[0], where, 0)
    part = placement.warp(damaged, (0, 0), 0, box.shape[0], where, 0)
    assert np.array_equal(part[where], whole[where])
    if not cells.any():
        assert not (end > first).any()


def classes() -> np.ndarray:
    rng = np.random.default_rng(3)
    smooth = ndimage.gaussian_filter(rng.normal(size=(SIZE, SIZE)), 2)
    values = (np.digitize(smooth, np.quantile(smooth, [0.1, 0.3, 0.5, 0.7, 0.9])) + 2).astype(np.uint8)
    values[rng.random(values.shape) < 0.1] = 9
    values[100:180, 300:420] = 0
    values[rng.random(values.shape) < 0.01] = 0
    return values


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_warp_when_pixels_hold_whole_ones_then_mode_is_gdals(factor):
    box = GeoBox(CRS, Fraction(10 * factor), Fraction(499_980), Fraction(5_200_020), (SIZE // factor, SIZE // factor))
    pixels = classes()
    ours = warped(pixels, box, "mode")
    blocks = pixels.reshape(SIZE // factor, factor, SIZE // factor, factor)
    counts = np.sort([(blocks == k).sum(axis=(1, 3)) for k in range(1, 10)], axis=0)
    clear = counts[-1] > counts[-2]  # of several classes with as many pixels, GDAL takes another one
    theirs = gdal(pixels, box, "mode", scale_of(box, CRS, PLACE, pixels.shape).snapped, 1e-9)
    assert clear.mean() > 0.5
    assert np.array_equal(ours[clear], theirs[clear])
    assert np.array_equal(ours == 0, counts[-1] == 0)


def test_warp_when_pixels_are_cut_then_mode_counts_what_lies_inside():
    """GDAL 3.10 counts a pixel as one, however little of it lies inside; here pixels are cut into 5 m and counted by numpy."""
    pixels = classes()
    box = GeoBox(CRS, Fraction(25), Fraction(499_980), Fraction(5_200_020), (SIZE * 2 // 5, SIZE * 2 // 5))
    fine = pixels.repeat(2, 0).repeat(2, 1).reshape(box.shape[0], 5, box.shape[1], 5)
    counts = np.array([(fine == k).sum(axis=(1, 3)) for k in range(10)])
    counts[0] = 0
    ordered = np.sort(counts, axis=0)
    clear = ordered[-1] > ordered[-2]
    assert clear.mean() > 0.5
    assert np.array_equal(warped(pixels, box, "mode")[clear], counts.argmax(axis=0)[clear])


def test_warp_when_a_pixel_reaches_beyond_the_level_then_mode_counts_what_is_there():
    place, pixels = Affine(10, 0, 0, 0, -10, 20), np.array([[3, 4, 4], [3, 4, 4]], np.uint8)
    box = GeoBox(CRS, Fraction(35), Fraction(-15), Fraction(20), (1, 1))  # the first column and one more
    placement = Placement(box, Raster(CRS, place, (2, 3), 0), Scale(10 / 35, 10 / 35), "mode")
    assert placement.warp(pixels, (0, 0), 0, 1, None, 0).tolist() == [[3]]
    wider = Placement(
        box.__class__(CRS, Fraction(45), Fraction(-15), Fraction(20), (1, 1)),
        placement.raster,
        Scale(10 / 45, 10 / 45),
        "mode",
    )
    assert wider.warp(pixels, (0, 0), 0, 1, None, 0).tolist() == [[4]]


@settings(max_examples=40)
@given(name=st.sampled_from(sorted(BOXES)), row=st.integers(0, 200), col=st.integers(0, 200), rows=st.integers(1, 60))
def test_warp_when_a_window_of_classes_is_taken_alone_then_its_modes_are_those_of_the_whole(name, row, col, rows):
    whole, pixels = BOXES[name], classes()
    part = placed(whole.window(row, col, rows, 40), "mode")
    low, high = part.span(0, rows)
    left, right = part.columns()
    found = part.warp(pixels[low:high, left:right].copy(), (low, left), 0, rows, None, 0)
    wanted = placed(whole, "mode").warp(pixels, (0, 0), 0, whole.shape[0], None, 0)
    assert np.array_equal(found, wanted[row : row + rows, col : col + 40])
    assert set(np.unique(found)) <= set(np.unique(pixels))


def test_warp_when_a_pixel_is_not_wanted_then_it_stays_empty():
    box, pixels = BOXES["mercator"], picture()
    where = np.zeros(box.shape, bool)
    where[50:60, 30:200] = True
    found = placed(box, "bilinear").warp(pixels, (0, 0), 0, box.shape[0], where, 0)
    assert (found[where] > 0).mean() > 0.9
    assert not found[~where].any()


def test_warp_when_pixels_are_far_apart_then_coordinates_are_transformed_one_by_one():
    """Pixels of 20 km bend too much for parabolas over 16 of them."""
    box = GeoBox("EPSG:3035", Fraction(20_000), Fraction(4_000_000), Fraction(3_600_000), (64, 64))
    place, pixels = Affine(3000, 0, -400_000, 0, -3000, 6_400_000), picture()
    placement = placed(box, "nearest", place=place)
    assert placement._rough.any()
    found = placement.warp(pixels, (0, 0), 0, 64, None, 0)
    assert (found > 0).mean() > 0.5
    with rasterio.Env():
        theirs = gdal(pixels, box, "nearest", Scale(1, 1), 1e-9, place=place)
    assert np.array_equal(found, theirs)


@pytest.mark.parametrize("resampling", ["bilinear", "cubic"])
def test_warp_when_values_are_worked_out_by_hand_then_halves_go_up_and_nodata_stays_out(resampling):
    place = Affine(10, 0, 0, 0, -10, 20)
    pixels = np.array([[10, 21], [0, 31]], np.uint16)
    box = GeoBox("EPSG:32633", Fraction(10), Fraction(5), Fraction(20), (1, 1))
    placement = Placement(box, Raster(CRS, place, (2, 2), 0), Scale(1, 1), resampling)
    assert placement.warp(pixels, (0, 0), 0, 1, None, 0).tolist() == [[16]]  # 15.5
    below = Placement(box.window(1, 0, 1, 1), Raster(CRS, place, (2, 2), 0), Scale(1, 1), resampling)
    assert below.warp(pixels, (0, 0), 0, 1, None, 0).tolist() == [[31]]


def test_warp_when_a_result_would_be_nodata_then_it_is_one_more():
    place, box = Affine(10, 0, 0, 0, -10, 10), GeoBox(CRS, Fraction(20), Fraction(0), Fraction(20), (1, 1))
    pixels = np.array([[0, 1], [0, 0]], np.uint16)
    averaged = Placement(box, Raster(CRS, Affine(10, 0, 0, 0, -10, 20), (2, 2), None), Scale(0.5, 0.5), "average")
    assert averaged.warp(pixels, (0, 0), 0, 1, None, 0).tolist() == [[1]]
    assert place.a == 10


def test_coarsest_when_overviews_exist_then_none_coarser_than_the_target_is_taken():
    shapes = [(1000, 1000), (500, 500), (250, 250)]
    assert [coarsest(shapes, Scale(s, s)) for s in (1.2, 1.0, 0.51, 0.5, 0.3, 0.25, 0.01)] == [0, 0, 0, 1, 1, 2, 2]
