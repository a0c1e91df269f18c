"""Stored pixels of the cube, read so that what is damaged has a name."""

from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.errors import StoreError
from geo_assets.model.plugin import Cube


def read_window(cube: Cube, array: Any, time: int, rows: slice, cols: slice) -> npt.NDArray[Any]:
    """A window of one period of an array, dims (y, x) or (y, x, band), as stored.

    Raises:
        StoreError: A chunk of it is missing or damaged; names the array and the window.
    """
    try:
        return np.asarray(array[time, rows, cols])
    except cube.faults as e:
        lines = [text for raw in str(e).splitlines() if (text := raw.strip(" |-`>"))]
        said = lines[-1][:200] if lines else type(e).__name__
        where = f"rows {rows.start} to {rows.stop}, columns {cols.start} to {cols.stop}, period {time}"
        raise StoreError(f"variable {array.name.strip('/')} of the cube is damaged at {where}: {said}") from e
