"""The ground of the sample world: what grows where, and its true surface reflectance in every month."""

import functools
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import ndimage, spatial

BANDS = ("red", "green", "blue", "nir")
# By code, from 1 on; the fields are in the order of their crops
LAND_COVER = ("water", "town", "forest", "winter cereal", "maize", "grassland", "fallow")
MARGIN_PX = 2  # beyond the world, so that a misregistered scene still has ground under its edge

_PARCEL_PX = 26
_STREET_PX = 7


class Ground(NamedTuple):
    """What pure ground of each kind gives in one channel; the pixels of a landscape are mixtures of them."""

    soil: float
    crop: float
    trees: float
    town: float
    water: float


# Surface reflectance, unit 1
SPECTRA = {
    "red": Ground(0.17, 0.045, 0.028, 0.16, 0.035),
    "green": Ground(0.13, 0.075, 0.048, 0.14, 0.050),
    "blue": Ground(0.10, 0.035, 0.025, 0.12, 0.060),
    "nir": Ground(0.24, 0.44, 0.34, 0.21, 0.018),
    "rededge1": Ground(0.19, 0.11, 0.08, 0.17, 0.033),
    "rededge2": Ground(0.21, 0.32, 0.22, 0.19, 0.024),
    "rededge3": Ground(0.23, 0.41, 0.30, 0.20, 0.020),
    "nir08": Ground(0.25, 0.45, 0.35, 0.22, 0.016),
    "swir16": Ground(0.30, 0.21, 0.13, 0.26, 0.010),
    "swir22": Ground(0.25, 0.10, 0.06, 0.24, 0.006),
}
# Month of greatest cover, width in months, least and greatest green cover: winter cereal, maize, grassland, fallow
_CROPS = np.array([(5.2, 1.7, 0.12, 0.92), (7.8, 1.6, 0.04, 0.95), (6.0, 3.2, 0.45, 0.80), (6.0, 2.5, 0.05, 0.20)])
_CROP_SHARE = (0.34, 0.30, 0.24, 0.12)
TREES, GRASSLAND, CROPLAND, TOWN, BARE, WATER = 10, 30, 40, 50, 60, 80  # ESA WorldCover Product User Manual v2.0
_FIELD_CLASSES = np.array([CROPLAND, CROPLAND, GRASSLAND, BARE], np.uint8)  # of the kinds of field above

F32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
_T = TypeVar("_T", bound=np.generic)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale_px: float) -> F32:
    """Random field with features of about ``scale_px`` pixels, dims (y, x), mean 0, standard deviation 1."""
    rows, cols = shape
    coarse = rng.standard_normal((int(rows / scale_px) + 4, int(cols / scale_px) + 4), dtype=np.float32)
    step = 1 / scale_px
    y = (1 + np.arange(rows, dtype=np.float32) * np.float32(step))[:, None]
    x = (1 + np.arange(cols, dtype=np.float32) * np.float32(step))[None, :]
    field = _cubic(_cubic(coarse, y[:, 0]).T, x[0]).T
    return np.ascontiguousarray((field - field.mean()) / field.std())


def _cubic(values: F32, at: F32) -> F32:
    """Rows of ``values`` at fractional rows, by the uniform cubic B-spline."""
    first = np.floor(at).astype(np.int64)
    t = (at - first)[:, None]
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    total = sum(w * values[first - 1 + k] for k, w in enumerate(weights))
    return np.asarray(total, np.float32)


