"""Which pixels of a scene are clear, by the mask's kind."""

from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.eo.mask import clear_from_bits, clear_from_classes
from geo_assets.eo.scale import unobserved
from geo_assets.errors import ConfigError
from geo_assets.model.band import Band
from geo_assets.model.function import load_function
from geo_assets.model.recipe import BIT_KINDS, MaskRecipe
from geo_assets.model.text import told


def clear_pixels(classes: npt.NDArray[Any], band: Band, mask: MaskRecipe) -> npt.NDArray[np.bool_]:
    """Clear pixels of a scene.

    Args:
        classes: Numbers of the mask's band, dims (y, x), with ``eo.mask.halo_px`` pixels around what is used.
        band: That band.
        mask: Recipe of the mask, as it is for the sensor.

    Returns:
        Dims (y, x), bool; what was not observed is never clear.
    """
    if mask.is_function:
        judged = np.where(_by_function(classes, mask.kind), np.uint8(1), np.uint8(2))
        judged[unobserved(classes, band.fill)] = 0
        return clear_from_classes(judged, [1], close_px=mask.close_px, open_px=mask.open_px)
    if mask.kind in BIT_KINDS:
        return clear_from_bits(classes, mask.bits, nodata=band.nodata, close_px=mask.close_px, open_px=mask.open_px)
    return clear_from_classes(classes, mask.keep, close_px=mask.close_px, open_px=mask.open_px)


def _by_function(numbers: npt.NDArray[Any], target: str) -> npt.NDArray[np.bool_]:
    """What the user's function says of each pixel.

    Raises:
        ConfigError: It failed, or gives something else than one truth a pixel.
    """
    function = load_function(target, "mask.kind")
    try:
        given = function(numbers)
    except (Exception, SystemExit) as e:  # the user's own code: whatever it raises is said in one line
        raise ConfigError(f"the mask {target} failed: {told(e)[:300]}") from e
    if isinstance(given, np.ma.MaskedArray):
        raise ConfigError(
            f"the mask {target} gives a masked array, of which nobody knows what is clear: give a plain one"
        )
    found = np.asarray(given)
    if found.dtype != np.bool_ or found.shape != numbers.shape:
        raise ConfigError(
            f"the mask {target} gives {found.dtype} {found.shape}, and must give bool {numbers.shape}: True where a pixel is clear"
        )
    return found
