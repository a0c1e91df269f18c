"""Comparators that bring the middle of a few numbers to known places, whatever the numbers are."""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BOTH, LESS, MORE = 0, 1, 2  # which results of a comparator are ever looked at

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Networks:
    """Median networks of 0 to ``n`` wires in one table.

    Attributes:
        comparators: Rows of (lower wire, upper wire, BOTH, LESS or MORE).
        starts: Network ``n`` has the rows from ``starts[n]`` to ``starts[n + 1]``.
        wires: Rows of the two wires of network ``n`` that hold its middle.
    """

    comparators: Ints
    starts: Ints
    wires: Ints


def middle(wires: int) -> tuple[int, int]:
    """The sorted wires that the median needs when missing numbers are lowest and highest in turn, the highest first.

    With as many missing below as above, the median stays where it is without any. One more above moves it down by half
    a wire: an even network then needs its lower middle wire alone, an odd one the two below and at its middle.
    """
    return max(0, (wires - 1) // 2 - (wires % 2)), wires // 2


def sorting(wires: int) -> list[tuple[int, int]]:
    """Batcher's odd-even merge sort (Sorting networks and their applications, 1968) for any number of wires."""
    found = []
    run = 1
    while run < wires:
        gap = run
        while gap >= 1:
            for j in range(gap % run, wires - gap, 2 * gap):
                for i in range(j, min(j + gap, wires - gap)):
                    if i // (2 * run) == (i + gap) // (2 * run):
                        found.append((i, i + gap))
            gap //= 2
        run *= 2
    return found


def median(wires: int) -> list[tuple[int, int, int]]:
    """The comparators of a sorting network that its middle depends on."""
    needed = set(middle(wires))
    kept = []
    for low, high in reversed(sorting(wires)):
        less, more = low in needed, high in needed
        if less or more:
            kept.append((low, high, BOTH if less and more else LESS if less else MORE))
            needed |= {low, high}
    return kept[::-1]


@functools.lru_cache(maxsize=8)
def networks(most: int) -> Networks:
    """Median networks of up to ``most`` wires."""
    each = [median(wires) for wires in range(most + 1)]
    return Networks(
        np.array([c for network in each for c in network], np.int64).reshape(-1, 3),
        np.cumsum([0, *map(len, each)], dtype=np.int64),
        np.array([middle(wires) for wires in range(most + 1)], np.int64),
    )
