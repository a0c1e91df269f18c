"""The layout of a tiled TIFF: where its tiles lie in the file, from its headers alone.

Only what the fast path can decode exactly as GDAL does gets a layout; everything else raises ``Unfit`` with the reason, and
is read by GDAL. Headers are parsed by async-tiff from bytes that were fetched through our own checks.
"""

import asyncio
import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from async_tiff import TIFF

from geo_assets.errors import ConfigError, SourceError
from geo_assets.model.crs import canonical_crs
from geo_assets.readers._files import HEADER_BYTES, Source

MOST_HEADER_BYTES = 2**20  # beyond it the headers are spread over the file, and GDAL finds its way better
_MAX_TILE_BYTES = 2**26
_DEFLATE = (8, 32946)
_MOST_DIRECTORIES = 64
_DIRECTORY_BYTES, _LEAST_DIRECTORY_BYTES = 4096, 8  # 340 tags, or 204 of a BigTIFF
_TAG_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}  # by type; others take 1
_USER_DEFINED = 32767
_FILL_ORDER = 266  # tag (TIFF 6.0, page 32)
_METRE, _DEGREE = 9001, 9102  # units of GeoTIFF keys
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*|\s*[-+]?(nan|inf)\s*", re.IGNORECASE)
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType (TIFF 6.0, page 36)
_DTYPES = {
    (1, 8): "uint8",
    (1, 16): "uint16",
    (1, 32): "uint32",
    (2, 8): "int8",
    (2, 16): "int16",
    (2, 32): "int32",
    (3, 32): "float32",
}


class Unfit(Exception):
    """The fast path does not know this kind of file; the text says what it is."""


@dataclass(frozen=True)
class Level:
    """The full image or one of its overviews.

    Attributes:
        shape: Rows and columns.
        tile: Rows and columns of a tile.
        offsets: First byte of each tile, dims (tiles down, tiles across); 0 where the tile is not stored.
        sizes: Bytes of each tile, likewise.
    """

    shape: tuple[int, int]
    tile: tuple[int, int]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """What the headers say.

    Attributes:
        crs: Canonical CRS.
        transform: From (column, row) of pixel corners of the full image to its coordinates.
        nodata: Stored number that means "not observed", or None.
        dtype: Numpy dtype of the pixels.
        deflate: Whether tiles are deflated; else they are stored as they are.
        predictor: TIFF predictor: 1 none, 2 differences along a row, 3 differences of floats' bytes.
        levels: The full image, then its overviews, each coarser than the one before.
    """

    crs: str
    transform: Affine
    nodata: float | None
    dtype: np.dtype[Any]
    deflate: bool
    predictor: int
    levels: tuple[Level, ...]

    @property
    def height(self) -> int:
        """Rows of the full image."""
        return self.levels[0].shape[0]

    @property
    def width(self) -> int:
        """Columns of the full image."""
        return self.levels[0].shape[1]


