"""Pictures of analysis-ready layers: a small one a cell, and one of a partition that shows the clearest layer of each."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, isqrt
from typing import Any

import geopandas as gpd
import numpy as np
import numpy.typing as npt

from geo_assets.eo.picture import Picture, decode_png, encode_png, png_said, to_rgb
from geo_assets.errors import StoreError
from geo_assets.model import path
from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox
from geo_assets.model.sensor import Sensor
from geo_assets.storage import Storage
from geo_assets.tasks.cell_picture import PICTURE_PX, CellFrame, eight_bits
from geo_assets.tasks.tile_files import TileArray

_log = logging.getLogger(__name__)
_LARGEST_PX = 192
_COLOURS = ("red", "green", "blue")
_FRAME, _LAYERS = "geo_assets:frame", "geo_assets:layers"  # texts of the picture

Pixels = npt.NDArray[Any]


def layer_picture(bands: Sequence[Band], values: Sequence[Pixels], *, cells: int) -> bytes:
    """A small picture of a layer, as PNG: true colour where there is red, green and blue, else the first band.

    Args:
        bands: Facts of the bands.
        values: One array a band, dims (y, x), as stored.
        cells: How many the layer has: together their pictures are no larger than that of a partition.
    """
    side = max(2, min(_LARGEST_PX, PICTURE_PX // max(1, isqrt(cells))))
    step = max(1, ceil(max(values[0].shape) / side))
    names = [b.name for b in bands]
    chosen = [names.index(c) for c in _COLOURS] if set(_COLOURS) <= set(names) else [0]
    shown = [eight_bits(values[n][::step, ::step], bands[n]) for n in chosen]
    return encode_png(to_rgb(np.stack([v for v, _ in shown], axis=-1), [b for _, b in shown]))


def tile_picture(array: TileArray, sensor: Sensor) -> bytes:
    """A small picture of a yearly tile, as PNG: the median over its steps in true colour, or of its first band.

    Args:
        array: Dims (y, x), or (time, y, x, band) with 0 for what was not observed.
        sensor: Its sensor.
    """
    if "time" not in array.dims:  # slope
        band = next(iter(sensor.derived.values()))
        return layer_picture([band], [array.values], cells=1)
    step = max(1, ceil(max(array.values.shape[1:3]) / _LARGEST_PX))
    names = _COLOURS if set(_COLOURS) <= set(array.bands) else array.bands[:1]
    bands, values = [], []
    for name in names:
        seen = array.values[:, ::step, ::step, array.bands.index(name)].astype(np.float32)
        observed = (seen != array.nodata).any(axis=0)
        median = np.zeros(seen.shape[1:], np.float32)
        median[observed] = np.nanmedian(np.where(seen == array.nodata, np.nan, seen)[:, observed], axis=0)
        scale = float(array.attrs["scale_factor"])
        bands.append(replace(sensor.bands[name], dtype="float32", scale=scale, offset=0.0, nodata=None))
        values.append(np.where(observed, median, np.nan).astype(np.float32))
    return layer_picture(bands, values, cells=1)


@dataclass(frozen=True)
class _Held:
    """The picture that is there: its place, and the layer that it shows of each cell."""

    picture: Picture
    frame: CellFrame
    layers: Mapping[str, str]

    @classmethod
    def read(cls, content: bytes | None) -> "_Held | None":
        """None where there is none that says what it shows: it can be drawn again."""
        picture, said = decode_png(content), png_said(content)
        try:
            left, top, side = (Fraction(t) for t in said[_FRAME].split())
            layers = json.loads(said[_LAYERS])
        except (KeyError, ValueError, ZeroDivisionError):
            return None
        if picture is None or side <= 0 or not isinstance(layers, dict):
            return None
        return cls(picture, CellFrame(left, top, side, picture.shape[:2]), layers)


def update_ard_picture(
    storage: Storage, name: str, boxes: Mapping[str, GeoBox], table: gpd.GeoDataFrame, made: Mapping[tuple[str, str], bytes]
) -> None:  # fmt: skip
    """Draw the picture of a partition of which layers were made; one that cannot be drawn is told, since they count all the same.

    Of each cell it shows the clearest layer: of those that were made now, and the one that the picture shows so far.

    Args:
        storage: Where the picture is.
        name: Its name there.
        boxes: Pixels of the region's cells, by their ids.
        table: Of the partition's layers as it is now.
        made: Small pictures by layer and cell of what was made.
    """
    try:
        if not len(table) or not boxes:
            storage.delete(name)
            return
        frame, held = CellFrame.around(list(boxes.values())), _Held.read(storage.read(name))
        picture, layers = frame.empty(), {}
        best = table.sort_values(["observed_share", "layer"], ascending=[False, True])
        for layer, cell in zip(best["layer"], best["cell_id"], strict=True):
            if cell in layers or cell not in boxes:
                continue
            small = decode_png(made.get((layer, cell)))
            if small is None and held is not None and held.layers.get(cell) == layer:
                small = held.frame.cut(held.picture, boxes[cell])
            if small is not None:
                frame.paste(picture, small, boxes[cell])
                layers[str(cell)] = str(layer)
        place = f"{frame.left} {frame.top} {frame.side}"
        said = {_FRAME: place, _LAYERS: json.dumps(layers, sort_keys=True)}
        storage.write(name, encode_png(picture, said=said))
    except StoreError as e:
        _log.warning("%s: no picture: %s", name, e)


def ard_quicklook(product: str, region: str, month: str | None) -> str:
    """Name of the picture of a partition."""
    return path.quicklook(product, region, month or path.ALL)
