"""Scenes in the radar's own geometry for composites: worked out once a window and laid on disk, read from there in strips.

What the radar sees of a pixel depends on the ground for kilometres around, so strips of rows would be worked out many times
over. Strips of all scenes of a month in memory would not fit either.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

import numpy as np
import numpy.typing as npt

from geo_assets.errors import SourceError
from geo_assets.model.geometry import GeoBox
from geo_assets.model.plugin import Layer, Sweep, Usage
from geo_assets.model.scene import Scene
from geo_assets.model.task import CompositeTask
from geo_assets.registry import sensor_of
from geo_assets.tasks.radar_windows import RadarWindows, radar_windows
from geo_assets.tasks.search import read_bands

_PART_PX = 512  # side

F32 = npt.NDArray[np.float32]
Key = tuple[GeoBox, str]


@contextlib.contextmanager
def radar_session(task: CompositeTask) -> Iterator["RadarSession"]:
    """What gives the layers of a task's scenes, which heights place; its files are gone when it ends, or its process.

    Raises:
        SourceError: A file is missing, unreadable or refused.
    """
    if task.terrain is None:
        raise ValueError(f"{task.name}: its task has no heights")
    bands = read_bands(sensor_of(task.sensor), task.cube.bands, task.mask)
    with (
        contextlib.ExitStack() as stack,
        radar_windows(
            task.terrain, task.catalog, task.cube.reader, part_px=_PART_PX, what="windows of blocks"
        ) as windows,
    ):
        yield RadarSession(windows, _together(task.scenes, bands), stack)


def _together(scenes: Sequence[Scene], bands: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """By measurement, those of the same scene."""
    found: dict[str, tuple[str, ...]] = {}
    for scene in scenes:
        hrefs = tuple(href for band in bands if (href := scene.href(band)) is not None)
        found |= dict.fromkeys(hrefs, hrefs)
    return found


class RadarSession:
    """Layers of scenes that heights place.

    Args:
        windows: Makes them.
        together: By measurement, those that are made with it.
        stack: Closes files.

    Attributes:
        threads: One: what is worked out at once takes the memory of several.
    """

    threads = 1

    def __init__(
        self, windows: RadarWindows, together: Mapping[str, tuple[str, ...]], stack: contextlib.ExitStack
    ) -> None:
        self._windows, self._together, self._stack = windows, together, stack
        self._heights: tuple[GeoBox, F32 | None] | None = None
        self._laid: dict[Key, IO[bytes] | None] = {}

    @property
    def usage(self) -> Usage:
        """What was read so far, of scenes and of heights."""
        return self._windows.usage

    def sweep(self, layers: Sequence[Layer], strip_rows: int, *, spare_bytes: int = 0) -> Sequence[Sweep | None]:
        """See ``ReadSession``; nothing is fetched ahead."""
        return [_LaidDown(self, layer) for layer in layers]

    def laid(self, layer: Layer) -> IO[bytes] | None:
        """The file that holds a layer as float32 rows; None where its scene shows nothing or no heights are known.

        Raises:
            SourceError: An asset is missing, unreadable or refused, or the disk for temporary files is full.
        """
        if (layer.box, layer.href) not in self._laid:
            self._make(layer)
        return self._laid[layer.box, layer.href]

    def _make(self, layer: Layer) -> None:
        """Lay down the bands of a layer's scene."""
        box, hrefs = layer.box, self._together[layer.href]
        height = self._ground(box)
        bands = [None] * len(hrefs) if height is None else self._windows.gamma0(box, hrefs, height, layer.cells)
        for href, values in zip(hrefs, bands, strict=True):
            self._laid[box, href] = None if values is None else self._lay(values)

    def _ground(self, box: GeoBox) -> F32 | None:
        """Heights under a window; those of the last one are kept, since all scenes of a block share it."""
        if self._heights is None or self._heights[0] != box:
            (height,) = self._windows.heights([box])
            self._heights = box, height
        return self._heights[1]

    def _lay(self, values: F32) -> IO[bytes]:
        try:
            file = self._stack.enter_context(tempfile.TemporaryFile(prefix="geo-assets-"))  # noqa: SIM115 - the stack closes it
            values.tofile(file)
        except OSError as e:
            raise SourceError(
                f"{tempfile.gettempdir()}: {e.strerror or e}: it holds {values.nbytes:,} bytes for each scene and band of a block "
                "while that is made: make room, set TMPDIR to another folder, or lower cube.block_px"
            ) from e
        return file


class _LaidDown:
    """One layer, read in strips of rows."""

    def __init__(self, session: RadarSession, layer: Layer) -> None:
        self._session, self._layer = session, layer

    def rows(self, first: int, end: int, where: npt.NDArray[np.bool_] | None = None) -> F32 | None:
        """See ``Sweep``."""
        file = self._session.laid(self._layer)
        if file is None:
            return None
        width = self._layer.box.shape[1]
        file.seek(first * width * np.dtype(np.float32).itemsize)
        strip = np.fromfile(file, np.float32, (end - first) * width)
        if strip.size != (end - first) * width:
            raise SourceError(f"{tempfile.gettempdir()}: a temporary file came back short: make the block again")
        return strip.reshape(end - first, width)

    def close(self) -> None:
        """Nothing: another band or the mask may read the same scene."""
