"""What a Sentinel-2 scene of the sample world shows and stores: the truth through the air, displaced and with noise."""

import functools

import numpy as np
import numpy.typing as npt

from geo_assets.testing.world_land import BANDS, F32, MARGIN_PX, SPECTRA, Landscape, Mask, coarse, fine
from geo_assets.testing.world_plan import Granule, Observation
from geo_assets.testing.world_sky import HAZE, SHADOW, Sky

NOISE = 0.01  # standard deviation of a pixel's reflectance
SHIFT_PX = 0.5  # greatest misregistration in x and in y
_BRIGHTNESS = np.array([1.0, 0.99, 1.02, 1.05], np.float32)[:, None, None]  # of cloud, by band
_COARSE_BRIGHTNESS = np.float32(0.9)  # the same, of the bands of 20 m
_POOL = 1 << 21


def observe(granule: Granule, land: Landscape, sky: Sky, seed: int, bands: tuple[str, ...]) -> Observation:
    """What a scene shows under the sky of its day.

    Args:
        granule: The scene.
        land: The ground.
        sky: Over both tiles.
        seed: Of the world.
        bands: The four of 10 m, then those of 20 m.
    """
    rows, cols = granule.tile.box.shape
    half = slice(granule.tile.col // 2, (granule.tile.col + cols) // 2)
    rng = np.random.default_rng([seed, 5, *granule.seeds, granule.tile.col, int(granule.bias > 0)])
    valid = granule.valid()
    shift = rng.uniform(-SHIFT_PX, SHIFT_PX, 2)
    ground = _shifted(granule, land.reflectance(granule.sensed.month), shift)
    shadow, haze, cloud = (fine(part[:, half]) for part in (sky.shadow, sky.haze, sky.cloud))
    opacity = fine(sky.opacity[:, half])
    ground *= np.where(shadow, np.float32(SHADOW), np.float32(1))
    ground += np.float32(HAZE) * haze + np.float32(granule.bias)
    ground *= 1 - opacity
    ground += opacity * fine(sky.brightness[:, half]) * _BRIGHTNESS
    for band in ground:
        band += _noise(rng, seed, (rows, cols))
    dn = np.clip(np.rint(ground * 10_000) + granule.stored_offset, 1, 65_535).astype(np.uint16)
    dn[:, ~valid] = 0
    ground[:, ~valid] = np.nan
    scl = _scl(granule, land, sky, half, valid)
    measured, stored = _coarse_bands(granule, land, sky, half, shift, seed, bands[len(BANDS) :], scl > 0)
    return Observation(
        granule, valid, valid & ~(cloud | shadow | haze), cloud, shadow, haze, scl,
        dict(zip(BANDS, ground, strict=True)) | measured, dict(zip(BANDS, dn, strict=True)) | stored,
    )  # fmt: skip


def _coarse_bands(
    granule: Granule,
    land: Landscape,
    sky: Sky,
    half: slice,
    shift: npt.NDArray[np.float64],
    seed: int,
    bands: tuple[str, ...],
    valid: Mask,
) -> tuple[dict[str, F32], dict[str, npt.NDArray[np.uint16]]]:
    """Reflectance and stored numbers of the bands of 20 m, under the same sky and displaced in the same way."""
    rng = np.random.default_rng([seed, 8, *granule.seeds, granule.tile.col, int(granule.bias > 0)])
    measured, stored = {}, {}
    opacity, light = sky.opacity[:, half], np.where(sky.shadow[:, half], np.float32(SHADOW), np.float32(1))
    for band in bands:
        ground = coarse(_shifted(granule, land.mixed(granule.sensed.month, SPECTRA[band])[None], shift)[0]) * light
        ground += np.float32(HAZE) * sky.haze[:, half] + np.float32(granule.bias)
        ground += opacity * (sky.brightness[:, half] * _COARSE_BRIGHTNESS - ground)
        ground += np.float32(NOISE) * rng.standard_normal(ground.shape, np.float32)
        dn = np.clip(np.rint(ground * 10_000) + granule.stored_offset, 1, 65_535)
        measured[band] = np.where(valid, ground, np.float32(np.nan))
        stored[band] = np.where(valid, dn, 0).astype(np.uint16)
    return measured, stored


def _shifted(granule: Granule, land: F32, shift: npt.NDArray[np.float64]) -> F32:
    """Bands of the ground under a tile, displaced by a part of a pixel; bilinear, so a little more blurred."""
    rows, cols = granule.tile.box.shape
    top, left = (int(np.floor(s)) for s in shift)
    fy, fx = (np.float32(s - np.floor(s)) for s in shift)
    r, c = MARGIN_PX + top, MARGIN_PX + granule.tile.col + left
    part = land[:, r : r + rows + 1, c : c + cols + 1]
    part = part[:, :-1] * (1 - fy) + part[:, 1:] * fy
    return np.asarray(part[:, :, :-1] * (1 - fx) + part[:, :, 1:] * fx, np.float32)


def _scl(granule: Granule, land: Landscape, sky: Sky, half: slice, valid: Mask) -> npt.NDArray[np.uint8]:
    inner = slice(MARGIN_PX + granule.tile.col, MARGIN_PX + granule.tile.col + valid.shape[1], 2)
    rows = slice(MARGIN_PX, MARGIN_PX + valid.shape[0], 2)
    green = land.cover(granule.sensed.month)[rows, inner]
    ground = np.where(land.water[rows, inner], 6, np.where(green > 0.4, 4, 5)).astype(np.uint8)
    seen = sky.classes[:, half]
    whole = valid[::2, ::2] & valid[1::2, ::2] & valid[::2, 1::2] & valid[1::2, 1::2]
    return np.where(whole, np.where(seen, seen, ground), 0).astype(np.uint8)


@functools.lru_cache(maxsize=4)
def _pool(seed: int) -> F32:
    return np.random.default_rng([seed, 3]).standard_normal(_POOL, dtype=np.float32) * np.float32(NOISE)


def _noise(rng: np.random.Generator, seed: int, shape: tuple[int, int]) -> F32:
    """White noise: a random piece of a pool, since drawing afresh would take most of the time of a world."""
    pool, size = _pool(seed), shape[0] * shape[1]
    start = int(rng.integers(_POOL))
    return np.take(pool, np.arange(start, start + size), mode="wrap").reshape(shape)
