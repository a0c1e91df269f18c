"""The Major TOM grid of the package ``majortom_eg``: cells ``size_m`` apart, named by the geohash of their centre.

It is not ESA's grid (``majortom``): other rows and columns, other names. Names changed between versions of the package,
so one version is pinned. Two of its habits are mended here: areas of several parts, and cells across the antimeridian,
which it names by the side that they are met from; they get the name that they have from the east, at 180 W.
"""

import importlib.metadata
from typing import Any

import geopandas as gpd
import numpy as np

from geo_assets.errors import ConfigError, PluginError
from geo_assets.model.cell import cell_table, utm_crs
from geo_assets.model.crs import METRES_PER_DEGREE
from geo_assets.model.geohash import geohash_at
from geo_assets.model.recipe import GridRecipe
from geo_assets.model.tiling import (
    Area,
    Floats,
    Geometries,
    lonlat_boxes,
    overlap,
    refuse_too_many,
    spherical,
    subdivide,
)

VERSION = "1.1.0"
_ID_LENGTH = 11
_ADVICE = "install geo-assets[majortom], or choose the grid square or majortom, which need no package"


class MajorTomEgGrid:
    """Cells of the package, the half-shifted ones too where ``overlap`` says so."""

    everywhere = True

    def cells(self, aoi: Area, spec: GridRecipe) -> gpd.GeoDataFrame:
        """Cells named by 11 characters of geohash, with ``size_m`` and ``primary``.

        Raises:
            PluginError: The package is missing or of another version.
        """
        if spec.size_m != int(spec.size_m):
            raise ConfigError(f"grid.size_m is {spec.size_m:g}: majortom-eg takes whole metres, such as 512")
        native = _package().MajorTomGrid(int(spec.size_m), spec.overlap)._native
        step = spec.size_m / METRES_PER_DEGREE
        refuse_too_many(
            spherical(aoi) / step**2 * (2 if spec.overlap else 1), what=f"Major TOM cells of {spec.size_m:g} m"
        )
        pieces = subdivide(aoi, (step, step))
        # Boxes of pieces go in, because the package knows neither parts nor holes
        records = [native.generate_grid_cells(_ring(p)) for p in pieces]
        piece = np.repeat(np.arange(len(pieces)), [len(r) for r in records])
        flat = [record for group in records for record in group]
        primary = np.array([r[1] for r in flat], bool)
        bounds = np.array([r[2:] for r in flat], float).reshape(-1, 4)
        ids = np.array([r[0] for r in flat], f"<U{_ID_LENGTH}")
        hit = overlap(pieces, piece, _within_world(bounds))
        ids, bounds = _named_from_the_east(ids[hit], bounds[hit])
        _, first = np.unique(ids, return_index=True)
        first = first[np.lexsort((bounds[first, 0], bounds[first, 1]))]
        west, south, east, north = bounds[first].T
        crs = utm_crs((west + east) / 2, np.clip((south + north) / 2, -90, 90))
        boxes: Geometries = lonlat_boxes((west, south, east, north))
        return cell_table(ids[first], boxes, crs, size_m=spec.size_m, primary=primary[hit][first])


def _package() -> Any:
    try:
        found = importlib.metadata.version("majortom_eg")
        import majortom_eg
    except ImportError as e:
        raise PluginError(f"the grid majortom-eg needs the package majortom_eg, which is not here: {_ADVICE}") from e
    if found != VERSION:
        raise PluginError(f"majortom_eg is {found} and the names of cells are those of {VERSION}: {_ADVICE}")
    return majortom_eg


def _ring(piece: Any) -> list[tuple[float, float]]:
    west, south, east, north = piece.bounds
    return [(west, south), (east, south), (east, north), (west, north), (west, south)]


def _within_world(bounds: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    west, south, east, north = bounds.T
    return west, south, east, north


def _named_from_the_east(ids: Any, bounds: Floats) -> tuple[Any, Floats]:
    centre = (bounds[:, 0] + bounds[:, 2]) / 2
    beyond = centre >= 180 - 1e-9
    bounds = bounds - np.where(beyond, 360.0, 0.0)[:, None] * (1, 0, 1, 0)
    lat = (bounds[beyond, 1] + bounds[beyond, 3]) / 2
    ids = ids.copy()
    ids[beyond] = geohash_at(np.maximum(centre[beyond] - 360, -180.0), lat, _ID_LENGTH)
    return ids, bounds


PLUGIN = MajorTomEgGrid()
