"""A model run over a raster in overlapping windows, whose results are blended so that no seam is seen.

Windows lie on a lattice that begins where the raster says, not at the part that is asked for. So a part comes out as it
does when all is computed at once, and parts made by different tasks meet without a seam.

Where two windows overlap, one fades out while the other fades in, by a Hann ramp: sin^2 and cos^2, whose sum is 1. Beyond
the raster's edge its pixels are mirrored, so the sum is 1 at its corners too, and for rasters smaller than a window.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from geo_assets.errors import ConfigError

F32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Part = tuple[slice, slice]
Run = Callable[[F32], F32]


class Raster(Protocol):
    """Values on a grid of pixels, read by windows.

    Attributes:
        shape: Rows and columns.
        origin: Row and column of its first pixel on the lattice of windows; of a raster that may grow, on a grid that
            does not, so that windows stay where they are.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column of the first pixel on the lattice of windows."""
        ...

    def read(self, rows: slice, cols: slice) -> F32:
        """Values of a window inside the raster, dims (time, band, y, x), float32, physical unit, NaN where not observed."""
        ...


@dataclass(frozen=True)
class Windows:
    """Windows of a lattice, by their place along one axis; the same for both.

    Attributes:
        size_px: Side of a window.
        halo_px: Pixels at each of its edges that see too little around them; neighbours overlap by twice that.
    """

    size_px: int
    halo_px: int

    def __post_init__(self) -> None:
        if self.size_px < 1 or self.halo_px < 0 or 4 * self.halo_px > self.size_px:
            raise ConfigError(
                f"windows of {self.size_px} px with a halo of {self.halo_px} px: give a size of 1 or more, and a halo of at "
                "most a quarter of it, since neighbours overlap by two halos and three windows never meet"
            )

    @property
    def step_px(self) -> int:
        """From one window to the next."""
        return self.size_px - 2 * self.halo_px

    def starts(self, first: int, end: int) -> range:
        """First pixels of the windows that reach any of the pixels ``first`` to ``end`` (without it)."""
        ramp, step = 2 * self.halo_px, self.step_px
        lowest = (first + ramp - self.size_px) // step + 1
        return range(lowest * step - ramp, end, step)

    def reach(self, part: slice, size: int) -> slice:
        """Pixels that those windows see which reach any of a part, of an axis of ``size`` that begins on the lattice."""
        starts = self.starts(part.start, part.stop)
        return slice(max(0, starts[0]), min(size, starts[-1] + self.size_px))

    def weights(self) -> F32:
        """Weight of each pixel of a window, dims (x), float32; those of all windows over a pixel sum to 1."""
        weights, ramp = np.ones(self.size_px), 2 * self.halo_px
        rise = np.sin(np.pi / 2 * (np.arange(ramp) + 0.5) / ramp) ** 2 if ramp else np.empty(0)
        weights[:ramp] = rise
        weights[self.size_px - ramp :] = rise[::-1]
        return weights.astype(np.float32)


def mirrored(first: int, end: int, size: int) -> npt.NDArray[np.intp]:
    """Pixels of an axis of ``size`` that stand for ``first`` to ``end``: mirrored at both edges, as often as needed."""
    if size == 1:
        return np.zeros(end - first, np.intp)
    folded = np.arange(first, end) % (2 * (size - 1))
    return np.minimum(folded, 2 * (size - 1) - folded).astype(np.intp)


def observed(values: F32, *, all_of_them: bool) -> Mask:
    """Pixels of which all values, or any, are finite, dims (y, x)."""
    finite = np.isfinite(values)
    return np.asarray(finite.all(axis=(0, 1)) if all_of_them else finite.any(axis=(0, 1)))


def blended_bytes(windows: Windows, *, values: int, layers: int, cols: int, batch: int) -> int:
    """Most memory that ``blended`` holds at once, whatever the number of rows; the model's own is not in it.

    Args:
        windows: The lattice.
        values: Values a pixel has: time steps times bands.
        layers: Values that the model gives a pixel.
        cols: Columns of the part.
        batch: Windows that the model sees at once.
    """
    size = windows.size_px
    wide = cols + 2 * size
    rows = 2 * size * wide * values * 4  # the rows of a strip, twice while they move up
    seen = size * wide * (values + 6)  # which of them are observed, and the same pixels while that is found out
    sums = 2 * size * cols * layers * 4
    # Windows as read, as the model wants them, a copy and a mask while they are made; results, and one weighted
    run = batch * size * size * (values * 13 + layers * 12) + size * size * (4 + 4 * layers)
    return rows + seen + sums + run + 2**16


def blended(
    raster: Raster, part: Part, windows: Windows, run: Run, *, layers: int, batch: int, all_observed: bool = True
) -> Iterator[tuple[slice, F32]]:
    """Results of a model of windows for a part of a raster, strip by strip from the top.

    Args:
        raster: What the model reads; each of its rows is read once, beyond the part as far as windows reach.
        part: Rows and columns that are wanted.
        windows: The lattice.
        run: The model: dims (batch, time, band, y, x) to dims (batch, layer, y, x), float32; sees NaN where not observed.
        layers: Values that it gives a pixel.
        batch: Windows that it sees at once.
        all_observed: Whether a pixel needs all of its values to have a result, or any.

    Yields:
        Rows of the raster, and their results, dims (layer, y, x), float32, NaN where the pixel has none.
    """
    rows, cols = _inside(part, raster.shape)
    if rows.start == rows.stop or cols.start == cols.stop:
        return
    size, step = windows.size_px, windows.step_px
    tops, lefts = (
        [start - at for start in windows.starts(axis.start + at, axis.stop + at)]
        for axis, at in zip((rows, cols), raster.origin, strict=True)
    )
    across = [mirrored(left, left + size, raster.shape[1]) for left in lefts]
    wide = slice(int(min(a.min() for a in across)), int(max(a.max() for a in across)) + 1)
    strip = _Strip(raster, wide, size, all_observed)
    ramp = windows.weights()
    weights = ramp[:, None] * ramp[None, :]
    sums = np.zeros((layers, size, cols.stop - cols.start), np.float32)
    for top in tops:
        down = mirrored(top, top + size, raster.shape[0])
        strip.reach(int(down.min()), int(down.max()) + 1)
        inside = slice(max(top, rows.start), min(top + size, rows.stop))
        todo = [n for n, left in enumerate(lefts) if strip.any(inside, _clip(left, size, cols))]
        for some in (todo[i : i + batch] for i in range(0, len(todo), batch)):
            results = run(np.stack([strip.window(down, across[n] - wide.start) for n in some]))
            for n, result in zip(some, results, strict=True):
                _add(sums, result, weights, lefts[n] - cols.start)
        done = slice(max(top, rows.start), min(top + step, rows.stop))
        if done.start < done.stop:
            out = sums[:, done.start - top : done.stop - top].copy()
            out[:, ~strip.seen(done, cols)] = np.nan
            yield done, out
        sums[:, : size - step] = sums[:, step:].copy()
        sums[:, size - step :] = 0


def table(
    raster: Raster, part: Part, run: Run, *, layers: int, batch: int, all_observed: bool = True
) -> Iterator[tuple[slice, F32]]:
    """Results of a model of single pixels for a part of a raster, strip by strip from the top; see ``blended``.

    Args:
        raster: What the model reads; only the part is read.
        part: Rows and columns that are wanted.
        run: The model: dims (pixel, time, band) to dims (pixel, layer), float32.
        layers: Values that it gives a pixel.
        batch: Pixels that it sees at once; strips are as high as makes about so many.
        all_observed: Whether a pixel needs all of its values to have a result, or any.
    """
    rows, cols = _inside(part, raster.shape)
    width = cols.stop - cols.start
    if not width:
        return
    high = max(1, batch // width)
    for first in range(rows.start, rows.stop, high):
        strip = slice(first, min(first + high, rows.stop))
        values = raster.read(strip, cols)
        seen = observed(values, all_of_them=all_observed)
        out = np.full((layers, *seen.shape), np.nan, np.float32)
        pixels = np.ascontiguousarray(np.moveaxis(values[:, :, seen], -1, 0))
        found = [run(pixels[i : i + batch]) for i in range(0, len(pixels), batch)]
        if found:
            out[:, seen] = np.concatenate(found).T
        yield strip, out


def table_bytes(*, values: int, layers: int, cols: int, batch: int) -> int:
    """Most memory that ``table`` holds at once, whatever the number of rows; the model's own is not in it."""
    pixels = max(cols, batch)
    return pixels * (values * 18 + layers * 16 + 8) + 2**16


