"""What each kind of plugin must offer, as protocols."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox, PixelGrid
from geo_assets.model.href import Access
from geo_assets.model.mlm import ModelItem
from geo_assets.model.period import Periods
from geo_assets.model.recipe import CatalogRecipe
from geo_assets.model.scene import Said, SceneQuery

FETCH_BYTES = 80 * 2**20  # most bytes that a reader fetches ahead of their use


class Catalog(Protocol):
    """Where scenes are searched."""

    def search(self, recipe: CatalogRecipe, query: SceneQuery) -> list[dict[str, Any]]:
        """STAC items that overlap the query's area and days, with absolute hrefs, none of them twice.

        Raises:
            CatalogError: The search failed for good, or its answer makes no sense.
            ConfigError: The recipe does not say where the catalog is.
        """
        ...

    def access(self, recipe: CatalogRecipe) -> Access:
        """What the catalog's assets may be read from."""
        ...

    def sign(self, href: str) -> str:
        """The address with a fresh signature, or as it is where the catalog signs nothing. Called in the worker."""
        ...


@dataclass
class Usage:
    """What reading cost so far; counted by any thread.

    Attributes:
        bytes: Bytes of source files that were read.
        requests: Reads of a file or range.
        notes: What a person should know: a header that contradicts its item, a fall-back that was taken.
    """

    bytes: int = 0
    requests: int = 0
    notes: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def count(self, n: int) -> None:
        """One read of ``n`` bytes."""
        with self._lock:
            self.bytes += n
            self.requests += 1

    def note(self, text: str) -> None:
        """Keep a remark once."""
        with self._lock:
            if text not in self.notes:
                self.notes.append(text)


@dataclass(frozen=True)
class Layer:
    """One band of one asset on a target.

    Attributes:
        href: Address without signature.
        band: Expected dtype and nodata; a categorical band is read by nearest or mode, whatever is asked for.
        box: The target.
        resampling: nearest, bilinear, cubic, average or mode.
        said: Where its item says that the asset lies; see ``ReadSession.read``.
        cells: Cells of the target's lattice (``eo.lattice``) in which pixels are wanted, dims (down, across); None is all.
    """

    href: str
    band: Band
    box: GeoBox
    resampling: str
    said: Said | None = None
    cells: npt.NDArray[np.bool_] | None = None