class Landscape:
    """Ground cover on the world's 10 m grid with a margin of ``MARGIN_PX`` on each side.

    Args:
        seed: Of the random numbers.
        shape: Rows and columns of the world without margin.
    """

    def __init__(self, seed: int, shape: tuple[int, int]) -> None:
        rng = np.random.default_rng([seed, 1])
        self.shape = shape[0] + 2 * MARGIN_PX, shape[1] + 2 * MARGIN_PX
        woods = smooth_noise(rng, self.shape, 70) + 0.35 * smooth_noise(rng, self.shape, 14)
        self.forest: Mask = woods > np.quantile(woods, 0.70)
        self.water: Mask = self._river(rng)
        self.town: Mask = self._settled(rng) & ~self.water & ~self.forest
        self._brightness = 1 + 0.04 * smooth_noise(rng, self.shape, 9) + 0.04 * smooth_noise(rng, self.shape, 40)
        self._roofs = self._houses(rng)
        parcel = self._parcels(rng)
        kinds = rng.choice(len(_CROPS), size=parcel.max() + 1, p=_CROP_SHARE)
        self._crop: F32 = np.concatenate([_CROPS[kinds], rng.normal(0, 0.25, (len(kinds), 1))], axis=1).astype(
            np.float32
        )
        self._parcel = parcel
        self._kinds = kinds
        self._soil = (1 + rng.normal(0, 0.12, len(kinds))).astype(np.float32)
        self.reflectance = functools.lru_cache(maxsize=3)(self._reflectance)
        self.mixed = functools.lru_cache(maxsize=12)(self._mixed)

    def _river(self, rng: np.random.Generator) -> Mask:
        rows, cols = self.shape
        y, x = np.arange(rows, dtype=np.float32)[:, None], np.arange(cols, dtype=np.float32)[None, :]
        course = 0.35 * rows + 0.12 * rows * np.sin(x / cols * 7) + 8 * smooth_noise(rng, (1, cols), 30)
        lake = (x - 0.7 * cols) ** 2 / (0.06 * cols) ** 2 + (y - 0.75 * rows) ** 2 / (0.09 * rows) ** 2
        return np.asarray((np.abs(y - course) < 5) | (lake + 0.3 * smooth_noise(rng, self.shape, 25) < 1))

    def _settled(self, rng: np.random.Generator) -> Mask:
        rows, cols = self.shape
        y, x = np.arange(rows, dtype=np.float32)[:, None], np.arange(cols, dtype=np.float32)[None, :]
        away = np.hypot(y - 0.45 * rows, x - 0.42 * cols) / (0.16 * rows)
        return np.asarray(away + 0.35 * smooth_noise(rng, self.shape, 20) < 1)

    def _houses(self, rng: np.random.Generator) -> F32:
        rows, cols = -(-self.shape[0] // _STREET_PX), -(-self.shape[1] // _STREET_PX)
        blocks = rng.uniform(0.75, 1.35, (rows, cols)).astype(np.float32)
        return blocks.repeat(_STREET_PX, 0).repeat(_STREET_PX, 1)[: self.shape[0], : self.shape[1]]

    def _parcels(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Number of the field of every pixel: long rectangles that lie askew."""
        rows, cols = self.shape
        y, x = np.mgrid[:rows, :cols].astype(np.float32)
        along, across = 0.94 * x + 0.34 * y, (0.94 * y - 0.34 * x) * 1.7
        low, high = (along.min(), across.min()), (along.max(), across.max())
        centres = np.stack(np.meshgrid(*(np.arange(a, b, _PARCEL_PX) for a, b in zip(low, high, strict=True))), -1)
        centres = centres.reshape(-1, 2) + rng.uniform(-0.42, 0.42, (centres.size // 2, 2)) * _PARCEL_PX
        _, nearest = spatial.cKDTree(centres).query(np.stack([along.ravel(), across.ravel()], -1), p=np.inf)
        return np.asarray(nearest, np.int64).reshape(self.shape)

    def land_cover(self) -> npt.NDArray[np.uint8]:
        """What every pixel is, all year: codes of ``LAND_COVER``, dims (y, x) with margin, uint8, no nodata."""
        field = LAND_COVER.index("winter cereal") + 1 + self._kinds[self._parcel]
        built = np.where(self.forest, LAND_COVER.index("forest") + 1, field)
        built = np.where(self.town, LAND_COVER.index("town") + 1, built)
        return np.where(self.water, LAND_COVER.index("water") + 1, built).astype(np.uint8)

    def cover(self, month: int) -> F32:
        """Share of every pixel that is green in a month (1 to 12), dims (y, x), unit 1, no nodata."""
        peak, width, least, greatest, shift = self._crop.T
        field = least + (greatest - least) * np.exp(-(((month - peak - shift) / width) ** 2))
        trees = 0.55 + 0.4 * np.exp(-(((month - 7) / 3.2) ** 2))
        green = np.where(self.forest, np.float32(trees), field[self._parcel])
        return np.where(self.water, 0, np.where(self.town, 0.3 * green, green)).astype(np.float32)

    def _reflectance(self, month: int) -> F32:
        """True surface reflectance of a month (1 to 12), dims (band, y, x) with margin, unit 1, no nodata."""
        green = self.cover(month)
        return np.stack([self._mixture(green, SPECTRA[band]) for band in BANDS])

    def _mixed(self, month: int, ground: Ground) -> F32:
        """A channel in a month (1 to 12), dims (y, x) with margin, in the unit of ``ground``, no nodata."""
        return self._mixture(self.cover(month), ground)

    def _mixture(self, green: F32, pure: Ground) -> F32:
        soil = self._soil[self._parcel]
        bare = np.where(self.forest, 0.6 * pure.soil, pure.soil * soil)
        bare = np.where(self.town, pure.town * self._roofs, bare)
        leaf = np.where(self.forest, pure.trees, pure.crop)
        ground = (bare * (1 - green) + leaf * green) * self._brightness
        ground = np.where(self.water, pure.water, ground).astype(np.float32)
        # The instrument's blur
        return np.asarray(ndimage.gaussian_filter(ground, 0.8, mode="nearest", truncate=2.5), np.float32)

    @functools.cached_property
    def classes(self) -> npt.NDArray[np.uint8]:
        """Land cover by the codes of ESA WorldCover, dims (y, x) with margin, uint8, no nodata."""
        fields = _FIELD_CLASSES[self._kinds][self._parcel]
        ground = np.where(self.water, WATER, np.where(self.town, TOWN, np.where(self.forest, TREES, fields)))
        return ground.astype(np.uint8)

    @functools.cached_property
    def largest_field(self) -> Mask:
        """The largest piece of cropland of one field, dims (y, x) with margin."""
        crops = self.classes == CROPLAND
        return np.asarray(crops & (self._parcel == np.bincount(self._parcel[crops]).argmax()))


@functools.lru_cache(maxsize=2)
def landscape(seed: int, shape: tuple[int, int]) -> Landscape:
    """The ground of a world, kept for the next caller."""
    return Landscape(seed, shape)


def inner(values: npt.NDArray[_T]) -> npt.NDArray[_T]:
    """The world's own pixels of an array with margin, dims (y, x)."""
    return values[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]


def fine(coarse: npt.NDArray[_T]) -> npt.NDArray[_T]:
    """20 m pixels as 10 m pixels."""
    return coarse.repeat(2, 0).repeat(2, 1)


def coarse(values: F32) -> F32:
    """10 m pixels as 20 m pixels: their means, dims (y, x)."""
    return np.asarray((values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2]) / 4, np.float32)
