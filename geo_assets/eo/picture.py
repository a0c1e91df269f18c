"""Small pictures of composites."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

_WHITE = 3000.0  # stored reflectance that is shown white
_GAMMA = 1 / 1.8
_EMPTY = (226, 226, 226)

Picture = npt.NDArray[np.uint8]


def to_rgb(pixels: npt.NDArray[np.uint16], bands: list[str]) -> Picture:
    """True colour where there is red, green and blue, else the first band in grey.

    Args:
        pixels: Dims (y, x, band), stored reflectance * 10000, 0 = not observed.
        bands: Names of the bands.

    Returns:
        Dims (y, x, 3), uint8; not observed is light grey.
    """
    names = ["red", "green", "blue"] if {"red", "green", "blue"} <= set(bands) else [bands[0]] * 3
    chosen = pixels[..., [bands.index(n) for n in names]].astype(np.float32)
    shown = np.clip(chosen / _WHITE, 0, 1) ** _GAMMA
    observed = (chosen > 0).all(axis=-1, keepdims=True)
    picture: Picture = np.where(observed, shown * 255, np.asarray(_EMPTY)).astype(np.uint8)
    return picture


def encode_png(picture: Picture, *, max_px: int | None = None, colours: int | None = None) -> bytes:
    """The picture as PNG, made smaller and reduced to a palette where asked."""
    image = Image.fromarray(picture)
    if max_px and max(image.size) > max_px:
        image.thumbnail((max_px, max_px), Image.Resampling.BOX)
    if colours:
        image = image.quantize(colours)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def decode_png(content: bytes | None) -> Picture | None:
    """The picture of a PNG, dims (y, x, 3); None where there is none or it is damaged, since it can be drawn again."""
    if content is None:
        return None
    try:
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def blank(rows: int, cols: int) -> Picture:
    """A picture on which nothing is observed."""
    return np.full((rows, cols, 3), _EMPTY, np.uint8)
