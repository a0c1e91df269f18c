"""Classes of real Sentinel-2 scenes on other grids, against GDAL's warper."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform_bounds

from geo_assets.model.geometry import GeoBox
from geo_assets.model.href import Access
from geo_assets.registry import load
from geo_assets.testing.conformance_reader import unsigned
from geo_assets.testing.rasters import CLASSES
from geo_assets_tests.realdata import real_data
from geo_assets_tests.tasks import oracle

pytestmark = pytest.mark.realdata
MARGIN, MOST = 20, 1200


def inner(href: str, crs: str, resolution: Fraction) -> GeoBox:
    """A window well inside of a scene, at most 1200 pixels a side."""
    with rasterio.open(href) as source:
        west, south, east, north = transform_bounds(source.crs, crs, *source.bounds)
    step = float(resolution)
    shape = tuple(min(MOST, int((b - a) / step) - 2 * MARGIN) for a, b in ((south, north), (west, east)))
    left, top = ceil(west / step) + MARGIN, floor(north / step) - MARGIN
    return GeoBox(crs, resolution, left * resolution, top * resolution, shape)


@pytest.mark.parametrize(
    ("crs", "resolution"),
    [
        ("EPSG:4326", "1/1200"),
        ("EPSG:4326", "1/3600"),
        ("EPSG:32632", "60"),
        ("EPSG:3035", "50"),
        ("EPSG:32633", "100"),
    ],
)
def test_classes_when_on_another_grid_then_only_ties_differ_from_gdal(crs, resolution):
    """GDAL's coordinates are off by up to 1e-4 pixels, so that a centre may fall on the other side of a pixel's edge."""
    roots, pixels, usual, exact = (str(real_data("stac").parent),), 0, 0, 0
    for item in oracle.read_items(real_data("stac", "s2-l2a-33t"))[:3]:
        href = item["assets"]["scl"]["href"]
        box = inner(href, crs, Fraction(resolution))
        with load("readers", "native").session(Access(roots=roots), unsigned) as session:
            found = session.read(href, CLASSES, box, resampling="nearest")
        step = float(box.resolution)
        x = float(box.left) + (np.arange(box.shape[1]) + 0.5) * step
        y = float(box.top) - (np.arange(box.shape[0]) + 0.5) * step
        pixels += found.size
        usual += np.count_nonzero(found != oracle.warped(href, x, y, crs, resampling="nearest", tolerance=1e-4))
        exact += np.count_nonzero(found != oracle.warped(href, x, y, crs, resampling="nearest", tolerance=1e-9))
    assert pixels > 500_000
    assert usual <= 1e-5 * pixels
    assert exact <= 1e-6 * pixels
