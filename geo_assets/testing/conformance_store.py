"""What every cube store plugin has to do: test classes that any package can run on its own plugin, offline."""
# ruff: noqa: D102 - the name of a test says what it checks

import contextlib
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Sequence
from fractions import Fraction
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import odc.geo.xr  # noqa: F401 - registers the accessor
import pytest
import rioxarray  # noqa: F401 - registers the accessor
import xarray as xr

from geo_assets import registry
from geo_assets.errors import StoreError
from geo_assets.model.geometry import GeoBox, PixelGrid
from geo_assets.model.period import Month, Periods
from geo_assets.model.plugin import Cube, Store, Variable

BLOCK = 64
GROUP = "utm33n"
ATTRS = {"title": "a cube", "geo_assets": {"start": "2024-01"}}
SECRET_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
VARIABLES = (
    Variable("red", "uint16", 0, {"long_name": "red", "scale_factor": 0.0001, "add_offset": 0.0, "_FillValue": 0}),
    Variable("n_clear", "uint16", 0, {"units": "1"}),
)


def grid(crs: str = "EPSG:32633", resolution: Fraction = Fraction(10)) -> PixelGrid:
    """Small blocks in regions of 8 x 8."""
    return PixelGrid(crs, resolution, BLOCK, 32, 8)


def periods(count: int = 3) -> Periods:
    """Months from 2024-01."""
    return Periods(Month.parse("2024-01"), 1, count)


def place(row: int, col: int) -> tuple[slice, slice]:
    """Rows and columns of a block somewhere in the middle of the zone."""
    at = 4096 * BLOCK + row * BLOCK, 512 * BLOCK + col * BLOCK
    return slice(at[0], at[0] + BLOCK), slice(at[1], at[1] + BLOCK)


def block(value: int) -> npt.NDArray[np.uint16]:
    """Computed pixels that depend on a number."""
    numbers = np.arange(BLOCK * BLOCK, dtype=np.uint16) * np.uint16(31) + np.uint16(value)
    pixels: npt.NDArray[np.uint16] = np.maximum(numbers.reshape(BLOCK, BLOCK), np.uint16(1))
    return pixels


def made(plugin: Store, uri: str, count: int = 3) -> Cube:
    """A cube with one group."""
    cube = plugin.open(uri)
    cube.prepare(ATTRS, GROUP, grid(), periods(count), VARIABLES)
    return cube


def write(plugin: Store, handle: bytes, *, at: tuple[int, int], time: int, value: int) -> bytes:
    """What a worker does: one block of one month."""
    writer = plugin.writer(handle)
    for variable in VARIABLES:
        writer.write(variable.name, time, *place(*at), block(value))
    return writer.changes()


def put(plugin: Store, cube: Cube, *, at: tuple[int, int], time: int, value: int) -> str:
    """What a driver does: one partition of one block."""
    session = cube.session(GROUP)
    changes = write(plugin, session.handle(), at=at, time=time, value=value)
    return session.commit([changes], f"block {at} {time}", {"product": "composite", "value": value})


def stored(cube: Cube, *, at: tuple[int, int], time: int, variable: str = "red") -> npt.NDArray[Any]:
    """Stored numbers of one block."""
    data = opened(cube, mask_and_scale=False)
    values: npt.NDArray[Any] = data[variable][(time, *place(*at))].values
    return values


def opened(cube: Cube, **options: Any) -> xr.Dataset:
    """The group as a user opens it."""
    data: xr.Dataset = xr.open_zarr(cube.zarr_store(), group=GROUP, consolidated=False, chunks=None, **options)
    return data


