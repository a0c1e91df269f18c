"""Pictures of a partition: of its whole region from the tasks' previews or the pyramid, and a close-up of a small area."""

import logging
from collections.abc import Sequence

import numpy as np
import zarr

from geo_assets.eo.picture import Picture, blank, decode_png, encode_png, to_rgb
from geo_assets.errors import StoreError
from geo_assets.model import path
from geo_assets.model.band import Band
from geo_assets.model.geometry import Block, PixelGrid, Region
from geo_assets.model.levels import level_path, levels
from geo_assets.model.plugin import Cube
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.model.recipe import CubeRecipe
from geo_assets.model.sensor import Sensor
from geo_assets.storage import Storage
from geo_assets.tasks.composite import BlockResult
from geo_assets.tasks.pixels import read_window

_log = logging.getLogger(__name__)
_CLOSEUP_WINDOW_PX = 1024  # larger areas are well seen in the picture of the region
_CLOSEUP_PX = 320


def update_pictures(
    storage: Storage, receipt: PartitionReceipt, grid: PixelGrid, done: Sequence[BlockResult], cube: Cube, recipe: CubeRecipe, sensor: Sensor,
    time_index: int, *, anew: bool,
) -> None:  # fmt: skip
    """Draw both pictures of a partition of which blocks were made; one that cannot be drawn is told, since they are committed.

    Args:
        storage: Where the pictures are.
        receipt: Of the partition as it is now.
        grid: Pixel grid of its group.
        done: Blocks that were made.
        cube: Holds them.
        recipe: Of the cube.
        sensor: Of the cube.
        time_index: Place of the partition's period on the time axis.
        anew: Whether pictures that are there may show something else, such as a cube that was replaced.
    """
    try:
        if done:
            update_quicklook(storage, receipt, grid, done, [sensor.bands[b] for b in recipe.bands], anew=anew)
            update_closeup(storage, receipt, grid, cube, recipe, sensor, time_index)
        elif anew:
            for name in (path.quicklook, path.closeup):
                storage.delete(name(receipt.product, receipt.region, str(receipt.month)))
    except StoreError as e:
        _log.warning("%s %s: no picture: %s", receipt.region, receipt.month, e)


def update_quicklook(
    storage: Storage, receipt: PartitionReceipt, grid: PixelGrid, done: Sequence[BlockResult], bands: Sequence[Band], *, anew: bool
) -> None:  # fmt: skip
    """Paste the new blocks' previews into the picture of the region, or into an empty one."""
    region, n = Region.parse(receipt.region), grid.region_blocks
    side = done[0].preview.shape[0]
    name = path.quicklook(receipt.product, receipt.region, str(receipt.month))
    held = None if anew else decode_png(storage.read(name))
    fits = held is not None and held.shape[:2] == (n * side, n * side)
    picture = held.copy() if held is not None and fits else blank(n * side, n * side)
    for result in done:
        row, col = _place(Block(result.receipt.row, result.receipt.col), region, grid)
        rgb = to_rgb(result.preview, bands)
        target = picture[row * side : (row + 1) * side, col * side : (col + 1) * side]
        for rows, cols in _chunk_slices(result, grid, side):
            target[rows, cols] = rgb[rows, cols]
    storage.write(name, encode_png(picture))


def _place(block: Block, region: Region, grid: PixelGrid) -> tuple[int, int]:
    """Row and column of a block within its region, from the upper left."""
    n = grid.region_blocks
    row, col = block.row - region.row * n, block.col - region.col * n
    return (row if grid.geographic else n - 1 - row), col


def _chunk_slices(result: BlockResult, grid: PixelGrid, side: int) -> list[tuple[slice, slice]]:
    """Where the chunks that were made lie in the preview of their block."""
    stride = max(1, grid.block_px // side)

    def part(index: int) -> slice:
        return slice(-(-index * grid.chunk_px // stride), -(-(index + 1) * grid.chunk_px // stride))

    return [(part(row), part(col)) for row, col in result.receipt.chunks]


def update_closeup(
    storage: Storage, receipt: PartitionReceipt, grid: PixelGrid, cube: Cube, recipe: CubeRecipe, sensor: Sensor, time_index: int
) -> None:  # fmt: skip
    """Write a picture of all that is made of a partition, in full resolution, where that is a small area."""
    name = path.closeup(receipt.product, receipt.region, str(receipt.month))
    rows, cols = _window(receipt, grid)
    if max(rows.stop - rows.start, cols.stop - cols.start) > _CLOSEUP_WINDOW_PX:
        storage.delete(name)  # it was small before more cells were registered
        return
    faults: tuple[type[Exception], ...] = (StoreError, *cube.faults)
    try:
        group = zarr.open_group(cube.zarr_store(), path=grid.group, mode="r", zarr_format=3)
        picture = _read(cube, group, recipe, sensor, (time_index, rows, cols))
    except faults as e:  # such as of a block that this run did not make
        _log.warning("%s %s: no close-up: %s", receipt.region, receipt.month, e)
        storage.delete(name)
        return
    storage.write(name, encode_png(picture, max_px=_CLOSEUP_PX))


def update_overview(
    storage: Storage, receipt: PartitionReceipt, grid: PixelGrid, cube: Cube, recipe: CubeRecipe, sensor: Sensor, time_index: int
) -> None:  # fmt: skip
    """Write a picture of the region from the last level of its pyramid; one that cannot be drawn is told."""
    name, coarser = path.quicklook(receipt.product, receipt.region, str(receipt.month)), levels(grid)
    window = coarser[-1].array_slices(coarser[-1].region_geobox(Region.parse(receipt.region)))
    faults: tuple[type[Exception], ...] = (StoreError, *cube.faults)
    try:
        place = level_path(grid.group, len(coarser))
        group = zarr.open_group(cube.zarr_store(), path=place, mode="r", zarr_format=3)
        storage.write(name, encode_png(_read(cube, group, recipe, sensor, (time_index, *window)), max_px=_CLOSEUP_PX))
    except faults as e:  # the levels are committed, and count
        _log.warning("%s %s: no picture of the pyramid: %s", receipt.region, receipt.month, e)


def _window(receipt: PartitionReceipt, grid: PixelGrid) -> tuple[slice, slice]:
    """Rows and columns of the group's arrays that hold every chunk that is made."""
    corners = []
    for block in receipt.blocks:
        rows, cols = grid.array_slices(grid.block_geobox(Block(block.row, block.col)))
        corners += [(rows.start + r * grid.chunk_px, cols.start + c * grid.chunk_px) for r, c in block.chunks]
    if not corners:
        return slice(0, 0), slice(0, 0)
    first, last = np.min(corners, axis=0), np.max(corners, axis=0) + grid.chunk_px
    return slice(int(first[0]), int(last[0])), slice(int(first[1]), int(last[1]))


def _read(
    cube: Cube, group: zarr.Group, recipe: CubeRecipe, sensor: Sensor, window: tuple[int, slice, slice]
) -> Picture:
    colours: list[str] = [b for b in ("red", "green", "blue") if b in recipe.bands]
    bands = colours if len(colours) == 3 else recipe.bands[:1]
    if recipe.layout == "stacked":
        stack = read_window(cube, group[recipe.varname], *window)[..., [recipe.bands.index(b) for b in bands]]
    else:
        stack = np.stack([read_window(cube, group[b], *window) for b in bands], axis=-1)
    return to_rgb(stack, [sensor.bands[b] for b in bands])
