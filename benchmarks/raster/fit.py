"""What is worked out from the measurements: ratios of pairs and exponents of growth."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of some numbers."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))


def ratios(others: dict[int, float], ours: dict[int, float]) -> Spread:
    """How many times as much the others took, pair by pair: only rounds that have both count."""
    pairs = [others[r] / ours[r] for r in sorted(others.keys() & ours.keys()) if ours[r] > 0]
    if not pairs:
        raise ValueError("no round has both")
    return Spread.of(pairs)


@dataclass(frozen=True)
class Growth:
    """How cost grows with size.

    Attributes:
        exponent: Of the cost as it is: slope of log cost over log size, least squares.
        net: Of the cost without what starting costs.
        start: What starting costs.
    """

    exponent: float
    net: float
    start: float


def growth(sizes: Sequence[float], costs: Sequence[float], start: float) -> Growth:
    """Exponents of a cost's growth.

    Args:
        sizes: At least two different sizes.
        costs: Cost at each.
        start: Cost of next to no work, at most half of the least cost.
    """
    start = min(start, min(costs) / 2)
    return Growth(slope(sizes, costs), slope(sizes, [c - start for c in costs]), start)


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of log cost over log size, least squares."""
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(costs, float))
    x -= x.mean()
    return float((x * y).sum() / (x * x).sum())
