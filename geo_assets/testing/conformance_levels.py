"""What every cube store plugin has to do for pyramids, beside ``StoreConformance``."""
# ruff: noqa: D102 - the name of a test says what it checks

from typing import Any

import numpy as np
import odc.geo.xr  # noqa: F401 - registers the accessor
import pytest
import rioxarray  # noqa: F401 - registers the accessor
import xarray as xr
import zarr

from geo_assets.errors import StoreError
from geo_assets.model.levels import level_path, levels
from geo_assets.model.plugin import Cube, Store
from geo_assets.testing.conformance_store import (
    ATTRS,
    BLOCK,
    GROUP,
    VARIABLES,
    block,
    grid,
    made,
    periods,
    place,
    put,
    stored,
    write,
)  # fmt: skip


def level_of(cube: Cube, level: int) -> xr.Dataset:
    """A level of the group's pyramid as a user opens it."""
    data: xr.Dataset = xr.open_zarr(
        cube.zarr_store(), group=level_path(GROUP, level), consolidated=False, chunks=None, decode_coords="all",
        mask_and_scale=False,
    )  # fmt: skip
    return data


class LevelsConformance:
    """Subclass it with the fixtures ``plugin`` and ``uri``, a place where no cube is yet.

    Attributes:
        transactional: Whether a partition is seen whole or not at all.
    """

    transactional = True

    def test_levels_are_made_once_and_keep_what_is_there(self, plugin: Store, uri: str) -> None:
        cube = made(plugin, uri)
        put(plugin, cube, at=(1, 2), time=1, value=7)
        before = len(list(cube.history()))
        for _ in range(2):
            cube.prepare(ATTRS, GROUP, grid(), periods(), VARIABLES, levels(grid()))
            if self.transactional:
                assert len(list(cube.history())) == before + 1
        made(plugin, uri)  # as a run does that wants no levels
        assert cube.describe() == ATTRS
        assert np.array_equal(stored(cube, at=(1, 2), time=1), block(7))
        for n, level in enumerate(levels(grid()), 1):
            data = level_of(cube, n)
            assert data.red.shape == (3, *level.array_geobox().shape)
            assert data.red.encoding["shards"] == (1, level.block_px, level.block_px)
            assert data.red.encoding["chunks"] == (1, level.chunk_px, level.chunk_px)
            assert not data.red[0, :BLOCK, :BLOCK].any()

    def test_the_time_axes_of_levels_grow(self, plugin: Store, uri: str) -> None:
        cube = made(plugin, uri)
        cube.prepare(ATTRS, GROUP, grid(), periods(2), VARIABLES, levels(grid()))
        cube.prepare(ATTRS, GROUP, grid(), periods(5), VARIABLES, levels(grid()))
        assert [level_of(cube, n).sizes["time"] for n, _ in enumerate(levels(grid()), 1)] == [5] * len(levels(grid()))
        assert str(level_of(cube, 1).time.values[-1])[:10] == "2024-05-01"

    def test_levels_lie_on_the_pixel_grid_and_say_so(self, plugin: Store, uri: str) -> None:
        cube = made(plugin, uri)
        cube.prepare(ATTRS, GROUP, grid(), periods(), VARIABLES, levels(grid()))
        for n, level in enumerate(levels(grid()), 1):
            box = level.array_geobox().window(40, 60, 8, 8)
            data = level_of(cube, n).isel(y=slice(40, 48), x=slice(60, 68))
            assert np.array_equal(data.x, box.centers()[0])
            assert np.array_equal(data.y, box.centers()[1])
            assert data.rio.crs.to_epsg() == 32633
            assert data.rio.transform() == box.transform
            assert data.odc.geobox.affine == box.transform
        attrs = zarr.open_group(cube.zarr_store(), path=GROUP, mode="r").attrs
        layout: Any = attrs["multiscales"]
        assert [entry["asset"] for entry in layout["layout"]] == [".", *map(str, range(1, len(levels(grid())) + 1))]
        for entry, level in zip(layout["layout"], (grid(), *levels(grid())), strict=True):
            assert tuple(entry["spatial:shape"]) == level.array_geobox().shape
            assert tuple(entry["spatial:transform"]) == level.array_geobox().transform[:6]

    def test_levels_may_come_while_a_partition_is_being_made(self, plugin: Store, uri: str) -> None:
        cube = made(plugin, uri)
        session = cube.session(GROUP)
        changes = write(plugin, session.handle(), at=(0, 0), time=0, value=1)
        plugin.open(uri).prepare(ATTRS, GROUP, grid(), periods(), VARIABLES, levels(grid()))
        session.commit([changes], "partition", {})
        assert np.array_equal(stored(cube, at=(0, 0), time=0), block(1))
        assert level_of(cube, 1).red.ndim == 3

    def test_a_reader_sees_what_was_stored_and_what_one_other_task_wrote(self, plugin: Store, uri: str) -> None:
        cube = made(plugin, uri)
        put(plugin, cube, at=(0, 0), time=0, value=1)
        session = cube.session(GROUP)
        handle, changes = session.handle(), write(plugin, session.handle(), at=(0, 1), time=0, value=2)
        reader = plugin.reader(handle, changes)
        assert np.array_equal(reader.read("red", 0, *place(0, 0)), block(1))
        assert np.array_equal(reader.read("red", 0, *place(0, 1)), block(2))
        assert not reader.read("red", 1, *place(0, 1)).any()
        if self.transactional:
            assert not plugin.reader(handle).read("red", 0, *place(0, 1)).any()
            session.commit([changes], "partition", {})
            assert not plugin.reader(handle).read("red", 0, *place(0, 1)).any()

    def test_a_reader_names_an_array_that_is_not_there(self, plugin: Store, uri: str) -> None:
        reader = plugin.reader(made(plugin, uri).session(GROUP).handle())
        with pytest.raises(StoreError, match="1/red"):
            reader.read("1/red", 0, *place(0, 0))
