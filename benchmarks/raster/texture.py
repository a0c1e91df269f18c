"""Numbers that look and compress like Sentinel-2: fields, noise, blobby clouds with shadows, and their classes."""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

F32 = npt.NDArray[np.float32]
BANDS = {
    "red": (700, 0.98),
    "green": (800, 0.97),
    "blue": (550, 1.0),
    "nir": (2600, 1.05),
}  # ground DN, cloud brightness
NOISE_DN = 32  # with the fields, deflate with predictor 2 then stores 1.4 to 1.8 times less than there is, as it does of real scenes
_POOL = 1 << 23


def smooth(rng: np.random.Generator, shape: tuple[int, int], scale: int) -> F32:
    """Noise with features of ``scale`` pixels, mean 0, variance about 1: a coarse grid, interpolated linearly."""
    coarse = rng.standard_normal([n // scale + 2 for n in shape]).astype(np.float32) * np.float32(1.5)
    return enlarge(coarse, shape, scale)


def enlarge(coarse: F32, shape: tuple[int, int], scale: int) -> F32:
    """A grid ``scale`` times as fine, bilinear between the pixels of the coarse one."""
    for axis, size in enumerate(shape):
        at = np.arange(size, dtype=np.float32) / scale
        low = np.minimum(at.astype(np.intp), coarse.shape[axis] - 2)
        share = (at - low).reshape([-1, 1] if axis == 0 else [1, -1])
        a = np.take(coarse, low, axis)
        b = np.take(coarse, low + 1, axis)
        b -= a
        b *= share
        a += b
        coarse = a
    return coarse


@functools.lru_cache(maxsize=1)
def _pool(seed: int) -> npt.NDArray[np.int16]:
    noise = np.random.default_rng([seed, 1]).standard_normal(_POOL, dtype=np.float32)
    return np.rint(noise * NOISE_DN).astype(np.int16)


def ground(seed: int, shape: tuple[int, int], band: str) -> npt.NDArray[np.uint16]:
    """DN of the land in one band, without clouds."""
    mean, _ = BANDS[band]
    shared = np.random.default_rng([seed, 2])
    own = np.random.default_rng([seed, 3, list(BANDS).index(band)])
    relief = sum((smooth(shared, shape, s) * np.float32(w) for s, w in ((3, 0.06), (24, 0.16), (160, 0.22))))
    relief += smooth(own, shape, 40) * np.float32(0.08)
    # Parcels: steps between fields, which noise alone does not have
    parcels = np.repeat(np.repeat(own.uniform(-0.15, 0.15, [n // 24 + 1 for n in shape]), 24, 0), 24, 1)
    relief += parcels[: shape[0], : shape[1]].astype(np.float32)
    return np.clip(mean * (1 + relief), 60, 12_000).astype(np.uint16)


@dataclass(frozen=True)
class Sky:
    """Clouds of a day on a 40 m grid, and classes on a 20 m grid.

    Attributes:
        opacity: Share of the ground that is not seen, 40 m.
        value: DN of what hides it, 40 m.
        classes: Scene classification, 20 m, uint8.
    """

    opacity: F32
    value: F32
    classes: npt.NDArray[np.uint8]


def sky(seed: int, day: int, shape: tuple[int, int]) -> Sky:
    """The sky of a day over a canvas of 10 m pixels."""
    rng = np.random.default_rng([seed, 4, day])
    coarse = (-(-shape[0] // 4) + 1, -(-shape[1] // 4) + 1)
    field = smooth(rng, coarse, 200) * 0.7 + smooth(rng, coarse, 50) * 0.55 + smooth(rng, coarse, 12) * 0.25
    field += ndimage.gaussian_filter(rng.standard_normal(coarse, dtype=np.float32), 1.5) * 0.5
    share = float(np.random.default_rng([seed, 5, day]).uniform(0.2, 0.7))
    depth = field - np.quantile(field[::4, ::4], 1 - share)
    opacity = np.clip(depth * 2 + 0.3, 0, 1) * (depth > 0)
    shadow = (np.roll(opacity, (9, -7), (0, 1)) > 0.6) & (depth <= 0)
    value = np.where(shadow, 250, 5200 + 900 * np.tanh(field)).astype(np.float32)
    classes = np.select([depth > 0.35, depth > 0, shadow], [9, 8, 3], 0).astype(np.uint8)
    land = smooth(rng, coarse, 30)
    classes[classes == 0] = np.where(land > 0.9, 5, np.where(land < -1.8, 6, 4))[classes == 0]
    speck = rng.random(coarse, dtype=np.float32)
    classes[(speck < 0.004) & (depth <= 0)] = 7
    fine = classes.repeat(2, 0).repeat(2, 1)[: shape[0] // 2, : shape[1] // 2]
    edge = rng.random(fine.shape, dtype=np.float32) < 0.02  # single pixels at 20 m, as the classification has them
    fine = np.where(edge & (fine == 4), np.uint8(5), fine)
    return Sky(np.maximum(opacity, shadow * np.float32(0.6)).astype(np.float32), value, fine)


def scene_dn(
    land: npt.NDArray[np.uint16], over: Sky, band: str, *, seed: int, day: int, offset: int
) -> npt.NDArray[np.uint16]:
    """Stored DN of a day over the canvas."""
    rng = np.random.default_rng([seed, 6, day, list(BANDS).index(band)])
    seen = land * np.float32(rng.uniform(0.85, 1.15))
    hidden = enlarge(over.value * np.float32(BANDS[band][1]), land.shape, 4)
    hidden -= seen
    hidden *= enlarge(over.opacity, land.shape, 4)
    seen += hidden
    start = int(rng.integers(_POOL))
    noise = np.resize(np.roll(_pool(seed), -start), land.size).reshape(land.shape)
    seen += noise
    seen *= 1 + np.float32(0.02) * (noise > 2 * NOISE_DN)
    np.clip(seen, 1, 15_000, out=seen)
    seen += np.float32(offset + 0.5)
    return seen.astype(np.uint16)
