"""Plain Zarr v3 on any fsspec URI.

Weaker promises than ``icechunk``: each shard is replaced in one piece, and only once all bands of its block are there, but
a partition's shards and bands are not replaced together, there is no history, and a reader may see a partition half made.
"""

import contextlib
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import FsspecStore, LocalStore

from geo_assets.errors import ConfigError, StoreError
from geo_assets.model.geometry import PixelGrid
from geo_assets.model.period import Periods
from geo_assets.model.plugin import Variable
from geo_assets.stores import _layout, _levels, _probe


def _open(uri: str, *, read_only: bool) -> Any:
    if "://" not in uri:
        return LocalStore(uri, read_only=read_only)
    protocol, _ = fsspec.core.split_protocol(uri)
    options = {"asynchronous": True} if fsspec.get_filesystem_class(protocol).async_impl else {}
    return FsspecStore.from_url(uri, storage_options=options, read_only=read_only)


def _refuse_version_2(store: Any, uri: str) -> None:
    try:
        zarr.open(store, mode="r", zarr_format=2)
    except (FileNotFoundError, zarr.errors.NodeNotFoundError):
        return
    raise _layout.foreign(uri, "data in Zarr format 2")


class ZarrCube:
    """A cube in plain Zarr; see ``Cube``."""

    faults: tuple[type[Exception], ...] = (OSError, ValueError, RuntimeError)

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def describe(self) -> dict[str, Any] | None:
        """Attributes of the root, or None."""
        with _as_store_error(self._uri, "read"):
            store = _open(self._uri, read_only=True)
            attrs = _layout.describe(store, self._uri)
            if attrs is None:
                _refuse_version_2(store, self._uri)
            return attrs

    def prepare(
        self,
        attrs: Mapping[str, Any],
        group: str,
        grid: PixelGrid,
        periods: Periods,
        variables: Sequence[Variable],
        levels: Sequence[PixelGrid] = (),
    ) -> None:
        """Create what is missing; see ``Cube``."""
        self.describe()
        with _as_store_error(self._uri, "prepare"):
            store = _open(self._uri, read_only=False)
            _layout.prepare(store, attrs, group, grid, periods, variables)
            _levels.prepare(store, group, grid, periods, variables, levels)

    def session(self, group: str) -> "ZarrSession":
        """A session for one partition."""
        return ZarrSession(self._uri, group)

    def zarr_store(self, tag: str | None = None) -> Any:
        """Read-only store.

        Raises:
            ConfigError: A tag was asked for; plain Zarr has none.
        """
        if tag is not None:
            raise ConfigError(f"plain Zarr keeps no tags, so {tag!r} cannot be opened; use cube.store: icechunk")
        return _open(self._uri, read_only=True)

    def history(self) -> Iterator[dict[str, Any]]:
        """Nothing: plain Zarr keeps no history."""
        return iter(())

    def probe(self) -> str:
        """Write, read and delete a small object.

        Returns:
            What keeps concurrent writers apart: nothing does here.

        Raises:
            StoreError: The storage cannot be written.
        """
        with _as_store_error(self._uri, "probe"):
            _probe.round_trip(self._uri)
        return "none: plain Zarr relies on one run a partition"


class ZarrSession:
    """See ``CubeSession``; there is nothing to commit."""

    atomic = False

    def __init__(self, uri: str, group: str) -> None:
        self._handle = pickle.dumps((uri, group))

    def handle(self) -> bytes:
        """URI and group."""
        return self._handle

    def commit(self, changes: Sequence[bytes], message: str, metadata: Mapping[str, Any]) -> str:
        """Nothing to do: every shard counts as soon as it is written."""
        return ""


class ZarrWriter(_layout.ZarrBlockWriter):
    """A worker's writer. It waits until all of a block is there: what fails before leaves the block as it was."""

    def __init__(self, store: Any, group: str) -> None:
        super().__init__(store, group)
        self._waiting: list[tuple[Any, ...]] = []

    def write(
        self, variable: str, time_index: int, rows: slice, cols: slice, values: npt.NDArray[Any], where: npt.NDArray[np.bool_] | None = None
    ) -> None:  # fmt: skip
        """Keep one window of one period, which ``changes`` writes; see ``BlockWriter``."""
        self.check(variable, time_index, rows, cols)
        self._waiting.append((variable, time_index, rows, cols, values.copy(), where))

    def changes(self) -> bytes:
        """Writes what was kept; nothing is left to be committed."""
        for window in self._waiting:
            super().write(*window)
        self._waiting.clear()
        return b""


@contextlib.contextmanager
def _as_store_error(uri: str, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise StoreError(f"{uri}: cannot {what} the cube: {e}") from e


class _Zarr:
    def open(self, uri: str) -> ZarrCube:
        """The cube at a path or URI."""
        return ZarrCube(uri)

    def writer(self, handle: bytes) -> ZarrWriter:
        """A worker's writer."""
        uri, group = pickle.loads(handle)  # noqa: S301 - made by ZarrSession in the same run
        return ZarrWriter(_open(uri, read_only=False), group)

    def reader(self, handle: bytes, changes: bytes = b"") -> _levels.ZarrBlockReader:
        """A worker's reader; what other tasks wrote is there already."""
        uri, group = pickle.loads(handle)  # noqa: S301 - made by ZarrSession in the same run
        return _levels.ZarrBlockReader(_open(uri, read_only=True), group, ZarrCube.faults)


PLUGIN = _Zarr()
