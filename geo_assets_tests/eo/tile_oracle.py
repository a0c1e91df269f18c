"""Months of a yearly tile worked out once more, plainly and in float64, from the numbers that are stored."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


def clear_of(
    codes: npt.NDArray[Any], shape: tuple[int, int], first: tuple[int, int], times: int = 16
) -> npt.NDArray[np.bool_]:
    """Pixels under vegetation, bare soil or water; ``first`` is the fine row and column where the codes begin."""
    good = (codes == 4) | (codes == 5) | (codes == 6)
    wide = np.kron(good, np.ones((1, times, times), bool))
    return wide[:, first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]]


def months_of(values: F64, clear: npt.NDArray[np.bool_], days: npt.NDArray[Any], length: int) -> F64:
    """Twelve months of dims (time, y, x), NaN where not observed, of a year of ``length`` days."""
    seen = clear & np.isfinite(values)
    order = np.argsort(days)
    steps = []
    for n in range(24):
        at = 0.5 + (n + 0.5) * length / 24
        total, weight = np.zeros(values.shape[1:]), np.zeros(values.shape[1:])
        for side in ([t for t in order[::-1] if days[t] < at], [t for t in order if days[t] >= at]):
            used = np.zeros(values.shape[1:], int)
            for t in side:
                pick = seen[t] & (used < 2)
                used += pick
                share = 1 / max(1.0, abs(days[t] - at)) if abs(days[t] - at) <= 100 else 0.0
                total += np.where(pick, share * np.where(pick, values[t], 0), 0)
                weight += np.where(pick, share, 0)
        with np.errstate(invalid="ignore"):
            steps.append(total / weight)
    return _smooth(np.array(steps))


def _smooth(steps: F64) -> F64:
    series = steps.reshape(24, -1).T
    there = np.isfinite(series)
    second = np.diff(np.eye(24), n=2, axis=0)
    some = there.sum(axis=1) > 1
    out = np.full((24, len(series)), np.nan)
    matrices = there[some, :, None] * np.eye(24) + 100 * second.T @ second
    out[:, some] = np.linalg.solve(matrices, np.where(there, series, 0)[some][..., None])[..., 0].T
    return out.reshape(12, 2, *steps.shape[1:]).mean(axis=1)


def index_of(name: str, bands: Mapping[str, F64]) -> F64:
    """An index of reflectance that is cut to 0..1, cut to its limits."""
    b = {k: np.clip(v, 0, 1) for k, v in bands.items()}
    if name == "evi":
        found, most = 2.5 * (b["nir"] - b["red"]) / (b["nir"] + 6 * b["red"] - 7.5 * b["blue"] + 1), 1.5
    elif name == "bi":
        one, two = b["swir16"] + b["red"], b["nir"] + b["blue"]
        found, most = (one - two) / (one + two), 1.0
    elif name == "msavi2":
        twice = 2 * b["nir"] + 1
        found, most = (twice - np.sqrt(twice**2 - 8 * (b["nir"] - b["red"]))) / 2, 1.0
    else:
        green = b["green"] + b["red"]
        found, most = (b["nir"] - green) / (b["nir"] + green), 1.0
    return np.clip(found, -most, most)
