"""A map of cells, regions and areas of interest as SVG, in degrees stretched to true proportions."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
import xarray as xr

from geo_assets.doors.reader import Store, stored_grid
from geo_assets.doors.report.pictures import parsed
from geo_assets.errors import ConfigError, GeoAssetsError
from geo_assets.model import path
from geo_assets.model.crs import METRES_PER_DEGREE
from geo_assets.model.lonlat import mended
from geo_assets.report.charts import digits, nice
from geo_assets.report.markup import Markup, capped, el, svg

_CELLS = 1500  # drawn one by one
_UNITED = 50_000
_REGIONS = 100
_AREAS = 20
_POINTS = 4000  # of one outline
_WIDTH, _TALLEST = 1080.0, 620.0
_MARGIN = (64.0, 14.0, 10.0, 26.0)  # left, top, right, bottom


@dataclass(frozen=True)
class _Frame:
    """From degrees to the page."""

    west: float
    north: float
    east: float
    south: float
    px_x: float
    px_y: float

    @classmethod
    def around(cls, bounds: Sequence[float]) -> "_Frame":
        west, south, east, north = bounds
        squeeze = max(0.05, math.cos(math.radians((south + north) / 2)))
        side = max(east - west, (north - south) / squeeze, 1e-6)
        pad = side * 0.06
        west, east, south, north = west - pad, east + pad, south - pad * squeeze, north + pad * squeeze
        left, top, right, bottom = _MARGIN
        px_x = min((_WIDTH - left - right) / (east - west), (_TALLEST - top - bottom) / (north - south) * squeeze)
        spare = ((_WIDTH - left - right) / px_x - (east - west)) / 2  # the map is as wide as the page
        return cls(west - spare, north, east + spare, south, px_x, px_x / squeeze)

    @property
    def height(self) -> float:
        return _MARGIN[1] + (self.north - self.south) * self.px_y + _MARGIN[3]

    def x(self, lon: float) -> float:
        return _MARGIN[0] + (lon - self.west) * self.px_x

    def y(self, lat: float) -> float:
        return _MARGIN[1] + (self.north - lat) * self.px_y

    def outline(self, geometry: Any) -> str:
        """Path of a geometry's polygons, cut at the frame."""
        box = self.west, self.south, self.east, self.north
        inside = shapely.clip_by_rect(_sound(geometry), *box)
        rings = [r for p in shapely.get_parts(inside) if p.geom_type == "Polygon" for r in shapely.get_rings(p)]
        return "".join(self._ring(shapely.get_coordinates(r)[:-1]) for r in rings)

    def border(self, geometry: Any) -> str:
        """Path of a geometry's border inside the frame, without the frame."""
        lines = shapely.clip_by_rect(shapely.boundary(geometry), self.west, self.south, self.east, self.north)
        return "".join(
            self._line(shapely.get_coordinates(p)) for p in shapely.get_parts(lines) if p.geom_type == "LineString"
        )

    def _line(self, points: Any) -> str:
        return "M" + "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)

    def _ring(self, points: Any) -> str:
        return self._line(points[:: max(1, len(points) // _POINTS)]) + "Z"


@dataclass(frozen=True)
class _Shapes:
    cells: gpd.GeoDataFrame
    regions: dict[str, Any]
    areas: dict[str, Any]

    def bounds(self) -> tuple[float, float, float, float] | None:
        """Of cells and areas, else of regions."""
        shapes = [*self.cells.geometry, *self.areas.values()] or list(self.regions.values())
        found = shapely.total_bounds(np.array(shapes, object)) if shapes else np.full(4, np.nan)
        return tuple(found) if np.isfinite(found).all() else None


def area_map(
    store: Store, regions: Sequence[str], cubes: Mapping[str, xr.Dataset], *, areas: Mapping[str, Any], failed: frozenset[str]
) -> Markup:  # fmt: skip
    """The map with its legend, or the sentence that there is nothing to draw.

    Args:
        store: Whose cells and areas are drawn.
        regions: Their keys.
        cubes: Lazy cube of each group, which knows the pixel grid.
        areas: Outlines by name in EPSG:4326, besides those that the storage holds.
        failed: Cells of a block that failed.
    """
    cells = store.cells()
    shapes = _east_of_antimeridian(_Shapes(cells, dict(_outlines(regions, cubes)), dict(_areas(store)) | dict(areas)))
    bounds = shapes.bounds()
    if bounds is None:
        return el("p", "No cells are stored yet.")
    frame = _Frame.around(bounds)
    drawn = el("g", _regions(frame, shapes), _cells(frame, shapes.cells, failed), _outline_areas(frame, shapes), clip_path="url(#map-frame)")  # fmt: skip
    label = f"Map of {len(cells):,} cells in {len(regions):,} regions, from {_lon(bounds[0], 4)} to {_lon(bounds[2], 4)} and from {_lat(bounds[1], 4)} to {_lat(bounds[3], 4)}"
    picture = svg(
        _WIDTH, round(frame.height, 1), label, _paper(frame), _graticule(frame), drawn, _scale_bar(frame), class_="map"
    )
    legend = _legend(shapes, failed)
    many = (
        el("p", f"{len(cells):,} cells are drawn as the area that they cover.", class_="capped")
        if len(cells) > _CELLS
        else None
    )
    few = capped(min(_REGIONS, len(regions)), len(regions), "regions are drawn")
    return el("figure", el("div", picture, class_="wide"), legend, many, few)


def _some(cells: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Evenly picked cells, as many as may be united."""
    if len(cells) <= _UNITED:
        return cells
    return cells.iloc[np.linspace(0, len(cells) - 1, _UNITED).astype(int)]


def _outlines(regions: Sequence[str], cubes: Mapping[str, xr.Dataset]) -> Iterator[tuple[str, Any]]:
    for region in parsed(regions)[:_REGIONS]:
        if region.group in cubes:
            try:
                yield region.key, stored_grid(cubes[region.group].attrs).region_geobox(region).lonlat()
            except GeoAssetsError:
                continue


def _areas(store: Store) -> Iterator[tuple[str, Any]]:
    for name in store.storage.names(path.AOIS)[:_AREAS]:
        shape = shapely.from_geojson(store.storage.read(name), on_invalid="ignore")
        if shape is not None and not shape.is_empty:
            parts = [_sound(p) for p in shapely.get_parts(shape)]
            yield name.rsplit("/", 1)[-1].removesuffix(".geojson"), shapely.union_all(parts)


def _sound(shape: Any) -> Any:
    """A valid shape of the same area; the hull of one that is too tangled to be mended."""
    if shape.is_valid:
        return shape
    try:
        return mended(shape)
    except ConfigError:
        return shape.convex_hull


def _east_of_antimeridian(shapes: _Shapes) -> _Shapes:
    """Western longitudes counted on beyond 180 where that makes the map narrower."""

    def turn(shape: Any) -> Any:
        return shapely.transform(
            shape, lambda xy: np.column_stack([np.where(xy[:, 0] < 0, xy[:, 0] + 360, xy[:, 0]), xy[:, 1]])
        )

    bounds = shapes.bounds()
    if bounds is None or bounds[2] - bounds[0] <= 180:
        return shapes
    turned = _Shapes(
        shapes.cells.set_geometry(turn(shapes.cells.geometry.to_numpy()), crs=None),
        {k: turn(v) for k, v in shapes.regions.items()},
        {k: turn(v) for k, v in shapes.areas.items()},
    )
    after = turned.bounds()
    return turned if after and after[2] - after[0] < bounds[2] - bounds[0] else shapes


def _cells(frame: _Frame, cells: gpd.GeoDataFrame, failed: frozenset[str]) -> list[Markup]:
    """Each cell; where there are too many the area that they cover, and of a failed block's the first."""
    bad = cells[cells["cell_id"].isin(failed)].iloc[:_CELLS]
    if len(cells) > _CELLS:
        covered = _covered(_some(cells).geometry.to_numpy(), 0.5 / frame.px_x)
        drawn = [el("path", d=frame.outline(covered), class_="cell")]
    else:
        drawn = [
            _cell(frame, *c, "cell") for c in zip(cells["cell_id"], cells.geometry, strict=True) if c[0] not in failed
        ]
    return drawn + [_cell(frame, *c, "cell bad") for c in zip(bad["cell_id"], bad.geometry, strict=True)]


def _covered(shapes: Any, pixel: float) -> Any:
    """Union without the slivers that rounding leaves between neighbours."""
    west, _, east, _ = shapely.bounds(shapes).T
    return shapely.simplify(shapely.union_all(shapes, grid_size=min(pixel, float(np.median(east - west)) / 20)), pixel)


def _cell(frame: _Frame, cell_id: str, shape: Any, kind: str) -> Markup:
    tip = f"{cell_id}: in a block that failed" if kind == "cell bad" else cell_id
    return el("path", el("title", tip), d=frame.outline(shape), class_=kind)


def _regions(frame: _Frame, shapes: _Shapes) -> list[Markup]:
    drawn = []
    for key, shape in shapes.regions.items():
        seen = shapely.clip_by_rect(shape, frame.west, frame.south, frame.east, frame.north)
        if seen.is_empty:
            continue
        west, _, east, north = seen.bounds
        drawn.append(el("path", el("title", key), d=frame.border(shape), class_="region"))
        if (east - west) * frame.px_x > 110:
            drawn.append(el("text", key, x=f"{frame.x(west) + 7:.1f}", y=f"{frame.y(north) + 16:.1f}", class_="key"))
    return drawn


def _outline_areas(frame: _Frame, shapes: _Shapes) -> list[Markup]:
    return [el("path", el("title", name), d=frame.outline(shape), class_="aoi") for name, shape in shapes.areas.items()]


def _paper(frame: _Frame) -> list[Markup]:
    left, top, right, bottom = _MARGIN
    size = {"x": left, "y": top, "width": _WIDTH - left - right, "height": f"{frame.height - top - bottom:.1f}"}
    return [el("clipPath", el("rect", **size), id="map-frame"), el("rect", **size, class_="paper")]


def _graticule(frame: _Frame) -> list[Markup]:
    left, top, right, bottom = _MARGIN
    step = nice((frame.east - frame.west) / 7)
    drawn = []
    for lon in _ticks(frame.west, frame.east, step):
        x = f"{frame.x(lon):.1f}"
        drawn.append(el("line", x1=x, x2=x, y1=top, y2=f"{frame.height - bottom:.1f}", class_="grid"))
        drawn.append(el("text", _lon(lon, digits(step)), x=x, y=f"{frame.height - 9:.1f}", text_anchor="middle"))
    step = min(step, nice((frame.north - frame.south) / 6))
    for lat in _ticks(frame.south, frame.north, step):
        y = frame.y(lat)
        drawn.append(el("line", x1=left, x2=_WIDTH - right, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="grid"))
        drawn.append(el("text", _lat(lat, digits(step)), x=left - 5, y=f"{y + 3.5:.1f}", text_anchor="end"))
    return drawn


def _ticks(low: float, high: float, step: float) -> Iterable[float]:
    return (n * step for n in range(math.ceil(low / step), math.floor(high / step) + 1))


def _lon(value: float, places: int) -> str:
    value = (value + 180) % 360 - 180
    return f"{abs(value):.{places}f}° {'W' if value < 0 else 'E'}"


def _lat(value: float, places: int) -> str:
    return f"{abs(value):.{places}f}° {'S' if value < 0 else 'N'}"


def _scale_bar(frame: _Frame) -> Markup:
    """A bar of a round length, true in the middle of the map."""
    metres = METRES_PER_DEGREE / frame.px_y
    length = nice(metres * 90)
    width, right, y = length / metres, _WIDTH - _MARGIN[2] - 14, frame.height - _MARGIN[3] - 14
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    line = el("path", d=f"M{right - width:.1f} {y - 5:.1f}v5h{width:.1f}v-5", class_="scale")
    box = el(
        "rect",
        x=f"{right - width - 8:.1f}",
        y=f"{y - 22:.1f}",
        width=f"{width + 16:.1f}",
        height=30,
        rx=3,
        class_="plate",
    )
    return el("g", box, line, el("text", text, x=f"{right - width / 2:.1f}", y=f"{y - 7:.1f}", text_anchor="middle"))


def _legend(shapes: _Shapes, failed: frozenset[str]) -> Markup:
    kinds = [("cell", "cell"), ("region", "border of a region")]
    if failed:
        kinds.insert(1, ("cell bad", "cell of a block that failed in some month"))
    if shapes.areas:
        kinds.append(("aoi", "area of interest: " + ", ".join(list(shapes.areas)[:4])))
    keys = [
        el("li", el("svg", el("rect", x=1, y=1, width=18, height=10, class_=kind), viewBox="0 0 20 12", width=20, height=12, aria_hidden="true"), " ", text)
        for kind, text in kinds
    ]  # fmt: skip
    return el("ul", keys, class_="legend")
