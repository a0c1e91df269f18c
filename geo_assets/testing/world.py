"""A small world whose ground is known, and Sentinel-2 scenes of it as a static STAC catalog with real COGs.

Everything is computed from a seed. The scenes have what real ones have: clouds that the classification misses or
invents, shadows, haze, swath edges, overlapping tiles, two ways of storing the offset, an outdated duplicate and a
damaged file, and since the truth is known a composite of them can be judged. Where they are asked for, Sentinel-1,
Landsat, a height model and land cover maps of the same world stand beside them, each with its truth.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely

from geo_assets.errors import ConfigError
from geo_assets.model.crs import parse_resolution, reproject
from geo_assets.model.geometry import GeoBox, PixelGrid
from geo_assets.model.period import Month
from geo_assets.testing import world_grd, world_landsat, world_radar
from geo_assets.testing.world_land import BANDS, F32, SPECTRA, Landscape, fine, inner, landscape
from geo_assets.testing.world_observe import observe
from geo_assets.testing.world_plan import Granule, Observation, Tile, exact_box, make_tiles, month_plan, outdated
from geo_assets.testing.world_sky import sky_of
from geo_assets.testing.world_stac import COLLECTIONS
from geo_assets.testing.world_static import U8, Cover, Terrain

COLLECTION = "sentinel-2-l2a"
RESOLUTION_M = 10
SCL_RESOLUTION_M = 20


@dataclass(frozen=True)
class BrokenAsset:
    """A COG whose header is sound and one of whose internal tiles cannot be decoded.

    Attributes:
        item_id: Its item.
        band: Its band.
        month: Month of its item.
        box: The pixels that cannot be read, 10 m.
        window: First row, first column, rows and columns of these pixels in the file.
    """

    item_id: str
    band: str
    month: str
    box: GeoBox
    window: tuple[int, int, int, int]


@dataclass(frozen=True)
class Duplicate:
    """Two items of one acquisition, of which only the newer processing may be used."""

    loser_id: str
    winner_id: str
    month: str


@dataclass(frozen=True)
class SampleWorld:
    """A world of two overlapping tiles around a point of UTM zone 33 N.

    Attributes:
        seed: Of all random numbers.
        months: Months with scenes, such as ``2024-03``.
        center: X and y of the middle in EPSG:32633; by default a border of two regions runs through it.
        size_px: Rows and columns, 10 m pixels, even.
        overlap_px: Columns that the two tiles share, even.
        days: Overpasses a month.
        internal_px: Side of a COG's internal tiles.
        with_broken: Whether one file is damaged.
        with_duplicate: Whether one acquisition has two items.
        crs: Of the pixels.
        codes: MGRS names of the two tiles.
        sensors: What the catalog has: ``sentinel-2-l2a``, ``sentinel-1-rtc``, ``sentinel-1-grd``, ``landsat-c2-l2``, ``dem``,
            ``landcover``.
        bands: Of Sentinel-2: the four of 10 m, and after them any of 20 m: ``rededge1``, ``rededge2``, ``rededge3``,
            ``nir08``, ``swir16``, ``swir22``.
    """

    seed: int = 7
    months: tuple[str, ...] = ("2024-03", "2024-04", "2024-05", "2024-06", "2024-07", "2024-08")
    center: tuple[float, float] = (512_000.0, 5_232_640.0)
    size_px: tuple[int, int] = (640, 1152)
    overlap_px: int = 128
    days: int = 6
    internal_px: int = 256
    with_broken: bool = True
    with_duplicate: bool = True
    crs: str = "EPSG:32633"
    codes: tuple[str, str] = ("33TVN", "33TWN")
    sensors: tuple[str, ...] = (COLLECTION,)
    bands: tuple[str, ...] = BANDS

    def __post_init__(self) -> None:
        rows, cols = self.size_px
        if rows % 2 or cols % 4 or self.overlap_px % 4 or not 0 < self.overlap_px < cols:
            raise ConfigError(
                f"size_px {self.size_px}, overlap_px {self.overlap_px}: give even rows and multiples of 4"
            )
        if not 1 <= self.days <= 26:
            raise ConfigError(f"days {self.days}: give 1 to 26")
        if not self.sensors or not set(self.sensors) <= set(COLLECTIONS):
            raise ConfigError(f"sensors {self.sensors}: give some of {', '.join(COLLECTIONS)}")
        if self.bands[: len(BANDS)] != BANDS or not set(self.bands) <= set(SPECTRA):
            raise ConfigError(f"bands {self.bands}: give {', '.join(BANDS)} and then any of {', '.join(SPECTRA)}")

    @functools.cached_property
    def box(self) -> GeoBox:
        """All 10 m pixels; edges at multiples of 20 m, so that the 20 m grid nests."""
        rows, cols = self.size_px
        left = round((self.center[0] - cols * RESOLUTION_M / 2) / SCL_RESOLUTION_M) * SCL_RESOLUTION_M
        top = round((self.center[1] + rows * RESOLUTION_M / 2) / SCL_RESOLUTION_M) * SCL_RESOLUTION_M
        return exact_box(self.crs, left, top, self.size_px, RESOLUTION_M)

    @functools.cached_property
    def tiles(self) -> tuple[Tile, Tile]:
        """The western and the eastern tile."""
        return make_tiles(self.box, self.codes, self.overlap_px)

    @property
    def grid(self) -> PixelGrid:
        """The cube's pixel grid with default sizes, by whose blocks the world is placed."""
        return PixelGrid.build(self.crs, parse_resolution(RESOLUTION_M))

    @functools.cached_property
    def aoi_projected(self) -> shapely.Polygon:
        """An area inside the world, in its CRS."""
        west, south, east, north = self.box.bounds
        corners = ((0.08, 0.12), (0.55, 0.06), (0.94, 0.16), (0.90, 0.86), (0.45, 0.94), (0.10, 0.80))
        return shapely.Polygon([(west + u * (east - west), south + v * (north - south)) for u, v in corners])

    @property
    def aoi(self) -> shapely.Polygon:
        """An area inside the world, EPSG:4326."""
        area: shapely.Polygon = reproject(self.aoi_projected, self.crs, "EPSG:4326")
        return area

    @functools.cached_property
    def _plans(self) -> dict[str, list[list[Granule]]]:
        cols = self.size_px[1]
        return {m: month_plan(self.seed, m, self.tiles, days=self.days, world_cols=cols) for m in self.months}

    @functools.cached_property
    def granules(self) -> tuple[Granule, ...]:
        """All scenes in the order of time; the outdated one stands before the one that replaces it."""
        plain = sorted((g for p in self._plans.values() for day in p for g in day), key=lambda g: (g.sensed, g.item_id))
        out: list[Granule] = []
        twice = self.duplicate.loser_id if self.duplicate else None
        for granule in plain:
            out += outdated(granule) if granule.item_id == twice else (granule,)
        return tuple(out)

    @functools.cached_property
    def duplicate(self) -> Duplicate | None:
        """The acquisition that the catalog lists twice: the second clearest of the first month, in the eastern tile."""
        if not self.with_duplicate:
            return None
        granule = self._plans[self.months[0]][min(1, self.days - 1)][1]
        return Duplicate(granule.item_id, outdated(granule)[1].item_id, granule.month)

    @functools.cached_property
    def broken(self) -> BrokenAsset | None:
        """The damaged file: of the clearest day of the middle month, so that no reader can do without it.

        Raises:
            ConfigError: No internal tile lies in one block and in the area.
        """
        if not self.with_broken:
            return None
        granule = self._plans[self.months[len(self.months) // 2]][0][0]
        window = max(self._lone_windows(granule.tile.box), default=None)
        if window is None:
            raise ConfigError(
                f"no internal tile of {granule.item_id} is read by one block only: lower internal_px or move center"
            )
        box = granule.tile.box.window(*window[1])
        return BrokenAsset(granule.item_id, "green", granule.month, box, window[1])

    def _lone_windows(self, box: GeoBox) -> Iterator[tuple[float, tuple[int, int, int, int]]]:
        """Internal tiles of the western tile only, away from the edges of blocks, with their area inside the AOI."""
        rows, cols = box.shape
        grid, size, halo = self.grid, self.internal_px, 4 * RESOLUTION_M
        for row in range(0, rows, size):
            for col in range(0, cols, size):
                window = row, col, min(size, rows - row), min(size, cols - col)
                west, south, east, north = box.window(*window).bounds
                x, y = np.array([west - halo, east + halo]), np.array([south - halo, north + halo])
                block_rows, block_cols = grid.locate(x, y, size=grid.block_size)
                inside = shapely.box(west, south, east, north).intersection(self.aoi_projected).area
                if len(set(block_rows)) == len(set(block_cols)) == 1 and inside > 0:
                    yield inside, window

    @property
    def _land(self) -> Landscape:
        return landscape(self.seed, self.size_px)

    def truth(self, month: str, band: str, box: GeoBox | None = None) -> F32:
        """True surface reflectance, dims (y, x), unit 1, NaN outside the world.

        Args:
            month: Such as ``2024-03``; any year.
            band: One of ``bands``. A pixel of a band of 20 m shows the mean of four of these.
            box: Pixels of the world's 10 m grid, which may reach beyond it; by default the world.

        Raises:
            ConfigError: Unknown band, or ``box`` is not on the world's grid.
        """
        if band not in self.bands:
            raise ConfigError(f"the sample world has no band {band!r}, only {', '.join(self.bands)}")
        number = Month.parse(month).first_day.month
        if band in BANDS:
            whole = self._land.reflectance(number)[BANDS.index(band)]
        else:
            whole = self._land.mixed(number, SPECTRA[band])
        return self.cut(inner(whole), box or self.box)

    def truth_backscatter(self, month: str, polarization: str, box: GeoBox | None = None) -> F32:
        """True gamma0 without speckle, dims (y, x), float32, linear power, NaN outside the world.

        Args:
            month: Such as ``2024-03``; any year.
            polarization: ``vv`` or ``vh``.
            box: Pixels of the world's 10 m grid, which may reach beyond it; by default the world.

        Raises:
            ConfigError: Unknown polarization, or ``box`` is not on the world's grid.
        """
        if polarization not in world_radar.POLARIZATIONS:
            raise ConfigError(f"no polarization {polarization!r}, only {', '.join(world_radar.POLARIZATIONS)}")
        number = Month.parse(month).first_day.month
        return self.cut(world_radar.backscatter(self._land, number, polarization), box or self.box)

    def truth_landsat(self, month: str, band: str, box: GeoBox | None = None) -> F32:
        """Truth of a band of Landsat, dims (y, x), float32, NaN outside the world; its pixels show means of these.

        Args:
            month: Such as ``2024-03``; any year.
            band: ``blue``, ``green``, ``red``, ``nir08``, ``swir16`` or ``swir22``, reflectance, unit 1; or
                ``lwir11``, surface temperature, kelvin.
            box: Pixels of the world's 10 m grid, which may reach beyond it; by default the world.

        Raises:
            ConfigError: Unknown band, or ``box`` is not on the world's grid.
        """
        if band not in world_landsat.BANDS:
            raise ConfigError(f"Landsat has no band {band!r} here, only {', '.join(world_landsat.BANDS)}")
        number = Month.parse(month).first_day.month
        return self.cut(world_landsat.ground_truth(self._land, number, band), box or self.box)

    def truth_landcover(self, box: GeoBox | None = None, year: int = 2021) -> U8:
        """True land cover by the codes of ESA WorldCover, dims (y, x), uint8, 0 outside the world.

        Args:
            box: Pixels of the world's 10 m grid, which may reach beyond it; by default the world.
            year: Before 2021 the field ``cover.changed`` is grassland.

        Raises:
            ConfigError: ``box`` is not on the world's grid.
        """
        classes = self.cut(self.cover.classes(year).astype(np.float32), box or self.box)
        return np.nan_to_num(classes, nan=0).astype(np.uint8)

    def truth_height(self, x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """True height at places of the world's CRS, float64, metres, 0 in the sea; ``terrain`` has slope and aspect."""
        return self.terrain.height(x, y)

    @functools.cached_property
    def terrain(self) -> Terrain:
        """Heights, slope and aspect."""
        return Terrain(self.seed, self.box)

    @functools.cached_property
    def cover(self) -> Cover:
        """Land cover, and the field that changes."""
        return Cover(self.seed, self.box)

    @functools.cached_property
    def radar_scenes(self) -> tuple[world_radar.RadarScene, ...]:
        """All Sentinel-1 scenes in the order of time, written only if ``sensors`` name them."""
        return world_radar.radar_scenes(self.months, self.box)

    @functools.cached_property
    def grd_scenes(self) -> tuple[world_grd.GrdScene, ...]:
        """All Sentinel-1 scenes in the radar's own geometry, written only if ``sensors`` name them."""
        return world_grd.grd_scenes(self.months, self.terrain, self._land)

    @functools.cached_property
    def landsat_scenes(self) -> tuple[world_landsat.LandsatScene, ...]:
        """All Landsat scenes in the order of time, written only if ``sensors`` name them; the first is RT, then T1."""
        return world_landsat.landsat_scenes(self.months, self.box)

    def observe_radar(self, scene: world_radar.RadarScene) -> world_radar.RadarObservation:
        """What a Sentinel-1 scene shows."""
        return world_radar.observe(scene, self._land, self.seed)

    def observe_landsat(self, scene: world_landsat.LandsatScene) -> world_landsat.LandsatObservation:
        """What a Landsat scene shows. The sky of a pass is one over both tiles."""
        sky = sky_of(self.seed, self.size_px, self.days, scene.seeds, scene.cloud_share)
        return world_landsat.observe(scene, self._land, sky, self.terrain, self.seed)

    def land_cover(self, box: GeoBox | None = None) -> npt.NDArray[np.uint8]:
        """True land cover of a window of the world's grid: codes of ``LAND_COVER``, dims (y, x), uint8, 0 outside the world.

        Raises:
            ConfigError: ``box`` is not on the world's grid.
        """
        whole = inner(self._land.land_cover())
        return np.nan_to_num(self.cut(whole.astype(np.float32), box or self.box)).astype(np.uint8)

    def cut(self, values: F32, box: GeoBox) -> F32:
        """Values of the world's pixels on another window of its grid, NaN outside.

        Raises:
            ConfigError: ``box`` is not on the world's grid.
        """
        row, col = (self.box.top - box.top) / RESOLUTION_M, (box.left - self.box.left) / RESOLUTION_M
        if box.crs != self.crs or box.resolution != RESOLUTION_M or row.denominator != 1 or col.denominator != 1:
            raise ConfigError(f"{box} is not on the 10 m grid of the sample world ({self.crs})")
        out = np.full(box.shape, np.nan, np.float32)
        r0, c0 = max(int(row), 0), max(int(col), 0)
        r1, c1 = min(int(row) + box.shape[0], self.size_px[0]), min(int(col) + box.shape[1], self.size_px[1])
        if r0 < r1 and c0 < c1:
            out[r0 - int(row) : r1 - int(row), c0 - int(col) : c1 - int(col)] = values[r0:r1, c0:c1]
        return out

    def observations(self, month: str | None = None) -> Iterator[Observation]:
        """Scenes of a month, or of all, in the order of time, with what they truly show; the outdated one too."""
        return (self.observe(g) for g in self.granules if month in (None, g.month))

    def observe(self, granule: Granule) -> Observation:
        """What a scene shows. The sky of a day is one over both tiles; noise and misregistration are the scene's own."""
        sky = sky_of(self.seed, self.size_px, self.days, granule.seeds, granule.cloud_share)
        return observe(granule, self._land, sky, self.seed, self.bands)

    def clear_median(self, month: str, band: str) -> tuple[F32, npt.NDArray[np.uint16]]:
        """What a perfect cloud mask would give: median over the solar days that are truly clear, and their number.

        Returns:
            Reflectance, dims (y, x) of the world, float32, NaN where no day was clear; days, uint16.
        """
        days: dict[str, F32] = {}
        for seen in self.observations(month):
            if self.duplicate and seen.granule.item_id == self.duplicate.loser_id:
                continue
            layer = days.setdefault(seen.granule.solar_day, np.full(self.size_px, np.nan, np.float32))
            part = layer[:, seen.granule.tile.col : seen.granule.tile.col + seen.box.shape[1]]
            first = np.isnan(part) & seen.clear
            values = seen.reflectance[band]
            part[first] = (values if values.shape == seen.box.shape else fine(values))[first]
        stack = np.stack(list(days.values()))
        count = (~np.isnan(stack)).sum(0).astype(np.uint16)
        median = np.nanmedian(np.where(count > 0, stack, 0), axis=0)
        return np.where(count > 0, median, np.nan).astype(np.float32), count

    def write(self, folder: str | Path) -> Path:
        """Writes the catalog, its COGs and ``aoi.gpkg`` into a folder, unless the same world lies there already.

        Returns:
            The path of ``catalog.json``.

        Raises:
            ConfigError: The folder holds something else.
        """
        from geo_assets.testing.world_files import write_world  # it needs this module's names

        return write_world(self, Path(folder))
