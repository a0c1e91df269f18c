"""Spectral indices of reflectance.

The four that the tree-cover pipeline of the World Resources Institute adds to its bands. Reflectance has to be on the scale of 0 to
1: EVI and MSAVI2 add constants to it, and differences of unsigned integers wrap.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.errors import ConfigError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Index:
    """An index and how it is made.

    Attributes:
        bands: Common names of its bands, in the order in which ``formula`` takes them.
        limits: Range that it is clipped to where that is asked for.
        formula: The function.
    """

    bands: tuple[str, ...]
    limits: tuple[float, float]
    formula: Callable[..., Floats]


def evi(nir: Floats, red: Floats, *, blue: Floats) -> Floats:
    """Enhanced vegetation index, 2.5 (nir - red) / (nir + 6 red - 7.5 blue + 1).

    Huete et al. (2002), "Overview of the radiometric and biophysical performance of the MODIS vegetation indices", Remote Sensing of
    Environment 83, doi:10.1016/S0034-4257(02)00096-2. Over clouds and snow the denominator passes 0 and the index is without bounds.

    Args:
        nir: Reflectance, any dims, float32 or float64, unit 1, nodata NaN.
        red: Like ``nir``.
        blue: Like ``nir``.

    Returns:
        Dims and dtype of the bands, unit 1; NaN where a band is NaN or the denominator is 0.

    Raises:
        ConfigError: A band is not of floats, or the bands differ in shape or dtype.
    """
    _check(nir=nir, red=red, blue=blue)
    return 2.5 * _quotient(nir - red, nir + 6 * red - 7.5 * blue + 1)


def bi(swir16: Floats, red: Floats, *, nir: Floats, blue: Floats) -> Floats:
    """Bare soil index, ((swir16 + red) - (nir + blue)) / ((swir16 + red) + (nir + blue)), -1 to 1 of reflectance from 0 on.

    Rikimaru, Roy and Miyatake (2002), "Tropical forest cover density mapping", Tropical Ecology 43; theirs is 100 + 100 times this.

    Args:
        swir16: Reflectance at 1.6 micrometres, any dims, float32 or float64, unit 1, nodata NaN.
        red: Like ``swir16``.
        nir: Like ``swir16``.
        blue: Like ``swir16``.

    Returns:
        Dims and dtype of the bands, unit 1; NaN where a band is NaN or the denominator is 0.

    Raises:
        ConfigError: A band is not of floats, or the bands differ in shape or dtype.
    """
    _check(swir16=swir16, red=red, nir=nir, blue=blue)
    soil, plants = swir16 + red, nir + blue
    return _quotient(soil - plants, soil + plants)


def msavi2(nir: Floats, red: Floats) -> Floats:
    """Modified soil-adjusted vegetation index, (2 nir + 1 - sqrt((2 nir + 1)^2 - 8 (nir - red))) / 2.

    Qi et al. (1994), "A modified soil adjusted vegetation index", Remote Sensing of Environment 48, doi:10.1016/0034-4257(94)90134-1.

    Args:
        nir: Reflectance, any dims, float32 or float64, unit 1, nodata NaN.
        red: Like ``nir``.

    Returns:
        Dims and dtype of the bands, unit 1; NaN where a band is NaN, or where a red below 0 makes the root one of a negative number.

    Raises:
        ConfigError: A band is not of floats, or the bands differ in shape or dtype.
    """
    _check(nir=nir, red=red)
    doubled = 2 * nir + 1
    with np.errstate(invalid="ignore"):
        return _finite((doubled - np.sqrt(doubled * doubled - 8 * (nir - red))) / 2)


def grndvi(nir: Floats, red: Floats, *, green: Floats) -> Floats:
    """Green-red normalised difference vegetation index, (nir - (green + red)) / (nir + (green + red)).

    Wang et al. (2007), "New vegetation index and its application in estimating leaf area index of rice", Rice Science 14,
    doi:10.1016/S1672-6308(07)60027-4.

    Args:
        nir: Reflectance, any dims, float32 or float64, unit 1, nodata NaN.
        red: Like ``nir``.
        green: Like ``nir``.

    Returns:
        Dims and dtype of the bands, unit 1; NaN where a band is NaN or the denominator is 0.

    Raises:
        ConfigError: A band is not of floats, or the bands differ in shape or dtype.
    """
    _check(nir=nir, red=red, green=green)
    visible = green + red
    return _quotient(nir - visible, nir + visible)


INDICES: Mapping[str, Index] = {
    "evi": Index(("nir", "red", "blue"), (-1.5, 1.5), evi),
    "bi": Index(("swir16", "red", "nir", "blue"), (-1, 1), bi),
    "msavi2": Index(("nir", "red"), (-1, 1), msavi2),
    "grndvi": Index(("nir", "red", "green"), (-1, 1), grndvi),
}


def index(name: str, bands: Mapping[str, Floats], *, clip: bool = False) -> Floats:
    """One of ``INDICES`` by its name.

    Args:
        name: A key of ``INDICES``.
        bands: Reflectance by common name, any dims, float32 or float64, unit 1, nodata NaN; others than the needed may be there.
        clip: Whether reflectance is first brought to 0 to 1 and the index then to its limits, as the tree-cover pipeline does, so
            that one bright cloud does not rule a mean over time.

    Returns:
        Dims and dtype of the bands, unit 1, nodata NaN.

    Raises:
        ConfigError: No such index, a band that is missing, not of floats, or of another shape or dtype than the others.
    """
    if name not in INDICES:
        raise ConfigError(f"no index {name!r}: one of {', '.join(INDICES)}")
    made = INDICES[name]
    if missing := [b for b in made.bands if b not in bands]:
        raise ConfigError(f"index {name} needs {', '.join(made.bands)}; there is no {', '.join(missing)}")
    wanted = {b: bands[b] for b in made.bands}
    _check(**wanted)
    if not clip:
        return made.formula(**wanted)
    return np.clip(made.formula(**{b: np.clip(v, 0, 1) for b, v in wanted.items()}), *made.limits)


def _check(**bands: Array) -> None:
    first = next(iter(bands.values()))
    for name, band in bands.items():
        if band.dtype not in (np.float32, np.float64):
            raise ConfigError(
                f"{name} is {band.dtype}; an index needs reflectance as floats, so scale the stored numbers first"
            )
        if (band.shape, band.dtype) != (first.shape, first.dtype):
            raise ConfigError(
                f"{name} is {band.dtype} {band.shape}, another band {first.dtype} {first.shape}; they must be alike"
            )


def _quotient(above: Floats, below: Floats) -> Floats:
    """NaN instead of an infinity, which a division by 0 gives and which no later mean survives."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _finite(above / below)


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, values.dtype.type(np.nan))
