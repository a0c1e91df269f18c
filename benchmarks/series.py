"""A year's steps and months against other ways to make them: ``python -m benchmarks.series [SIDE_PX] [ROUNDS]``.

All ways take turns in one process, and what counts is the ratio within a round. CPU is of this process with all its threads, per
pixel and band. Solving by pixel is too slow for all pixels and is done for some of them.
"""

import sys
import time
from collections.abc import Callable, Iterator
from statistics import median

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import splu, spsolve

from geo_assets.eo.series import composites, monthly, smoothing_matrix, step_days

BANDS, DAYS, CLEAR, GAPS, SMOOTHING = 2, 72, 0.4, 0.3, 100.0
SAMPLE_PX = 500
PENALTY = SMOOTHING * (d := scipy.sparse.diags([1.0, -2.0, 1.0], [0, 1, 2], shape=(22, 24), format="csc")).T @ d

Way = Callable[[], np.ndarray]


def factorised(steps: np.ndarray) -> np.ndarray:
    """As the tree-cover pipeline does: one factorisation, all pixels as right-hand sides, then the mean of each two steps."""
    solved = splu((scipy.sparse.eye(24, format="csc") + PENALTY).tocsc()).solve(
        steps.reshape(24, -1).astype(np.float64)
    )
    return solved.reshape(12, 2, *steps.shape[1:]).mean(axis=1)


def by_pixel(steps: np.ndarray) -> np.ndarray:
    """A sparse system for each pixel."""
    out = np.empty((12, steps.shape[1]))
    for number, series in enumerate(steps.T):
        seen = np.isfinite(series)
        system = (scipy.sparse.diags(seen.astype(float)) + PENALTY).tocsc()
        out[:, number] = spsolve(system, np.where(seen, series, 0).astype(float)).reshape(12, 2).mean(axis=1)
    return out


def grouped(steps: np.ndarray) -> np.ndarray:
    """A matrix for each pattern of gaps, applied to the pixels that share it."""
    flat = steps.reshape(24, -1)
    seen = np.isfinite(flat)
    patterns, which = np.unique((seen * (1 << np.arange(24))[:, None]).sum(axis=0), return_inverse=True)
    out, order = np.empty((12, flat.shape[1]), np.float32), np.argsort(which, kind="stable")
    ends = np.searchsorted(which[order], np.arange(len(patterns) + 1))
    for pattern, first, end in zip(patterns, ends, ends[1:], strict=False):
        pixels = order[first:end]
        weights = (pattern >> np.arange(24) & 1).astype(float)
        table = np.linalg.solve(np.diag(weights) + PENALTY.toarray(), np.diag(weights)).reshape(12, 2, 24).mean(axis=1)
        out[:, pixels] = table.astype(np.float32) @ np.where(seen[:, pixels], flat[:, pixels], 0)
    return out.reshape(12, *steps.shape[1:])


def product(steps: np.ndarray) -> np.ndarray:
    """One matrix product by BLAS, which leaves NaN where there is a gap."""
    flat = smoothing_matrix(SMOOTHING).astype(np.float32) @ steps.reshape(24, -1)
    return flat.reshape(12, *steps.shape[1:])


