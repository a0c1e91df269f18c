"""The strip planner: a selection of partitions as few range runs.

Dagster starts a run a partition, or a run a region only for whole rectangles; a run costs seconds and a partition inside
a range run milliseconds. So each region's neighbouring periods go into one run, and never two regions into one: a range
over regions would shift when one is added.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from geo_assets.assets.partitions import contiguous, cube_key
from geo_assets.errors import PartitionError


@dataclass(frozen=True)
class Strip:
    """Assets to materialize for a range of keys, in one run.

    Attributes:
        assets: Names, such as ``scenes/sentinel-2-l2a``.
        first: First key.
        last: Last key.
        region: Its region; None for a strip of regions.
        months: Its periods.
        keys: All keys, from the first to the last.
    """

    assets: tuple[str, ...]
    first: str
    last: str
    region: str | None
    months: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


def region_strips(assets: Sequence[str], regions: Iterable[str], order: Sequence[str]) -> list[Strip]:
    """Runs of assets that are partitioned by region; ``order`` is the instance's order of regions."""
    spans = contiguous(list(regions), order)
    return [Strip(tuple(assets), a, b, None, keys=tuple(order[order.index(a) : order.index(b) + 1])) for a, b in spans]


def cube_strips(assets: Sequence[str], keys: Iterable[tuple[str, str]], months: Sequence[str]) -> list[Strip]:
    """Runs of assets that are partitioned by region and month; ``keys`` are (region, month)."""
    by_region: dict[str, list[str]] = {}
    for region, month in keys:
        by_region.setdefault(region, []).append(month)
    strips = []
    for region in by_region:
        for first, last in contiguous(by_region[region], months):
            span = tuple(months[months.index(first) : months.index(last) + 1])
            made = tuple(str(cube_key(region, month)) for month in span)
            strips.append(Strip(tuple(assets), made[0], made[-1], region, span, made))
    return strips


def select(known: Sequence[str], asked: Sequence[str] | None) -> list[str]:
    """The regions that were asked for, each once, or all.

    Raises:
        PartitionError: One is not a region of the project.
    """
    unknown = [r for r in asked or () if r not in known]
    if unknown:
        shown = ", ".join(list(known)[:8]) + (", ..." if len(known) > 8 else "")
        raise PartitionError(f"region {unknown[0]!r} is not touched by the project's cells; it has {shown}")
    return list(dict.fromkeys(asked or known))
