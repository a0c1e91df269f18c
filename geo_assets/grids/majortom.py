"""The Major TOM grid as ESA's Phi-lab publishes it (Francis and Czerkawski 2024, arXiv:2402.12095; its ``grid.py``).

Rows are equally spaced in latitude, each row's columns in longitude, both from (0, 0) and at most ``size_m`` apart on a
sphere with the earth's equatorial radius. ``54U_1R`` is the cell whose lower left point is 54 rows up and 1 column right
of the origin; its UTM zone is that of this point. The patch is the square in that zone that begins ``margin_m`` left and
below the point and is ``size_m`` + 2 * ``margin_m`` a side. Sizes share names, so the size is stored with the name.
"""

import math
import warnings

import geopandas as gpd
import numpy as np
import numpy.typing as npt
import shapely

from geo_assets.errors import ConfigError
from geo_assets.model.cell import cell_table
from geo_assets.model.crs import transformer
from geo_assets.model.recipe import GridRecipe
from geo_assets.model.tiling import (
    Area,
    Floats,
    Ints,
    distinct,
    expand,
    index_range,
    lonlat_boxes,
    overlap,
    refuse_too_many,
    spherical,
    subdivide,
)
from geo_assets.model.zones import utm_zone_at

RADIUS_KM = 6378.137
MAX_LAT = 85  # rows whose lower edge lies beyond are not part of the grid


class MajorTomGrid:
    """Rows and columns of one spacing."""

    everywhere = True

    def cells(self, aoi: Area, spec: GridRecipe) -> gpd.GeoDataFrame:
        """Cells ``54U_1R`` with ``size_m``, ``primary`` and their patch (``patch_x0`` ... ``patch_y1`` in ``crs``).

        With ``overlap`` the cells half a row and half a column further on are added as ``54U_1R_half``.
        """
        rows = _Rows(spec.size_m)
        self._check_reach(aoi, rows)
        shifts = (0.0, 0.5) if spec.overlap else (0.0,)
        found = [rows.overlapped(aoi, shift, spec.size_m) for shift in shifts]
        row, col = (np.concatenate([f[i] for f in found]) for i in (0, 1))
        half = np.repeat(shifts, [len(f[0]) for f in found])
        columns = rows.columns(row)
        west, south, east, north = rows.bounds(row + half, col + half, columns)
        lon = np.where(half > 0, west, rows.longitude(col, columns))
        codes = _zones(lon, np.where(half > 0, south, rows.latitude(row)))
        patch = _patches(west, south, codes, spec)
        return cell_table(
            _names(row, col, half),
            lonlat_boxes((west, south, east, north)),
            np.char.add("EPSG:", codes.astype(str)).astype(object),
            size_m=spec.size_m,
            primary=half == 0,
            **dict(zip(("patch_x0", "patch_y0", "patch_x1", "patch_y1"), patch, strict=True)),
        )

    def _check_reach(self, aoi: Area, rows: "_Rows") -> None:
        _, south, _, north = aoi.bounds
        first, last = rows.first * rows.height, (rows.last + 1) * rows.height
        if north <= first or south >= last:
            raise ConfigError(
                f"Major TOM ends at {first:.2f} and {last:.2f} degrees of latitude and the area lies beyond: "
                "choose the grid square with a polar CRS"
            )
        if south < first or north > last:
            warnings.warn(
                f"Major TOM ends at {first:.2f} and {last:.2f} degrees of latitude: the rest of the area has no cells",
                UserWarning,
                stacklevel=4,
            )


