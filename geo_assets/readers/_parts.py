"""Strips cut so that the pixels of a file that lie under each part fit into memory."""

from geo_assets.eo.lattice import CELL_PX
from geo_assets.eo.warp import Placement
from geo_assets.errors import SourceError

_PART_BYTES = 2**25
_MOST_BYTES = 2**28  # under rows that cannot be parted


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
    same = {"cols": cols, "itemsize": itemsize, "shown": shown}
    return parts(placement, first, middle, **same) + parts(placement, middle, end, **same)  # type: ignore[arg-type]
