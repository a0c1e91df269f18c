"""Overviews of an exported file, computed as the pyramid computes its levels, so that the two agree."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.windows import Window

from geo_assets.eo.pyramid import halve
from geo_assets.eo.scale import unobserved

_STRIP_PX = 512


def write_overviews(
    file: Path, fills: Sequence[float], *, largest_px: int, classes: Sequence[bool] | None = None
) -> None:
    """Write the overviews of a GeoTIFF beside it, where GDAL finds them: ``<file>.ovr``, its ``.ovr`` and so on.

    Args:
        file: The GeoTIFF, with bands in planes.
        fills: What a pixel of each band holds that was not observed.
        classes: Which bands hold classes; none if left out.
        largest_px: Side of a file that needs no overview.
    """
    while True:
        with rasterio.open(file) as source:
            if max(source.shape) <= largest_px:
                return
            beside = file.with_name(f"{file.name}.ovr")
            height, width = (-(-side // 2) for side in source.shape)
            profile = {**source.profile, "height": height, "width": width, "sparse_ok": True, "bigtiff": "IF_SAFER"}
            with rasterio.open(beside, "w", **profile) as target:
                for row, numbers, pixels in _halved(source, fills, classes or [False] * len(fills)):
                    target.write(pixels, numbers, window=Window(0, row, width, pixels.shape[1]))
        file = beside


def _halved(
    source: Any, fills: Sequence[float], classes: Sequence[bool]
) -> Iterator[tuple[int, list[int], npt.NDArray[Any]]]:
    """Row in the overview, number of the band and pixels, dims (1, y, x), of all strips that hold something."""
    for row in range(0, source.height, _STRIP_PX):
        window = Window(0, row, source.width, min(_STRIP_PX, source.height - row))
        for number, (fill, coded) in enumerate(zip(fills, classes, strict=True), 1):
            pixels = source.read(number, window=window)
            odd = [(0, side % 2) for side in pixels.shape]  # beyond an edge nothing is observed
            small = halve(np.pad(pixels, odd, constant_values=fill), fill, classes=coded)
            if not unobserved(small, fill).all():
                yield row // 2, [number], small[None]