class _Rows:
    """Rows of a grid: ``first``..``last``, each ``height`` degrees."""

    def __init__(self, size_m: float) -> None:
        self.size_km = size_m / 1000
        self.count = math.ceil(math.pi * RADIUS_KM / self.size_km)
        if self.count < 4:
            raise ConfigError(f"grid.size_m {size_m:g} leaves fewer than 4 rows around the earth: choose a smaller one")
        self.height = 180 / self.count
        near = math.floor(MAX_LAT / self.height) + np.arange(-1, 2)
        self.last = int(near[self.latitude(near) <= MAX_LAT].max())
        self.first = -int(near[self.latitude(-near) >= -MAX_LAT].max())

    def latitude(self, row: Ints) -> Floats:
        """Lower edge of rows, rounded as in the published code, on whose rounding names and zones depend."""
        lat: Floats = np.mod((row % self.count) * self.height - 90.0, 180) - 90
        return lat

    def longitude(self, col: Ints, columns: Ints) -> Floats:
        """Left edge of columns, rounded likewise."""
        lon: Floats = np.mod((col % columns) * (360.0 / columns) - 180.0, 360) - 180
        return lon

    def columns(self, row: Ints) -> Ints:
        """Columns of rows: the circle of their lower edge in parts no wider than the size."""
        circle = 2 * math.pi * (RADIUS_KM * np.cos(self.latitude(row) * math.pi / 180))
        return np.maximum(np.ceil(circle / self.size_km), 1).astype(np.int64)

    def first_column(self, columns: Ints) -> Ints:
        """The westernmost column: the one at 180 W, unless rounding puts it at 180 E and so on the right."""
        middle = columns // 2
        east = (columns % 2 == 0) & (self.longitude(middle, columns) > 0)
        return np.where(east, 1 - middle, -middle)

    def bounds(self, row: Floats, col: Floats, columns: Ints) -> tuple[Floats, Floats, Floats, Floats]:
        """West, south, east and north of cells, whose numbers may have halves."""
        width = 360 / columns
        return col * width, row * self.height, (col + 1) * width, (row + 1) * self.height

    def overlapped(self, aoi: Area, shift: float, size_m: float) -> tuple[Ints, Ints]:
        """Rows and columns of the cells, ``shift`` of a cell further on, that overlap an area."""
        what = f"Major TOM cells of {size_m:g} m"
        step = math.degrees(self.size_km / RADIUS_KM)
        refuse_too_many(spherical(aoi) / step**2, what=what)
        pieces = subdivide(aoi, (step, step))
        west, south, east, north = shapely.bounds(pieces).T
        low, high = index_range(south / self.height - shift, north / self.height - shift)
        piece, row = expand(np.maximum(low, self.first), np.minimum(high, self.last))
        columns = self.columns(row)
        width = 360 / columns
        left, right = index_range(west[piece] / width - shift, east[piece] / width - shift)
        refuse_too_many(float((right - left + 1.0).sum()), what=what)
        nth, col = expand(left, right)
        piece, row, columns = piece[nth], row[nth], columns[nth]
        hit = overlap(pieces, piece, self.bounds(row + shift, col + shift, columns))
        row, col, columns = row[hit], col[hit], columns[hit]
        first = self.first_column(columns)  # around the antimeridian a cell is met from both sides
        return distinct(row, (col - first) % columns + first)


def _names(row: Ints, col: Ints, half: Floats) -> npt.NDArray[np.str_]:
    up = np.char.add(np.abs(row).astype(str), np.where(row < 0, "D_", "U_"))
    right = np.char.add(np.abs(col).astype(str), np.where(col < 0, "L", "R"))
    return np.char.add(np.char.add(up, right), np.where(half > 0, "_half", ""))


def _zones(lon: Floats, lat: Floats) -> Ints:
    plain = np.floor((lon + 180) / 6).astype(np.int64) % 60 + 32601
    return np.where(lat >= 84, plain, utm_zone_at(lon, lat))


def _patches(lon: Floats, lat: Floats, codes: Ints, spec: GridRecipe) -> tuple[Floats, Floats, Floats, Floats]:
    x, y = np.empty(len(lon)), np.empty(len(lon))
    for code in np.unique(codes):
        here = codes == code
        x[here], y[here] = transformer("EPSG:4326", f"EPSG:{code}").transform(lon[here], lat[here])
    side = spec.size_m + 2 * spec.margin_m
    left, bottom = x - spec.margin_m, y - spec.margin_m
    return left, bottom, left + side, bottom + side


PLUGIN = MajorTomGrid()
