"""Radar backscatter in decibels, between 0 and 1, and as a picture."""

from typing import Any

import numpy as np
import numpy.typing as npt

from geo_assets.eo.picture import Picture, blank
from geo_assets.errors import ConfigError

Floats = npt.NDArray[np.floating[Any]]
Limits = tuple[float, float]

UNIT_DB: Limits = (-22.0, 0.0)  # what the tree-cover pipeline of the World Resources Institute gives its models
VV_DB: Limits = (-25.0, 0.0)
VH_DB: Limits = (-30.0, -5.0)
RATIO_DB: Limits = (0.0, 15.0)  # VV is stronger than VH: by 5 to 8 dB in forests, by 10 and more on bare soil and water


def to_db(power: Floats) -> Floats:
    """Decibels of linear power, 10 log10(power).

    Args:
        power: Gamma0 or sigma0, any dims, float32 or float64, linear power, nodata NaN.

    Returns:
        Same dims and dtype, unit dB. NaN where the power is NaN, infinite, 0 or negative, which noise subtraction leaves in
        dark places: they have no logarithm, and any number in their place would be made up.

    Raises:
        ConfigError: ``power`` is not of floats, so it is no linear power yet.
    """
    _check("power", power)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _finite(10 * np.log10(power))


def to_power(db: Floats) -> Floats:
    """Linear power of decibels, 10^(db / 10).

    Args:
        db: Any dims, float32 or float64, unit dB, nodata NaN.

    Returns:
        Same dims and dtype, linear power; NaN where ``db`` is not finite.

    Raises:
        ConfigError: ``db`` is not of floats.
    """
    _check("db", db)
    with np.errstate(over="ignore"):
        return _finite(np.power(db.dtype.type(10), _finite(db) / 10))


def to_unit(db: Floats, *, limits: Limits = UNIT_DB) -> Floats:
    """Decibels as 0 to 1, the lower limit being 0 and the upper 1; what lies beyond is set to the limit.

    Args:
        db: Any dims, float32 or float64, unit dB, nodata NaN.
        limits: Lower and upper limit in dB.

    Returns:
        Same dims and dtype, unit 1, nodata NaN.

    Raises:
        ConfigError: ``db`` is not of floats, or the limits do not rise.
    """
    low, high = _limits(limits)
    _check("db", db)
    unit: Floats = np.clip((db - low) / (high - low), 0, 1)
    return unit


def from_unit(unit: Floats, *, limits: Limits = UNIT_DB) -> Floats:
    """Decibels of what ``to_unit`` made.

    Args:
        unit: Any dims, float32 or float64, unit 1, nodata NaN.
        limits: Those given to ``to_unit``.

    Returns:
        Same dims and dtype, unit dB. NaN where ``unit`` is NaN and where it is not between 0 and 1: a 0 is all that was at or
        below the lower limit, a 1 all that was at or above the upper.

    Raises:
        ConfigError: ``unit`` is not of floats, or the limits do not rise.
    """
    low, high = _limits(limits)
    _check("unit", unit)
    return np.where((unit > 0) & (unit < 1), low + unit * (high - low), unit.dtype.type(np.nan))


def to_rgb(vv: Floats, vh: Floats) -> Picture:
    """A picture of a scene: VV in red, VH in green, and in blue their ratio, which is their difference in dB.

    All is worked out in floats and rounded once: of bytes, a ratio would overflow.

    Args:
        vv: Linear power, dims (y, x), float32 or float64, nodata NaN.
        vh: Like ``vv``.

    Returns:
        Dims (y, x, 3), uint8: VV from -25 to 0 dB, VH from -30 to -5 dB, VV / VH from 0 to 15 dB. Pixels that are not observed in
        both, or are without a logarithm, are light grey.

    Raises:
        ConfigError: An array is not of floats, or they differ in shape.
    """
    if vv.shape != vh.shape or vv.ndim != 2:
        raise ConfigError(f"VV {vv.shape} and VH {vh.shape} must have the same dims (y, x)")
    vv_db, vh_db = to_db(vv), to_db(vh)
    shown = np.stack(
        [
            to_unit(vv_db, limits=VV_DB),
            to_unit(vh_db, limits=VH_DB),
            to_unit(vv_db - vh_db, limits=RATIO_DB),
        ],
        axis=-1,
    )
    observed, picture = np.isfinite(shown).all(axis=-1), blank(*vv.shape)
    picture[observed] = np.rint(shown[observed] * 255)
    return picture


def _limits(limits: Limits) -> Limits:
    low, high = limits
    if not -np.inf < low < high < np.inf:
        raise ConfigError(f"limits of {low} and {high} dB; the second must be the greater")
    return limits


def _check(name: str, values: npt.NDArray[Any]) -> None:
    if values.dtype not in (np.float32, np.float64):
        raise ConfigError(f"{name} is {values.dtype}; it must be float32 or float64: scale the stored numbers first")


def _finite(values: Floats) -> Floats:
    return np.where(np.isfinite(values), values, values.dtype.type(np.nan))
