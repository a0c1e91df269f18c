"""Pixels of many chips in one Zarr group: an array a band, dims (chip, y, x), one chunk a chip, many chunks a shard."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import BloscCodec, BloscShuffle

from geo_assets.model.band import Band
from geo_assets.model.cf import band_attributes

CLEAR = "clear"
CLEAR_BAND = Band(CLEAR, (), 0, dtype="uint8", nodata=None, unit="1")
_SHARD_BYTES, _MOST_CHIPS = 32 * 2**20, 512

Pixels = npt.NDArray[Any]


class ChipGroup:
    """A group that is written shard by shard; nothing names it before it is closed.

    Args:
        uri: Where it lies; what is there is replaced.
        bands: Its arrays.
        size_px: Side of a chip.
        most: Chips that it may have.
        attributes: Of the group.
    """

    def __init__(self, uri: str, bands: Sequence[Band], size_px: int, *, most: int, attributes: dict[str, Any]) -> None:
        widest = max(np.dtype(b.dtype).itemsize for b in bands)
        self._shard = max(1, min(_SHARD_BYTES // (size_px**2 * widest), _MOST_CHIPS, most))
        self._group = zarr.open_group(uri, mode="w", zarr_format=3, attributes=attributes)
        self._arrays = [_array(self._group, b, size_px, self._shard, most) for b in bands]
        self._waiting: list[Sequence[Pixels]] = []
        self._written = 0

    def add(self, values: Sequence[Pixels]) -> int:
        """Take the bands of a chip, dims (y, x); returns its place."""
        self._waiting.append(values)
        place = self._written + len(self._waiting) - 1
        if len(self._waiting) == self._shard:
            self._write()
        return place

    def close(self) -> None:
        """Write what is left, and say how many there are."""
        self._write()
        for array in self._arrays:
            array.resize((self._written, *array.shape[1:]))

    def _write(self) -> None:
        if not self._waiting:
            return
        end = self._written + len(self._waiting)
        for array, values in zip(self._arrays, zip(*self._waiting, strict=True), strict=True):
            array[self._written : end] = np.stack(values)
        self._written, self._waiting = end, []


def _array(group: zarr.Group, band: Band, size_px: int, shard: int, most: int) -> Any:
    return group.create_array(
        band.name, shape=(most, size_px, size_px), chunks=(1, size_px, size_px), shards=(shard, size_px, size_px), dtype=band.dtype, fill_value=band.fill,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle=BloscShuffle.shuffle), dimension_names=("chip", "y", "x"), attributes=band_attributes(band),
    )  # fmt: skip


def bands_of(uri: str) -> list[str]:
    """Names of a group's arrays, the sensor's bands first."""
    group = zarr.open_group(uri, mode="r", zarr_format=3)
    own = [str(name) for name in cast(Sequence[Any], group.attrs.get("bands", ()))]
    return own + sorted({*group.array_keys()} - {*own})


def read_chips(uri: str, places: Sequence[int], bands: Sequence[str]) -> dict[str, Pixels]:
    """Chips of a group by band, dims (chip, y, x), in the order of their places.

    Args:
        uri: Where the group lies.
        places: Of the chips.
        bands: Names of arrays.

    Raises:
        KeyError: It has no such array.
    """
    group = zarr.open_group(uri, mode="r", zarr_format=3)
    return {name: np.asarray(cast(Any, group[name]).oindex[np.asarray(places, np.int64)]) for name in bands}
