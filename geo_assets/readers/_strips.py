"""Layers over files, strip by strip, cut so that the pixels that lie under each part of a strip fit into memory."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.eo.lattice import CELL_PX
from geo_assets.eo.warp import Placement
from geo_assets.errors import SourceError
from geo_assets.model.plugin import Layer
from geo_assets.readers._sweep import TiffRows

_PART_BYTES = 2**25
_MOST_BYTES = 2**28  # under rows that cannot be parted

Array = npt.NDArray[Any]


def parts(placement: Placement, first: int, end: int, *, cols: int, itemsize: int, shown: str) -> list[tuple[int, int]]:
    """Rows ``first`` to ``end`` of a window in parts, of which each looks at no more than 32 MB of a level.

    Args:
        placement: The window over the level.
        first: First row of the window.
        end: Row after the last one.
        cols: Columns of the level that are read.
        itemsize: Bytes of a pixel.
        shown: The file, for messages.

    Raises:
        SourceError: Even a few rows look at far too many, since the file has no overviews or absurdly small pixels.
    """
    low, high = placement.span(first, end)
    size = (high - low) * cols * itemsize
    if size <= _PART_BYTES:
        return [(first, end)]
    middle = (first + end) // 2 // CELL_PX * CELL_PX  # fewer rows than a cell has look at as many pixels
    if not first < middle < end:
        if size > _MOST_BYTES:
            text = f"{end - first} rows cover {high - low} x {cols} of its pixels, too many to resample without finer overviews"
            raise SourceError(f"{shown}: {text}")
        return [(first, end)]
    cut = functools.partial(parts, placement, cols=cols, itemsize=itemsize, shown=shown)
    return cut(first, middle) + cut(middle, end)


class TiffSweep:
    """A layer over tiles that we read ourselves."""

    def __init__(self, layer: Layer, placement: Placement, rows: TiffRows) -> None:
        self.placement, self.source_rows = placement, rows
        self._fill = 0 if layer.band.nodata is None else layer.band.nodata

    def parts(self, first: int, end: int) -> list[tuple[int, int]]:
        """Rows of the target in parts that fit into memory."""
        rows = self.source_rows
        return parts(self.placement, first, end, cols=rows.width, itemsize=rows.itemsize, shown=rows.shown)

    def rows(self, first: int, end: int, where: npt.NDArray[np.bool_] | None = None) -> Array | None:
        """See ``Sweep``."""
        return joined(self._rows, self.parts(first, end), where)

    def _rows(self, first: int, end: int, where: npt.NDArray[np.bool_] | None) -> Array:
        low, high = self.placement.span(first, end)
        pixels, row = self.source_rows.rows(low, high)
        warped = self.placement.warp(pixels, (row, self.source_rows.col), first, end, where, self._fill)
        height = self.placement.box.shape[0]
        self.source_rows.keep(self.placement.span(end, end + 1)[0] if end < height else high)
        return warped

    def close(self) -> None:
        """See ``Sweep``."""
        self.source_rows.close()


class TurnedSweep:
    """A layer whose rows lie in the file in another order than in the target: each strip is read as a window of its own.

    So it is where the CRS of the target is turned against the file's by a right angle or more, as polar ones are. Tiles
    that several strips need are fetched and inflated for each.
    """

    def __init__(self, strip: Callable[[Layer], TiffSweep | None], layer: Layer, whole: TiffSweep) -> None:
        self._strip, self._layer, self._whole = strip, layer, whole
        self._fill = 0 if layer.band.nodata is None else layer.band.nodata

    def rows(self, first: int, end: int, where: npt.NDArray[np.bool_] | None = None) -> Array | None:
        """See ``Sweep``."""
        return joined(self._rows, self._whole.parts(first, end), where)

    def _rows(self, first: int, end: int, where: npt.NDArray[np.bool_] | None) -> Array:
        layer, width = self._layer, self._layer.box.shape[1]
        cells = self._whole.placement.part(first, end, layer.cells)
        sweep = self._strip(replace(layer, box=layer.box.window(first, 0, end - first, width), cells=cells))
        try:
            found = None if sweep is None else sweep.rows(0, end - first, where)
        finally:
            if sweep is not None:
                sweep.close()
        return np.full((end - first, width), self._fill, layer.band.dtype) if found is None else found

    def close(self) -> None:
        """See ``Sweep``."""


def joined(
    read: Callable[[int, int, npt.NDArray[np.bool_] | None], Array], cut: list[tuple[int, int]], where: npt.NDArray[np.bool_] | None
) -> Array:  # fmt: skip
    """Parts one below the other."""
    if len(cut) == 1:
        return read(*cut[0], where)
    top = cut[0][0]
    return np.concatenate([read(a, b, None if where is None else where[a - top : b - top]) for a, b in cut])