class _Headers:
    """Bytes of a source as async-tiff asks for them; refuses to go far into the file."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.refused = ""
        self.fault: SourceError | None = None

    async def get_range_async(
        self, path: str, *, start: int, end: int | None = None, length: int | None = None
    ) -> bytes:
        """A range."""
        stop = min(start + length if end is None and length is not None else end or 0, self._source.size)
        if stop > MOST_HEADER_BYTES or start >= stop:
            self.refused = "headers far into the file" if start < stop else "headers beyond the end of the file"
            raise ValueError(self.refused)
        try:
            return bytes(self._source.fetch(start, stop))
        except SourceError as e:
            self.fault = e
            raise

    async def get_ranges_async(
        self, path: str, *, starts: list[int], ends: list[int] | None = None, lengths: list[int] | None = None
    ) -> list[bytes]:
        """Several ranges."""
        stops = ends or [a + n for a, n in zip(starts, lengths or [], strict=True)]
        return [await self.get_range_async(path, start=a, end=b) for a, b in zip(starts, stops, strict=True)]


def layout(source: Source) -> Layout:
    """The layout of a file; blocks while headers are fetched.

    Raises:
        Unfit: GDAL has to read it.
        SourceError: A range could not be fetched.
    """
    _check_directories(source, *_first_directory(bytes(source.head[:16])))
    headers = _Headers(source)
    loop = asyncio.new_event_loop()
    try:
        return _layout(loop.run_until_complete(_parse(headers, min(HEADER_BYTES, source.size))))
    except Unfit:
        raise
    except Exception as e:  # async-tiff has no errors of its own; GDAL judges such a file
        if headers.fault is not None:
            raise headers.fault from e
        raise Unfit(headers.refused or "headers that the fast path cannot parse") from e
    finally:
        loop.close()


async def _parse(headers: _Headers, prefetch: int) -> TIFF:
    return await TIFF.open("", store=headers, prefetch=prefetch)


def _first_directory(head: bytes) -> tuple[int, bool]:
    """Where the first directory is, and whether the file is a BigTIFF."""
    if head[:4] == b"II*\0" and len(head) >= 8:
        return int(struct.unpack("<I", head[4:8])[0]), False
    if head[:4] == b"II+\0" and len(head) >= 16:
        return int(struct.unpack("<Q", head[8:16])[0]), True
    raise Unfit("big-endian TIFF" if head[:2] == b"MM" else "no TIFF")


def _check_directories(source: Source, at: int, big: bool) -> None:
    """Whether the directories are a chain that ends, of tables that can be true: what parses them takes memory unasked."""
    count_bytes, entry, count_code, code = (8, 20, "<Q", "<HHQQ") if big else (2, 12, "<H", "<HHII")
    seen: set[int] = set()
    while at or not seen:
        if at < 8:
            raise Unfit("a directory within the first bytes")
        if at > MOST_HEADER_BYTES:
            raise Unfit("headers far into the file" if seen else "headers at the end of the file")
        if at in seen or len(seen) == _MOST_DIRECTORIES:
            raise Unfit("directories that do not end")
        seen.add(at)
        table = _bytes_at(source, at, _DIRECTORY_BYTES)
        (count,) = struct.unpack_from(count_code, table)
        end = count_bytes + count * entry
        if end + count_bytes > _DIRECTORY_BYTES:
            raise Unfit("a directory that is too long")
        if end + (8 if big else 4) > len(table):
            raise Unfit("headers beyond the end of the file")
        for tag, kind, size, value in struct.iter_unpack(code, table[count_bytes:end]):
            if size * _TAG_BYTES.get(kind, 1) > MOST_HEADER_BYTES:
                raise Unfit("a tag that is too long")
            if tag == _FILL_ORDER and value & 0xFFFF != 1:
                raise Unfit("bits in reverse order")
        (at,) = struct.unpack_from("<Q" if big else "<I", table, end)


def _bytes_at(source: Source, start: int, most: int) -> bytes:
    end = min(start + most, source.size)
    if end - start < _LEAST_DIRECTORY_BYTES:
        raise Unfit("headers beyond the end of the file")
    return bytes(source.fetch(start, end))


def _layout(tiff: Any) -> Layout:
    full = tiff.ifds[0]
    levels = [_level(full)]
    for ifd in tiff.ifds[1:]:
        kind = int(ifd.new_subfile_type or 0)
        if kind & _MASK:
            raise Unfit("an internal mask")
        if kind & _REDUCED and ifd.image_width < levels[-1].shape[1]:
            _same_coding(full, ifd)
            levels.append(_level(ifd))
    return Layout(
        crs=_crs(full), transform=_transform(full), nodata=_nodata(full), dtype=_dtype(full), deflate=int(full.compression) in _DEFLATE,
        predictor=int(full.predictor or 1), levels=tuple(levels),
    )  # fmt: skip


def _same_coding(full: Any, ifd: Any) -> None:
    for name in ("compression", "predictor", "bits_per_sample", "sample_format", "samples_per_pixel"):
        if getattr(full, name) != getattr(ifd, name):
            raise Unfit("overviews that are stored in another way")


def _level(ifd: Any) -> Level:
    compression, predictor = int(ifd.compression), int(ifd.predictor or 1)
    if compression not in (1, *_DEFLATE):
        raise Unfit(f"compression {getattr(ifd.compression, 'name', compression)}")
    fits = {1: True, 2: _dtype(ifd).kind != "f", 3: _dtype(ifd).kind == "f"}
    if not fits.get(predictor, False) or (predictor != 1 and compression == 1):
        raise Unfit(f"predictor {predictor}")
    if ifd.samples_per_pixel != 1:
        raise Unfit(f"{ifd.samples_per_pixel} samples a pixel")
    if not ifd.tile_width or not ifd.tile_height:
        raise Unfit("strips instead of tiles")
    if int(ifd.tile_width) * int(ifd.tile_height) * _dtype(ifd).itemsize > _MAX_TILE_BYTES:
        raise Unfit("very large tiles")
    shape, tile = (int(ifd.image_height), int(ifd.image_width)), (int(ifd.tile_height), int(ifd.tile_width))
    if min(shape) < 1:
        raise Unfit("an image without pixels")
    grid = -(-shape[0] // tile[0]), -(-shape[1] // tile[1])
    offsets, sizes = np.asarray(ifd.tile_offsets, np.int64), np.asarray(ifd.tile_byte_counts, np.int64)
    if offsets.size != grid[0] * grid[1] or sizes.size != offsets.size:
        raise Unfit("an incomplete list of tiles")
    return Level(shape, tile, offsets.reshape(grid), sizes.reshape(grid))


def _dtype(ifd: Any) -> np.dtype[Any]:
    formats = [int(f) for f in ifd.sample_format] or [1]
    name = _DTYPES.get((formats[0], int(ifd.bits_per_sample[0])))
    if name is None:
        raise Unfit(f"pixels of {ifd.bits_per_sample[0]} bits")
    return np.dtype(name)


def _nodata(ifd: Any) -> float | None:
    """As rasterio gives it: None also where no pixel can have it, such as NaN among integers."""
    text, dtype = ifd.gdal_nodata, _dtype(ifd)
    if text is not None and not _NUMBER.fullmatch(text):
        raise Unfit("a nodata value that is no plain number")
    nodata = None if text is None else float(text)
    if nodata is None or dtype.kind == "f":
        return nodata
    return nodata if np.iinfo(dtype).min <= nodata <= np.iinfo(dtype).max else None


def _crs(ifd: Any) -> str:
    keys = ifd.geo_key_directory
    if keys is None or ifd.model_transformation is not None:
        raise Unfit("no plain georeference")
    if int(keys.raster_type or 1) != 1:
        raise Unfit("coordinates that name pixel centres")
    if (keys.proj_linear_units or _METRE) != _METRE or (keys.geog_angular_units or _DEGREE) != _DEGREE:
        raise Unfit("coordinates in other units")
    code = {1: keys.projected_type, 2: keys.geographic_type}.get(int(keys.model_type or 0))
    if code is None or int(code) == _USER_DEFINED:
        raise Unfit("a CRS without an EPSG code")
    try:
        return canonical_crs(f"EPSG:{int(code)}")
    except ConfigError as e:
        raise Unfit(f"CRS EPSG:{int(code)}") from e


def _transform(ifd: Any) -> Affine:
    scale, tie = ifd.model_pixel_scale, ifd.model_tiepoint
    if not scale or not tie or len(tie) != 6 or not scale[0] > 0 or not scale[1] > 0:
        raise Unfit("no plain georeference")
    return Affine(scale[0], 0.0, tie[3] - tie[0] * scale[0], 0.0, -scale[1], tie[4] + tie[1] * scale[1])


def nodata_of(layout: Layout) -> Any:
    """What a tile that is not stored is full of, as one of the file's numbers."""
    nodata, dtype = layout.nodata, layout.dtype
    fits = nodata is not None and (dtype.kind == "f" or nodata == int(nodata))
    return dtype.type(nodata if fits else 0)