class Sweep(Protocol):
    """A layer that is read from its top to its bottom, in strips of rows."""

    def rows(self, first: int, end: int, where: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[Any] | None:
        """Rows ``first`` to ``end`` of the target; ``first`` is never above the end of rows that were read before.

        Args:
            first: First row of the target.
            end: Row after the last.
            where: Pixels that are wanted, dims (y, x), within the layer's ``cells``; others may be anything. None is all.

        Returns:
            Dims (y, x), ``band.dtype``, ``band.nodata`` where nothing was observed; None where the asset does not reach.

        Raises:
            SourceError: See ``ReadSession.read``.
        """
        ...

    def close(self) -> None:
        """Give back what was fetched ahead."""
        ...


class Sweeps(Protocol):
    """What gives layers strip by strip: a session of a reader, or what makes gamma0 of scenes in the radar's own geometry.

    Attributes:
        threads: Threads that may use it and its sweeps at once; each sweep belongs to one at a time.
    """

    threads: int

    @property
    def usage(self) -> Usage:
        """What was read so far."""
        ...

    def sweep(self, layers: Sequence[Layer], strip_rows: int, *, spare_bytes: int = 0) -> Sequence[Sweep | None]:
        """Layers to be read side by side in strips of ``strip_rows``; what they need may be fetched ahead from now on.

        Args:
            layers: The layers.
            strip_rows: Rows of the target that will be asked for at once.
            spare_bytes: What may be kept in memory from strip to strip, if that saves time.

        Returns:
            One sweep a layer, None where its asset does not reach the target.

        Raises:
            SourceError: See ``ReadSession.read``.
        """
        ...


class ReadSession(Sweeps, Protocol):
    """Open files of one task."""

    def windows(self, layers: Sequence[Layer]) -> Iterator[npt.NDArray[Any] | None]:
        """Many small windows, such as chips, each as ``read`` gives it, in order.

        Windows of one asset that follow each other in space share what is read; memory holds what lies between the first
        and the last window of a tile.

        Raises:
            SourceError: See ``read``; for the window whose turn it is, or for the first one if its asset is refused.
        """
        ...

    def read(
        self, href: str, band: Band, box: GeoBox, *, resampling: str, said: Said | None = None
    ) -> npt.NDArray[Any] | None:
        """One band of an asset on a target window.

        Args:
            href: Address without signature.
            band: Expected dtype and nodata; a categorical band is read by nearest or mode, whatever is asked for.
            box: Target window.
            resampling: nearest, bilinear, cubic, average or mode.
            said: Where the asset's item says that it lies. An asset whose header puts it over less than half of the
                footprint is refused; one that covers under 98 % of it, or whose header differs, is noted in ``usage``.

        Returns:
            Dims (y, x), ``band.dtype``, ``band.nodata`` where nothing was observed; None where the asset does not reach.

        Raises:
            SourceError: The asset is missing, unreadable, refused, or not what or where its item says.
        """
        ...


class Reader(Protocol):
    """Reads source pixels on a target grid."""

    def session(self, access: Access, sign: Callable[[str], str]) -> AbstractContextManager[ReadSession]:
        """A session for one task; files stay open until it ends."""
        ...


@dataclass(frozen=True)
class Variable:
    """One array of a cube: dims (time, y, x), or (time, y, x, band) where ``bands`` is not empty."""

    name: str
    dtype: str
    fill: float
    attrs: Mapping[str, Any]
    bands: tuple[str, ...] = ()


class BlockReader(Protocol):
    """A worker's view of the cube as its session began, with what one other task of the session wrote."""

    def read(self, variable: str, time_index: int, rows: slice, cols: slice) -> npt.NDArray[Any]:
        """A window of one period as stored, dims (y, x) or (y, x, band); the fill where nothing was written.

        Raises:
            StoreError: A chunk of it is lost or damaged, or there is no such array.
        """
        ...


class BlockWriter(Protocol):
    """A worker's hand on the cube; changes count only once the driver has committed them."""

    def write(
        self, variable: str, time_index: int, rows: slice, cols: slice, values: npt.NDArray[Any], where: npt.NDArray[np.bool_] | None = None
    ) -> None:  # fmt: skip
        """Write one window of one period.

        Args:
            variable: Name of the array.
            time_index: Place of the period on the time axis.
            rows: Rows of the array.
            cols: Columns of the array.
            values: Dims (y, x), or (y, x, band).
            where: Pixels to write, dims (y, x); the others keep what the array holds. None is all.

        Raises:
            StoreError: The write failed.
        """
        ...

    def changes(self) -> bytes:
        """What the driver needs to commit what was written."""
        ...


class CubeSession(Protocol):
    """The driver's hand on the cube, for one partition.

    Attributes:
        atomic: Whether two tries of a task may write side by side: only what is committed is seen, whole.
    """

    atomic: bool

    def handle(self) -> bytes:
        """What a worker needs to open a writer; small, picklable, without a credential."""
        ...

    def commit(self, changes: Sequence[bytes], message: str, metadata: Mapping[str, Any]) -> str:
        """Make the changes of the tasks visible, all at once where the store can.

        Returns:
            Id of the snapshot, or "" where the store has none.

        Raises:
            StoreError: Nothing was committed.
        """
        ...


class Cube(Protocol):
    """One repository of a cube.

    Attributes:
        faults: What reading an array raises where the storage lost or damaged a chunk.
    """

    faults: tuple[type[Exception], ...]

    def describe(self) -> dict[str, Any] | None:
        """Attributes of the root as they were stored, or None where there is no cube yet.

        Raises:
            StoreError: What lies there was not made by geo_assets: its root has no attribute ``geo_assets``.
        """
        ...

    def prepare(
        self, attrs: Mapping[str, Any], group: str, grid: PixelGrid, periods: Periods, variables: Sequence[Variable],
        levels: Sequence[PixelGrid] = (),
    ) -> None:  # fmt: skip
        """Create what is missing: root, group, arrays; extend the time axis. Safe to call at any time.

        Args:
            attrs: Of the root.
            group: Name of the group.
            grid: Its pixel grid.
            periods: Its time axis.
            variables: Its arrays.
            levels: Pixel grids of the levels of its pyramid, from 1 on; none are made where it is empty.
        """
        ...

    def session(self, group: str) -> CubeSession:
        """A session for one partition's commit."""
        ...

    def zarr_store(self, tag: str | None = None) -> Any:
        """Read-only zarr store of the newest state or of a tag."""
        ...

    def probe(self) -> str:
        """Try out what the cube needs of its storage; says what keeps concurrent commits apart.

        Raises:
            StoreError: The storage cannot be written, or it would lose commits.
        """
        ...

    def history(self) -> Iterator[dict[str, Any]]:
        """Commits, newest first: id, message, time, metadata; empty where the store keeps none."""
        ...


class Store(Protocol):
    """A kind of cube storage."""

    def open(self, uri: str) -> Cube:
        """The cube at a path or URI, which need not exist yet."""
        ...

    def writer(self, handle: bytes) -> BlockWriter:
        """A worker's writer from ``CubeSession.handle``."""
        ...

    def reader(self, handle: bytes, changes: bytes = b"") -> BlockReader:
        """A worker's reader from ``CubeSession.handle``, which sees the ``changes`` of another task of that session."""
        ...


class ModelSession(Protocol):
    """A model that is open in this process."""

    def run(self, batch: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Results for a batch, dims, dtype and sizes as the model's item says of its output.

        Args:
            batch: Dims, dtype and sizes as the item says of its input; any number of examples where it lets that vary.

        Raises:
            ConfigError: The model cannot be run with it.
        """
        ...


class ModelRuntime(Protocol):
    """Opens models of one format, and never runs code that a file brings with it.

    Attributes:
        artifact_types: Values of ``mlm:artifact_type`` that it opens.
    """

    artifact_types: tuple[str, ...]

    def open(
        self, content: bytes, model: ModelItem, *, device: str = "cpu", threads: int | None = None
    ) -> ModelSession:
        """A session from the bytes of the artifact, whose checksum was compared.

        Args:
            content: The whole file.
            model: What its item says.
            device: ``cpu``, or another one that the runtime knows, such as ``cuda``.
            threads: Threads it may use; None leaves it to the runtime.

        Raises:
            ConfigError: The file is damaged, is not what the item says, or could run code.
            PluginError: A package is missing.
        """
        ...
