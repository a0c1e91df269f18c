"""Small pictures of composites."""

import colorsys
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from geo_assets.eo.scale import unobserved
from geo_assets.model.band import Band

_GAMMA = 1 / 1.8
_COLOURS = ("red", "green", "blue")
_EMPTY = (226, 226, 226)

Picture = npt.NDArray[np.uint8]


def to_rgb(pixels: npt.NDArray[Any], bands: Sequence[Band]) -> Picture:
    """True colour where there is red, green and blue, else the first band: in grey, or classes in their colours.

    Args:
        pixels: Dims (y, x, band), stored numbers, each band's ``fill`` where nothing was observed.
        bands: Its bands.

    Returns:
        Dims (y, x, 3), uint8; not observed is light grey.
    """
    names = [b.name for b in bands]
    names = list(_COLOURS) if set(_COLOURS) <= set(names) else names[:1] * 3
    chosen = [next((i, b) for i, b in enumerate(bands) if b.name == name) for name in names]
    first = chosen[0][1]
    layers = [pixels[..., i].astype(np.dtype(band.dtype)) for i, band in chosen]
    empty = np.logical_or.reduce([unobserved(v, band.fill) for v, (_, band) in zip(layers, chosen, strict=True)])
    if first.categorical:
        shown = class_colours(first)[layers[0]]
    else:
        grey = [_stretched(v, band) for v, (_, band) in zip(layers, chosen, strict=True)]
        shown = (np.stack(grey, axis=-1) * 255).astype(np.uint8)
    picture: Picture = np.where(empty[..., None], np.asarray(_EMPTY, np.uint8), shown)
    return picture


def _stretched(stored: npt.NDArray[Any], band: Band) -> npt.NDArray[np.float32]:
    """From 0 to 1 over the values that the band's pictures show."""
    low, high = ((v - band.offset) / band.scale for v in band.shown)
    share = (np.nan_to_num(stored.astype(np.float32)) - np.float32(low)) / np.float32(high - low)
    stretched: npt.NDArray[np.float32] = np.clip(share, 0, 1) ** np.float32(_GAMMA)
    return stretched


def class_colours(band: Band) -> npt.NDArray[np.uint8]:
    """Colours of the classes of a uint8 band, dims (256, 3): those that the band names, and for others some that differ."""
    table = np.zeros((256, 3), np.uint8)
    for code in range(256):
        named = band.colours.get(code)
        hue = code * 0.618034 % 1.0  # neighbours of the golden ratio's multiples are never near each other
        rgb = colorsys.hsv_to_rgb(hue, 0.55, 0.85)
        table[code] = [int(named[i : i + 2], 16) for i in (1, 3, 5)] if named else [round(255 * v) for v in rgb]
    return table


def encode_png(
    picture: Picture, *, max_px: int | None = None, colours: int | None = None, said: Mapping[str, str] | None = None
) -> bytes:
    """The picture as PNG, made smaller and reduced to a palette where asked, with texts that it carries along."""
    image = Image.fromarray(picture)
    if max_px and max(image.size) > max_px:
        image.thumbnail((max_px, max_px), Image.Resampling.BOX)
    if colours:
        image = image.quantize(colours)
    buffer = io.BytesIO()
    texts = PngInfo()
    for key, text in (said or {}).items():
        texts.add_itxt(key, text, zip=True)
    image.save(buffer, "PNG", optimize=True, pnginfo=texts)
    return buffer.getvalue()


def decode_png(content: bytes | None) -> Picture | None:
    """The picture of a PNG, dims (y, x, 3); None where there is none or it is damaged, since it can be drawn again."""
    if content is None:
        return None
    try:
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def png_said(content: bytes | None) -> dict[str, str]:
    """The texts that a PNG carries; none where there is none or it is damaged."""
    if content is None:
        return {}
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            return {k: str(v) for k, v in image.text.items()} if isinstance(image, PngImageFile) else {}
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return {}


def shows(picture: Picture) -> npt.NDArray[np.bool_]:
    """Where a picture shows something that was observed, dims (y, x)."""
    found: npt.NDArray[np.bool_] = (picture != np.asarray(_EMPTY, np.uint8)).any(axis=-1)
    return found


def blank(rows: int, cols: int) -> Picture:
    """A picture on which nothing is observed."""
    return np.full((rows, cols, 3), _EMPTY, np.uint8)
