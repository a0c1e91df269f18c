"""The air above the sample world: clouds, their shadows and haze, and how the scene classification sees them."""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from geo_assets.testing.world_land import F32, Mask, smooth_noise

MISSED_SHARE = 0.05  # of the cloud pixels: the classification takes them for ground
FALSE_SHARE = 0.05  # of the clear pixels: the classification takes them for cloud
HAZE = 0.03  # added to the reflectance of a hazy pixel
HAZE_SHARE = 0.03  # of the cloudless pixels
SHADOW = 0.45  # of the light that is left in a shadow
CLOUD_CLASSES = (8, 9, 10)
_SHADOW_CLASS = 3


@dataclass(frozen=True)
class Sky:
    """The air of one overpass on the world's 20 m grid; arrays (y, x).

    Attributes:
        opacity: Share of the ground that cloud hides, 0 to 1.
        brightness: Reflectance of the cloud.
        cloud: True where there is cloud, however thin.
        shadow: True in the shadow of a cloud.
        haze: True where haze lies over cloudless ground.
        missed: True for cloud that the classification takes for ground.
        classes: Scene classification of what is not seen as ground, 0 where it is; uint8.
    """

    opacity: F32
    brightness: F32
    cloud: Mask
    shadow: Mask
    haze: Mask
    missed: Mask
    classes: npt.NDArray[np.uint8]


def fallible(rng: np.random.Generator, shape: tuple[int, int], days: int) -> npt.NDArray[np.int64]:
    """The only day of a month on which the classification may miss a cloud, for every 20 m pixel.

    With three clear days no statistic outvotes two clouds, so a fair test of a composite has one to a pixel at most.
    """
    field = smooth_noise(rng, shape, 12)
    edges = np.quantile(field, np.arange(1, days) / days)
    return np.asarray(rng.permutation(days)[np.searchsorted(edges, field)])


def make_sky(rng: np.random.Generator, shape: tuple[int, int], *, cloud_share: float, fallible: Mask) -> Sky:
    """A sky of broken clouds that cover ``cloud_share`` of the world, some missed where it is ``fallible``."""
    field = 0.6 * smooth_noise(rng, shape, 3) + 0.8 * smooth_noise(rng, shape, 9) + 0.7 * smooth_noise(rng, shape, 40)
    level = np.quantile(field, 1 - cloud_share)
    cloud: Mask = field > level
    thin = np.where(cloud & fallible, smooth_noise(rng, shape, 4), -np.inf)
    count = min(round(MISSED_SHARE * cloud.sum()), int((cloud & fallible).sum()))
    missed = (thin > np.partition(thin, -count - 1, axis=None)[-count - 1]) & cloud & fallible
    # What the classification misses is thin cloud
    opacity = np.where(missed, 0.35 + 0.08 * smooth_noise(rng, shape, 3), 0.4 + 0.6 * (field - level)).clip(0.1, 1)
    opacity = (opacity * cloud).astype(np.float32)
    down, right = (int(n) for n in rng.integers(5, 10, 2))
    cast = np.zeros(shape, bool)
    cast[down:, :-right] = (opacity > 0.5)[:-down, right:]
    shadow = cast & ~cloud
    bare = ~cloud & ~shadow
    veil = smooth_noise(rng, shape, 30)
    haze = bare & (veil > np.quantile(veil, 1 - HAZE_SHARE))
    classes = _classify(rng, cloud=cloud & ~missed, opacity=opacity, shadow=shadow, haze=haze)
    brightness = (0.55 + 0.06 * smooth_noise(rng, shape, 5)).astype(np.float32)
    return Sky(opacity, brightness, cloud, shadow, haze, missed, classes)


def _classify(
    rng: np.random.Generator, *, cloud: Mask, opacity: F32, shadow: Mask, haze: Mask
) -> npt.NDArray[np.uint8]:
    classes = np.zeros(cloud.shape, np.uint8)
    classes[shadow] = _SHADOW_CLASS
    core = ndimage.binary_erosion(cloud) & (opacity > 0.6)
    classes[cloud] = np.where(core, 9, 8)[cloud]
    classes[haze & (smooth_noise(rng, cloud.shape, 12) > 0)] = 10
    clear = (opacity == 0) & ~shadow & ~haze
    doubt = smooth_noise(rng, cloud.shape, 3)
    if clear.any():
        classes[clear & (doubt > np.quantile(doubt[clear], 1 - FALSE_SHARE))] = 8
    return classes


@functools.lru_cache(maxsize=2)
def sky_of(seed: int, size_px: tuple[int, int], days: int, seeds: tuple[int, int], cloud_share: float) -> Sky:
    """The sky of an overpass, one for both tiles.

    Args:
        seed: Of the world.
        size_px: Rows and columns of the world, 10 m.
        days: Overpasses a month.
        seeds: Of the overpass: number of the month, number of the day in it.
        cloud_share: Share of the world under cloud, 0 to 1.
    """
    shape, (month, day) = (size_px[0] // 2, size_px[1] // 2), seeds
    which = fallible(np.random.default_rng([seed, 6, month]), shape, days)
    return make_sky(np.random.default_rng([seed, 4, month, day]), shape, cloud_share=cloud_share, fallible=which == day)
