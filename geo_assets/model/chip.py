"""Chips: windows of one size that cover a cell, on the pixels of its own grid."""

from dataclasses import dataclass
from typing import Any

import shapely

from geo_assets.model.cell import CellBox
from geo_assets.model.geohash import geohash_at

GEOHASH = 8  # characters of a chip's geohash: 38 by 19 m at the equator
_SLACK = 0.05  # of a chip's side that its cell may reach beyond it at both ends together


@dataclass(frozen=True)
class Chip(CellBox):
    """A window of a cell.

    Attributes:
        id: ``{cell}_{row}_{col}``: of the windows of a cell, from its upper left.
        box: Its pixels.
        outline: Outline of the window in EPSG:4326 as WKB, split at the antimeridian.
        cell_id: The cell.
    """

    cell_id: str = ""


def chips_of(cell: CellBox, size_px: int) -> list[Chip]:
    """The chips of a cell, row by row; the same for every area that asks for the cell.

    As few windows as cover it, in its middle: of a smaller cell one that reaches beyond it on all sides. A cell that follows a
    map's metres is seldom a whole number of pixels, so what a cell is larger by at most 5 % of a chip is left out.

    Args:
        cell: Its pixels.
        size_px: Side of a chip.
    """
    counts = [max(1, -(-(side - int(_SLACK * size_px)) // size_px)) for side in cell.box.shape]
    top, left = ((side - n * size_px) // 2 for side, n in zip(cell.box.shape, counts, strict=True))
    return [
        _chip(cell, row, col, top + row * size_px, left + col * size_px, size_px)
        for row in range(counts[0])
        for col in range(counts[1])
    ]


def _chip(cell: CellBox, row: int, col: int, at_row: int, at_col: int, size_px: int) -> Chip:
    box = cell.box.window(at_row, at_col, size_px, size_px)
    return Chip(f"{cell.id}_{row}_{col}", box, shapely.to_wkb(box.lonlat()), cell.id)


def place_of(chip: Chip) -> dict[str, Any]:
    """Where a chip lies, as columns of the table of chips: geohash of its centroid, bounds, outline, CRS and transform."""
    outline = shapely.from_wkb(chip.outline)
    west, south, east, north = outline.bounds
    largest = max(shapely.get_parts(outline), key=shapely.area)  # across the antimeridian the larger half
    x, y = largest.centroid.x, largest.centroid.y
    return {
        "chip_id": chip.id, "cell_id": chip.cell_id, "geohash": str(geohash_at(x, y, GEOHASH)), "geometry": chip.outline, "west": west, "south": south,
        "east": east, "north": north, "bbox": {"xmin": west, "ymin": south, "xmax": east, "ymax": north}, "crs": chip.box.crs,
        "transform": list(chip.box.transform)[:6],
    }  # fmt: skip
