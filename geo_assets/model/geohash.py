"""Geohashes of many points at once (the public-domain scheme of geohash.org)."""

import numpy as np
import numpy.typing as npt

from geo_assets.model.tiling import Floats, Ints

_ALPHABET = np.array(list("0123456789bcdefghjkmnpqrstuvwxyz"))


def geohash_steps(precision: int) -> tuple[float, float]:
    """Width and height in degrees of a geohash of that many characters."""
    lon_bits, lat_bits = _bits(precision)
    return 360 / 2**lon_bits, 180 / 2**lat_bits


def geohash_at(lon: Floats, lat: Floats, precision: int) -> npt.NDArray[np.str_]:
    """Geohashes of points in degrees."""
    lon_bits, lat_bits = _bits(precision)
    col = np.clip(np.floor((np.asarray(lon, float) + 180) / 360 * 2**lon_bits), 0, 2**lon_bits - 1)
    row = np.clip(np.floor((np.asarray(lat, float) + 90) / 180 * 2**lat_bits), 0, 2**lat_bits - 1)
    return geohash_of(row.astype(np.int64), col.astype(np.int64), precision)


def geohash_of(row: Ints, col: Ints, precision: int) -> npt.NDArray[np.str_]:
    """Geohashes of cells: row northward from the south pole, column eastward from the antimeridian."""
    lon_bits, lat_bits = _bits(precision)
    text = np.full(row.shape, "", dtype=f"<U{precision}")
    for place in range(precision):
        digit = np.zeros(row.shape, np.int64)
        for bit in range(5 * place, 5 * place + 5):
            # Bits alternate, longitude first
            value = col >> (lon_bits - 1 - bit // 2) if bit % 2 == 0 else row >> (lat_bits - 1 - bit // 2)
            digit = digit * 2 + (value & 1)
        text = np.char.add(text, _ALPHABET[digit])
    return text


def _bits(precision: int) -> tuple[int, int]:
    return (5 * precision + 1) // 2, 5 * precision // 2
