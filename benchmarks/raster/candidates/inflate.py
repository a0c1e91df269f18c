"""The decode limit: inflating the tiles that the target needs, each once, in one thread, and nothing else."""

import time
from typing import Any

from benchmarks.raster import needs
from benchmarks.raster.chips import Chips
from benchmarks.raster.targets import Target


def run(items: list[dict[str, Any]], target: Target, *, library: str = "libdeflate") -> float:
    """CPU seconds of the inflater alone; fetching is left out."""
    return _spent(needs.of_boxes(items, target.boxes, (*target.bands, "scl")), library)


def _spent(wanted: list[needs.Need], library: str) -> float:
    if library == "libdeflate":
        import deflate

        def inflate(data: bytes, size: int) -> Any:
            return deflate.zlib_decompress(data, size)
    else:
        from isal import isal_zlib

        def inflate(data: bytes, size: int) -> Any:
            return isal_zlib.decompress(data, bufsize=size)

    spent = 0.0
    for need in wanted:
        offsets, counts = need.level.offsets.ravel(), need.level.counts.ravel()
        with need.path.open("rb") as file:
            for tile in need.tiles:
                file.seek(int(offsets[tile]))
                data = file.read(int(counts[tile]))
                began = time.thread_time()
                pixels = inflate(data, need.level.tile_bytes)
                spent += time.thread_time() - began
                assert len(pixels) == need.level.tile_bytes
    return spent


def chips(items: list[dict[str, Any]], wanted: Chips, *, library: str = "libdeflate") -> float:
    """CPU seconds of the inflater alone, over the tiles that all chips together need."""
    return _spent(needs.of_boxes(items, wanted.boxes, wanted.bands), library)