class _Strip:
    """The last rows of a raster that were read, as many as a window has."""

    def __init__(self, raster: Raster, cols: slice, size: int, all_observed: bool) -> None:
        self._raster, self._cols, self._size, self._all = raster, cols, size, all_observed
        self._first = self._end = 0
        self._values: F32 | None = None
        self._seen: Mask = np.empty((0, 0), np.bool_)

    def reach(self, first: int, end: int) -> None:
        """Have the rows ``first`` to ``end``."""
        if self._values is None:
            self._first = self._end = first
        if end <= self._end:
            return
        fresh = self._raster.read(slice(self._end, end), self._cols)
        seen = observed(fresh, all_of_them=self._all)
        if self._values is not None:
            keep = min(max(0, self._size - (end - self._end)), self._end - self._first)
            cut = self._end - self._first - keep
            fresh = np.concatenate([self._values[:, :, cut:], fresh], axis=2)
            seen = np.concatenate([self._seen[cut:], seen])
            self._first += cut
        self._values, self._seen, self._end = fresh, seen, end

    def window(self, down: npt.NDArray[np.intp], across: npt.NDArray[np.intp]) -> F32:
        """One window, dims (time, band, y, x)."""
        assert self._values is not None
        return self._values[:, :, (down - self._first)[:, None], across[None, :]]

    def seen(self, rows: slice, cols: slice) -> Mask:
        """Observed pixels of a part."""
        left = self._cols.start
        return self._seen[rows.start - self._first : rows.stop - self._first, cols.start - left : cols.stop - left]

    def any(self, rows: slice, cols: slice) -> bool:
        """Whether a part, of which rows may be lost already, has an observed pixel."""
        return bool(self.seen(slice(max(rows.start, self._first), rows.stop), cols).any())


def _clip(left: int, size: int, cols: slice) -> slice:
    return slice(max(left, cols.start), min(left + size, cols.stop))


def _add(sums: F32, result: F32, weights: F32, left: int) -> None:
    """Add a window's weighted result to the sums of the part's columns."""
    size, width = weights.shape[1], sums.shape[2]
    first, end = max(0, -left), min(size, width - left)
    sums[:, :, left + first : left + end] += result[:, :, first:end] * weights[:, first:end]


def _inside(part: Part, shape: tuple[int, int]) -> Part:
    for at, size in zip(part, shape, strict=True):
        if at.step not in (None, 1) or not 0 <= at.start <= at.stop <= size:
            raise ConfigError(
                f"rows {part[0].start} to {part[0].stop}, columns {part[1].start} to {part[1].stop} are no part of a raster of {shape[0]} x {shape[1]} pixels"
            )
    return part
