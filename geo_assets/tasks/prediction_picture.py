"""Pictures of predictions: a thumbnail a cell, and one of a partition, pasted together from those."""

import logging
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from geo_assets.eo.picture import Picture, decode_png, encode_png, to_rgb
from geo_assets.eo.tile_keys import map_place
from geo_assets.errors import StoreError
from geo_assets.model import path
from geo_assets.model.geometry import GeoBox
from geo_assets.model.mlm import ModelItem
from geo_assets.model.receipt import PartitionReceipt
from geo_assets.storage import Storage
from geo_assets.tasks.cell_picture import CellFrame, eight_bits
from geo_assets.tasks.prediction_file import map_bands

_log = logging.getLogger(__name__)


def thumbnail(model: ModelItem, pixels: npt.NDArray[np.generic]) -> Picture:
    """A picture of a map's first layer, dims (y, x, 3); values are shown from 0 to 1, others from their least to their greatest.

    Args:
        model: The model.
        pixels: Dims (y, x), classes or values, as in the map.
    """
    band = map_bands(model)[0]
    if not band.categorical:
        known = pixels[np.isfinite(pixels)]
        if known.size and (known.min() < 0 or known.max() > 1) and known.max() > known.min():
            pixels = (pixels - known.min()) / (known.max() - known.min())
    pixels, band = eight_bits(pixels, band)
    return to_rgb(pixels[..., None], [band])


def update_picture(
    storage: Storage, receipt: PartitionReceipt, boxes: Mapping[str, GeoBox], made: Mapping[str, Picture], *, same_cells: bool
) -> None:  # fmt: skip
    """Draw the picture of a partition of which maps were made; one that cannot be drawn is told, since they count all the same.

    Args:
        storage: Where the pictures are.
        receipt: Of the partition as it is now.
        boxes: Pixels of all its cells, by their ids.
        made: Thumbnails of the cells that were made.
        same_cells: Whether the picture that is there is of the same cells.
    """
    label = receipt.product.partition("/")[2]
    name = path.quicklook(receipt.product, receipt.region, str(receipt.month))
    try:
        if not boxes:
            storage.delete(name)
            return
        frame = CellFrame.around(list(boxes.values()))
        held = decode_png(storage.read(name)) if same_cells else None
        fits = held is not None and held.shape == frame.empty().shape
        picture = held.copy() if held is not None and fits else frame.empty()
        for cell, box in boxes.items():
            small = made.get(cell)
            if small is None and not fits:
                place = map_place(
                    label, receipt.region, str(receipt.month), cell, source=receipt.figures.get("source", "cube")
                )
                small = decode_png(storage.read(f"{place}.png"))
            if small is not None:
                frame.paste(picture, small, box)
        storage.write(name, encode_png(picture))
    except StoreError as e:
        _log.warning("%s %s: no picture: %s", receipt.region, receipt.month, e)
