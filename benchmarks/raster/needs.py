"""Which tiles of which files a target cannot do without: the floor for bytes and for inflating."""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine

from benchmarks.raster.tiff import Header, Level, read_header
from geo_assets.model.crs import transformer
from geo_assets.model.geometry import GeoBox

header = lru_cache(maxsize=None)(read_header)
_STEP = 4


@dataclass(frozen=True)
class Need:
    """Tiles of one file, as flat indexes into its level."""

    path: Path
    level: Level
    tiles: npt.NDArray[np.int64]
    header_bytes: int

    @property
    def bytes(self) -> int:
        """Stored bytes of the tiles."""
        return int(self.level.counts.ravel()[self.tiles].sum())


def of_boxes(items: list[dict[str, Any]], boxes: list[GeoBox], bands: tuple[str, ...]) -> list[Need]:
    """Tiles that windows need of each asset, each once, however many windows need it."""
    found = []
    for item in items:
        for band in bands:
            asset = item["assets"][band]
            path, nearest = Path(asset["file"]), band == "scl"
            per_box = [tiles_of(header(path), Affine(*asset["proj:transform"][:6]), b, nearest=nearest) for b in boxes]
            level = max((lev for lev, _ in per_box), key=lambda lev: lev.shape)
            tiles = np.unique(np.concatenate([t for lev, t in per_box if lev is level]))
            if tiles.size:
                found.append(Need(path, level, tiles, header(path).size))
    return found


def tiles_of(
    head: Header, transform: Affine, box: GeoBox, *, nearest: bool, crs: str = "EPSG:32632"
) -> tuple[Level, npt.NDArray[np.int64]]:
    """The coarsest level that is not coarser than a window, and the tiles of it that the window's kernels touch."""
    col, row = _source_pixels(transform, box, crs)
    shrink_x = (col.max() - col.min()) / (box.shape[1] - 1)
    shrink_y = (row.max() - row.min()) / (box.shape[0] - 1)
    aligned = crs == box.crs and math.isclose(transform.a, float(box.resolution))
    level = head.levels[0] if nearest else _level(head, min(shrink_x, shrink_y))
    factor = head.levels[0].shape[1] / level.shape[1]
    reach = 0.0 if nearest or aligned else max(1.0, shrink_x / factor, shrink_y / factor)
    tiles = set()
    for dy in (-reach, reach):
        for dx in (-reach, reach):
            r, c = np.floor(row / factor + dy).astype(np.int64), np.floor(col / factor + dx).astype(np.int64)
            inside = (r >= 0) & (c >= 0) & (r < level.shape[0]) & (c < level.shape[1])
            index = r[inside] // level.tile[0] * level.counts.shape[1] + c[inside] // level.tile[1]
            tiles |= set(np.unique(index).tolist())
    return level, np.array(sorted(tiles), np.int64)


def _level(head: Header, shrink: float) -> Level:
    full = head.levels[0].shape[1]
    return [lev for lev in head.levels if lev is head.levels[0] or full / lev.shape[1] <= shrink + 1e-6][-1]


def _source_pixels(transform: Affine, box: GeoBox, crs: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Column and row in the file of pixel centres of a window, on a grid that has its edges; files are north-up."""
    xs, ys = box.centers()
    x, y = np.meshgrid(*(v[np.unique(np.r_[0 : v.size : _STEP, v.size - 1])] for v in (xs, ys)))
    if box.crs != crs:
        x, y = transformer(box.crs, crs).transform(x, y)
    return (x - transform.c) / transform.a, (y - transform.f) / transform.e
