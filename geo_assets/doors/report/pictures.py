"""The composites as small pictures: neighbouring regions together, one picture a month, all cut and lit alike.

Where the area is small the pixels come from the cube, else from the quicklooks.
"""

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from PIL import Image

from geo_assets.doors.reader import Store, stored_grid
from geo_assets.doors.report.facts import Facts
from geo_assets.eo.picture import blank, decode_png
from geo_assets.errors import GeoAssetsError, PartitionError
from geo_assets.model import path
from geo_assets.model.crs import crs_of_group
from geo_assets.model.geometry import Block, PixelGrid, Region
from geo_assets.tasks.composite import PREVIEW_PX
from geo_assets.tasks.partition import PRODUCT

REGIONS = 12
MONTHS = 24
_SIDE_PX = 400
_BYTES = 1_600_000  # of all pictures together
_BYTES_A_PX = 0.45  # of a picture with much detail
_WINDOW_PX = 2048 * 2048  # larger areas are shown by their quicklooks
_READ_PX = 250_000_000  # of all bands and months
_GAMMA = 1 / 1.5

Floats = npt.NDArray[np.float32]
Rgba = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """One inlined picture."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Area:
    """Regions that touch each other, and a picture a month where something is observed.

    Attributes:
        regions: Their keys.
        pictures: By month.
        source: What the pictures are made from, for the caption.
        sharp: Made from the cube's pixels.
    """

    regions: list[str]
    pictures: dict[str, Picture]
    source: str
    sharp: bool


def open_groups(store: Store, regions: Iterable[str]) -> dict[str, xr.Dataset]:
    """The lazy cube of each group that can be opened; one that cannot is shown by its quicklooks."""
    found = {}
    for group in sorted({r.group for r in parsed(regions)}):
        try:
            found[group] = store.cube(group=group)
        except GeoAssetsError:
            continue
    return found


def parsed(regions: Iterable[str]) -> list[Region]:
    """The regions among names that may be anything."""
    found = []
    for key in regions:
        try:
            found.append(Region.parse(key))
        except PartitionError:
            continue
    return found


def areas(store: Store, facts: Facts, cubes: Mapping[str, xr.Dataset]) -> list[Area]:
    """Pictures of the first regions and the last months."""
    months = facts.months[-MONTHS:]
    clusters = _clusters(parsed(facts.regions)[:REGIONS])
    budget = _BYTES / max(1, len(clusters) * len(months))
    side = min(_SIDE_PX, max(48, int((budget / _BYTES_A_PX) ** 0.5)))
    made = []
    for cluster in clusters:
        keys, cube = [r.key for r in cluster], cubes.get(cluster[0].group)
        window = _window(facts, keys, cube) if cube is not None else None
        layers = list(_layers(cube, months)) if cube is not None and window else []
        cost = len(layers) * window.pixels if window else 0
        if cube is not None and window and layers and window.pixels <= _WINDOW_PX and cost <= _READ_PX / len(clusters):
            pictures, source = _sharp(cube, window, months, side)
            made.append(Area(keys, pictures, source, sharp=True))
        else:
            pictures = _from_quicklooks(store, cluster, months, side)
            made.append(Area(keys, pictures, f"Quicklooks, {PREVIEW_PX} pixels a block.", sharp=False))
    return made


def _clusters(regions: Sequence[Region]) -> list[list[Region]]:
    """Regions of a group that share an edge, together."""
    left, found = set(regions), []
    for first in regions:
        if first not in left:
            continue
        left.discard(first)
        cluster, todo = [], [first]
        while todo:
            at = todo.pop()
            cluster.append(at)
            beside = {
                Region(at.group, at.row + dr, at.col + dc) for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0))
            } & left
            left -= beside
            todo += beside
        found.append(sorted(cluster))
    return found


@dataclass(frozen=True)
class _Window:
    rows: slice
    cols: slice

    @property
    def pixels(self) -> int:
        return len(range(self.rows.start, self.rows.stop)) * len(range(self.cols.start, self.cols.stop))


def _window(facts: Facts, keys: Sequence[str], cube: xr.Dataset) -> _Window | None:
    """The part of a cube that holds every chunk that was made in some regions."""
    grid = stored_grid(cube.attrs)
    boxes = [_made_box(grid, Block(*at), chunks) for k in keys for at, chunks in facts.made.get(k, {}).items()]
    if not boxes:
        return None
    west, south, east, north = (f(b[i] for b in boxes) for i, f in enumerate((min, min, max, max)))
    res = float(grid.resolution)
    left, top = float(cube.x[0]) - res / 2, float(cube.y[0]) + res / 2
    rows = slice(max(0, round((top - north) / res)), min(cube.sizes["y"], round((top - south) / res)))
    cols = slice(max(0, round((west - left) / res)), min(cube.sizes["x"], round((east - left) / res)))
    return _Window(rows, cols) if rows.start < rows.stop and cols.start < cols.stop else None


def _made_box(grid: PixelGrid, block: Block, chunks: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    row0, row1, col0, col1 = chunks
    size = grid.chunk_px
    whole = grid.block_geobox(block)
    return whole.window(row0 * size, col0 * size, (row1 - row0 + 1) * size, (col1 - col0 + 1) * size).bounds


def _layers(cube: xr.Dataset, months: Sequence[str]) -> Iterator[tuple[str, list[xr.DataArray]]]:
    """For each month the layers that are shown: red, green and blue, or one band in grey."""
    bands = _bands(cube)
    names = [n for n in ("red", "green", "blue") if n in bands]
    shown = [bands[n] for n in names] if len(names) == 3 else list(bands.values())[:1]
    times = {str(np.datetime_as_string(t, unit="M")): i for i, t in enumerate(cube.time.values)}
    for month in months:
        if month in times and shown:
            yield month, [b.isel(time=times[month]) for b in shown]


def _bands(cube: xr.Dataset) -> dict[str, xr.DataArray]:
    found: dict[str, xr.DataArray] = {}
    for name, variable in cube.data_vars.items():
        if "band" in variable.dims:
            found |= {str(b): variable.isel(band=i) for i, b in enumerate(cube["band"].values)}
        elif variable.dims == ("time", "y", "x") and name != "n_clear":
            found[str(name)] = variable
    return dict(sorted(found.items()))


def _sharp(cube: xr.Dataset, window: _Window, months: Sequence[str], side: int) -> tuple[dict[str, Picture], str]:
    step = max(1, -(-max(window.rows.stop - window.rows.start, window.cols.stop - window.cols.start) // (2 * side)))
    seen: dict[str, Floats] = {}
    for month, layers in _layers(cube, months):
        pixels = np.stack([_mean(b.isel(y=window.rows, x=window.cols).values, step) for b in layers], axis=-1)
        if np.isfinite(pixels).all(axis=-1).any():
            seen[month] = pixels
    if not seen:
        return {}, "Nothing is observed."
    low, high = _stretch(seen.values())
    lit = {m: _light(p, low, high) for m, p in seen.items()}
    unit = "reflectance" if high < 20 else "value"
    return _cut(lit, side), f"All months share one stretch: {unit} {low:.2f} is shown black, {high:.2f} white."


def _mean(pixels: npt.NDArray[Any], step: int) -> Floats:
    """Means of squares of ``step`` pixels a side, dims (y, x), NaN where none of them is observed."""
    if step == 1:
        return pixels.astype(np.float32)
    rows, cols = pixels.shape
    wide = np.full((-(-rows // step) * step, -(-cols // step) * step), np.nan, np.float32)
    wide[:rows, :cols] = pixels
    squares = wide.reshape(wide.shape[0] // step, step, wide.shape[1] // step, step)
    seen = np.isfinite(squares)
    count = seen.sum(axis=(1, 3))
    total = np.where(seen, squares, 0).sum(axis=(1, 3), dtype=np.float32)
    means: Floats = np.divide(total, count, out=np.full(total.shape, np.nan, np.float32), where=count > 0)
    return means


def _stretch(pictures: Iterable[Floats]) -> tuple[float, float]:
    values = np.concatenate([p[np.isfinite(p)][::7] for p in pictures])
    low, high = (float(v) for v in np.percentile(values, [0.5, 99.5]))
    return low, high if high > low else low + 1


def _light(pixels: Floats, low: float, high: float) -> Rgba:
    """Dims (y, x, 4): colour, and transparent where not observed."""
    seen = np.isfinite(pixels).all(axis=-1, keepdims=True)
    lit = np.clip((np.where(seen, pixels, low) - low) / (high - low), 0, 1) ** _GAMMA * 255
    colour = np.broadcast_to(lit, (*lit.shape[:2], 3))
    return np.concatenate([colour, seen * 255], axis=-1).astype(np.uint8)


def _from_quicklooks(store: Store, cluster: Sequence[Region], months: Sequence[str], side: int) -> dict[str, Picture]:
    empty = blank(1, 1)[0, 0]
    southward = PixelGrid(crs_of_group(cluster[0].group), Fraction(1), 1, 1, 1).geographic
    top, left = (min if southward else max)(r.row for r in cluster), min(r.col for r in cluster)
    shape = max(abs(r.row - top) for r in cluster) + 1, max(r.col for r in cluster) - left + 1
    found: dict[str, Rgba] = {}
    for month in months:
        drawn = {r: decode_png(store.storage.read(path.quicklook(PRODUCT, r.key, month))) for r in cluster}
        tiles = {r: picture for r, picture in drawn.items() if picture is not None}
        if not tiles:
            continue
        size = next(iter(tiles.values())).shape[0]
        mosaic = np.zeros((shape[0] * size, shape[1] * size, 4), np.uint8)
        for region, tile in tiles.items():
            if tile.shape[:2] == (size, size):
                row, col = abs(region.row - top) * size, (region.col - left) * size
                seen = (tile != empty).any(axis=-1, keepdims=True)
                mosaic[row : row + size, col : col + size] = np.concatenate([tile, seen * np.uint8(255)], axis=-1)
        found[month] = mosaic
    return _cut(found, side)


def _cut(pictures: Mapping[str, Rgba], side: int) -> dict[str, Picture]:
    """Pictures cut to what is observed in any month, and encoded."""
    shapes = {p.shape for p in pictures.values()}
    opaque = [p[..., 3] > 0 for p in pictures.values()]
    seen: npt.NDArray[np.bool_] = np.logical_or.reduce(opaque) if len(shapes) == 1 else np.zeros((1, 1), bool)
    if not seen.any():
        return {}
    rows, cols = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(cols[0], cols[-1] + 1)
    return {m: _encode(p[box], side) for m, p in pictures.items() if (p[box][..., 3] > 0).any()}


def _encode(pixels: Rgba, side: int) -> Picture:
    image = Image.fromarray(pixels)
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=86, method=4)
    return Picture("data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode(), *image.size)
