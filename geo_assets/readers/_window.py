"""Sweeps for readers that read whole windows."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.model.plugin import Layer

Array = npt.NDArray[Any]


class WindowSweep:
    """A layer of which each strip is read by itself.

    Args:
        layer: The layer.
        read: Reads a window of it; None where the asset does not reach.
    """

    def __init__(self, layer: Layer, read: Callable[..., Array | None]) -> None:
        self._layer, self._read = layer, read

    def rows(self, first: int, end: int, where: npt.NDArray[np.bool_] | None = None) -> Array | None:
        """See ``Sweep``."""
        if where is not None and not where.any():
            return None
        layer = self._layer
        box = layer.box.window(first, 0, end - first, layer.box.shape[1])
        return self._read(layer.href, layer.band, box, resampling=layer.resampling, said=layer.said)

    def close(self) -> None:
        """See ``Sweep``."""


def windows(layers: Sequence[Layer], read: Callable[..., Array | None]) -> Iterator[Array | None]:
    """Each layer as a whole, one after the other."""
    for layer in layers:
        yield read(layer.href, layer.band, layer.box, resampling=layer.resampling, said=layer.said)
