"""One image and the kinds of files that it can become."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy.typing as npt

from geo_assets.model.band import Band
from geo_assets.model.geometry import GeoBox


@dataclass(frozen=True)
class Image:
    """A picture with its place, ready to become a file.

    Attributes:
        bands: Facts of its bands; their ``fill`` is what a pixel holds that was not observed.
        values: One array a band, dims (y, x), of its ``dtype``.
        box: Its pixels.
        time: When it was taken, UTC, ISO 8601; "" where that means nothing.
        tags: What else is kept with it, as text.
    """

    bands: Sequence[Band]
    values: Sequence[npt.NDArray[Any]]
    box: GeoBox
    time: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


class Format(Protocol):
    """A kind of file for one image.

    Attributes:
        ending: Of the name of its main object; what is beside it lies below that name.
        one_dtype: Whether all bands must be of one type and fill.
    """

    ending: str
    one_dtype: bool

    def encode(self, image: Image) -> dict[str, bytes]:
        """Objects by what follows the image's name, the one that makes it complete last; the same bytes for the same image.

        Raises:
            ConfigError: Its bands do not fit into one file.
        """
        ...
