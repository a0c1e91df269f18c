"""Stored tiles as a model sees them: the same from every format, in bounded memory, and never another tile's."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geo_assets.errors import StoreError
from geo_assets.model.geometry import GeoBox
from geo_assets.model.mlm import InputBand
from geo_assets.model.prediction import StoredArray, TileArrays
from geo_assets.storage import Storage
from geo_assets.tasks import predict, tile_read
from geo_assets.tasks.predict import open_content, predicted
from geo_assets.tasks.tile_files import EXTENSIONS, TileArray, encode, extension
from geo_assets.tasks.tile_raster import TileRaster
from geo_assets.tasks.tile_read import read_array
from geo_assets.testing.model_files import months_model

BOX = GeoBox("EPSG:32633", Fraction(10), Fraction(500_020), Fraction(5_200_040), (150, 36))
BANDS = tuple(InputBand(n) for n in ("red", "swir16", "grndvi", "vh", "slope"))
DAYS = (20, 20 + 31, 200)


def arrays() -> dict[str, TileArray]:
    rng = np.random.default_rng(2)
    half = GeoBox(BOX.crs, Fraction(20), BOX.left, BOX.top, (75, 18))
    coarse = GeoBox(BOX.crs, Fraction(160), Fraction(499_840), Fraction(5_200_160), (11, 4))
    numbers: dict[str, Any] = {
        "s2_10": (rng.integers(0, 9_000, (3, *BOX.shape, 4)), BOX, ("blue", "green", "red", "nir"), DAYS),
        "s2_20": (rng.integers(0, 9_000, (3, 75, 18, 6)), half, ("rededge1", "rededge2", "rededge3", "nir08", "swir16", "swir22"), DAYS),
        "s1": (rng.integers(0, 9_000, (12, *BOX.shape, 2)), BOX, ("vv", "vh"), (45,) * 3 + (135,) * 3 + (225,) * 3 + (315,) * 3),
    }  # fmt: skip
    made = {
        name: TileArray(v.astype(np.uint16), ("time", "y", "x", "band"), box, bands, days, 0)
        for name, (v, box, bands, days) in numbers.items()
    }
    made["s1"].values[6:] = 0
    codes = rng.choice([4, 5, 9], (3, 11, 4)).astype(np.uint8)
    made["clouds"] = TileArray(codes, ("time", "y", "x"), coarse, (), DAYS, 0)
    made["dem"] = TileArray(rng.random(BOX.shape).astype(np.float32), ("y", "x"), BOX, (), (), float("nan"))
    return made


def stored(folder: Path, kind: str, **changed: TileArray) -> tuple[Storage, TileArrays]:
    storage, names = Storage(str(folder)), []
    for product, array in (arrays() | changed).items():
        for suffix, content in encode(array, kind).items():
            storage.write(f"tiles/{product}{suffix}", content)
        names.append(StoredArray(product, f"tiles/{product}{extension(array, kind)}", "k"))
    return storage, TileArrays(2023, tuple(names))


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_array_when_it_is_read_back_then_it_is_what_was_stored(kind, tmp_path):
    empty = replace(arrays()["s2_10"], values=np.zeros((0, *BOX.shape, 4), np.uint16), days=())
    storage, tile = stored(tmp_path, kind, s2_dates=TileArray(np.arange(3), ("time",)), none=empty)
    for product, array in (arrays() | {"s2_dates": TileArray(np.arange(3), ("time",)), "none": empty}).items():
        (name,) = [a.name for a in tile.arrays if a.product == product]
        found = read_array(storage, name)
        np.testing.assert_array_equal(found.values, array.values, strict=True)
        assert (found.dims, found.box, found.bands, found.days) == (array.dims, array.box, array.bands, array.days)


def test_months_when_the_format_is_another_then_they_are_the_same(tmp_path):
    found = []
    for kind in EXTENSIONS:
        storage, tile = stored(tmp_path / kind, kind)
        found.append(TileRaster(tile, BANDS, BOX, storage).read(slice(0, 150), slice(0, 36)))
    assert found[0].shape == (12, 5, 150, 36)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_model_of_windows_when_it_gives_what_it_is_given_then_no_window_is_seen(tmp_path, monkeypatch):
    """Strips are small here, so that windows and what is read ahead cross their borders."""
    storage, tile = stored(tmp_path, "npz")
    wanted = TileRaster(tile, BANDS, BOX, storage).read(slice(0, 150), slice(0, 36))
    monkeypatch.setattr(predict, "READ_AHEAD_BYTES", 12 * 5 * 36 * 4 * 21)
    content, item = months_model(BANDS, window=16)
    raster = TileRaster(tile, BANDS, BOX, storage)
    strip = predicted(open_content(item, content), raster)
    np.testing.assert_allclose(strip.scores, wanted.reshape(60, 150, 36), rtol=1e-6, atol=1e-7)


def test_notes_when_values_lack_then_they_say_of_which_bands_and_months(tmp_path):
    storage, tile = stored(tmp_path, "npz", dem=replace(arrays()["dem"], values=np.full(BOX.shape, np.nan, np.float32)))
    raster = TileRaster(replace(tile, notes=("said before",)), BANDS, BOX, storage)
    raster.read(slice(0, 150), slice(0, 36))
    said = raster.notes
    assert said[0] == "said before"
    assert "vh: no pixel has a value in the months 7, 8, 9, 10, 11, 12" in said
    assert "slope: no pixel has a value in the year" in said
    assert any(n.startswith("red, swir16, grndvi: ") and n.endswith("of the pixels lack a value") for n in said)


def test_tile_when_an_input_lacks_then_all_is_nodata_and_nothing_is_read(tmp_path):
    tile = TileArrays(2023, (StoredArray("dem", "tiles/lost.npz", "k"),), ("ard/dem: failed: no scene",))
    raster = TileRaster(tile, BANDS, BOX, Storage(str(tmp_path)))
    assert np.isnan(raster.read(slice(0, 9), slice(0, 9))).all()
    assert raster.notes == ("all is nodata: ard/dem: failed: no scene",)


def shifted(array: TileArray) -> TileArray:
    assert array.box is not None
    return replace(array, box=array.box.window(2, 0, *array.box.shape))


@pytest.mark.parametrize(
    ("product", "change"),
    [
        ("s2_10", shifted), ("s2_20", shifted), ("s1", shifted), ("dem", shifted),
        ("clouds", lambda a: replace(a, box=a.box.window(0, 5, *a.box.shape))),
        ("s2_10", lambda a: replace(a, days=(1, 2, 3))), ("s2_20", lambda a: replace(a, values=a.values[:2], days=DAYS[:2])),
        ("s1", lambda a: replace(a, values=a.values[:9], days=a.days[:9])), ("s1", lambda a: replace(a, bands=("vh", "vv"))),
        ("dem", lambda a: replace(a, values=a.values.astype(np.float64))),
    ],
)  # fmt: skip
def test_tile_when_an_array_is_another_then_it_is_refused_by_its_name(product, change, tmp_path):
    storage, tile = stored(tmp_path, "npz", **{product: change(arrays()[product])})
    with pytest.raises(StoreError, match=rf"{product}\.npz.*make the tile again"):
        TileRaster(tile, BANDS, BOX, storage)


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_array_when_it_is_lost_or_damaged_then_it_says_so(kind, tmp_path):
    storage, tile = stored(tmp_path, kind)
    name = tile.arrays[0].name
    for place in storage.names(name) if kind == "zarr" else [name]:
        content = storage.read(place)
        assert content is not None
        storage.write(place, content[: len(content) // 2])
    with pytest.raises(StoreError, match=rf"{name}.*make the tile again"):
        read_array(storage, name)
    for place in storage.names(name) if kind == "zarr" else [name]:
        storage.delete(place)
    with pytest.raises(StoreError, match=rf"{name}.*make the tile again"):
        read_array(storage, name)


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_array_when_it_is_larger_than_any_tile_then_it_is_not_unpacked(kind, tmp_path, monkeypatch):
    storage, tile = stored(tmp_path, kind)
    monkeypatch.setattr(tile_read, "MOST_BYTES", 1_000)
    with pytest.raises(StoreError, match="more than the 1000 of any tile"):
        read_array(storage, tile.arrays[0].name)