class StoreConformance:
    """Subclass it with the fixtures ``plugin`` and ``uri``, a place where no cube is yet.

    Attributes:
        transactional: Whether a partition is seen whole or not at all.
    """

    transactional = True

    def test_there_is_no_cube_before_one_is_made(self, plugin: Store, uri: str) -> None:
        cube = plugin.open(uri)
        assert cube.describe() is None
        assert list(cube.history()) == []

    def test_prepare_makes_a_cube_and_may_be_repeated(self, plugin: Store, uri: str) -> None:
        cube = made(plugin, uri)
        assert cube.describe() == ATTRS
        before = len(list(cube.history()))
        made(plugin, uri)
        assert len(list(plugin.open(uri).history())) == before
        cube.prepare(ATTRS, "epsg4326", grid("EPSG:4326", Fraction(1, 3600)), periods(), VARIABLES)
        assert plugin.open(uri).describe() == ATTRS

    def test_what_is_committed_is_read_back_and_the_rest_is_fill(self, plugin: Store, uri: str) -> None:
        cube = made(plugin, uri)
        put(plugin, cube, at=(1, 2), time=1, value=7)
        for again in (cube, plugin.open(uri)):
            for variable in VARIABLES:
                assert np.array_equal(stored(again, at=(1, 2), time=1, variable=variable.name), block(7))
            assert not stored(again, at=(1, 2), time=0).any()
            assert not stored(again, at=(1, 3), time=1).any()

    def test_many_tasks_make_one_commit(self, plugin: Store, uri: str) -> None:
        cube = made(plugin, uri)
        before = len(list(cube.history()))
        session = cube.session(GROUP)
        changes = [write(plugin, session.handle(), at=(i, 0), time=0, value=i) for i in range(4)]
        session.commit(changes, "partition", {"run": "r1"})
        for i in range(4):
            assert np.array_equal(stored(cube, at=(i, 0), time=0), block(i))
        if self.transactional:
            history = list(cube.history())
            assert len(history) == before + 1
            assert history[0]["message"] == "partition"
            assert history[0]["metadata"] == {"run": "r1"}

    def test_a_partition_can_be_replaced(self, plugin: Store, uri: str) -> None:
        cube = made(plugin, uri)
        put(plugin, cube, at=(0, 0), time=0, value=1)
        put(plugin, cube, at=(0, 0), time=0, value=2)
        assert np.array_equal(stored(cube, at=(0, 0), time=0), block(2))

    def test_the_time_axis_grows_and_keeps_what_is_there(self, plugin: Store, uri: str) -> None:
        cube = made(plugin, uri, 2)
        put(plugin, cube, at=(0, 0), time=1, value=5)
        made(plugin, uri, 6)
        made(plugin, uri, 3)  # a shorter span takes nothing away
        cube = plugin.open(uri)
        assert opened(cube).sizes["time"] == 6
        assert str(opened(cube).time.values[-1])[:10] == "2024-06-01"
        put(plugin, cube, at=(0, 0), time=5, value=6)
        assert np.array_equal(stored(cube, at=(0, 0), time=1), block(5))
        assert np.array_equal(stored(cube, at=(0, 0), time=5), block(6))

    def test_a_worker_that_is_dropped_leaves_nothing(self, plugin: Store, uri: str) -> None:
        cube = made(plugin, uri)
        session = cube.session(GROUP)
        good = write(plugin, session.handle(), at=(0, 0), time=0, value=1)
        write(plugin, session.handle(), at=(1, 0), time=0, value=2)
        if self.transactional:
            assert not stored(cube, at=(0, 0), time=0).any()
        session.commit([good], "partial", {})
        assert np.array_equal(stored(cube, at=(0, 0), time=0), block(1))
        if self.transactional:
            assert not stored(cube, at=(1, 0), time=0).any()

    def test_a_commit_without_changes_is_none(self, plugin: Store, uri: str) -> None:
        cube = made(plugin, uri)
        before = list(cube.history())
        cube.session(GROUP).commit([], "nothing", {})
        assert list(cube.history()) == before

    def test_two_tasks_never_write_the_same_block_in_silence(self, plugin: Store, uri: str) -> None:
        if not self.transactional:
            pytest.skip("each write counts by itself")
        session = made(plugin, uri).session(GROUP)
        changes = [write(plugin, session.handle(), at=(0, 0), time=0, value=i) for i in range(2)]
        with pytest.raises(StoreError, match="two tasks"):
            session.commit(changes, "partition", {})

    def test_two_runs_of_one_block_do_not_overwrite_in_silence(self, plugin: Store, uri: str) -> None:
        if not self.transactional:
            pytest.skip("each write counts by itself")
        cube = made(plugin, uri)
        sessions = [cube.session(GROUP), plugin.open(uri).session(GROUP)]
        changes = [write(plugin, s.handle(), at=(0, 0), time=0, value=i) for i, s in enumerate(sessions)]
        sessions[0].commit([changes[0]], "first", {})
        with pytest.raises(StoreError):
            sessions[1].commit([changes[1]], "second", {})
        assert np.array_equal(stored(cube, at=(0, 0), time=0), block(0))

    @pytest.mark.parametrize("at", [(10**6, 0), (0, 10**6)], ids=["rows", "columns"])
    def test_a_write_outside_is_refused(self, plugin: Store, uri: str, at: tuple[int, int]) -> None:
        session = made(plugin, uri).session(GROUP)
        with pytest.raises(StoreError):
            write(plugin, session.handle(), at=at, time=0, value=1)
        with pytest.raises(StoreError):
            write(plugin, session.handle(), at=(0, 0), time=3, value=1)

    def test_handles_and_changes_are_small_and_hold_no_secret(
        self, plugin: Store, uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cube = made(plugin, uri)
        session = cube.session(GROUP)
        changes = write(plugin, session.handle(), at=(0, 0), time=0, value=1)
        assert len(pickle.dumps(session.handle())) < 20_000
        for name in SECRET_NAMES:
            value = os.environ.get(name, "")
            for sent in (session.handle(), changes):
                assert not value or value.encode() not in sent

    def test_the_storage_can_be_probed(self, plugin: Store, uri: str) -> None:
        probe: Callable[[], str] = plugin.open(uri).probe
        assert probe()
        assert plugin.open(uri).describe() is None
        made(plugin, uri)
        assert probe()

    def test_georeference_is_read_by_rioxarray_and_odc(self, plugin: Store, uri: str) -> None:
        cube = made(plugin, uri)
        put(plugin, cube, at=(0, 0), time=0, value=9)
        rows, cols = place(0, 0)
        data = opened(cube, decode_coords="all").isel(y=rows, x=cols)
        array = grid().array_geobox()
        box = array.window(rows.start, cols.start, BLOCK, BLOCK)
        assert np.array_equal(data.x, box.centers()[0])
        assert np.array_equal(data.y, box.centers()[1])
        assert data.rio.crs.to_epsg() == 32633
        assert data.rio.transform() == box.transform
        found = data.odc.geobox
        assert found.crs.epsg == 32633
        assert found.affine == box.transform
        assert found.shape == (BLOCK, BLOCK)
        assert np.allclose(data.red[0], block(9) * 1e-4)
        assert float(data.red.isel(time=1).notnull().sum()) == 0

    def test_degrees_are_read_at_pixel_centres(self, plugin: Store, uri: str) -> None:
        cube, degrees = plugin.open(uri), grid("EPSG:4326", Fraction(1, 3600))
        cube.prepare(ATTRS, "epsg4326", degrees, periods(), VARIABLES)
        data = xr.open_zarr(cube.zarr_store(), group="epsg4326", consolidated=False, chunks=None, decode_coords="all")
        whole: GeoBox = degrees.array_geobox()
        assert data.x.shape == (whole.shape[1],)
        assert float(data.x[0]) == -180 + 1 / 7200
        assert float(data.y[0]) == 90 - 1 / 7200
        assert data.rio.crs.to_epsg() == 4326
        assert data.x.attrs["units"] == "degrees_east"


def commit_some(kind: str, uri: str, row: int, count: int, sink: Connection) -> None:
    """A process that commits blocks of one row, and says so after each."""
    plugin: Store = registry.load("stores", kind)
    cube = plugin.open(uri)
    cube.describe()
    sink.send("ready")
    sink.recv()
    for col in range(count):
        put(plugin, cube, at=(row, col), time=0, value=100 * row + col)
        sink.send((row, col))
    sink.close()


class LocalStoreConformance(StoreConformance):
    """Further tests for stores on a local disk; the fixture ``kind`` is the plugin's name and ``uri`` a path."""

    kills = 20
    processes = 8

    def start(self, kind: str, uri: str, row: int, count: int) -> tuple[Any, Connection]:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        source, sink = context.Pipe()
        process = context.Process(target=commit_some, args=(kind, uri, row, count, sink), daemon=True)
        process.start()
        sink.close()
        assert source.recv() == "ready"
        return process, source

    def acknowledged(self, source: Connection, most: int = 10**6) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []
        with contextlib.suppress(EOFError):
            while len(found) < most:
                found.append(source.recv())
        return found

    def check(self, cube: Cube, blocks: Sequence[tuple[int, int]]) -> None:
        data = opened(cube, mask_and_scale=False)
        lost = [b for b in blocks if not np.array_equal(data.red[(0, *place(*b))], block(100 * b[0] + b[1]))]
        assert lost == []

    def test_a_whole_zone_is_sparse(self, plugin: Store, uri: str) -> None:
        made(plugin, uri, 120)
        size = sum(f.stat().st_size for f in Path(uri).rglob("*") if f.is_file())
        assert size < 5_000_000

    def test_concurrent_commits_are_never_lost(self, plugin: Store, kind: str, uri: str) -> None:
        cube = made(plugin, uri)
        running = [self.start(kind, uri, row, 10) for row in range(self.processes)]
        for _, source in running:
            source.send("go")
        done = [b for process, source in running for b in self.acknowledged(source)]
        for process, _ in running:
            process.join()
            assert process.exitcode == 0
        assert len(done) == 10 * self.processes
        self.check(cube, done)
        if self.transactional:
            assert sum("block" in h["message"] for h in cube.history()) == len(done)

    def test_a_killed_process_loses_nothing_that_it_acknowledged(self, plugin: Store, kind: str, uri: str) -> None:
        cube = made(plugin, uri)
        done: list[tuple[int, int]] = []
        for row in range(self.kills):
            process, source = self.start(kind, uri, row, 1000)
            source.send("go")
            done += self.acknowledged(source, 1 + row % 3)
            if row % 2:  # in the middle of whatever comes next, not at its start
                source.poll(0.002 * (row % 7))
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            done += self.acknowledged(source)
        assert len(done) >= self.kills
        self.check(plugin.open(uri), done)
        put(plugin, cube, at=(7, 7), time=2, value=1)  # no lock is left behind
        assert np.array_equal(stored(plugin.open(uri), at=(7, 7), time=2), block(1))
