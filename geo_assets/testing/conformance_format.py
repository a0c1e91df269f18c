"""What every format plugin has to do: a test class that any package can run on its own plugin, offline."""
# ruff: noqa: D102 - the name of a test says what it checks

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import xarray as xr

from geo_assets.errors import ConfigError
from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox
from geo_assets.model.image import Format, Image
from geo_assets.registry import load

SHAPE = (70, 300)
BOX = GeoBox("EPSG:32633", Fraction(10), Fraction(500_000), Fraction(5_200_000), SHAPE)
DEGREES = GeoBox("EPSG:4326", Fraction(1, 3600), Fraction(15), Fraction(47), SHAPE)
OPTICAL = Band("red", ("red",), 10, scale=0.0001, wavelength_um=0.665, quantity="surface_bidirectional_reflectance")
NIR = Band("nir", ("nir",), 10, scale=0.0001, wavelength_um=0.842, quantity="surface_bidirectional_reflectance")
LANDSAT = Band("red", ("red",), 30, scale=2.75e-5, offset=-0.2)
RADAR = Band("vv", ("vv",), 10, dtype="float32", nodata=math.nan)
CLASSES = Band(
    "map", ("map",), 10, dtype="uint8", unit="class", classes={10: "tree cover", 80: "water"}, colours={10: "#006400"}
)
BYTES = Band("count", ("count",), 10, dtype="uint8")
HEIGHT = Band("height", ("data",), 30, dtype="int16", nodata=-32768, unit="m")
CASES = {
    "optical": (BOX, (OPTICAL, NIR)), "with an offset": (BOX, (LANDSAT,)), "floats": (DEGREES, (RADAR,)), "classes": (BOX, (CLASSES,)),
    "negative nodata": (DEGREES, (HEIGHT,)),
}  # fmt: skip


def image(case: str) -> Image:
    """An image whose upper left quarter was not observed."""
    box, bands = CASES[case]
    rng = np.random.default_rng(7)
    values = []
    for band in bands:
        stored = rng.integers(1, 200, SHAPE).astype(band.dtype)
        stored[: SHAPE[0] // 2, : SHAPE[1] // 2] = band.fill
        values.append(stored)
    return Image(bands, values, box, "2024-02-29T10:06:01Z", {"GEO_ASSETS_CELL": "435U_120L"})


class FormatConformance:
    """Run it by a subclass with the fixture ``name``, of the plugin."""

    @pytest.fixture(params=sorted(CASES))
    def given(self, request: pytest.FixtureRequest) -> Image:
        return image(request.param)

    def read(self, folder: Path, image: Image, name: str) -> dict[str, np.ndarray[Any, Any]]:
        """Values by band as a user's library reads them, dims (y, x), NaN where not observed; and checks the place."""
        made: Format = load("formats", name)
        for suffix, content in made.encode(image).items():
            file = folder / f"image{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        main = folder / f"image{made.ending}"
        return _of_zarr(main, image) if main.is_dir() else _of_raster(main, image)

    def test_an_image_is_read_back_with_its_values_its_place_and_its_gaps(
        self, tmp_path: Path, given: Image, name: str
    ) -> None:
        found = self.read(tmp_path, given, name)
        for band, stored in zip(given.bands, given.values, strict=True):
            expected = stored.astype(np.float64) * band.scale + band.offset
            empty = np.isnan(stored) if band.floating else stored == band.fill
            np.testing.assert_allclose(found[band.name], np.where(empty, np.nan, expected), rtol=1e-6)

    def test_the_same_image_gives_the_same_bytes(self, given: Image, name: str) -> None:
        made: Format = load("formats", name)
        assert made.encode(given) == made.encode(given)

    def test_what_makes_it_complete_comes_last_and_lies_under_the_ending(self, given: Image, name: str) -> None:
        made: Format = load("formats", name)
        suffixes = list(made.encode(given))
        assert all(s.startswith(made.ending) for s in suffixes)
        assert len(suffixes) == 1 or suffixes[-1].endswith("zarr.json")

    def test_bands_of_several_types_are_kept_or_refused_in_words(self, tmp_path: Path, name: str) -> None:
        made: Format = load("formats", name)
        stored: list[np.ndarray[Any, Any]] = [np.ones(SHAPE, np.uint16), np.ones(SHAPE, np.float32)]
        mixed = Image((OPTICAL, RADAR), stored, BOX)
        if made.one_dtype:
            with pytest.raises(ConfigError, match="red uint16, vv float32"):
                made.encode(mixed)
        else:
            assert {*self.read(tmp_path, mixed, name)} == {"red", "vv"}

    def test_what_is_kept_with_it_can_be_read(self, tmp_path: Path, name: str) -> None:
        self.read(tmp_path, image("optical"), name)
        made: Format = load("formats", name)
        main = tmp_path / f"image{made.ending}"
        if main.is_dir():
            tags = xr.open_zarr(main).attrs
        else:
            with rasterio.open(main) as file:
                tags = file.tags()
        assert tags["GEO_ASSETS_CELL"] == "435U_120L"


def _of_raster(file: Path, image: Image) -> dict[str, np.ndarray[Any, Any]]:
    with rasterio.open(file) as source:
        assert source.crs.to_string() == image.box.crs
        assert source.transform.almost_equals(image.box.transform)
        assert source.descriptions == tuple(b.name for b in image.bands)
        stored = source.read(masked=True).astype(np.float64).filled(np.nan)
        return {
            band.name: stored[n] * source.scales[n] + source.offsets[n] for n, band in enumerate(image.bands)
        }  # fmt: skip


def _of_zarr(folder: Path, image: Image) -> dict[str, np.ndarray[Any, Any]]:
    found = {}
    with xr.open_zarr(folder) as cube:
        xs, ys = image.box.centers()
        np.testing.assert_array_equal(cube.x, xs)
        np.testing.assert_array_equal(cube.y, ys)
        assert cube.spatial_ref.attrs["crs_wkt"]
        for band in image.bands:
            values = cube[band.name].to_numpy().astype(np.float64)
            found[band.name] = np.where(values == band.fill, np.nan, values) if band.categorical else values
    return found
