"""Compiles what a worker needs and keeps it on disk, so that the first composite need not wait: ``python -m geo_assets.tasks.warm``."""

import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import rasterio
import shapely
from affine import Affine

from geo_assets.eo import series
from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access
from geo_assets.model.lonlat import to_lonlat
from geo_assets.model.recipe import CubeRecipe, MaskRecipe
from geo_assets.model.scene import Scene
from geo_assets.registry import load
from geo_assets.tasks.block import BlockPixels

_CRS, _LEFT, _TOP, _SIZE = "EPSG:32633", 500_000, 5_200_000, 128


def warm() -> float:
    """Makes tiny composites of computed pixels on several grids, and a tiny year; returns the seconds that it took."""
    began = time.perf_counter()
    sensor = load("sensors", "sentinel-2-l2a")
    with tempfile.TemporaryDirectory() as folder:
        scenes = [_scene(Path(folder), n) for n in range(2)]
        for box, cube, mask in _cases():
            with load("readers", "native").session(Access(roots=(folder,)), str) as session:
                wanted = np.ones(box.shape, bool)
                pixels = BlockPixels(box, wanted, scenes, sensor=sensor, cube=cube, mask=mask, session=session)
                made = dict(pixels.bands())
                if not made["red"].any():
                    raise RuntimeError(f"a composite on {box.crs} came out empty")
    _year()
    return time.perf_counter() - began


def _year() -> None:
    """Steps and months, of stored numbers and of reflectance, with a gap."""
    clear, days = np.ones((2, 8, 8), bool), [100, 130]
    for dtype in ("uint16", "float32"):
        steps = series.composites(np.ones((2, 1, 8, 8), dtype), clear, days, series.step_days(2024), nodata=0)
        if not np.allclose(series.monthly(steps), 1):
            raise RuntimeError("a year that does not change came out otherwise")


def _cases() -> Iterator[tuple[GeoBox, CubeRecipe, MaskRecipe]]:
    """The grids that change which loops run: the scenes' own, finer, coarser, and others."""
    own = GeoBox(_CRS, Fraction(10), Fraction(_LEFT + 100), Fraction(_TOP - 100), (64, 64))
    boxes = [
        own,
        GeoBox(_CRS, Fraction(10), Fraction(_LEFT + 95), Fraction(_TOP - 95), (64, 64)),
        GeoBox(_CRS, Fraction(20), Fraction(_LEFT), Fraction(_TOP), (32, 32)),
        GeoBox("EPSG:32632", Fraction(10), Fraction(957_000), Fraction(5_218_000), (96, 96)),
        *(GeoBox("EPSG:4326", Fraction(1, n), Fraction(15), Fraction(4695, 100), (48, 48)) for n in (9000, 3600, 2400)),
    ]
    plain, strict, mode = MaskRecipe(), MaskRecipe(preset="strict"), MaskRecipe(resampling="mode")
    for box in boxes:
        for resampling in ("bilinear", "cubic"):
            yield box, CubeRecipe(bands=["red", "nir"], resampling=resampling), plain
    yield own, CubeRecipe(bands=["red", "nir"], statistic="medoid", resampling="average"), strict
    yield boxes[-1], CubeRecipe(bands=["red", "nir"], statistic="mean", resampling="average"), plain
    yield own, CubeRecipe(bands=["red", "nir"], statistic="percentile", resampling="nearest"), plain
    yield boxes[2], CubeRecipe(bands=["red", "nir"], resampling="nearest"), mode


def _scene(folder: Path, number: int) -> Scene:
    """A scene whose pixels are counted."""
    profile = {
        "driver": "GTiff", "count": 1, "height": _SIZE, "width": _SIZE, "crs": _CRS, "transform": Affine(10, 0, _LEFT, 0, -10, _TOP), "nodata": 0,
        "tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", "predictor": 2,
    }  # fmt: skip
    values = np.arange(_SIZE * _SIZE).reshape(_SIZE, _SIZE) % 3000 + 100 + number
    hrefs = []
    for name, pixels in {"red": values, "nir": values, "scl": np.full_like(values, 4)}.items():
        path = folder / f"{name}-{number}.tif"
        dtype = "uint8" if name == "scl" else "uint16"
        with rasterio.open(path, "w", dtype=dtype, **profile) as file:
            file.write(pixels.astype(dtype), 1)
        hrefs.append((name, str(path)))
    side = _SIZE * 10
    footprint = to_lonlat(shapely.box(_LEFT, _TOP - side, _LEFT + side, _TOP), _CRS).wkb
    day = f"2024-06-0{number + 1}"
    return Scene(
        f"s{number}", "c", "sentinel-2-l2a", f"{day}T10:00:00Z", day, tuple(hrefs), -50 * number, "", footprint
    )


if __name__ == "__main__":
    sys.stderr.write(f"compiled loops are ready ({warm():.0f} s)\n")
