"""A tile's year of Sentinel-1 pixels: medians of quarters, as steps of months whose number never changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from geo_assets.eo.radar_select import QUARTER_DATES, QUARTERS
from geo_assets.eo.tile_scale import NODATA, to_uint16
from geo_assets.model.text import without_secrets

POLARISATIONS = ("vv", "vh")
STEPS_A_QUARTER = 3

Status = Literal["ok", "empty", "failed"]
Pixels = npt.NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class QuarterPixels:
    """What became of a quarter.

    Attributes:
        number: 1 to 4.
        pixels: Dims (y, x, polarisation), uint16, nodata 0; None where there are none.
        cause: Why there are none.
        failed: Whether there should be some: its days could not be read.
    """

    number: int
    pixels: Pixels | None = None
    cause: str = ""
    failed: bool = False


@dataclass(frozen=True)
class QuarterState:
    """What a quarter's steps hold.

    Attributes:
        number: 1 to 4.
        status: ``ok``; ``empty``, where no day or pixel was found; ``failed``, where it could not be read.
        cause: Why all its pixels are nodata, without secrets, or "".
    """

    number: int
    status: Status
    cause: str = ""


@dataclass(frozen=True, eq=False)
class RadarYear:
    """A year of radar.

    Attributes:
        pixels: Dims (time, y, x, polarisation) with 12 steps and vv, vh; uint16, power * 65535, nodata 0. Each quarter is
            there three times.
        days_of_year: Dims (time), int64: 45, 135, 225 and 315, each three times.
        quarters: What each of the four quarters holds.
    """

    pixels: Pixels
    days_of_year: npt.NDArray[np.int64]
    quarters: tuple[QuarterState, ...]


def stored_power(power: npt.NDArray[Any]) -> Pixels:
    """Linear power as a tile stores it: cut to 0..1, times 65535.

    Args:
        power: Any dims, float, linear gamma0; what is not finite or not above 0 is nodata, since no echo is.

    Returns:
        Same dims, uint16, nodata 0, observed pixels at least 1.
    """
    observed = np.isfinite(power) & (power > 0)
    return to_uint16(np.where(observed, power, np.nan))


def quarter_median(days: Sequence[npt.NDArray[Any]]) -> Pixels:
    """Median over a quarter's days, per pixel of those that are observed.

    Args:
        days: Linear power of each solar day, dims (y, x, polarisation), float, nodata NaN, or 0 and below.

    Returns:
        Dims (y, x, polarisation), uint16, power * 65535, nodata 0 where no day is observed. The middle of two numbers is rounded
        half to even.

    Raises:
        ValueError: There is no day, or days differ in shape.
    """
    from geo_assets.eo.reduce import statistic  # takes a third of a second, which only workers have to spend

    shapes = {d.shape for d in days}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        raise ValueError(f"days have the shapes {sorted(shapes)}; they must have one, and dims (y, x, polarisation)")
    stack = np.stack([stored_power(d) for d in days])
    bands = [
        statistic(np.ascontiguousarray(stack[..., n]), "median", nodata=NODATA) for n in range(stack.shape[-1])
    ]  # fmt: skip
    return np.stack(bands, axis=-1)


def year_steps(quarters: Sequence[QuarterPixels], shape: tuple[int, int]) -> RadarYear:
    """Twelve steps of a year, whatever became of its quarters: what is empty or failed is nodata, and says so.

    Args:
        quarters: In any order; one that is left out is empty.
        shape: Rows and columns of the tile.

    Raises:
        ValueError: A number is no quarter's or comes twice, or pixels have another shape or type.
    """
    numbers = [q.number for q in quarters]
    if len(set(numbers)) != len(numbers) or not set(numbers) <= set(QUARTERS):
        raise ValueError(f"quarters {numbers}: they must be of {', '.join(map(str, QUARTERS))}, each at most once")
    found = {q.number: q for q in quarters}
    pixels = np.full((len(QUARTERS), *shape, len(POLARISATIONS)), NODATA, np.uint16)
    states = []
    for layer, number in zip(pixels, QUARTERS, strict=True):
        quarter = found.get(number, QuarterPixels(number, cause="nothing was made of it"))
        states.append(_state(quarter, layer.shape))
        if quarter.pixels is not None:
            layer[...] = quarter.pixels
    dates = np.repeat(np.array(QUARTER_DATES, np.int64), STEPS_A_QUARTER)
    return RadarYear(np.repeat(pixels, STEPS_A_QUARTER, axis=0), dates, tuple(states))


def _state(quarter: QuarterPixels, shape: tuple[int, ...]) -> QuarterState:
    if quarter.pixels is None:
        cause = quarter.cause or ("it could not be read" if quarter.failed else "no day has an item of the tile")
        return QuarterState(quarter.number, "failed" if quarter.failed else "empty", without_secrets(cause))
    if quarter.pixels.shape != shape or quarter.pixels.dtype != np.uint16:
        raise ValueError(
            f"quarter {quarter.number} has {quarter.pixels.dtype} {quarter.pixels.shape}; it must have uint16 {shape}"
        )
    if not quarter.pixels.any():
        return QuarterState(quarter.number, "empty", "no pixel of its days is observed")
    return QuarterState(quarter.number, "ok")
