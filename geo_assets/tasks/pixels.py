"""Stored pixels of the cube: which blocks there are, and windows, read so that what is damaged has a name."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.core.sync import sync

from geo_assets.errors import StoreError
from geo_assets.model.geometry import Block, PixelGrid
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


def stored_blocks(cube: Cube, grid: PixelGrid, names: Sequence[str], time: int, blocks: Sequence[Block]) -> set[Block]:
    """Those of some blocks of which any of the arrays holds a shard of a period; asks for names and reads no pixel.

    Raises:
        StoreError: The cube cannot be asked.
    """
    store = cube.zarr_store()
    corners = [grid.array_slices(grid.block_geobox(b)) for b in blocks]
    places = [(time, rows.start // grid.block_px, cols.start // grid.block_px) for rows, cols in corners]
    try:
        group = zarr.open_group(store, path=grid.group, mode="r", zarr_format=3)
        arrays: list[Any] = [group[name] for name in names]

        async def held(place: tuple[int, int, int]) -> bool:
            keys = [a.metadata.encode_chunk_key(place + (0,) * (a.ndim - len(place))) for a in arrays]
            return any(
                await asyncio.gather(*(store.exists(f"{a.path}/{k}") for a, k in zip(arrays, keys, strict=True)))
            )

        async def all_held() -> list[bool]:
            return await asyncio.gather(*map(held, places))

        return {block for block, there in zip(blocks, sync(all_held()), strict=True) if there}
    except cube.faults as e:
        raise StoreError(f"group {grid.group} of the cube cannot be read: {' '.join(str(e).split())[:200]}") from e