def by_layer(stack: np.ndarray, clear: np.ndarray, days: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Composites in numpy: layers by day, whose clear pixels become the nearest, and the nearest the next."""
    total, weight = np.zeros((2, len(steps), *stack.shape[1:]))
    for direction in (1, -1):
        near, order = np.zeros((4, *stack.shape[1:])), np.argsort(days)[::direction]
        near[:2], position = np.inf, 0
        for step in range(len(steps))[::direction]:
            beyond = (lambda day, s=step: day < steps[s]) if direction == 1 else (lambda day, s=step: day >= steps[s])
            while position < len(order) and beyond(days[order[position]]):
                layer = order[position]
                seen = clear[layer] & (stack[layer] != 0)
                near[1], near[3] = np.where(seen, near[0], near[1]), np.where(seen, near[2], near[3])
                near[0], near[2] = np.where(seen, days[layer], near[0]), np.where(seen, stack[layer], near[2])
                position += 1
            far = np.abs(near[:2] - steps[step])
            share = np.where(far <= 100, 1 / np.maximum(far, 1), 0)
            total[step] += (share * near[2:]).sum(axis=0)
            weight[step] += share.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return (total / weight).astype(np.float32)


def cases(side_px: int) -> Iterator[tuple[str, dict[str, tuple[Way, int]]]]:
    """What is compared, ours first: ways with how many pixels each makes."""
    rng = np.random.default_rng(1)
    pixels = BANDS * side_px * side_px
    whole = rng.random((24, BANDS, side_px, side_px), np.float32)
    sample = whole.reshape(24, -1)[:, :SAMPLE_PX]
    yield (
        "months, no gaps",
        {
            "geo_assets": (lambda: monthly(whole), pixels),
            "one product by BLAS": (lambda: product(whole), pixels),
            "one sparse factorisation": (lambda: factorised(whole), pixels),
            "sparse solve by pixel": (lambda: by_pixel(sample), SAMPLE_PX),
        },
    )
    holes = whole.copy()
    holes[rng.random(whole.shape) < GAPS] = np.nan
    coarse = np.repeat(np.repeat(rng.random((24, 1, side_px // 32, side_px // 32)) < GAPS, 32, axis=2), 32, axis=3)
    blocks = np.where(coarse, np.float32(np.nan), whole)
    yield (
        f"months, {GAPS:.0%} gaps, by pixel",
        {
            "geo_assets": (lambda: monthly(holes), pixels),
            "sparse solve by pixel": (lambda: by_pixel(holes.reshape(24, -1)[:, :SAMPLE_PX]), SAMPLE_PX),
        },
    )
    yield (
        f"months, {GAPS:.0%} gaps, in squares of 32",
        {
            "geo_assets": (lambda: monthly(blocks), pixels),
            "a matrix a pattern": (lambda: grouped(blocks), pixels),
            "sparse solve by pixel": (lambda: by_pixel(blocks.reshape(24, -1)[:, :SAMPLE_PX]), SAMPLE_PX),
        },
    )
    stack = rng.integers(1, 10_000, (DAYS, BANDS, side_px, side_px)).astype(np.uint16)
    clear = rng.random((DAYS, side_px, side_px)) < CLEAR
    days, steps = rng.permutation(365)[:DAYS] + 1, step_days(2023)
    yield (
        f"24 steps of {DAYS} days, {CLEAR:.0%} clear",
        {
            "geo_assets": (lambda: composites(stack, clear, days, steps, nodata=0), pixels),
            "numpy": (lambda: by_layer(stack, clear, days, steps), pixels),
        },
    )


def agree(ways: dict[str, tuple[Way, int]]) -> None:
    """Every way has to give the same numbers where it gives any."""
    first, *others = [way().reshape(-1, pixels) for way, pixels in ways.values()]
    for other in others:
        np.testing.assert_allclose(first[:, : other.shape[1]], other, rtol=1e-4, atol=1e-4)


def main(side_px: int = 512, rounds: int = 5) -> None:
    """Print a table."""
    print(f"{BANDS} bands of {side_px} x {side_px} pixels, medians of {rounds} rounds")
    print(f"{'case':36} {'way':26} {'CPU ns/px':>11} {'times ours':>24}")
    for case, ways in cases(side_px):
        agree(ways)
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (way, pixels) in ways.items():
                began = time.process_time()
                way()
                spent[name].append((time.process_time() - began) / pixels * 1e9)
        for name, times in spent.items():
            ratios = [a / b for a, b in zip(times, spent["geo_assets"], strict=True)]
            print(
                f"{case:36} {name:26} {median(times):11,.0f} {median(ratios):10,.1f} ({min(ratios):,.1f}-{max(ratios):,.1f})",
                flush=True,
            )


if __name__ == "__main__":
    main(*[int(a) for a in sys.argv[1:]])
