"""``cube(level=...)``: the right pixels at the right places, and errors that list what there is."""

import json
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401 - registers the accessor
import xarray as xr

import geo_assets
from geo_assets.errors import ConfigError, StoreError
from geo_assets.model.geometry import Region
from geo_assets.model.levels import levels
from geo_assets_tests.tasks.filled import BANDS, MONTHS, Filled, project

REGION = "utm32n_r2000_c200"


def filled(folder: Path, region: str = REGION, **cube: object) -> Filled:
    world = project(folder, region, **cube)
    world.fill({world.blocks()[1]: [(0, 0), (2, 2)]})
    return world


@pytest.mark.parametrize(
    ("region", "cube"),
    [
        (REGION, {}),
        (REGION, {"layout": "stacked", "store": "zarr"}),
        ("epsg4326_r14_c63", {"crs": "EPSG:4326", "resolution": "1/60", "block_px": 60, "chunk_px": 20, "region_blocks": 3}),
    ],
    ids=["bands", "stacked", "degrees"],
)  # fmt: skip
def test_each_level_is_the_region_at_its_pixel_centres(tmp_path: Path, region: str, cube: dict[str, object]) -> None:
    world = filled(tmp_path, region, **cube)
    world.make()
    store = geo_assets.open(world.loaded.storage.root)
    for n, level in enumerate((world.grid, *levels(world.grid))):
        data = store.cube(level=n)
        box = level.region_geobox(Region.parse(region))
        xs, ys = box.centers()
        np.testing.assert_array_equal(data.x, xs)
        np.testing.assert_array_equal(data.y, ys)
        assert data.attrs["resolution"] == str(level.resolution)
        assert data.rio.crs.to_string() == level.crs
        np.testing.assert_allclose(data.rio.transform(), box.transform, rtol=0, atol=1e-9)
        assert [str(t)[:7] for t in data.time.values] == MONTHS
        for name in world.arrays:
            shown = data[name].sel(time="2024-01-01").to_numpy()
            stored = np.nan_to_num(shown / (1 if name == "n_clear" else 1e-4)).round()
            np.testing.assert_array_equal(stored, world.stored(name, level=n))
    names = ["composite"] if "layout" in cube else BANDS
    assert list(store.cube(level=1).data_vars) == [*names, "n_clear"]


def test_a_level_holds_the_regions_whose_pyramid_is_made(tmp_path: Path) -> None:
    world = filled(tmp_path)
    beside = Filled(world.loaded, "utm32n_r2000_c202")
    beside.fill({beside.blocks()[0]: [(0, 0)]})
    world.make()
    store = geo_assets.open(world.loaded.storage.root)
    assert (store.cube().sizes["x"], store.cube(level=2).sizes["x"]) == (3 * 256, 64)
    beside.make()
    assert store.cube(level=2).sizes["x"] == 3 * 64
    assert store.cube(level=2).attrs["regions"] == "utm32n_r2000_c200,utm32n_r2000_c202"
    assert store.cube(level=4).sizes["x"] == 3 * 16
    assert store.cube(level=1, chunks={}).red.chunks is not None


@pytest.mark.parametrize("level", [5, -1, 9])
def test_an_unknown_level_is_refused_with_those_that_there_are(tmp_path: Path, level: int) -> None:
    world = filled(tmp_path)
    store = geo_assets.open(world.loaded.storage.root)
    with pytest.raises(ConfigError, match=r"it has 0 \(pixels of 10\); run the project with --products pyramid"):
        store.cube(level=level)
    world.make()
    with pytest.raises(
        ConfigError, match=rf"no level {level} of utm32n; it has 0 \(pixels of 10\), .*, 4 \(pixels of 160\)$"
    ):
        store.cube(level=level)


def test_a_level_of_a_release_is_that_of_the_release(tmp_path: Path) -> None:
    world = filled(tmp_path)
    repo = world.loaded.cube._existing()
    repo.create_tag("before", snapshot_id=repo.lookup_branch("main"))
    world.make()
    repo.create_tag("v1", snapshot_id=repo.lookup_branch("main"))
    old = world.stored("red", level=1)
    world.fill({world.blocks()[1]: [(0, 0), (2, 2)]}, seed=9)
    world.make()
    store = geo_assets.open(world.loaded.storage.root)
    at = {"time": 0}
    np.testing.assert_array_equal(np.nan_to_num(store.cube(tag="v1", level=1).red[at] * 1e4).round(), old)
    assert not np.array_equal(store.cube(level=1).red[at], store.cube(tag="v1", level=1).red[at], equal_nan=True)
    with pytest.raises(ConfigError, match="no level 1"):
        store.cube(tag="before", level=1)
    with pytest.raises(StoreError, match="tag"):
        store.cube(tag="v2", level=1)


def test_the_group_describes_its_levels_as_the_conventions_say(tmp_path: Path) -> None:
    world = filled(tmp_path, store="zarr")
    world.make()
    folder = Path(world.loaded.storage.uri("cube"), "utm32n")
    attrs = json.loads((folder / "zarr.json").read_text())["attributes"]
    uuids = {c["name"]: c["uuid"] for c in attrs["zarr_conventions"]}
    assert uuids["multiscales"] == "d35379db-88df-4056-af3a-620245f8e347"
    assert attrs["proj:code"] == "EPSG:32632"
    layout = attrs["multiscales"]["layout"]
    assert [(e["asset"], e.get("derived_from")) for e in layout] == [
        (".", None),
        ("1", "."),
        ("2", "1"),
        ("3", "2"),
        ("4", "3"),
    ]
    for entry in layout:
        place = folder / entry["asset"]
        array = json.loads((place / "red" / "zarr.json").read_text())
        assert array["shape"][1:] == entry["spatial:shape"]
        own = json.loads((place / "zarr.json").read_text())["attributes"]
        assert own["spatial:transform"] == entry["spatial:transform"]
        opened = xr.open_zarr(str(place), consolidated=False, chunks=None, decode_coords="all").isel(
            y=slice(0, 4), x=slice(0, 4)
        )
        assert list(opened.rio.transform())[:6] == entry["spatial:transform"]


def test_xarray_opens_the_levels_as_groups(tmp_path: Path) -> None:
    world = filled(tmp_path)
    world.make()
    opened = xr.open_groups(world.loaded.cube.zarr_store(), engine="zarr", consolidated=False, group="utm32n")
    widths = {name.strip("/."): data.sizes["x"] for name, data in opened.items()}
    assert {name: widths[""] / width for name, width in widths.items()} == {"": 1, "1": 2, "2": 4, "3": 8, "4": 16}
