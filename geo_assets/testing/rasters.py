"""Small rasters for tests of readers: computed pixels at one place, good ones and broken ones, and what is to be read of them."""

import os
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyproj
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.shutil import copy as copy_raster
from rasterio.vrt import WarpedVRT

from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox

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


def corrupt(folder: Path) -> Path:
    """A file one of whose tiles cannot be inflated."""
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
    "one corrupt tile": corrupt,
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
