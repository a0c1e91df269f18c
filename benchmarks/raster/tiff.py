"""What a TIFF header says: where the tiles of each level lie and how they are stored. No GDAL, so that nothing is hidden."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

# TIFF 6.0 specification, section 2: bytes of a value by field type, and how numpy reads it
_TYPES = {1: "u1", 2: "S1", 3: "<u2", 4: "<u4", 5: "<u8", 11: "<f4", 12: "<f8", 16: "<u8"}
_WIDTH, _HEIGHT, _BITS, _PREDICTOR, _TILE_W, _TILE_H, _OFFSETS, _COUNTS = 256, 257, 258, 317, 322, 323, 324, 325
_TIEPOINT = 33922


@dataclass(frozen=True)
class Level:
    """One resolution of a file.

    Attributes:
        shape: Rows and columns.
        tile: Rows and columns of a tile.
        offsets: Place of each tile in the file, dims (tile row, tile column).
        counts: Stored bytes of each tile, same dims.
        itemsize: Bytes of a pixel.
        predictor: 1 none, 2 differences along a row.
    """

    shape: tuple[int, int]
    tile: tuple[int, int]
    offsets: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    itemsize: int
    predictor: int

    @property
    def tile_bytes(self) -> int:
        """Bytes of a tile once it is inflated."""
        return self.tile[0] * self.tile[1] * self.itemsize


@dataclass(frozen=True)
class Header:
    """A file's levels, finest first, and the bytes before its first tile."""

    levels: tuple[Level, ...]
    size: int


def read_header(path: Path) -> Header:
    """The header of a little-endian classic TIFF whose tiles follow its directories."""
    with path.open("rb") as file:
        data = file.read(1 << 20)
    levels = []
    for tags in _directories(data):
        shape, tile = (int(tags[_HEIGHT][0]), int(tags[_WIDTH][0])), (int(tags[_TILE_H][0]), int(tags[_TILE_W][0]))
        grid = -(-shape[0] // tile[0]), -(-shape[1] // tile[1])
        offsets, counts = (tags[t].astype(np.int64).reshape(grid) for t in (_OFFSETS, _COUNTS))
        predictor = int(tags[_PREDICTOR][0]) if _PREDICTOR in tags else 1
        levels.append(Level(shape, tile, offsets, counts, int(tags[_BITS][0]) // 8, predictor))
    first = min(int(level.offsets[level.offsets > 0].min()) for level in levels if level.offsets.any())
    return Header(tuple(levels), first)


def _directories(data: bytes) -> list[dict[int, npt.NDArray[np.generic]]]:
    if data[:4] != b"II*\0":
        raise ValueError("not a little-endian classic TIFF")
    found, at = [], struct.unpack_from("<I", data, 4)[0]
    while at:
        (n,) = struct.unpack_from("<H", data, at)
        fields = [struct.unpack_from("<HHI4s", data, at + 2 + 12 * i) for i in range(n)]
        found.append({tag: _values(data, kind, count, value) for tag, kind, count, value in fields if kind in _TYPES})
        (at,) = struct.unpack_from("<I", data, at + 2 + 12 * n)
    return found


def _values(data: bytes, kind: int, count: int, value: bytes) -> npt.NDArray[np.generic]:
    dtype = np.dtype(_TYPES[kind])
    size = dtype.itemsize * count
    start = int.from_bytes(value, "little")
    raw = value[:size] if size <= 4 else data[start : start + size]
    return np.frombuffer(raw, dtype, count)


def move(path: Path, x: float, y: float) -> None:
    """Put a north-up file elsewhere by overwriting its tie point, the place of its upper left corner."""
    with path.open("r+b") as file:
        data = file.read(1 << 16)
        (at,) = struct.unpack_from("<I", data, 4)
        (n,) = struct.unpack_from("<H", data, at)
        for i in range(n):
            tag, kind, count, place = struct.unpack_from("<HHII", data, at + 2 + 12 * i)
            if (tag, kind, count) == (_TIEPOINT, 12, 6):
                file.seek(place + 24)
                file.write(struct.pack("<2d", x, y))
                return
    raise ValueError(f"{path} has no tie point")
