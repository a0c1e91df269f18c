"""Which pixels of a scene are clear, by the mask's kind."""

from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.eo.mask import clear_from_bits, clear_from_classes
from geo_assets.model.band import Band
from geo_assets.model.recipe import BIT_KINDS, MaskRecipe


def clear_pixels(classes: npt.NDArray[Any], band: Band, mask: MaskRecipe) -> npt.NDArray[np.bool_]:
    """Clear pixels of a scene.

    Args:
        classes: Numbers of the mask's band, dims (y, x), with ``eo.mask.halo_px`` pixels around what is used.
        band: That band.
        mask: Recipe of the mask, as it is for the sensor.

    Returns:
        Dims (y, x), bool; what was not observed is never clear.
    """
    if mask.kind in BIT_KINDS:
        return clear_from_bits(classes, mask.bits, nodata=band.nodata, close_px=mask.close_px, open_px=mask.open_px)
    return clear_from_classes(classes, mask.keep, close_px=mask.close_px, open_px=mask.open_px)
