"""The timetable of the sample world: which tile is seen when, by which platform and processing, under how much cloud."""

import datetime as dt
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import shapely

from geo_assets.model.crs import reproject
from geo_assets.model.geometry import GeoBox
from geo_assets.model.period import Month
from geo_assets.testing.world_land import F32, Mask

CLOUD_SHARES = (0.15, 0.72)  # of the clearest and the cloudiest day of a month; the others lie evenly between
DN_OFFSET = 1000  # Sentinel-2 Products Specification Document, 14.9: stored since baseline 04.00
_DUPLICATE_BIAS = 0.06
_SWATH_SLOPE = 0.2


@dataclass(frozen=True)
class Tile:
    """One MGRS tile, much smaller than a real one.

    Attributes:
        code: Its name, such as ``33TVN``.
        box: Its 10 m pixels.
        col: First column on the world's grid.
    """

    code: str
    box: GeoBox
    col: int


@dataclass(frozen=True)
class Granule:
    """One scene: a tile on a day, and how it was processed.

    Attributes:
        item_id: Id of the STAC item.
        tile: What it shows.
        sensed: Time of acquisition, UTC.
        seeds: Of its random numbers: month and number of the day.
        cloud_share: Of the overpass.
        baseline: Processing baseline.
        offset_applied: Whether the offset was taken out of the pixels and the item says so; else DN hold it.
        swath: Sign and column where the swath ends, if it ends within the world: 1 keeps what lies west.
        bias: Error of reflectance of an outdated processing.
    """

    item_id: str
    tile: Tile
    sensed: dt.datetime
    seeds: tuple[int, int]
    cloud_share: float
    baseline: str
    offset_applied: bool
    swath: tuple[int, float] | None = None
    bias: float = 0.0

    @property
    def solar_day(self) -> str:
        """Day of the mean solar time, which is that of UTC so near to Greenwich at ten in the morning."""
        return self.sensed.date().isoformat()

    @property
    def month(self) -> str:
        """Month of the solar day."""
        return self.solar_day[:7]

    @property
    def stored_offset(self) -> int:
        """What the stored DN hold on top of reflectance / 0.0001."""
        return 0 if self.offset_applied else DN_OFFSET

    @property
    def platform(self) -> str:
        """A or B."""
        return self.item_id[2]

    def swath_margin(self, col: npt.ArrayLike, row: npt.ArrayLike) -> npt.ArrayLike:
        """How many columns a place of the world's grid lies inside the swath; negative outside."""
        if self.swath is None:
            return np.full(np.broadcast(col, row).shape, np.inf)
        sign, edge = self.swath
        return sign * (edge - np.asarray(col) - _SWATH_SLOPE * np.asarray(row))

    def valid(self) -> Mask:
        """Pixels of the tile that the swath covers, dims (y, x)."""
        rows, cols = self.tile.box.shape
        col = self.tile.col + np.arange(cols)[None, :] + 0.5
        return np.asarray(self.swath_margin(col, np.arange(rows)[:, None] + 0.5)) > 0

    def outline(self) -> shapely.Polygon:
        """The covered part of the tile in its own CRS."""
        west, south, east, north = self.tile.box.bounds
        whole = shapely.box(west, south, east, north)
        if self.swath is None:
            return whole
        sign, edge = self.swath
        res, origin = float(self.tile.box.resolution), west - self.tile.col * float(self.tile.box.resolution)
        top, bottom = origin + edge * res, origin + (edge - _SWATH_SLOPE * self.tile.box.shape[0]) * res
        far = origin - 1e6 * sign
        return whole & shapely.Polygon([(top, north), (bottom, south), (far, south), (far, north)])

    def footprint(self) -> shapely.Polygon:
        """The covered part of the tile in EPSG:4326."""
        outline: shapely.Polygon = reproject(self.outline(), self.tile.box.crs, "EPSG:4326")
        return outline


@dataclass(frozen=True)
class Observation:
    """What a scene truly shows and what it stores; arrays (y, x) on the tile's 10 m pixels unless said otherwise.

    Attributes:
        granule: The scene.
        valid: True inside the swath.
        clear: True where there is neither cloud nor shadow nor haze, inside the swath.
        cloud: True under cloud, seen by the classification or not.
        shadow: True in a cloud's shadow.
        haze: True in haze.
        scl: Scene classification as stored, 20 m, uint8, 0 outside the swath.
        reflectance: Band to measured reflectance with noise, cloud and misregistration; float32, NaN outside the swath.
        dn: Band to stored numbers; uint16, 0 outside the swath. Bands of 20 m have 20 m pixels in both.
    """

    granule: Granule
    valid: Mask
    clear: Mask
    cloud: Mask
    shadow: Mask
    haze: Mask
    scl: npt.NDArray[np.uint8]
    reflectance: dict[str, F32]
    dn: dict[str, npt.NDArray[np.uint16]]

    @property
    def box(self) -> GeoBox:
        """The tile's 10 m pixels."""
        return self.granule.tile.box


def make_tiles(box: GeoBox, codes: tuple[str, str], overlap_px: int) -> tuple[Tile, Tile]:
    """Two tiles that cover a world side by side and share ``overlap_px`` columns."""
    rows, cols = box.shape
    width = (cols + overlap_px) // 2
    start = cols - width
    return Tile(codes[0], box.window(0, 0, rows, width), 0), Tile(codes[1], box.window(0, start, rows, width), start)


def month_plan(seed: int, month: str, tiles: tuple[Tile, Tile], *, days: int, world_cols: int) -> list[list[Granule]]:
    """Scenes of a month by day, clearest day first."""
    first = Month.parse(month).first_day
    rng = np.random.default_rng([seed, 2, first.year, first.month])
    shares = rng.permutation(np.linspace(*CLOUD_SHARES, days)) if days > 1 else np.array([0.45])
    rank = np.argsort(np.argsort(shares))
    ends = {days // 2: (1, 0.78 * world_cols), days // 3: (-1, 0.30 * world_cols)} if days > 3 else {}
    by_rank: list[list[Granule]] = [[] for _ in range(days)]
    for day in range(days):
        sensed = dt.datetime(first.year, first.month, 2 + day * 26 // days, 10, 6, 1, tzinfo=dt.UTC)
        for nth, tile in enumerate(tiles):
            newest = day % 2 == 1
            name = f"S2{'AB'[day // 2 % 2]}_{tile.code}_{sensed:%Y%m%d}_0_L2A"
            seeds = (first.year * 12 + first.month, day)
            time = sensed + dt.timedelta(seconds=8 * nth)
            granule = Granule(
                name,
                tile,
                time,
                seeds,
                float(shares[day]),
                "05.10" if newest else "05.09",
                newest,
                ends.get(int(rank[day])),
            )
            by_rank[int(rank[day])].append(granule)
    return by_rank


def outdated(granule: Granule) -> tuple[Granule, Granule]:
    """A scene as an older baseline had processed it, and the same renamed as the newer one."""
    old = replace(granule, baseline="04.00", offset_applied=False, bias=_DUPLICATE_BIAS)
    return old, replace(granule, item_id=granule.item_id.replace("_0_L2A", "_1_L2A"))


def exact_box(crs: str, left: float, top: float, shape: tuple[int, int], resolution: int) -> GeoBox:
    """North-up pixels whose corner is given in whole CRS units."""
    return GeoBox(crs, Fraction(resolution), Fraction(round(left)), Fraction(round(top)), shape)
