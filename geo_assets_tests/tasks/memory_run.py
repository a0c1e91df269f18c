"""A process that makes blocks of real size one after the other and says what memory each took; see ``test_block_memory``."""

import ctypes
import gc
import json
import re
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import rasterio
import shapely
from affine import Affine

from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access
from geo_assets.model.lonlat import to_lonlat
from geo_assets.model.recipe import CubeRecipe, MaskRecipe
from geo_assets.model.scene import Scene
from geo_assets.registry import load
from geo_assets.tasks.block import BlockPixels

CRS, LEFT, TOP, SIZE = "EPSG:32633", 500_000, 5_200_000, 4096


def scenes(folder: Path, count: int) -> list[Scene]:
    """Scenes of noise, which hardly gets smaller when deflated; every fourth has the same pixels under another name."""
    profile = {
        "driver": "GTiff", "count": 1, "height": SIZE, "width": SIZE, "crs": CRS, "transform": Affine(10, 0, LEFT, 0, -10, TOP), "nodata": 0,
        "tiled": True, "blockxsize": 1024, "blockysize": 1024, "compress": "deflate", "zlevel": 1,
    }  # fmt: skip
    footprint = to_lonlat(shapely.box(LEFT, TOP - SIZE * 10, LEFT + SIZE * 10, TOP), CRS).wkb
    found = []
    for n in range(count):
        hrefs = []
        for band, dtype in (("red", "uint16"), ("scl", "uint8")):
            path = folder / f"{band}-{n}.tif"
            if n < 4:
                random = np.random.default_rng(n)
                pixels = (
                    random.integers(100, 4196, (SIZE, SIZE))
                    if band == "red"
                    else random.choice([4, 5, 9], (SIZE, SIZE), p=[0.5, 0.4, 0.1])
                )
                with rasterio.open(path, "w", dtype=dtype, **profile) as file:
                    file.write(pixels.astype(dtype), 1)
            else:
                path.hardlink_to(folder / f"{band}-{n % 4}.tif")
            hrefs.append((band, str(path)))
        day = f"2024-06-{n + 1:02d}"
        found.append(Scene(f"s{n}", "c", "sentinel-2-l2a", f"{day}T10:00:00Z", day, tuple(hrefs), 0, "", footprint))
    return found


def memory_mb(field: str) -> float:
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def block(box: GeoBox, found: list[Scene], folder: Path, cube: CubeRecipe, threads: int) -> None:
    """Makes a block and drops its pixels."""
    sensor = load("sensors", "sentinel-2-l2a")
    with load("readers", "native").session(Access(roots=(str(folder),)), str) as session:
        session.threads = threads
        wanted = np.ones(box.shape, bool)
        for _, values in BlockPixels(
            box, wanted, found, sensor=sensor, cube=cube, mask=MaskRecipe(close_px=3, open_px=3), session=session
        ).bands():
            assert values.any()


def main() -> None:
    """Reads its orders as arguments: folder, CRS, size of a block, blocks a side, scenes, cube.memory_mb, threads."""
    folder, crs = Path(sys.argv[1]), sys.argv[2]
    size, side, count, memory, threads = map(int, sys.argv[3:])
    resolution = Fraction(1, 10_000) if crs == "EPSG:4326" else Fraction(10)
    west, north = (Fraction(15), Fraction(4694, 100)) if crs == "EPSG:4326" else (Fraction(LEFT), Fraction(TOP))
    whole = GeoBox(crs, resolution, west, north, (size * side, size * side))
    cube = CubeRecipe(bands=["red"], memory_mb=memory, crs=crs)
    found = scenes(folder, count)
    block(whole.window(0, 0, 64, 64), found[:2], folder, cube, threads)  # compiles
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    base, peaks = memory_mb("VmRSS"), []
    for n in range(side * side):
        Path("/proc/self/clear_refs").write_text("5")  # the mark begins anew
        block(whole.window(n // side * size, n % side * size, size, size), found, folder, cube, threads)
        peaks.append(round(memory_mb("VmHWM") - base, 1))
    sys.stdout.write(json.dumps(peaks))


if __name__ == "__main__":
    main()
